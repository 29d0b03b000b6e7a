"""``minitorch gradflow``: how the gradient fares in deep stacks, with and without residual connections and LayerNorm."""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from minitorch.cli import Usage
from minitorch.explain.stacks import ACTIVATIONS, Comparison, Training, compare_stacks, train_stacks

__all__ = ["arguments", "run"]

EXAMPLES = """\
Draw the gradient's norm in each block of five deep stacks: plain, residual, post-norm, pre-norm, and the mistake x = x + x.

  minitorch gradflow                              48 blocks at initialisation → gradflow.png
  minitorch gradflow --depth 1000                 so deep that the numbers end
  minitorch gradflow --block transformer          attention and feed-forward instead of feed-forward alone
  minitorch gradflow --activation tanh --save flow.svg --save flow.csv
  minitorch gradflow --steps 100                  heat maps, block × training step
"""
KINDS = (".csv", ".pdf", ".png", ".svg")


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("--depth", type=int, default=48, help="blocks in each stack, 2 to 1000 (48)")
    parser.add_argument("--width", type=int, default=64, help="features (64)")
    parser.add_argument("--block", choices=["mlp", "transformer"], default="mlp",
                        help="mlp: two linear layers; transformer: self-attention first (mlp)")
    parser.add_argument("--activation", choices=list(ACTIVATIONS), default="relu", help="between the linear layers (relu)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32",
                        help="float64 holds far smaller numbers before they become 0 (float32)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (0)")
    parser.add_argument("--steps", type=int, default=0, metavar="N", help="train so many steps, and draw heat maps")
    parser.add_argument("--lr", type=float, default=0.02, help="learning rate of the training (0.02)")
    parser.add_argument("--narrow", action="store_true", help="one panel below the other, for a narrow page")
    parser.add_argument("--save", action="append", metavar="FILE",
                        help="where to write: .png, .svg or .pdf the figure, .csv the numbers; repeat it for several "
                             "(gradflow.png)")


def run(args) -> int:
    """Measure, print, save; return the exit code."""
    for name, least, most in (("depth", 2, 1000), ("width", 2, 4096), ("steps", 0, 100_000), ("seed", 0, 2 ** 32 - 1)):
        if not least <= getattr(args, name) <= most:
            raise Usage(f"--{name} {getattr(args, name)}: it must be from {least} to {most}")
    if not 0 < args.lr < float("inf"):
        raise Usage(f"--lr {args.lr}: it must be above 0")
    files = [_writable(name) for name in args.save or ["gradflow.png"]]
    settings = {name: getattr(args, name) for name in ("depth", "width", "block", "activation", "seed", "dtype")}
    bar = partial(tqdm, desc="training" if args.steps else "measuring", file=sys.stderr, disable=None, leave=False)
    found: Comparison | Training
    if args.steps:
        found = train_stacks(**settings, steps=args.steps, lr=args.lr, progress=bar)
        print(f"Training: {found.setting}; plain SGD, learning rate {args.lr:g}\n")
    else:
        found = compared = compare_stacks(**settings, progress=bar)
        print(f"The norm of the loss's gradient at the output of each block, going back from block {args.depth} to block 1\n"
              f"{found.setting}; weights start as in PyTorch{' (uniform, ±1/√width)' * (args.block == 'mlp')}\n\n"
              f"{compared.table()}\n")
    print(found.reading(), end="\n\n")
    for path in files:
        _save(found, path, args.narrow)
    return 0


def _writable(name) -> Path:
    """The path to write to; found out before the work, not after."""
    path = Path(name)
    if path.suffix.lower() not in KINDS:
        raise Usage(f"--save {name}: the name must end in one of {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise Usage(f"--save {name}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Usage(f"--save {name}: this place cannot be written to")
    return path


def _save(found, path, narrow) -> None:
    replaced = path.exists()
    if path.suffix.lower() == ".csv":
        found.to_csv(path)
    else:
        plt = import_module("matplotlib.pyplot")
        plt.switch_backend("Agg")
        figure = found.plot(narrow=narrow)
        figure.savefig(path, dpi=150)
        plt.close(figure)
    print(f"{'replaced' if replaced else 'wrote'} {path}")

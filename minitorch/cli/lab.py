"""``minitorch lab``: the residual lab as a page, computed now."""

from __future__ import annotations

from pathlib import Path

from minitorch.cli import Usage
from minitorch.explain.lab import residual_lab, save_residual_lab

__all__ = ["arguments", "run"]

EXAMPLES = """\
Compute a stack of Transformer blocks with and without residual connections, with and without LayerNorm, and write a page
that switches between them.

  minitorch lab                                lab.html, in a few seconds
  minitorch lab --out out/residuals.html --depths 8,64 --seed 1
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("--out", metavar="FILE.html", default="lab.html", help="where to write the page (lab.html)")
    parser.add_argument("--depths", metavar="6,12", default="6,12,24,48", help="numbers of blocks (6,12,24,48)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the input (0)")


def run(args) -> int:
    """Compute and write; return the exit code."""
    try:
        depths = [int(d) for d in args.depths.split(",")]
    except ValueError:
        raise Usage(f"--depths: write whole numbers with commas between them, such as 6,12; got {args.depths!r}") from None
    if min(depths) < 1 or max(depths) > 200:
        raise Usage(f"--depths: numbers of blocks from 1 to 200, got {args.depths}")
    if not Path(args.out).absolute().parent.is_dir():
        raise Usage(f"--out: there is no folder {Path(args.out).parent}")
    if Path(args.out).is_dir():
        raise Usage(f"--out {args.out}: this is a folder")
    if not 0 <= args.seed < 2**32:
        raise Usage(f"--seed {args.seed}: it must be from 0 to {2**32 - 1}")
    path = save_residual_lab(args.out, residual_lab(depths, seed=args.seed, progress=True))
    print(f"{path} is written: open it in a browser.")
    return 0

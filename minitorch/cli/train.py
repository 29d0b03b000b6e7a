"""``minitorch train``: train a model as a config says, and go on where a run stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from minitorch.cli import Usage
from minitorch.cli.saved import device_argument, usable
from minitorch.errors import CheckpointError
from minitorch.train import config as configs
from minitorch.train.run import Run, known_keys
from minitorch.train.tasks import TASKS
from minitorch.train.trainer import Diverged, Interrupted

__all__ = ["arguments", "run"]

EXAMPLES = """\
Train a model, and leave a folder with it, its checkpoint, a log and pictures.

  minitorch train --list                       the configs that come along, and the tasks
  minitorch train char-gpt                     by the name of one of them
  minitorch train char-gpt steps=200 lr=3e-4   with other settings
  minitorch train mine.toml                    by a file of your own: minitorch train char-gpt --show > mine.toml
  minitorch train runs/char-gpt                go on with a run that was stopped

The first Ctrl-C finishes the step and saves; the second stops at once.
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="name of a config, a .toml file, or the folder of a run")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="settings to change")
    parser.add_argument("--out", metavar="FOLDER", help="where the run goes (runs/NAME)")
    parser.add_argument("--restart", action="store_true", help="begin again, though the folder holds a run")
    device_argument(parser)
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--show", action="store_true", help="print the config, and train nothing")


def run(args) -> int:
    """Train; return the exit code: 1 where the run diverged or its files are broken, 130 where it was interrupted."""
    if args.list:
        print("configs:\n" + "\n".join(f"  {name:<16} {line}" for name, line in configs.shipped().items()))
        about = {name: (task.__doc__ or "").splitlines()[0] for name, task in TASKS.items()}
        print("\ntasks:\n" + "\n".join(f"  {name:<16} {line}" for name, line in about.items()))
        return 0
    if args.config is None:
        raise Usage("say what to train: minitorch train char-gpt, or minitorch train --list")
    try:
        return _train(args)
    except configs.ConfigError as error:
        raise Usage(str(error)) from None
    except (Diverged, CheckpointError) as error:
        print(f"minitorch train: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or "a file of the run"
        print(f"minitorch train: {place} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        print(f"{stop}. Go on with: minitorch train {stop.checkpoint.parent if stop.checkpoint else '...'}")
        return 130


def _train(args) -> int:
    config = configs.read(args.config)
    is_run = Path(args.config).is_dir()
    if args.show:
        print(configs.dump(configs.override(config, args.changes, known_keys(config))), end="")
        return 0
    if is_run and (args.changes or args.out):
        raise Usage("a run goes on as it began: leave out the changes, or start a new one from its config: "
                    f"minitorch train {args.config}/config.toml ... --out FOLDER")
    config = configs.override(config, args.changes, known_keys(config))
    folder = Path(args.config if is_run else args.out or Path("runs") / Path(args.config).stem)
    there = (folder / "checkpoint.safetensors").exists()
    if there and not is_run and not args.restart:
        raise Usage(f"{folder} holds a run already. Go on with it: minitorch train {folder}; or begin again with --restart, "
                    "or choose another place with --out FOLDER.")
    work = Run(config, folder, usable(args.device))
    print(f"{args.config}: {work.about}")
    if there and not args.restart:
        print(f"going on after step {work.resume()} of {work.trainer.settings.steps}")
    start, before = perf_counter(), work.trainer.step
    work.train()
    _report(work, work.trainer.step - before, perf_counter() - start)
    return 0


def _report(work: Run, steps: int, seconds: float) -> None:
    trainer, task = work.trainer, work.task
    print(f"\n{steps} steps in {seconds:.0f} s" if steps else "\nnothing was left to train")
    if trainer.valid_now is not None:
        print(f"validation loss {trainer.valid_now:.4f}")
    for name, value in (task.metrics(trainer.trained) if task.metrics else {}).items():
        print(f"{name} {value:.4f}")
    if task.sample is not None:
        text = task.sample(trainer.trained)
        (work.folder / "sample.txt").write_text(text + "\n", encoding="utf-8")
        print("\n" + text + "\n")
    print(f"in {work.folder}: " + ", ".join(sorted(path.name + "/" * path.is_dir() for path in work.folder.iterdir())))

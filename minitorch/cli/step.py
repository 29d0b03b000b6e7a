"""``minitorch step``: run a program, then walk through what it computed, forward and backward."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path

from minitorch import explain
from minitorch.cli import Usage
from minitorch.explain.show import plain_where_needed

__all__ = ["arguments", "run"]

EXAMPLES = """\
Run a program, then walk through it: every op in order, forward and backward, with its numbers.

  minitorch step                               the built-in programs
  minitorch step chain                         one of them
  minitorch step mine.py                       your own, unchanged
  minitorch step mine.py 3 --lr 0.1            with its own arguments
  minitorch step chain --print                 all stops at once, for reading or for a file
  minitorch step block --print --only Attention --backward
  echo "goto backward" | minitorch step chain  commands from a pipe
  minitorch step train.py --runs 1             a training script: its first backward() and what led there
  minitorch step block --html block.html       a page to play it in, for the browser
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = EXAMPLES
    parser.allow_abbrev = False
    _options(parser)
    parser.add_argument("program", nargs="?", metavar="FILE.py", help="or the name of a built-in program; none: list them")
    parser.add_argument("args", nargs=argparse.REMAINDER, metavar="ARG",
                        help="the program's own arguments. What stands after -- is the program's in any case")


def _options(parser):
    parser.add_argument("--print", action="store_true", dest="transcript", help="print every stop, and end")
    parser.add_argument("--only", metavar="OP", help="with --print: only this op, such as LayerNorm")
    parser.add_argument("--backward", action="store_true", help="with --print: only backward")
    parser.add_argument("--html", metavar="OUT.html", help="write the run as one page for the browser, and end")
    parser.add_argument("--runs", type=int, metavar="N",
                        help="record until backward() has run N times; the rest of the program runs unseen")
    parser.add_argument("--keep", type=int, default=65_536, metavar="N",
                        help="keep arrays of up to N numbers in full, larger ones as a summary (65536)")


def run(args) -> int:
    """Record, then step; return the exit code: 1 if the program failed."""
    args, rest = _options_after_the_file(args)
    for stream in (sys.stdout, sys.stderr):
        plain_where_needed(stream)
    if args.program is None:
        print(_list())
        return 0
    if args.keep < 0:
        raise Usage(f"--keep {args.keep}: how many numbers to keep of an array cannot be negative")
    if args.runs is not None and args.runs < 1:
        raise Usage(f"--runs {args.runs}: how many backward runs to record must be 1 or more")
    if (args.only or args.backward) and not args.transcript:
        raise Usage("--only and --backward choose what --print prints: add --print. At the prompt, goto and c do this.")
    file = _find(args.program)
    trace, error = explain.record_script(file, rest, keep=args.keep, runs=args.runs)
    sys.stdout.flush()
    runs = max((step.run for step in trace), default=0)
    if runs > 10 and args.html is None:
        print(f"{len(trace):,} steps, {runs} backward runs among them. --runs 1 records only the first.", file=sys.stderr)
    if error is not None:
        _say_what_happened(error, file)
    if not len(trace):
        print(_nothing(file, error), file=sys.stderr)
        return 1
    try:
        if args.html is not None:
            _write_page(trace, args.html)
        elif args.transcript:
            print(_transcript(trace, args), flush=True)
        else:
            explain.Stepper(trace, title=f"{Path(file).name}{', as far as it came' if error else ''}").run()
    except BrokenPipeError:                             # head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if error else 0


def _options_after_the_file(args):
    """Our own options may also stand behind the file; whatever else stands there is the program's."""
    rest = list(args.args)
    cut = rest.index("--") if "--" in rest else len(rest)
    ours = argparse.ArgumentParser("minitorch step", add_help=False, allow_abbrev=False)
    _options(ours)
    ours.set_defaults(**{name: value for name, value in vars(args).items() if name not in ("args", "program")})
    found, theirs = ours.parse_known_args(rest[:cut])
    found.program = args.program
    return found, theirs + rest[cut + 1:]


def _list() -> str:
    rows = "\n".join(f"  {name:<10} {explain.program(name)[1]}" for name in explain.PROGRAMS)
    return (f"Programs to step through:\n{rows}\n\nminitorch step chain starts the first; minitorch step FILE.py your own. "
            f"Their sources are in\n{Path(explain.program('chain')[0]).parent}")


def _find(program: str) -> str:
    """The file of this name, or the built-in program's."""
    path = Path(program)
    if path.is_file():
        return program
    if program in explain.PROGRAMS:
        return explain.program(program)[0]
    if path.is_dir():
        raise Usage(f"{program} is a folder. Give the program itself: minitorch step {path / 'FILE.py'}")
    folder = path.parent if path.parent.is_dir() else Path()
    files = [str(p) for p in folder.glob("*.py")]
    near = get_close_matches(str(path), [*files, *explain.PROGRAMS], 2, 0.6) or get_close_matches(
        path.stem, explain.PROGRAMS, 1, 0.6) or [str(f) for f in files if Path(f).stem == path.name]
    raise Usage(f"there is no file {program}" + (f". Did you mean {' or '.join(near)}?" if near else
                f", and no built-in program of this name. There are: {', '.join(explain.PROGRAMS)}."))


def _say_what_happened(error: BaseException, file: str) -> None:
    """The program's own traceback, without the frames that ran it."""
    if isinstance(error, KeyboardInterrupt):
        print("\nInterrupted.", file=sys.stderr)
        return
    if isinstance(error, SystemExit):
        print(error.code if isinstance(error.code, str) else f"The program ended with exit code {error.code}.",
              file=sys.stderr)
        return
    told = traceback.TracebackException.from_exception(error)
    first = next((i for i, frame in enumerate(told.stack) if frame.filename == file), len(told.stack))
    told.stack[:] = told.stack[first:]
    print("".join(told.format()), end="", file=sys.stderr)


def _nothing(file: str, error: BaseException | None) -> str:
    if error is not None:
        return f"{file} ended before any op of minitorch had run: there is nothing to step through."
    text = Path(file).read_text(encoding="utf-8", errors="replace")
    if "import torch" in text and "minitorch" not in text:
        return f"{file} computes with PyTorch. Write import minitorch as torch, and it can be stepped through."
    return (f"{file} ran, but no op of minitorch did: there is nothing to step through. Does it compute with minitorch's "
            "tensors? (Functions that are only defined are not run; what stands under if __name__ == '__main__' is.)")


def _transcript(trace, args) -> str:
    ops = {step.op.lower(): step.op for step in trace}
    only = None
    if args.only:
        if args.only.lower() not in ops:
            near = get_close_matches(args.only.lower(), ops, 2, 0.5)
            raise Usage(f"--only {args.only}: no such op ran. " + (
                f"Did you mean {' or '.join(ops[n] for n in near)}?" if near else
                f"There are: {', '.join(sorted(set(ops.values())))}."))
        only = ops[args.only.lower()]
    if args.backward and not trace.backward:
        raise Usage("--backward: the program called backward() on nothing while it was recorded")
    text = explain.transcript(trace, shutil.get_terminal_size((100, 40)).columns, only,
                              "backward" if args.backward else None, sys.stdout)
    return text + ("" if trace.backward else "\nbackward() was not called: this was all.")


def _write_page(trace, out: str) -> None:
    if Path(out).is_dir() or not Path(out).absolute().parent.is_dir():
        raise Usage(f"--html {out}: {'this is a folder' if Path(out).is_dir() else 'its folder does not exist'}")
    try:
        explain.save_player(trace, out)
    except ValueError as error:
        raise Usage(f"--html {out}: {error}") from None
    print(f"{out} is written: open it in a browser.")

"""``minitorch warmup``: compile every kernel now, with a progress bar, instead of when it is first used."""

from __future__ import annotations

import os
import sys
from time import perf_counter

from tqdm import tqdm

from minitorch.cli import Usage
from minitorch.kernels.cpu import _compiler
from minitorch.warmup import DTYPES, compile_all, tasks

__all__ = ["arguments", "run", "warm"]

TEXT = """\
Compile every kernel for this machine now, and keep the result on disk. Takes one or two minutes the first time and
seconds afterwards; without it, each kernel is compiled when it is first used.
"""


def arguments(parser):
    """Describe the command line."""
    parser.description = TEXT
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=list(DTYPES), help="only for these (both)")
    parser.add_argument("--layers", action="store_true", help="only the layers', not the loops for large arrays")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that compile at once (the cores)")
    parser.add_argument("--part", metavar="I/N", help="only every N-th task, from the I-th on; print each one's name")


def run(args) -> int:
    """Compile; return the exit code."""
    if args.jobs < 1:
        raise Usage(f"--jobs {args.jobs}: at least one process is needed")
    if args.part is None:
        seconds = warm(args.jobs, args.dtype, args.layers)
        folder = _compiler.cache_folder()
        what = "what the layers use" if args.layers else "every kernel"
        print(f"{what} is compiled, {seconds:.0f} s; " + (f"kept in {folder}" if folder else "but could not be kept"))
        return 0
    part, _, parts = args.part.partition("/")
    if not (part.isdigit() and parts.isdigit() and int(part) < int(parts)):
        raise Usage(f"--part {args.part}: write I/N, with I below N")
    _compiler.take_turns()
    os.environ["MINITORCH_QUIET"] = "1"
    for name, use in tasks(args.dtype, args.layers)[int(part)::int(parts)]:
        use()
        print(name, flush=True)
    return 0


def warm(jobs: int, dtypes=DTYPES, layers=False) -> float:
    """Compile, behind a progress bar; return the seconds it took."""
    start = perf_counter()
    total = len(tasks(dtypes, layers))
    with tqdm(total=total, desc="compiling kernels", unit="kernel", file=sys.stderr, leave=False) as bar:
        for name in compile_all(min(jobs, total), dtypes, layers):
            bar.set_postfix_str(name.rpartition(",")[0][:24])
            bar.update()
    return perf_counter() - start

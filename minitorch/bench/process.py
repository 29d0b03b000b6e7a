"""Workers, seen from the parent: start one, ask it, end it.

Each side of a benchmark runs in a process of its own, so that no library's threads, allocator or settings touch another's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["Worker", "WorkerDied", "environment", "is_installed", "left_out", "whole_process"]

WORKER = Path(__file__).with_name("worker.py")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
                   "VECLIB_MAXIMUM_THREADS")
# Which instructions a library uses. They are left out, so that each chooses the best that this CPU has.
INSTRUCTION_SETTINGS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "DNNL_MAX_CPU_ISA",
                        "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")


class WorkerDied(RuntimeError):
    """A worker ended before it had answered; the text holds what it printed last."""


class Worker:
    """One side of a benchmark. Use it in a ``with`` block: leaving that, however it happens, ends the process.

    >>> with Worker("numpy", threads=1) as worker:
    ...     facts = worker.ask(do="prepare", module="floor", case={"copy": 4096})
    ...     worker.ask(do="round")["fastest"] > 0
    True
    """

    def __init__(self, side: str, threads: int, device: str = "cpu", **settings: str):
        self.side = side
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process: Any = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env=environment(threads, **settings), text=True, encoding="utf-8")
        try:
            self.hello = self.ask(library=side, threads=threads, device=device)
        except BaseException:
            self.close()
            raise

    def ask(self, **message) -> dict:
        """Send a message and wait for its reply."""
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            code = self.process.wait()
            raise WorkerDied(f"the process that measures {self.side} ended with exit code {code}; it printed:\n"
                             + _end_of(self.errors))
        return json.loads(reply)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except BrokenPipeError:         # a message that it did not live to read
            pass
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def whole_process(command: list[str], messages: Iterable[dict] = (), threads: int = 1, **settings: str) -> float:
    """Seconds from the start of a process to its end, with these messages as its input.

    >>> 0 < whole_process([sys.executable, "-c", "pass"]) < 30
    True
    """
    text = "".join(json.dumps(message) + "\n" for message in messages)
    start = perf_counter()
    result = subprocess.run(command, input=text, capture_output=True, text=True, env=environment(threads, **settings))
    seconds = perf_counter() - start
    if result.returncode:
        raise WorkerDied(f"{' '.join(command)} ended with exit code {result.returncode}; it printed:\n"
                         + "\n".join(result.stderr.splitlines()[-20:]))
    return seconds


def environment(threads: int, **settings: str) -> dict[str, str]:
    """This process's environment with every library's number of threads in it, and without a choice of instructions.

    Both must be there before the libraries are loaded.

    >>> environment(2)["OMP_NUM_THREADS"], environment(2)["NUMBA_NUM_THREADS"]
    ('2', '2')
    """
    kept = {name: value for name, value in os.environ.items() if name not in INSTRUCTION_SETTINGS}
    return {**kept, **dict.fromkeys(THREAD_SETTINGS, str(threads)), "MINITORCH_QUIET": "1", **settings}


def left_out() -> list[str]:
    """The choices of instructions that this environment makes, and that measured processes do not see."""
    return [f"{name}={os.environ[name]}" for name in INSTRUCTION_SETTINGS if name in os.environ]


def is_installed(library: str) -> bool:
    """Can this library be imported? Looks without importing it.

    >>> is_installed("numpy"), is_installed("no_such_library")
    (True, False)
    """
    return find_spec(library) is not None


def _end_of(file, lines=20) -> str:
    file.seek(0)
    return "\n".join(file.read().splitlines()[-lines:]) or "(nothing)"

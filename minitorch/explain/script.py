"""Run a program file under the recorder.

With this file one can

- record a script          `record_script`: the trace of the run, and the exception that ended it, if one did
- find a built-in one      `PROGRAMS`, `program`: short programs that teach, by name
"""

from __future__ import annotations

import ast
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from minitorch.explain.recorder import record
from minitorch.explain.trace import Trace

__all__ = ["PROGRAMS", "program", "record_script"]

PROGRAMS = ("chain", "neuron", "residual", "softmax", "layernorm", "attention", "block", "gpt", "own_op")
"""The built-in programs, in the order in which one would read them."""


def program(name: str) -> tuple[str, str]:
    """The file of a built-in program, and what it shows.

    >>> program("neuron")[1]
    'One neuron: a weighted sum, tanh, and the squared error.'
    """
    if name not in PROGRAMS:
        raise KeyError(f"program: there is no built-in program {name!r}. There are: {', '.join(PROGRAMS)}")
    file = Path(__file__).parent / "programs" / f"{name}.py"
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return str(file), text.partition("\n")[0]


def record_script(file: str, args: Sequence[str] = (), *, keep: int = 65_536,
                  runs: int | None = None) -> tuple[Trace, BaseException | None]:
    """Run a file as ``python FILE args`` would, under the recorder; return the trace and what the program died of.

    Its output goes where it goes; an exception ends it and is returned, with all that was recorded until then. ``keep`` and
    ``runs`` are the recorder's.

    >>> trace, error = record_script(program("residual")[0])
    x.grad [[1.5, 2.2..., 2.9...]]
    >>> trace
    <Trace: 5 ops forward, 5 backward, 8 values>
    """
    error: BaseException | None = None
    argv, path, main = sys.argv, sys.path[:], sys.modules["__main__"]
    sys.argv = [file, *args]
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
    try:
        recorder = record(keep=keep, runs=runs)
        with recorder as trace:
            try:
                variables = runpy.run_path(file, run_name="__main__")
                for name, thing in variables.items():       # those that were assigned after the last op
                    recorder._suggest(thing, name, False)
            except SystemExit as stop:
                error = stop if stop.code not in (None, 0) else None
            except (Exception, KeyboardInterrupt) as stopped:
                error = stopped
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = argv, path, main
    return trace, error

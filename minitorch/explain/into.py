"""Into the kernel: the lines that computed one step, one after another, with what each of them changed.

The step is run once more, in float64 and with the reference kernels, which are plain NumPy; an op of the user's own runs its
own lines.
"""

from __future__ import annotations

import dis
import linecache
import sys
from dataclasses import dataclass, field
from functools import cache
from os.path import dirname
from typing import Any

import numpy as np

import minitorch.kernels.reference as reference
from minitorch.explain.trace import Step, Trace

__all__ = ["Line", "into"]

_REFERENCE = dirname(reference.__file__) + "/"
_PACKAGE = dirname(dirname(__file__)) + "/"
_MOST = 20_000                                  # lines, after which nobody reads on


@dataclass
class Line:
    """One line that ran."""

    file: str
    line: int
    function: str
    depth: int                                  # 0: the op; 1: its kernel; 2: what that calls
    changed: dict[str, Any] = field(default_factory=dict)   # the local variables that it set or changed, as they were then
    returned: Any = None                        # what the function returned, on its last line

    @property
    def source(self) -> str:
        """The line, without indentation."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def comment(self) -> str:
        """The comment that it stands under, such as "pass 2: the variance of what is left"."""
        indent = _indent(linecache.getline(self.file, self.line))
        for number in range(self.line - 1, 0, -1):
            text = linecache.getline(self.file, number)
            if text.strip().startswith("#") and _indent(text) <= indent:
                return text.strip().lstrip("# ")
            if text.lstrip().startswith("def "):
                break
        return ""


def into(trace: Trace, step: Step | int) -> list[Line]:
    """The lines that a step ran, forward or backward, with the local variables after each.

    >>> from minitorch import explain
    >>> import minitorch.nn.functional as F
    >>> x = minitorch.tensor([[100.0, 200.0, 50.0]])
    >>> trace = explain.record(lambda: F.layer_norm(x, (3,)))
    >>> for line in explain.into(trace, trace.forward[0]):
    ...     if line.function == "layernorm_forward" and "rstd" in line.changed:
    ...         print(line.comment, "|", line.source, "|", line.changed["rstd"].round(4))
    pass 2: the variance of what is left (divided by c, not c − 1) | rstd = 1 / np.sqrt(_mean(d * d) + eps) | [0.016]
    """
    step = trace.steps[step] if isinstance(step, int) else step
    lines: list[Line] = []
    if step.phase == "forward":
        with _Watch(step.fn, lines):
            trace.call(step)
    else:
        assert step.twin is not None
        fn, _ = trace.call(step.twin)
        dys = [None if dy is None else dy.astype(np.float64) for dy in step.dys]
        with _Watch(step.fn, lines):
            trace.vjp(fn, dys)
    return lines


class _Watch:
    """Python's own tracing hook, for the frames that compute."""

    def __init__(self, fn, lines):
        self.lines = lines
        self.own = {f.__code__ for f in (fn.forward, fn.backward)}
        file = fn.forward.__code__.co_filename
        self.users = None if file.startswith(_PACKAGE) else file
        self.open: list[Any] = []               # the frames being watched, outermost first

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self._call)

    def __exit__(self, *_):
        sys.settrace(self.before)

    def _call(self, frame, event, arg):
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<") or len(self.lines) > _MOST:
            return None
        if not (code in self.own or code.co_filename.startswith(_REFERENCE) or code.co_filename == self.users):
            return None
        self.open.append(frame)
        return _Frame(self, len(self.open) - 1, frame).event


class _Frame:
    """One call of a watched function."""

    def __init__(self, watch, depth, frame):
        self.watch, self.depth = watch, depth
        self.seen = {name: _copy(thing) for name, thing in frame.f_locals.items()}
        self.current: Line | None = None

    def event(self, frame, event, arg):
        self._finish(frame)
        if event == "line":
            code = frame.f_code
            self.current = Line(code.co_filename, frame.f_lineno, code.co_name, self.depth)
            self.watch.lines.append(self.current)
        elif event == "return":
            if self.current is not None:
                self.current.returned = _copy(arg)
            self.watch.open.pop()
        return self.event

    def _finish(self, frame):
        if self.current is None:
            return
        assigned = _stores(frame.f_code).get(self.current.line, ())
        for name, thing in frame.f_locals.items():
            if name in assigned or name not in self.seen or not _equal(self.seen[name], thing):
                self.seen[name] = self.current.changed[name] = _copy(thing)


@cache
def _stores(code) -> dict[int, set[str]]:
    """Which local variables each line assigns."""
    found: dict[int, set[str]] = {}
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        start = instruction.starts_line         # a number up to Python 3.12, a bool from 3.13 on
        line = getattr(instruction, "line_number", line) if start is True else start or line
        if instruction.opname.startswith("STORE_FAST"):
            names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
            found.setdefault(line, set()).update(names)
    return found


def _copy(thing):
    if isinstance(thing, np.ndarray):
        return thing.copy()
    return type(thing)(map(_copy, thing)) if type(thing) in (tuple, list) else thing


def _equal(a, b) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if type(a) is not type(b):
        return False
    if type(a) in (tuple, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a is b or (isinstance(a, (int, float, str, bool)) and a == b)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())

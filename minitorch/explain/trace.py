"""A recorded run: every op in order, forward then backward, with the numbers it saw.

With this file one can

- walk over a run            `Trace`: a list of `Step`s; ``trace.forward``, ``trace.backward``
- look a tensor up           ``trace["x"]``: a `Value`, with its numbers, its gradient, who made it and who used it
- compute it again           `Trace.replay`: the recorded ops in float64, with some values changed

A run is recorded by `minitorch.explain.record`.
"""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

import minitorch.kernels as kernels
from minitorch.autograd import Scattered
from minitorch.ops.device import on_host

__all__ = ["Arrival", "Place", "Step", "Summary", "Trace", "Value", "formulas"]


@dataclass
class Place:
    """A line of source code."""

    file: str
    line: int
    function: str
    columns: tuple[int, int] | None = None      # of the expression on that line, where Python tells (3.11 on)
    library: bool = False                       # a line of minitorch's own nn or models, not of the user's program

    @property
    def source(self) -> str:
        """The line itself, without indentation."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self):
        return f"{self.file.rpartition('/')[2]}:{self.line}"


@dataclass
class Summary:
    """What is kept of an array too large to keep: its statistics, a corner of it, and the slices that were asked for."""

    shape: tuple[int, ...]
    dtype: Any
    mean: float
    std: float
    low: float
    high: float
    norm: float
    bad: int                                    # how many values are NaN or infinite
    corner: np.ndarray                          # the first 8 of each of the last two axes, the first of the others
    slices: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


@dataclass
class Arrival:
    """A gradient that one op's backward handed to a value; a value used in several places gets several, and adds them."""

    step: Step                                  # the backward step
    input: int                                  # which of that op's inputs the value was
    array: Any                                  # the gradient: an array, or a Summary
    total: Any                                  # with all that had arrived before it in the same run
    held: Any = None                            # what .grad held before that run: backward() adds to it
    stands: Any = None                          # what .grad holds when nothing else arrives: held + total


@dataclass(eq=False)
class Value:
    """A tensor of the recorded run."""

    number: int
    shape: tuple[int, ...]
    dtype: Any
    array: Any                                  # the numbers: an array (a copy), or a Summary
    kind: str                                   # "result" of an op, "parameter", "buffer" or "input"
    requires_grad: bool = False
    name: str = ""
    maker: Step | None = None                   # the forward step that made it, and which of its outputs it is
    slot: int = 0
    users: list[tuple[Step, int]] = field(default_factory=list)     # forward steps, and which input it was there
    arrivals: list[Arrival] = field(default_factory=list)           # of the last backward run that reached it

    @property
    def kept(self) -> bool:
        """Are all its numbers here?"""
        return not isinstance(self.array, Summary)

    @property
    def grad(self):
        """The gradient of the last backward run: everything that arrived, added in the order of arrival. None without."""
        return self.arrivals[-1].total if self.arrivals else None

    @property
    def held(self):
        """What .grad held before the last backward run: a leaf adds to it. None if nothing."""
        return self.arrivals[-1].held if self.arrivals else None

    def __repr__(self):
        return f"<{self.name} {self.shape} {self.kind}>"


@dataclass(eq=False)
class Step:
    """One op, run forward or backward."""

    index: int                                  # its place in the trace
    phase: str                                  # "forward" or "backward"
    fn: type                                    # the op's class
    module: str                                 # the path of the module it ran in, "block.attn"; "" outside of one
    places: list[Place]                         # where it was called, innermost first; empty for code typed at a prompt
    inputs: list[Any]                           # a Value, or whatever else was passed
    settings: dict[str, Any]
    outputs: list[Value]
    saved: dict[str, Any]                       # what forward kept for backward, by attribute name
    needs: tuple[bool, ...]                     # which inputs want a gradient
    # of a backward step:
    twin: Step | None = None                    # its forward step; of a forward step, the last backward one
    dys: list[Any] = field(default_factory=list)            # what came in, one per output, None where nothing did
    gradients: list[Any] = field(default_factory=list)      # what goes out, one per input
    arrivals: dict[int, Arrival] = field(default_factory=dict)      # what that made of the inputs' gradients, by input
    root: bool = False                          # backward() was called on this op's output
    run: int = 0                                # which call of backward
    stores: bool = True                         # does that call add to the leaves' .grad? autograd.grad does not

    @property
    def op(self) -> str:
        """The op's name: "LayerNorm"."""
        return self.fn.__name__

    @property
    def place(self) -> Place | None:
        """The line of the user's own program."""
        return next((p for p in self.places if not p.library), self.places[0] if self.places else None)

    @property
    def text(self) -> dict[str, str]:
        """The op's docstring in parts: "Title", "Forward", "Backward", "Saved", "Shapes", "Derived"; "" where missing."""
        return formulas(self.fn)

    def __repr__(self):
        names = ", ".join(x.name if isinstance(x, Value) else type(x).__name__ for x in self.inputs)
        return f"<{self.index} {self.phase} {self.op}({names}) → {', '.join(y.name for y in self.outputs)}>"


_HEADINGS = ("Forward", "Backward", "Saved", "Shapes", "Derived")


def formulas(fn: type) -> dict[str, str]:
    """The parts of an op's docstring. An op of the user's own may have none of them.

    >>> from minitorch.ops.softmax import Softmax
    >>> formulas(Softmax)["Derived"]
    'in docs/layers/softmax.md'
    """
    parts = dict.fromkeys(("Title", *_HEADINGS), "")
    lines, heading = (fn.__doc__ or "").strip("\n").splitlines(), "Title"
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    width = 0
    for i, line in enumerate(lines):
        line = line[margin:].rstrip() if i else line.strip()
        found = re.match(rf"({'|'.join(_HEADINGS)})(\s+)", line)
        if found:
            heading, width = found[1], found.end() if found[1] != "Derived" else 8
            line = " " * width + line[width:]
        if heading != "Title" or line or parts["Title"]:
            cut = line[width:] if not line[:width].strip() else line.strip()
            parts[heading] += cut.rstrip() + "\n"
    return {name: text.strip("\n").strip() if name in ("Title", "Derived") else text.strip("\n")
            for name, text in parts.items()}


class Trace:
    """Everything that ran, in order. ``trace[3]`` is a step, ``trace["x"]`` a value."""

    def __init__(self):
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.result: Any = None                 # what the recorded function returned
        self._by_name: dict[str, Value] = {}

    @property
    def forward(self) -> list[Step]:
        """The forward steps."""
        return [s for s in self.steps if s.phase == "forward"]

    @property
    def backward(self) -> list[Step]:
        """The backward steps, of every call of backward."""
        return [s for s in self.steps if s.phase == "backward"]

    def __len__(self):
        return len(self.steps)

    def __iter__(self):
        return iter(self.steps)

    def __getitem__(self, key):
        if isinstance(key, (int, slice)):
            return self.steps[key]
        if key in self._by_name:
            return self._by_name[key]
        near = get_close_matches(key, self._by_name, 3, 0.5)
        raise KeyError(f"there is no value named {key!r}. " + (f"Did you mean {' or '.join(near)}?" if near else
                       "There are: " + ", ".join(list(self._by_name)[:20])))

    def __contains__(self, name):
        return name in self._by_name

    def __repr__(self):
        return f"<Trace: {len(self.forward)} ops forward, {len(self.backward)} backward, {len(self.values)} values>"

    # -----------------------------------------------------------------------------------------------------------------
    # computing it again

    def call(self, step: Step, changed: dict[Value, np.ndarray] | None = None, *, dtype=np.float64, needs=None, only=None):
        """One recorded op forward again, with the reference kernels: the op instance, with what it saved, and its outputs.

        ``changed`` replaces the numbers of some inputs (where ``only`` is given, at those places alone).
        Floating-point arrays are cast to ``dtype``. ``needs`` lists the inputs whose gradients will be wanted.
        """
        arrays = []
        for k, x in enumerate(step.inputs):
            if isinstance(x, Value):
                x = changed[x] if changed and x in changed and (only is None or k in only) else _whole(x)
            elif isinstance(x, Summary):
                raise ValueError(f"{step.op}: an argument of shape {x.shape} was too large to keep. Record with "
                                 f"keep={x.size} or more.")
            arrays.append(x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x)
        fn = step.fn()
        fn.needs = tuple(step.needs) if needs is None else tuple(k in needs for k in range(len(arrays)))
        fn.parents = tuple([x if need else None for x, need in zip(step.inputs, fn.needs)])
        fn.outputs = len(step.outputs)
        with kernels.use("reference"), kernels.quiet():
            fn.k = kernels.backend(next(a for a, x in zip(arrays, step.inputs) if isinstance(x, Value)))
            outputs = fn.forward(*arrays, **step.settings)
        return fn, [on_host(y) for y in (outputs if isinstance(outputs, (tuple, list)) else (outputs,))]

    def vjp(self, fn, dys: list) -> list:
        """Backward of an op instance that `call` returned: one gradient or None per input."""
        with kernels.quiet():
            gradients = fn.backward(*dys)
        gradients = gradients if isinstance(gradients, (tuple, list)) else [gradients]
        return [g.write() if isinstance(g, Scattered) else g for g in gradients]

    def replay(self, changed: dict[Value, np.ndarray], dtype=np.float64) -> dict[Value, np.ndarray]:
        """The recorded ops again, with some values changed: the new numbers of everything that this moved.

        >>> from minitorch import explain
        >>> x = minitorch.tensor([1.0, 2.0], requires_grad=True)
        >>> trace = explain.record(lambda: (x * x).sum())
        >>> moved = trace.replay({trace["x"]: np.array([1.0, 3.0])})
        >>> moved[trace.forward[-1].outputs[0]].item()
        10.0
        """
        now = dict(changed)
        for step in self.forward:
            if any(isinstance(x, Value) and x in now for x in step.inputs):
                _, outputs = self.call(step, now, dtype=dtype)
                for value, array in zip(step.outputs, outputs):
                    if value not in changed:
                        now[value] = array
        return now


def _whole(value: Value) -> np.ndarray:
    if not value.kept:
        raise ValueError(f"{value.name} {value.shape} was too large to keep, and nothing can be computed with it again. "
                         f"Record with keep={value.array.size} or more.")
    return value.array

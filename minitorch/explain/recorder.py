"""The recorder: looks on while a program runs, and writes down every op with its numbers, its place and its names.

A tensor is called what the program calls it: a parameter by its path from the variable that holds the model
(``block.ln1.weight``), anything else by the variable that it was first assigned to. A name that is used again gets a number:
``x``, ``x#2``. A result that never gets a name is called after its op.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping
from os.path import dirname
from typing import Any

import numpy as np

from minitorch.autograd import Function, Variable, backward, observers
from minitorch.explain.trace import Arrival, Place, Step, Summary, Trace, Value
from minitorch.nn import Module, Parameter
from minitorch.ops.device import all_on_host, is_array, on_host

__all__ = ["record"]

_PACKAGE = dirname(dirname(__file__)) + "/"
_STANDARD = (sysconfig.get_path("stdlib") + "/", "<frozen")
_LIBRARY = (_PACKAGE + "nn/", _PACKAGE + "models/", _PACKAGE + "train")
_ENGINE = (_PACKAGE + "nn/module.py", _PACKAGE + "nn/functional.py", _PACKAGE + "nn/containers.py")
_PROGRAMS = _PACKAGE + "explain/programs/"
_VAGUE = {"input", "output", "result", "self", "src", "t", "tensor", "x", "y"}
_OF_THE_ENGINE = set(vars(Function)) | {"parents", "needs", "outputs", "freed", "hooks", "order", "writes", "k"}


def record(fn: Callable[..., Any] | None = None, *args, keep: int = 65_536,
           slices: Mapping[str, Any] | None = None, runs: int | None = None, **kwargs):
    """Record a run: ``trace = record(fn, *args)``, or ``with record() as trace:``.

    Parameters
    ----------
    fn, args, kwargs
        What to run; ``trace.result`` is what it returned.
    keep : int
        Arrays with more elements than this are kept as a summary: statistics and a corner.
    slices : dict
        For such arrays, what to keep besides, by name: ``slices={"logits": np.s_[0, -1]}``.
    runs : int
        Stop looking when so many backward runs are over: of a training loop, the first steps are enough to read.

    Examples
    --------
    >>> from minitorch import explain
    >>> x = minitorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> with explain.record() as trace:
    ...     loss = (x * x).sum()
    ...     loss.backward()
    >>> trace
    <Trace: 2 ops forward, 2 backward, 3 values>
    >>> trace["x"].grad
    array([2., 4., 6.], dtype=float32)
    """
    if fn is not None and not callable(fn):
        raise TypeError(f"record: expected a function to run, got {type(fn).__name__}. To record a block of code: "
                        "with explain.record() as trace:")
    if not isinstance(keep, int) or keep < 0:
        raise ValueError(f"record: keep is the largest number of elements to keep in full, got {keep!r}")
    if slices is not None and not isinstance(slices, Mapping):
        raise TypeError(f"record: slices is a dict from names to slices, such as {{'logits': np.s_[0, -1]}}; got {slices!r}")
    if runs is not None and (not isinstance(runs, int) or runs < 1):
        raise ValueError(f"record: runs is how many backward runs to record, 1 or more, got {runs!r}")
    recorder = _Recorder(sys._getframe(1), keep, dict(slices or {}), runs)
    if fn is None:
        if args or kwargs:
            raise TypeError("record: arguments were given, but no function to pass them to")
        return recorder
    with recorder as trace:
        trace.result = fn(*args, **kwargs)
    return trace


class _Recorder:
    """The observer."""

    def __init__(self, start, keep, slices, runs):
        self.start, self.keep, self.slices, self.runs = start, keep, slices, runs
        self.trace = Trace()
        self.thread = threading.get_ident()
        self.values: dict[int, tuple[Variable, Value]] = {}     # by id of the tensor, which is held on to
        self.arrays: dict[int, tuple[Any, Value]] = {}          # by id of the tensor's array
        self.steps: dict[int, tuple[Function, Step]] = {}
        self.large: dict[int, tuple[Summary, Any]] = {}         # the arrays behind the summaries, if slices are wanted
        self.nicknames: dict[Value, str] = {}                   # second choices
        self.roots: dict[int, tuple[Module, str, dict]] = {}    # modules that were called from outside of any other
        self.parameters: dict[int, tuple[str, str]] = {}        # id → name and kind
        self.walk: Any = None                                   # the frame of the walk back that is under way
        self.run, self.reached, self.over = 0, set(), False
        self.sums: dict[Value, Any] = {}                        # what arrived in it

    def __enter__(self) -> Trace:
        observers.append(self)
        return self.trace

    def __exit__(self, *_):
        observers.remove(self)
        self._name_from(self._frames(sys._getframe(1))[0])
        times: dict[str, int] = {}
        for value in self.trace.values:
            name = value.name or self.nicknames.get(value) or (_snake(value.maker.op) if value.maker else value.kind)
            times[name] = times.get(name, 0) + 1
            value.name = name if times[name] == 1 else f"{name}#{times[name]}"
            self.trace._by_name[value.name] = value
            for kept, name in [(value.array, value.name), *((a.array, value.name + ".grad") for a in value.arrivals)]:
                if name in self.slices and id(kept) in self.large:
                    kept.slices[str(self.slices[name])] = _cut(name, self.large[id(kept)][1], self.slices[name])
        self.start = self.walk = None           # frames and tensors hold memory: let go
        for held in self.values, self.arrays, self.steps, self.roots, self.large, self.sums:
            held.clear()

    # -----------------------------------------------------------------------------------------------------------------
    # what the engine tells

    def forward(self, fn, inputs, settings, outputs):
        if threading.get_ident() != self.thread or self._is_over(sys._getframe(1)):
            return
        frames, running = self._frames(sys._getframe(1))
        module = self._module(frames, running)
        self._name_from(frames)
        step = Step(len(self.trace.steps), "forward", type(fn), module, _places(frames), [],
                    {name: all_on_host(thing) for name, thing in settings.items()}, [], {},
                    fn.needs)
        for i, x in enumerate(inputs):
            if isinstance(x, Variable):
                x = self._value(x, frames)
                x.users.append((step, i))
            elif is_array(x):
                x = self._copy(x)
            step.inputs.append(x)
        for slot, y in enumerate(outputs):
            value = self._new(y, "result")
            value.maker, value.slot = step, slot
            step.outputs.append(value)
        for name, thing in vars(fn).items():
            if name not in _OF_THE_ENGINE:
                _, same = self.arrays.get(id(thing), (None, None))
                step.saved[name] = same.array if same else self._copy(thing) if is_array(thing) \
                    else all_on_host(thing)
        self.trace.steps.append(step)
        self.steps[id(fn)] = fn, step

    def backward(self, fn, dys, gradients):
        if threading.get_ident() != self.thread or id(fn) not in self.steps or self.over:
            return
        self._name_from(self._frames(sys._getframe(1))[0])
        forward = self.steps[id(fn)][1]
        walk = sys._getframe(1)
        if walk is not self.walk:
            if self._is_over(walk):
                return
            self.walk, self.run, self.reached = walk, self.run + 1, set()
            self.sums.clear()
        root = not any((id(fn), slot) in self.reached for slot in range(len(dys)))
        step = Step(len(self.trace.steps), "backward", forward.fn, forward.module, forward.places, forward.inputs,
                    forward.settings, forward.outputs, forward.saved, forward.needs, twin=forward, root=root, run=self.run,
                    stores=walk.f_back.f_code is backward.__code__)
        forward.twin = step
        step.dys = [None if dy is None else self._copy(dy) for dy in dys]
        if root:
            for value, dy in zip(step.outputs, step.dys):
                if dy is not None:
                    value.arrivals = [Arrival(step, -1, dy, dy, stands=dy)]
        for i, (parent, gradient) in enumerate(zip(fn.parents, gradients)):
            step.gradients.append(None if gradient is None else self._copy(gradient))
            if gradient is not None:
                step.arrivals[i] = self._arrive(step, i, parent, gradient)
        self.trace.steps.append(step)

    def _is_over(self, frame) -> bool:
        """Have all the backward runs that were asked for ended? An op inside of the last one is a hook's."""
        if self.runs is None or self.run < self.runs or self.over:
            return self.over
        while frame is not None and frame is not self.walk:
            frame = frame.f_back
        self.over = frame is None
        return self.over

    def _arrive(self, step, i, parent, gradient) -> Arrival:
        """Add a gradient to what had come to the value before."""
        value = step.inputs[i]
        self.reached.add((id(parent.fn), parent.slot) if parent.fn is not None else id(parent))
        arrival = Arrival(step, i, step.gradients[i], step.gradients[i])
        if value not in self.sums:
            value.arrivals = []
            self.sums[value] = gradient
        else:
            self.sums[value] = self.sums[value] + gradient
            arrival.total = self._copy(self.sums[value])
        arrival.stands = arrival.total
        if step.stores and parent._grad is not None:
            arrival.held = self._copy(parent._grad.data)
            arrival.stands = self._copy(parent._grad.data + self.sums[value])
        value.arrivals.append(arrival)
        return arrival

    # -----------------------------------------------------------------------------------------------------------------
    # values and their names

    def _value(self, x, frames) -> Value:
        """What the trace has of an input. A leaf whose numbers changed since is another value."""
        held = self.values.get(id(x))
        if held is not None:
            value = held[1]
            if value.maker is not None or not isinstance(value.array, np.ndarray) or _same(value.array, on_host(x.data)):
                return value
        name, kind = self.parameters.get(id(x), ("", "parameter" if isinstance(x, Parameter) else "input"))
        value = self._new(x, kind)
        value.name = name or (held[1].name if held else "")
        if not value.name:
            self._name_from(frames)
        return value

    def _new(self, x, kind) -> Value:
        array = self._copy(x.data)
        value = Value(len(self.trace.values), tuple(x.data.shape), x.data.dtype, array, kind, x._requires_grad)
        self.trace.values.append(value)
        self.values[id(x)], self.arrays[id(x.data)] = (x, value), (x.data, value)
        return value

    def _copy(self, array):
        array = on_host(array)
        if array.size <= self.keep:
            return array.copy()
        kept = summary(array)
        if self.slices:
            self.large[id(kept)] = kept, array
        return kept

    def _name_from(self, frames):
        """Call tensors what the program's variables call them; a variable of minitorch's own layers is second choice."""
        for frame, library in frames:
            for name, thing in list(frame.f_locals.items()):
                if library and name in _VAGUE:
                    continue
                if isinstance(thing, Variable):
                    self._suggest(thing, name, library)
                elif type(thing) in (list, tuple) and len(thing) <= 64:
                    for i, element in enumerate(thing):
                        if isinstance(element, Variable):
                            self._suggest(element, f"{name}[{i}]", library)

    def _suggest(self, x, name, library):
        _, value = self.values.get(id(x), (None, None))
        if value is None or value.name:
            return
        if library:
            self.nicknames.setdefault(value, name)
        else:
            value.name = name

    # -----------------------------------------------------------------------------------------------------------------
    # where

    def _frames(self, frame):
        """What is running, innermost first: the frames that a reader cares for, each with whether it is of minitorch's own
        layers; and every module, with how many of those frames it called."""
        found, running = [], []
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(_PROGRAMS) or not file.startswith((_PACKAGE, *_STANDARD)):
                found.append((frame, False))
            elif file.startswith(_LIBRARY) and not file.startswith(_ENGINE):
                found.append((frame, True))
            if isinstance(frame.f_locals.get("self"), Module):
                running.append((frame.f_locals["self"], len(found)))
            if frame is self.start:
                break
            frame = frame.f_back
        return found, running

    def _module(self, frames, running) -> str:
        """The path of the innermost module that is running: "block.attn"."""
        if not running:
            return ""
        (inner, _), (root, place) = running[0], running[-1]
        if id(root) not in self.roots or id(inner) not in self.roots[id(root)][2]:
            self._learn(root, frames[place:])
        _, name, paths = self.roots[id(root)]
        return ".".join(filter(None, [name, paths.get(id(inner), _snake(type(inner).__name__))]))

    def _learn(self, root, outer):
        """The names of a model's parts, from the variable that holds the model."""
        held = (self.roots.get(id(root)) or (None, None))[1]
        name = held or next((n for f, _ in outer for n, v in list(f.f_locals.items()) if v is root), None) \
            or _snake(type(root).__name__)
        self.roots[id(root)] = root, name, {id(m): path for path, m in root.named_modules()}
        for path, p in root.named_parameters():
            self.parameters.setdefault(id(p), (f"{name}.{path}", "parameter"))
        for path, b in root.named_buffers():
            self.parameters.setdefault(id(b), (f"{name}.{path}", "buffer"))


def summary(array) -> Summary:
    """What is kept of a large array."""
    finite = array[np.isfinite(array)].astype(np.float64)
    mean, std, low, high, norm = (float(f(finite)) if finite.size else np.nan
                                  for f in (np.mean, np.std, np.min, np.max, np.linalg.norm))
    corner = array[(0,) * max(0, array.ndim - 2)][(np.s_[:8],) * min(2, array.ndim)].copy()
    return Summary(tuple(array.shape), array.dtype, mean, std, low, high, norm, array.size - finite.size, corner)


def _cut(name, array, where):
    try:
        return array[where].copy()
    except IndexError as error:
        raise IndexError(f"record: slices: {name} has shape {tuple(array.shape)}: {error}") from None


def _same(a, b) -> bool:
    return a.shape == b.shape and a.tobytes() == np.ascontiguousarray(b).tobytes()


def _places(frames) -> list[Place]:
    places = []
    for frame, library in frames:
        code = frame.f_code
        columns = None
        if hasattr(code, "co_positions"):
            for i, (line, end, left, right) in enumerate(code.co_positions()):
                if i == frame.f_lasti // 2:
                    if line == end == frame.f_lineno and left is not None:
                        columns = left, right
                    break
        places.append(Place(code.co_filename, frame.f_lineno, code.co_name, columns, library))
    return places


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

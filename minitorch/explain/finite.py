"""The first number that is not finite: where it was made, from what, and why.

With this file one can

- stop at the op that makes it          `nan_watch`: forward, then backward
- do it as in PyTorch                   `detect_anomaly`, `set_detect_anomaly`: when backward meets a NaN

Both look on through the engine's observers, only while they are switched on.
"""

from __future__ import annotations

import inspect
from contextlib import ContextDecorator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from minitorch import autograd
from minitorch.autograd import Function, Variable, held
from minitorch.explain.places import Place, here, page
from minitorch.explain.reasons import why_backward, why_forward
from minitorch.explain.trace import formulas
from minitorch.ops.device import all_on_host, on_host

__all__ = ["NotFiniteError", "detect_anomaly", "nan_watch", "set_detect_anomaly"]


class NotFiniteError(FloatingPointError, RuntimeError):
    """A NaN or an infinity was made. ``op`` is the op's name, ``backward`` tells the pass, ``place`` where it ran."""

    def __init__(self, message: str, op: str, backward: bool, place: Place):
        super().__init__(message)
        self.op, self.backward, self.place = op, backward, place


class _Watch(ContextDecorator):
    """An observer while its ``with`` block runs. It knows the place of every node on the tape."""

    inf = True

    def __init__(self):
        self.places: WeakKeyDictionary[Function, Place] = WeakKeyDictionary()

    def __enter__(self):
        autograd.observers.append(self)
        return self

    def __exit__(self, *_):
        autograd.observers.remove(self)

    def forward(self, fn, inputs, settings, outputs):
        if fn.parents:
            self.places[fn] = here(inputs)
        for y in outputs:
            if not _all_finite(y.data):
                self.met(fn, inputs, settings, y.data)

    def backward(self, fn, dys, gradients):
        for i, dx in enumerate(gradients):
            if dx is None or _all_finite(dx) or not (self.inf or np.isnan(dx).any()):
                continue
            place = self.places.get(fn, Place())
            raise NotFiniteError(self.told_backward(fn, dys, dx, i, place), type(fn).__name__, True, place)

    def met(self, fn, inputs, settings, y) -> None:
        """An op's output is not finite."""
        raise NotImplementedError

    def told_backward(self, fn, dys, dx, i, place) -> str:
        return _backward_report(type(self).__name__, fn, dys, dx, i, place, self.inf)


class nan_watch(_Watch):  # noqa: N801  (used like a function)
    """Stop at the first op whose result is not finite, forward or backward, and show what went into it.

    ``with explain.nan_watch():`` around forward and backward, or ``@explain.nan_watch()`` above a function. It raises
    `NotFiniteError` with the op, its formula, its inputs' ranges, the module, your line, and the reason where the numbers
    tell it.

    What counts:

    - NaN always.
    - An infinity that an op makes from finite numbers: log(0), 1 / 0, an overflow.
    - An infinity that comes out of a sum or another op that makes one number of many: a loss.
    - In backward, every infinite gradient.
    - Not an infinity that was there before, among the inputs or the settings: masks of −∞ made by masked_fill, where
      or full, added to scores and taken away by softmax, are right, and nothing is said.

    Parameters
    ----------
    inf : bool
        False: only NaN counts, forward and backward.

    Examples
    --------
    >>> from minitorch import explain
    >>> p = minitorch.tensor([0.5, 0.5, 0.0], requires_grad=True)
    >>> with explain.nan_watch():
    ...     entropy = -(p * p.log()).sum()
    Traceback (most recent call last):
    minitorch.explain.finite.NotFiniteError: nan_watch: Log made -inf at [2] out of finite numbers.
    ...
    """

    def __init__(self, *, inf: bool = True):
        super().__init__()
        self.inf = inf

    def _recreate_cm(self):
        return type(self)(inf=self.inf)  # each call of a decorated function gets a watch of its own

    def met(self, fn, inputs, settings, y):
        arrays = _arrays(inputs)
        if np.isnan(y).any() or self.inf and (not _any_infinite([*arrays, *settings.values()]) or _is_total(y, arrays)):
            place = here(inputs)
            report = _forward_report("nan_watch", fn, inputs, settings, y, place)
            raise NotFiniteError(report, type(fn).__name__, False, place)


class detect_anomaly(_Watch):  # noqa: N801  (PyTorch's name)
    """Raise RuntimeError when a backward pass makes a NaN, and say which line's forward op it belongs to.

    As in PyTorch, only a backward pass is stopped, only by NaN, and both passes must run inside. Beyond PyTorch: shapes,
    ranges and the reason are shown; a loss that is NaN itself is refused as well; and where a NaN began in the forward
    pass, the op where it began is named, not the first one that backward meets. To stop in the forward pass, and at
    infinities, use ``explain.nan_watch``.

    With ``check_nan=False`` nothing is checked, as in PyTorch.

    >>> x = minitorch.tensor([0.0, 4.0], requires_grad=True)
    >>> with minitorch.autograd.detect_anomaly():
    ...     (x.sqrt() * 0).sum().backward()
    Traceback (most recent call last):
    minitorch.explain.finite.NotFiniteError: detect_anomaly: Sqrt.backward made nan at [0] of its input 0.
    ...
    """

    inf = False

    def __init__(self, check_nan: bool = True):
        super().__init__()
        self.check_nan = check_nan
        self.origins: WeakKeyDictionary[Function, str] = WeakKeyDictionary()  # an op that gave NaN → how the NaN began
        self.inside: WeakSet[Function] = WeakSet()                            # ops that a walk reached from another op

    def _recreate_cm(self):
        return type(self)(self.check_nan)

    def forward(self, fn, inputs, settings, outputs):
        if self.check_nan:
            super().forward(fn, inputs, settings, outputs)

    def backward(self, fn, dys, gradients):
        if not self.check_nan:
            return
        if fn in self.origins and fn not in self.inside:
            name = type(fn).__name__
            head = f"detect_anomaly: backward() begins at a NaN, the result of {name}. It began in the forward pass:"
            raise NotFiniteError(f"{head}\n{self.origins[fn]}", name, True, self.places.get(fn, Place()))
        self.inside.update(parent.fn for parent, dx in zip(fn.parents, gradients) if dx is not None and parent.fn)
        super().backward(fn, dys, gradients)

    def met(self, fn, inputs, settings, y):
        if not np.isnan(y).any():
            return
        before = [x.fn for x in inputs if isinstance(x, Variable) and x.fn in self.origins] if len(self.origins) else []
        self.origins[fn] = self.origins[before[0]] if before else \
            _forward_report("", fn, inputs, settings, y, here(inputs))

    def told_backward(self, fn, dys, dx, i, place):
        report = super().told_backward(fn, dys, dx, i, place)
        return f"{report}\n\nThe NaN began in the forward pass:\n{self.origins[fn]}" if fn in self.origins else report


class set_detect_anomaly:  # noqa: N801  (PyTorch's name)
    """Switch `detect_anomaly` on or off for the whole program, at once; as a context manager also back again.

    >>> with minitorch.autograd.set_detect_anomaly(True):
    ...     loss = minitorch.tensor(2.0, requires_grad=True).log()
    ...     loss.backward()
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self.before = list(_everywhere)
        self._switch([detect_anomaly(check_nan)] if mode else [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._switch(self.before)

    def _switch(self, watches):
        for watch in _everywhere:
            watch.__exit__()
        _everywhere[:] = [watch.__enter__() for watch in watches]


_everywhere: list[detect_anomaly] = []  # what set_detect_anomaly switched on


# ---------------------------------------------------------------------------------------------------------------------
# what counts

def _all_finite(array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _any_infinite(values) -> bool:
    """Is there an infinity among arrays and settings?"""
    return any(isinstance(x, (float, np.floating)) and np.isinf(x) or
               isinstance(x, np.ndarray) and x.dtype.kind == "f" and bool(np.isinf(x).any()) for x in values)


def _is_total(y, arrays) -> bool:
    """One number made of many, such as a loss."""
    return y.ndim == 0 and any(isinstance(x, np.ndarray) and x.ndim for x in arrays)


# ---------------------------------------------------------------------------------------------------------------------
# in words

def _forward_report(tool, fn, inputs, settings, y, place) -> str:
    y, settings = on_host(y), {key: all_on_host(value) for key, value in settings.items()}
    index = _first(np.isnan(y) if np.isnan(y).any() else np.isinf(y))
    name = type(fn).__name__
    arrays, names = _arrays(inputs), _names(fn, inputs, place)
    dirty = [i for i, x in enumerate(arrays) if isinstance(x, np.ndarray) and not _all_finite(x)]
    brought = [i for i in dirty if np.isnan(arrays[i]).any()]
    if brought:
        head = (f"{name} was given a NaN: {names[brought[0]]} held it before any op ran on it here. Look at the data, the "
                "loaded weights, or the last step of the optimiser.")
    else:
        head = f"{name} made {y[index]}{_at(index)} out of {'an infinity' if dirty else 'finite numbers'}."
    rows = [*_where(place), ("formula", formulas(type(fn))["Forward"]), *_inputs(names, arrays, y.shape, index),
            ("settings", _settings(settings)), ("result", _describe(y))]
    if not brought:
        rows += zip(("why", "fix"), why_forward(fn, arrays, settings, y, index))
    return page(f"{tool}: {head}" if tool else head, rows)


def _backward_report(tool, fn, dys, dx, i, place, inf) -> str:
    dx, dys = on_host(dx), all_on_host(dys)
    index = _first(np.isnan(dx) if np.isnan(dx).any() else np.isinf(dx))
    name = type(fn).__name__
    came = any(dy is not None and not _all_finite(dy) and (inf or np.isnan(dy).any()) for dy in dys)
    if came:
        head = (f"the gradient that came into {name}.backward was not finite. No op made it: it was passed to "
                "backward(gradient=...), or a hook returned it, or a sum of gradients overflowed.")
    else:
        head = f"{name}.backward made {dx[index]}{_at(index)} of its input {i}."
    formal, saved = _parameters(fn), vars(fn)  # an input that wants no gradient may still be among what was saved
    arrays = [all_on_host(saved.get(formal[j] if j < len(formal) else None) if parent is None else held(parent))
              for j, parent in enumerate(fn.parents)]
    names = _names(fn, fn.parents, place)
    rows = [*_where(place), ("backward", f"was called at {here().line}"), ("formula", formulas(type(fn))["Backward"]),
            *_inputs(names, arrays, dx.shape, index)]
    rows += [(f"dy{j or ''}", _describe(dy, index if dy.shape == dx.shape else None))
             for j, dy in enumerate(dys) if dy is not None]
    rows += [("result", _describe(dx))]
    if not came:
        rows += zip(("why", "fix"), why_backward(fn, arrays, dys, dx, index))
    return page(f"{tool}: {head}", rows)


def _arrays(inputs) -> list[Any]:
    return [all_on_host(x.data if isinstance(x, Variable) else x) for x in inputs]


def _where(place: Place) -> list[tuple[str, str]]:
    rows = [("module", place.within)] if place.lines else [("line", "not known: the forward pass ran before the watch")]
    for label, line in zip(("line", *["called from"] * 9), place.lines):
        rows.append((label, f"{line}\n    {line.source}" if line.source else str(line)))
    return rows


def _parameters(fn) -> list[str]:
    """What forward calls its inputs."""
    return [p.name for p in inspect.signature(fn.forward).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


def _names(fn, inputs, place) -> list[str]:
    """What each input is called: in the formula and, if it has a name there, on the user's line."""
    formal, names = _parameters(fn), []
    for i, x in enumerate(inputs):
        own, actual = formal[i] if i < len(formal) else f"input {i}", place.name_of(i, x)
        names.append(f"{own} = {actual}" if actual and actual != own else own)
    return names


def _inputs(names, arrays, shape, index):
    """A line for each input; with its value at the index, if all of them broadcast to this shape."""
    elementwise = all(np.ndim(x) <= len(shape) and all(m in (1, n) for m, n in zip(np.shape(x)[::-1], shape[::-1]))
                      for x in arrays)
    return [(name, _describe(x, index if elementwise else None)) for name, x in zip(names, arrays) if x is not None]


def _describe(x, index=None) -> str:
    """Shape, dtype and range; the value at an index, if one is given; how much is not finite, and where it begins."""
    if not isinstance(x, np.ndarray):
        return repr(x)
    text = f"{x.shape} {x.dtype}"
    finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    for kind, test in (("nan", np.isnan), ("inf", np.isposinf), ("-inf", np.isneginf)):
        if finite.size < x.size and test(x).any():
            text += f", {test(x).sum()} of {x.size} {kind}, first{_at(_first(test(x)))}" if x.ndim else f", {kind}"
    if not x.size:
        text += ", empty"
    elif finite.size and x.dtype.kind != "b":
        low, high = finite.min(), finite.max()
        text += f", {'' if finite.size == x.size else 'else '}"
        text += ("all " if low == high else f"from {low:.6g} to ") + f"{high:.6g}"
    if index is not None and x.ndim:
        own = tuple(0 if n == 1 else i for n, i in zip(x.shape, index[len(index) - x.ndim:]))
        text += f";{_at(own)} it is {float(x[own]):.6g}"
    return text


def _settings(settings) -> str:
    return ", ".join(f"{name}={value!r}" if not isinstance(value, np.ndarray) else f"{name}: {value.shape} {value.dtype}"
                     for name, value in settings.items())


def _first(mask) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def _at(index) -> str:
    return f" at [{', '.join(map(str, index))}]" if index else ""

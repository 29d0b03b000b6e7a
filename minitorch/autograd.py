"""The tape: how gradients find their way back.

With this file one can

- describe an op            `Function`: a forward and a backward on plain arrays
- run it and remember it    `Function.apply`: the op's instance is the node of the tape
- walk the tape backwards   `run_backward`: newest node first, each gradient added in one place
- switch remembering off    `no_grad`, `enable_grad`, `set_grad_enabled`
- look on                   `observers`: told of every forward and every backward

There is no arithmetic here, and no recursion: a chain of 100,000 ops is walked like a chain of three.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from inspect import isgeneratorfunction
from itertools import count
from operator import attrgetter
from typing import Any

import numpy as np

import minitorch.kernels as kernels
from minitorch.errors import got
from minitorch.kernels import backend, restore, silence

__all__ = [
    "Function", "Gradients", "Outline", "Variable", "backward", "detect_anomaly", "enable_grad", "grad",  # noqa: F822
    "gradcheck", "held", "inference_mode", "is_grad_enabled", "no_grad", "note_write", "observers", "run_backward",  # noqa: F822
    "set_detect_anomaly", "set_grad_enabled", "whole_inputs",  # noqa: F822
]

observers: list[Any] = []  # objects with .forward(fn, inputs, settings, outputs) and .backward(fn, dys, gradients)
SMALL = 4096               # bytes: a gradient below is never added to in place
LARGE = 1 << 20            # bytes: of an input from here on, a node keeps no more than it needs
LINE = 64                  # bytes of a cache line
_orders = count()          # nodes are numbered as they are made: an input's node always has the smaller number


class Variable:
    """What the tape knows of a tensor."""

    _data: Any                      # the array
    _requires_grad = False          # does anybody want d(result)/d(this)?
    _grad = None                    # that gradient, a tensor; kept for leaves and after retain_grad()
    fn: Function | None = None      # the op that made it; None for a leaf
    slot = 0                        # which of that op's outputs it is
    _hooks: dict | None = None

    @property
    def data(self) -> Any:
        """The array."""
        return self._data

    @staticmethod
    def like(array) -> Variable:
        """Wrap an array in a tensor of this kind."""
        raise NotImplementedError

    @property
    def place(self):
        """Where gradients for this tensor are collected: an op's output, or the leaf itself."""
        return self if self.fn is None else (self.fn, self.slot)


class Outline(Variable):
    """A large input, as a node remembers it: where its gradient goes, its shape and its dtype.

    Its values are free as soon as neither an op nor the user holds them, in the middle of the forward pass. Of leaves, of
    small inputs, and of all while a tool looks on (``observers``) or in ``whole_inputs()``, a node keeps the tensor itself.
    """

    def __init__(self, x: Variable):
        self.fn, self.slot, self._requires_grad, self.like = x.fn, x.slot, True, x.like  # type: ignore[method-assign]
        self.shape, self.dtype = x._data.shape, x._data.dtype
        self.held = weakref.ref(x._data)    # called: the values, or None once they are gone

    @property
    def _data(self):
        return self     # of which the walk asks for shape and dtype

    @property
    def data(self):
        array = self.held()
        if array is None:
            raise RuntimeError(f"{self!r}: its values are gone: they are large, and no op needs them for backward. Hold the "
                               "tensor in a variable of your own.")
        return array

    def __repr__(self):
        return f"Outline(shape={tuple(self.shape)}, dtype={self.dtype}, fn={type(self.fn).__name__})"


def held(x: Variable):
    """The values of a node's input; None once those of an outline are gone."""
    return x.held() if isinstance(x, Outline) else x._data


class Function:
    """An op: forward and backward on plain arrays. One instance is one node of the tape.

    Write your own in ten lines; keep what backward needs as named attributes:

    >>> class Cube(Function):
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x ** 3
    ...     def backward(self, dy):
    ...         return dy * 3 * self.x ** 2
    >>> x = minitorch.tensor([2.0], requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor([12.])

    ``forward`` gets the arrays of the positional arguments and, unchanged, whatever is no tensor. ``backward`` gets the
    gradient of each output (None for an output that nobody used) and returns one gradient, or None, per positional
    argument. ``self.needs`` says for which of them a gradient is wanted. ``self.k`` holds the kernels for these arrays.
    """

    parents: tuple[Variable | None, ...] = ()
    needs: tuple[bool, ...] = ()
    outputs: int = 1                # how many outputs forward returned
    freed: _Line | None = None      # where the backward that released this node was called
    hooks: dict | None = None       # output slot -> {key: callable(gradient array) -> replacement array or None}
    order: int = 0
    writes: int = 0                 # how many in-place writes there had been when this node was made
    k: Any = None

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        for name in ("forward", "backward"):
            if isinstance(cls.__dict__.get(name), staticmethod):
                raise TypeError(f"{cls.__name__}.{name} is a static method with ctx, as in PyTorch. Here the op is an "
                                "object: leave out @staticmethod, write self for ctx, and keep what backward needs: "
                                "self.x = x. Both get NumPy arrays.")

    def forward(self, *arrays, **settings):
        raise NotImplementedError(f"{type(self).__name__}.forward: write def forward(self, x, ...) returning an array")

    def backward(self, *dys):
        raise NotImplementedError(f"{type(self).__name__}.backward: write def backward(self, dy) returning gradients")

    @classmethod
    def apply(cls, *inputs, **settings):
        """Run forward on the inputs' arrays; remember this op where a gradient may be wanted."""
        fn = cls()
        recording = _mode.enabled
        first, arrays, needs, parents = None, [], [], []
        for x in inputs:
            if isinstance(x, Variable):
                if first is None:
                    first = x
                elif type(x._data) is not type(first._data):
                    inputs = _on_one_device(cls.__name__, inputs)
                    return cls.apply(*inputs, **settings)
                arrays.append(x._data)
                wanted = recording and x._requires_grad
                needs.append(wanted)
                parents.append(x if wanted else None)
            else:
                arrays.append(x)
                needs.append(False)
                parents.append(None)
        if first is None:
            raise TypeError(f"{cls.__name__.lower()}: expected a Tensor, {got(inputs[0]) if inputs else 'got nothing'}")
        fn.k = backend(first._data)
        fn.needs = tuple(needs)
        before = silence()
        try:
            result = fn.forward(*arrays, **settings)
        finally:
            restore(before)
        several = isinstance(result, (tuple, list))
        outputs = [first.like(array) for array in result] if several else [first.like(result)]
        if True in needs:
            if first._data.nbytes >= LARGE and not (observers or _mode.whole):
                parents = [x if x is None or x.fn is None or x._data.nbytes < LARGE else Outline(x) for x in parents]
            fn.parents, fn.outputs, fn.order, fn.writes = tuple(parents), len(outputs), next(_orders), _writes
            for slot, y in enumerate(outputs):
                if y._data.dtype.kind == "f":
                    y._requires_grad, y.fn, y.slot = True, fn, slot
        for observer in observers:
            observer.forward(fn, inputs, settings, outputs)
        return tuple(outputs) if several else outputs[0]

    def release(self, where: _Line) -> None:
        """Forget everything saved, so that memory is free before the walk ends."""
        self.__dict__.clear()
        self.freed = where


class Scattered:
    """A gradient that is 0 but in some rows: ``write()`` makes the array, ``write(out=array)`` adds those rows to one."""

    def __init__(self, write: Callable, shape: tuple, dtype):
        self.write, self.shape, self.dtype = write, shape, dtype


class Gradients(dict):
    """Gradients on their way, by place. The only code that adds two gradients."""

    def __init__(self):
        self.owned = set()  # places whose buffer belongs to the walk alone, and may be added to in place

    def add(self, place, gradient, fresh=False):
        held = self.get(place)
        if type(gradient) is Scattered:
            if place in self.owned and held.flags.c_contiguous:
                gradient.write(out=held)
                return
            gradient = gradient.write()
        if held is None:
            self[place] = gradient
            fresh and self.owned.add(place)
        elif place in self.owned:
            held += gradient
        else:
            self[place] = backend(held).add_forward(held, gradient)  # an array also where it is 0-d
            self.owned.add(place)


def run_backward(roots, gradients, retain_graph=False, wanted=()) -> Gradients:
    """Walk the tape from the roots; return what arrived at the leaves and at the places in ``wanted``."""
    where, wanted = _caller(), set(wanted)
    arriving = Gradients()
    arrived = Gradients() if wanted else arriving
    for root, gradient in zip(roots, gradients):
        arriving.add(root.place, gradient)

    for fn in _newest_first([root.fn for root in roots if root.fn is not None]):
        dys = [arriving.pop((fn, 0), None)]
        for slot in range(1, fn.outputs):
            dys.append(arriving.pop((fn, slot), None))
        if fn.hooks:
            dys = [_run_hooks(fn, slot, dy) for slot, dy in enumerate(dys)]
        if wanted:
            for slot, dy in enumerate(dys):
                if (fn, slot) in wanted and dy is not None:
                    arrived.add((fn, slot), dy)
        for dy in dys:
            if dy is not None:
                break
        else:
            continue
        if fn.writes != _writes:
            _refuse_overwritten(fn)
        before = silence()
        try:
            gradients = _backward_of(fn, dys)
            if observers:
                gradients = [g.write() if type(g) is Scattered else g for g in gradients]
            for observer in observers:
                observer.backward(fn, dys, gradients)
            for parent, gradient, fresh in zip(fn.parents, gradients, _fresh(gradients)):
                if gradient is not None:
                    arriving.add(parent.place, gradient, fresh)
        finally:
            restore(before)
        if not retain_graph:
            fn.release(where)
        del parent, gradient, gradients, dys, dy     # or they would be held while the next op's are computed

    if wanted:
        for place, gradient in arriving.items():
            arrived.add(place, gradient, fresh=place in arriving.owned)
    return arrived


def backward(tensors, grad_tensors=None, retain_graph=False) -> None:
    """Compute gradients of the given tensors and add them to the leaves' ``.grad``. ``Tensor.backward`` calls this."""
    tensors = [tensors] if isinstance(tensors, Variable) else list(tensors)
    if not isinstance(grad_tensors, (list, tuple)):
        grad_tensors = [grad_tensors] * len(tensors)
    arrived = run_backward(tensors, _first_gradients("backward", tensors, grad_tensors), retain_graph)
    for leaf, gradient in arrived.items():
        for hook in list(leaf._hooks.values()) if leaf._hooks else ():
            replacement = hook(gradient)
            gradient = gradient if replacement is None else replacement
        if leaf._grad is None:
            mine = leaf in arrived.owned and gradient is arrived[leaf]
            leaf._grad = leaf.like(gradient if mine else _copy(gradient))
        else:
            leaf._grad = leaf.like(leaf._grad._data + gradient)


def grad(outputs, inputs, grad_outputs=None, retain_graph=False, create_graph=False, allow_unused=False):
    """Return d(outputs)/d(inputs) as a tuple of tensors and leave every ``.grad`` alone.

    >>> x = minitorch.tensor(3.0, requires_grad=True)
    >>> minitorch.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    if create_graph:
        raise NotImplementedError("grad: create_graph=True (second derivatives) is not supported: backward passes run "
                                  "in kernels that the tape does not see. For a Hessian, difference the gradients.")
    outputs = [outputs] if isinstance(outputs, Variable) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Variable) else list(inputs)
    if not isinstance(grad_outputs, (list, tuple)):
        grad_outputs = [grad_outputs] * len(outputs)
    for i, x in enumerate(inputs):
        if not x._requires_grad:
            raise RuntimeError(f"grad: input {i} does not require a gradient. Make it with requires_grad=True.")
    first = _first_gradients("grad", outputs, grad_outputs)
    arrived = run_backward(outputs, first, retain_graph, [x.place for x in inputs])
    missing = [i for i, x in enumerate(inputs) if x.place not in arrived]
    if missing and not allow_unused:
        raise RuntimeError(f"grad: input {missing[0]} was not used to compute the outputs. "
                           "Pass allow_unused=True to get None for it.")
    return tuple(x.like(arrived[x.place].copy()) if x.place in arrived else None for x in inputs)


# ---------------------------------------------------------------------------------------------------------------------
# the walk's helpers

def _newest_first(roots):
    """Every node behind the roots, newest first: an op is always older than the ops that use it."""
    seen = set(roots)
    stack, nodes = list(seen), []
    while stack:
        fn = stack.pop()
        if fn.freed:
            raise RuntimeError(f"backward: this graph was already freed by an earlier backward() (called at {fn.freed}). "
                               "Recompute the forward, or pass retain_graph=True the first time.")
        nodes.append(fn)
        for parent in fn.parents:
            before = None if parent is None else parent.fn
            if before is not None and before not in seen:
                seen.add(before)
                stack.append(before)
    nodes.sort(key=_order, reverse=True)
    return nodes


_order = attrgetter("order")


def _backward_of(fn, dys):
    """One gradient or None per parent, each of its parent's shape and dtype."""
    returned = fn.backward(*dys)
    returned = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    if len(returned) != len(fn.parents):
        raise RuntimeError(f"{type(fn).__name__}.backward returned {len(returned)} gradients for {len(fn.parents)} inputs. "
                           "Return one per positional argument of forward, None where there is none.")
    for i, parent in enumerate(fn.parents):
        gradient = returned[i]
        if parent is None or gradient is None:
            returned[i] = None
            continue
        x = parent._data
        if type(gradient) is type(x) and gradient.shape == x.shape and gradient.dtype == x.dtype:
            continue    # as nearly always
        if type(gradient) is not type(x) and type(gradient) is not Scattered:
            gradient = parent.like(gradient._data if isinstance(gradient, Variable) else gradient)._data
        if gradient.shape != x.shape:
            raise RuntimeError(f"{type(fn).__name__}.backward: the gradient of input {i} has shape {gradient.shape}, the "
                               f"input has {x.shape}. A gradient has its input's shape; sum over broadcast axes.")
        returned[i] = gradient if gradient.dtype == x.dtype else gradient.astype(x.dtype)
    return returned


def _fresh(gradients) -> list[bool]:
    """Which of these nobody but this list holds: the walk may add to them in place.

    What an op keeps, the gradient that came in and an array that two inputs get have another holder each.
    """
    return [type(g) is Scattered or g is not None and (g.nbytes >= SMALL or type(g) is not np.ndarray)
            and sys.getrefcount(g) <= _ONE and g.flags.writeable and (g.base is None or _is_reshaped(g)) for g in gradients]


def _holders(objects):
    """How many refer to each object, looked at as ``_fresh`` does, which counts, too."""
    return [sys.getrefcount(x) for x in objects]


_ONE = _holders([object()])[0]      # of what only that list refers to


def _copy(array):
    return array.copy() if array.nbytes < SMALL else backend(array).copy(array)


def _is_reshaped(gradient) -> bool:
    """True if this is all of an array that nobody else holds, as kernels return it from ``rows.reshape(x.shape)``.

    A large one may have left some bytes of that array free, to begin where a cache line does.
    """
    if type(gradient.base) is not type(gradient) or gradient.base.nbytes - gradient.nbytes > LINE:
        return False
    return sys.getrefcount(gradient.base) <= 2  # the view's, and the one of this call


def _on_one_device(op, inputs):
    """A single number on the CPU goes wherever the others are; anything else is refused."""
    tensors = [x for x in inputs if isinstance(x, Variable)]
    there = next((x for x in tensors if hasattr(x._data, "kernels")), None)
    far = [x for x in tensors if there is not None and not hasattr(x._data, "kernels")]
    if not far or any([x._data.ndim or x._requires_grad for x in far]):
        where = ", ".join(f"{tuple(x._data.shape)} on {getattr(x, 'device', 'cpu')}" for x in tensors)
        raise RuntimeError(f"{op.lower()}: the tensors are on different devices: {where}. Move them to one, with "
                           "x.to(other.device).")
    return [there.like(kernels.cuda.to_device(x._data)) if any([x is f for f in far]) else x for x in inputs]


def _run_hooks(fn, slot, dy):
    if dy is not None:
        for hook in list(fn.hooks.get(slot, {}).values()):
            replacement = hook(dy)
            dy = dy if replacement is None else replacement
    return dy


def _first_gradients(op, tensors, gradients):
    """The gradients to begin with: ones for scalars, else what the caller gave, checked."""
    arrays = []
    for t, g in zip(tensors, gradients):
        y = t._data
        if not t._requires_grad:
            raise RuntimeError(f"{op}: this tensor needs no gradient: no input had requires_grad=True, "
                               "or it was made under no_grad() or detach().")
        if g is None and y.size != 1:
            raise RuntimeError(f"{op}: output has shape {y.shape}, not a scalar. Call .sum() or .mean() first, "
                               f"or pass gradient= of shape {y.shape}.")
        if g is None:
            array = y.copy()
            array.fill(1)
        else:
            array = g._data if isinstance(g, Variable) else t.like(g)._data
        if type(array) is not type(y):
            here, there = (getattr(x, "device", "cpu") for x in (t, t.like(array)))
            raise RuntimeError(f"{op}: the gradient is on {there}, the tensor on {here}. Write gradient.to({str(here)!r}).")
        if array.shape != y.shape:
            raise RuntimeError(f"{op}: gradient has shape {array.shape}, the tensor has {y.shape}. "
                               "They must be equal; nothing is broadcast here.")
        arrays.append(array if array.dtype == y.dtype else array.astype(y.dtype))
    return arrays


class _Line(tuple):
    """A file and a number, of a line; written out only where a message names it."""

    __slots__ = ()

    def __str__(self):
        return f"{self[0].rpartition('/')[2]}:{self[1]}"


def _caller() -> _Line:
    """The line of the first frame outside this package, for messages."""
    frame = sys._getframe(2)    # who asks is in this package
    while frame.f_back is not None and (frame.f_globals.get("__name__", "") + ".").startswith("minitorch."):
        frame = frame.f_back
    return _Line((frame.f_code.co_filename, frame.f_lineno))


# ---------------------------------------------------------------------------------------------------------------------
# in-place writes: a value that a node saved must still be there when backward comes

_writes = 0
_written: dict[int, tuple[int, Any, _Line]] = {}


def note_write(*arrays) -> None:
    """Remember that these arrays' memory was written to. Every in-place write in minitorch calls this."""
    global _writes
    _writes += 1
    where = _caller()
    for array in arrays:
        memory = _memory(array)
        key = id(memory)
        before = _written.get(key)
        _written[key] = _writes, before[1] if before else weakref.ref(memory, partial(_forget, key)), where


def _forget(key, _):
    _written.pop(key, None)


def _memory(array):
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def _refuse_overwritten(fn) -> None:
    for name, saved in fn.__dict__.items():
        for value in saved if type(saved) in (tuple, list) else (saved,):
            if hasattr(value, "base") and hasattr(value, "shape"):
                writes, _, where = _written.get(id(_memory(value)), (0, None, None))
                if writes > fn.writes:
                    raise RuntimeError(f"backward: {type(fn).__name__} saved {name} {value.shape}, and it was changed in "
                                       f"place at {where} afterwards. Make a new tensor instead of writing into this one.")


# ---------------------------------------------------------------------------------------------------------------------
# remembering on and off

class _Mode(threading.local):
    enabled = True      # are ops remembered?
    whole = False       # with all their inputs, however large?


_mode = _Mode()


def is_grad_enabled() -> bool:
    """True where ops are being remembered."""
    return _mode.enabled


class _GradMode:
    """Usable with ``with`` and as a decorator, nested and re-entered."""

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self.before: list[bool] = []

    def __enter__(self):
        self.before.append(_mode.enabled)
        _mode.enabled = self.enabled
        return self

    def __exit__(self, *_):
        _mode.enabled = self.before.pop()

    def __call__(self, function):
        enabled = self.enabled  # each call gets a mode of its own: calls from several threads must not share one

        @wraps(function)
        def in_mode(*inputs, **settings):
            with _GradMode(enabled):
                return function(*inputs, **settings)

        @wraps(function)
        def in_mode_between_yields(*inputs, **settings):
            steps, sent = function(*inputs, **settings), None
            while True:
                with _GradMode(enabled):
                    try:
                        value = steps.send(sent)
                    except StopIteration as end:
                        return end.value
                sent = yield value

        return in_mode_between_yields if isgeneratorfunction(function) else in_mode


@contextmanager
def whole_inputs():
    """Let nodes made in this block keep the tensors themselves, never an outline of them."""
    before, _mode.whole = _mode.whole, True
    try:
        yield
    finally:
        _mode.whole = before


def no_grad(func=None):
    """Remember nothing: for evaluation and for updating parameters. ``with no_grad():`` or ``@no_grad()``."""
    return _GradMode(False) if func is None else _GradMode(False)(func)


def enable_grad(func=None):
    """Remember again, inside a ``no_grad`` block."""
    return _GradMode(True) if func is None else _GradMode(True)(func)


def inference_mode(mode=True):
    """``no_grad`` under another name, also as ``@inference_mode``; with ``mode=False`` nothing changes."""
    return no_grad(mode) if callable(mode) else _GradMode(_mode.enabled and not mode)


class set_grad_enabled(_GradMode):  # noqa: N801  (PyTorch's name)
    """Switch remembering on or off, at once; as a context manager also back again."""

    def __init__(self, mode: bool):
        super().__init__(bool(mode))
        self.before.append(_mode.enabled)
        _mode.enabled = self.enabled

    def __enter__(self):
        return self

    def __call__(self, function):
        _mode.enabled = self.before.pop()  # as a decorator it concerns the function alone
        return super().__call__(function)


_ABOVE = {  # they live above the engine; these are PyTorch's names for them
    "detect_anomaly": "minitorch.explain.finite", "gradcheck": "minitorch.gradcheck",
    "set_detect_anomaly": "minitorch.explain.finite",
}


def __getattr__(name):
    if name in _ABOVE:
        return getattr(import_module(_ABOVE[name]), name)
    raise AttributeError(f"module 'minitorch.autograd' has no attribute {name!r}")

"""Gradient checkpointing: forget what a part of the model computed, and compute it again when backward comes.

Backward needs the values of forward, so a model of n layers keeps n layers' worth of them. `checkpoint(part, x)` keeps
only the part's input. Cut into √n parts of √n layers, a model keeps √n inputs and, while backward is in one part, that
part's √n layers: memory falls from n to 2√n, and forward is computed once more.

What is called checkpoint here has nothing to do with files: those are in `minitorch.io.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minitorch import autograd
from minitorch.autograd import Function
from minitorch.nn import Module
from minitorch.random import default_generator
from minitorch.tensor import Tensor

__all__ = ["checkpoint", "checkpoint_sequential"]


class Checkpoint(Function):
    """A part of the model as one node of the tape, which keeps nothing of what is inside.

    Forward    y₁, y₂ … = the part's outputs, computed just before
    Backward   run the part again, this time remembered; dx = its backward of dy
    Saved      x: the tensors that enter the part, its parameters among them; where the random numbers were
    Shapes     xᵢ, yᵢ (…)
    Derived: nothing to derive; the chain rule is the part's own
    """

    def forward(self, *arrays, outputs, again):
        self.arrays = arrays  # held so that writing into them before backward is noticed
        self.again = again
        self.shapes = [y.shape for y in outputs]
        return outputs

    def backward(self, *dys):
        cut = [(x, x.fn) for x in self.parents if x is not None]
        try:
            for x, _ in cut:
                x.fn = None  # for now a leaf: this walk ends where the part begins
            outputs = self.again()
            if [y.shape for y in outputs] != self.shapes:
                raise RuntimeError(f"checkpoint: the function returned tensors of the shapes {self.shapes} the first time, "
                                   f"and {[y.shape for y in outputs]} now. It must compute the same both times.")
            used = [(y, dy) for y, dy in zip(outputs, dys) if dy is not None]
            arrived = autograd.run_backward([y for y, _ in used], [dy for _, dy in used])
            return [None if x is None else arrived.get(x) for x in self.parents]
        finally:
            for x, fn in cut:
                x.fn = fn


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None,
               preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """Return ``function(*args, **kwargs)``, keep none of its inner values, and compute them again in backward.

    Gradients are those without it. Dropout is replayed: the default random generator is put back for the second run, and
    then on. ``use_reentrant`` is accepted and makes no difference: what PyTorch's two ways can, this one can. A layer that
    counts its calls (BatchNorm's running mean) counts twice, as in PyTorch.

    >>> layer = minitorch.nn.Sequential(minitorch.nn.Linear(4, 4), minitorch.nn.Dropout(0.5), minitorch.nn.GELU())
    >>> x = minitorch.randn(2, 4)
    >>> y = minitorch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
    >>> y.sum().backward()
    >>> layer[0].weight.grad.shape
    (4, 4)
    """
    if not autograd.is_grad_enabled():
        return function(*args, **kwargs)
    state = default_generator.get_state() if preserve_rng_state else None

    def run():
        start = next(autograd._orders)  # what the function makes has a higher number
        result = function(*args, **kwargs)
        return result, [y for y in _tensors(result) if y.fn is not None and y.fn.order > start], start

    def again():
        now = default_generator.get_state()
        if preserve_rng_state:
            default_generator.set_state(state)
        try:
            with autograd.enable_grad():
                return run()[1]
        finally:
            if preserve_rng_state:
                default_generator.set_state(now)

    with autograd.whole_inputs():   # what enters is a tensor that the part will see again
        result, inside, start = run()
        if not inside:
            return result
        outputs = Checkpoint.apply(*_entering(inside, start), outputs=[y.data for y in inside], again=again)
    return _with_tensors(result, dict(zip(map(id, inside), outputs)))


def checkpoint_sequential(functions: Module | Iterable[Callable], segments: int, input: Any,
                          use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """Run functions, or the modules of a Sequential, one after the other in ``segments`` parts, checkpointing each.

    The last part is kept: backward comes to it at once.

    >>> deep = minitorch.nn.Sequential(*[minitorch.nn.Linear(3, 3) for _ in range(16)])
    >>> minitorch.utils.checkpoint.checkpoint_sequential(deep, 4, minitorch.ones(2, 3)).shape
    (2, 3)
    """
    functions = list(functions.children()) if isinstance(functions, Module) else list(functions)
    if isinstance(segments, bool) or not isinstance(segments, int) or not 1 <= segments <= max(1, len(functions)):
        raise ValueError(f"checkpoint_sequential: segments must be from 1 to {max(1, len(functions))}, the number of "
                         f"functions, got {segments}")
    size = len(functions) // segments

    def run(first, last):
        def part(x):
            for function in functions[first:last]:
                x = function(x)
            return x
        return part

    for first in range(0, size * (segments - 1), size):
        input = checkpoint(run(first, first + size), input, use_reentrant=use_reentrant, **kwargs)
    return run(size * (segments - 1), len(functions))(input)


def _entering(inside: list[Tensor], start: int) -> list[Tensor]:
    """What the part took from outside and wants a gradient for: its arguments, parameters, whatever its code refers to."""
    seen: set[Any] = set()
    stack: list[Any] = [y.fn for y in inside]
    entering: dict[int, Any] = {}
    while stack:
        fn = stack.pop()
        if fn in seen:
            continue
        seen.add(fn)
        for parent in fn.parents:
            if parent is None:
                continue
            if parent.fn is not None and parent.fn.order > start:
                stack.append(parent.fn)
            else:
                entering[id(parent)] = parent
    return list(entering.values())


def _tensors(result) -> list[Tensor]:
    """The tensors of a result, however it holds them; each once."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, (tuple, list, Mapping)):
        items = result.values() if isinstance(result, Mapping) else result
        found = [y for item in items for y in _tensors(item)]
        return list({id(y): y for y in found}.values())
    return []


def _with_tensors(result, instead: dict[int, Tensor]):
    """The same result with other tensors."""
    if isinstance(result, Tensor):
        return instead.get(id(result), result)
    if isinstance(result, Mapping):
        return type(result)({key: _with_tensors(item, instead) for key, item in result.items()})  # type: ignore[call-arg]
    if isinstance(result, (tuple, list)):
        items = [_with_tensors(item, instead) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result

"""How the arguments of an op may be given: by PyTorch's names or NumPy's, one by one or in a list, axes from either end."""

from __future__ import annotations

import builtins
import functools
import operator

from minitorch.autograd import Variable
from minitorch.errors import RangeError, ShapeError, got

__all__ = [
    "also_by_name", "as_dim", "as_dims", "as_sizes", "as_tensors", "given_tensors", "numpy_names", "reduced_dims",
    "refuse_empty", "refuse_scalar",
]


# ---------------------------------------------------------------------------------------------------------------------
# names

def numpy_names(function):
    """Let an op take NumPy's axis=, keepdims= and out=None as well, as PyTorch's do."""

    @functools.wraps(function)
    def op(*args, **settings):
        if args and not isinstance(args[0], (Variable, list, tuple)):
            raise TypeError(f"{function.__name__}: expected a Tensor, got {type(args[0]).__name__}. Wrap it: "
                            "minitorch.tensor(...)")
        if "axis" in settings:
            settings["dim"] = settings.pop("axis")
        if "keepdims" in settings:
            settings["keepdim"] = settings.pop("keepdims")
        if "out" in settings and settings.pop("out") is not None:
            raise TypeError(f"{function.__name__}: out= is not supported; the result is a new tensor")
        return function(*args, **settings)

    return op


def also_by_name(name: str):
    """Let ints that are given one by one, ``f(x, 2, 3)``, also be given by name, ``f(x, shape=(2, 3))``."""

    def decorate(function):
        @functools.wraps(function)
        def op(*args, **settings):
            if "input" in settings:
                args = (settings.pop("input"), *args)
            if name in settings:
                args = (*args, settings.pop(name))
            return function(*args, **settings)

        return op

    return decorate


# ---------------------------------------------------------------------------------------------------------------------
# axes and sizes

def as_dim(op: str, dim, ndim: int) -> int:
    """The axis as a number that is not negative."""
    if type(dim) is int and 0 <= dim < ndim:
        return dim
    try:
        axis = operator.index(dim)
    except TypeError:
        raise TypeError(f"{op}: dim must be an int, got {type(dim).__name__}") from None
    limit = builtins.max(ndim, 1)
    if not -limit <= axis < limit:
        raise IndexError(f"{op}: dimension out of range [{-limit}, {limit - 1}], got {axis}")
    return axis % limit


def as_dims(op: str, dim, ndim: int) -> tuple[int, ...]:
    """One axis, several, or None for all of them, as a sorted tuple of numbers that are not negative."""
    if dim is None:
        return tuple(range(ndim))
    if type(dim) is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    dims = tuple(as_dim(op, d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{op}: dim names an axis twice: {dim}")
    return tuple(sorted(dims)) if ndim else ()


def reduced_dims(op: str, dim, x) -> tuple[int, ...]:
    """The axes of a sum, as a tuple; None and () mean all."""
    return as_dims(op, None if isinstance(dim, (tuple, list)) and not dim else dim, x.data.ndim)


def refuse_empty(op: str, dims, x) -> tuple[int, ...]:
    """The axes, unless one of them is empty: then there is no element to choose."""
    for axis in dims:
        if not x.data.shape[axis]:
            raise RangeError(f"{op}: axis {axis} of shape {x.data.shape} is empty, so there is no element to choose")
    return dims


def as_sizes(op: str, sizes) -> tuple[int, ...]:
    """Sizes given one by one, or as one tuple or list, as a tuple of ints."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    try:
        return tuple([operator.index(n) for n in sizes])
    except TypeError:
        raise TypeError(f"{op}: expected ints, or one tuple of ints, got {tuple(sizes)}") from None


def refuse_scalar(op: str, x) -> None:
    """Raise if there is no axis to speak of."""
    if not x.data.ndim:
        raise RangeError(f"{op}: a 0-d tensor has no axis. Use x.reshape(1) first.")


# ---------------------------------------------------------------------------------------------------------------------
# several tensors

def as_tensors(op, tensors):
    """A list of tensors, checked."""
    if isinstance(tensors, Variable):
        raise TypeError(f"{op}: expected a list of tensors, got one Tensor. Write {op}([a, b]).")
    tensors = list(tensors)
    if not tensors:
        raise ShapeError(f"{op}: expected at least one tensor, got an empty list")
    for i, x in enumerate(tensors):
        if not isinstance(x, Variable):
            raise TypeError(f"{op}: expected tensors; at position {i}: {got(x)}")
    return tensors


def given_tensors(op, tensors):
    """Tensors given one by one, or in one list."""
    return as_tensors(op, tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors)

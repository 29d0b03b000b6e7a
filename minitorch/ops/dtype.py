"""Dtypes: their names, casting, and the rule for mixing them.

The rule is PyTorch's. Categories go bool < int < float. A number never changes a tensor's dtype within its category, a
0-d tensor never that of one with dimensions: float32 · 2.0, float32 · numpy.float64(2) and float32 · float64 scalar tensor
are float32. Integers meeting a float number become the default dtype, float32.
"""

from __future__ import annotations

import builtins
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, got

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "as_dtype", "bool", "can_cast", "clone", "double", "finfo", "float", "float16", "float32", "float64",
    "get_default_dtype", "half", "iinfo", "int", "int16", "int32", "int64", "int8", "is_floating_point", "long",
    "promote", "promote_types", "result_type", "set_default_dtype", "short", "to_dtype", "to_floating", "uint8",
]

float16 = half = np.dtype("float16")
float32 = float = np.dtype("float32")
float64 = double = np.dtype("float64")
uint8, int8, int16, int32, int64 = map(np.dtype, ("uint8", "int8", "int16", "int32", "int64"))
short, int, long = int16, int32, int64
bool = np.dtype("bool")
finfo, iinfo = np.finfo, np.iinfo

_default = [float32]
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


def get_default_dtype() -> np.dtype:
    """The dtype that Python floats get: float32 unless ``set_default_dtype`` said otherwise."""
    return _default[0]


def set_default_dtype(dtype) -> None:
    """Choose the dtype that Python floats get, float32 or float64."""
    dtype = as_dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"set_default_dtype: only floating-point dtypes can be the default, got {dtype}")
    _default[0] = dtype


def as_dtype(dtype) -> np.dtype:
    """A dtype from any of its spellings: ``minitorch.float32``, ``numpy.float32``, ``"float32"``, ``float``."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "buif":
        raise DTypeError(f"dtype: {dtype} is not supported; there are float16, float32, float64, integers and bool")
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def is_floating_point(input: Tensor) -> builtins.bool:
    """True for float16, float32 and float64."""
    return input.data.dtype.kind == "f"


def promote_types(a, b) -> np.dtype:
    """The dtype in which two dtypes meet.

    >>> minitorch.promote_types(minitorch.int64, minitorch.float32)
    dtype('float32')
    """
    a, b = as_dtype(a), as_dtype(b)
    rank_a, rank_b = _rank(a), _rank(b)
    return np.promote_types(a, b) if rank_a == rank_b else (a if rank_a > rank_b else b)


def can_cast(from_, to) -> builtins.bool:
    """False where a cast would lose a category: float to int, int to bool."""
    return _rank(as_dtype(from_)) <= _rank(as_dtype(to))


def result_type(*inputs) -> np.dtype:
    """The dtype in which tensors and numbers meet."""
    shaped = [x.data.dtype for x in inputs if isinstance(x, Variable) and x.data.ndim]
    scalar = [x.data.dtype for x in inputs if isinstance(x, Variable) and not x.data.ndim]
    number = [_dtype_of_number(x) for x in inputs if not isinstance(x, Variable)]
    result: Any = None
    for group in (shaped, scalar, number):
        for dtype in group:
            if result is None or group is shaped:
                result = dtype if result is None else promote_types(result, dtype)
            elif _rank(dtype) > _rank(result):
                result = dtype
            elif group is not number and not shaped:
                result = promote_types(result, dtype)
    return result


def promote(*inputs, op: str = "promote"):
    """Tensors brought to the dtype they meet in; numbers as Python numbers, which NumPy lets keep to themselves."""
    first = inputs[0]._data.dtype if isinstance(inputs[0], Variable) else None
    for x in inputs:
        if not isinstance(x, Variable) or x._data.dtype is not first:
            break
    else:
        return inputs       # as nearly always
    first = next((x._data.dtype for x in inputs if isinstance(x, Variable)), None)
    if first is not None and all([x._data.dtype == first if isinstance(x, Variable) else
                                  type(x) in (builtins.float, builtins.int) and first.char in "fd" for x in inputs]):
        return tuple([builtins.float(x) if type(x) is builtins.int else x for x in inputs])
    some = next((x for x in inputs if isinstance(x, Variable)), None)
    if some is None:
        raise TypeError(f"{op}: expected at least one Tensor, {got(inputs[0])}")
    inputs = tuple(x if isinstance(x, Variable) else _number_or_tensor(op, x, some) for x in inputs)
    dtype = result_type(*inputs)
    return tuple(to_dtype(x, dtype) if isinstance(x, Variable) else _python(x, dtype) for x in inputs)


def to_floating(x: Any) -> Any:
    """Integers and bools as the default dtype; floats as they are."""
    if not isinstance(x, Variable):
        raise TypeError(f"expected a Tensor, {got(x)}")
    return x if x.data.dtype.kind == "f" else to_dtype(x, _default[0])


class Cast(Function):
    """The same numbers in another dtype.

    Forward    y = x in the new dtype
    Backward   dx = dy in x's dtype
    Saved      x's dtype
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, dtype):
        self.dtype = x.dtype
        return self.k.cast_forward(x, dtype)

    def backward(self, dy):
        return self.k.cast_backward(dy, self.dtype), None


def to_dtype(x: Any, dtype) -> Tensor:
    """x itself if it has this dtype, else a copy that has.

    >>> minitorch.tensor([1, 2]).to(minitorch.float32)
    tensor([1., 2.])
    """
    dtype = as_dtype(dtype)
    return x if x.data.dtype == dtype else Cast.apply(x, dtype)


def clone(input: Tensor, *, memory_format=None) -> Tensor:
    """A copy with memory of its own; gradients flow through it.

    >>> minitorch.tensor([1.0]).clone()
    tensor([1.])
    """
    return Cast.apply(input, input.data.dtype)


def _rank(dtype) -> builtins.int:
    return _RANK[dtype.kind]


def _dtype_of_number(x) -> np.dtype:
    return bool if isinstance(x, builtins.bool) else int64 if isinstance(x, builtins.int) else _default[0]


def _number_or_tensor(op, x, some: Variable) -> Any:
    """A number as Python's own type; an array as a tensor."""
    if isinstance(x, (np.ndarray, np.generic)) and x.ndim == 0:
        x = x.item()
    if isinstance(x, np.ndarray):
        return some.like(x)
    if isinstance(x, numbers.Real) and isinstance(x, (builtins.bool, builtins.int, builtins.float)):
        return x
    if isinstance(x, complex):
        raise TypeError(f"{op}: complex numbers are not supported")
    raise TypeError(f"{op}: expected a Tensor or a number, {got(x)}")


def _python(x, dtype):
    if dtype.kind == "f":
        return builtins.float(x)
    if dtype.kind in "iu" and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max:
        return np.array(x).astype(dtype).item()  # wraps round, as PyTorch does
    return x

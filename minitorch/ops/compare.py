"""Questions, whose answers are bools or whole numbers: no gradient passes."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from minitorch.autograd import Variable
from minitorch.errors import DTypeError
from minitorch.ops.operands import Plain, check_broadcast, plain, refuse_floats

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "allclose", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "eq", "equal", "ge", "greater",
    "greater_equal", "gt", "isclose", "isfinite", "isinf", "isnan", "le", "less", "less_equal", "logical_and",
    "logical_not", "logical_or", "logical_xor", "lt", "ne", "not_equal",
]


def eq(input: Tensor, other) -> Tensor:
    """x == y, element by element: is it equal?"""
    return plain("eq", input, other)


def ne(input: Tensor, other) -> Tensor:
    """x != y, element by element: is it different?"""
    return plain("ne", input, other)


def lt(input: Tensor, other) -> Tensor:
    """x < y, element by element: is it less?"""
    return plain("lt", input, other)


def le(input: Tensor, other) -> Tensor:
    """x <= y, element by element: is it less or equal?"""
    return plain("le", input, other)


def gt(input: Tensor, other) -> Tensor:
    """x > y, element by element: is it greater?"""
    return plain("gt", input, other)


def ge(input: Tensor, other) -> Tensor:
    """x >= y, element by element: is it greater or equal?"""
    return plain("ge", input, other)


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """True where both are true; any number but 0 counts as true."""
    return plain("logical_and", input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """True where at least one is true; any number but 0 counts as true."""
    return plain("logical_or", input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """True where exactly one is true; any number but 0 counts as true."""
    return plain("logical_xor", input, other)


def logical_not(input: Tensor) -> Tensor:
    """True where x is 0 or False."""
    return plain("logical_not", input)


def bitwise_and(input: Tensor, other) -> Tensor:
    """x & y: and, bit by bit; for masks, element by element."""
    refuse_floats("bitwise_and", input, other)
    return plain("bitwise_and", input, other)


def bitwise_or(input: Tensor, other) -> Tensor:
    """x | y: or, bit by bit; for masks, element by element."""
    refuse_floats("bitwise_or", input, other)
    return plain("bitwise_or", input, other)


def bitwise_xor(input: Tensor, other) -> Tensor:
    """x ^ y: exclusive or, bit by bit; for masks, element by element."""
    refuse_floats("bitwise_xor", input, other)
    return plain("bitwise_xor", input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """~x: every bit turned round; for masks, not."""
    refuse_floats("bitwise_not", input)
    return plain("bitwise_not", input)


def isnan(input: Tensor) -> Tensor:
    """True where x is not a number."""
    return plain("isnan", input)


def isinf(input: Tensor) -> Tensor:
    """True where x is inf or −inf."""
    return plain("isinf", input)


def isfinite(input: Tensor) -> Tensor:
    """True where x is neither NaN nor infinite."""
    return plain("isfinite", input)


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """True where |x − y| ≤ atol + rtol · |y|; with ``equal_nan`` also where both are NaN.

    >>> minitorch.isclose(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if not isinstance(other, Variable):
        raise TypeError(f"isclose: expected a Tensor, got {type(other).__name__}. Wrap it: minitorch.tensor(...)")
    if input.data.dtype != other.data.dtype:
        raise DTypeError(f"isclose: {input.data.dtype} and {other.data.dtype}. Cast one: y.to(x.dtype).")
    check_broadcast("isclose", input, other)
    return Plain.apply(input, other, rtol, atol, equal_nan, op="isclose")


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True if |x − y| ≤ atol + rtol · |y| everywhere: a Python bool."""
    return builtins.bool(isclose(input, other, rtol, atol, equal_nan).data.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """True if both have one shape and the same values: a Python bool."""
    return input.data.shape == other.data.shape and builtins.bool((input.data == other.data).all())


greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne  # PyTorch's second names

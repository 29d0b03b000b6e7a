"""Questions and whole numbers: no derivative. Two operands are broadcast; the kernel is in ``_map.py``."""

import math

import numpy as np

from ..reference import compare as _reference
from ._array import full
from ._map import each, formula

__all__ = _reference.__all__

_eq = formula(lambda x, y: x == y)
_ne = formula(lambda x, y: x != y)
_lt = formula(lambda x, y: x < y)
_le = formula(lambda x, y: x <= y)
_gt = formula(lambda x, y: x > y)
_ge = formula(lambda x, y: x >= y)
_both = formula(lambda x, y: x != 0 and y != 0)
_either = formula(lambda x, y: x != 0 or y != 0)
_one = formula(lambda x, y: (x != 0) != (y != 0))
_and = formula(lambda x, y: x & y)
_or = formula(lambda x, y: x | y)
_xor = formula(lambda x, y: x ^ y)
_zero = formula(lambda x: x == 0)
_flipped = formula(lambda x: ~x)
_nan = formula(lambda x: x != x)
_infinite = formula(lambda x: abs(x) == math.inf)
_finite = formula(lambda x: x - x == 0)
_close = formula(lambda x, y, rtol, atol: x == y or (y - y == 0 and abs(x - y) <= atol + rtol * abs(y)))
_close_or_nan = formula(lambda x, y, rtol, atol: x == y or (x != x and y != y) or (
    y - y == 0 and abs(x - y) <= atol + rtol * abs(y)))


def eq(x, y):
    return each(_eq, x, y, dtype=bool)


def ne(x, y):
    return each(_ne, x, y, dtype=bool)


def lt(x, y):
    return each(_lt, x, y, dtype=bool)


def le(x, y):
    return each(_le, x, y, dtype=bool)


def gt(x, y):
    return each(_gt, x, y, dtype=bool)


def ge(x, y):
    return each(_ge, x, y, dtype=bool)


def logical_and(x, y):
    return each(_both, x, y, dtype=bool)


def logical_or(x, y):
    return each(_either, x, y, dtype=bool)


def logical_xor(x, y):
    return each(_one, x, y, dtype=bool)


def bitwise_and(x, y):
    return each(_and, x, y)


def bitwise_or(x, y):
    return each(_or, x, y)


def bitwise_xor(x, y):
    return each(_xor, x, y)


def logical_not(x):
    return each(_zero, x, dtype=bool)


def bitwise_not(x):
    return logical_not(x) if x.dtype == bool else each(_flipped, x)


def isnan(x):
    return each(_nan, x, dtype=bool) if x.dtype.kind == "f" else full(x.shape, False, bool)


def isinf(x):
    return each(_infinite, x, dtype=bool) if x.dtype.kind == "f" else full(x.shape, False, bool)


def isfinite(x):
    return each(_finite, x, dtype=bool) if x.dtype.kind == "f" else full(x.shape, True, bool)


def isclose(x, y, rtol, atol, equal_nan):
    return each(_close_or_nan if equal_nan else _close, x, y, np.float64(rtol).item(), np.float64(atol).item(), dtype=bool)

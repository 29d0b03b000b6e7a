"""Questions and whole numbers: no derivative. Two operands are broadcast."""

import numpy as np

__all__ = [
    "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "eq", "ge", "gt", "isclose", "isfinite", "isinf",
    "isnan", "le", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne",
]


def eq(x, y):
    return np.asarray(np.equal(x, y))


def ne(x, y):
    return np.asarray(np.not_equal(x, y))


def lt(x, y):
    return np.asarray(np.less(x, y))


def le(x, y):
    return np.asarray(np.less_equal(x, y))


def gt(x, y):
    return np.asarray(np.greater(x, y))


def ge(x, y):
    return np.asarray(np.greater_equal(x, y))


def logical_and(x, y):
    return np.asarray(np.logical_and(x, y))


def logical_or(x, y):
    return np.asarray(np.logical_or(x, y))


def logical_xor(x, y):
    return np.asarray(np.logical_xor(x, y))


def bitwise_and(x, y):
    return np.asarray(np.bitwise_and(x, y))


def bitwise_or(x, y):
    return np.asarray(np.bitwise_or(x, y))


def bitwise_xor(x, y):
    return np.asarray(np.bitwise_xor(x, y))


def logical_not(x):
    return np.asarray(np.logical_not(x))


def bitwise_not(x):
    return np.asarray(np.invert(x))


def isnan(x):
    return np.asarray(np.isnan(x))


def isinf(x):
    return np.asarray(np.isinf(x))


def isfinite(x):
    return np.asarray(np.isfinite(x))


def isclose(x, y, rtol, atol, equal_nan):
    return np.asarray(np.isclose(x, y, rtol, atol, equal_nan))

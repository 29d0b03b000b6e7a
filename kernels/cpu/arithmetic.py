"""NumPy is as fast as one thread can be, and the reference serves; what is large is shared by all threads."""

import numpy as np

from ..reference import arithmetic as _reference
from ..reference.arithmetic import *
from ..reference.arithmetic import _near
from . import _shared
from ._shared import shared
from .reduce import sum_forward

__all__ = _reference.__all__

_add = shared("add", _reference.add_forward)
sub_forward = shared("sub", _reference.sub_forward)
mul_forward = shared("mul", _reference.mul_forward)
div_forward = shared("div", _reference.div_forward)
where_forward = shared("where", _reference.where_forward, slow=True)
_neg = shared("neg", lambda x: np.asarray(-x))
maximum_forward = shared("maximum", _reference.maximum_forward)
minimum_forward = shared("minimum", _reference.minimum_forward)


def add_forward(x, y):
    size = x.size if type(x) is np.ndarray else 0
    if type(y) is np.ndarray and y.size > size:
        size = y.size
    if size < _shared.LARGE:
        return _reference.add_forward(x, y)
    if type(x) is type(y) is np.ndarray and x.shape == y.shape and x.dtype == y.dtype and x.flags.carray and y.flags.carray:
        return _shared.compiled("_large").add(x, y)
    # words and their positions are added in every first step: of fewer numbers, not worth a second of the compiler's
    return (_add if size >= 16 * _shared.LARGE else _reference.add_forward)(x, y)


def add_backward(dy, x_shape, y_shape, needs=(True, True)):
    return sum_to(dy, x_shape) if needs[0] else None, sum_to(dy, y_shape) if needs[1] else None


def sub_backward(dy, x_shape, y_shape, needs=(True, True)):
    return sum_to(dy, x_shape) if needs[0] else None, _neg(sum_to(dy, y_shape)) if needs[1] else None


def mul_backward(dy, x, y, needs=(True, True)):
    return _like(mul_forward(dy, y), x) if needs[0] else None, _like(mul_forward(dy, x), y) if needs[1] else None


def div_backward(dy, x, y, needs=(True, True)):
    slope = div_forward(dy, y)
    return (_like(slope, x) if needs[0] else None,
            _neg(_like(mul_forward(slope, div_forward(x, y)), y)) if needs[1] else None)


def where_backward(dy, condition, x_shape, y_shape, needs=(True, True)):
    return (sum_to(where_forward(condition, dy, 0.0), x_shape) if needs[0] else None,
            sum_to(where_forward(condition, 0.0, dy), y_shape) if needs[1] else None)


def pow_forward(x, y):
    """Squares and cubes as products: a cube is in the tanh form of GELU that people write."""
    product = _power(x, y)
    return _reference.pow_forward(x, y) if product is None else product[0](x)


def pow_backward(dy, x, y, needs=(True, True)):
    product = None if needs[1] else _power(x, y)
    return _reference.pow_backward(dy, x, y, needs) if product is None else (product[1](dy, x), None)


def _power(x, y):
    """The two kernels of a square or a cube."""
    return _PRODUCTS.get(y) if type(y) in (int, float) and isinstance(x, np.ndarray) else None


_square = shared("square", lambda x: np.asarray(x * x)), shared("square_slope", lambda dy, x: np.asarray(2 * dy * x))
_cube = shared("cube", lambda x: np.asarray(x * x * x)), shared("cube_slope", lambda dy, x: np.asarray(3 * dy * x * x))
_PRODUCTS = {2: _square, 3: _cube}


def _maximum_slope(dy, x, y):
    """The gradient of x, before it is summed: equal arguments share it, NaN has all of it."""
    return np.where(np.less(x, y), dy.dtype.type(0), np.where(np.equal(x, y), dy / 2, dy))


_maximum_slope = shared("maximum_slope", _maximum_slope, slow=True)
_huber = shared("huber", lambda x, y, edge, half: _reference.huber_forward(x, y, edge))
_huber_slope = shared("huber_slope", lambda x, y, dy, edge: np.asarray(dy * _near(x - y, edge)))


def huber_forward(x, y, edge):
    return _huber(x, y, edge, 0.5)


def huber_backward(dy, x, y, edge, needs=(True, True)):
    slope = _huber_slope(x, y, dy, edge)
    return _like(slope, x) if needs[0] else None, _like(_neg(slope), y) if needs[1] else None


def maximum_backward(dy, x, y, needs=(True, True)):
    return (_like(_maximum_slope(dy, x, y), x) if needs[0] else None,
            _like(_maximum_slope(dy, y, x), y) if needs[1] else None)


def minimum_backward(dy, x, y, needs=(True, True)):
    return (_like(_maximum_slope(dy, y, x), x) if needs[0] else None,
            _like(_maximum_slope(dy, x, y), y) if needs[1] else None)


def sum_to(x, shape):
    """Undo broadcasting: sum x over every axis along which `shape` was repeated; float32 is summed in float64."""
    if x.shape == tuple(shape) or x.size < _shared.LARGE:
        return _reference.sum_to(x, shape)
    new = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < new or shape[i - new] != x.shape[i])
    return sum_forward(x, axes, False).reshape(shape)


def _like(gradient, x):
    """The gradient, summed to the shape of x, in the dtype of x."""
    return sum_to(gradient, x.shape).astype(x.dtype, copy=False)

"""Two operands or three, with broadcasting: an input that was repeated gets its gradients summed. Kernel: ``_map.py``."""

import math

from ..reference import arithmetic as _reference
from ._array import Array, ready
from ._launch import scalars
from ._map import each, formula, meeting

__all__ = _reference.__all__

_sigmoid = scalars.sigmoid

_add = formula(lambda x, y: x + y)
_sub = formula(lambda x, y: x - y)
_mul = formula(lambda x, y: x * y)
_div = formula(lambda x, y: x / y)
_pow = formula(lambda x, y: x ** y)
_neg = formula(lambda x: -x)
_maximum = formula(lambda x, y: x if x > y or x != x else y)
_minimum = formula(lambda x, y: x if x < y or x != x else y)
_remainder = formula(lambda x, y: x % y)
_floor_divide = formula(lambda x, y: x // y)
_fmod = formula(lambda x, y: math.fmod(x, y))
_fmod_whole = formula(lambda x, y: abs(x) % abs(y) if x >= 0 else -(abs(x) % abs(y)))
_hypot = formula(lambda x, y: math.hypot(x, y))
_where = formula(lambda condition, x, y: x if condition else y)
_lerp = formula(lambda x, y, w: x + w * (y - x))

_div_slope = formula(lambda dy, x, y: -(dy / y) * (x / y))
_pow_slope = formula(lambda dy, x, y: 0.0 if y == 0 else dy * (y * x ** (y - 1.0)))
_exponent_slope = formula(lambda dy, x, y: 0.0 if x == 0 and y >= 0 else dy * (x ** y * math.log(x)))
_share_of_larger = formula(lambda dy, x, y: 0.0 if x < y else 0.5 * dy if x == y else dy)
_share_of_smaller = formula(lambda dy, x, y: 0.0 if x > y else 0.5 * dy if x == y else dy)
_remainder_slope = formula(lambda dy, x, y: -dy * (x // y))
_fmod_slope = formula(lambda dy, x, y: -dy * (math.floor(x / y) if x / y >= 0 else math.ceil(x / y)))
_hypot_slope = formula(lambda dy, x, z: dy * (x / z))
_lerp_start = formula(lambda dy, w: dy * (1.0 - w))
_lerp_weight = formula(lambda dy, x, y: dy * (y - x))


_near = formula(lambda d, edge: -edge if d < -edge else edge if d > edge else d)
_huber = formula(lambda x, y, edge: _near(x - y, edge) * (x - y - 0.5 * _near(x - y, edge)))
_huber_slope = formula(lambda dy, x, y, edge: dy * _near(x - y, edge))


@formula
def _logaddexp(x, y):
    if x == y:      # also where both are infinite
        return x + math.log(2.0)
    top = x if x > y else y
    return x - y if x != x or y != y else top + math.log1p(math.exp(-abs(x - y)))


@formula
def _logaddexp_slope(dy, x, y):
    return dy * _sigmoid(x - y)


def sum_to(x, shape):
    """Undo broadcasting: sum x over every axis along which `shape` was repeated."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    new = x.ndim - len(shape)
    dims = tuple([i for i in range(x.ndim) if i < new or shape[i - new] != x.shape[i]])
    return Array.kernels.sum_forward(x, dims, False).reshape(shape)


def like(gradient, x):
    """The gradient, summed to the shape of x, in the dtype of x."""
    return ready(sum_to(gradient, x.shape), x.dtype)


def add_forward(x, y):
    return each(_add, x, y)


def add_backward(dy, x_shape, y_shape, needs=(True, True)):
    return sum_to(dy, x_shape) if needs[0] else None, sum_to(dy, y_shape) if needs[1] else None


def sub_forward(x, y):
    return each(_sub, x, y)


def sub_backward(dy, x_shape, y_shape, needs=(True, True)):
    return sum_to(dy, x_shape) if needs[0] else None, sum_to(each(_neg, dy), y_shape) if needs[1] else None


def mul_forward(x, y):
    return each(_mul, x, y)


def mul_backward(dy, x, y, needs=(True, True)):
    return like(each(_mul, dy, y), x) if needs[0] else None, like(each(_mul, dy, x), y) if needs[1] else None


def div_forward(x, y):
    common = meeting(x, y)
    return each(_div, x, y, dtype=common if common.kind == "f" else float)


def div_backward(dy, x, y, needs=(True, True)):
    return like(each(_div, dy, y), x) if needs[0] else None, like(each(_div_slope, dy, x, y), y) if needs[1] else None


def pow_forward(x, y):
    if type(y) in (int, float) and y == 2:
        return each(_mul, x, x)
    return each(_pow, x, y)


def pow_backward(dy, x, y, needs=(True, True)):
    return (like(each(_pow_slope, dy, x, y), x) if needs[0] else None,
            like(each(_exponent_slope, dy, x, y), y) if needs[1] else None)


def maximum_forward(x, y):
    return each(_maximum, x, y)


def maximum_backward(dy, x, y, needs=(True, True)):
    return (like(each(_share_of_larger, dy, x, y), x) if needs[0] else None,
            like(each(_share_of_larger, dy, y, x), y) if needs[1] else None)


def minimum_forward(x, y):
    return each(_minimum, x, y)


def minimum_backward(dy, x, y, needs=(True, True)):
    return (like(each(_share_of_smaller, dy, x, y), x) if needs[0] else None,
            like(each(_share_of_smaller, dy, y, x), y) if needs[1] else None)


def remainder_forward(x, y):
    return each(_remainder, x, y)


def remainder_backward(dy, x, y, needs=(True, True)):
    return like(dy, x) if needs[0] else None, like(each(_remainder_slope, dy, x, y), y) if needs[1] else None


def fmod_forward(x, y):
    return each(_fmod if meeting(x, y).kind == "f" else _fmod_whole, x, y)


def fmod_backward(dy, x, y, needs=(True, True)):
    return like(dy, x) if needs[0] else None, like(each(_fmod_slope, dy, x, y), y) if needs[1] else None


def hypot_forward(x, y):
    return each(_hypot, x, y)


def hypot_backward(dy, x, y, z, needs=(True, True)):
    return (like(each(_hypot_slope, dy, x, z), x) if needs[0] else None,
            like(each(_hypot_slope, dy, y, z), y) if needs[1] else None)


def logaddexp_forward(x, y):
    return each(_logaddexp, x, y)


def logaddexp_backward(dy, x, y, z, needs=(True, True)):
    return (like(each(_logaddexp_slope, dy, x, y), x) if needs[0] else None,
            like(each(_logaddexp_slope, dy, y, x), y) if needs[1] else None)


def where_forward(condition, x, y):
    return each(_where, condition, x, y, dtype=meeting(x, y))


def where_backward(dy, condition, x_shape, y_shape, needs=(True, True)):
    """→ the gradients of x and y; a condition has none."""
    return (sum_to(each(_where, condition, dy, 0, dtype=dy.dtype), x_shape) if needs[0] else None,
            sum_to(each(_where, condition, 0, dy, dtype=dy.dtype), y_shape) if needs[1] else None)


def huber_forward(x, y, edge):
    return each(_huber, x, y, edge)


def huber_backward(dy, x, y, edge, needs=(True, True)):
    slope = each(_huber_slope, dy, x, y, edge)
    return like(slope, x) if needs[0] else None, like(each(_neg, slope), y) if needs[1] else None


def lerp_forward(x, y, w):
    return each(_lerp, x, y, w)


def lerp_backward(dy, x, y, w, needs=(True, True, True)):
    return (like(each(_lerp_start, dy, w), x) if needs[0] else None, like(each(_mul, dy, w), y) if needs[1] else None,
            like(each(_lerp_weight, dy, x, y), w) if needs[2] else None)


def floor_divide(x, y):
    return each(_floor_divide, x, y)

"""Two operands or three, with NumPy's broadcasting: an input that was repeated gets its gradients summed.

z = f(x, y)    dx, dy in the shapes of x and y; an input may be a Python number, which has no gradient. Equal arguments of
maximum share the gradient. Forwards accept complex numbers: comparisons look at the real part. 0/0 is NaN.
"""

import numpy as np

from .activation import _sigmoid

__all__ = [
    "add_backward", "add_forward", "div_backward", "div_forward", "floor_divide", "fmod_backward", "fmod_forward",
    "huber_backward", "huber_forward", "hypot_backward", "hypot_forward", "lerp_backward", "lerp_forward",
    "logaddexp_backward", "logaddexp_forward", "maximum_backward", "maximum_forward", "minimum_backward",
    "minimum_forward", "mul_backward", "mul_forward", "pow_backward", "pow_forward", "remainder_backward",
    "remainder_forward", "sub_backward", "sub_forward", "sum_to", "where_backward", "where_forward",
]


def sum_to(x, shape):
    """Undo broadcasting: sum x over every axis along which `shape` was repeated; float32 is summed in float64."""
    if x.shape == tuple(shape):
        return x
    new = x.ndim - len(shape)
    axes = tuple(i for i in range(x.ndim) if i < new or shape[i - new] != x.shape[i])
    wide = np.float64 if x.dtype == np.float32 else x.dtype
    return np.asarray(np.add.reduce(x, axes, wide)).reshape(shape).astype(x.dtype, copy=False)


def _like(gradient, x):
    """The gradient, summed to the shape of x, in the dtype of x."""
    return sum_to(np.asarray(gradient), x.shape).astype(x.dtype, copy=False)


def add_forward(x, y):
    return np.asarray(x + y)


def add_backward(dy, x_shape, y_shape, needs=(True, True)):
    return sum_to(dy, x_shape) if needs[0] else None, sum_to(dy, y_shape) if needs[1] else None


def sub_forward(x, y):
    return np.asarray(x - y)


def sub_backward(dy, x_shape, y_shape, needs=(True, True)):
    return sum_to(dy, x_shape) if needs[0] else None, sum_to(-dy, y_shape) if needs[1] else None


def mul_forward(x, y):
    return np.asarray(x * y)


def mul_backward(dy, x, y, needs=(True, True)):
    return _like(dy * y, x) if needs[0] else None, _like(dy * x, y) if needs[1] else None


def div_forward(x, y):
    return np.asarray(x / y)


def div_backward(dy, x, y, needs=(True, True)):
    slope = dy / y
    return _like(slope, x) if needs[0] else None, np.asarray(-_like(slope * (x / y), y)) if needs[1] else None


def pow_forward(x, y):
    return np.asarray(x ** y)


def pow_backward(dy, x, y, needs=(True, True)):
    """dx is 0 where the exponent is 0; the exponent's gradient is 0 where x is 0 and the exponent is not negative."""
    dx = dexponent = None
    if needs[0] and type(y) in (int, float):
        dx = dy * (y * x ** (y - 1)) if y else np.zeros_like(x)
    elif needs[0]:
        dx = _like(np.where(np.equal(y, 0), dy.dtype.type(0), dy * (y * x ** np.subtract(y, 1, dtype=_dtype(y)))), x)
    if needs[1]:
        flat = np.equal(x, 0) & np.greater_equal(y, 0)
        dexponent = _like(np.where(flat, dy.dtype.type(0), dy * (x ** y * np.log(x, dtype=_dtype(x)))), y)
    return dx, dexponent


def maximum_forward(x, y):
    return np.asarray(_larger(x, y))


def maximum_backward(dy, x, y, needs=(True, True)):
    shared = np.where(np.equal(x, y), dy / 2, dy)
    zero = dy.dtype.type(0)
    return (_like(np.where(np.less(x, y), zero, shared), x) if needs[0] else None,
            _like(np.where(np.greater(x, y), zero, shared), y) if needs[1] else None)


def minimum_forward(x, y):
    return np.asarray(_smaller(x, y))


def minimum_backward(dy, x, y, needs=(True, True)):
    shared = np.where(np.equal(x, y), dy / 2, dy)
    zero = dy.dtype.type(0)
    return (_like(np.where(np.greater(x, y), zero, shared), x) if needs[0] else None,
            _like(np.where(np.less(x, y), zero, shared), y) if needs[1] else None)


def remainder_forward(x, y):
    """x − y · floor(x / y): the sign of y, as in Python."""
    if _complex(x, y):
        return np.asarray(x - y * np.floor(np.real(x) / np.real(y)))
    return np.asarray(np.remainder(x, y))


def remainder_backward(dy, x, y, needs=(True, True)):
    return _like(dy, x) if needs[0] else None, _like(-dy * np.floor_divide(x, y), y) if needs[1] else None


def fmod_forward(x, y):
    """x − y · trunc(x / y): the sign of x, as in C."""
    if _complex(x, y):
        return np.asarray(x - y * np.trunc(np.real(x) / np.real(y)))
    return np.asarray(np.fmod(x, y))


def fmod_backward(dy, x, y, needs=(True, True)):
    return (_like(dy, x) if needs[0] else None,
            _like(-dy * np.trunc(np.divide(x, y, dtype=dy.dtype)), y) if needs[1] else None)


def hypot_forward(x, y):
    if _complex(x, y):
        return np.asarray(np.sqrt(x * x + y * y))
    return np.asarray(np.hypot(x, y))


def hypot_backward(dy, x, y, z, needs=(True, True)):
    return (_like(dy * (x / z), x) if needs[0] else None, _like(dy * (y / z), y) if needs[1] else None)


def logaddexp_forward(x, y):
    """ln(eˣ + eʸ), from the larger one, which cannot overflow."""
    if _complex(x, y):
        larger = _larger(x, y)
        return np.asarray(larger + np.log1p(np.exp(_smaller(x, y) - larger)))
    return np.asarray(np.logaddexp(x, y))


def logaddexp_backward(dy, x, y, z, needs=(True, True)):
    return (_like(dy * _sigmoid(np.subtract(x, y)), x) if needs[0] else None,
            _like(dy * _sigmoid(np.subtract(y, x)), y) if needs[1] else None)


def where_forward(condition, x, y):
    return np.where(condition, x, y)


def where_backward(dy, condition, x_shape, y_shape, needs=(True, True)):
    """→ the gradients of x and y; a condition has none."""
    zero = dy.dtype.type(0)
    return (sum_to(np.where(condition, dy, zero), x_shape) if needs[0] else None,
            sum_to(np.where(condition, zero, dy), y_shape) if needs[1] else None)


def lerp_forward(x, y, w):
    """x + w · (y − x)"""
    return np.asarray(x + w * (y - x))


def lerp_backward(dy, x, y, w, needs=(True, True, True)):
    return (_like(dy * (1 - w), x) if needs[0] else None, _like(dy * w, y) if needs[1] else None,
            _like(dy * (y - x), w) if needs[2] else None)


def huber_forward(x, y, edge):
    """½ d² of d = x − y up to the edge, edge · (|d| − ½ edge) beyond it."""
    d = x - y
    near = _near(d, edge)
    return np.asarray(near * (d - near / 2))


def huber_backward(dy, x, y, edge, needs=(True, True)):
    """→ dx, dy"""
    slope = dy * _near(x - y, edge)
    return _like(slope, x) if needs[0] else None, _like(-slope, y) if needs[1] else None


def _near(d, edge):
    return _smaller(_larger(d, -edge), edge)


def floor_divide(x, y):
    return np.asarray(np.floor_divide(x, y))


def _larger(x, y):
    return np.where(np.real(x) >= np.real(y), x, y) if _complex(x, y) else np.maximum(x, y)


def _smaller(x, y):
    return np.where(np.real(x) <= np.real(y), x, y) if _complex(x, y) else np.minimum(x, y)


def _complex(*arrays):
    return any(np.iscomplexobj(x) for x in arrays)


def _dtype(x):
    """The dtype of an array; None, which leaves the choice to NumPy, for a number."""
    return x.dtype if isinstance(x, np.ndarray) else None

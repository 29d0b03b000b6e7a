"""Angles and their hyperbolic relatives: y = f(x), dx = dy · f′. The kernel is in ``_map.py``."""

import math

from ..reference import trigonometry as _reference
from ._map import each, formula
from .arithmetic import like

__all__ = _reference.__all__

_sinh = formula(lambda x: math.sinh(x))
_cosh = formula(lambda x: math.cosh(x))
_asin = formula(lambda x: math.asin(x))
_acos = formula(lambda x: math.acos(x))
_atan = formula(lambda x: math.atan(x))
_asinh = formula(lambda x: math.asinh(x))
_acosh = formula(lambda x: math.acosh(x))
_atanh = formula(lambda x: math.atanh(x))
_atan2 = formula(lambda y, x: math.atan2(y, x))
_sin = formula(lambda x: math.sin(x))
_cos = formula(lambda x: math.cos(x))
_tan = formula(lambda x: math.tan(x))
_tanh = formula(lambda x: math.tanh(x))

_sinh_slope = formula(lambda dy, x: dy * math.cosh(x))
_cosh_slope = formula(lambda dy, x: dy * math.sinh(x))
_asin_slope = formula(lambda dy, x: dy / math.sqrt((1.0 - x) * (1.0 + x)))
_acos_slope = formula(lambda dy, x: -dy / math.sqrt((1.0 - x) * (1.0 + x)))
_atan_slope = formula(lambda dy, x: dy / (1.0 + x * x))
_asinh_slope = formula(lambda dy, x: dy / math.sqrt(x * x + 1.0))
_acosh_slope = formula(lambda dy, x: dy / math.sqrt((x - 1.0) * (x + 1.0) + 0.0))
_atanh_slope = formula(lambda dy, x: dy / ((1.0 - x) * (1.0 + x)))
_sin_slope = formula(lambda dy, x: dy * math.cos(x))
_cos_slope = formula(lambda dy, x: -dy * math.sin(x))
_tan_slope = formula(lambda dy, y: dy * (1.0 + y * y))
_tanh_slope = formula(lambda dy, y: dy * (1.0 - y * y))
_turn = formula(lambda dz, a, b, sign: 0.0 if a * a + b * b == 0 else sign * (dz / (a * a + b * b)) * a)


def sinh_forward(x):
    return each(_sinh, x)


def sinh_backward(dy, x):
    return each(_sinh_slope, dy, x)


def cosh_forward(x):
    return each(_cosh, x)


def cosh_backward(dy, x):
    return each(_cosh_slope, dy, x)


def asin_forward(x):
    return each(_asin, x)


def asin_backward(dy, x):
    return each(_asin_slope, dy, x)


def acos_forward(x):
    return each(_acos, x)


def acos_backward(dy, x):
    return each(_acos_slope, dy, x)


def atan_forward(x):
    return each(_atan, x)


def atan_backward(dy, x):
    return each(_atan_slope, dy, x)


def asinh_forward(x):
    return each(_asinh, x)


def asinh_backward(dy, x):
    return each(_asinh_slope, dy, x)


def acosh_forward(x):
    return each(_acosh, x)


def acosh_backward(dy, x):
    return each(_acosh_slope, dy, x)


def atanh_forward(x):
    return each(_atanh, x)


def atanh_backward(dy, x):
    return each(_atanh_slope, dy, x)


def atan2_forward(y, x):
    return each(_atan2, y, x)


def atan2_backward(dz, y, x, needs=(True, True)):
    return (like(each(_turn, dz, x, y, 1.0), y) if needs[0] else None,
            like(each(_turn, dz, y, x, -1.0), x) if needs[1] else None)


def sin_forward(x):
    return each(_sin, x)


def sin_backward(dy, x):
    return each(_sin_slope, dy, x)


def cos_forward(x):
    return each(_cos, x)


def cos_backward(dy, x):
    return each(_cos_slope, dy, x)


def tan_forward(x):
    return each(_tan, x)


def tan_backward(dy, y):
    return each(_tan_slope, dy, y)


def tanh_forward(x):
    return each(_tanh, x)


def tanh_backward(dy, y):
    return each(_tanh_slope, dy, y)

"""Angles and their hyperbolic relatives. Like elementwise.py: any shape, complex numbers for the tests' complex step.

Shapes: x (…)    dy, dx (…)    x, y of atan2 broadcast
"""

import numpy as np

from .elementwise import _complex, _like, _wide

__all__ = [
    "acos_backward", "acos_forward", "acosh_backward", "acosh_forward", "asin_backward", "asin_forward",
    "asinh_backward", "asinh_forward", "atan2_backward", "atan2_forward", "atan_backward", "atan_forward",
    "atanh_backward", "atanh_forward", "cos_backward", "cos_forward", "cosh_backward", "cosh_forward", "sin_backward",
    "sin_forward", "sinh_backward", "sinh_forward", "tan_backward", "tan_forward", "tanh_backward", "tanh_forward",
]


def sinh_forward(x):
    return np.asarray(np.sinh(x))


def sinh_backward(dy, x):
    return np.asarray(dy * np.cosh(x))


def cosh_forward(x):
    return np.asarray(np.cosh(_wide(x))).astype(x.dtype, copy=False)


def cosh_backward(dy, x):
    return np.asarray(dy * np.sinh(x))


def asin_forward(x):
    return np.asarray(np.arcsin(_wide(x))).astype(x.dtype, copy=False)  # NumPy's float32 arcsin is off by 3 units


def asin_backward(dy, x):
    return np.asarray(dy / np.sqrt((1 - x) * (1 + x)))


def acos_forward(x):
    return np.asarray(np.arccos(x))


def acos_backward(dy, x):
    return np.asarray(-dy / np.sqrt((1 - x) * (1 + x)))


def atan_forward(x):
    return np.asarray(np.arctan(x))


def atan_backward(dy, x):
    return np.asarray(dy / (1 + x * x))


def asinh_forward(x):
    return np.asarray(np.arcsinh(x))


def asinh_backward(dy, x):
    return np.asarray(dy / np.sqrt(x * x + 1))


def acosh_forward(x):
    return np.asarray(np.arccosh(x))


def acosh_backward(dy, x):
    return np.asarray(dy / np.sqrt((x - 1) * (x + 1) + 0.0))  # + 0: the root of −0 is −0


def atanh_forward(x):
    return np.asarray(np.arctanh(x))


def atanh_backward(dy, x):
    return np.asarray(dy / ((1 - x) * (1 + x)))


def atan2_forward(y, x):
    if _complex(y, x):  # a step to the side turns the angle by its part across the radius
        angle = np.arctan2(np.real(y), np.real(x))
        across = np.imag(y) * np.real(x) - np.imag(x) * np.real(y)
        return angle + 1j * across / (np.real(x) ** 2 + np.real(y) ** 2)
    return np.asarray(np.arctan2(y, x))


def atan2_backward(dz, y, x, needs=(True, True)):
    square = np.asarray(x * x + y * y)
    share = np.divide(dz, square, out=np.zeros_like(dz), where=square != 0)
    return _like(share * x, y) if needs[0] else None, _like(-share * y, x) if needs[1] else None


def sin_forward(x):
    return np.asarray(np.sin(x))


def sin_backward(dy, x):
    return np.asarray(dy * np.cos(x))


def cos_forward(x):
    return np.asarray(np.cos(x))


def cos_backward(dy, x):
    return np.asarray(-dy * np.sin(x))


def tan_forward(x):
    return np.asarray(np.tan(x))


def tan_backward(dy, y):
    return np.asarray(dy * (1 + y * y))


def tanh_forward(x):
    return np.asarray(np.tanh(x))


def tanh_backward(dy, y):
    return np.asarray(dy * (1 - y * y))

"""One number in, one number out, at every position: y = f(x), dx = dy · f′.

f′ comes from the saved x, or from y where it is a formula in y. |·|′(0) = 0; steps have gradient 0. Forwards accept complex
numbers for the tests' complex step: comparisons look at the real part. log(0) is −inf.
"""

import math

import numpy as np

from .activation import _wide
from .arithmetic import _complex, _larger, _like, _smaller

__all__ = [
    "abs_backward", "abs_forward", "cast_backward", "cast_forward", "ceil_backward", "ceil_forward", "clamp_backward",
    "clamp_forward", "exp2_backward", "exp2_forward", "exp_backward", "exp_forward", "expm1_backward",
    "expm1_forward", "floor_backward", "floor_forward", "hardtanh_backward", "hardtanh_forward", "log10_backward",
    "log10_forward", "log1p_backward", "log1p_forward", "log2_backward", "log2_forward", "log_backward",
    "log_forward", "nan_to_num_backward", "nan_to_num_forward", "neg_backward", "neg_forward", "reciprocal_backward",
    "reciprocal_forward", "round_backward", "round_bfloat16", "round_forward", "rsqrt_backward", "rsqrt_forward",
    "sign_backward", "sign_forward", "sqrt_backward", "sqrt_forward", "square_backward", "square_forward", "trunc_backward",
    "trunc_forward",
]


def neg_forward(x):
    return np.asarray(-x)


def neg_backward(dy):
    return np.asarray(-dy)


def exp_forward(x):
    return np.asarray(np.exp(x))


def exp_backward(dy, y):
    return np.asarray(dy * y)


def exp2_forward(x):
    return np.asarray(np.exp(x * math.log(2)) if _complex(x) else np.exp2(x))


def exp2_backward(dy, y):
    return np.asarray(dy * (y * math.log(2)))


def expm1_forward(x):
    return np.asarray(np.expm1(x))


def expm1_backward(dy, y):
    return np.asarray(dy * (y + 1))


def log_forward(x):
    return np.asarray(np.log(_wide(x))).astype(x.dtype, copy=False)  # NumPy's float32 log is off by 2 units


def log_backward(dy, x):
    return np.asarray(dy / x)


def log2_forward(x):
    return np.asarray(np.log2(x))


def log2_backward(dy, x):
    return np.asarray(dy / (x * math.log(2)))


def log10_forward(x):
    return np.asarray(np.log10(_wide(x))).astype(x.dtype, copy=False)  # NumPy's float32 log10 is off by 2 units


def log10_backward(dy, x):
    return np.asarray(dy / (x * math.log(10)))


def log1p_forward(x):
    return np.asarray(np.log1p(x))


def log1p_backward(dy, x):
    return np.asarray(dy / (x + 1))


def sqrt_forward(x):
    return np.asarray(np.sqrt(x))


def sqrt_backward(dy, y):
    return np.asarray(dy / (2 * y))


def rsqrt_forward(x):
    return np.asarray(1 / np.sqrt(x))


def rsqrt_backward(dy, y):
    return np.asarray(-0.5 * dy * y * y * y)


def reciprocal_forward(x):
    return np.asarray(1 / x)


def reciprocal_backward(dy, y):
    return np.asarray(-dy * y * y)


def square_forward(x):
    return np.asarray(x * x)


def square_backward(dy, x):
    return np.asarray(2 * dy * x)


def abs_forward(x):
    return np.asarray(np.where(x.real < 0, -x, x) if x.dtype.kind == "c" else np.abs(x))


def abs_backward(dy, x):
    return np.asarray(dy * ((x > 0).astype(dy.dtype) - (x < 0)))


def sign_forward(x):
    return np.asarray((x > 0).astype(x.dtype) - (x < 0).astype(x.dtype))  # NaN has sign 0


def sign_backward(dy):
    return np.asarray(np.zeros(dy.shape, dy.dtype))


def floor_forward(x):
    return np.asarray(np.floor(x))


def floor_backward(dy):
    return np.asarray(np.zeros(dy.shape, dy.dtype))


def ceil_forward(x):
    return np.asarray(np.ceil(x))


def ceil_backward(dy):
    return np.asarray(np.zeros(dy.shape, dy.dtype))


def trunc_forward(x):
    return np.asarray(np.trunc(x))


def trunc_backward(dy):
    return np.asarray(np.zeros(dy.shape, dy.dtype))


def round_forward(x, decimals):
    """To the nearest, halves to even."""
    return np.asarray(np.round(x, decimals))


def round_backward(dy):
    return np.asarray(np.zeros(dy.shape, dy.dtype))


def round_bfloat16(x):
    """The nearest float32 that keeps 8 of its 24 bits of precision, as bfloat16 does; of two as near, the even one."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32("nan"), rounded.view(np.float32)).astype(np.float32).reshape(np.shape(x))


def hardtanh_forward(x, low, high):
    return np.asarray(clamp_forward(x, low, high))


def hardtanh_backward(dy, x, low, high):
    """Unlike clamp's, the gradient is 0 at the bounds."""
    return np.where((x <= low) | (x >= high), dy.dtype.type(0), dy)


def clamp_forward(x, low, high):
    """x, not below low and not above high; either may be None, a number or an array."""
    y = x if low is None else _larger(x, low)
    return y if high is None else _smaller(y, high)


def clamp_backward(dy, x, low, high, needs=(True, True, True)):
    """→ dx, dlow, dhigh. At a bound x still gets the gradient."""
    below = False if low is None else x < low
    above = False if high is None else x > high
    crossed = False if low is None or high is None else low > high
    dx = dlow = dhigh = None
    if needs[0]:
        dx = _like(np.where(below | above | (x != x), dy.dtype.type(0), dy), x)  # NaN is outside, too
    if needs[1]:
        met = False if high is None else low >= high
        dlow = _like(np.where(below & ~np.asarray(met), dy, dy.dtype.type(0)), low)
    if needs[2]:
        dhigh = _like(np.where(above | crossed, dy, dy.dtype.type(0)), high)
    return dx, dlow, dhigh


def nan_to_num_forward(x, nan, posinf, neginf):
    """NaN, +inf and −inf become numbers; None stands for 0, the largest and the smallest."""
    return np.asarray(np.nan_to_num(x, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf))


def nan_to_num_backward(dy, x):
    return np.where(np.isfinite(x), dy, dy.dtype.type(0))


def cast_forward(x, dtype):
    return x.astype(dtype)


def cast_backward(dy, dtype):
    """dtype: the input's."""
    return dy.astype(dtype, copy=False)

"""One number in, one number out, at every position: y = f(x), dx = dy · f′. A formula a line; kernel: ``_map.py``."""

import math

import numpy as np

from ..reference import elementwise as _reference
from ._array import Array, cast, zeros
from ._map import each, formula
from .arithmetic import like

__all__ = _reference.__all__

LN_2, LN_10 = math.log(2), math.log(10)

_neg = formula(lambda x: -x)
_exp = formula(lambda x: math.exp(x))
_exp2 = formula(lambda x: 2.0 ** x)
_expm1 = formula(lambda x: math.expm1(x))
_log = formula(lambda x: math.log(x))
_log2 = formula(lambda x: math.log2(x))
_log10 = formula(lambda x: math.log10(x))
_log1p = formula(lambda x: math.log1p(x))
_sqrt = formula(lambda x: math.sqrt(x))
_rsqrt = formula(lambda x: 1.0 / math.sqrt(x))
_reciprocal = formula(lambda x: 1.0 / x)
_square = formula(lambda x: x * x)
_abs = formula(lambda x: abs(x))
_sign = formula(lambda x: 1 if x > 0 else -1 if x < 0 else 0)
_floor = formula(lambda x: math.floor(x))
_ceil = formula(lambda x: math.ceil(x))
_trunc = formula(lambda x: math.floor(x) if x >= 0 else math.ceil(x))

_times = formula(lambda dy, y: dy * y)
_exp2_slope = formula(lambda dy, y: dy * (y * LN_2))
_expm1_slope = formula(lambda dy, y: dy * (y + 1.0))
_log_slope = formula(lambda dy, x: dy / x)
_log2_slope = formula(lambda dy, x: dy / (x * LN_2))
_log10_slope = formula(lambda dy, x: dy / (x * LN_10))
_log1p_slope = formula(lambda dy, x: dy / (x + 1.0))
_sqrt_slope = formula(lambda dy, y: dy / (y + y))
_rsqrt_slope = formula(lambda dy, y: -0.5 * dy * y * y * y)
_reciprocal_slope = formula(lambda dy, y: -dy * y * y)
_square_slope = formula(lambda dy, x: 2.0 * dy * x)
_abs_slope = formula(lambda dy, x: dy if x > 0 else -dy if x < 0 else dy * 0.0)


def neg_forward(x):
    return each(_neg, x)


def neg_backward(dy):
    return each(_neg, dy)


def exp_forward(x):
    return each(_exp, x)


def exp_backward(dy, y):
    return each(_times, dy, y)


def exp2_forward(x):
    return each(_exp2, x)


def exp2_backward(dy, y):
    return each(_exp2_slope, dy, y)


def expm1_forward(x):
    return each(_expm1, x)


def expm1_backward(dy, y):
    return each(_expm1_slope, dy, y)


def log_forward(x):
    return each(_log, x)


def log_backward(dy, x):
    return each(_log_slope, dy, x)


def log2_forward(x):
    return each(_log2, x)


def log2_backward(dy, x):
    return each(_log2_slope, dy, x)


def log10_forward(x):
    return each(_log10, x)


def log10_backward(dy, x):
    return each(_log10_slope, dy, x)


def log1p_forward(x):
    return each(_log1p, x)


def log1p_backward(dy, x):
    return each(_log1p_slope, dy, x)


def sqrt_forward(x):
    return each(_sqrt, x)


def sqrt_backward(dy, y):
    return each(_sqrt_slope, dy, y)


def rsqrt_forward(x):
    return each(_rsqrt, x)


def rsqrt_backward(dy, y):
    return each(_rsqrt_slope, dy, y)


def reciprocal_forward(x):
    return each(_reciprocal, x)


def reciprocal_backward(dy, y):
    return each(_reciprocal_slope, dy, y)


def square_forward(x):
    return each(_square, x)


def square_backward(dy, x):
    return each(_square_slope, dy, x)


def abs_forward(x):
    return each(_abs, x)


def abs_backward(dy, x):
    return each(_abs_slope, dy, x)


def sign_forward(x):
    return each(_sign, x, dtype=x.dtype)


def sign_backward(dy):
    return zeros(dy.shape, dy.dtype)


def floor_forward(x):
    return each(_floor, x)


def floor_backward(dy):
    return zeros(dy.shape, dy.dtype)


def ceil_forward(x):
    return each(_ceil, x)


def ceil_backward(dy):
    return zeros(dy.shape, dy.dtype)


def trunc_forward(x):
    return each(_trunc, x)


def trunc_backward(dy):
    return zeros(dy.shape, dy.dtype)


def _round_even(x):
    below = math.floor(x)
    rest = x - below
    if rest < 0.5 or rest != rest:      # an infinity stays one
        return x if x - x != 0 else below
    return below + 1.0 if rest > 0.5 or math.fmod(below, 2.0) != 0 else below


_round = formula(_round_even)


def round_forward(x, decimals):
    """To the nearest, halves to even; x · 10ᵈ is rounded and divided again."""
    if not decimals or x.dtype.kind != "f":
        return each(_round, x) if x.dtype.kind == "f" else cast(x, x.dtype)
    return each(_round, x * 10.0**decimals) / 10.0**decimals


def round_backward(dy):
    return zeros(dy.shape, dy.dtype)


@formula
def _bfloat16(x):
    _, exponent = math.frexp(x)
    exponent = -125 if exponent < -125 else exponent    # below, numbers lie no closer
    return math.ldexp(_round(math.ldexp(x, 8 - exponent)), exponent - 8)


def round_bfloat16(x):
    return each(_bfloat16, x if x.dtype == np.float32 else cast(x, np.dtype("float32")))


_hardtanh_slope = formula(lambda dy, x, low, high: 0.0 if x <= low or x >= high else dy)


def hardtanh_forward(x, low, high):
    return clamp_forward(x, low, high)


def hardtanh_backward(dy, x, low, high):
    return each(_hardtanh_slope, dy, x, low, high, dtype=dy.dtype)


def clamp_forward(x, low, high):
    y = x if low is None else Array.kernels.maximum_forward(x, low)
    return y if high is None else Array.kernels.minimum_forward(y, high)


_inside = formula(lambda dy, x, low, high: dy if x >= low and x <= high else 0.0)
_raised = formula(lambda dy, x, low, high: dy if x < low and low < high else 0.0)
_lowered = formula(lambda dy, x, low, high: dy if x > high or low > high else 0.0)


def clamp_backward(dy, x, low, high, needs=(True, True, True)):
    """→ dx, dlow, dhigh. At a bound x still gets the gradient."""
    low_, high_ = -math.inf if low is None else low, math.inf if high is None else high
    dx, dlow, dhigh = [each(f, dy, x, low_, high_, dtype=dy.dtype) if need else None
                       for f, need in zip((_inside, _raised, _lowered), needs)]
    return (None if dx is None else like(dx, x), None if dlow is None else like(dlow, low),
            None if dhigh is None else like(dhigh, high))


_to_num = formula(lambda x, nan, top, bottom: nan if x != x else top if x == math.inf else bottom if x == -math.inf else x)
_where_finite = formula(lambda dy, x: dy if x - x == 0 else 0.0)


def nan_to_num_forward(x, nan, posinf, neginf):
    if x.dtype.kind != "f":
        return cast(x, x.dtype)
    ends = np.finfo(x.dtype)
    return each(_to_num, x, 0.0 if nan is None else float(nan), float(ends.max if posinf is None else posinf),
                float(ends.min if neginf is None else neginf))


def nan_to_num_backward(dy, x):
    return each(_where_finite, dy, x)


def cast_forward(x, dtype):
    return cast(x, np.dtype(dtype))


def cast_backward(dy, dtype):
    return dy if dy.dtype == dtype else cast(dy, np.dtype(dtype))

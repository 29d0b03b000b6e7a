"""NumPy is as fast as one thread can be, and the reference serves; what is large is shared by all threads."""

import numpy as np

from ..reference import elementwise as _reference
from ..reference.elementwise import *
from ._shared import shared
from .arithmetic import div_forward, mul_forward
from .shape import copy

__all__ = _reference.__all__

neg_forward = shared("neg", _reference.neg_forward)
neg_backward = shared("neg", _reference.neg_backward)
square_forward = shared("square", _reference.square_forward)
square_backward = shared("square_slope", _reference.square_backward)
abs_forward = shared("abs", _reference.abs_forward)
abs_backward = shared("abs_slope", _reference.abs_backward)
sqrt_forward = shared("sqrt", _reference.sqrt_forward)
sqrt_backward = shared("sqrt_slope", _reference.sqrt_backward)
rsqrt_forward = shared("rsqrt", _reference.rsqrt_forward)
rsqrt_backward = shared("rsqrt_slope", _reference.rsqrt_backward)


def cast_forward(x, dtype):
    return copy(x) if x.dtype == dtype and x.flags.c_contiguous else _reference.cast_forward(x, dtype)


def exp_backward(dy, y):
    return mul_forward(dy, y)


def log_forward(x):
    return _log(x) if x.dtype == np.float32 else _reference.log_forward(x)


_log = shared("log", _reference.log_forward)


def log_backward(dy, x):
    return div_forward(dy, x)


def clamp_forward(x, low, high):
    if not _numbers(low, high):
        return _reference.clamp_forward(x, low, high)
    return _clamp(x, -np.inf if low is None else low, np.inf if high is None else high)


def clamp_backward(dy, x, low, high, needs=(True, True, True)):
    if needs[1] or needs[2] or not _numbers(low, high):
        return _reference.clamp_backward(dy, x, low, high, needs)
    return _clamp_slope(dy, x, -np.inf if low is None else low, np.inf if high is None else high), None, None


def _numbers(*bounds):
    return all(bound is None or type(bound) in (int, float) for bound in bounds)


_clamp = shared("clamp", _reference.clamp_forward)
_clamp_slope = shared("clamp_slope", lambda *saved: _reference.clamp_backward(*saved, (True, False, False))[0], slow=True)
hardtanh_forward = shared("clamp", _reference.hardtanh_forward)
hardtanh_backward = shared("hardtanh_slope", _reference.hardtanh_backward, slow=True)

"""Softmax and its logarithm along one axis. The largest element is taken away first, so that no exponential overflows."""

import numpy as np

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


def softmax_forward(x, axis):
    """x (…) → y (…), adding up to 1 along the axis."""
    e = np.exp(_below_max(x, axis))
    return e / e.sum(axis, keepdims=True)


def softmax_backward(dy, y, axis):
    """dy, y (…) → dx (…)."""
    return y * (dy - (dy * y).sum(axis, keepdims=True))


def log_softmax_forward(x, axis):
    """x (…) → y (…), the logarithms of softmax."""
    d = _below_max(x, axis)
    return d - np.log(np.exp(d).sum(axis, keepdims=True))


def log_softmax_backward(dy, y, axis):
    """dy, y (…) → dx (…)."""
    return dy - np.exp(y) * dy.sum(axis, keepdims=True)


def _below_max(x, axis):
    with np.errstate(invalid="ignore"):  # a row of −inf becomes NaN, as there is nothing to choose from
        return x - x.real.max(axis, keepdims=True, initial=-np.inf)

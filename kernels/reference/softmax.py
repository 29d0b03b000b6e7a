"""Softmax and its logarithm over any axis.

softmax       p = e^(x − max) / Σ e^(x − max)      dx = p · (dy − Σ dy · p)
log_softmax   y = x − max − log Σ e^(x − max)      dx = dy − e^y · Σ dy
A row of −inf gives NaN, as in PyTorch.
"""

import numpy as np

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


def softmax_forward(x, axis):
    """x → y, of the same shape; Σ y = 1 along the axis."""
    e = np.exp(_shifted(x, axis))
    return e / e.sum(axis, keepdims=True)


def softmax_backward(dy, y, axis):
    return y * (dy - (dy * y).sum(axis, keepdims=True))


def log_softmax_forward(x, axis):
    d = _shifted(x, axis)
    return d - np.log(np.exp(d).sum(axis, keepdims=True))


def log_softmax_backward(dy, y, axis):
    return dy - np.exp(y) * dy.sum(axis, keepdims=True)


def _shifted(x, axis):
    """x − max: neither e^x nor the sum can overflow."""
    with np.errstate(invalid="ignore"):  # −inf − −inf
        return x - x.real.max(axis, keepdims=True, initial=-np.inf)

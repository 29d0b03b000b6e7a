"""Softmax and its logarithm: the axis is brought last, then one row at a time. The formulas stand in the reference."""

import numpy as np

from ._jit import CHUNKS, jit, parallel, prange, ready
from .attention import fast_exp

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


def softmax_forward(x, axis):
    """x (…) → y (…), adding up to 1 along the axis."""
    return _by_rows(_softmax, axis, x)


def softmax_backward(dy, y, axis):
    """dy, y (…) → dx (…)."""
    return _by_rows(_softmax_backward, axis, dy, y)


def log_softmax_forward(x, axis):
    """x (…) → y (…), the logarithms of softmax."""
    return _by_rows(_log_softmax, axis, x)


def log_softmax_backward(dy, y, axis):
    """dy, y (…) → dx (…)."""
    return _by_rows(_log_softmax_backward, axis, dy, y)


@parallel
def _softmax(x, pieces, y):
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            _softmax_row(x[i], y[i])


@jit
def _softmax_row(x, y):
    # pass 1: the largest
    top = _largest(x)
    # pass 2: exponentials and their sum
    total = x.dtype.type(0)
    for j in range(len(x)):
        y[j] = fast_exp(x[j] - top)
        total += y[j]
    # pass 3: shares
    for j in range(len(x)):
        y[j] /= total


@parallel
def _softmax_backward(dy, y, pieces, dx):
    for piece in prange(pieces):
        for i in range(piece * len(y) // pieces, (piece + 1) * len(y) // pieces):
            _softmax_row_backward(dy[i], y[i], dx[i])


@jit
def _softmax_row_backward(dy, y, dx):
    total = y.dtype.type(0)
    for j in range(len(y)):
        total += dy[j] * y[j]
    for j in range(len(y)):
        dx[j] = y[j] * (dy[j] - total)


@parallel
def _log_softmax(x, pieces, y):
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            _log_softmax_row(x[i], y[i])


@jit
def _log_softmax_row(x, y):
    top = _largest(x)
    total = x.dtype.type(0)
    for j in range(len(x)):
        total += fast_exp(x[j] - top)
    log_total = np.log(total)
    for j in range(len(x)):
        y[j] = x[j] - top - log_total


@parallel
def _log_softmax_backward(dy, y, pieces, dx):
    for piece in prange(pieces):
        for i in range(piece * len(y) // pieces, (piece + 1) * len(y) // pieces):
            _log_softmax_row_backward(dy[i], y[i], dx[i])


@jit
def _log_softmax_row_backward(dy, y, dx):
    total = y.dtype.type(0)
    for j in range(len(y)):
        total += dy[j]
    for j in range(len(y)):
        dx[j] = dy[j] - fast_exp(y[j]) * total


@jit
def _largest(x):
    top = x[0]
    for j in range(1, len(x)):
        top = x[j] if x[j] > top else top
    return top


def _by_rows(loop, axis, *arrays):
    """Run a loop over rows on arrays whose axis is brought last; give the result the arrays' own shape."""
    shape, dtype = arrays[0].shape, arrays[0].dtype
    if not arrays[0].size:
        return np.zeros(shape, dtype)
    last = [np.moveaxis(a.reshape(shape or 1), axis, -1) for a in arrays]
    rows = [ready(a, dtype).reshape(-1, a.shape[-1]) for a in last]
    out = np.empty_like(rows[0])
    loop(*rows, 1 if out.size < 1 << 12 else min(CHUNKS, len(out)), out)
    return np.moveaxis(out.reshape(last[0].shape), -1, axis).reshape(shape)

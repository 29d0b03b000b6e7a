"""Softmax and its logarithm, compiled: one pass for the largest value, one for the sum, one to write."""

import numpy as np

from ._jit import chunk, inline, parallel, prange, ready, scalars

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]

_exp = scalars.exp


def softmax_forward(x, axis):
    return _along(_softmax_forward, axis, x)


def softmax_backward(dy, y, axis):
    return _along(_softmax_backward, axis, dy, y)


def log_softmax_forward(x, axis):
    return _along(_log_softmax_forward, axis, x)


def log_softmax_backward(dy, y, axis):
    return _along(_log_softmax_backward, axis, dy, y)


def _along(loop, axis, *arrays):
    """Run a loop over rows on arrays whose rows lie along this axis."""
    shape = arrays[0].shape
    if not shape:
        return _along(loop, 0, *[x.reshape(1) for x in arrays]).reshape(())
    arrays = [ready(np.moveaxis(x, axis, -1)) for x in arrays]
    y = np.empty_like(arrays[0])
    if y.size:
        rows = [x.reshape(-1, shape[axis]) for x in [*arrays, y]]
        loop(*rows[:-1], chunk(len(rows[0])), rows[-1])
    return np.moveaxis(y, -1, axis)


@inline
def _largest(row):
    """The largest element; four at a time, because one comparison has to wait for the one before."""
    a, b, c, d = row[0], row[0], row[0], row[0]
    whole = len(row) // 4 * 4
    for j in range(0, whole, 4):
        a = max(a, row[j])
        b = max(b, row[j + 1])
        c = max(c, row[j + 2])
        d = max(d, row[j + 3])
    for j in range(whole, len(row)):
        a = max(a, row[j])
    return max(max(a, b), max(c, d))


@parallel
def _softmax_forward(x, size, y):
    n, c = x.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            top = np.float64(_largest(x[i]))
            total = 0.0
            for j in range(c):
                total += _exp(x[i, j] - top)
            scale = 1.0 / total
            for j in range(c):
                y[i, j] = _exp(x[i, j] - top) * scale


@parallel
def _softmax_backward(dy, y, size, dx):
    n, c = y.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            total = 0.0
            for j in range(c):
                total += np.float64(dy[i, j]) * y[i, j]
            for j in range(c):
                dx[i, j] = y[i, j] * (dy[i, j] - total)


@parallel
def _log_softmax_forward(x, size, y):
    n, c = x.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            top = np.float64(_largest(x[i]))
            total = 0.0
            for j in range(c):
                total += _exp(x[i, j] - top)
            logsum = np.log(total)
            for j in range(c):
                y[i, j] = (x[i, j] - top) - logsum


@parallel
def _log_softmax_backward(dy, y, size, dx):
    n, c = y.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            total = 0.0
            for j in range(c):
                total += dy[i, j]
            for j in range(c):
                dx[i, j] = dy[i, j] - _exp(np.float64(y[i, j])) * total

"""Softmax and its logarithm, compiled: one pass for the largest value, one for the sum, one to write.

Each pass goes over a block of rows that stays in the first cache. The steps of one row wait for each other; those of
several rows do not.
"""

import numpy as np

from ._exp import exp_below, largest
from ._jit import away, block, pieces, ready, spread
from ._memory import empty

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


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
    last = axis in (-1, len(shape) - 1)
    arrays = [ready(x if last else np.moveaxis(x, axis, -1)) for x in arrays]
    y = empty(arrays[0].shape, arrays[0].dtype)
    if y.size:
        rows = [x if x.ndim == 2 else x.reshape(-1, shape[axis]) for x in [*arrays, y]]
        size = block(*rows[0].shape)
        loop(pieces(len(rows[0]), size), *rows[:-1], size, rows[-1])
    return y if last else np.moveaxis(y, -1, axis)


@spread
def _softmax_forward(piece, x, size, y):
    n = len(x)
    first = piece * size
    last = min(first + size, n)
    tops = np.empty(last - first, x.dtype)
    for i in range(first, last):
        tops[i - first] = largest(x[i])
    for i in range(first, last):
        row, out, top = x[i], y[i], tops[i - first]
        for j in range(len(row)):
            out[j] = exp_below(row[j] - top)
    for i in range(first, last):
        # added up in a loop that writes nothing: how one that does is made of vectors, and so the order of its sum,
        # depends on where its arrays lie
        out, total = y[i], x.dtype.type(0)
        for j in range(len(out)):
            total += out[j]
        scale = x.dtype.type(1) / total
        for j in range(len(out)):
            out[j] *= scale


@spread
def _softmax_backward(piece, dy, y, size, dx):
    n = len(y)
    first = piece * size
    for i in range(first, min(first + size, n)):
        drow, row, out, total = dy[i], y[i], dx[i], 0.0
        for j in range(len(row)):
            total += np.float64(drow[j]) * row[j]
        mean = y.dtype.type(total)
        for j in range(len(row)):
            out[j] = row[j] * (drow[j] - mean)


@spread
def _log_softmax_forward(piece, x, size, y):
    n = len(x)
    first = piece * size
    last = min(first + size, n)
    tops = np.empty(last - first, x.dtype)
    for i in range(first, last):
        tops[i - first] = largest(x[i])
    for i in range(first, last):
        row, out, top = x[i], y[i], tops[i - first]
        for j in range(len(row)):
            out[j] = exp_below(row[j] - top)
    for i in range(first, last):
        row, out, top, total = x[i], y[i], tops[i - first], 0.0  # in float64: where one is likely, log(1 + a little) is left
        for j in range(len(row)):
            total += np.float64(out[j])
        logsum = x.dtype.type(np.log(total))
        for j in range(len(row)):
            out[j] = away(row[j], top, logsum)


@spread
def _log_softmax_backward(piece, dy, y, size, dx):
    n = len(y)
    first = piece * size
    for i in range(first, min(first + size, n)):
        drow, row, out, total = dy[i], y[i], dx[i], 0.0
        for j in range(len(row)):
            total += np.float64(drow[j])
        share = y.dtype.type(total)
        for j in range(len(row)):
            out[j] = drow[j] - exp_below(row[j]) * share

"""Softmax and its logarithm, compiled: one pass for the largest value, one for the sum, one to write.

Each pass goes over a block of rows that stays in the first cache. The steps of one row wait for each other; those of
several rows do not. Along another axis than the last, numbers that lie side by side belong to different sums: there a block
is some columns wide, and every pass goes down all of them at once.
"""

from math import prod

import numpy as np

from ._exp import exp_below, largest
from ._jit import away, block, chunk, inline, pieces, ready, spread
from ._memory import empty

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]

SIDE_BY_SIDE = 16       # numbers: with fewer, each of the others is begun too often, and rows are copied together first
HIGH = 1 << 14          # numbers that the block of some columns has, and the columns that it has at least
WIDE = 64


def softmax_forward(x, axis):
    return _along(_softmax_forward, _softmax_forward_across, axis, x)


def softmax_backward(dy, y, axis):
    return _along(_softmax_backward, _softmax_backward_across, axis, dy, y)


def log_softmax_forward(x, axis):
    return _along(_log_softmax_forward, _log_softmax_forward_across, axis, x)


def log_softmax_backward(dy, y, axis):
    return _along(_log_softmax_backward, _log_softmax_backward_across, axis, dy, y)


def _along(loop, loop_across, axis, *arrays):
    """Run the loop over rows, or the one across them, on arrays whose sums go along this axis."""
    shape = arrays[0].shape
    if not shape:
        return _along(loop, loop_across, 0, *[x.reshape(1) for x in arrays]).reshape(())
    axis %= len(shape)
    last = axis == len(shape) - 1
    after = prod(shape[axis + 1:])
    if not last and after >= SIDE_BY_SIDE:
        return _across(loop_across, prod(shape[:axis]), shape[axis], after, *map(ready, arrays))
    arrays = [ready(x if last else np.moveaxis(x, axis, -1)) for x in arrays]
    y = empty(arrays[0].shape, arrays[0].dtype)
    if y.size:
        rows = [x if x.ndim == 2 else x.reshape(-1, shape[axis]) for x in [*arrays, y]]
        size = block(*rows[0].shape)
        loop(pieces(len(rows[0]), size), *rows[:-1], size, rows[-1])
    return y if last else np.moveaxis(y, -1, axis)


def _across(loop, m, n, columns, *arrays):
    """Run a loop on arrays of m tables of n rows: the sums go down the columns."""
    y = empty(arrays[0].shape, arrays[0].dtype)
    if y.size:
        wide = min(columns, max(WIDE, HIGH // n // WIDE * WIDE))
        strips, tall = pieces(columns, wide), max(1, min(chunk(m), HIGH // (n * wide)))
        tables = [x.reshape(m, n, columns) for x in [*arrays, y]]
        loop(pieces(m, tall) * strips, *tables[:-1], (tall, wide, strips), tables[-1])
    return y


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


@inline
def _part(piece, size, m, columns):
    """Which tables, and which columns of them, this piece has."""
    tall, wide, strips = size
    first, left = piece // strips * tall, piece % strips * wide
    return first, min(first + tall, m), left, min(left + wide, columns)


@inline
def _tops(table, left, right, tops):
    """The largest of each column. A NaN may or may not win, as in ``largest``."""
    for k in range(len(tops)):
        tops[k] = table[0, left + k]
    for j in range(1, len(table)):
        row = table[j, left:right]
        for k in range(len(tops)):
            tops[k] = row[k] if row[k] > tops[k] else tops[k]


@spread
def _softmax_forward_across(piece, x, size, y):
    first, last, left, right = _part(piece, size, len(x), x.shape[2])
    tops, totals = np.empty(right - left, x.dtype), np.empty(right - left)
    for i in range(first, last):
        table, outs = x[i], y[i]
        _tops(table, left, right, tops)
        for k in range(len(totals)):
            totals[k] = 0.0
        for j in range(len(table)):
            row, out = table[j, left:right], outs[j, left:right]
            for k in range(len(totals)):
                out[k] = exp_below(row[k] - tops[k])
                totals[k] += np.float64(out[k])
        for k in range(len(totals)):
            tops[k] = 1.0 / totals[k]
        for j in range(len(table)):
            out = outs[j, left:right]
            for k in range(len(tops)):
                out[k] *= tops[k]


@spread
def _softmax_backward_across(piece, dy, y, size, dx):
    first, last, left, right = _part(piece, size, len(y), y.shape[2])
    means, totals = np.empty(right - left, y.dtype), np.empty(right - left)
    for i in range(first, last):
        drows, rows, outs = dy[i], y[i], dx[i]
        for k in range(len(totals)):
            totals[k] = 0.0
        for j in range(len(rows)):
            drow, row = drows[j, left:right], rows[j, left:right]
            for k in range(len(totals)):
                totals[k] += np.float64(drow[k]) * row[k]
        for k in range(len(totals)):
            means[k] = totals[k]
        for j in range(len(rows)):
            drow, row, out = drows[j, left:right], rows[j, left:right], outs[j, left:right]
            for k in range(len(means)):
                out[k] = row[k] * (drow[k] - means[k])


@spread
def _log_softmax_forward_across(piece, x, size, y):
    first, last, left, right = _part(piece, size, len(x), x.shape[2])
    tops, logsums, totals = np.empty(right - left, x.dtype), np.empty(right - left, x.dtype), np.empty(right - left)
    for i in range(first, last):
        table, outs = x[i], y[i]
        _tops(table, left, right, tops)
        for k in range(len(totals)):
            totals[k] = 0.0
        for j in range(len(table)):
            row = table[j, left:right]
            for k in range(len(totals)):
                totals[k] += np.float64(exp_below(row[k] - tops[k]))
        for k in range(len(totals)):
            logsums[k] = np.log(totals[k])
        for j in range(len(table)):
            row, out = table[j, left:right], outs[j, left:right]
            for k in range(len(tops)):
                out[k] = away(row[k], tops[k], logsums[k])


@spread
def _log_softmax_backward_across(piece, dy, y, size, dx):
    first, last, left, right = _part(piece, size, len(y), y.shape[2])
    shares, totals = np.empty(right - left, y.dtype), np.empty(right - left)
    for i in range(first, last):
        drows, rows, outs = dy[i], y[i], dx[i]
        for k in range(len(totals)):
            totals[k] = 0.0
        for j in range(len(rows)):
            drow = drows[j, left:right]
            for k in range(len(totals)):
                totals[k] += np.float64(drow[k])
        for k in range(len(totals)):
            shares[k] = totals[k]
        for j in range(len(rows)):
            drow, row, out = drows[j, left:right], rows[j, left:right], outs[j, left:right]
            for k in range(len(shares)):
                out[k] = drow[k] - exp_below(row[k]) * shares[k]

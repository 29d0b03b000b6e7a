"""Sums of large arrays, in float64 and in pieces that the shape decides, and what is made of sums row by row.

A file of its own, imported when the first large sum comes, as ``_large`` is.
"""

import numpy as np

from ._exp import exp_below, largest
from ._jit import CHUNKS, block, formula, minus, parallel, prange, ready, with_formulas
from ._large import _piece, _wide
from ._memory import empty

__all__ = ["centred", "equal_shares", "log_sums", "log_sums_backward", "row_sums", "running_sums"]

FEW = 128       # rows to sum that are not cut into pieces: each would have a line of sums of its own


def row_sums(name, x, dtype, mean=None):
    """x (a, rows, b) in C order → (a, b), its formula of this name ("copy": x itself) summed over the rows, in float64.

    Of few groups of many rows first pieces, then the pieces. mean (a, b) in float64: what the formula measures from.
    """
    a, rows, b = x.shape
    if mean is None:
        mean = np.zeros((1, b))
    if b == 1 and a >= CHUNKS:
        y = np.empty(a)
        _named(_sums_along, name)(x.reshape(a, rows), mean.ravel(), y)
        return y.reshape(a, 1)
    if b > 1 and (a >= CHUNKS or rows < FEW):
        y = empty((a, b), dtype)
        _named(_sums_across, name)(x, mean, y)
        return y
    parts = np.zeros((a, CHUNKS, b))
    if b == 1:
        _named(_sums_of_pieces, name)(x.reshape(a, rows), mean.ravel(), parts.reshape(a, CHUNKS))
    else:
        _named(_sums_down, name)(x, mean, parts)
    return parts.sum(1)


def centred(x, mean, factor):
    """x (a, rows, b) in C order → (x − mean) · factor; mean and factor (a, b), in float64."""
    y = empty(x.shape, x.dtype)
    if x.shape[2] == 1:
        _centred_along(x[..., 0], mean.ravel(), factor.ravel(), y[..., 0])
    else:
        _centred_across(x, mean, factor, y)
    return y


def running_sums(x, from_end):
    """x (rows, n) in C order → y (rows, n): of each number the sum up to and with it, or from it to the end."""
    y = empty(x.shape, x.dtype)
    _running_sums(x, from_end, y)
    return y


def log_sums(x):
    """x (rows, n) → y (rows,), the logarithm of each row's sum of exponentials."""
    y = np.empty(len(x), x.dtype)
    _log_sums(x, block(*x.shape), y)
    return y


def log_sums_backward(dy, x, y):
    """dy, a number for each row of x (rows, n) → dx (rows, n)."""
    dx = empty(x.shape, x.dtype)
    _log_sums_backward(ready(dy).reshape(-1), x, ready(y).reshape(-1), block(*x.shape), dx)
    return dx


def equal_shares(dy, x, y):
    """dy, a number for each row of x (rows, n) → dx (rows, n): elements that equal their row's y share its dy evenly."""
    dx = empty(x.shape, x.dtype)
    _equal_shares(ready(dy).reshape(-1), x, ready(y).reshape(-1), dx)
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# the loops

def _sums_along(x, mean, y):
    n = len(y)
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, m, total = x[i], mean[i if len(mean) > 1 else 0], 0.0
            for j in range(len(row)):
                total += formula(np.float64(row[j]), m)
            y[i] = total


def _sums_of_pieces(x, mean, parts):
    n, c = x.shape
    wide = _wide(c)
    for piece in prange(n * CHUNKS):
        i, k = np.int64(piece) // CHUNKS, np.int64(piece) % CHUNKS
        row, m, total = x[i, k * wide:(k + 1) * wide], mean[i if len(mean) > 1 else 0], 0.0
        for j in range(len(row)):
            total += formula(np.float64(row[j]), m)
        parts[i, k] = total


def _sums_across(x, mean, y):
    n, rows, c = x.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        totals = np.empty(min(wide, c - left))
        for i in range(first, min(first + tall, n)):
            totals[:] = 0
            m = mean[i if len(mean) > 1 else 0, left:left + len(totals)]
            for r in range(rows):
                row = x[i, r, left:left + len(totals)]
                for j in range(len(totals)):
                    totals[j] += formula(np.float64(row[j]), m[j])
            y[i, left:left + len(totals)] = totals


def _sums_down(x, mean, parts):
    n, rows, c = x.shape
    tall = (rows + CHUNKS - 1) // CHUNKS
    for piece in prange(n * CHUNKS):
        i, k = np.int64(piece) // CHUNKS, np.int64(piece) % CHUNKS
        totals, m = parts[i, k], mean[i if len(mean) > 1 else 0]
        for r in range(k * tall, min((k + 1) * tall, rows)):
            row = x[i, r]
            for j in range(c):
                totals[j] += formula(np.float64(row[j]), m[j])


@parallel
def _centred_along(x, mean, factor, y):
    n, c = x.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, n)):
            row, out, m, f = x[i, left:left + wide], y[i, left:left + wide], mean[i], factor[i]
            for j in range(len(row)):
                out[j] = (np.float64(row[j]) - m) * f


@parallel
def _centred_across(x, mean, factor, y):
    groups, rows, c = x.shape
    n = groups * rows
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for r in range(first, min(first + tall, n)):
            group = r // rows
            row, out = x[group, r % rows, left:left + wide], y[group, r % rows, left:left + wide]
            m, f = mean[group, left:left + wide], factor[group, left:left + wide]
            for j in range(len(row)):
                out[j] = (np.float64(row[j]) - m[j]) * f[j]


@parallel
def _running_sums(x, from_end, y):
    n, c = x.shape
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, out, total = x[i], y[i], 0.0
            for k in range(c):
                j = c - 1 - k if from_end else k
                total += np.float64(row[j])
                out[j] = total


@parallel
def _log_sums(x, size, y):
    n, c = x.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        exps = np.empty(c, x.dtype)
        for i in range(first, min(first + size, n)):
            row, top, total = x[i], largest(x[i]), 0.0
            if top == np.inf:       # so is the sum, or NaN
                for j in range(c):
                    total += abs(row[j])
                y[i] = total
                continue
            if top == -np.inf:
                top = x.dtype.type(0)
            for j in range(c):
                exps[j] = exp_below(row[j] - top)
            for j in range(c):
                total += np.float64(exps[j])
            y[i] = np.log(total) + top


@parallel
def _log_sums_backward(dy, x, y, size, dx):
    n = len(x)
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            row, out, share, top = x[i], dx[i], dy[i], y[i]
            for j in range(len(row)):
                out[j] = exp_below(row[j] - top) * share


@parallel
def _equal_shares(dy, x, y, dx):
    n, c = x.shape
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, out, wanted, equals = x[i], dx[i], y[i], 0
            nan = wanted != wanted
            for j in range(c):
                equals += row[j] != row[j] if nan else row[j] == wanted
            share = x.dtype.type(dy[i] / x.dtype.type(equals))
            for j in range(c):
                out[j] = share if (row[j] != row[j] if nan else row[j] == wanted) else x.dtype.type(0)


# ---------------------------------------------------------------------------------------------------------------------
# the formulas: what is summed, of a number and the mean of its group

FORMULAS = {
    "copy": lambda x, mean: x,
    "square": lambda x, mean: x * x,
    "square_from_mean": lambda x, mean: minus(x, mean) * minus(x, mean),
}

_named, __getattr__ = with_formulas(globals(), FORMULAS)

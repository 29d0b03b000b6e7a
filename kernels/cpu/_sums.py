"""Sums of large arrays, in float64 and in pieces that the shape decides, and what is made row by row of sums or products.

A file of its own, imported when the first large sum comes, as ``_large`` is.
"""

import math

import numpy as np
from numba import njit

from ._exp import exp_below, largest
from ._jit import CHUNKS, block, chunk, formula, minus, pieces, ready, spread, with_formulas
from ._large import cut, wide
from ._memory import empty

__all__ = [
    "centred", "equal_shares", "log_sums", "log_sums_backward", "products", "products_backward", "row_sums",
    "running_products", "running_products_backward", "running_sums",
]

PLAIN = 1e-290, 1e290   # between these a product of float64 is as exact as any: nothing underflowed or overflowed
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
        size = chunk(a)
        _named(_sums_along, name)(pieces(a, size), size, x.reshape(a, rows), mean.ravel(), y)
        return y.reshape(a, 1)
    if b > 1 and (a >= CHUNKS or rows < FEW):
        y = empty((a, b), dtype)
        size, n = cut(a, b)
        _named(_sums_across, name)(n, size, x, mean, y)
        return y
    parts = np.zeros((a, CHUNKS, b))
    if b == 1:
        _named(_sums_of_pieces, name)(a * CHUNKS, wide(rows), x.reshape(a, rows), mean.ravel(), parts.reshape(a, CHUNKS))
    else:
        _named(_sums_down, name)(a * CHUNKS, chunk(rows), x, mean, parts)
    return parts.sum(1)


def centred(x, mean, factor):
    """x (a, rows, b) in C order → (x − mean) · factor; mean and factor (a, b), in float64."""
    y = empty(x.shape, x.dtype)
    if x.shape[2] == 1:
        size, n = cut(*x.shape[:2])
        _centred_along(n, size, x[..., 0], mean.ravel(), factor.ravel(), y[..., 0])
    else:
        size, n = cut(math.prod(x.shape[:2]), x.shape[2])
        _centred_across(n, size, x, mean, factor, y)
    return y


def running_sums(x, from_end):
    """x (rows, n) in C order → y (rows, n): of each number the sum up to and with it, or from it to the end."""
    y = empty(x.shape, x.dtype)
    size = chunk(len(x))
    _running_sums(pieces(len(x), size), size, x, from_end, y)
    return y


def running_products(x):
    """x (rows, n) in C order → y (rows, n): of each number the product up to and with it."""
    y = empty(x.shape, x.dtype)
    size = chunk(len(x))
    _running_products(pieces(len(x), size), size, x, y)
    return y


def running_products_backward(dy, x, y):
    """dy (rows, n) → dx (rows, n); the first zero of a row is the last of its numbers that moved anything."""
    dx = empty(x.shape, x.dtype)
    size = chunk(len(x))
    _running_products_backward(pieces(len(x), size), size, ready(dy).reshape(x.shape), x, ready(y).reshape(x.shape), dx)
    return dx


def products(x):
    """x (rows, n) in C order → y (rows,), each row's product."""
    y = np.empty(len(x), x.dtype)
    size = chunk(len(x))
    _products(pieces(len(x), size), size, x, y)
    return y


def products_backward(dy, x):
    """dy, a number for each row of x (rows, n) → dx (rows, n): each number's factor is the product of the others."""
    dx = empty(x.shape, x.dtype)
    size = chunk(len(x))
    _products_backward(pieces(len(x), size), size, ready(dy).reshape(-1), x, dx)
    return dx


def log_sums(x):
    """x (rows, n) → y (rows,), the logarithm of each row's sum of exponentials."""
    y = np.empty(len(x), x.dtype)
    size = block(*x.shape)
    _log_sums(pieces(len(x), size), size, x, y)
    return y


def log_sums_backward(dy, x, y):
    """dy, a number for each row of x (rows, n) → dx (rows, n)."""
    dx = empty(x.shape, x.dtype)
    size = block(*x.shape)
    _log_sums_backward(pieces(len(x), size), size, ready(dy).reshape(-1), x, ready(y).reshape(-1), dx)
    return dx


def equal_shares(dy, x, y):
    """dy, a number for each row of x (rows, n) → dx (rows, n): elements that equal their row's y share its dy evenly."""
    dx = empty(x.shape, x.dtype)
    size = chunk(len(x))
    _equal_shares(pieces(len(x), size), size, ready(dy).reshape(-1), x, ready(y).reshape(-1), dx)
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# the loops

def _sums_along(piece, size, x, mean, y):
    n = len(y)
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, m, total = x[i], mean[i if len(mean) > 1 else 0], 0.0
        for j in range(len(row)):
            total += formula(np.float64(row[j]), m)
        y[i] = total


def _sums_of_pieces(piece, size, x, mean, parts):
    n, c = x.shape
    i, k = piece // CHUNKS, piece % CHUNKS
    row, m, total = x[i, k * size:(k + 1) * size], mean[i if len(mean) > 1 else 0], 0.0
    for j in range(len(row)):
        total += formula(np.float64(row[j]), m)
    parts[i, k] = total


def _sums_across(piece, size, x, mean, y):
    n, rows, c = x.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    totals = np.empty(min(wide, c - left))
    for i in range(first, min(first + tall, n)):
        totals[:] = 0
        m = mean[i if len(mean) > 1 else 0, left:left + len(totals)]
        for r in range(rows):
            row = x[i, r, left:left + len(totals)]
            for j in range(len(totals)):
                totals[j] += formula(np.float64(row[j]), m[j])
        for j in range(len(totals)):
            y[i, left + j] = totals[j]


def _sums_down(piece, size, x, mean, parts):
    n, rows, c = x.shape
    i, k = piece // CHUNKS, piece % CHUNKS
    totals, m = parts[i, k], mean[i if len(mean) > 1 else 0]
    for r in range(k * size, min((k + 1) * size, rows)):
        row = x[i, r]
        for j in range(c):
            totals[j] += formula(np.float64(row[j]), m[j])


@spread
def _centred_along(piece, size, x, mean, factor, y):
    n, c = x.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, n)):
        row, out, m, f = x[i, left:left + wide], y[i, left:left + wide], mean[i], factor[i]
        for j in range(len(row)):
            out[j] = (np.float64(row[j]) - m) * f


@spread
def _centred_across(piece, size, x, mean, factor, y):
    groups, rows, c = x.shape
    n = groups * rows
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for r in range(first, min(first + tall, n)):
        group = r // rows
        row, out = x[group, r % rows, left:left + wide], y[group, r % rows, left:left + wide]
        m, f = mean[group, left:left + wide], factor[group, left:left + wide]
        for j in range(len(row)):
            out[j] = (np.float64(row[j]) - m[j]) * f[j]


@spread
def _running_sums(piece, size, x, from_end, y):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out, total = x[i], y[i], 0.0
        for k in range(c):
            j = c - 1 - k if from_end else k
            total += np.float64(row[j])
            out[j] = total


@spread
def _running_products(piece, size, x, y):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out, total = x[i], y[i], 1.0
        for j in range(c):
            total *= np.float64(row[j])
            out[j] = total


@spread
def _running_products_backward(piece, size, dy, x, y, dx):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        grad, row, products, out, total = dy[i], x[i], y[i], dx[i], 0.0
        zero = 0
        while zero < c and row[zero] != 0:
            zero += 1
        # before the first zero: what every product from there on weighs, with this factor divided out
        for k in range(c):
            j = c - 1 - k
            total += np.float64(grad[j]) * products[j]
            if j < zero:
                out[j] = total / row[j]
        if zero == c:
            continue
        # the first zero: the products as if it were 1; after it nothing moves
        product, total = 1.0, 0.0
        for j in range(c):
            if j != zero:
                product *= np.float64(row[j])
            if j >= zero:
                total += grad[j] * product
        out[zero] = total
        for j in range(zero + 1, c):
            out[j] = 0


@njit(fastmath={"contract"}, error_model="numpy")
def _product_in_order(row):
    """Several products side by side may be 0 and infinity, which together are NaN; this one is what NumPy's is."""
    total = 1.0
    for j in range(len(row)):
        total *= np.float64(row[j])
    return total


@spread
def _products(piece, size, x, y):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, total = x[i], 1.0
        for j in range(c):
            total *= np.float64(row[j])
        y[i] = total if PLAIN[0] < abs(total) < PLAIN[1] else _product_in_order(row)


@spread
def _products_backward(piece, size, dy, x, dx):
    n, c = x.shape
    first = piece * size
    after = np.empty(c)
    for i in range(first, min(first + size, n)):
        row, out, share, total = x[i], dx[i], np.float64(dy[i]), 1.0
        for j in range(c):
            total *= np.float64(row[j])
        if PLAIN[0] < abs(total) < PLAIN[1]:
            for j in range(c):
                out[j] = share * (total / np.float64(row[j]))
            continue
        # there are zeros, or the product is past what a number can say: not by division
        product = 1.0
        for k in range(c):
            after[c - 1 - k] = product
            product *= np.float64(row[c - 1 - k])
        product = 1.0
        for j in range(c):
            out[j] = share * (product * after[j])
            product *= np.float64(row[j])


@spread
def _log_sums(piece, size, x, y):
    n, c = x.shape
    first = piece * size
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


@spread
def _log_sums_backward(piece, size, dy, x, y, dx):
    n = len(x)
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out, share, top = x[i], dx[i], dy[i], y[i]
        for j in range(len(row)):
            out[j] = exp_below(row[j] - top) * share


@spread
def _equal_shares(piece, size, dy, x, y, dx):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
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

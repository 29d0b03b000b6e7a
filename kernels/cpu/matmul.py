"""Matrix products, cut by shape and run in parallel (see ``_product``)."""

import math

import numpy as np

from ._jit import CHUNKS, chunk, ready, spread
from ._product import product
from .arithmetic import sum_to

__all__ = ["linear_backward", "linear_forward", "matmul_backward", "matmul_forward"]


def matmul_forward(x, y):
    """x (…, m, k) or (k,), y (…, k, n) or (k,) → (…, m, n), without the axes that a 1-D factor lacks."""
    if x.ndim == y.ndim == 2:
        return product(x, y)
    x2, y2 = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    out = product(x2, y2)
    if x.ndim == 1:
        out = out[..., 0, :]
    return out[..., 0] if y.ndim == 1 else out


def matmul_backward(dy, x, y, needs=(True, True)):
    """dy shaped like the product → the gradients of x and y."""
    if x.ndim == y.ndim == 2:
        return product(dy, y.T) if needs[0] else None, product(x.T, dy) if needs[1] else None
    dx = dy_ = None
    # a 1-D factor is a row on the left, a column on the right
    x2, y2 = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    if x.ndim == 1:
        dy = dy[..., None, :] if y.ndim > 1 else dy[..., None]
    if y.ndim == 1:
        dy = dy[..., None]
    if y2.ndim == 2 and x2.ndim > 2:
        # one matrix for the whole batch: one product over all rows
        rows = _rows(dy)
        dx = product(rows, y2.T).reshape(x.shape) if needs[0] else None
        return dx, product(_rows(x2).T, rows).reshape(y.shape) if needs[1] else None
    if needs[0]:
        dx = sum_to(product(dy, y2.swapaxes(-1, -2)), x2.shape).reshape(x.shape)
    if needs[1]:
        dy_ = sum_to(product(x2.swapaxes(-1, -2), dy), y2.shape).reshape(y.shape)
    return dx, dy_


def linear_forward(x, weight, bias):
    """x (…, in), weight (out, in), bias (out,) or None → y (…, out)."""
    y = product(_rows(x), weight.T, bias)
    return y if x.ndim == 2 else y.reshape(*x.shape[:-1], len(weight))


def linear_backward(dy, x, weight, needs=(True, True, True)):
    """dy (…, out) → dx (…, in), dweight (out, in), dbias (out,)."""
    dx = dweight = dbias = None
    rows = _rows(dy)
    if needs[0]:
        dx = product(rows, weight)
        dx = dx if x.ndim == 2 else dx.reshape(x.shape)
    # weight and bias were used in every row
    if needs[1]:
        dweight = product(rows.T, _rows(x))
    if needs[2]:
        dbias = column_sums(rows)
    return dx, dweight, dbias


def column_sums(x):
    """x (rows, c) → (c,): sums of pieces of the rows, added up in order."""
    if x.size < 1 << 16:
        return np.add.reduce(x, 0)
    step = chunk(len(x))
    partial = np.zeros((CHUNKS, x.shape[1]), x.dtype)
    _partial_sums(CHUNKS, ready(x), step, partial)
    return partial.sum(0)


@spread
def _partial_sums(piece, x, step, partial):
    for i in range(piece * step, min(len(x), (piece + 1) * step)):
        for j in range(x.shape[1]):
            partial[piece, j] += x[i, j]


def _rows(x):
    """(…, c) → (rows, c)."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

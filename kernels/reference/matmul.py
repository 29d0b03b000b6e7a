"""Matrix products.

matmul   y = x · y_             over the last two axes; those before broadcast, a 1-D factor is a row or a column
linear   y = x · weightᵀ + bias

What a product was used for several times (a broadcast factor, a bias) collects the sum of its gradients.
"""

import math

import numpy as np

from .arithmetic import sum_to

__all__ = ["linear_backward", "linear_forward", "matmul_backward", "matmul_forward"]


def matmul_forward(x, y):
    """x (…, m, k) or (k,), y (…, k, n) or (k,) → (…, m, n), without the axes that a 1-D factor lacks."""
    return np.asarray(np.matmul(x, y))


def matmul_backward(dy, x, y, needs=(True, True)):
    """dy shaped like the product → the gradients of x and y."""
    dx = dy_ = None
    # a 1-D factor is a row on the left, a column on the right
    x2, y2 = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    if x.ndim == 1:
        dy = dy[..., None, :] if y.ndim > 1 else dy[..., None]
    if y.ndim == 1:
        dy = dy[..., None]
    if needs[0]:
        dx = sum_to(np.matmul(dy, y2.swapaxes(-1, -2)), x2.shape).reshape(x.shape)
    if needs[1]:
        dy_ = sum_to(np.matmul(x2.swapaxes(-1, -2), dy), y2.shape).reshape(y.shape)
    return dx, dy_


def linear_forward(x, weight, bias):
    """x (…, in), weight (out, in), bias (out,) or None → y (…, out)."""
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias


def linear_backward(dy, x, weight, needs=(True, True, True)):
    """dy (…, out) → dx (…, in), dweight (out, in), dbias (out,)."""
    dx = dweight = dbias = None
    rows, xrows = _rows(dy), _rows(x)
    if needs[0]:
        dx = np.matmul(rows, weight).reshape(x.shape)
    # weight and bias were used in every row
    if needs[1]:
        dweight = np.matmul(rows.T, xrows)
    if needs[2]:
        dbias = rows.sum(0)
    return dx, dweight, dbias


def _rows(x):
    """(…, c) → (rows, c)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

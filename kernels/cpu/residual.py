"""The residual connection, compiled: bias, dropout and sum in one pass."""

import numpy as np

from ..scalar import seed_keys
from ._jit import CHUNKS, chunk, pieces, ready, rows_of, scalars, spread
from ._memory import empty
from .arithmetic import add_forward
from .matmul import column_sums

__all__ = ["residual_backward", "residual_forward"]

_bits = scalars.random_bits


def residual_forward(x, f, bias, p, seed):
    if p == 0 and bias is None:
        return add_forward(x, f)
    rows = rows_of(x)
    n, c = rows.shape
    bias = np.zeros(c, x.dtype) if bias is None else ready(bias, x.dtype)
    y = empty(rows.shape, x.dtype)
    scale = x.dtype.type(1 / (1 - p) if p < 1 else 0)
    size = chunk(n)
    _forward(pieces(n, size), rows, rows_of(f), bias, round(p * 2**32), *seed_keys(seed), scale, size, y)
    return y.reshape(x.shape)


def residual_backward(dy, p, seed, needs=(True, True, True)):
    df = dbias = None
    if p == 0:
        df = dy if needs[1] else None
        dbias = column_sums(rows_of(dy)) if needs[2] else None
    elif needs[1] or needs[2]:
        rows = rows_of(dy)
        n, c = rows.shape
        out = empty(rows.shape, dy.dtype)
        parts = np.zeros((CHUNKS if needs[2] else 0, c))
        scale = dy.dtype.type(1 / (1 - p) if p < 1 else 0)
        size = chunk(n)
        _backward(pieces(n, size), rows, round(p * 2**32), *seed_keys(seed), scale, size, out, parts)
        df = out.reshape(dy.shape) if needs[1] else None
        dbias = parts.sum(0).astype(dy.dtype) if needs[2] else None
    return dy if needs[0] else None, df, dbias


@spread
def _forward(piece, x, f, bias, threshold, first_key, second_key, scale, size, y):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        if threshold == 0:
            for j in range(c):
                y[i, j] = x[i, j] + (f[i, j] + bias[j])
        else:
            for j in range(c):
                keep = _bits(first_key, second_key, i * c + j) >= threshold
                y[i, j] = x[i, j] + (f[i, j] + bias[j]) * scale if keep else x[i, j]


@spread
def _backward(piece, dy, threshold, first_key, second_key, scale, size, df, parts):
    n, c = dy.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        for j in range(c):
            if _bits(first_key, second_key, i * c + j) >= threshold:
                df[i, j] = dy[i, j] * scale
            else:
                df[i, j] = 0.0
        if parts.shape[0]:
            for j in range(c):
                parts[piece, j] += df[i, j]

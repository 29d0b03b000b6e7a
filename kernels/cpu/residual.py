"""The residual connection, bias and dropout in the same pass. See the reference."""

import numpy as np

from ._jit import CHUNKS, parallel, prange, ready, rows_of
from .dropout import dropout_backward, kept, limit
from .matmul import column_sums

__all__ = ["residual_backward", "residual_forward"]


def residual_forward(x, f, bias, p, seed):
    """x, f (…, c), bias (c,) or None → y (…, c)."""
    if bias is None and p == 0:
        return x + f
    rows = rows_of(x)
    y = np.empty_like(rows)
    grow = x.dtype.type(1 / (1 - p) if p < 1 else 0)
    bias = np.zeros(rows.shape[1], x.dtype) if bias is None else ready(bias, x.dtype)
    pieces = 1 if rows.size < 1 << 13 else min(CHUNKS, len(rows))
    _residual(rows, rows_of(f), bias, grow, limit(p), np.uint64(seed), pieces, y)
    return y.reshape(x.shape)


def residual_backward(dy, p, seed, needs=(True, True, True)):
    """dy (…, c) → dx (…, c), df (…, c), dbias (c,)."""
    df = dropout_backward(dy, p, seed) if p and (needs[1] or needs[2]) else dy
    return dy if needs[0] else None, df if needs[1] else None, column_sums(rows_of(df)) if needs[2] else None


@parallel
def _residual(x, f, bias, grow, limit, seed, pieces, y):
    n, c = x.shape
    for piece in prange(pieces):
        for i in range(piece * n // pieces, (piece + 1) * n // pieces):
            for j in range(c):
                stays = limit == np.uint64(0) or kept(seed, np.uint64(i * c + j)) >= limit
                y[i, j] = x[i, j] + ((f[i, j] + bias[j]) * grow if stays else x.dtype.type(0))

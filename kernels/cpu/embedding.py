"""Embedding, compiled. Backward: each row of the table has one writer, which adds in the order of the ids."""

import numpy as np

from ..reference.embedding import embedding_forward
from ._jit import chunk, pieces, ready, spread

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_backward(dy, ids, rows, padding_idx, out=None):
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype) if out is None else out
    if ids.size and dy.shape[-1]:
        # the stable order keeps the places of one id as they come: the sum is the same on every run
        order = np.argsort(ids, axis=None, kind="stable").astype(np.int64, copy=False)
        taken = ready(ids.reshape(-1)[order], np.int64)
        (changes,) = np.not_equal(taken[1:], taken[:-1]).nonzero()
        bounds = np.empty(len(changes) + 2, np.int64)       # where an id begins, and the one before has ended
        bounds[0], bounds[1:-1], bounds[-1] = 0, changes + 1, ids.size
        flat = ready(dy).reshape(ids.size, dy.shape[-1])
        padding_idx, n, size = -1 if padding_idx is None else padding_idx, len(bounds) - 1, chunk(len(bounds) - 1)
        _gather(pieces(n, size), flat, order, taken, bounds, padding_idx, size, dweight)
    return dweight


@spread
def _gather(piece, dy, order, taken, bounds, padding_idx, size, dweight):
    n = len(bounds) - 1
    first = piece * size
    total = np.empty(dy.shape[1], np.float64)
    for i in range(first, min(first + size, n)):
        row = taken[bounds[i]]
        if row != padding_idx:
            total[:] = 0.0
            for place in range(bounds[i], bounds[i + 1]):
                source = dy[order[place]]
                for j in range(len(source)):
                    total[j] += source[j]
            out = dweight[row]
            for j in range(len(out)):
                out[j] += total[j]

"""Embedding, compiled. Backward: each row of the table has one writer, which adds in the order of the ids."""

import numpy as np

from ..reference.embedding import embedding_forward
from ._jit import chunk, parallel, prange, ready

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_backward(dy, ids, rows, padding_idx, out=None):
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype) if out is None else out
    if ids.size and dy.shape[-1]:
        # the stable order keeps the places of one id as they come: the sum is the same on every run
        order = np.argsort(ids, axis=None, kind="stable").astype(np.int64)
        taken = ids.ravel()[order]
        starts = np.flatnonzero(np.r_[True, taken[1:] != taken[:-1]]).astype(np.int64)
        ends = np.r_[starts[1:], taken.size].astype(np.int64)
        if padding_idx is not None:
            counted = taken[starts] != padding_idx
            starts, ends = starts[counted], ends[counted]
        flat = ready(dy).reshape(ids.size, dy.shape[-1])
        _gather(flat, order, taken[starts].astype(np.int64), starts, ends, chunk(len(starts)), dweight)
    return dweight


@parallel
def _gather(dy, order, ids, starts, ends, size, dweight):
    for piece in prange((len(ids) + size - 1) // size):
        first = np.int64(piece) * size
        total = np.empty(dy.shape[1], np.float64)
        for i in range(first, min(first + size, len(ids))):
            total[:] = 0.0
            for place in range(starts[i], ends[i]):
                source = order[place]
                for j in range(dy.shape[1]):
                    total[j] += dy[source, j]
            for j in range(dy.shape[1]):
                dweight[ids[i], j] += total[j]

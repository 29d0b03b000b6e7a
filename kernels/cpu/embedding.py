"""Embedding. Backward sorts the positions by id, so that every row of the table has one writer and a fixed order."""

import numpy as np

from ..reference.embedding import embedding_forward
from ._jit import CHUNKS, parallel, prange, ready

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_backward(dy, ids, rows, padding_idx):
    """dy (…, d), ids (…) → dweight (rows, d); 0 in the padding row."""
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype)
    flat = ids.reshape(-1)
    if flat.size and dy.shape[-1]:
        order = np.argsort(flat, kind="stable")
        _add_rows(ready(dy).reshape(len(flat), dy.shape[-1]), ready(flat[order], np.int64), order, dweight)
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight


@parallel
def _add_rows(dy, ids, order, dweight):
    n, d = dy.shape
    # each piece takes a range of columns of all rows: no two pieces write to the same place
    pieces = 1 if dy.size < 1 << 13 else min(CHUNKS, -(-d // 16))
    for piece in prange(pieces):
        j0, j1 = piece * d // pieces, (piece + 1) * d // pieces
        for t in range(n):
            for j in range(j0, j1):
                dweight[ids[t], j] += dy[order[t], j]

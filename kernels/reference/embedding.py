"""Embedding: rows of a table, picked by id.

y[i] = weight[ids[i]]      dweight[r] = Σ dy[i] over every i with ids[i] = r
"""

import numpy as np

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_forward(weight, ids):
    """weight (V, d), ids (…) → y (…, d)."""
    return weight.take(ids, 0)


def embedding_backward(dy, ids, rows, padding_idx, out=None):
    """dy (…, d) → dweight (rows, d). The row of padding_idx, where there is one, learns nothing.

    out (rows, d): an array to add to; a large table's gradient is 0 almost everywhere.
    """
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype) if out is None else out
    counted = np.ones(ids.shape, bool) if padding_idx is None else ids != padding_idx
    np.add.at(dweight, ids[counted], dy[counted])
    return dweight

"""Embedding: rows of a table, picked by id.

y[i] = weight[ids[i]]      dweight[r] = Σ dy[i] over every i with ids[i] = r
"""

import numpy as np

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_forward(weight, ids):
    """weight (V, d), ids (…) → y (…, d)."""
    return weight[ids]


def embedding_backward(dy, ids, rows, padding_idx):
    """dy (…, d) → dweight (rows, d). The row of padding_idx, where there is one, learns nothing."""
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype)
    np.add.at(dweight, ids.ravel(), dy.reshape(ids.size, dy.shape[-1]))
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight

"""Embedding: rows of a table picked by ids; backward adds up what comes back for the same id."""

import numpy as np

__all__ = ["embedding_backward", "embedding_forward"]


def embedding_forward(weight, ids):
    """weight (rows, d), ids (…) → y (…, d)."""
    return weight[ids]


def embedding_backward(dy, ids, rows, padding_idx):
    """dy (…, d), ids (…) → dweight (rows, d); 0 in the padding row."""
    dweight = np.zeros((rows, dy.shape[-1]), dy.dtype)
    np.add.at(dweight, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    if padding_idx is not None:
        dweight[padding_idx] = 0
    return dweight

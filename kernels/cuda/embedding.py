"""Embedding: rows of a table, picked by id.

y[i] = weight[ids[i]]      dweight[r] = Σ dy[i] over every i with ids[i] = r, added in the order of i: no atomics
"""

from ..reference import embedding as _reference
from ._array import fill, packed, to_device, zeros
from .index import add_rows, index_select_forward

__all__ = _reference.__all__


def embedding_forward(weight, ids):
    return index_select_forward(weight, 0, ids)


def embedding_backward(dy, ids, rows, padding_idx):
    dweight = zeros((rows, dy.shape[-1]), dy.dtype)
    add_rows(dweight, packed(to_device(ids)).reshape(-1), packed(dy))
    if padding_idx is not None:
        fill(dweight[padding_idx], 0)
    return dweight

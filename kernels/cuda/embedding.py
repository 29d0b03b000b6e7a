"""Embedding: rows of a table, picked by id.

y[i] = weight[ids[i]]      dweight[r] = Σ dy[i] over every i with ids[i] = r, added in the order of i: no atomics
"""

import numpy as np

from ..reference import embedding as _reference
from ._array import copy_into, packed, to_device, view, zeros
from ._map import each
from .arithmetic import _where
from .index import add_rows, index_select_forward

__all__ = _reference.__all__


def embedding_forward(weight, ids):
    return index_select_forward(weight, 0, ids)


def embedding_backward(dy, ids, rows, padding_idx, out=None):
    """out (rows, d): an array to add to."""
    ids = packed(to_device(ids))
    if padding_idx is not None:
        dy = each(_where, view(np.expand_dims, ids == padding_idx, -1), 0, dy, dtype=dy.dtype)
    dweight = zeros((rows, dy.shape[-1]), dy.dtype) if out is None else packed(out)
    add_rows(dweight, ids.reshape(-1), packed(dy))
    return dweight if out is None or dweight is out else copy_into(out, dweight)

"""Embedding: rows of a table, picked by id.

y[i] = weight[ids[i]]      dweight[r] = Σ dy[i] over every i with ids[i] = r, added in the order of i: no atomics
"""

import numpy as np

from ..reference import embedding as _reference
from ._array import copy_into, empty, packed, ready, to_device, view, zeros
from ._launch import cuda, number
from ._map import each
from ._row import HELD, SPAN, by_row, fetch, put
from .arithmetic import _where
from .index import add_rows, index_select_forward

__all__ = _reference.__all__


@by_row
def _pick(weight, ids, c, y):
    row = ids[cuda.blockIdx.x] * c
    held = cuda.local.array(HELD, number)
    for start in range(0, c, SPAN):
        fetch(weight, row + start, c - start, number(0.0), held)
        put(held, y, cuda.blockIdx.x * c + start, c - start)


def embedding_forward(weight, ids):
    if weight.dtype.kind != "f":
        return index_select_forward(weight, 0, ids)
    ids, c = ready(to_device(ids), "int64"), weight.shape[1]
    y = empty((*ids.shape, c), weight.dtype)
    if y.size:
        _pick(ids.size, c)(ready(weight), ids, c, y)
    return y


def embedding_backward(dy, ids, rows, padding_idx, out=None):
    """out (rows, d): an array to add to."""
    ids = packed(to_device(ids))
    if padding_idx is not None:
        dy = each(_where, view(np.expand_dims, ids == padding_idx, -1), 0, dy, dtype=dy.dtype)
    dweight = zeros((rows, dy.shape[-1]), dy.dtype) if out is None else packed(out)
    add_rows(dweight, ids.reshape(-1), packed(dy))
    return dweight if out is None or dweight is out else copy_into(out, dweight)

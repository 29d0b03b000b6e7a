"""Indices: NumPy picks as fast as memory delivers, and adds at duplicates in a fixed order."""

import numpy as np

from ..reference import index as _reference
from ..reference.index import *
from . import _shared
from .arithmetic import sum_to, where_forward

__all__ = _reference.__all__


def masked_fill_forward(x, mask, value):
    return where_forward(mask, np.asarray(value, x.dtype), x)


def masked_fill_backward(dy, shape, mask, needs=(True, True)):
    _, dvalue = _reference.masked_fill_backward(dy, shape, mask, (False, needs[1]))
    return sum_to(where_forward(mask, 0.0, dy), shape) if needs[0] else None, dvalue


def index_select_backward(dy, shape, dim, index):
    if dy.ndim != 2 or dim or dy.size < _shared.LARGE:
        return _reference.index_select_backward(dy, shape, dim, index)
    return _shared.compiled("embedding").embedding_backward(dy, index, shape[0], None)

"""Indices: NumPy picks as fast as memory delivers, and adds at duplicates in a fixed order."""

import math

import numpy as np

from ..reference import index as _reference
from ..reference.index import *
from ..reference.index import _add_at
from . import _shared
from ._order import places_in_order
from ._shared import add_to, put
from .arithmetic import sum_to, where_forward

__all__ = _reference.__all__


def getitem_forward(x, index):
    if type(index) is tuple and len(index) == 1 and type(index[0]) is np.ndarray and index[0].dtype == np.int64:
        if x.ndim > 1 and x.flags.c_contiguous:
            return x.take(index[0], 0)      # in a third of the time
    return _reference.getitem_forward(x, index)


def getitem_backward(dy, shape, index, out=None):
    if dy.size >= _shared.LARGE and _is_view(index):
        dx = np.zeros(shape, dy.dtype) if out is None else out
        (put if out is None else add_to)(dx[index], dy)
        return dx
    rows = _rows(index, shape)
    if rows is None or not dy.size:
        return _reference.getitem_backward(dy, shape, index, out)
    dx = np.zeros(shape, dy.dtype) if out is None else out
    count, width = rows.size, dy.size // rows.size
    if width > 1 and dy.size >= _shared.MIDDLE:
        _shared.compiled("embedding").embedding_backward(
            dy.reshape(count, width), rows, math.prod(shape) // width, None, dx.reshape(-1, width))
        return dx
    places = rows.reshape(-1, 1) * width + np.arange(width) if width > 1 else rows
    return _add_at(dx, places, dy)


def _is_view(index):
    """Nothing but numbers, slices, None and ...: no element is picked twice."""
    return all([i is None or type(i) in (int, slice, type(...)) for i in (index if type(index) is tuple else (index,))])


def _rows(index, shape):
    """Which rows an index picks, counted over the axes that it names: table[ids], x[range(n), labels]. Else None."""
    items = index if type(index) is tuple else (index,)
    rows = 0
    for item, size in zip(items, shape):
        if not (type(item) is int or type(item) is np.ndarray and item.dtype.kind in "iu"):
            return None
        if type(item) is int:
            item += size if item < 0 else 0
        else:
            item = item.astype(np.int64, copy=False)
            item = np.where(item < 0, item + size, item)
        rows = rows * size + item
    return rows if type(rows) is np.ndarray else None


def gather_forward(x, dim, index):
    shape = _as_three(x.shape, dim, index, x.dtype)
    if shape is None:
        return _reference.gather_forward(x, dim, index)
    return _shared.compiled("_gather").pick(x, index, shape).reshape(index.shape)


def gather_backward(dy, shape, dim, index):
    three = _as_three(shape, dim, index, dy.dtype)
    if three is None:
        return _reference.gather_backward(dy, shape, dim, index)
    return _shared.compiled("_gather").add(None, index, dy, three).reshape(shape)


def scatter_add_forward(x, dim, index, src):
    shape = _as_three(x.shape, dim, index, x.dtype)
    if shape is None or src.shape != index.shape:
        return _reference.scatter_add_forward(x, dim, index, src)
    return _shared.compiled("_gather").add(x, index, src, shape).reshape(x.shape)


def scatter_add_backward(dy, shape, dim, index, needs=(True, True)):
    if shape != index.shape or not needs[1]:
        return _reference.scatter_add_backward(dy, shape, dim, index, needs)
    return dy if needs[0] else None, gather_forward(dy, dim, index)


def _as_three(shape, dim, index, dtype):
    """(a, n, b), n the entries along dim, where a large index covers all other axes; None for anything else."""
    if index.size < _shared.LARGE or dtype.char not in "fd":
        return None
    before, after = shape[:dim], shape[dim + 1:]
    if index.shape[:dim] != before or index.shape[dim + 1:] != after:
        return None
    return math.prod(before), shape[dim], math.prod(after)


def sort_forward(x, dim, descending):
    indices = argsort(x, dim, descending)
    return (np.take_along_axis(x, indices, dim) if x.ndim else x.copy()), indices


def argsort(x, dim, descending):
    places = places_in_order(x, dim, descending)
    return _reference.argsort(x, dim, descending) if places is None else places


def topk_forward(x, k, dim, largest):
    if x.size < _shared.MIDDLE or x.dtype.char not in "fd" or k < 1:
        return _reference.topk_forward(x, k, dim, largest)
    compiled = _shared.compiled("_top")
    if k > compiled.MOST:
        indices = argsort(x, dim, largest).take(np.arange(k), dim)
    else:
        rows = np.moveaxis(x, dim, -1)
        indices = compiled.top(rows.reshape(-1, rows.shape[-1]), k, largest).reshape(*rows.shape[:-1], k)
        indices = np.moveaxis(indices, -1, dim)
    return np.take_along_axis(x, indices, dim), indices


def masked_fill_forward(x, mask, value):
    return where_forward(mask, np.asarray(value, x.dtype), x)


def masked_fill_backward(dy, shape, mask, needs=(True, True)):
    _, dvalue = _reference.masked_fill_backward(dy, shape, mask, (False, needs[1]))
    return sum_to(where_forward(mask, 0.0, dy), shape) if needs[0] else None, dvalue


def index_select_backward(dy, shape, dim, index):
    if dy.ndim != 2 or dim or dy.size < _shared.LARGE:
        return _reference.index_select_backward(dy, shape, dim, index)
    return _shared.compiled("embedding").embedding_backward(dy, index, shape[0], None)

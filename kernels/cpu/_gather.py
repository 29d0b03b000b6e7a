"""Elements of large arrays that an index names along one axis: picked, or added to, by all threads.

A file of its own, imported when the first large index comes, as ``_large`` is. Shapes come as (a, n, b): n are the entries
of the axis. Whoever adds has some groups, or some columns, for himself, and adds in order.
"""

import numpy as np

from ._jit import CHUNKS, parallel, prange, ready
from ._large import _piece
from ._memory import empty

__all__ = ["add", "pick"]


def pick(x, index, shape):
    """x of this shape, index (a, m, b) → y (a, m, b): y[i, j, k] = x[i, index[i, j, k], k]. All are reshaped to that."""
    index = _as_index(index, shape)
    y = empty(index.shape, x.dtype)
    if shape[2] == 1:
        _pick_along(ready(x).reshape(shape[:2]), index[..., 0], y[..., 0])
    else:
        _pick_across(ready(x).reshape(shape), index, y)
    return y


def add(start, index, values, shape):
    """start of this shape, or None: zeros; with values (a, m, b) added at index (a, m, b), in float64."""
    index = _as_index(index, shape)
    values, y = ready(values).reshape(index.shape), empty(shape, values.dtype)
    start = np.empty((0, *shape[1:]), y.dtype) if start is None else ready(start).reshape(shape)
    if shape[2] == 1:
        _add_along(start[..., 0], index[..., 0], values[..., 0], y[..., 0])
    else:
        _add_across(start, index, values, y)
    return y


def _as_index(index, shape):
    return ready(index, np.int64).reshape(shape[0], -1, shape[2])


# ---------------------------------------------------------------------------------------------------------------------
# the loops. Ids are not negative; unsigned, they are not asked whether they count from the end

@parallel
def _pick_along(x, index, y):
    a, m = y.shape
    tall, wide, across = _piece(a, m)
    for piece in prange((a + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, a)):
            row, ids, out = x[i], index[i, left:left + wide], y[i, left:left + wide]
            for j in range(len(out)):
                out[j] = row[np.uint64(ids[j])]


@parallel
def _pick_across(x, index, y):
    a, m, b = y.shape
    tall, wide, across = _piece(a, m)
    for piece in prange((a + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, a)):
            for j in range(left, min(left + wide, m)):
                ids, out = index[i, j], y[i, j]
                for k in range(b):
                    out[k] = x[i, np.uint64(ids[k]), k]


@parallel
def _add_along(start, index, values, y):
    a, n = y.shape
    tall = (a + CHUNKS - 1) // CHUNKS
    for piece in prange((a + tall - 1) // tall):
        totals, first = np.empty(n), np.int64(piece) * tall
        for i in range(first, min(first + tall, a)):
            if len(start):
                totals[:] = start[i]
            else:
                totals[:] = 0
            ids, row = index[i], values[i]
            for j in range(len(ids)):
                totals[np.uint64(ids[j])] += row[j]
            y[i] = totals


@parallel
def _add_across(start, index, values, y):
    a, n, b = y.shape
    tall, wide, across = _piece(a, b)
    for piece in prange((a + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        right = min(left + wide, b)
        totals = np.empty((n, right - left))
        for i in range(first, min(first + tall, a)):
            if len(start):
                totals[:] = start[i, :, left:right]
            else:
                totals[:] = 0
            for j in range(index.shape[1]):
                ids, row = index[i, j, left:right], values[i, j, left:right]
                for k in range(len(ids)):
                    totals[np.uint64(ids[k]), k] += row[k]
            y[i, :, left:right] = totals

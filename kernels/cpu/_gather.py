"""Elements of large arrays that an index names along one axis: picked, or added to, by all threads.

A file of its own, imported when the first large index comes, as ``_large`` is. Shapes come as (a, n, b): n are the entries
of the axis. Whoever adds has some groups, or some columns, for himself, and adds in order.
"""

import numpy as np

from ._jit import chunk, pieces, ready, spread
from ._large import cut
from ._memory import empty

__all__ = ["add", "pick"]


def pick(x, index, shape):
    """x of this shape, index (a, m, b) → y (a, m, b): y[i, j, k] = x[i, index[i, j, k], k]. All are reshaped to that."""
    index = _as_index(index, shape)
    y = empty(index.shape, x.dtype)
    size, n = cut(*index.shape[:2])
    if shape[2] == 1:
        _pick_along(n, size, ready(x).reshape(shape[:2]), index[..., 0], y[..., 0])
    else:
        _pick_across(n, size, ready(x).reshape(shape), index, y)
    return y


def add(start, index, values, shape):
    """start of this shape, or None: zeros; with values (a, m, b) added at index (a, m, b), in float64."""
    index = _as_index(index, shape)
    values, y = ready(values).reshape(index.shape), empty(shape, values.dtype)
    start = np.empty((0, *shape[1:]), y.dtype) if start is None else ready(start).reshape(shape)
    if shape[2] == 1:
        size = chunk(shape[0])
        _add_along(pieces(shape[0], size), size, start[..., 0], index[..., 0], values[..., 0], y[..., 0])
    else:
        size, n = cut(shape[0], shape[2])
        _add_across(n, size, start, index, values, y)
    return y


def _as_index(index, shape):
    return ready(index, np.int64).reshape(shape[0], -1, shape[2])


# ---------------------------------------------------------------------------------------------------------------------
# the loops. Ids are not negative; unsigned, they are not asked whether they count from the end

@spread
def _pick_along(piece, size, x, index, y):
    a, m = y.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, a)):
        row, ids, out = x[i], index[i, left:left + wide], y[i, left:left + wide]
        for j in range(len(out)):
            out[j] = row[np.uint64(ids[j])]


@spread
def _pick_across(piece, size, x, index, y):
    a, m, b = y.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, a)):
        for j in range(left, min(left + wide, m)):
            ids, out = index[i, j], y[i, j]
            for k in range(b):
                out[k] = x[i, np.uint64(ids[k]), k]


@spread
def _add_along(piece, size, start, index, values, y):
    a, n = y.shape
    totals, first = np.empty(n), piece * size
    for i in range(first, min(first + size, a)):
        if len(start):
            totals[:] = start[i]
        else:
            totals[:] = 0
        ids, row = index[i], values[i]
        for j in range(len(ids)):
            totals[np.uint64(ids[j])] += row[j]
        y[i] = totals


@spread
def _add_across(piece, size, start, index, values, y):
    a, n, b = y.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
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

"""Picking elements by where they are, and putting them back. What was picked twice gets two gradients, added up.

Indices arrive checked: inside their range, and not negative where negative ones do not wrap. ``dim`` is one axis.
"""

import numpy as np

__all__ = [
    "argsort", "bincount", "gather_backward", "gather_forward", "getitem_backward", "getitem_forward",
    "index_add_backward", "index_add_forward", "index_select_backward", "index_select_forward",
    "masked_fill_backward", "masked_fill_forward", "masked_select_backward", "masked_select_forward", "one_hot",
    "scatter_add_backward", "scatter_add_forward", "scatter_backward", "scatter_forward", "sort_backward",
    "sort_forward", "topk_backward", "topk_forward",
]


# ---------------------------------------------------------------------------------------------------------------------
# square brackets

def getitem_forward(x, index):
    """x, a NumPy index → x[index]; a view if there are only numbers and slices."""
    return x[index]


def getitem_backward(dy, shape, index, out=None):
    """dy → dx of this shape. out: an array, in C order, to add to; of a part's gradient, all the rest is 0."""
    dx = np.zeros(shape, dy.dtype) if out is None else out
    if not _has_integer_arrays(index):  # nothing is picked twice
        dx[index] = dy if out is None else dx[index] + dy
        return dx
    return _add_at(dx, np.arange(dx.size).reshape(shape)[index], dy)


# ---------------------------------------------------------------------------------------------------------------------
# along one axis

def index_select_forward(x, dim, index):
    """x, index (k,) → y, entries index of the axis."""
    return x.take(index, dim)


def index_select_backward(dy, shape, dim, index):
    """dy → dx of this shape."""
    return index_add_forward(np.zeros(shape, dy.dtype), dim, index, dy)


def index_add_forward(x, dim, index, source):
    """x, index (k,), source → y, x with entry i of the source added to entry index[i]."""
    if not x.ndim:
        return x + source.sum()
    y = x.copy()
    ys, sources = y.swapaxes(0, dim), source.swapaxes(0, dim)
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    if starts.size:
        ys[index[order][starts]] += np.add.reduceat(sources[order], starts, 0)
    return y


def index_add_backward(dy, dim, index, needs=(True, True)):
    """dy → dx, dsource."""
    return dy if needs[0] else None, dy.take(index, dim).reshape(_with(dy.shape, dim, len(index))) if needs[1] else None


def gather_forward(x, dim, index):
    """x, index of x's rank → y of index's shape: y[i, j] = x[index[i, j], j] for dim 0."""
    if not x.flags.c_contiguous:
        return np.asarray(x[_places(index, dim)])
    return np.asarray(x.reshape(-1).take(_flat(index, dim, x.shape)))


def gather_backward(dy, shape, dim, index):
    """dy → dx of this shape."""
    return _add_at(np.zeros(shape, dy.dtype), _flat(index, dim, shape), dy)


def scatter_forward(x, dim, index, src):
    """x, index, src (an array, or a number) → y, x with y[index[i, j], j] = src[i, j] for dim 0."""
    y = x.copy()
    y[_places(index, dim)] = _head(src, index.shape)
    return y


def scatter_backward(dy, shape, dim, index, needs=(True, True)):
    """dy → dx, dsrc of this shape. An element that was overwritten moved nothing."""
    dx = dsrc = None
    places = _places(index, dim)
    if needs[0]:
        dx = dy.copy()
        dx[places] = 0
    if needs[1]:
        dsrc = np.zeros(shape, dy.dtype)
        dsrc[_corner(index.shape)] = dy[places]
    return dx, dsrc


def scatter_add_forward(x, dim, index, src):
    """x, index, src → y, x with src[i, j] added to y[index[i, j], j] for dim 0."""
    y = np.array(x, order="C")
    return _add_at(y, _flat(index, dim, y.shape), _head(src, index.shape))


def scatter_add_backward(dy, shape, dim, index, needs=(True, True)):
    """dy → dx, dsrc of this shape."""
    dsrc = None
    if needs[1]:
        dsrc = np.zeros(shape, dy.dtype)
        dsrc[_corner(index.shape)] = dy[_places(index, dim)]
    return dy if needs[0] else None, dsrc


# ---------------------------------------------------------------------------------------------------------------------
# masks

def masked_fill_forward(x, mask, value):
    """x, mask (both broadcast), value → y, value where the mask is true, else x."""
    return np.where(mask, np.asarray(value, x.dtype), x)


def masked_fill_backward(dy, shape, mask, needs=(True, True)):
    """dy → dx of this shape, dvalue (a number)."""
    dx = dvalue = None
    if needs[0]:
        dx = np.where(mask, np.zeros((), dy.dtype), dy)
        new = dx.ndim - len(shape)
        dims = tuple(range(new)) + tuple(new + i for i, n in enumerate(shape) if n == 1 and dx.shape[new + i] != 1)
        dx = dx.sum(dims).reshape(shape) if dims else dx
    if needs[1]:
        dvalue = np.asarray(dy[np.broadcast_to(mask, dy.shape)].sum())
    return dx, dvalue


def masked_select_forward(x, mask):
    """x, mask of the same shape → y (n,), the elements where the mask is true."""
    return x[mask]


def masked_select_backward(dy, mask):
    """dy (n,) → dx of the mask's shape."""
    dx = np.zeros(mask.shape, dy.dtype)
    dx[mask] = dy
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# order

def argsort(x, dim, descending):
    """x → the indices that sort it along one axis; equals keep their order, NaN counts as the largest."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return x.argsort(dim, kind="stable")
    backwards = np.flip(x, dim).argsort(dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(backwards, dim)


def sort_forward(x, dim, descending):
    """x → y, sorted along one axis, and the indices that sort it."""
    indices = argsort(x, dim, descending)
    return (np.take_along_axis(x, indices, dim) if x.ndim else x.copy()), indices


def sort_backward(dy, indices, shape, dim):
    """dy → dx of this shape: every gradient back to where its element came from."""
    dx = np.zeros(shape, dy.dtype)
    if not shape:
        return dx + dy
    np.put_along_axis(dx, indices, dy, dim)
    return dx


def topk_forward(x, k, dim, largest):
    """x → y, the k largest or smallest along one axis, best first, and their indices."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    indices = argsort(x, dim, largest).take(np.arange(k), dim)
    return np.take_along_axis(x, indices, dim), indices


def topk_backward(dy, indices, shape, dim):
    """dy → dx of this shape: 0 for what was not chosen."""
    return sort_backward(dy, indices, shape, dim)


# ---------------------------------------------------------------------------------------------------------------------
# whole numbers

def one_hot(x, classes):
    """x (…) → y (…, classes): 1 at position x, else 0."""
    y = np.zeros((x.size, classes), np.int64)
    y[np.arange(x.size), x.reshape(-1)] = 1
    return y.reshape(*x.shape, classes)


def bincount(x, weights, minlength):
    """x (n,) → how often each number from 0 up occurs, or the sum of its weights."""
    counts = np.bincount(x, weights, minlength)
    return counts if weights is None or weights.dtype != np.float32 else counts.astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------

def _add_at(y, places, values):
    """y.flat[places] += values, in order, also where a place occurs twice. y is contiguous and returned."""
    flat = y.reshape(-1)
    np.add.at(flat, places.reshape(-1), values.reshape(-1))
    return y


def _has_integer_arrays(index):
    index = index if isinstance(index, tuple) else (index,)
    return any(isinstance(i, np.ndarray) and i.dtype.kind in "iu" and i.ndim for i in index)


def _places(index, dim):
    """The NumPy index that gather and scatter mean: every axis counts up, dim follows the index."""
    if not index.ndim:
        return ()
    places = [np.arange(n).reshape(n, *(1,) * (index.ndim - axis - 1)) for axis, n in enumerate(index.shape)]
    places[dim] = index
    return tuple(places)


def _flat(index, dim, shape):
    """The same places, counted in reading order."""
    step, after = 1, []     # from one entry of an axis to the next; and the axes after it, of size 1
    places = np.zeros((), np.int64)
    for axis in reversed(range(index.ndim)):
        entries = index if axis == dim else np.arange(index.shape[axis]).reshape(-1, *after)
        places = places + entries * np.int64(step)
        step *= shape[axis]
        after.append(1)
    return places


def _corner(shape):
    return tuple(slice(n) for n in shape)


def _head(src, shape):
    """The part of src that the index covers."""
    return src[_corner(shape)] if np.ndim(src) else src


def _with(shape, dim, size):
    return (*shape[:dim], size, *shape[dim + 1:])

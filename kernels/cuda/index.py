"""Picking elements by where they are, and putting them back. What was picked twice gets two gradients, added up.

Square brackets, gather and scatter all come to one thing: where in memory each element stands. Adding goes without atomics,
whose order would differ from run to run: the places are sorted, and one thread adds up all that belong to one place.
Sorting is by merging: runs of 1, 2, 4 … are in order; every element looks up its rank in the neighbouring run.
"""

import math

import numpy as np

from ..reference import index as _reference
from ._array import (
    Array,
    cast,
    collapsed,
    copy_into,
    counting,
    empty,
    full,
    packed,
    place,
    ready,
    to_device,
    view,
    zeros,
)
from ._four import load_one
from ._launch import blocks_for, cuda, device, kernel, number
from ._map import each, formula
from .arithmetic import _where, add_forward, sum_to
from .reduce import cumsum_forward, sum_forward

__all__ = _reference.__all__


@kernel
def _take(x, offset, rest_steps, places, place_steps, shape, n, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[i] = x[offset + places[place(i, shape, place_steps)] + place(i, shape, rest_steps)]


@kernel
def _put(x, places, place_steps, shape, n, offset, rest_steps, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[offset + places[place(i, shape, place_steps)] + place(i, shape, rest_steps)] = x[i]


@kernel
def _spell_out(places, place_steps, offset, rest_steps, shape, n, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[i] = offset + places[place(i, shape, place_steps)] + place(i, shape, rest_steps)


@kernel
def _add_segments(values, ids, order, n, c, y):
    # ids are sorted: whoever stands first among equals adds all of them up, in the order in which they came
    for k in range(cuda.grid(1), n * c, cuda.gridsize(1)):
        i, j = k // c, k % c
        if i == 0 or ids[i] != ids[i - 1]:
            total = number(0.0)
            m = i
            while m < n and ids[m] == ids[i]:
                total += values[order[m] * c + j]
                m += 1
            y[ids[i] * c + j] += total      # their sum first: the same, whether y was 0 or is added to later


def add_rows(y, ids, values):
    """y (m, c) += values (n, c) at the rows ids (n,), also where a row is named often. y is contiguous and returned."""
    if values.size and y.size:
        order = argsort(ids, 0, False)
        ids = index_select_forward(ids, 0, order)
        c = values.size // ids.size
        _add_segments[blocks_for(values.size)](ready(values, y.dtype), ids, order, ids.size, c, y)
    return y


_add_segments.number_like = -1


# ---------------------------------------------------------------------------------------------------------------------
# square brackets

def getitem_forward(x, index):
    if _is_plain(index):
        items = _items(index)       # with ... at the end, a number's place is a view, too
        return view(lambda ghost: ghost[items if any(i is Ellipsis for i in items) else (*items, Ellipsis)], x)
    return _taken(*_found(x, index))


def getitem_backward(dy, shape, index, out=None):
    dx = zeros(shape, dy.dtype) if out is None else packed(out)
    if _is_plain(index):
        part = getitem_forward(dx, index)
        copy_into(part, dy if out is None else add_forward(part, dy))
        return dx if out is None or dx is out else copy_into(out, dx)
    x, places, place_steps, rest_steps, shape = _found(dx, index)
    if not any(_is_mask(item) for item in _items(index)) or sum(_is_array(item) for item in _items(index)) > 1:
        add_rows(dx.reshape(-1, 1), _all_places(x, places, place_steps, rest_steps, shape), dy.reshape(-1, 1))
    else:       # a mask picks nothing twice
        picked = dy if out is None else add_forward(getitem_forward(dx, index), dy)
        _write(picked, x, places, place_steps, rest_steps, shape)
    return dx if out is None or dx is out else copy_into(out, dx)


def put(x, index, value):
    """x[index] = value"""
    if not isinstance(value, Array):
        value = to_device(np.asarray(value)) if np.ndim(value) else full((), value, x.dtype)
    if _is_plain(index):
        copy_into(getitem_forward(x, index), value)
    else:
        _write(value, *_found(x, index))


def _items(index):
    return index if isinstance(index, tuple) else (index,)


def _is_array(item):
    return isinstance(item, (Array, np.ndarray))


def _is_mask(item):
    return _is_array(item) and item.dtype == bool


def _is_plain(index):
    """Only numbers, slices, None and …: the result is a view."""
    return not any(_is_array(item) for item in _items(index))


_wrapped = formula(lambda i, size, step: (i + size if i < 0 else i) * step)


def _found(x, index):
    """→ a view of x, where its picked elements stand in memory (an array, to be broadcast), and the result's shape.

    NumPy's rules: index arrays are broadcast against each other, and stand where the first stood, or in front if something
    else stood between them. A number counts as an array of one.
    """
    if any(_is_mask(item) and not item.ndim for item in _items(index)):
        x, index = _with_axes_for_bools(x, _items(index))
    items = []
    for item in _items(index):
        items += nonzero(to_device(item)) if _is_mask(item) else [to_device(item) if _is_array(item) else item]
    used = sum(item is not None and item is not Ellipsis for item in items)
    dots = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items = [*items[:dots], *[slice(None)] * (x.ndim - used), *items[dots + 1:]]
    picks = [i for i, item in enumerate(items) if isinstance(item, (Array, int, np.integer))]
    x = view(lambda ghost: ghost[tuple([slice(None) if i in picks else item for i, item in enumerate(items)])], x)
    arrays = [items[i] if isinstance(items[i], Array) else full((), int(items[i]), np.int64) for i in picks]
    common = np.broadcast_shapes(*[a.shape for a in arrays])
    places = zeros(common, np.int64)
    for i, a in zip(picks, arrays):
        places = each(_wrapped, a, x.shape[i], x.steps[i], dtype=np.int64) + places
    together = picks == list(range(picks[0], picks[-1] + 1))
    rest = [i for i in range(x.ndim) if i not in picks]
    start = picks[0] if together else 0
    shape = (*[x.shape[i] for i in rest[:start]], *common, *[x.shape[i] for i in rest[start:]])
    rest_steps = (*[x.steps[i] for i in rest[:start]], *[0] * len(common), *[x.steps[i] for i in rest[start:]])
    place_steps = (*[0] * start, *places.steps, *[0] * (len(rest) - start))
    return x, places, tuple(0 if n == 1 else s for n, s in zip(shape, place_steps)), rest_steps, shape


def _with_axes_for_bools(x, items):
    """A single bool picks all or nothing along an axis of its own: x with these axes, and masks of one entry."""
    places = []
    for item in items:
        if _is_mask(item):
            places += [slice(None)] * item.ndim or [None]
        elif item is not None:
            places.append(item if item is Ellipsis else slice(None))
    return view(lambda ghost: ghost[tuple(places)], x), tuple(
        [item.reshape(1) if _is_mask(item) and not item.ndim else item for item in items])


def _taken(x, places, place_steps, rest_steps, shape):
    y = empty(shape, x.dtype)
    if y.size:
        shape, place_steps, rest_steps = collapsed(shape, place_steps, rest_steps)
        _take[blocks_for(y.size)](x.whole, x.offset, rest_steps, places, place_steps, shape, y.size, y)
    return y


def _write(value, x, places, place_steps, rest_steps, shape):
    value = packed(view(np.broadcast_to, value, shape))
    x.memory.known = None
    if value.size:
        shape, place_steps, rest_steps = collapsed(shape, place_steps, rest_steps)
        _put[blocks_for(value.size)](value, places, place_steps, shape, value.size, x.offset, rest_steps, x.whole)


def _all_places(x, places, place_steps, rest_steps, shape):
    """Where every element of the result stands, written out (n,)."""
    n = math.prod(shape)
    y = empty((n,), np.int64)
    if n:
        shape, place_steps, rest_steps = collapsed(shape, place_steps, rest_steps)
        _spell_out[blocks_for(n)](places, place_steps, x.offset, rest_steps, shape, n, y)
    return y


# ---------------------------------------------------------------------------------------------------------------------
# along one axis

def index_select_forward(x, dim, index):
    return _taken(*_found(x, (*[slice(None)] * dim, to_device(index)))) if x.ndim else view(np.broadcast_to, x, index.shape)


def index_select_backward(dy, shape, dim, index):
    return index_add_forward(zeros(shape, dy.dtype), dim, index, dy)


def index_add_forward(x, dim, index, source):
    if not x.ndim:
        return x + sum_forward(source, tuple(range(source.ndim)), False)
    y = cast(view(np.moveaxis, x, dim, 0), x.dtype)
    add_rows(y, to_device(index), packed(view(np.moveaxis, source, dim, 0)))
    return packed(view(np.moveaxis, y, 0, dim))


def index_add_backward(dy, dim, index, needs=(True, True)):
    dsource = None
    if needs[1]:
        shape = (*dy.shape[:dim], len(index), *dy.shape[dim + 1:])
        dsource = index_select_forward(dy, dim, index).reshape(shape)
    return dy if needs[0] else None, dsource


def gather_forward(x, dim, index):
    return _taken(*_along(x, dim, index))


def gather_backward(dy, shape, dim, index):
    return scatter_add_forward(zeros(shape, dy.dtype), dim, index, dy)


def scatter_forward(x, dim, index, src):
    y = cast(x, x.dtype)
    src = _head(src, index.shape) if isinstance(src, Array) else full((), src, x.dtype)
    _write(src, *_along(y, dim, index))
    return y


def scatter_backward(dy, shape, dim, index, needs=(True, True)):
    dsrc = _spread(dy, shape, dim, index) if needs[1] else None
    return scatter_forward(dy, dim, index, 0) if needs[0] else None, dsrc


def scatter_add_forward(x, dim, index, src):
    y = cast(x, x.dtype)
    values = packed(_head(src, index.shape))
    add_rows(y.reshape(-1, 1), _all_places(*_along(y, dim, index)), values.reshape(-1, 1))
    return y


def scatter_add_backward(dy, shape, dim, index, needs=(True, True)):
    return dy if needs[0] else None, _spread(dy, shape, dim, index) if needs[1] else None


def _along(x, dim, index):
    """Like ``_found``: every axis counts up, dim follows the index."""
    index = to_device(index)
    if not index.ndim:
        return x, zeros((), np.int64), (), (), ()
    places = packed(each(_wrapped, index, x.shape[dim], x.steps[dim], dtype=np.int64))
    rest_steps = tuple([0 if axis == dim else step for axis, step in enumerate(x.steps)])
    return x, places, places.steps, rest_steps, index.shape


def _spread(dy, shape, dim, index):
    """The gradients of the elements that went to these places, 0 for those of no index."""
    dsrc = zeros(shape, dy.dtype)
    copy_into(_head(dsrc, index.shape), gather_forward(dy, dim, index))
    return dsrc


def _head(src, shape):
    """The part of src that the index covers."""
    return src[tuple([slice(n) for n in shape])] if src.ndim else src


# ---------------------------------------------------------------------------------------------------------------------
# masks

def masked_fill_forward(x, mask, value):
    return each(_where, mask, value, x, dtype=x.dtype)


def masked_fill_backward(dy, shape, mask, needs=(True, True)):
    dx = dvalue = None
    if needs[0]:
        dx = sum_to(each(_where, mask, 0, dy, dtype=dy.dtype), shape)
    if needs[1]:
        dvalue = sum_to(each(_where, mask, dy, 0, dtype=dy.dtype), ())
    return dx, dvalue


@kernel
def _list_true(mask, counts, n, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        if mask[i]:
            y[counts[i] - 1] = i


def true_places(mask):
    """Where a mask is true, in reading order (n,). How many that is, the host has to wait for."""
    mask = packed(mask.reshape(-1))
    counts = cumsum_forward(mask, 0)
    y = empty((int(counts[-1]) if counts.size else 0,), np.int64)
    if y.size:
        _list_true[blocks_for(mask.size)](mask, counts, mask.size, y)
    return y


_coordinate = formula(lambda i, below, size: i // below % size)


def nonzero(x):
    """Where x is not 0: one array of indices per axis."""
    places, below = true_places(x if x.dtype == bool else x != 0), x.size
    axes = []
    for size in x.shape:
        below //= max(size, 1)
        axes.append(each(_coordinate, places, max(below, 1), max(size, 1)))
    return axes


def masked_select_forward(x, mask):
    return index_select_forward(x.reshape(-1), 0, true_places(mask))


def masked_select_backward(dy, mask):
    dx = zeros(mask.shape, dy.dtype)
    put(dx.reshape(-1), true_places(mask), dy)
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# order

@device
def _before(a, b, descending):
    """Does a stand before b? NaN counts as the largest."""
    if descending:
        return a > b or (a != a and b == b)
    return a < b or (b != b and a == a)


@kernel
def _merge(keys, order, n, c, width, descending, y):
    for k in range(cuda.grid(1), n * c, cuda.gridsize(1)):
        row, p = k // c * c, k % c
        start = p // (2 * width) * 2 * width
        middle, end = start + width, start + 2 * width
        middle, end = middle if middle < c else c, end if end < c else c
        mine = load_one(keys, row + order[k])
        # how many of the other run stand before me? Equals of the left run stand before those of the right one
        first = p < middle
        low = middle if first else start
        high = end if first else middle
        begin = low
        while low < high:
            half = (low + high) // 2
            other = load_one(keys, row + order[row + half])
            before = _before(other, mine, descending) if first else not _before(mine, other, descending)
            if before:
                low = half + 1
            else:
                high = half
        y[row + (p if first else start + p - middle) + low - begin] = order[k]


_remainder = formula(lambda i, n: i % n)


def argsort(x, dim, descending):
    if not x.ndim:
        return full((), 0, np.int64)
    keys = packed(view(np.moveaxis, x if x.dtype != bool else cast(x, np.uint8), dim, -1))
    c = keys.shape[-1]
    order = each(_remainder, counting(keys.size), max(c, 1)).reshape(keys.shape)
    width = 1
    while width < c and keys.size:
        merged = empty(keys.shape, np.int64)
        _merge[blocks_for(keys.size)](keys, order, keys.size // c, c, width, bool(descending), merged)
        order, width = merged, 2 * width
    return view(np.moveaxis, order, -1, dim)


def sort_forward(x, dim, descending):
    indices = argsort(x, dim, descending)
    return (gather_forward(x, dim, indices) if x.ndim else cast(x, x.dtype)), indices


def sort_backward(dy, indices, shape, dim):
    if not shape:
        return cast(dy.reshape(()), dy.dtype)
    dx = zeros(shape, dy.dtype)
    _write(dy, *_along(dx, dim, indices))
    return dx


def topk_forward(x, k, dim, largest):
    if not x.ndim:
        return cast(x, x.dtype), full((), 0, np.int64)
    indices = packed(argsort(x, dim, largest)[(slice(None),) * dim + (slice(k),)])
    return gather_forward(x, dim, indices), indices


def topk_backward(dy, indices, shape, dim):
    return sort_backward(dy, indices, shape, dim)


# ---------------------------------------------------------------------------------------------------------------------
# whole numbers

_same_number = formula(lambda i, j: i == j)


def one_hot(x, classes):
    return each(_same_number, view(np.expand_dims, x, -1), counting(classes), dtype=np.int64)


def bincount(x, weights, minlength):
    n = max(int(x.max()) + 1 if x.size else 0, minlength)
    dtype = np.int64 if weights is None else np.float32 if weights.dtype == np.float32 else np.float64
    ones = full((x.size,), 1, np.int64) if weights is None else weights
    return add_rows(zeros((n,), dtype), cast(x, np.int64), ready(ones, dtype))

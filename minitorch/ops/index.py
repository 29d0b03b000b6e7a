"""Picking elements by where they are: square brackets, gather and scatter, masks; whole numbers that are ids.

Each class is a node of the tape; the function under it is what people call. Indices come back as int64. Negative
numbers count from the end in square brackets; as ids in gather or index_select they are refused.
"""

from __future__ import annotations

import math
import operator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minitorch.autograd import Function, Scattered, Variable
from minitorch.errors import DTypeError, RangeError, ShapeError, got
from minitorch.ops.arguments import as_dim, numpy_names
from minitorch.ops.device import is_array, on_device_of, on_host, within
from minitorch.ops.dtype import to_dtype
from minitorch.ops.order import Order
from minitorch.ops.shape import broadcast_to, flatten
from minitorch.random import numpy_generator

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "argwhere", "bincount", "gather", "getitem", "index_add", "index_fill", "index_select", "masked_fill",
    "masked_select", "multinomial", "nonzero", "one_hot", "plain_index", "scatter", "scatter_add", "take_along_dim",
]


# ---------------------------------------------------------------------------------------------------------------------
# square brackets

LARGE = 1 << 10     # elements of x: from here on, a part's gradient is added to those of other parts where it stands


class GetItem(Function):
    """The elements that square brackets name.

    Forward    y = x[index]
    Backward   dx[index] += dy, from 0: an element that was picked twice gets both gradients
    Saved      x's shape, the index
    Shapes     x (…)    y: NumPy's rules
    Derived in docs/ops/index.md
    """

    def forward(self, x, *, index):
        self.shape, self.index = x.shape, index
        return self.k.getitem_forward(x, index)

    def backward(self, dy):
        if math.prod(self.shape) < LARGE:
            return self.k.getitem_backward(dy, self.shape, self.index)
        return Scattered(partial(self.k.getitem_backward, dy, self.shape, self.index), self.shape, dy.dtype)


def getitem(x: Tensor, index) -> Tensor:
    """``x[index]``: ints, slices, None, ..., bool masks, lists and tensors of ints. Ints and slices give a view.

    >>> minitorch.tensor([[1, 2], [3, 4]])[:, -1]
    tensor([2, 4])
    """
    return GetItem.apply(x, index=plain_index(x, index))


def plain_index(x: Tensor, index) -> Any:
    """What stands in the square brackets, as NumPy takes it: tensors and lists as arrays; checked against x's shape."""
    shape = x.data.shape
    if isinstance(index, Variable) and index.data.dtype.kind == "i" and index.data.ndim and shape:
        _check_range("t[...]", index.data, shape[0], 0, shape, wraps=True)
        return (index.data,)
    given = index if isinstance(index, tuple) else (index,)
    if _is_plain(given, shape):
        return index
    items = [_plain_item(item) for item in given]
    used = [item.ndim if _is_mask(item) else 0 if item is None or item is Ellipsis else 1 for item in items]
    if sum(used) > len(shape):
        raise IndexError(f"t[...]: {sum(used)} indices for a tensor of shape {shape}, which has {len(shape)} axes")
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    for i in dots[1:][::-1]:  # PyTorch lets ... stand twice; the second means nothing
        del items[i], used[i]
    axis = 0
    for i, (item, n) in enumerate(zip(items, used)):
        if item is Ellipsis:
            axis = len(shape) - sum(used[i:])
        elif _is_mask(item):
            if item.shape != shape[axis:axis + n]:
                raise IndexError(f"t[...]: a mask of shape {item.shape} stands at axis {axis} of shape {shape}; a mask "
                                 f"has the shape of the axes that it covers, {shape[axis:axis + n]}")
        elif n and not isinstance(item, slice):
            _check_range("t[...]", item, shape[axis], axis, shape, wraps=True)
        axis += n
    arrays = [item for item in items if is_array(item)]
    if len(arrays) < 2 and len(arrays) == len(items):
        return tuple(items)
    numbers = [item.shape for item in arrays if item.dtype.kind != "b"]
    masks = [(np.count_nonzero(item),) for item in arrays if item.dtype.kind == "b"]
    try:
        np.broadcast_shapes(*numbers, *masks)
    except ValueError:
        raise IndexError(f"t[...]: index arrays of shapes {', '.join(map(str, numbers + masks))} do not broadcast "
                         "against each other") from None
    return _pytorch_order(items, used, shape)


# ---------------------------------------------------------------------------------------------------------------------
# along one axis

class IndexSelect(Function):
    """Entries of one axis.

    Forward    y[i] = x[index[i]] along dim
    Backward   dx[index[i]] += dy[i], from 0
    Saved      x's shape, index
    Shapes     x (…, n, …)    index (k,)    y (…, k, …)
    Derived in docs/ops/index.md
    """

    def forward(self, x, *, dim, index):
        self.shape, self.dim, self.index = x.shape, dim, index
        return self.k.index_select_forward(x, dim, index)

    def backward(self, dy):
        return self.k.index_select_backward(dy, self.shape, self.dim, self.index)


@numpy_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries index of one axis.

    >>> minitorch.tensor([[1, 2], [3, 4]]).index_select(1, minitorch.tensor([1, 1]))
    tensor([[2, 2],
            [4, 4]])
    """
    dim, ids = _ids("index_select", input, dim, index)
    if ids.ndim > 1:
        raise IndexError(f"index_select: index must have one axis, got shape {ids.shape}. For more, use x[index].")
    ids = ids.reshape(-1)
    if not input.data.ndim:
        return input
    return IndexSelect.apply(input, dim=dim, index=ids)


class IndexAdd(Function):
    """Entries added to entries of one axis.

    Forward    y = x, then y[index[i]] += source[i] along dim
    Backward   dx = dy      dsource[i] = dy[index[i]]
    Saved      index
    Shapes     x, y (…, n, …)    index (k,)    source (…, k, …)
    Derived in docs/ops/index.md
    """

    def forward(self, x, source, *, dim, index):
        self.dim, self.index = dim, index
        return self.k.index_add_forward(x, dim, index, source)

    def backward(self, dy):
        return self.k.index_add_backward(dy, self.dim, self.index, self.needs)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha=1) -> Tensor:
    """x with alpha times entry i of the source added to entry index[i] of one axis.

    >>> minitorch.zeros(3).index_add(0, minitorch.tensor([1, 1]), minitorch.tensor([2.0, 5.0]))
    tensor([0., 7., 0.])
    """
    dim, ids = _ids("index_add", input, dim, index)
    expected = (*input.data.shape[:dim], ids.size, *input.data.shape[dim + 1:])
    if not input.data.ndim or ids.ndim != 1 or source.data.shape != expected:
        raise ShapeError(f"index_add: source must have shape {expected} for input {input.data.shape}, dim {dim} and an "
                         f"index of shape {ids.shape}, got {source.data.shape}")
    _same_dtype("index_add", "source", input, source)
    return IndexAdd.apply(input, source if alpha == 1 else source * alpha, dim=dim, index=ids)


class Gather(Function):
    """From every row along an axis, the elements that an index names.

    Forward    y[i, j] = x[index[i, j], j]      for dim 0; x[i, index[i, j]] for dim 1
    Backward   dx[index[i, j], j] += dy[i, j], from 0
    Saved      x's shape, index
    Shapes     index, y: x's rank, no larger than x except along dim
    Derived in docs/ops/index.md
    """

    def forward(self, x, *, dim, index):
        self.shape, self.dim, self.index = x.shape, dim, index
        return self.k.gather_forward(x, dim, index)

    def backward(self, dy):
        return self.k.gather_backward(dy, self.shape, self.dim, self.index)


@numpy_names
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """From every row along dim, the elements that index names.

    >>> minitorch.tensor([[1, 2], [3, 4]]).gather(1, minitorch.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    dim, ids = _ids("gather", input, dim, index)
    ids = _covering("gather", input, dim, ids)
    return Gather.apply(input, dim=dim, index=ids)


@numpy_names
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Like gather, but x and indices are broadcast against each other; without dim, from all elements in reading order.

    >>> x = minitorch.tensor([[3, 1], [2, 4]])
    >>> x.take_along_dim(x.argsort(1), 1)
    tensor([[1, 3],
            [2, 4]])
    """
    if dim is None:
        return take_along_dim(flatten(input), flatten(indices), 0)
    if input.data.ndim != indices.data.ndim:
        raise ShapeError(f"take_along_dim: x {input.data.shape} and indices {indices.data.shape} need as many axes")
    dim, ids = _ids("take_along_dim", input, dim, indices, wraps=True)
    rest = [tuple(1 if i == dim else n for i, n in enumerate(a.shape)) for a in (input.data, ids)]
    try:
        shape = np.broadcast_shapes(*rest)
    except ValueError:
        raise ShapeError(f"take_along_dim: x {input.data.shape} and indices {ids.shape} do not broadcast except along "
                         f"axis {dim}") from None
    full = [(*shape[:dim], a.shape[dim], *shape[dim + 1:]) if a.ndim else () for a in (input.data, ids)]
    input = input if input.data.shape == full[0] else broadcast_to(input, full[0])
    return Gather.apply(input, dim=dim, index=np.broadcast_to(ids, full[1]))


class Scatter(Function):
    """Elements written over elements that an index names.

    Forward    y = x, then y[index[i, j], j] = src[i, j]      for dim 0
    Backward   dx = dy, 0 where something was written      dsrc[i, j] = dy[index[i, j], j]
    Saved      index, src's shape
    Shapes     x, y (…)    index no larger than src, and than x except along dim
    Derived in docs/ops/index.md
    """

    def forward(self, x, src, *, dim, index):
        self.shape, self.dim, self.index = np.shape(src), dim, index
        return self.k.scatter_forward(x, dim, index, src)

    def backward(self, dy):
        return self.k.scatter_backward(dy, self.shape, self.dim, self.index, self.needs)


def scatter(input: Tensor, dim: int, index: Tensor, src=None, *, value=None) -> Tensor:
    """x with elements of src, a tensor or a number, written where index says. An index should name no place twice.

    >>> minitorch.zeros(2, 2).scatter(1, minitorch.tensor([[1], [0]]), 5.0)
    tensor([[0., 5.],
            [5., 0.]])
    """
    src = value if src is None else src
    dim, ids = _ids("scatter", input, dim, index)
    ids = _covering("scatter", input, dim, ids, src)
    return Scatter.apply(input, src, dim=dim, index=ids)


class ScatterAdd(Function):
    """Elements added to elements that an index names.

    Forward    y = x, then y[index[i, j], j] += src[i, j]      for dim 0
    Backward   dx = dy      dsrc[i, j] = dy[index[i, j], j]
    Saved      index, src's shape
    Shapes     x, y (…)    index no larger than src, and than x except along dim
    Derived in docs/ops/index.md
    """

    def forward(self, x, src, *, dim, index):
        self.shape, self.dim, self.index = src.shape, dim, index
        return self.k.scatter_add_forward(x, dim, index, src)

    def backward(self, dy):
        return self.k.scatter_add_backward(dy, self.shape, self.dim, self.index, self.needs)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with elements of src added where index says; a place may be named often.

    >>> minitorch.zeros(2).scatter_add(0, minitorch.tensor([1, 1]), minitorch.tensor([2.0, 3.0]))
    tensor([0., 5.])
    """
    if not isinstance(src, Variable):
        raise TypeError(f"scatter_add: src must be a Tensor, {got(src)}")
    dim, ids = _ids("scatter_add", input, dim, index)
    ids = _covering("scatter_add", input, dim, ids, src)
    return ScatterAdd.apply(input, src, dim=dim, index=ids)


# ---------------------------------------------------------------------------------------------------------------------
# masks

class MaskedFill(Function):
    """One value where a mask is true.

    Forward    y = value where mask, else x
    Backward   dx = 0 where mask, else dy      dvalue = Σ dy where mask
    Saved      mask, x's shape
    Shapes     x, mask broadcast to y    value ()
    Derived in docs/ops/index.md
    """

    def forward(self, x, value, *, mask):
        self.shape, self.mask = x.shape, mask
        return self.k.masked_fill_forward(x, mask, value)

    def backward(self, dy):
        return self.k.masked_fill_backward(dy, self.shape, self.mask, self.needs)


def masked_fill(input: Tensor, mask: Tensor, value) -> Tensor:
    """x with one value, a number or a 0-d tensor, where the mask is true.

    >>> minitorch.tensor([1.0, 2.0]).masked_fill(minitorch.tensor([True, False]), -1)
    tensor([-1.,  2.])
    """
    _need_mask("masked_fill", mask)
    if isinstance(value, Variable):
        if value.data.ndim:
            raise ShapeError(f"masked_fill: value must be a number or a 0-d tensor, got shape {value.data.shape}. To "
                             "choose element by element, use where(mask, value, x).")
        value = to_dtype(value, input.data.dtype)
    elif input.data.dtype.kind != "f" and (not np.isfinite(value) or
                                           input.data.dtype.kind in "iu" and float(value) != int(value)):
        raise DTypeError(f"masked_fill: {value} cannot be a value of {input.data.dtype}. Use x.float() first.")
    try:
        return MaskedFill.apply(input, value, mask=mask.data)
    except ValueError:
        _check_mask("masked_fill", input, mask)
        raise


def index_fill(input: Tensor, dim: int, index: Tensor, value) -> Tensor:
    """x with one value, a number or a 0-d tensor, at these places along an axis.

    >>> minitorch.zeros(2, 3).index_fill(1, minitorch.tensor([0, 2]), 5.0)
    tensor([[5., 0., 5.],
            [5., 0., 5.]])
    """
    dim, ids = _ids("index_fill", input, dim, index)
    chosen = np.zeros([size if axis == dim else 1 for axis, size in enumerate(input.data.shape)], np.bool_)
    chosen.reshape(-1)[ids] = True
    return masked_fill(input, input.like(chosen), value)


class MaskedSelect(Function):
    """The elements where a mask is true, in reading order.

    Forward    y = x[mask]
    Backward   dx = dy where mask, in the same order, else 0
    Saved      mask
    Shapes     x, mask (…)    y (as many as are true,)
    Derived in docs/ops/index.md
    """

    def forward(self, x, *, mask):
        self.mask = mask
        return self.k.masked_select_forward(x, mask)

    def backward(self, dy):
        return self.k.masked_select_backward(dy, self.mask)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is true, as one axis; x and mask are broadcast.

    >>> minitorch.tensor([1.0, 2.0, 3.0]).masked_select(minitorch.tensor([True, False, True]))
    tensor([1., 3.])
    """
    shape = _check_mask("masked_select", input, mask)
    input = input if input.data.shape == shape else broadcast_to(input, shape)
    return MaskedSelect.apply(input, mask=np.broadcast_to(mask.data, shape))


def nonzero(input: Tensor, *, as_tuple: bool = False):
    """Where the elements are that are not 0: one row of indices each, or one tensor per axis.

    >>> minitorch.tensor([0, 5, 6]).nonzero()
    tensor([[1],
            [2]])
    """
    if as_tuple:
        return tuple(input.like(i) for i in np.nonzero(input.data if input.data.ndim else input.data.reshape(1)))
    return input.like(np.argwhere(input.data))


def argwhere(input: Tensor) -> Tensor:
    """Where the elements are that are not 0: one row of indices each."""
    return nonzero(input)


# ---------------------------------------------------------------------------------------------------------------------
# ids

def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """1 at the position that each id names, 0 elsewhere, along a new last axis; as many classes as the ids need.

    >>> minitorch.one_hot(minitorch.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if input.data.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: ids must be integers, got {input.data.dtype}. Use x.long().")
    if num_classes <= 0 and (num_classes != -1 or not input.data.size):
        raise RuntimeError(f"one_hot: num_classes must be positive, or −1 to take what the ids need; got {num_classes} "
                           f"for {input.data.size} ids")
    if num_classes == -1:
        num_classes = max(int(input.data.max()), 0) + 1
    _check_range("one_hot", input.data, num_classes, None, None)
    return Order.apply(input, op="one_hot", classes=num_classes)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 up occurs, or the sum of its weights.

    >>> minitorch.bincount(minitorch.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    if input.data.dtype.kind not in "iu" or input.data.ndim != 1 or (input.data < 0).any():
        raise RuntimeError(f"bincount: expected a vector of integers that are not negative, got {input.data.dtype} "
                           f"{input.data.shape}")
    return Order.apply(input, op="bincount", weights=None if weights is None else weights.data, minlength=minlength)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator=None) -> Tensor:
    """Positions drawn at random, each row's elements being their weights; they need not add up to 1.

    >>> minitorch.multinomial(minitorch.tensor([0.0, 3.0]), 4, replacement=True)
    tensor([1, 1, 1, 1])
    """
    weights = on_host(input.data).astype(np.float64)
    if input.data.dtype.kind != "f":
        raise DTypeError(f"multinomial: weights must be floats, got {input.data.dtype}. Use x.float().")
    if weights.ndim not in (1, 2) or not weights.shape[-1]:
        raise ShapeError(f"multinomial: weights must be a vector or a matrix with a column, got {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("multinomial: weights must be finite and not negative")
    rows = weights.reshape(-1, weights.shape[-1])
    if (rows.sum(-1) <= 0).any():
        raise RuntimeError("multinomial: every row needs a weight above 0")
    if num_samples < 1 or not replacement and num_samples > rows.shape[-1]:
        raise RuntimeError(f"multinomial: cannot draw {num_samples} of {rows.shape[-1]} without replacement. "
                           "Draw at least 1; to draw more than there are, pass replacement=True.")
    if not replacement and (np.count_nonzero(rows, -1) < num_samples).any():
        raise RuntimeError(f"multinomial: a row has fewer than {num_samples} weights above 0, and replacement=False. "
                           "Draw fewer, or pass replacement=True.")
    random = numpy_generator(generator)
    if replacement:  # a uniform number falls between two sums of weights
        sums = rows.cumsum(-1)
        points = random.random((len(rows), num_samples)) * sums[:, -1:]
        drawn = np.array([np.searchsorted(s, p, side="right") for s, p in zip(sums, points)], np.int64)
        last = rows.shape[-1] - 1 - (rows[:, ::-1] > 0).argmax(-1)
        drawn = np.minimum(drawn.reshape(points.shape), last[:, None])
    else:  # the smallest of exponential waiting times, each divided by its weight
        waits = random.standard_exponential(rows.shape)
        waits = np.divide(waits, rows, out=np.full_like(rows, np.inf), where=rows > 0)
        drawn = waits.argmin(-1)[:, None] if num_samples == 1 else waits.argsort(-1, kind="stable")[:, :num_samples]
    return input.like(on_device_of(drawn.reshape(*weights.shape[:-1], num_samples), input))


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _is_plain(items, shape):
    """Are they nothing but whole numbers in range, and slices of whole numbers?"""
    if len(items) > len(shape):
        return False
    for item, size in zip(items, shape):
        if type(item) is slice:
            for end in item.start, item.stop, item.step:
                if end is not None and type(end) is not int:
                    return False
            if item.step is not None and item.step < 1:
                return False
        elif type(item) is not int or not -size <= item < size:
            return False
    return True


def _plain_item(item):
    """One of the things between the commas, as NumPy takes it."""
    if isinstance(item, Variable):
        item = item.data
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        start, stop, step = [None if i is None else operator.index(i) for i in (item.start, item.stop, item.step)]
        if step is not None and step < 1:
            raise ValueError(f"t[...]: a slice's step must be positive, got {step}. To reverse, use t.flip(dim).")
        return slice(start, stop, step)
    if type(item) is int:
        return item
    if isinstance(item, (bool, np.bool_)):
        return np.asarray(item)
    if isinstance(item, (list, tuple, range)):
        item = np.array([i.data if isinstance(i, Variable) else i for i in item])
        item = item.astype(np.int64) if not item.size else item
    if is_array(item) and item.dtype == np.uint8:
        raise IndexError("t[...]: a uint8 tensor is a mask in PyTorch's old code and ids elsewhere. Say which: "
                         "index.bool() or index.long().")
    if is_array(item) and item.dtype.kind in "bui":
        return int(item) if not item.ndim and item.dtype.kind != "b" else item
    if is_array(item):
        raise IndexError(f"t[...]: index tensors hold integers or bools, got {item.dtype}. Use index.long().")
    try:
        return operator.index(item)
    except TypeError:
        error = TypeError if isinstance(item, str) else IndexError
        raise error(f"t[...]: an index is an int, a slice, None, ..., or a list or tensor of ints or bools, got "
                    f"{type(item).__name__}") from None


def _pytorch_order(items, used, shape):
    """The items as one NumPy index. NumPy counts a number as an index array, PyTorch does not; where that would put the
    arrays' axes elsewhere, as in t[0, :, [1, 2]], write out which element goes where."""
    arrays = [i for i, item in enumerate(items) if is_array(item)]
    picks = sorted(arrays + [i for i, item in enumerate(items) if type(item) is int])
    if not arrays or len(picks) == len(arrays) or picks[-1] - picks[0] == len(picks) - 1:
        return tuple(items)
    between = items[arrays[0]:arrays[-1] + 1]
    if any(item is None or item is Ellipsis or isinstance(item, slice) for item in between):
        return tuple(items)  # both put the arrays' axes first
    items = [item.to_host() if hasattr(item, "to_host") else item for item in items]
    full = [slice(None)] * (len(shape) - sum(used))
    dots = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    items = [*items[:dots], *full, *items[dots + 1:]]
    flat = [part for item in items for part in (np.nonzero(item) if _is_mask(item) else (item,))]
    common = np.broadcast_shapes(*[item.shape for item in flat if isinstance(item, np.ndarray)])
    ndim = len(common) + sum(item is None or isinstance(item, slice) for item in flat)
    out, axis, place, start = [], 0, 0, None
    for item in flat:
        if item is None:
            place += 1
            continue
        if isinstance(item, slice):
            entries, before = np.arange(*item.indices(shape[axis])), place
            place += 1
        elif isinstance(item, np.ndarray):
            if start is None:
                start, place = place, place + len(common)
            entries, before = np.broadcast_to(item, common), start
        else:
            entries, before = np.asarray(item), ndim
        out.append(entries.reshape((1,) * before + entries.shape + (1,) * (ndim - before - entries.ndim)))
        axis += 1
    return tuple(out)


def _is_mask(item):
    return is_array(item) and item.dtype.kind == "b"


def _check_range(op, ids, size, axis, shape, wraps=False):
    """Refuse an id that is out of range; name it, its position, and the range."""
    low = -size if wraps else 0
    if within(ids, low, size) if is_array(ids) else low <= ids < size:
        return
    ids = ids if is_array(ids) else np.asarray(ids)
    wrong = (ids < low) | (ids >= size)
    where = np.argwhere(wrong)[0].tolist()
    at = f" at position {where[0] if len(where) == 1 else tuple(where)}" if where else ""
    value = int(ids[tuple(where)])
    if size:
        allowed = f"is out of range [{low}, {size - 1}]"
    else:
        allowed = "finds nothing, the axis is empty"
    of = "" if axis is None else f" for axis {axis} of shape {shape}"
    hint = " Negative ids do not wrap around." if value < 0 and not wraps else ""
    raise RangeError(f"{op}: index {value}{at} {allowed}{of}.{hint}")


def _ids(op, x, dim, index, wraps=False):
    """The axis, and the index as an array of integers that are in its range; negative ones only where they may wrap."""
    dim = as_dim(op, dim, x.data.ndim)
    if not isinstance(index, Variable):
        raise TypeError(f"{op}: index must be a Tensor of integers, {got(index)}")
    if index.data.dtype.kind not in "iu":
        raise DTypeError(f"{op}: index must hold integers, got {index.data.dtype}. Use index.long().")
    shape = x.data.shape
    size = shape[dim] if shape else 1
    _check_range(op, index.data, size, dim, shape, wraps)
    return dim, np.where(index.data < 0, index.data + size, index.data) if wraps else index.data


def _covering(op, x, dim, ids, src=None):
    """The index, checked to have x's rank and to lie within x (except along dim) and src."""
    shape = x.data.shape
    if not shape and ids.size == 1 and ids.ndim < 2:
        ids = ids.reshape(())
    if not ids.size:
        ids = ids.reshape(ids.shape if ids.ndim == len(shape) else (0,) * len(shape))
    if ids.ndim != len(shape):
        raise ShapeError(f"{op}: index {ids.shape} must have as many axes as x {shape}. Use index.unsqueeze(...).")
    if any(n > m for i, (n, m) in enumerate(zip(ids.shape, shape)) if i != dim):
        raise ShapeError(f"{op}: index {ids.shape} must be no larger than x {shape} except along axis {dim}")
    if isinstance(src, Variable):
        _same_dtype(op, "src", x, src)
        if src.data.ndim != ids.ndim or any(n > m for n, m in zip(ids.shape, src.data.shape)):
            raise ShapeError(f"{op}: index {ids.shape} must be no larger than src {src.data.shape}, with as many axes")
    return ids


def _same_dtype(op, name, x, other):
    if other.data.dtype != x.data.dtype:
        raise DTypeError(f"{op}: {name} is {other.data.dtype}, x is {x.data.dtype}. Use {name}.to(x.dtype).")


def _check_mask(op, x, mask):
    """The shape in which x and the mask meet."""
    _need_mask(op, mask)
    try:
        return np.broadcast_shapes(x.data.shape, mask.data.shape)
    except ValueError:
        raise ShapeError(f"{op}: x {x.data.shape} and mask {mask.data.shape} do not broadcast") from None


def _need_mask(op, mask):
    if not isinstance(mask, Variable) or mask.data.dtype.kind != "b":
        raise DTypeError(f"{op}: mask must be a bool Tensor, got {getattr(mask, 'dtype', type(mask).__name__)}. "
                         "Compare first: mask = x > 0.")

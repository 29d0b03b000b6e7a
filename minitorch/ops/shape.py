"""The same numbers in another arrangement: views where possible, and joining, splitting, repeating.

Each class is a node of the tape; the function under it is what people call. A view shares its numbers with its tensor.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, RangeError, ShapeError, got
from minitorch.ops.device import on_host
from minitorch.ops.dtype import promote

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors", "broadcast_to", "cat", "chunk", "column_stack",
    "concat", "concatenate", "contiguous", "diag", "diagonal", "dstack", "expand", "expand_as", "flatten", "flip",
    "fliplr", "flipud", "hstack", "meshgrid", "moveaxis", "movedim", "narrow", "permute", "ravel", "repeat",
    "repeat_interleave", "reshape", "reshape_as", "roll", "row_stack", "select", "split", "squeeze", "stack",
    "swapaxes", "swapdims", "t", "tensor_split", "tile", "trace", "transpose", "tril", "triu", "unbind", "unflatten",
    "unfold", "unsqueeze", "view", "view_as", "vstack",
]


# ---------------------------------------------------------------------------------------------------------------------
# how arguments may be named

def numpy_names(function):
    """Let an op take NumPy's axis=, keepdims= and out=None as well, as PyTorch's do."""

    @functools.wraps(function)
    def op(*args, **settings):
        if args and not isinstance(args[0], (Variable, list, tuple)):
            raise TypeError(f"{function.__name__}: expected a Tensor, got {type(args[0]).__name__}. Wrap it: "
                            "minitorch.tensor(...)")
        if "axis" in settings:
            settings["dim"] = settings.pop("axis")
        if "keepdims" in settings:
            settings["keepdim"] = settings.pop("keepdims")
        if "out" in settings and settings.pop("out") is not None:
            raise TypeError(f"{function.__name__}: out= is not supported; the result is a new tensor")
        return function(*args, **settings)

    return op


def also_by_name(name: str):
    """Let ints that are given one by one, ``f(x, 2, 3)``, also be given by name, ``f(x, shape=(2, 3))``."""

    def decorate(function):
        @functools.wraps(function)
        def op(*args, **settings):
            if "input" in settings:
                args = (settings.pop("input"), *args)
            if name in settings:
                args = (*args, settings.pop(name))
            return function(*args, **settings)

        return op

    return decorate


# ---------------------------------------------------------------------------------------------------------------------
# what an axis argument means: used by every op that has one

def as_dim(op: str, dim, ndim: int) -> int:
    """The axis as a number that is not negative."""
    if type(dim) is int and 0 <= dim < ndim:
        return dim
    try:
        axis = operator.index(dim)
    except TypeError:
        raise TypeError(f"{op}: dim must be an int, got {type(dim).__name__}") from None
    limit = builtins.max(ndim, 1)
    if not -limit <= axis < limit:
        raise IndexError(f"{op}: dimension out of range [{-limit}, {limit - 1}], got {axis}")
    return axis % limit


def as_dims(op: str, dim, ndim: int) -> tuple[int, ...]:
    """One axis, several, or None for all of them, as a sorted tuple of numbers that are not negative."""
    if dim is None:
        return tuple(range(ndim))
    if type(dim) is int and -ndim <= dim < ndim:
        return (dim % ndim,)
    dims = tuple(as_dim(op, d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{op}: dim names an axis twice: {dim}")
    return tuple(sorted(dims)) if ndim else ()


def as_sizes(op: str, sizes) -> tuple[int, ...]:
    """Sizes given one by one, or as one tuple or list, as a tuple of ints."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    try:
        return tuple([operator.index(n) for n in sizes])
    except TypeError:
        raise TypeError(f"{op}: expected ints, or one tuple of ints, got {tuple(sizes)}") from None


# ---------------------------------------------------------------------------------------------------------------------
# views

class Reshape(Function):
    """The same numbers, in reading order, in another shape.

    Forward    y = x, cut into rows of other lengths
    Backward   dx = dy in x's shape
    Saved      x's shape
    Shapes     x (…)    y: as many elements
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, shape):
        self.shape = x.shape
        return self.k.reshape_forward(x, shape)

    def backward(self, dy):
        return self.k.reshape_backward(dy, self.shape)


@also_by_name("shape")
def reshape(input: Tensor, *shape) -> Tensor:
    """The same numbers in another shape; one size may be −1: whatever is left. A view if the strides allow it.

    >>> minitorch.arange(6).reshape(2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return Reshape.apply(input, shape=_fill_in("reshape", input.data.shape, as_sizes("reshape", shape)))


@also_by_name("size")
def view(input: Tensor, *shape) -> Tensor:
    """The same numbers in another shape, never copied: an error if the memory layout does not allow it.

    >>> minitorch.arange(6).view(3, 2)
    tensor([[0, 1],
            [2, 3],
            [4, 5]])
    """
    if len(shape) == 1 and isinstance(shape[0], (np.dtype, type)):
        raise DTypeError(f"view: reading the same bytes as {shape[0]} is not supported. To convert, use x.to(dtype).")
    sizes = _fill_in("view", input.data.shape, as_sizes("view", shape))
    if not input.data.flags.c_contiguous and not _is_view_of(input.data, sizes):
        raise ShapeError(f"view: shape {input.data.shape} with its present strides cannot be seen as {sizes} without "
                         "copying. Use x.reshape(...), or x.contiguous().view(...).")
    return Reshape.apply(input, shape=sizes)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """The same numbers in other's shape."""
    return reshape(input, other.data.shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """The same numbers in other's shape, never copied."""
    return view(input, other.data.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one.

    >>> minitorch.zeros(2, 3, 4).flatten(1).shape
    (2, 12)
    """
    shape = input.data.shape
    start, end = as_dim("flatten", start_dim, len(shape)), as_dim("flatten", end_dim, len(shape))
    if start > end:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if start == end and shape:
        return input
    return Reshape.apply(input, shape=(*shape[:start], math.prod(shape[start:end + 1]), *shape[end + 1:]))


def ravel(input: Tensor) -> Tensor:
    """All elements as one axis."""
    return flatten(input)


def unflatten(input: Tensor, dim: int, sizes) -> Tensor:
    """One axis as several; one of their sizes may be −1.

    >>> minitorch.zeros(2, 12).unflatten(1, (3, -1)).shape
    (2, 3, 4)
    """
    shape = input.data.shape
    dim = as_dim("unflatten", dim, len(shape))
    sizes = _fill_in("unflatten", shape[dim:dim + 1], as_sizes("unflatten", (sizes,)))
    return Reshape.apply(input, shape=(*shape[:dim], *sizes, *shape[dim + 1:]))


@numpy_names
def squeeze(input: Tensor, dim=None) -> Tensor:
    """Without axes of size 1: all of them, or those in dim.

    >>> minitorch.zeros(1, 3, 1).squeeze().shape
    (3,)
    """
    shape = input.data.shape
    dims = as_dims("squeeze", dim, len(shape))
    return Reshape.apply(input, shape=tuple(n for i, n in enumerate(shape) if n != 1 or i not in dims))


@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at dim.

    >>> minitorch.zeros(3).unsqueeze(-1).shape
    (3, 1)
    """
    shape = input.data.shape
    dim = as_dim("unsqueeze", dim, len(shape) + 1)
    return Reshape.apply(input, shape=(*shape[:dim], 1, *shape[dim:]))


def atleast_1d(*tensors):
    """Tensors without axes get one."""
    tensors = _given("atleast_1d", tensors)
    ys = tuple(x if x.data.ndim else unsqueeze(x, 0) for x in tensors)
    return ys[0] if len(ys) == 1 else ys


def atleast_2d(*tensors):
    """Tensors with fewer than two axes get axes of size 1 in front."""
    tensors = _given("atleast_2d", tensors)
    ys = tuple(x if x.data.ndim > 1 else reshape(x, 1, -1) for x in tensors)
    return ys[0] if len(ys) == 1 else ys


def atleast_3d(*tensors):
    """Tensors with fewer than three axes get axes of size 1: a vector in the middle, a matrix in front of them."""
    tensors = _given("atleast_3d", tensors)
    ys = tuple(x if x.data.ndim > 2 else unsqueeze(atleast_2d(x), -1) for x in tensors)
    return ys[0] if len(ys) == 1 else ys


class Permute(Function):
    """The axes in another order.

    Forward    y[i, j, …] = x[…] with axis k of y being axis dims[k] of x
    Backward   dx = dy with every axis back in its place
    Saved      nothing but dims
    Shapes     x (…)    y: x's sizes in the new order
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, dims):
        self.dims = dims
        return self.k.permute_forward(x, dims)

    def backward(self, dy):
        return self.k.permute_backward(dy, self.dims)


@also_by_name("dims")
def permute(input: Tensor, *dims) -> Tensor:
    """The axes in another order; a view.

    >>> minitorch.zeros(2, 3, 4).permute(2, 0, 1).shape
    (4, 2, 3)
    """
    ndim = input.data.ndim
    sizes = as_sizes("permute", dims)
    if len(sizes) != ndim:
        raise ShapeError(f"permute: got {len(sizes)} dims {sizes} for shape {input.data.shape}. Name each axis once.")
    order = tuple([as_dim("permute", d, ndim) for d in sizes])
    if len(set(order)) != ndim:
        raise RuntimeError(f"permute: dims {sizes} name an axis twice. Name each axis once.")
    return Permute.apply(input, dims=order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes swapped; a view.

    >>> minitorch.zeros(2, 3, 4).transpose(-2, -1).shape
    (2, 4, 3)
    """
    ndim = input.data.ndim
    a, b = as_dim("transpose", dim0, ndim), as_dim("transpose", dim1, ndim)
    order = list(range(ndim))
    if ndim:
        order[a], order[b] = b, a
    return Permute.apply(input, dims=tuple(order))


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Two axes swapped; a view."""
    return transpose(input, axis0, axis1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes swapped; a view."""
    return transpose(input, dim0, dim1)


def t(input: Tensor) -> Tensor:
    """A matrix with rows and columns swapped; a view."""
    if input.data.ndim > 2:
        raise ShapeError(f"t: expected at most 2 axes, got shape {input.data.shape}. Use x.transpose(-2, -1) or x.mT.")
    return Permute.apply(input, dims=tuple(reversed(range(input.data.ndim))))


def movedim(input: Tensor, source, destination) -> Tensor:
    """Axes taken from source to destination, the others in order around them; a view.

    >>> minitorch.zeros(2, 3, 4).movedim(0, -1).shape
    (3, 4, 2)
    """
    ndim = input.data.ndim
    lists = [d if isinstance(d, (tuple, list)) else (d,) for d in (source, destination)]
    froms, tos = [[as_dim("movedim", d, ndim) for d in dims] for dims in lists]
    if len(froms) != len(tos):
        raise RuntimeError(f"movedim: source {source} and destination {destination} must have the same length")
    for name, dims in (("source", froms), ("destination", tos)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: {name} names an axis twice: {dims}")
    order = [d for d in range(ndim) if d not in froms]
    for to, come in sorted(zip(tos, froms)) if ndim else ():
        order.insert(to, come)
    return Permute.apply(input, dims=tuple(order))


def moveaxis(input: Tensor, source, destination) -> Tensor:
    """Axes taken from source to destination; a view."""
    return movedim(input, source, destination)


class Expand(Function):
    """One entry seen many times, without copying.

    Forward    y[i, j] = x[0, j] for every i, along axes of size 1 and new axes in front
    Backward   dx = Σ dy over the axes that were expanded
    Saved      x's shape
    Shapes     x (1, c)    y (n, c)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, shape):
        self.shape = x.shape
        return self.k.expand_forward(x, shape)

    def backward(self, dy):
        return self.k.expand_backward(dy, self.shape)


@also_by_name("size")
def expand(input: Tensor, *sizes) -> Tensor:
    """Axes of size 1, and new ones in front, seen many times; −1 keeps a size. A view, not to be written to.

    >>> minitorch.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    return _expand("expand", input, as_sizes("expand", sizes))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expanded to other's shape; a view."""
    return _expand("expand_as", input, other.data.shape)


def broadcast_to(input: Tensor, size) -> Tensor:
    """Expanded to a shape; a view."""
    return _expand("broadcast_to", input, as_sizes("broadcast_to", (size,)))


def broadcast_tensors(*tensors) -> tuple[Tensor, ...]:
    """All tensors expanded to the shape in which they meet.

    >>> a, b = minitorch.broadcast_tensors(minitorch.zeros(3, 1), minitorch.zeros(4))
    >>> a.shape, b.shape
    ((3, 4), (3, 4))
    """
    tensors = _given("broadcast_tensors", tensors)
    shapes = [x.data.shape for x in tensors]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"broadcast_tensors: shapes {', '.join(map(str, shapes))} do not broadcast. Lined up from the "
                         "right, sizes must be equal or 1.") from None
    return tuple(_expand("broadcast_tensors", x, shape) for x in tensors)


def meshgrid(*tensors, indexing: str | None = None) -> tuple[Tensor, ...]:
    """The coordinates of a grid: one tensor per axis, each of the grid's shape.

    >>> i, j = minitorch.meshgrid(minitorch.arange(2), minitorch.arange(3), indexing="ij")
    >>> i
    tensor([[0, 0, 0],
            [1, 1, 1]])
    """
    axes = [atleast_1d(x) for x in _given("meshgrid", tensors)]
    if any(x.data.ndim > 1 for x in axes):
        raise ShapeError(f"meshgrid: expected vectors, got shapes {[x.data.shape for x in axes]}")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    shape = tuple(x.data.size for x in axes)
    grids = [_expand("meshgrid", reshape(x, (-1, *[1] * (len(shape) - 1 - i))), shape) for i, x in enumerate(axes)]
    return tuple(transpose(g, 0, 1) for g in grids) if indexing == "xy" and len(grids) > 1 else tuple(grids)


class Narrow(Function):
    """A stretch of one axis.

    Forward    y = x[start : start + length] along dim
    Backward   dx = dy there, 0 elsewhere
    Saved      x's shape
    Shapes     x (…, n, …)    y (…, length, …)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, dim, start, length):
        self.shape, self.dim, self.start, self.length = x.shape, dim, start, length
        return self.k.narrow_forward(x, dim, start, length)

    def backward(self, dy):
        return self.k.narrow_backward(dy, self.shape, self.dim, self.start, self.length)


@numpy_names
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """length entries of one axis, from start on; a view.

    >>> minitorch.arange(5).narrow(0, 1, 3)
    tensor([1, 2, 3])
    """
    _refuse_scalar("narrow", input)
    dim = as_dim("narrow", dim, input.data.ndim)
    start, length, n = operator.index(start), operator.index(length), input.data.shape[dim]
    if not -n <= start <= n:
        raise IndexError(f"narrow: start out of range [{-n}, {n}], got {start}")
    begin = start + n if start < 0 else start
    if length < 0 or begin + length > n:
        raise RuntimeError(f"narrow: start {start} and length {length} leave axis {dim}, which has size {n}")
    return Narrow.apply(input, dim=dim, start=begin, length=length)


@numpy_names
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One entry of one axis, without that axis; a view.

    >>> minitorch.select(minitorch.arange(6).reshape(2, 3), 1, -1)
    tensor([2, 5])
    """
    _refuse_scalar("select", input)
    dim = as_dim("select", dim, input.data.ndim)
    index, n, shape = operator.index(index), input.data.shape[dim], input.data.shape
    if not -n <= index < n:
        raise IndexError(f"select: index {index} is out of range [{-n}, {n - 1}] for axis {dim} of shape {shape}")
    return reshape(Narrow.apply(input, dim=dim, start=index % n, length=1), shape[:dim] + shape[dim + 1:])


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of this size along one axis, one every step entries; the windows' entries become the last axis.

    >>> minitorch.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    dim = as_dim("unfold", dimension, input.data.ndim)
    n = input.data.shape[dim] if input.data.ndim else 1
    if not 0 <= size <= n:
        raise RuntimeError(f"unfold: size must be in [0, {n}], the size of axis {dim} of {input.data.shape}; got {size}")
    if step < 1:
        raise RuntimeError(f"unfold: step must be at least 1, got {step}")
    places = np.arange(0, n - size + 1, step)[:, None] + np.arange(size)
    return movedim(atleast_1d(input)[(slice(None),) * dim + (places,)], dim + 1, -1)


class Diagonal(Function):
    """The diagonal of two axes, as the last axis.

    Forward    y[…, i] = x[i, i + offset] of the axes dim1 and dim2
    Backward   dx = dy on the diagonal, 0 off it
    Saved      x's shape
    Shapes     x (…, m, n)    y (…, length of the diagonal)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, offset, dim1, dim2):
        self.shape, self.offset, self.dim1, self.dim2 = x.shape, offset, dim1, dim2
        return self.k.diagonal_forward(x, offset, dim1, dim2)

    def backward(self, dy):
        return self.k.diagonal_backward(dy, self.shape, self.offset, self.dim1, self.dim2)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as the last axis; a view.

    >>> minitorch.tensor([[1, 2], [3, 4]]).diagonal()
    tensor([1, 4])
    """
    a, b = as_dim("diagonal", dim1, input.data.ndim), as_dim("diagonal", dim2, input.data.ndim)
    if a == b:
        raise RuntimeError(f"diagonal: dim1 {dim1} and dim2 {dim2} are the same axis; a diagonal needs two")
    return Diagonal.apply(input, offset=operator.index(offset), dim1=a, dim2=b)


# ---------------------------------------------------------------------------------------------------------------------
# one tensor to several

class Split(Function):
    """One axis cut into pieces.

    Forward    y₀ = x[: s₀], y₁ = x[s₀ : s₀ + s₁], … along dim
    Backward   dx = dy₀, dy₁, … end to end; 0 for a piece that nobody used
    Saved      x's shape and dtype
    Shapes     x (…, n, …)    yᵢ (…, sᵢ, …), n = Σ sᵢ
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, sizes, dim):
        self.shape, self.dtype, self.sizes, self.dim = x.shape, x.dtype, sizes, dim
        return self.k.split_forward(x, sizes, dim)

    def backward(self, *dys):
        return self.k.split_backward(dys, self.shape, self.dtype, self.sizes, self.dim)


def split(tensor: Tensor, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of this size along dim (the last may be smaller), or of the sizes in a list; views.

    >>> minitorch.arange(5).split(2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    _refuse_scalar("split", tensor)
    dim = as_dim("split", dim, tensor.data.ndim)
    n = tensor.data.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = as_sizes("split", (split_size_or_sections,))
        if builtins.sum(sizes) != n or any(s < 0 for s in sizes):
            raise ShapeError(f"split: the sizes {list(sizes)} add up to {builtins.sum(sizes)}, axis {dim} of shape "
                             f"{tensor.data.shape} has {n}. They must be equal, and no size negative.")
    else:
        size = operator.index(split_size_or_sections)
        if size < 0 or size == 0 and n:
            raise RuntimeError(f"split: split_size must be positive, got {size}")
        sizes = tuple(builtins.min(size, n - start) for start in range(0, n, size)) if n else (0,)
    return Split.apply(tensor, sizes=sizes, dim=dim)


@numpy_names
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most this many pieces of equal size along dim (the last may be smaller); views.

    >>> minitorch.arange(5).chunk(2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    _refuse_scalar("chunk", input)
    dim = as_dim("chunk", dim, input.data.ndim)
    if operator.index(chunks) < 1:
        raise RuntimeError(f"chunk: chunks must be at least 1, got {chunks}")
    n = input.data.shape[dim]
    return split(input, -(-n // chunks), dim) if n else split(input, [0] * chunks, dim)


@numpy_names
def tensor_split(input: Tensor, indices_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Exactly this many pieces along dim, the first ones larger by one if need be; or cut at these indices.

    >>> minitorch.tensor_split(minitorch.arange(5), 3)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    _refuse_scalar("tensor_split", input)
    dim = as_dim("tensor_split", dim, input.data.ndim)
    n = input.data.shape[dim]
    if isinstance(indices_or_sections, (tuple, list)):
        cuts = [slice(i).indices(n)[1] for i in indices_or_sections]
        edges = list(zip([0, *cuts], [*cuts, n]))
        return tuple(narrow(input, dim, start, builtins.max(0, stop - start)) for start, stop in edges)
    pieces = operator.index(indices_or_sections)
    if pieces < 1:
        raise RuntimeError(f"tensor_split: the number of sections must be at least 1, got {pieces}")
    return split(input, [n // pieces + (i < n % pieces) for i in range(pieces)], dim)


class Unbind(Function):
    """One axis taken apart.

    Forward    yᵢ = x[i] along dim
    Backward   dx[i] = dyᵢ; 0 for an entry that nobody used
    Saved      x's shape and dtype
    Shapes     x (…, n, …)    n outputs yᵢ (…)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, dim):
        self.shape, self.dtype, self.dim = x.shape, x.dtype, dim
        return self.k.unbind_forward(x, dim)

    def backward(self, *dys):
        return self.k.unbind_backward(dys, self.shape, self.dtype, self.dim)


@numpy_names
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The entries of one axis, without that axis; views.

    >>> minitorch.tensor([[1, 2], [3, 4]]).unbind()
    (tensor([1, 2]), tensor([3, 4]))
    """
    _refuse_scalar("unbind", input)
    dim = as_dim("unbind", dim, input.data.ndim)
    return Unbind.apply(input, dim=dim) if input.data.shape[dim] else ()


# ---------------------------------------------------------------------------------------------------------------------
# several tensors to one

class Cat(Function):
    """Tensors end to end along one axis.

    Forward    y = x₀, x₁, … along dim
    Backward   dxᵢ = the piece of dy where xᵢ went
    Saved      the inputs' sizes along dim
    Shapes     xᵢ (…, nᵢ, …)    y (…, Σ nᵢ, …)
    Derived in docs/ops/shape.md
    """

    def forward(self, *xs, dim):
        self.sizes, self.dim = [x.shape[dim] for x in xs], dim
        return self.k.cat_forward(xs, dim)

    def backward(self, dy):
        return self.k.cat_backward(dy, self.sizes, self.dim, self.needs)


@numpy_names
def cat(tensors, dim: int = 0) -> Tensor:
    """Tensors end to end along dim; their other sizes are equal.

    >>> minitorch.cat([minitorch.tensor([1, 2]), minitorch.tensor([3])])
    tensor([1, 2, 3])
    """
    return _cat("cat", tensors, dim)


@numpy_names
def concat(tensors, dim: int = 0) -> Tensor:
    """Tensors end to end along dim."""
    return _cat("concat", tensors, dim)


@numpy_names
def concatenate(tensors, dim: int = 0) -> Tensor:
    """Tensors end to end along dim."""
    return _cat("concatenate", tensors, dim)


class Stack(Function):
    """Tensors of one shape, side by side along a new axis.

    Forward    y[i] = xᵢ along dim
    Backward   dxᵢ = dy[i]
    Saved      nothing but dim
    Shapes     n inputs xᵢ (…)    y (…, n, …)
    Derived in docs/ops/shape.md
    """

    def forward(self, *xs, dim):
        self.dim = dim
        return self.k.stack_forward(xs, dim)

    def backward(self, dy):
        return self.k.stack_backward(dy, self.dim, self.needs)


@numpy_names
def stack(tensors, dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis.

    >>> minitorch.stack([minitorch.tensor([1, 2]), minitorch.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    tensors = _listed("stack", tensors)
    dim = as_dim("stack", dim, tensors[0].data.ndim + 1)
    for i, x in enumerate(tensors):
        if x.data.shape != tensors[0].data.shape:
            raise ShapeError(f"stack: all tensors need one shape; tensor 0 has {tensors[0].data.shape}, tensor {i} has "
                             f"{x.data.shape}. To join along an axis they have, use cat.")
    return Stack.apply(*promote(*tensors), dim=dim)


def hstack(tensors) -> Tensor:
    """Tensors side by side: along the second axis, vectors along their only one."""
    tensors = [atleast_1d(x) for x in _listed("hstack", tensors)]
    return _cat("hstack", tensors, 0 if tensors[0].data.ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """Tensors on top of each other: along the first axis, vectors as rows."""
    return _cat("vstack", [atleast_2d(x) for x in _listed("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors) -> Tensor:
    """Tensors behind each other: along the third axis."""
    return _cat("dstack", [atleast_3d(x) for x in _listed("dstack", tensors)], 2)


def column_stack(tensors) -> Tensor:
    """Tensors side by side, vectors as columns."""
    columns = [reshape(x, -1, 1) if x.data.ndim < 2 else x for x in _listed("column_stack", tensors)]
    return _cat("column_stack", columns, 1)


# ---------------------------------------------------------------------------------------------------------------------
# copies

class Contiguous(Function):
    """The same numbers, in memory in reading order.

    Forward    y = x
    Backward   dx = dy
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/shape.md
    """

    def forward(self, x):
        return self.k.contiguous_forward(x)

    def backward(self, dy):
        return self.k.contiguous_backward(dy)


def contiguous(input: Tensor) -> Tensor:
    """x itself if it lies in memory in reading order, else a copy that does."""
    return input if input.data.flags.c_contiguous else Contiguous.apply(input)


class Repeat(Function):
    """Copies laid side by side.

    Forward    y = x, repeats[i] times along axis i
    Backward   dx = Σ dy over the copies
    Saved      x's shape
    Shapes     x (m, n)    y (repeats[0] · m, repeats[1] · n)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, repeats):
        self.shape, self.repeats = x.shape, repeats
        return self.k.repeat_forward(x, repeats)

    def backward(self, dy):
        return self.k.repeat_backward(dy, self.shape, self.repeats)


@also_by_name("repeats")
def repeat(input: Tensor, *repeats) -> Tensor:
    """x laid side by side, so many times along each axis; further axes come in front. Like NumPy's tile.

    >>> minitorch.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    return _repeat("repeat", input, as_sizes("repeat", repeats))


@also_by_name("dims")
def tile(input: Tensor, *dims) -> Tensor:
    """Like repeat, but axes that dims leaves out in front are taken once."""
    sizes = as_sizes("tile", dims)
    return _repeat("tile", input, (1,) * (input.data.ndim - len(sizes)) + sizes)


class RepeatInterleave(Function):
    """Every entry several times in a row.

    Forward    y = x[0], x[0], …, x[1], …: entry i repeats[i] times along dim
    Backward   dx[i] = Σ dy over the copies of entry i
    Saved      x's shape, repeats
    Shapes     x (…, n, …)    repeats (n,)    y (…, Σ repeats, …)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, repeats, dim):
        self.shape, self.repeats, self.dim = x.shape, repeats, dim
        return self.k.repeat_interleave_forward(x, repeats, dim)

    def backward(self, dy):
        return self.k.repeat_interleave_backward(dy, self.shape, self.repeats, self.dim)


@numpy_names
def repeat_interleave(input: Tensor, repeats, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Every entry of one axis several times in a row: as often as the number says, or its own number in a tensor.

    >>> minitorch.tensor([1, 2]).repeat_interleave(2)
    tensor([1, 1, 2, 2])
    """
    input = flatten(input) if dim is None else atleast_1d(input)
    dim = as_dim("repeat_interleave", 0 if dim is None else dim, input.data.ndim)
    counts = on_host(repeats.data if isinstance(repeats, Variable) else repeats)
    n = input.data.shape[dim]
    if counts.dtype.kind not in "iu":
        raise DTypeError(f"repeat_interleave: repeats must be integers, got {counts.dtype}")
    if counts.ndim > 1 or counts.size not in (1, n):
        raise ShapeError(f"repeat_interleave: repeats has shape {counts.shape}, axis {dim} has {n} entries. "
                         "Give one number, or one for each entry.")
    if (counts < 0).any():
        raise RuntimeError(f"repeat_interleave: repeats must not be negative, got {counts.min()}")
    return RepeatInterleave.apply(input, repeats=np.broadcast_to(counts.reshape(-1), (n,)).astype(np.int64), dim=dim)


class Flip(Function):
    """Axes read backwards.

    Forward    y[i] = x[n − 1 − i] along each of dims
    Backward   dx = dy, read backwards
    Saved      nothing but dims
    Shapes     x, y (…)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, dims):
        self.dims = dims
        return self.k.flip_forward(x, dims)

    def backward(self, dy):
        return self.k.flip_backward(dy, self.dims)


@also_by_name("dims")
def flip(input: Tensor, *dims) -> Tensor:
    """These axes read backwards.

    >>> minitorch.arange(3).flip(0)
    tensor([2, 1, 0])
    """
    return Flip.apply(input, dims=as_dims("flip", as_sizes("flip", dims), input.data.ndim))


def fliplr(input: Tensor) -> Tensor:
    """The second axis read backwards."""
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The first axis read backwards."""
    return flip(input, 0)


class Roll(Function):
    """Entries moved along; what falls off the end comes in at the start.

    Forward    y[i + shift] = x[i], indices taken modulo the size
    Backward   dx = dy, moved back
    Saved      nothing but shifts and dims
    Shapes     x, y (…)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, shifts, dims):
        self.shifts, self.dims = shifts, dims
        return self.k.roll_forward(x, shifts, dims)

    def backward(self, dy):
        return self.k.roll_backward(dy, self.shifts, self.dims)


def roll(input: Tensor, shifts, dims=None) -> Tensor:
    """Entries moved along axes, round and round; without dims in reading order of all.

    >>> minitorch.arange(4).roll(1)
    tensor([3, 0, 1, 2])
    """
    shifts = as_sizes("roll", (shifts if isinstance(shifts, (tuple, list)) else (shifts,),))
    if dims is None or isinstance(dims, (tuple, list)) and not dims:
        if len(shifts) != 1:
            raise RuntimeError(f"roll: got {len(shifts)} shifts and no dims. Name one axis for each shift.")
        return reshape(roll(flatten(input), shifts, 0), input.data.shape)
    dims = dims if isinstance(dims, (tuple, list)) else (dims,)
    if len(dims) != len(shifts):
        raise RuntimeError(f"roll: got {len(shifts)} shifts for {len(dims)} dims. Name one axis for each shift.")
    return Roll.apply(input, shifts=shifts, dims=tuple(as_dim("roll", d, input.data.ndim) for d in dims))


class Tril(Function):
    """The lower triangle of a matrix.

    Forward    y[i, j] = x[i, j] where j ≤ i + diagonal, else 0
    Backward   dx = dy there, else 0
    Saved      nothing but diagonal
    Shapes     x, y (…, m, n)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, diagonal):
        self.diagonal = diagonal
        return self.k.tril_forward(x, diagonal)

    def backward(self, dy):
        return self.k.tril_backward(dy, self.diagonal)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle; 0 above the diagonal.

    >>> minitorch.ones(2, 3).tril()
    tensor([[1., 0., 0.],
            [1., 1., 0.]])
    """
    _refuse_vector("tril", input)
    return Tril.apply(input, diagonal=operator.index(diagonal))


class Triu(Function):
    """The upper triangle of a matrix.

    Forward    y[i, j] = x[i, j] where j ≥ i + diagonal, else 0
    Backward   dx = dy there, else 0
    Saved      nothing but diagonal
    Shapes     x, y (…, m, n)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, diagonal):
        self.diagonal = diagonal
        return self.k.triu_forward(x, diagonal)

    def backward(self, dy):
        return self.k.triu_backward(dy, self.diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle; 0 below the diagonal.

    >>> minitorch.ones(2, 3).triu(1)
    tensor([[0., 1., 1.],
            [0., 0., 1.]])
    """
    _refuse_vector("triu", input)
    return Triu.apply(input, diagonal=operator.index(diagonal))


class Diag(Function):
    """A vector as the diagonal of a square matrix.

    Forward    y[i, i + diagonal] = x[i], else 0
    Backward   dx[i] = dy[i, i + diagonal]
    Saved      nothing but diagonal
    Shapes     x (n,)    y (n + |diagonal|, n + |diagonal|)
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, diagonal):
        self.diagonal = diagonal
        return self.k.diag_forward(x, diagonal)

    def backward(self, dy):
        return self.k.diag_backward(dy, self.diagonal)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix; of a matrix, its diagonal as a vector.

    >>> minitorch.diag(minitorch.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.data.ndim not in (1, 2):
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {input.data.shape}. "
                         "For more axes use x.diagonal(offset, dim1, dim2).")
    if input.data.ndim == 2:
        return diagonal_(input, diagonal)
    return Diag.apply(input, diagonal=operator.index(diagonal))


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    >>> minitorch.trace(minitorch.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    if input.data.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, got shape {input.data.shape}")
    return diagonal(input).sum()


diagonal_ = diagonal  # tril, triu and diag have an argument of that name


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _fill_in(op, shape, sizes):
    """The sizes with −1 replaced by what is left."""
    count, product = math.prod(shape), math.prod(sizes)
    if product == count and -1 not in sizes and builtins.min(sizes, default=0) >= 0:
        return sizes        # as often
    if sizes.count(-1) > 1 or any(n < -1 for n in sizes):
        raise ShapeError(f"{op}: the sizes {sizes} may hold one −1 and nothing else that is negative")
    known = -product if -1 in sizes else product
    if -1 in sizes:
        if known == 0:
            raise ShapeError(f"{op}: −1 in {sizes} could be anything, because another size is 0. Write it out.")
        if count % known == 0:
            return tuple([count // known if n == -1 else n for n in sizes])
    raise ShapeError(f"{op}: shape {shape} has {count} elements, which do not fill {sizes}"
                     + ("." if -1 in sizes else f", which has {known}.") + " Let one size be −1 to have it worked out.")


def _is_view_of(array, shape):
    """Can this shape be had without copying? True unless an axis would step unevenly through memory."""
    if not array.size:
        return True
    # Axes of size 1 can have any stride; the rest are grouped where one steps on evenly from the next.
    axes = [(n, s) for n, s in zip(array.shape, array.strides) if n != 1]
    groups = []
    for n, stride in axes:
        if groups and groups[-1][1] == n * stride:
            groups[-1] = [groups[-1][0] * n, stride]
        else:
            groups.append([n, stride])
    # Each group must be filled by whole new axes.
    left = [n for n in shape if n != 1]
    for count, _ in groups:
        while count > 1 and left:
            if count % left[0]:
                return False
            count //= left.pop(0)
        if count != 1:
            return False
    return not left


def _expand(op, x, sizes):
    shape = x.data.shape
    new = len(sizes) - len(shape)
    if new < 0:
        raise ShapeError(f"{op}: {sizes} has fewer axes than shape {shape}. Name every axis; −1 keeps its size.")
    full = []
    for i, n in enumerate(sizes):
        have = shape[i - new] if i >= new else None
        if n < -1 or n == -1 and have is None:
            raise ShapeError(f"{op}: size {n} of {sizes} is not possible for axis {i}: −1 keeps the size of an axis "
                             f"that shape {shape} has")
        if n != -1 and have not in (None, 1, n):
            raise ShapeError(f"{op}: shape {shape} does not expand to {sizes}: axis {i - new} has size {have}, not 1 "
                             f"or {n}. Only axes of size 1 expand; to copy, use repeat.")
        full.append(have if n == -1 else n)
    return Expand.apply(x, shape=tuple(full))


def _repeat(op, x, repeats):
    if len(repeats) < x.data.ndim:
        raise ShapeError(f"{op}: got {len(repeats)} repeats {repeats} for shape {x.data.shape}. "
                         "Give at least one for each axis.")
    if any(n < 0 for n in repeats):
        raise ShapeError(f"{op}: repeats must not be negative, got {repeats}")
    return Repeat.apply(x, repeats=repeats)


def _cat(op, tensors, dim):
    tensors = _listed(op, tensors)
    shapes = [x.data.shape for x in tensors]
    first = next((shape for shape in shapes if shape != (0,)), (0,))    # PyTorch passes over empty vectors
    if not first:
        raise ShapeError(f"{op}: tensors without axes cannot be joined. Use stack.")
    dim = as_dim(op, dim, len(first))
    rest = first[:dim] + first[dim + 1:]
    for i, shape in enumerate(shapes):
        if shape not in (first, (0,)) and (len(shape) != len(first) or shape[:dim] + shape[dim + 1:] != rest):
            raise ShapeError(f"{op}: sizes must be equal except along axis {dim}; the first tensor has {first}, tensor "
                             f"{i} has {shape}")
    promoted = promote(*tensors)
    if (0,) in shapes:
        promoted = tuple([x for x in promoted if x.data.shape != (0,)]) or promoted
    return Cat.apply(*promoted, dim=dim)


def _given(op, tensors):
    """Tensors given one by one, or in one list."""
    return _listed(op, tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors)


def _listed(op, tensors):
    """A list of tensors, checked."""
    if isinstance(tensors, Variable):
        raise TypeError(f"{op}: expected a list of tensors, got one Tensor. Write {op}([a, b]).")
    tensors = list(tensors)
    if not tensors:
        raise ShapeError(f"{op}: expected at least one tensor, got an empty list")
    for i, x in enumerate(tensors):
        if not isinstance(x, Variable):
            raise TypeError(f"{op}: expected tensors; at position {i}: {got(x)}")
    return tensors


def _refuse_scalar(op, x):
    if not x.data.ndim:
        raise RangeError(f"{op}: a 0-d tensor has no axis. Use x.reshape(1) first.")


def _refuse_vector(op, x):
    if x.data.ndim < 2:
        raise ShapeError(f"{op}: expected a matrix or a batch of them, got shape {x.data.shape}")

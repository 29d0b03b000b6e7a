"""The same numbers in another shape: views where possible. A view shares its numbers with its tensor.

Each class is a node of the tape; the function under it is what people call.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.arguments import also_by_name, as_dim, as_dims, as_sizes, given_tensors, numpy_names, refuse_scalar

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors", "broadcast_to", "diagonal", "expand", "expand_as",
    "flatten", "meshgrid", "moveaxis", "movedim", "narrow", "permute", "ravel", "reshape", "reshape_as", "select",
    "squeeze", "swapaxes", "swapdims", "t", "transpose", "unflatten", "unfold", "unsqueeze", "view", "view_as",
]


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
    tensors = given_tensors("atleast_1d", tensors)
    ys = tuple(x if x.data.ndim else unsqueeze(x, 0) for x in tensors)
    return ys[0] if len(ys) == 1 else ys


def atleast_2d(*tensors):
    """Tensors with fewer than two axes get axes of size 1 in front."""
    tensors = given_tensors("atleast_2d", tensors)
    ys = tuple(x if x.data.ndim > 1 else reshape(x, 1, -1) for x in tensors)
    return ys[0] if len(ys) == 1 else ys


def atleast_3d(*tensors):
    """Tensors with fewer than three axes get axes of size 1: a vector in the middle, a matrix in front of them."""
    tensors = given_tensors("atleast_3d", tensors)
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
    tensors = given_tensors("broadcast_tensors", tensors)
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
    axes = [atleast_1d(x) for x in given_tensors("meshgrid", tensors)]
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
    refuse_scalar("narrow", input)
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
    refuse_scalar("select", input)
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

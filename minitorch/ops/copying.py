"""The same numbers copied into another place: repeated, turned round, moved along, on or off a diagonal.

Each class is a node of the tape; the function under it is what people call.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.arguments import also_by_name, as_dim, as_dims, as_sizes, numpy_names
from minitorch.ops.device import on_host
from minitorch.ops.shape import atleast_1d, flatten, reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "contiguous", "diag", "flip", "fliplr", "flipud", "repeat", "repeat_interleave", "roll", "tile", "trace", "tril",
    "triu",
]


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
        return input.diagonal(diagonal)
    return Diag.apply(input, diagonal=operator.index(diagonal))


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal.

    >>> minitorch.trace(minitorch.tensor([[1, 2], [3, 4]]))
    tensor(5)
    """
    if input.data.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, got shape {input.data.shape}")
    return input.diagonal().sum()


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _repeat(op, x, repeats):
    if len(repeats) < x.data.ndim:
        raise ShapeError(f"{op}: got {len(repeats)} repeats {repeats} for shape {x.data.shape}. "
                         "Give at least one for each axis.")
    if any(n < 0 for n in repeats):
        raise ShapeError(f"{op}: repeats must not be negative, got {repeats}")
    return Repeat.apply(x, repeats=repeats)


def _refuse_vector(op, x):
    if x.data.ndim < 2:
        raise ShapeError(f"{op}: expected a matrix or a batch of them, got shape {x.data.shape}")

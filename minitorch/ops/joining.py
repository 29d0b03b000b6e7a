"""One tensor to several, and several to one: split, chunk, unbind; cat, stack.

Each class is a node of the tape; the function under it is what people call. Pieces are views of their tensor.
"""

from __future__ import annotations

import builtins
import operator
from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import ShapeError
from minitorch.ops.arguments import as_dim, as_sizes, as_tensors, numpy_names, refuse_scalar
from minitorch.ops.dtype import promote
from minitorch.ops.shape import atleast_1d, atleast_2d, atleast_3d, narrow, reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "cat", "chunk", "column_stack", "concat", "concatenate", "dstack", "hstack", "row_stack", "split", "stack",
    "tensor_split", "unbind", "vstack",
]


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
    refuse_scalar("split", tensor)
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
    refuse_scalar("chunk", input)
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
    refuse_scalar("tensor_split", input)
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
    refuse_scalar("unbind", input)
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
    tensors = as_tensors("stack", tensors)
    dim = as_dim("stack", dim, tensors[0].data.ndim + 1)
    for i, x in enumerate(tensors):
        if x.data.shape != tensors[0].data.shape:
            raise ShapeError(f"stack: all tensors need one shape; tensor 0 has {tensors[0].data.shape}, tensor {i} has "
                             f"{x.data.shape}. To join along an axis they have, use cat.")
    return Stack.apply(*promote(*tensors), dim=dim)


def hstack(tensors) -> Tensor:
    """Tensors side by side: along the second axis, vectors along their only one."""
    tensors = [atleast_1d(x) for x in as_tensors("hstack", tensors)]
    return _cat("hstack", tensors, 0 if tensors[0].data.ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """Tensors on top of each other: along the first axis, vectors as rows."""
    return _cat("vstack", [atleast_2d(x) for x in as_tensors("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors) -> Tensor:
    """Tensors behind each other: along the third axis."""
    return _cat("dstack", [atleast_3d(x) for x in as_tensors("dstack", tensors)], 2)


def column_stack(tensors) -> Tensor:
    """Tensors side by side, vectors as columns."""
    columns = [reshape(x, -1, 1) if x.data.ndim < 2 else x for x in as_tensors("column_stack", tensors)]
    return _cat("column_stack", columns, 1)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _cat(op, tensors, dim):
    tensors = as_tensors(op, tensors)
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

"""One of many: the largest, the smallest, the one in the middle; their values, and where they are.

Each class is a node of the tape; the function under it is what people call. Of elements that tie along one axis the
first is meant; where values alone are asked for, they share the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from minitorch.autograd import Function, Variable
from minitorch.errors import RangeError
from minitorch.ops.arguments import as_dim, numpy_names, reduced_dims, refuse_empty
from minitorch.ops.arithmetic import maximum, minimum
from minitorch.ops.reduce import Count, mean

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["Selected", "amax", "amin", "aminmax", "argmax", "argmin", "max", "median", "min"]


class Selected(NamedTuple):
    """Elements that were picked along an axis, and where they were."""

    values: Tensor
    indices: Tensor


class AMax(Function):
    """The largest along some axes.

    Forward    y = max x over the axes dim
    Backward   dx = dy at the largest, 0 elsewhere; elements that tie share evenly
    Saved      x, y
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.x, self.dim, self.keepdim = x, dim, keepdim
        self.y = self.k.amax_forward(x, dim, keepdim)
        return self.y

    def backward(self, dy):
        return self.k.amax_backward(dy, self.x, self.y, self.dim, self.keepdim)


@numpy_names
def amax(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The largest along the axes dim; elements that tie share the gradient evenly.

    >>> minitorch.tensor([[1.0, 5.0], [3.0, 2.0]]).amax(1)
    tensor([5., 3.])
    """
    return AMax.apply(input, dim=refuse_empty("amax", reduced_dims("amax", dim, input), input), keepdim=keepdim)


class AMin(Function):
    """The smallest along some axes.

    Forward    y = min x over the axes dim
    Backward   dx = dy at the smallest, 0 elsewhere; elements that tie share evenly
    Saved      x, y
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.x, self.dim, self.keepdim = x, dim, keepdim
        self.y = self.k.amin_forward(x, dim, keepdim)
        return self.y

    def backward(self, dy):
        return self.k.amin_backward(dy, self.x, self.y, self.dim, self.keepdim)


@numpy_names
def amin(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The smallest along the axes dim; elements that tie share the gradient evenly.

    >>> minitorch.tensor([[1.0, 5.0], [3.0, 2.0]]).amin(1)
    tensor([1., 2.])
    """
    return AMin.apply(input, dim=refuse_empty("amin", reduced_dims("amin", dim, input), input), keepdim=keepdim)


@numpy_names
def aminmax(input: Tensor, *, dim=None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest and the largest."""
    return amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim)


class Max(Function):
    """The largest along one axis, and where it is.

    Forward    y, i = largest of x, its index; the first, if several are
    Backward   dx[i] = dy, 0 elsewhere
    Saved      i, x's shape
    Shapes     x (…)    y, i: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim, self.keepdim = x.shape, dim, keepdim
        y, self.indices = self.k.max_forward(x, dim, keepdim)
        return y, self.indices

    def backward(self, dy, _):
        return self.k.max_backward(dy, self.indices, self.shape, self.dim, self.keepdim)


@numpy_names
def max(input: Tensor, dim=None, keepdim: bool = False, *, other=None) -> Any:
    """The largest of all; along one axis, values and indices; of two tensors, element by element.

    >>> x = minitorch.tensor([[1.0, 5.0], [3.0, 2.0]])
    >>> x.max()
    tensor(5.)
    >>> x.max(dim=1).indices
    tensor([1, 0])
    """
    other = dim if isinstance(dim, Variable) else other
    if other is not None:
        return maximum(input, other)
    if dim is None:
        if not input.data.size:
            raise RuntimeError(f"max: shape {input.data.shape} has no elements, so none is the largest. Name a "
                               "dim that is not empty.")
        return AMax.apply(input, dim=tuple(range(input.data.ndim)), keepdim=keepdim)
    return Selected(*Max.apply(input, dim=_one_dim("max", dim, input), keepdim=keepdim))


class Min(Function):
    """The smallest along one axis, and where it is.

    Forward    y, i = smallest of x, its index; the first, if several are
    Backward   dx[i] = dy, 0 elsewhere
    Saved      i, x's shape
    Shapes     x (…)    y, i: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim, self.keepdim = x.shape, dim, keepdim
        y, self.indices = self.k.min_forward(x, dim, keepdim)
        return y, self.indices

    def backward(self, dy, _):
        return self.k.min_backward(dy, self.indices, self.shape, self.dim, self.keepdim)


@numpy_names
def min(input: Tensor, dim=None, keepdim: bool = False, *, other=None) -> Any:
    """The smallest of all; along one axis, values and indices; of two tensors, element by element.

    >>> x = minitorch.tensor([[1.0, 5.0], [3.0, 2.0]])
    >>> x.min()
    tensor(1.)
    >>> x.min(dim=1).indices
    tensor([0, 1])
    """
    other = dim if isinstance(dim, Variable) else other
    if other is not None:
        return minimum(input, other)
    if dim is None:
        if not input.data.size:
            raise RuntimeError(f"min: shape {input.data.shape} has no elements, so none is the smallest. Name a "
                               "dim that is not empty.")
        return AMin.apply(input, dim=tuple(range(input.data.ndim)), keepdim=keepdim)
    return Selected(*Min.apply(input, dim=_one_dim("min", dim, input), keepdim=keepdim))


@numpy_names
def argmax(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Where the largest is along one axis, or in reading order of all; the first one, if several are.

    >>> minitorch.tensor([1.0, 5.0, 2.0]).argmax()
    tensor(1)
    """
    if dim is None and not input.data.size:
        raise RangeError(f"argmax: shape {input.data.shape} has no elements, so none is the largest")
    dim = None if dim is None or not input.data.ndim else _one_dim("argmax", dim, input)
    return Count.apply(input, op="argmax", dim=dim, keepdim=keepdim)


@numpy_names
def argmin(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Where the smallest is along one axis, or in reading order of all; the first one, if several are.

    >>> minitorch.tensor([1.0, 5.0, 2.0]).argmin()
    tensor(0)
    """
    if dim is None and not input.data.size:
        raise RangeError(f"argmin: shape {input.data.shape} has no elements, so none is the smallest")
    dim = None if dim is None or not input.data.ndim else _one_dim("argmin", dim, input)
    return Count.apply(input, op="argmin", dim=dim, keepdim=keepdim)


class Median(Function):
    """The one in the middle along one axis, and where it is.

    Forward    y, i = one in the middle of x, its index; of two in the middle the smaller
    Backward   dx[i] = dy, 0 elsewhere
    Saved      i, x's shape
    Shapes     x (…)    y, i: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim, self.keepdim = x.shape, dim, keepdim
        y, self.indices = self.k.median_forward(x, dim, keepdim)
        return y, self.indices

    def backward(self, dy, _):
        return self.k.median_backward(dy, self.indices, self.shape, self.dim, self.keepdim)


@numpy_names
def median(input: Tensor, dim=None, keepdim: bool = False) -> Any:
    """The one in the middle (of two, the smaller); along one axis, values and indices.

    >>> minitorch.tensor([4.0, 1.0, 3.0, 2.0]).median()
    tensor(2.)
    """
    if dim is not None:
        return Selected(*Median.apply(input, dim=_one_dim("median", dim, input), keepdim=keepdim))
    if not input.data.size and input.data.dtype.kind == "f":
        return mean(input)
    if not input.data.size:
        raise RuntimeError(f"median: shape {input.data.shape} has no elements, so none is in the middle")
    return MedianOfAll.apply(input)


class MedianOfAll(Function):
    """The one in the middle of all; of two, the smaller.

    Forward    y = the element that as many are below as above
    Backward   dx = dy where x = y, 0 elsewhere; elements that tie share evenly
    Saved      x, y
    Shapes     x (…)    y ()
    Derived in docs/ops/reduce.md
    """

    def forward(self, x):
        self.x = x
        self.y, _ = self.k.median_forward(x.reshape(-1), 0, False)
        return self.y

    def backward(self, dy):
        return self.k.amax_backward(dy, self.x, self.y, tuple(range(self.x.ndim)), False)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _one_dim(op, dim, x):
    """One axis that has elements."""
    axis = as_dim(op, dim, x.data.ndim)
    refuse_empty(op, (axis,) if x.data.ndim else (), x)
    return axis

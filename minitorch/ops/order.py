"""What comes before what: sorting, the k largest, the values that occur, where a number belongs among sorted ones.

Each class is a node of the tape; the function under it is what people call. NaN counts as the largest.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.ops.arguments import as_dim, numpy_names
from minitorch.ops.device import on_device_of, on_host
from minitorch.ops.extremes import Selected
from minitorch.ops.operands import Plain

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "argsort", "bucketize", "isin", "searchsorted", "sort", "topk", "unique",
]


class Sort(Function):
    """One axis in order.

    Forward    y[i] = x[indices[i]], ascending, or descending
    Backward   dx[indices[i]] = dy[i]
    Saved      indices
    Shapes     x, y, indices (…)
    Derived in docs/ops/index.md
    """

    def forward(self, x, *, dim, descending):
        self.shape, self.dim = x.shape, dim
        y, self.indices = self.k.sort_forward(x, dim, descending)
        return y, self.indices

    def backward(self, dy, _):
        return self.k.sort_backward(dy, self.indices, self.shape, self.dim)


@numpy_names
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Selected:
    """One axis in order, and where each element was. Equal elements keep their order; NaN counts as the largest.

    >>> minitorch.tensor([3.0, 1.0, 2.0]).sort().values
    tensor([1., 2., 3.])
    """
    return Selected(*Sort.apply(input, dim=as_dim("sort", dim, input.data.ndim), descending=descending))


@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort one axis; equal elements keep their order.

    >>> minitorch.tensor([3.0, 1.0, 2.0]).argsort()
    tensor([1, 2, 0])
    """
    return Order.apply(input, op="argsort", dim=as_dim("argsort", dim, input.data.ndim), descending=descending)


class TopK(Function):
    """The k largest along one axis.

    Forward    y[i] = x[indices[i]], best first
    Backward   dx[indices[i]] = dy[i], 0 elsewhere
    Saved      indices, x's shape
    Shapes     x (…, n, …)    y, indices (…, k, …)
    Derived in docs/ops/index.md
    """

    def forward(self, x, *, k, dim, largest):
        self.shape, self.dim = x.shape, dim
        y, self.indices = self.k.topk_forward(x, k, dim, largest)
        return y, self.indices

    def backward(self, dy, _):
        return self.k.topk_backward(dy, self.indices, self.shape, self.dim)


@numpy_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Selected:
    """The k largest (or smallest) along one axis, best first, and where each was.

    >>> minitorch.tensor([3.0, 1.0, 2.0]).topk(2).indices
    tensor([0, 2])
    """
    dim, k = as_dim("topk", dim, input.data.ndim), operator.index(k)
    n = input.data.shape[dim] if input.data.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError(f"topk: k must be in [0, {n}], the size of axis {dim} of shape {input.data.shape}; got {k}")
    return Selected(*TopK.apply(input, k=k, dim=dim, largest=largest))


class Order(Plain):
    """A question whose answer is whole numbers: no gradient passes.

    Forward    y = the kernel named ``op``
    Backward   none: the answer is a step function
    Saved      nothing
    Shapes     the kernel's
    Derived in docs/ops/index.md
    """


def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim=None):
    """The values that occur, in order; if asked for, also where each element's value stands and how often it occurs.

    >>> minitorch.unique(minitorch.tensor([2, 1, 2]), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    if dim is not None:
        raise NotImplementedError("unique: dim is not supported; without it all elements are compared")
    values, inverse, counts = np.unique(on_host(input.data), return_inverse=True, return_counts=True)
    asked = [(True, values), (return_inverse, inverse.reshape(input.data.shape)), (return_counts, counts)]
    found = tuple(input.like(on_device_of(array, input)) for wanted, array in asked if wanted)
    return found if len(found) > 1 else found[0]


def searchsorted(sorted_sequence: Tensor, input, *, right: bool = False, side: str | None = None) -> Tensor:
    """Where each element of input belongs in a sorted vector: before equal ones, or after them with ``right``.

    >>> minitorch.searchsorted(minitorch.tensor([1, 3, 5]), minitorch.tensor([3, 9]))
    tensor([1, 3])
    """
    if sorted_sequence.data.ndim != 1:
        raise NotImplementedError(f"searchsorted: one sorted vector is supported, got {sorted_sequence.data.shape}")
    where: Any = side or ("right" if right else "left")
    values = on_host(input.data) if isinstance(input, Variable) else input
    found = np.searchsorted(on_host(sorted_sequence.data), values, where)
    return sorted_sequence.like(on_device_of(found, sorted_sequence))


def bucketize(input, boundaries: Tensor, *, right: bool = False) -> Tensor:
    """The number of the bucket, between sorted boundaries, that each element falls into."""
    return searchsorted(boundaries, input, right=right)


def isin(elements: Tensor, test_elements) -> Tensor:
    """True where an element is one of test_elements."""
    tests = on_host(test_elements.data) if isinstance(test_elements, Variable) else test_elements
    return elements.like(on_device_of(np.isin(on_host(elements.data), tests), elements))

"""Softmax: numbers into probabilities."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import DTypeError
from minitorch.ops.arguments import numpy_names
from minitorch.ops.dtype import to_dtype
from minitorch.ops.elementwise import neg

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["log_softmax", "softmax", "softmin"]


class Softmax(Function):
    """Positive numbers that add up to 1 along one axis, larger where x is larger.

    Forward    y = e^(x − max x) / Σ e^(x − max x)
    Backward   dx = y · (dy − Σ dy · y)                  Σ: along the axis
    Saved      y
    Shapes     x, y (…)
    Derived in docs/layers/softmax.md
    """

    def forward(self, x, *, axis):
        self.axis = axis
        self.y = self.k.softmax_forward(x, axis)
        return self.y

    def backward(self, dy):
        return self.k.softmax_backward(dy, self.y, self.axis)


class LogSoftmax(Function):
    """The logarithms of softmax, without computing the softmax first.

    Forward    y = x − max x − ln Σ e^(x − max x)
    Backward   dx = dy − eʸ · Σ dy                       Σ: along the axis
    Saved      y
    Shapes     x, y (…)
    Derived in docs/layers/softmax.md
    """

    def forward(self, x, *, axis):
        self.axis = axis
        self.y = self.k.log_softmax_forward(x, axis)
        return self.y

    def backward(self, dy):
        return self.k.log_softmax_backward(dy, self.y, self.axis)


@numpy_names
def softmax(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """Positive numbers that add up to 1 along ``dim``, larger where the input is larger.

    >>> minitorch.softmax(minitorch.tensor([1.0, 2.0, 3.0]), 0)
    tensor([0.0900, 0.2447, 0.6652])
    """
    x, axis = _checked("softmax", input, dim, dtype)
    return Softmax.apply(x, axis=axis)


@numpy_names
def log_softmax(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """The logarithms of softmax, exact where softmax itself is nearly 0.

    >>> minitorch.log_softmax(minitorch.tensor([1.0, 2.0, 3.0]), 0)
    tensor([-2.4076, -1.4076, -0.4076])
    """
    x, axis = _checked("log_softmax", input, dim, dtype)
    return LogSoftmax.apply(x, axis=axis)


def softmin(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """Softmax of −x: larger where the input is smaller."""
    return softmax(neg(input), dim, dtype=dtype)


def _checked(op, x, dim, dtype):
    x = x if dtype is None else to_dtype(x, dtype)
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: expected a float tensor, got {x.dtype}. Use x.float(), or dtype=minitorch.float32.")
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
        warnings.warn(f"{op}: no dim given; using dim={dim}, PyTorch's old rule. Say dim=-1 for the last axis.",
                      UserWarning, stacklevel=4)
    if not -max(x.ndim, 1) <= dim < max(x.ndim, 1):
        raise IndexError(f"{op}: dimension out of range [{-max(x.ndim, 1)}, {max(x.ndim, 1) - 1}], got {dim}")
    return x, dim

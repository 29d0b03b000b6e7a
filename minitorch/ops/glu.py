"""The gated linear unit, made of smaller ops."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.errors import ShapeError
from minitorch.ops.activation import sigmoid
from minitorch.ops.arithmetic import mul
from minitorch.ops.joining import chunk

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["glu"]


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Half of the input, gated by the sigmoid of the other half.

    >>> minitorch.nn.functional.glu(minitorch.tensor([2.0, 0.0]), 0)
    tensor([1.])
    """
    if not input.ndim or input.shape[dim] % 2:
        raise ShapeError(f"glu: axis {dim} of {input.shape} must have an even size, to be halved")
    x, gate = chunk(input, 2, dim)
    return mul(x, sigmoid(gate))

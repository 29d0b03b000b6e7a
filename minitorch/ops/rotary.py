"""Rotary positions: queries and keys are turned by an angle per position, so that their product knows the distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError, got
from minitorch.ops.device import is_array

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["rotary"]


class Rotary(Function):
    """Turn pairs of features: feature i with feature i + D/2, by the angle θ of the position and of i.

    Forward    y₁ = x₁ · cos θ − x₂ · sin θ       x₁ = x[…, :D/2]
               y₂ = x₂ · cos θ + x₁ · sin θ       x₂ = x[…, D/2:]
    Backward   dx₁ = dy₁ · cos θ + dy₂ · sin θ    turned back, by −θ
               dx₂ = dy₂ · cos θ − dy₁ · sin θ
    Saved      cos θ, sin θ. x is not needed: a rotation is linear.
    Shapes     x, y (…, T, D)    cos θ, sin θ (…, T, D/2)
    Derived in docs/layers/rotary.md
    """

    def forward(self, x, *, cos, sin):
        self.cos, self.sin = cos, sin
        return self.k.rotary_forward(x, cos, sin)

    def backward(self, dy):
        return self.k.rotary_backward(dy, self.cos, self.sin, self.needs)


def rotary(x: Tensor, cos, sin) -> Tensor:
    """Turn the pairs (x[i], x[i + D/2]) by the angles whose cos and sin are given; they are constants, without gradient.

    ``nn.RotaryEmbedding`` makes the angles. Shapes: x (…, T, D), cos and sin (T, D/2), or with further axes in front
    that broadcast.

    >>> x = minitorch.tensor([[1.0, 0.0]])                        # one position, one pair
    >>> minitorch.nn.functional.rotary(x, np.array([[0.0]]), np.array([[1.0]]))       # a quarter turn
    tensor([[0., 1.]])
    """
    if not isinstance(x, Variable):
        raise TypeError(f"rotary: x must be a Tensor, {got(x)}")
    if x.dtype.kind != "f":
        raise DTypeError(f"rotary: x must be of floats, got {x.dtype}. Use x.float().")
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ShapeError(f"rotary: x must be (…, length, features) with an even number of features, got {x.shape}")
    tables = []
    for name, table in (("cos", cos), ("sin", sin)):
        if isinstance(table, Variable):
            if table._requires_grad:
                raise RuntimeError(f"rotary: {name} requires a gradient, but angles are constants here. Use "
                                   f"{name}.detach().")
            table = table.data
        table = (table if is_array(table) else np.asarray(table)).astype(x.dtype, copy=False)
        wanted = (*x.shape[:-1], x.shape[-1] // 2)
        padded = (1,) * (len(wanted) - table.ndim) + table.shape
        if len(padded) != len(wanted) or padded[-1] != wanted[-1] or any(a not in (1, b) for a, b in zip(padded, wanted)):
            raise ShapeError(f"rotary: {name} {table.shape} does not fit x {x.shape}: expected (length, features / 2) = "
                             f"{wanted[-2:]}")
        tables.append(table)
    return Rotary.apply(x, cos=tables[0], sin=tables[1])

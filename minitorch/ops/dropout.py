"""Dropout: some values set to 0 by chance, the others scaled up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.random import draw_seed

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["dropout"]


class Dropout(Function):
    """Each value is 0 with probability p; the others are scaled so that the mean stays.

    Forward    y = x · keep / (1 − p)        keep = a random bit made from the seed and the element's number
    Backward   dx = dy · keep / (1 − p)      keep is made again from the seed, so no mask is stored
    Saved      seed
    Shapes     x, y (…)
    Derived in docs/layers/dropout.md
    """

    def forward(self, x, *, p, seed):
        self.p, self.seed = p, seed
        return self.k.dropout_forward(x, p, seed)

    def backward(self, dy):
        return self.k.dropout_backward(dy, self.p, self.seed)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """While training, set each value to 0 with probability p and scale the others by 1 / (1 − p)."""
    check_probability("dropout", p)
    if not training or p == 0:
        return input
    return Dropout.apply(input, p=float(p), seed=draw_seed())


def check_probability(op: str, p: float) -> None:
    """Raise unless p is a probability."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: the dropout probability must be between 0 and 1, got {p}")

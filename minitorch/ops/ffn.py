"""The position-wise feed-forward network: two linear layers with an activation between, on every position alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.dropout import check_probability
from minitorch.random import draw_seed

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["feed_forward"]

ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu")


class FeedForward(Function):
    """Two linear layers with an activation between, one node.

    Forward    1  a = x w1ᵀ + b1
               2  h = dropout(act(a))
               3  y = h w2ᵀ + b2
    Backward   3  dh = dy w2          dw2 = dyᵀ h        db2 = Σ dy        Σ: over every row
               2  da = act′(a) · dropout(dh)
               1  dx = da w1          dw1 = daᵀ x        db1 = Σ da
    Saved      x, w1, w2, a, seed. h is recomputed: it is as large as a.
    Shapes     x (…, c)    w1 (h, c)    w2 (o, h)    a (rows, h)    y (…, o)
    Derived in docs/layers/ffn.md
    """

    def forward(self, x, w1, b1, w2, b2, *, activation, p=0.0, seed=0):
        y, self.a = self.k.ffn_forward(x, w1, b1, w2, b2, activation, p, seed)
        self.x, self.w1, self.w2, self.activation, self.p, self.seed = x, w1, w2, activation, p, seed
        return y

    def backward(self, dy):
        return self.k.ffn_backward(dy, self.x, self.w1, self.w2, self.a, self.activation, self.p, self.seed, self.needs)


def feed_forward(x: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None, activation: str = "relu",
                 dropout_p: float = 0.0, training: bool = True) -> Tensor:
    """act(x w1ᵀ + b1) w2ᵀ + b2 in one node; activation is "relu", "gelu", "gelu_tanh" or "silu"."""
    op = "feed_forward"
    check_probability(op, dropout_p)
    if activation not in ACTIVATIONS:
        raise ValueError(f"{op}: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    for name, t in (("w1", w1), ("b1", b1), ("w2", w2), ("b2", b2)):
        if t is not None and t.dtype != x.dtype:
            raise DTypeError(f"{op}: x is {x.dtype}, {name} is {t.dtype}. Cast one.")
    if w1.ndim != 2 or w2.ndim != 2 or x.ndim < 1 or x.shape[-1] != w1.shape[1] or w2.shape[1] != w1.shape[0]:
        raise ShapeError(f"{op}: x {x.shape}, w1 {w1.shape}, w2 {w2.shape}: expected x (…, c), w1 (h, c), w2 (out, h)")
    for name, b, w in (("b1", b1, w1), ("b2", b2, w2)):
        if b is not None and b.shape != w.shape[:1]:
            raise ShapeError(f"{op}: {name} has shape {b.shape}, expected {w.shape[:1]}")
    p = float(dropout_p) if training else 0.0
    return FeedForward.apply(x, w1, b1, w2, b2, activation=activation, p=p, seed=draw_seed() if p else 0)

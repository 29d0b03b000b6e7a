"""Padding the ends of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import ShapeError

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["pad"]


class Pad(Function):
    """More positions at the ends of some axes.

    Forward    y = x with positions before and after: a constant, or copies of x's own values
    Backward   dx = dy where y is x, plus dy of every copy
    Saved      x's shape
    Shapes     y is x with before + after added to each axis
    Derived in docs/ops/shape.md
    """

    def forward(self, x, *, widths, mode, value):
        self.shape, self.widths, self.mode = x.shape, widths, mode
        return self.k.pad_forward(x, widths, mode, value)

    def backward(self, dy):
        return self.k.pad_backward(dy, self.shape, self.widths, self.mode)


def pad(input: Tensor, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """Positions before and after, in pairs from the last axis backwards: ``(left, right, top, bottom, …)``.

    >>> minitorch.nn.functional.pad(minitorch.tensor([1.0, 2.0]), (1, 2))
    tensor([0., 1., 2., 0., 0.])
    """
    counts = [int(n) for n in pad]
    if len(counts) % 2 or len(counts) > 2 * input.ndim:
        raise RuntimeError(f"pad: expected pairs (before, after) for at most {input.ndim} axes of {input.shape}, got "
                           f"{tuple(counts)}")
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise NotImplementedError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if mode != "constant" and value not in (None, 0):
        raise ValueError(f"pad: mode {mode!r} takes no value")
    pairs = list(zip(counts[::2], counts[1::2]))
    widths = [(0, 0)] * (input.ndim - len(pairs)) + pairs[::-1]
    for axis, (n, (a, b)) in enumerate(zip(input.shape, widths)):
        if n + a + b < 0 or mode == "reflect" and max(a, b) >= max(n, 1) or mode == "circular" and max(a, b) > n \
                or mode == "replicate" and n == 0:
            raise ShapeError(f"pad: axis {axis} has {n} positions, too few for padding {(a, b)} in mode {mode!r}")
    return Pad.apply(input, widths=widths, mode=mode, value=0 if value is None else value)

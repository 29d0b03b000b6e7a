"""Rotary positions: feature i and feature i + D/2 are a point in the plane, turned by an angle that grows with position.

Forward    y₁ = x₁ cos − x₂ sin      y₂ = x₂ cos + x₁ sin          x₁, x₂: the first and second half of the features
Backward   turned back: the same with −sin
"""

from ..reference import rotary as _reference
from ._array import empty, ready, to_device
from ._map import formula, into

__all__ = _reference.__all__

_first = formula(lambda x1, x2, cos, sin: x1 * cos - x2 * sin)
_second = formula(lambda x1, x2, cos, sin: x2 * cos + x1 * sin)


def rotary_forward(x, cos, sin):
    half, cos, sin = x.shape[-1] // 2, ready(to_device(cos), x.dtype), ready(to_device(sin), x.dtype)
    x1, x2, y = x[..., :half], x[..., half:], empty(x.shape, x.dtype)
    into(y[..., :half], _first, x1, x2, cos, sin)
    into(y[..., half:], _second, x1, x2, cos, sin)
    return y


def rotary_backward(dy, cos, sin, needs=(True,)):
    """A rotation's transpose is the rotation back: by −sin, with the halves' parts exchanged."""
    if not needs[0]:
        return (None,)
    half, cos, sin = dy.shape[-1] // 2, ready(to_device(cos), dy.dtype), ready(to_device(sin), dy.dtype)
    dy1, dy2, dx = dy[..., :half], dy[..., half:], empty(dy.shape, dy.dtype)
    into(dx[..., :half], _second, dy2, dy1, cos, sin)
    into(dx[..., half:], _first, dy2, dy1, cos, sin)
    return (dx,)

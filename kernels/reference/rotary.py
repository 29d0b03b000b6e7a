"""Rotary positions: feature i and feature i + D/2 are a point in the plane, turned by an angle that grows with position.

Forward    y₁ = x₁ cos − x₂ sin      y₂ = x₂ cos + x₁ sin          x₁, x₂: the first and second half of the features
Backward   turned back: the same with −sin
"""

import numpy as np

__all__ = ["rotary_backward", "rotary_forward"]


def rotary_forward(x, cos, sin):
    """x (…, T, D), cos and sin (…, T, D/2), to be broadcast over the axes before → y (…, T, D)."""
    half = x.shape[-1] // 2
    x1, x2 = x[..., :half], x[..., half:]
    return np.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1)


def rotary_backward(dy, cos, sin, needs=(True,)):
    """dy (…, T, D) → dx. A rotation's transpose is the rotation back."""
    return (rotary_forward(dy, cos, -sin) if needs[0] else None,)

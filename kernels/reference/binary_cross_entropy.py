"""Binary cross-entropy of a probability x against a target t between 0 and 1. Logarithms stop at −100, as in PyTorch."""

import numpy as np

__all__ = ["binary_cross_entropy_backward", "binary_cross_entropy_forward"]


def binary_cross_entropy_forward(x, t):
    """x, t (…) → y (…)."""
    with np.errstate(divide="ignore"):
        yes, no = np.log(x), np.log1p(-x)
    floor = -100
    yes, no = np.where(yes.real < floor, floor, yes), np.where(no.real < floor, floor, no)
    return -(t * yes + (1 - t) * no)


def binary_cross_entropy_backward(dy, x, t, needs=(True, True)):
    """dy (…) → dx, dt (…)."""
    dx = dy * (x - t) / np.maximum(x * (1 - x), 1e-12) if needs[0] else None
    if not needs[1]:
        return dx, None
    with np.errstate(divide="ignore"):
        return dx, dy * (np.log1p(-x) - np.log(x))

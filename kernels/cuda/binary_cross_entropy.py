"""Binary cross-entropy of a probability x against a target t between 0 and 1. Logarithms stop at −100, as in PyTorch."""

import math

from ..reference import binary_cross_entropy as _reference
from ._map import each, formula

__all__ = _reference.__all__


@formula
def _loss(x, t):
    yes, no = math.log(x), math.log1p(-x)
    yes = -100.0 if yes < -100.0 else yes
    no = -100.0 if no < -100.0 else no
    return -(t * yes + (1.0 - t) * no)


@formula
def _slope(dy, x, t):
    spread = x * (1.0 - x)
    return dy * (x - t) / (1e-12 if spread < 1e-12 else spread)


_target_slope = formula(lambda dy, x: dy * (math.log1p(-x) - math.log(x)))


def binary_cross_entropy_forward(x, t):
    return each(_loss, x, t)


def binary_cross_entropy_backward(dy, x, t, needs=(True, True)):
    return each(_slope, dy, x, t) if needs[0] else None, each(_target_slope, dy, x) if needs[1] else None

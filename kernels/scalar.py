"""Scalar formulas, written once: plain Python that Numba compiles for every target.

Numba's literals are float64, so these compute in float64 whatever comes in; the caller rounds the result once. That is what
keeps the tails of GELU right in float32.
"""

import math

import numpy as np

__all__ = ["elu", "elu_slope", "gelu", "gelu_slope", "gelu_tanh", "gelu_tanh_slope", "hash32", "sigmoid", "silu",
           "silu_slope", "softplus"]

SQRT_HALF = math.sqrt(0.5)
SQRT_2_PI = math.sqrt(2 / math.pi)
DENSITY = 1 / math.sqrt(2 * math.pi)
CUBIC = 0.044715

# uint64 throughout: mixed with a signed integer, Numba makes a float of it
ONE, STEP = np.uint64(1), np.uint64(0x9E3779B97F4A7C15)
MIX_A, MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SHIFT_A, SHIFT_B, SHIFT_C, SHIFT_D = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


def gelu(x):
    """x Φ(x), by erfc: where Φ is tiny, 1 − erf would have no digits left."""
    return 0.5 * x * math.erfc(-x * SQRT_HALF)


def gelu_slope(x):
    """d gelu / dx = Φ(x) + x φ(x)."""
    return 0.5 * math.erfc(-x * SQRT_HALF) + x * math.exp(-0.5 * x * x) * DENSITY


def gelu_tanh(x):
    """½ x (1 + tanh u), written x σ(2u): where tanh is nearly −1, 1 + tanh would have no digits left."""
    return x * sigmoid(2 * SQRT_2_PI * (x + CUBIC * x * x * x))


def gelu_tanh_slope(x):
    """d gelu_tanh / dx = s + x s (1 − s) · 2u′."""
    s = sigmoid(2 * SQRT_2_PI * (x + CUBIC * x * x * x))
    return s + x * s * (1 - s) * 2 * SQRT_2_PI * (1 + 3 * CUBIC * x * x)


def sigmoid(x):
    """1 / (1 + e⁻ˣ), from the exponential that cannot overflow."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)
    return e / (1 + e)


def silu(x):
    """x σ(x)."""
    return x * sigmoid(x)


def silu_slope(x):
    """d silu / dx = σ (1 + x (1 − σ))."""
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def softplus(x):
    """ln(1 + eˣ), from the exponential that cannot overflow."""
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def elu(x):
    """x above 0, eˣ − 1 below."""
    return x if x > 0 else math.expm1(x)


def elu_slope(x):
    """1 above 0, eˣ below."""
    return 1.0 if x > 0 else math.exp(x)


def hash32(seed, i):
    """32 random bits for element i: a counter, mixed (the finaliser of SplitMix64). All numbers are uint64."""
    z = seed + (i + ONE) * STEP
    z = (z ^ (z >> SHIFT_A)) * MIX_A
    z = (z ^ (z >> SHIFT_B)) * MIX_B
    return (z ^ (z >> SHIFT_C)) >> SHIFT_D

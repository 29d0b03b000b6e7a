"""One number in, one number out: formulas that compiled kernels share.

These are plain Python functions; a backend compiles them all at once with ``compiled(jit)``. A literal makes float32
into float64 on the way: results are as good as the last rounding, and the caller's array rounds them.
"""

import math
from types import FunctionType, SimpleNamespace

import numpy as np

__all__ = [
    "compiled", "elu", "elu_slope", "erf", "erfc", "exp", "random_bits", "scramble", "seed_keys", "sigmoid",
    "softplus_slope",
]

ROOT_HALF = math.sqrt(0.5)
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
INV_ROOT_2PI = 1 / math.sqrt(2 * math.pi)
LOG2_E = 1 / math.log(2)
# Φ(−a) = e^(−a²/2) · p / d up to a = TAIL_END, beyond which float32 has only 0: p = Σ TAIL_P[i] aⁱ, d = a⁵ + Σ TAIL_D[i] aⁱ,
# fitted to 2 · 10⁻⁸
TAIL_END = 14.625
TAIL_P = 48.34901993187274, 42.406631188825266, 17.736557878332086, 3.935255351403661, 0.39894681873509336
TAIL_D = 96.69803928282586, 161.96717626456217, 116.35473568520209, 45.44462379589238, 9.864837488354143
LN_2 = math.log(2)
WORD = 0xFFFFFFFF


def compiled(jit):
    """All formulas, compiled by this decorator. They call each other, so they are copied to see each other's copies."""
    space = dict(globals())
    names = [name for name in __all__ if name not in ("compiled", "seed_keys")]
    for name in names:
        space[name] = jit(FunctionType(space[name].__code__, space, name))
    return SimpleNamespace(**{name: space[name] for name in names})


def exp(x):
    """eˣ = 2ⁿ · e^r with |r| ≤ ln(2)/2: no call and no branch, so that a loop over it runs many lanes wide.

    Below −708, where float64 would become denormal, it is 0.
    """
    t = x if x > -708.0 else -708.0  # NaN, too: its turn comes at the end
    t = t if t < 709.0 else 709.0
    n = math.floor(t * LOG2_E + 0.5)
    r = t - n * LN_2
    p = 1.0 / 479001600
    p = p * r + 1.0 / 39916800
    p = p * r + 1.0 / 3628800
    p = p * r + 1.0 / 362880
    p = p * r + 1.0 / 40320
    p = p * r + 1.0 / 5040
    p = p * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    y = p * np.int64((np.int64(n) + 1023) << 52).view(np.float64)
    y = 0.0 if x < -708.0 else y
    y = math.inf if x > 709.0 else y
    return x if x != x else y


def erf(x):
    return math.erf(x)


def erfc(x):
    return math.erfc(x)


def sigmoid(x):
    """1 / (1 + e⁻ˣ), from e^−|x|, which cannot overflow."""
    t = exp(-abs(x))
    return (1.0 if x >= 0 else t) / (1.0 + t)


def softplus_slope(x, beta, threshold):
    return 1.0 if x * beta > threshold else sigmoid(x * beta)


def elu(x, alpha):
    return alpha * math.expm1(x) if x <= 0 else x


def elu_slope(x, alpha):
    return alpha * exp(x) if x <= 0 else 1.0


# Random bits that depend on a seed and a position, and on nothing else: backward draws the same again, in any order.
# 32-bit words in 64-bit integers, and multipliers below 2³¹: no product overflows, in Python, NumPy or compiled code.

def scramble(word):
    """A 32-bit word in, a 32-bit word out: every bit of it depends on every bit."""
    word = ((word ^ (word >> 16)) * 0x21F0AAAD) & WORD
    word = ((word ^ (word >> 15)) * 0x735A2D97) & WORD
    return word ^ (word >> 15)


def seed_keys(seed):
    """The two words that stand for a 64-bit seed. Neighbouring seeds have nothing in common."""
    seed = int(seed)
    first = scramble(((seed & WORD) + 0x9E3779B9) & WORD)
    return first, scramble((first + (seed >> 32 & WORD) + 0x7F4A7C15) & WORD)


def random_bits(first, second, index):
    """32 random bits for the element at this flat index (C order)."""
    return scramble((scramble((index & WORD) ^ first) + (index >> 32) + second) & WORD)

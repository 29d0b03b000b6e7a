"""What Numba would not vectorise, for loops to use: exponentials, logarithms, the normal distribution, the largest.

Its own exp, log1p and erfc are a call for every number, and a maximum of floats waits for the one before: such loops took 3
to 10 times as long. The functions at the top are what Python runs where compiling is switched off.
"""

import math

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from ..scalar import INV_ROOT_2PI, TAIL_D, TAIL_END, TAIL_P
from ._jit import scalars

__all__ = ["error", "exp_below", "exp_less_1", "gelu", "gelu_slope", "largest", "log", "log_above", "log_beside", "sigma"]

BIG = np.float32(2.0**64)       # what is denormal is calculated so many times too large
OPTIONS = {"jit_options": {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}}


def exp_below(x):
    """eˣ for x up to 40: of what is left when the largest was taken away."""
    return np.exp(x)


def exp_less_1(x):
    """eˣ − 1 for x up to 40, with all its digits around 0."""
    return np.expm1(x)


def log(x):
    """ln x."""
    return np.log(x)


def log_above(x):
    """ln(1 + x) for finite x ≥ 0."""
    return math.log1p(x)


def log_beside(x):
    """ln(1 + e⁻ˣ) for x ≥ 0: what softplus has beside its larger argument."""
    return math.log1p(math.exp(-x))


def gelu(x):
    """x · Φ(x), with Φ the normal distribution."""
    return x * (math.erfc(-x * math.sqrt(0.5)) * 0.5)


def gelu_slope(x):
    """Φ(x) + x · φ(x), with φ the bell of the normal distribution."""
    return math.erfc(-x * math.sqrt(0.5)) * 0.5 + x * (np.exp(-0.5 * x * x) * INV_ROOT_2PI)


def error(x):
    """erf(x)."""
    return math.erf(x)


def largest(row):
    """The largest of a contiguous row. A NaN may or may not win: the sum of exps will be NaN."""
    return row.max()


def sigma(x):
    """σ(x) = 1 / (1 + e⁻ˣ) and 1 − σ(x), each with all its digits."""
    e = np.exp(-abs(x))
    return (1 / (1 + e), e / (1 + e)) if x >= 0 else (e / (1 + e), 1 / (1 + e))


@overload(exp_below, **OPTIONS)
def _compiled_exp(x):
    if x is not types.float32:
        exp64 = scalars.exp
        return lambda x: exp64(x)

    def exp32(x):
        n, f = _exponent(np.float32(-106) if x < np.float32(-106) else x)
        return _power_of_two(n, f) / BIG
    return exp32


@overload(exp_less_1, **OPTIONS)
def _compiled_exp_less_1(x):
    if x is not types.float32:
        return lambda x: math.expm1(x)

    def expm1_32(x):
        # 2ⁿ · (2ᶠ − 1) and 2ⁿ − 1 are added last. Below −60 it is −1
        n, f = _exponent(np.float32(-60) if x < np.float32(-60) else x)
        scale = np.int32(np.int32(np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        return fma(scale, _power_less_1(f, np.float32(1)), scale - np.float32(1))
    return expm1_32


@overload(log, **OPTIONS)
def _compiled_log_of(x):
    if x is not types.float32:
        return lambda x: np.log(x)

    def log32(x):
        # x = 2ᵏ · (1 + f) with f around 0; ln(1 + f) = f − f²/2 + s · (f²/2 + r), s = f / (2 + f). The smallest are raised
        small = x < np.float32(2.0**-126)
        y = x * np.float32(2.0**25) if small else x
        bits = np.float32(y).view(np.int32)
        k = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
        f = np.int32(bits - np.int32(k << np.int32(23))).view(np.float32) - np.float32(1)
        s = f / (np.float32(2) + f)
        z = s * s
        r = z * fma(fma(fma(np.float32(2 / 9), z, np.float32(2 / 7)), z, np.float32(2 / 5)), z, np.float32(2 / 3))
        half = np.float32(0.5) * f * f
        k = np.float32(k) - (np.float32(25) if small else np.float32(0))
        rest = fma(s, half + r, k * np.float32(1.42860677e-06))     # ln 2 comes in two parts
        y = fma(k, np.float32(0.693145751953125), f - (half - rest))
        y = y if x < np.float32(np.inf) else x              # infinity, and NaN
        return y if x > 0 else np.float32(-np.inf) if x == 0 else np.float32(np.nan)
    return log32


@overload(log_above, **OPTIONS)
def _compiled_log(x):
    if x is not types.float32:
        return lambda x: math.log1p(x)

    def log32(x):
        # 1 + x = y + lost, y = 2ᵏ · m with m around 1; ln m = 2 artanh s
        y = np.float32(1) + x
        lost = x - (y - np.float32(1))
        bits = np.float32(y).view(np.int32)
        k = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
        m = np.int32(bits - np.int32(k << np.int32(23))).view(np.float32)
        s = (m - np.float32(1)) / (m + np.float32(1))
        z = s * s
        p = fma(fma(fma(np.float32(2 / 9), z, np.float32(2 / 7)), z, np.float32(2 / 5)), z, np.float32(2 / 3))
        k = np.float32(k)
        rest = fma(s * z, p, fma(k, np.float32(1.42860677e-06), lost / y))      # ln 2 comes in two parts
        return fma(k, np.float32(0.693145751953125), fma(np.float32(2), s, rest))
    return log32


@overload(log_beside, **OPTIONS)
def _compiled_log_beside(x):
    return (lambda x: log_above(exp_below(-x))) if x is types.float32 else lambda x: math.log1p(math.exp(-x))


@overload(gelu, **OPTIONS)
def _compiled_gelu(x):
    def gelu64(x):
        return x * (math.erfc(-x * math.sqrt(0.5)) * 0.5)

    def gelu32(x):
        _, q, bell = _tail(x)
        tail = bell * q
        return x * (np.float32(1) - tail if x > np.float32(0) else tail)
    return gelu32 if x is types.float32 else gelu64


@overload(gelu_slope, **OPTIONS)
def _compiled_gelu_slope(x):
    def slope64(x):
        return math.erfc(-x * math.sqrt(0.5)) * 0.5 + x * (exp_below(-0.5 * x * x) * INV_ROOT_2PI)

    def slope32(x):
        a, q, bell = _tail(x)
        slope = bell * fma(np.float32(-INV_ROOT_2PI) / BIG, a, q)
        return np.float32(1) - slope if x > np.float32(0) else slope
    return slope32 if x is types.float32 else slope64


def _tail(x):
    raise NotImplementedError("for compiled code")


@overload(_tail, **OPTIONS)
def _compiled_tail(x):
    def tail(x):
        # a = |x|; Φ(−a) = q · e^(−a²/2). The bell comes BIG times too large, q as much too small
        a = abs(x)
        a = np.float32(TAIL_END) if a > np.float32(TAIL_END) else a
        # a² and what its rounding lost; −a² / 2 log 2 = n + f
        square = a * a
        lost = fma(a, a, -square)
        n = np.rint(square * np.float32(-0.72134751081466675))
        f = fma(square, np.float32(-9.6298151675000554e-09), fma(square, np.float32(-0.72134751081466675), -n))
        bell = _power_of_two(n, fma(lost, np.float32(-0.72134751081466675), f))
        p = np.float32(TAIL_P[4]) / BIG
        p = p * a + np.float32(TAIL_P[3]) / BIG
        p = p * a + np.float32(TAIL_P[2]) / BIG
        p = p * a + np.float32(TAIL_P[1]) / BIG
        p = p * a + np.float32(TAIL_P[0]) / BIG
        d = a + np.float32(TAIL_D[4])
        d = d * a + np.float32(TAIL_D[3])
        d = d * a + np.float32(TAIL_D[2])
        d = d * a + np.float32(TAIL_D[1])
        d = d * a + np.float32(TAIL_D[0])
        return a, p / d, bell
    return tail


@overload(error, **OPTIONS)
def _compiled_error(x):
    def error64(x):
        return math.erf(x)

    def error32(x):
        # up to 1, x + x · p, fitted to 10⁻⁹; beyond it 1 − 2 Φ(−√2 |x|)
        a = abs(x)
        z = x * x
        p = np.float32(7.8538612645310093e-05)
        p = p * z + np.float32(-8.0101935977384563e-04)
        p = p * z + np.float32(5.1883276825128704e-03)
        p = p * z + np.float32(-2.6853811933531636e-02)
        p = p * z + np.float32(1.1283585148569494e-01)
        p = p * z + np.float32(-3.7612625824228746e-01)
        p = p * z + np.float32(0.1283791657267108)
        _, q, bell = _tail(a * np.float32(math.sqrt(2)))
        beyond = np.float32(1) - np.float32(2) * (bell * q)
        beyond = beyond if x > np.float32(0) else -beyond
        return fma(x, p, x) if a < np.float32(1) else beyond
    return error32 if x is types.float32 else error64


@overload(sigma, **OPTIONS)
def _compiled_sigma(x):
    one = x(1)

    def sigma(x):
        e = exp_below(-abs(x))
        large, small = one / (one + e), e / (one + e)
        return (large if x >= 0 else small), (small if x >= 0 else large)
    return sigma


@intrinsic
def fma(typing, x, y, z):
    """x · y + z, rounded once."""
    def generate(context, builder, signature, numbers):
        return builder.fma(*numbers)
    return x(x, x, x), generate


def _exponent(x):
    raise NotImplementedError("for compiled code")


@overload(_exponent, **OPTIONS)
def _compiled_exponent(x):
    def exponent(x):
        # eˣ = 2ⁿ · 2ᶠ with x / log 2 = n + f, |f| ≤ ½. 1 / log 2 comes in two parts
        n = np.rint(x * np.float32(1.4426950216293335))
        return n, fma(x, np.float32(1.9259630335000111e-08), fma(x, np.float32(1.4426950216293335), -n))
    return exponent


def _power_of_two(n, f):
    raise NotImplementedError("for compiled code")


def _power_less_1(f, unit):
    raise NotImplementedError("for compiled code")


@overload(_power_less_1, **OPTIONS)
def _compiled_power_less_1(f, unit):
    def power_less_1(f, unit):
        # 2ᶠ − 1, for |f| ≤ ½, in this unit
        p = unit * np.float32(1.5345812426e-04)
        p = p * f + unit * np.float32(1.3399930904e-03)
        p = p * f + unit * np.float32(9.6184890717e-03)
        p = p * f + unit * np.float32(5.5503286421e-02)
        p = p * f + unit * np.float32(2.4022646248e-01)
        p = p * f + unit * np.float32(6.9314718246e-01)
        return p * f
    return power_less_1


@overload(_power_of_two, **OPTIONS)
def _compiled_power_of_two(n, f):
    def power_of_two(n, f):
        # 2ⁿ · 2ᶠ, BIG times too large: the smallest results are denormal. n is added to the exponent, among the bits
        p = _power_less_1(f, BIG) + BIG
        return np.int32(np.int32(np.float32(p).view(np.int32)) + np.int32(np.int32(n) << np.int32(23))).view(np.float32)
    return power_of_two


@overload(largest, **OPTIONS)
def _compiled_largest(row):
    def largest64(row):
        # four at a time, because one comparison has to wait for the one before
        a, b, c, d = row[0], row[0], row[0], row[0]
        whole = len(row) // 4 * 4
        for j in range(0, whole, 4):
            a, b, c, d = max(a, row[j]), max(b, row[j + 1]), max(c, row[j + 2]), max(d, row[j + 3])
        for j in range(whole, len(row)):
            a = max(a, row[j])
        return max(max(a, b), max(c, d))

    def largest32(row):
        # the bits of floats, as integers, are in the floats' order, once those of negative numbers are turned round
        best = np.int32(-2147483648)
        for j in range(len(row)):
            bits = np.float32(row[j]).view(np.int32)        # one by one: a view of the row would be counted, under a lock
            key = np.int32(bits ^ np.int32(np.int32(bits >> 31) & np.int32(0x7FFFFFFF)))
            best = np.int32(max(best, key))
        return np.int32(best ^ np.int32(np.int32(best >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
    return largest32 if row.dtype is types.float32 else largest64

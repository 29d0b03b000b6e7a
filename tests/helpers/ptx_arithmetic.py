"""What each of PTX's instructions computes, with NumPy, for all threads at once: ``meaning("fma.rn.f32")``.

Numbers are what a GPU computes. Whole numbers wrap around, shifts stop at the width, every float operation is rounded once,
in the direction that is asked for. Only the approximations (``ex2.approx`` and the like) are rounded correctly here, where a
GPU's last bits are wrong.
"""

import math
from fractions import Fraction
from functools import lru_cache, partial

import numpy as np

__all__ = ["PREDICATE", "TYPES", "WORD", "meaning"]


# ---------------------------------------------------------------------------------------------------------------------
# floats, rounded once

def two_sum(a, b):
    """The rounded sum, and what rounding took away."""
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def odd_sum(a, b):
    """The sum of two float64; of the two nearest numbers the one whose last bit is 1, where it is between two. Rounding that
    to fewer bits, or adding it to something much larger, is like rounding the exact sum."""
    s, lost = two_sum(a, b)
    move = (lost != 0) & (s.view("i8") & 1 == 0) & np.isfinite(s)
    return np.where(move, np.nextafter(s, np.copysign(np.inf, lost)), s)


def narrowed(x, mode):
    """float64 → float32, rounded to nearest, towards 0, down or up."""
    y = x.astype("f4")
    if mode == "rn":
        return y
    to = {"rz": np.float32(0), "rm": np.float32(-np.inf), "rp": np.float32(np.inf)}[mode]
    passed = abs(y) > abs(x) if mode == "rz" else y > x if mode == "rm" else y < x
    return np.where(passed, np.nextafter(y, to), y)


def add32(mode, a, b):
    return narrowed(odd_sum(a.astype("f8"), b.astype("f8")), mode)


def fma32(mode, a, b, c):
    product, c = np.multiply(a, b, dtype="f8"), c.astype("f8")     # the product of two float32 is exact
    if mode != "rn":
        return narrowed(odd_sum(product, c), mode)
    s = product + c
    y = s.astype("f4")
    # rounding twice is wrong where the first one lands in the middle between two float32; subnormal numbers have others
    doubtful = (s.view("i8") & 0x1FFFFFFF == 0x10000000) | (abs(y) < 2.0**-126) & (s != 0)
    return np.where(doubtful, odd_sum(product, c).astype("f4"), y) if doubtful.any() else y


def fma64(a, b, c):
    """A product is exactly the sum of two float64 (Dekker); what is left of the sum is rounded to odd (Boldo, Melquiond)."""
    product, plain = a * b, a * b + c
    (a1, a2), (b1, b2) = halves(a), halves(b)
    lost = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
    low, lowest = two_sum(c, lost)
    high, middle = two_sum(product, low)
    y = high + odd_sum(lowest, middle)
    size = abs(product)
    fine = (size > 2.0**-900) & (size < 2.0**1000) & (abs(a) < 2.0**900) & (abs(b) < 2.0**900) & (abs(c) < 2.0**1000)
    if fine.all():
        return y
    y = np.where(fine, y, plain)
    rare = ~fine & (a != 0) & (b != 0) & np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    for i in np.flatnonzero(rare):
        y[i] = exact_fma(*[float(v[i if len(v) > 1 else 0]) for v in (a, b, c)])
    return y


def halves(a):
    """a as the sum of two numbers of 26 bits."""
    big = 134217729.0 * a
    high = big - (big - a)
    return high, a - high


def exact_fma(a, b, c):
    total = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(total) if total else a * b + c
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def flushed(x):
    """Subnormal numbers become 0."""
    return np.where(abs(x) < np.finfo(x.dtype).tiny, np.copysign(x.dtype.type(0), x), x)


def approximate(function, flush, *xs):
    """What has a few bits wrong on a GPU, rounded correctly. Of float64 only the upper half is computed."""
    dtype = xs[0].dtype
    xs = [flushed(x) for x in xs] if flush else xs
    y = function(*[x.astype("f8") for x in xs])
    y = (y.view("i8") & -(1 << 32)).view("f8") if dtype == "f8" else y.astype("f4")
    return flushed(y) if flush else y


def extreme(function, sign, a, b):
    """min or max: NaN loses, and −0 is less than 0."""
    return np.where((a == 0) & (b == 0), sign * (sign * a + sign * b), function(a, b))


def to_whole(rounded, want, x):
    """A float as a whole number: what is too large becomes the largest."""
    y, limits = rounded(x.astype("f8")), np.iinfo(want)
    nan = 1 << 8 * want.itemsize - 1 if want.itemsize == 8 or x.dtype == "f8" else 0
    low, high, nan = [np.array([n % 256**want.itemsize], f"u{want.itemsize}").view(want) for n in (
        limits.min, limits.max, nan)]
    fits = (y > limits.min) & (y < float(limits.max))
    return np.select([fits, y >= float(limits.max), np.isnan(y)], [np.where(fits, y, 0).astype(want), high, nan], low)


def as_float(want, x):
    if want == "f2" and x.dtype.kind in "iu":
        x = x.astype("f8")      # NumPy goes through float32
    return x.astype(want)


# ---------------------------------------------------------------------------------------------------------------------
# whole numbers

def divided(a, b):
    """Rounded towards 0. By 0: a GPU says something, and so does this."""
    return np.where(b == 0, a.dtype.type(-1 if a.dtype.kind == "i" else ~a.dtype.type(0)), (a - np.fmod(a, b)) // b)


def wide(a):
    return a.astype(f"{a.dtype.kind}{2 * a.itemsize}")


def upper(a, b):
    return (wide(a) * wide(b) >> 8 * a.itemsize).astype(a.dtype)


def with_carry(start):
    """(a, b, …, carry) → the lower 32 bits, and what was carried: start says what is added up."""
    def carried(*args):
        total = start(*[x.astype("u8") for x in args])
        return (total & 0xFFFFFFFF).astype("u4"), total >> 32 & 1
    return carried


def inserted(a, b, at, length):
    """bfi: bits of a in the place of bits of b."""
    mask = np.left_shift(np.left_shift(np.int64(1), length.astype("i8")) - 1, at.astype("i8"))
    return np.left_shift(a, at.astype("i8")) & mask | b & ~mask


def leading_zeros(x):
    high, low = [np.frexp(half.astype("f8"))[1] for half in (x.view("u8") >> 32, x & 0xFFFFFFFF)]      # how many bits
    return (64 - np.where(high > 0, 32 + high, low)).astype("i4")


# ---------------------------------------------------------------------------------------------------------------------
# what an instruction does: opcode → (function, types of what it reads, types of what it writes)

TYPES = {name: np.dtype(kind) for name, kind in {
    "pred": "?", "b8": "i1", "b16": "i2", "b32": "i4", "b64": "i8", "f16": "f2", "f32": "f4", "f64": "f8",
    **{f"{a}{bits}": f"{b}{bits // 8}" for a, b in ("si", "uu") for bits in (8, 16, 32, 64)}}.items()}
PREDICATE, WORD = TYPES["pred"], TYPES["b32"]
ROUNDINGS = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
APPROXIMATE = {"rcp": lambda x: 1 / x, "rsqrt": lambda x: 1 / np.sqrt(x), "ex2": np.exp2, "lg2": np.log2, "sqrt": np.sqrt,
               "div": np.divide, "sin": np.sin, "cos": np.cos, "tanh": np.tanh}
ORDERED = {"eq": np.equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
COMPARE = {**ORDERED, "neu": np.not_equal, "nan": lambda a, b: np.isnan(a) | np.isnan(b),
           "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)), "ne": lambda a, b: (a < b) | (a > b),
           "equ": lambda a, b: ~((a < b) | (a > b)), "ltu": lambda a, b: ~(a >= b), "leu": lambda a, b: ~(a > b),
           "gtu": lambda a, b: ~(a <= b), "geu": lambda a, b: ~(a < b)}
SIGNLESS = {"add": (np.add, 2), "sub": (np.subtract, 2), "mul.lo": (np.multiply, 2), "and": (np.bitwise_and, 2),
            "or": (np.bitwise_or, 2), "xor": (np.bitwise_xor, 2), "not": (np.invert, 1), "mov": (lambda x: x, 1),
            "mad.lo": (lambda a, b, c: a * b + c, 3)}      # a signed number has the same bits as one without a sign
SIGNED = {"neg": (np.negative, 1), "abs": (np.abs, 1), "min": (np.minimum, 2), "max": (np.maximum, 2), "div": (divided, 2),
          "rem": (np.fmod, 2), "mul.hi": (upper, 2)}
FLOAT = {"neg": (np.negative, 1), "abs": (np.abs, 1), "mul": (np.multiply, 2), "mul.rn": (np.multiply, 2),
         "add.rn": (np.add, 2), "sub.rn": (np.subtract, 2), "div.rn": (np.divide, 2), "sqrt.rn": (np.sqrt, 1),
         "rcp.rn": (lambda x: 1 / x, 1), "copysign": (lambda a, b: np.copysign(b, a), 2),
         "min": (partial(extreme, np.fmin, -1), 2), "max": (partial(extreme, np.fmax, 1), 2)}
LOWER = lambda a, b: a * b & 0xFFFFFFFF
CARRY = {"add.cc": (lambda a, b, _: a + b, 2), "addc": (lambda a, b, carry: a + b + carry, 2),
         "sub.cc": (lambda a, b, _: a - b, 2), "subc": (lambda a, b, carry: a - b - carry, 2),
         "mad.lo.cc": (lambda a, b, c, _: LOWER(a, b) + c, 3),
         "madc.lo": (lambda a, b, c, carry: LOWER(a, b) + c + carry, 3),
         "madc.hi": (lambda a, b, c, carry: (a * b >> 32) + c + carry, 3)}


@lru_cache(None)
def meaning(opcode):
    """None where the instruction is not known."""
    parts = opcode.split(".")
    key, types = ".".join([p for p in parts if p not in TYPES]), [TYPES[p] for p in parts if p in TYPES]
    if not types:
        return None
    first, last = types[0], types[-1]
    bits = np.dtype(f"i{last.itemsize}") if last.kind == "u" else last
    base, _, how = key.partition(".")
    if key in SIGNLESS:
        function, n = SIGNLESS[key]
        return function, [bits] * n, [bits]
    if last.kind in "iu" and key in SIGNED:
        function, n = SIGNED[key]
        return function, [last] * n, [last]
    if last.kind == "f" and key in FLOAT:
        function, n = FLOAT[key]
        return function, [last] * n, [last]
    if last.name == "uint32" and (key in CARRY or key.removesuffix(".cc") in CARRY):
        function, n = CARRY.get(key) or CARRY[key.removesuffix(".cc")]
        return with_carry(function), [last] * n + [TYPES["u64"]], [last, TYPES["u64"]]
    if last == "f4" and key in ("add.rz", "add.rm", "add.rp"):
        return partial(add32, how), [last] * 2, [last]
    if base == "fma" and how in ("rn", "rz", "rm", "rp") and (last == "f4" or last == "f8" and how == "rn"):
        return partial(fma32, how) if last == "f4" else fma64, [last] * 3, [last]
    if base in APPROXIMATE and how in ("approx", "approx.ftz") and (last == "f4" or base in ("rcp", "rsqrt")):
        return partial(approximate, APPROXIMATE[base], "ftz" in how), [last] * (1 + (base == "div")), [last]
    if base == "setp" and how in COMPARE:
        function = np.not_equal if how == "ne" and last.kind != "f" else COMPARE[how]
        return function, [bits if how in ("eq", "ne") else last] * 2, [PREDICATE]
    if key == "selp":
        return lambda a, b, p: np.where(p, a, b), [bits, bits, PREDICATE], [bits]
    if key == "mul.wide":
        return lambda a, b: wide(a) * wide(b), [last] * 2, [wide(np.zeros(1, last)).dtype]
    if key in ("shl", "shr"):       # NumPy's shifts stop at the width, too
        function = np.left_shift if key == "shl" else np.right_shift
        return lambda a, by: function(a, by.astype(a.dtype)), [last, TYPES["u32"]], [last]
    if opcode == "bfi.b64":
        return inserted, [last, last, TYPES["u32"], TYPES["u32"]], [last]
    if opcode == "clz.b64":
        return leading_zeros, [last], [WORD]
    if base == "cvt" and len(types) == 2:
        function = conversion(how, first, last)
        return function and (function, [last], [first])
    return None


def conversion(how, to, of):
    if to.kind != "f" and of.kind != "f" and not how:
        return lambda x: x.astype(to)
    if to.kind != "f" and how in ROUNDINGS:
        return partial(to_whole, ROUNDINGS[how], to)
    if to == of and how in ROUNDINGS:
        return ROUNDINGS[how]
    if to == of and how == "sat":
        return lambda x: np.where(np.isnan(x), 0, np.clip(x, 0, 1)).astype(to)
    if to.kind == "f" and how == ("" if of.kind == "f" and of.itemsize < to.itemsize else "rn"):
        return partial(as_float, to)
    return None

"""A GPU on paper: it runs PTX, the assembly that the compiler makes of a kernel, with NumPy.

    memory = Memory()
    x = memory.allocate(4 * n)
    Program(ptx).run(memory, blocks, threads, [x.start, n])

The registers of all threads lie side by side: a register is an array with a number for each thread, or with a single one where
all threads have the same. An instruction is then one call of NumPy. Threads that part at a branch become two groups with
registers of their own; the group that is furthest behind in the text goes first, and groups that meet become one again. At a
barrier a group waits for the rest of its block, at a shuffle for the rest of its warp.

Everything that a GPU would not forgive is a ``Fault`` that names the kernel, the instruction and the thread: an access outside
what was allocated, or not at a multiple of its width; shared memory that nobody wrote; threads that wait for each other
for ever. An instruction that is not known here is an error, too.

Numbers are what a GPU computes: whole numbers wrap around, shifts stop at the width, every float operation is rounded once, in
the direction that is asked for. Three things differ. The approximations (``ex2.approx`` and the like) are rounded correctly
here; a GPU's last bit or two are wrong. The assembler may make one ``fma`` of a ``mul`` and an ``add``, which is not done here.
And the threads of a block run in one of the orders that are allowed, so that a race may go unseen.
"""

import math
import re
from bisect import bisect_right, insort
from collections import ChainMap
from fractions import Fraction
from functools import lru_cache, partial
from itertools import count
from operator import itemgetter
from weakref import ref

import numpy as np

__all__ = ["Fault", "Memory", "Program"]

LANES = 1 << 13     # as many threads are run at a time, in whole blocks
WARP = 32


class Fault(Exception):
    """A program did what a GPU does not forgive, or what is not known here."""


# ---------------------------------------------------------------------------------------------------------------------
# floats, rounded once

def two_sum(a, b):
    """The rounded sum, and what rounding took away."""
    s = a + b
    v = s - a
    return s, (a - (s - v)) + (b - v)


def odd_sum(a, b):
    """The sum of two float64; of the two nearest numbers the one whose last bit is 1, where it is between two. Rounding that to
    fewer bits, or adding it to something much larger, is like rounding the exact sum."""
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
    """The error of the product is exact in two float64 (Dekker); the rest of the sum is rounded to odd (Boldo, Melquiond)."""
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
    nan = limits.min if want.itemsize == 8 or x.dtype == "f8" else 0
    fits = (y > limits.min) & (y < float(limits.max))
    return np.select([fits, y >= float(limits.max), np.isnan(y)], [np.where(fits, y, 0).astype(want), limits.max, nan],
                     limits.min).astype(want)


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
    x = x.view("u8")
    high = x >> 32
    return (64 - np.where(high > 0, 32 + np.frexp(high.astype("f8"))[1], np.frexp((x & 0xFFFFFFFF).astype("f8"))[1])).astype("i4")


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
         "mad.lo.cc": (lambda a, b, c, _: LOWER(a, b) + c, 3), "madc.lo": (lambda a, b, c, carry: LOWER(a, b) + c + carry, 3),
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


# ---------------------------------------------------------------------------------------------------------------------
# memory

class Room:
    """Bytes, to be read and written as numbers of any type, n neighbours at a time."""

    def __init__(self, nbytes):
        self.bytes = np.full(nbytes, 0xFF, np.uint8)       # NaN as a float: what was not written shows
        self.views = {}

    def typed(self, dtype, n):
        key = dtype.char, n
        if key not in self.views:
            width = n * dtype.itemsize
            self.views[key] = self.bytes[:len(self.bytes) // width * width].view(dtype).reshape(-1, n)
        return self.views[key]

    def load(self, dtype, n, offsets):
        found = self.typed(dtype, n)[offsets // (n * dtype.itemsize)]
        return found[:, 0] if n == 1 else tuple(found.T.copy())

    def store(self, dtype, offsets, numbers):
        rows, view = offsets // (len(numbers) * dtype.itemsize), self.typed(dtype, len(numbers))
        for k, values in enumerate(numbers):
            view[rows if len(rows) >= len(values) else np.repeat(rows, len(values)), k] = values


class Piece:
    """An allocation. It is gone when nobody holds it."""

    def __init__(self, memory, start, nbytes):
        self.memory, self.start, self.end = memory, start, start + nbytes
        self.room = Room(nbytes)

    def __del__(self):
        self.memory.forget(self.start)


class Memory:
    """A GPU's memory: pieces with nothing in between. An address is never used twice."""

    GAP = 256

    def __init__(self):
        self.starts, self.pieces, self.next = [], {}, 1 << 32

    def allocate(self, nbytes):
        piece = Piece(self, self.next, nbytes)
        self.next += (nbytes // self.GAP + 2) * self.GAP
        insort(self.starts, piece.start)
        self.pieces[piece.start] = ref(piece)
        return piece

    def forget(self, start):
        self.starts.remove(start)
        del self.pieces[start]

    def around(self, address):
        """The last piece that does not begin after this address, or None."""
        i = bisect_right(self.starts, address)
        return self.pieces[self.starts[i - 1]]() if i else None


# ---------------------------------------------------------------------------------------------------------------------
# from text to steps

HEAD = re.compile(r"\.(entry|func)\s*(?:\(([^)]*)\))?\s*([\w$]+)\s*\(([^)]*)\)[^;{]*([;{])")
STATEMENT = re.compile(r"\s*(?:([{}])|([\w$]+):|([^;{}]*(?:\{[^{}]*\}[^;{}]*)*);)")
GUARD = re.compile(r"@(!?)([\w%$]+)\s+(.*)")
REGISTERS = re.compile(r"([\w%$]+)(?:<(\d+)>)?")
VARIABLE = re.compile(r"\.(global|const|shared|local|param)\b(?:.*?\.align (\d+))?.*?\.([a-z]\d+)\s+([\w$]+)"
                      r"(?:\[(\d*)\])?(?:\s*=\s*\{(.*)\})?", re.S)
PLACE = re.compile(r"\[([\w%$]+)(?:\+(-?\d+))?\]")
SPECIAL = [f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"]
MACHINE, LANES, NOWHERE = range(3)      # in every list of registers: the launch, which threads these are, for no result


class Program:
    """A kernel's PTX, translated once, to be run often."""

    def __init__(self, text):
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)
        self.dtypes, self.constants, self.written = [None] * 3, {}, set()
        self.names, self.known, self.numbers = ChainMap(), {}, count()
        self.tables, self.shared, self.local, self.valid = [], 0, 0, []
        for name in SPECIAL:
            self.names[name] = self.register(WORD)
        self.names["%carry"], self.names["%room"], self.names["%own"] = [self.register(TYPES["u64"]), *[
            self.register(TYPES["s64"]) for _ in range(2)]]
        self.functions, outside, end = {}, "", 0
        for head in HEAD.finditer(text):
            outside += text[end:head.start()]
            end = head.end()
            kind, results, name, parameters, opens = head.groups()
            if opens == "{":
                depth = 1
                while depth:
                    brace = re.compile("[{}]").search(text, end)
                    depth, end = depth + (1 if brace[0] == "{" else -1), brace.end()
                self.functions[name] = results or "", parameters, text[head.end():end - 1]
                if kind == "entry":
                    self.name = name
        for statement in (outside + text[end:]).split(";"):
            self.declare(statement, self.names)
        _, parameters, body = self.functions[self.name]
        names, self.parameters = self.names.new_child(), []
        for statement in parameters.split(","):
            if statement.strip():
                self.parameters.append(self.declare(statement, names))
        self.items = []
        self.translate(body, names, "the end")
        self.items.append(("label", "the end"))
        self.blocks = self.split()
        self.find_live()

    # ---- names

    def register(self, dtype):
        self.dtypes.append(dtype)
        return len(self.dtypes) - 1

    def constant(self, value):
        key = value.tobytes(), value.dtype.char
        if key not in self.known:
            self.known[key] = self.register(value.dtype)
            self.constants[self.known[key]] = value
        return self.known[key]

    def declare(self, statement, names):
        """.reg, or a variable; a parameter's slot is returned."""
        kind, _, rest = statement.strip().partition(" ")
        if kind == ".reg":
            dtype, rest = rest.split(None, 1)
            dtype = TYPES[dtype.strip(".")]
            dtype = np.dtype(f"i{dtype.itemsize}") if dtype.kind == "u" or dtype == "f2" else dtype
            for name, many in REGISTERS.findall(rest):
                for name in [f"{name}{i}" for i in range(int(many))] if many else [name]:
                    names[name] = self.register(dtype)
            return None
        found = VARIABLE.search(statement)
        if not found or ".common" in statement:
            return None
        space, align, dtype, name, length, numbers = found.groups()
        dtype = TYPES[dtype]
        size = dtype.itemsize * int(length or 1)
        if space == "param":
            names[name] = next(self.numbers)
            return self.parameter(names[name], 0, dtype) if not length else None
        if space in ("shared", "local"):
            used = -(-getattr(self, space) // 128) * 128
            names[name] = self.constant(np.array([used]))
            setattr(self, space, used + size)
            if space == "shared":
                self.valid.append((used, used + size))
                self.shared += 128      # nobody's
            return None
        names[name] = self.register(TYPES["s64"])
        values = [int(n, 0) for n in numbers.split(",")] if numbers else [0] * (size // dtype.itemsize)
        self.tables.append((names[name], np.array(values, dtype.str.replace("i", "u"))))
        return None

    def parameter(self, number, offset, dtype):
        """A function's arguments and results are registers here."""
        if (number, offset) not in self.names:
            self.names[number, offset] = self.register(dtype)
        return self.names[number, offset]

    def value(self, operand, dtype, names):
        """The slot of a register, or of a number that stands in the text."""
        if operand in names:
            return names[operand]
        if operand[:2] in ("0f", "0d", "0F", "0D"):
            bits = int(operand[2:], 16)
            return self.constant(np.array([bits], "u4").view("f4") if operand[1] in "fF" else np.array([bits], "u8").view("f8"))
        if re.fullmatch(r"-?(0x)?[0-9a-fA-F]+U?", operand):
            whole = int(operand.rstrip("U"), 0)
            if dtype.kind == "b":
                return self.constant(np.array([whole != 0]))
            width = max(1, dtype.itemsize)
            return self.constant(np.array([whole % 2**(8 * width)], f"u{width}").view(f"i{width}"))
        raise Fault(f"{self.name}: {operand!r} is not a register, a number or a special register that is known here")

    # ---- statements

    def translate(self, body, names, end):
        """One function's statements; calls are written out in the place where they stand."""
        at, scopes, labels = 0, [names], {}

        def label(name):
            return labels.setdefault(name, (name, next(self.numbers)))

        while True:
            found = STATEMENT.match(body, at)
            if not found:
                break
            at = found.end()
            brace, mark, text = found.groups()
            if brace:
                scopes.append(scopes[-1].new_child()) if brace == "{" else scopes.pop()
            elif mark:
                self.items.append(("label", label(mark)))
            elif text.strip():
                self.statement(" ".join(text.split()), scopes[-1], label, end)
        if body[at:].strip():
            raise Fault(f"{self.name}: cannot read {body[at:].strip()[:60]!r}")

    def statement(self, text, names, label, end):
        guarded = GUARD.match(text)
        if guarded and not guarded[3].startswith("bra"):      # go around it
            around = "around", next(self.numbers)
            self.items.append(("branch", names[guarded[2]], guarded[1] != "!", around, text))
            self.statement(guarded[3], names, label, end)
            self.items.append(("label", around))
            return
        opcode, _, rest = (guarded[3] if guarded else text).partition(" ")
        operands = [o.strip() for o in re.findall(r"\{[^}]*\}|\[[^]]*\]|[^,{}\[\]]+", rest) if o.strip()]
        if opcode.startswith("."):
            self.declare(text, names)
        elif opcode in ("bra", "bra.uni"):
            self.items.append(("branch", names[guarded[2]] if guarded else None, bool(guarded and guarded[1]), label(rest), text))
        elif opcode in ("ret", "exit"):
            self.items.append(("branch", None, False, end, text))
        elif opcode == "call.uni":
            self.call(rest, names)
        elif opcode == "bar.sync":
            self.items.append(("meet", "block", text))
        elif opcode.startswith(("bar.red.and.pred", "bar.red.or.pred")):
            self.items.append(("meet", "block", text))
            self.step(partial(Launch.voted, negated=".and." in opcode), [MACHINE, LANES, names[operands[2]]],
                      [(operands[0], PREDICATE)], names, text)
        elif opcode == "shfl.sync.bfly.b32":
            self.items.append(("meet", "warp", text))
            to, _, there = operands[0].partition("|")
            self.step(partial(Launch.exchanged, text), [MACHINE, LANES, *[
                self.read(o, WORD, names) for o in operands[1:4]]], [(to, WORD), (there or "_", PREDICATE)], names, text)
        elif opcode.startswith(("ld.", "st.")):
            self.access(opcode, operands, names, text)
        elif opcode == "cvta.to.global.u64":
            self.instruction("mov.u64", operands, names, text)
        elif opcode in ("mov.b64", "mov.b32") and "{" in rest:
            self.taken_apart(opcode, operands, names, text)
        else:
            self.instruction(opcode, operands, names, text)

    def instruction(self, opcode, operands, names, text):
        known = meaning(opcode)
        if known is None:
            raise Fault(f"{self.name}: the instruction {opcode!r} is not known here ({text}). "
                        "Say in ptx_machine.py what it does.")
        function, reads, writes = known
        operands = operands[:1] + ["%carry"] * (len(writes) - 1) + operands[1:]
        operands += ["%carry"] * (len(writes) + len(reads) - len(operands))
        sources = [self.read(o, dtype, names) for o, dtype in zip(operands[len(writes):], reads, strict=True)]
        self.step(function, sources, list(zip(operands, writes)), names, text)

    def read(self, operand, dtype, names):
        """The slot of an operand as a number of this type; a step that converts it comes first, where it must."""
        slot = self.value(operand, dtype, names)
        have = self.dtypes[slot]
        if have == dtype:
            return slot
        if have.itemsize < dtype.itemsize:
            raise Fault(f"{self.name}: {operand} has {8 * have.itemsize} bits, too few for {dtype}")
        if slot in self.constants:
            return self.constant(self.constants[slot].view(dtype) if have.itemsize == dtype.itemsize
                                 else self.constants[slot].astype(dtype))
        seen = self.register(dtype)
        self.items.append(("step", same_bits(have, dtype), [slot], seen, ""))
        return seen

    def step(self, function, sources, writes, names, text):
        """Compute, and write every result to its register in that register's type."""
        slots, made = [], []
        for operand, dtype in writes:
            slot = NOWHERE if operand == "_" else names[operand]
            fits = slot == NOWHERE or self.dtypes[slot] == dtype
            slots.append(slot if fits else self.register(dtype))
            made += [] if fits else [("step", same_bits(dtype, self.dtypes[slot]), [slots[-1]], slot, "")]
        if len(writes) == 1:
            self.items.append(("step", function, sources, slots[0], text))
        else:
            several = self.register(None) if writes else NOWHERE
            self.items.append(("step", function, sources, several, text))
            for k, slot in enumerate(slots):
                self.items.append(("step", itemgetter(k), [several], slot, ""))
        self.items += made

    def access(self, opcode, operands, names, text):
        """ld and st, of one number or several neighbours."""
        action, space, *rest = opcode.split(".")
        dtype, n = TYPES.get(rest[-1]), int(next((r[1] for r in rest if r in ("v2", "v4")), 1))
        place, numbers = operands if action == "st" else operands[::-1]
        numbers = [o.strip() for o in numbers.strip("{}").split(",")]
        base, offset = PLACE.fullmatch(place).groups()
        offset = int(offset or 0)
        if dtype is None or set(rest[:-1]) - {"v2", "v4", "nc"} or space not in ("global", "shared", "local", "param"):
            raise Fault(f"{self.name}: the instruction {opcode!r} is not known here ({text})")
        if space == "param":
            names = names.new_child({"there": self.parameter(names[base], offset, dtype)})
            return self.instruction(f"mov.{rest[-1]}", [numbers[0], "there"] if action == "ld" else ["there", numbers[0]],
                                    names, text)
        address = self.read(base, TYPES["s64"], names)
        within = names.get({"shared": "%room", "local": "%own"}.get(space), address)
        bits = np.dtype(f"i{dtype.itemsize}") if dtype.itemsize > 1 else np.dtype("u1" if rest[-1] != "s8" else "i1")
        dtype = dtype if dtype.kind == "f" else dtype if action == "ld" and dtype.kind == "u" and dtype.itemsize < 4 else bits
        head = [MACHINE, LANES, within, address]
        where = (text, space, dtype, n, offset)
        if action == "ld":
            self.step(partial(Launch.load, where), head, [(o, dtype) for o in numbers], names, text)
        else:
            self.step(partial(Launch.store, where), head + [self.read(o, dtype, names) for o in numbers], [], names, text)

    def taken_apart(self, opcode, operands, names, text):
        """mov.b64 {low, high}, x and mov.b64 x, {low, high}"""
        whole = TYPES[opcode[4:]]
        to, of = [[o.strip() for o in operand.strip("{}").split(",")] for operand in operands]
        part = np.dtype(f"i{whole.itemsize // max(len(to), len(of))}")
        if len(of) == 1:
            self.step(lambda x: tuple(x.view(part).reshape(len(x), -1).T.copy()), [self.read(of[0], whole, names)],
                      [(o, part) for o in to], names, text)
        else:
            self.step(lambda *xs: np.stack(np.broadcast_arrays(*xs), -1).reshape(-1).view(whole),
                      [self.read(o, part, names) for o in of], [(to[0], whole)], names, text)

    def call(self, rest, names):
        result, name, given = re.fullmatch(r"(?:\(([^)]*)\),)? ?([\w$]+), ?\(([^)]*)\)", rest).groups()
        results, parameters, body = self.functions[name]
        inside = self.names.new_child()
        for formal, actual in [*zip(parameters.split(","), given.split(",")), *zip([results], [result or ""])]:
            if actual.strip():
                inside[VARIABLE.search(formal)[4]] = names[actual.strip()]
        back = "back", next(self.numbers)
        self.translate(body, inside, back)
        self.items.append(("label", back))

    # ---- blocks of steps

    def split(self):
        """Pieces of the text that begin where threads may come from elsewhere, or have to meet."""
        blocks, begins = [Block()], {}
        for kind, *item in self.items:
            now = blocks[-1]
            if kind in ("label", "meet") and (now.steps or now.test is not None or now.meets):
                blocks.append(now := Block())
            if kind == "label":
                begins[item[0]] = len(blocks) - 1
            elif kind == "meet":
                now.meets, now.text = item
            elif kind == "branch":
                now.test, now.negated, now.goes = [-1, False, item[2]] if item[0] is None else item[:3]
                blocks.append(Block())
            else:
                now.steps.append(item)
        for block in blocks:
            if block.test is not None:
                block.goes = begins[block.goes]
        return blocks

    def find_live(self):
        """Which registers are still needed where a block begins."""
        changes = True
        for block in self.blocks:
            block.needs, block.makes = set(), set()
            for _, sources, to, _ in block.steps:
                block.needs |= {s for s in sources if s not in block.makes}
                block.makes.add(to)
            block.needs |= {block.test} - block.makes - {None, -1}
            block.code = [(function, taken(sources), to) for function, sources, to, _ in block.steps]
        fixed = {MACHINE, LANES, NOWHERE, *self.constants, *self.parameters, *[slot for slot, _ in self.tables]}
        fixed -= {to for block in self.blocks for to in block.makes}
        while changes:
            changes = False
            for i, block in reversed(list(enumerate(self.blocks))):
                after = set() if block.test == -1 or i + 1 == len(self.blocks) else self.blocks[i + 1].live
                after = after | (self.blocks[block.goes].live if block.test is not None else set())
                live = (block.needs | after - block.makes) - fixed
                changes, block.live = changes or live != block.live, live

    def run(self, memory, blocks, threads, arguments):
        """Let a grid of blocks of threads run: each a number, or up to three (across, down, …)."""
        Launch(self, memory, three(blocks), three(threads), arguments).run()


class Block:
    """Steps that are done one after the other, and where it goes on: if register `test` says so, or always for −1, at
    block `goes`, else at the next one. ``meets``: who has to be here before it begins, "warp" or "block"."""

    def __init__(self):
        self.steps, self.meets, self.text = [], None, ""
        self.test, self.negated, self.goes = None, False, None
        self.live = set()


def same_bits(have, want):
    if have.itemsize == want.itemsize:
        return lambda x: x.view(want)
    return lambda x: x.astype(want)


def taken(slots):
    """What a step reads, as a tuple."""
    if len(slots) == 1:
        slot, = slots
        return lambda registers: (registers[slot],)
    return itemgetter(*slots)


def three(sizes):
    sizes = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)
    return sizes + (1,) * (3 - len(sizes))


# ---------------------------------------------------------------------------------------------------------------------
# running

class Group:
    """Threads that are at the same place: at which block they are, and their registers."""

    def __init__(self, at, registers):
        self.at, self.registers = at, registers

    @property
    def lanes(self):
        return self.registers[LANES]


class Launch:
    """One launch of a program."""

    def __init__(self, program, memory, blocks, threads, arguments):
        self.program, self.memory, self.blocks, self.threads = program, memory, blocks, threads
        self.size = math.prod(threads)
        if len(arguments) != len(program.parameters):
            raise Fault(f"{program.name} takes {len(program.parameters)} arguments, and {len(arguments)} came")
        self.template = [None if d is None else np.zeros(1, d) for d in program.dtypes]
        for slot, value in program.constants.items():
            self.template[slot] = value
        for slot, value in zip(program.parameters, arguments):
            dtype = program.dtypes[slot]
            value = np.array([value])
            self.template[slot] = value.view(dtype) if value.dtype.itemsize == dtype.itemsize else value.astype(dtype)
        self.tables = []
        for slot, numbers in program.tables:
            piece = memory.allocate(numbers.nbytes)
            piece.room.bytes[:] = numbers.view("u1")
            self.template[slot] = np.array([piece.start])
            self.tables.append(piece)
        self.template[MACHINE] = self
        self.inside = np.zeros(program.shared, bool)        # of shared memory: what belongs to a variable
        for start, end in program.valid:
            self.inside[start:end] = True

    def run(self):
        total, together = math.prod(self.blocks), max(1, LANES // self.size)
        with np.errstate(all="ignore"):
            for first in range(0, total, together):
                self.some(first, min(together, total - first))

    def some(self, first, blocks):
        """Run a few blocks, side by side."""
        program, names = self.program, self.program.names
        self.first = first
        lanes = np.arange(blocks * self.size)
        registers = self.template[:]
        registers[LANES] = lanes
        thread, block = lanes % self.size, first + (lanes // self.size if blocks > 1 else np.zeros(1, "i8"))
        for axis, number in zip("xyz", coordinates(thread, self.threads)):
            registers[names[f"%tid.{axis}"]] = number.astype("i4")
        for axis, number in zip("xyz", coordinates(block, self.blocks)):
            registers[names[f"%ctaid.{axis}"]] = number.astype("i4")
        for axis, n, m in zip("xyz", self.threads, self.blocks):
            registers[names[f"%ntid.{axis}"]], registers[names[f"%nctaid.{axis}"]] = np.array([n], "i4"), np.array([m], "i4")
        registers[names["%room"]] = (block - first) * program.shared
        registers[names["%own"]] = lanes * program.local
        self.shared, self.known = Room(blocks * program.shared), Room(blocks * program.shared)
        self.known.bytes[:] = 0
        self.local = Room(len(lanes) * program.local)
        self.groups = [Group(0, registers)]
        while self.groups:
            group = self.next()
            block = program.blocks[group.at]
            registers = group.registers
            for function, sources, to in block.code:
                registers[to] = function(*sources(registers))
            self.go_on(group, block)

    def go_on(self, group, block):
        """Where the threads of a group are next; they may part."""
        if block.test is None:
            group.at += 1
        elif block.test == -1:
            group.at = block.goes
        else:
            goes = group.registers[block.test] ^ block.negated
            if goes.all():
                group.at = block.goes
            elif not goes.any():
                group.at += 1
            else:
                self.groups.remove(group)
                self.groups += [self.part(group, goes, block.goes), self.part(group, ~goes, group.at + 1)]
        self.groups = [g for g in self.groups if g.at < len(self.program.blocks)]

    def part(self, group, which, at):
        """Some threads of a group, with what they still need."""
        registers = self.template[:]
        if at < len(self.program.blocks):
            for slot in self.program.blocks[at].live:
                value = group.registers[slot]
                registers[slot] = value if len(value) == 1 else value[which]
        registers[LANES] = group.lanes[which]
        return Group(at, registers)

    def next(self):
        """The group that is furthest behind, and need not wait; those at the same place are one."""
        if len(self.groups) == 1:
            return self.groups[0]
        for at in sorted({g.at for g in self.groups}):
            here, block = [g for g in self.groups if g.at == at], self.program.blocks[at]
            group = here[0]
            if len(here) > 1:
                group = self.joined(here, block.live)
                self.groups = [g for g in self.groups if g.at != at] + [group]
            if not block.meets:
                return group
            all_here = self.complete(group, self.size if block.meets == "block" else WARP)
            if all_here.all():
                return group
            if all_here.any():
                self.groups.remove(group)
                self.groups += [self.part(group, ~all_here, at), self.part(group, all_here, at)]
                return self.groups[-1]
        group = min(self.groups, key=lambda g: g.at)
        raise self.fault(self.program.blocks[group.at].text, group.lanes[0], "waits for threads that will never come: they "
                         f"wait at {sorted({self.program.blocks[g.at].text for g in self.groups if g is not group})}")

    def complete(self, group, size):
        """For each thread: is everybody here who is in its block, or warp, and has not ended?"""
        mine = group.lanes // size
        all_of_them = np.bincount(np.concatenate([g.lanes for g in self.groups]) // size)
        return (np.bincount(mine, minlength=len(all_of_them)) == all_of_them)[mine]

    def joined(self, groups, live):
        registers = self.template[:]
        for slot in live:
            values = [g.registers[slot] for g in groups]
            if not (all([len(v) == 1 for v in values]) and len({v.tobytes() for v in values}) == 1):
                values = [np.concatenate([np.broadcast_to(v, len(g.lanes)) for v, g in zip(values, groups)])]
            registers[slot] = values[0]
        registers[LANES] = np.concatenate([g.lanes for g in groups])
        return Group(groups[0].at, registers)

    def fault(self, text, lane, words):
        thread = tuple([int(n) for n in coordinates(lane % self.size, self.threads)])
        block = tuple([int(n) for n in coordinates(self.first + lane // self.size, self.blocks)])
        return Fault(f"{self.program.name}: {text}: thread {thread} of block {block} {words}")

    # ---- what threads of a block tell each other

    def exchanged(text, self, lanes, value, far, limits):
        """shfl.sync.bfly"""
        lane = lanes % WARP
        segment = limits >> 8 & 31
        last = lane & segment | limits & 31 & ~segment
        there = (lane ^ far) <= last
        source = np.where(there, lanes ^ far, lanes)
        at = np.full(int(max(lanes.max(), source.max())) + 1, -1)
        at[lanes] = np.arange(len(lanes))
        if (at[source] < 0).any():
            missing = lanes[at[source] < 0][0]
            raise self.fault(text, missing, "looks into the register of a thread that has ended")
        return np.broadcast_to(value, len(lanes))[at[source]], there

    def voted(self, lanes, value, negated):
        """bar.red: does the predicate hold for all threads of the block, or for any?"""
        mine = lanes // self.size
        some = np.bincount(mine[value ^ negated] if len(value) > 1 else mine[(value ^ negated).repeat(len(mine))],
                           minlength=int(mine.max()) + 1)[mine] > 0
        return some ^ negated

    # ---- memory

    def load(where, self, lanes, base, address):
        text, space, dtype, n, offset = where
        address = address + offset
        if space != "global":
            room, offsets = self.inner(space, text, lanes, base, address, n * dtype.itemsize)
            if space == "shared":
                known = self.known.load(np.dtype("?"), n * dtype.itemsize, offsets)
                unknown = ~(np.logical_and.reduce(known) if type(known) is tuple else known)
                if unknown.any():
                    raise self.fault(text, one(lanes, unknown), "reads shared memory that nobody wrote")
            return room.load(dtype, n, offsets)
        found = None
        for piece, which, offsets in self.places(text, lanes, address, n * dtype.itemsize):
            numbers = piece.room.load(dtype, n, offsets)
            if which is None:
                return numbers
            if found is None:
                found = np.empty((n, len(address)), dtype)
            found[:, which] = numbers
        return found[0] if n == 1 else tuple(found)

    def store(where, self, lanes, base, address, *numbers):
        text, space, dtype, n, offset = where
        address = address + offset
        if space != "global":
            room, offsets = self.inner(space, text, lanes, base, address, n * dtype.itemsize)
            room.store(dtype, offsets, numbers)
            if space == "shared":
                self.known.store(np.dtype("?"), offsets, [np.ones(1, bool)] * (n * dtype.itemsize))
            return
        for piece, which, offsets in self.places(text, lanes, address, n * dtype.itemsize):
            piece.room.store(dtype, offsets, [v if which is None or len(v) == 1 else v[which] for v in numbers])

    def inner(self, space, text, lanes, base, address, width):
        """A place in shared memory, or in a thread's own."""
        size = getattr(self.program, space)
        wrong = (address < 0) | (address > size - width)
        if not wrong.any() and space == "shared":
            wrong = ~(self.inside[address] & self.inside[address + (width - 1)])
        if wrong.any():
            raise self.fault(text, one(lanes, wrong), f"is outside its {space} memory: {width} bytes at "
                             f"{address[wrong][0]} of {size}")
        self.check_aligned(text, lanes, address, width)
        return (self.shared, self.local)[space == "local"], base + address

    def places(self, text, lanes, address, width):
        """The pieces of memory that the threads go to: piece, which of the threads (None for all), and where in it."""
        low, high = int(address.min()), int(address.max())
        piece = self.memory.around(low)
        if piece is not None and high + width <= piece.end:
            self.check_aligned(text, lanes, address, width)
            yield piece, None, address - piece.start
            return
        pieces = np.searchsorted(self.memory.starts, address, "right")
        for k in np.unique(pieces):
            which = pieces == k
            piece = self.memory.around(int(address[which][0]))
            outside = which & (piece is None or address + width > piece.end)
            if np.any(outside):
                at = int(address[outside][0])
                nearest = "where nothing is allocated" if piece is None else (
                    f"{at - piece.start} bytes after the beginning of an array of {piece.end - piece.start}")
                raise self.fault(text, one(lanes, outside), f"is outside all arrays: {width} bytes at {at:#x}, {nearest}")
            self.check_aligned(text, lanes, address, width)
            yield piece, which, address[which] - piece.start

    def check_aligned(self, text, lanes, address, width):
        if np.bitwise_or.reduce(address) & (width - 1):
            wrong = address & (width - 1) != 0
            raise self.fault(text, one(lanes, wrong), f"takes {width} bytes at once at {int(address[wrong][0]):#x}, which is "
                             f"not a multiple of {width}")


def one(lanes, wrong):
    """A thread for which this is true."""
    return lanes[np.flatnonzero(wrong)[0] if len(wrong) > 1 else 0]


def coordinates(number, sizes):
    x, y, _ = sizes
    return number % x, number // x % y, number // (x * y)

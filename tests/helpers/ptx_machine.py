"""A GPU on paper: it runs PTX, the assembly that the compiler makes of a kernel, with NumPy.

    memory = Memory()
    x = memory.allocate(4 * n)
    Program(ptx).run(memory, blocks, threads, [x.start, n])

The registers of all threads lie side by side: a register is an array with a number for each thread, or with a single one
where all threads have the same. An instruction is then one call of NumPy. Threads that part at a branch become two groups
with registers of their own; the group that is furthest behind in the text goes first, and groups that meet become one again.
At a barrier a group waits for the rest of its block, at a shuffle for the rest of its warp.

Everything that a GPU would not forgive is a ``Fault`` that names the kernel, the instruction and the thread: an access
outside what was allocated, or not at a multiple of its width; shared memory that nobody wrote; threads that wait for each
other for ever. An instruction that is not known here is an error, too.

What each instruction computes stands in ptx_arithmetic.py. Two things differ on a GPU: the assembler may make one ``fma`` of
a ``mul`` and an ``add``; and threads run in any order, here in one of two (``apart``), so that a race may go unseen.
"""

import math
import re
from bisect import bisect_right, insort
from collections import ChainMap, Counter
from functools import partial
from itertools import count
from operator import itemgetter
from weakref import ref

import numpy as np

from ptx_arithmetic import PREDICATE, TYPES, WORD, meaning
from ptx_counts import Counts, kind_of

__all__ = ["Fault", "Memory", "Program"]

TOGETHER = 1 << 13     # as many threads are run at a time, in whole blocks
WARP = 32


class Fault(Exception):
    """A program did what a GPU does not forgive, or what is not known here."""


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
            view[rows if len(rows) >= len(values) else spread(rows, len(values)), k] = values


class Piece:
    """An allocation. It is gone when nobody holds it."""

    def __init__(self, memory, start, nbytes):
        self.memory, self.start, self.end = memory, start, start + nbytes
        self.room = Room(nbytes)

    def __del__(self):
        self.memory.forget(self.start)


class Memory:
    """A GPU's memory: pieces, and between them bytes that are nobody's. An address is never used twice. counts: a list, to
    which every launch adds what it did; or None, which is faster."""

    GAP = 256

    def __init__(self, counts=None):
        self.starts, self.pieces, self.next, self.counts = [], {}, 1 << 32, counts

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
BRACE = re.compile("[{}]")
STATEMENT = re.compile(r"\s*(?:([{}])|([\w$]+):|([^;{}]*(?:\{[^{}]*\}[^;{}]*)*);)")
GUARD = re.compile(r"@(!?)([\w%$]+)\s+(.*)")
REGISTERS = re.compile(r"([\w%$]+)(?:<(\d+)>)?")
VARIABLE = re.compile(r"\.(global|const|shared|local|param)\b.*?\.([a-z]\d+)\s+([\w$]+)"
                      r"(?:\[(\d*)\])?(?:\s*=\s*\{(.*)\})?", re.S)
PLACE = re.compile(r"\[([\w%$]+)(?:\+(-?\d+))?\]")
SPECIAL = [f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"]
MACHINE, LANES, NOWHERE = range(3)      # in every list of registers: the launch, which threads these are, for no result


class Program:
    """A kernel's PTX, translated once, to be run often."""

    def __init__(self, text):
        self.dtypes, self.constants, self.known = [None] * 3, {}, {}       # of all registers; those that are constants
        self.names, self.numbers, self.items = ChainMap(), count(), []
        self.tables, self.shared, self.local = [], 0, 0     # arrays that come along; bytes of a block, and of a thread
        self.variables = []     # of shared memory: where each begins and ends
        for name, dtype in [*[(name, "b32") for name in SPECIAL], ("%carry", "u64"), ("%room", "s64"), ("%own", "s64")]:
            self.names[name] = self.register(TYPES[dtype])      # the last two: where a thread's shared and own memory begins
        self.functions, outside = functions_of(re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S))
        entry = next(name for name, (kind, *_) in self.functions.items() if kind == "entry")
        self.name = readable(entry)
        for statement in outside.split(";"):
            self.declare(statement, self.names)
        names, (_, _, parameters, body) = self.names.new_child(), self.functions[entry]
        self.parameters = [self.declare(statement, names) for statement in parameters.split(",") if statement.strip()]
        self.translate(body, names, "the end")
        self.items.append(("label", "the end"))
        self.inside = np.zeros(self.shared, bool)       # of shared memory: what belongs to a variable
        for start, end in self.variables:
            self.inside[start:end] = True
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
                for each in [f"{name}{i}" for i in range(int(many))] if many else [name]:
                    names[each] = self.register(dtype)
            return None
        found = VARIABLE.search(statement)
        if not found or ".common" in statement:
            return None
        space, dtype, name, length, numbers = found.groups()
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
                self.variables.append((used, used + size))
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
            width = 4 if operand[1] in "fF" else 8
            return self.constant(np.array([int(operand[2:], 16)], f"u{width}").view(f"f{width}"))
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
            test = (names[guarded[2]], guarded[1] == "!") if guarded else (None, False)
            self.items.append(("branch", *test, label(rest), text))
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
                        "Say in ptx_arithmetic.py what it does.")
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
        wider = action == "ld" and any([o != "_" and self.dtypes[names[o]].itemsize > dtype.itemsize for o in numbers])
        if dtype.kind == "u" and not wider:     # only there a sign matters
            dtype = np.dtype(f"i{dtype.itemsize}")
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
        _, results, parameters, body = self.functions[name]
        inside = self.names.new_child()
        for formal, actual in [*zip(parameters.split(","), given.split(",")), *zip([results], [result or ""])]:
            if actual.strip():
                inside[VARIABLE.search(formal)[3]] = names[actual.strip()]
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
            block.kinds = Counter([kind_of(text) for *_, text in block.steps if text and ".param" not in text])
        fixed = {MACHINE, LANES, NOWHERE, *self.constants, *self.parameters, *[slot for slot, _ in self.tables]}
        fixed -= {to for block in self.blocks for to in block.makes}
        while changes:
            changes = False
            for i, block in reversed(list(enumerate(self.blocks))):
                after = set() if block.test == -1 or i + 1 == len(self.blocks) else self.blocks[i + 1].live
                after = after | (self.blocks[block.goes].live if block.test is not None else set())
                live = (block.needs | after - block.makes) - fixed
                changes, block.live = changes or live != block.live, live

    def run(self, memory, blocks, threads, arguments, apart=False):
        """Let a grid of blocks of threads run: each a number, or up to three (across, down, …). apart: each warp goes as far
        as it can before the next one begins; else all keep step."""
        Launch(self, memory, three(blocks), three(threads), arguments, apart).run()


class Block:
    """Steps that are done one after the other, and where it goes on: if register `test` says so, or always for −1, at
    block `goes`, else at the next one. ``meets``: who has to be here before it begins, "warp" or "block"."""

    def __init__(self):
        self.steps, self.meets, self.text = [], None, ""
        self.test, self.negated, self.goes = None, False, None
        self.live = set()


def functions_of(text):
    """{name: (entry or func, results, parameters, body)}, and what stands outside."""
    functions, outside, end = {}, "", 0
    for head in HEAD.finditer(text):
        outside += text[end:head.start()]
        end = head.end()
        kind, results, name, parameters, opens = head.groups()
        if opens == "{":
            depth = 1
            while depth:
                brace = BRACE.search(text, end)
                depth, end = depth + (1 if brace[0] == "{" else -1), brace.end()
            functions[name] = kind, results or "", parameters, text[head.end():end - 1]
    return functions, outside + text[end:]


def readable(name):
    """softmax._softmax_forward for _ZN9minitorch7kernels4cuda7softmax16_softmax_forwardB2v1…"""
    parts, rest = [], name.removeprefix("_ZN")
    while found := re.match(r"\d+", rest):
        parts.append(rest[found.end():found.end() + int(found[0])])
        rest = rest[found.end() + int(found[0]):]
    return ".".join(parts[-2:]) or name


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
    """Threads that are at the same place: at which block they are, and their registers. met: they need not wait there."""

    def __init__(self, at, registers, met=False):
        self.at, self.registers, self.met = at, registers, met

    @property
    def lanes(self):
        return self.registers[LANES]


class Launch:
    """One launch of a program."""

    def __init__(self, program, memory, blocks, threads, arguments, apart=False):
        self.program, self.memory, self.blocks, self.threads, self.apart = program, memory, blocks, threads, apart
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
        self.counts = None
        if memory.counts is not None:
            self.counts = Counts(program.name, self.size * math.prod(blocks))
            memory.counts.append(self.counts)

    def run(self):
        total, together = math.prod(self.blocks), max(1, TOGETHER // self.size)
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
        self.groups = self.warps(Group(0, registers)) if self.apart else [Group(0, registers)]
        while self.groups:
            group = self.next()
            block = program.blocks[group.at]
            registers = group.registers
            for function, sources, to in block.code:
                registers[to] = function(*sources(registers))
            if self.counts:
                self.counts.ran(block.kinds, len(group.lanes))
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
        for group in self.groups if self.apart else ():
            if group.met or not self.program.blocks[group.at].meets:
                group.met = False
                return group
        for at in sorted({g.at for g in self.groups}):
            here, block = [g for g in self.groups if g.at == at], self.program.blocks[at]
            group = here[0]
            if len(here) > 1:
                group = self.joined(here, block.live)
                self.groups = [g for g in self.groups if g.at != at] + [group]
            if not block.meets:
                return group
            all_here = self.complete(group, self.size if block.meets == "block" else WARP)
            if all_here.all() and not self.apart:
                return group
            if all_here.any():
                self.groups.remove(group)
                self.groups += [] if all_here.all() else [self.part(group, ~all_here, at)]
                free = self.part(group, all_here, at)
                if not self.apart or block.meets == "block" and block.steps:        # a vote
                    self.groups.append(free)
                    return free
                self.groups[:0] = self.warps(free)
                return self.next()
        group = min(self.groups, key=lambda g: g.at)
        raise self.fault(self.program.blocks[group.at].text, group.lanes[0], "waits for threads that will never come: they "
                         f"wait at {sorted({self.program.blocks[g.at].text for g in self.groups if g is not group})}")

    def complete(self, group, size):
        """For each thread: is everybody here who is in its block, or warp, and has not ended?"""
        mine = group.lanes // size
        all_of_them = np.bincount(np.concatenate([g.lanes for g in self.groups]) // size)
        return (np.bincount(mine, minlength=len(all_of_them)) == all_of_them)[mine]

    def warps(self, group):
        """A group's warps, which may go on one by one."""
        warp = group.lanes // WARP
        parts = [self.part(group, warp == w, group.at) for w in np.unique(warp)]
        for part in parts:
            part.met = True
        return parts

    def joined(self, groups, live):
        registers = self.template[:]
        for slot in live:
            values = [g.registers[slot] for g in groups]
            if not (all([len(v) == 1 for v in values]) and len({v.tobytes() for v in values}) == 1):
                values = [np.concatenate([spread(v, len(g.lanes)) for v, g in zip(values, groups)])]
            registers[slot] = values[0]
        registers[LANES] = np.concatenate([g.lanes for g in groups])
        return Group(groups[0].at, registers)

    def fault(self, text, lane, words):
        thread = tuple([int(n) for n in coordinates(lane % self.size, self.threads)])
        block = tuple([int(n) for n in coordinates(self.first + lane // self.size, self.blocks)])
        return Fault(f"{self.program.name}: {text}: thread {thread} of block {block} {words}")

    # What follows are steps of programs. What stands in the text (where) is bound when a program is translated.

    # ---- what threads of a block tell each other

    def exchanged(where, self, lanes, value, far, limits):
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
            raise self.fault(where, missing, "looks into the register of a thread that has ended")
        return spread(value, len(lanes))[at[source]], there

    def voted(self, lanes, value, negated):
        """bar.red: does the predicate hold for all threads of the block, or for any?"""
        mine = lanes // self.size
        voters = mine[spread(value ^ negated, len(mine))]
        return (np.bincount(voters, minlength=int(mine.max()) + 1)[mine] > 0) ^ negated

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
            inside = self.program.inside
            wrong = ~(inside[address] & inside[address + (width - 1)])
        if wrong.any():
            raise self.fault(text, one(lanes, wrong), f"is outside its {space} memory: {width} bytes at "
                             f"{address[wrong][0]} of {size}")
        self.check_aligned(text, lanes, address, width)
        if self.counts:
            self.counts.at(space, text, None, lanes, address, width)
        return (self.shared, self.local)[space == "local"], base + address

    def places(self, text, lanes, address, width):
        """The pieces of memory that the threads go to: piece, which of the threads (None for all), and where in it."""
        low, high = int(address.min()), int(address.max())
        piece = self.memory.around(low)
        if piece is not None and high + width <= piece.end:
            self.check_aligned(text, lanes, address, width)
            if self.counts:
                self.counts.at("global", text, piece, lanes, address, width)
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
            if self.counts:
                self.counts.at("global", text, piece, lanes[which], address[which], width)
            yield piece, which, address[which] - piece.start

    def check_aligned(self, text, lanes, address, width):
        if np.bitwise_or.reduce(address) & (width - 1):
            wrong = address & (width - 1) != 0
            raise self.fault(text, one(lanes, wrong), f"takes {width} bytes at once at {int(address[wrong][0]):#x}, "
                             f"which is not a multiple of {width}")


def spread(value, n):
    """A number for each of n threads, where they may share a single one."""
    return value if len(value) == n else value.repeat(n)


def one(lanes, wrong):
    """A thread for which this is true."""
    return lanes[np.flatnonzero(wrong)[0] if len(wrong) > 1 else 0]


def coordinates(number, sizes):
    x, y, _ = sizes
    return number % x, number // x % y, number // (x * y)

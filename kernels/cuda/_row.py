"""Kernels whose blocks take a row of numbers each, and read it from memory once.

    @by_row
    def _softmax_forward(x, c, y):
        row = cuda.blockIdx.x * c
        held = cuda.local.array(HELD, number)
        top = number(-math.inf)
        for start in range(0, c, SPAN):
            fetch(x, row + start, c - start, top, held)         the block's threads share the row; each keeps its part
            for k in range(HELD):
                top = larger(top, held[k])
        top = block_max(top)
        for start in range(0, c, SPAN):
            again(x, row + start, c - start, top, held)         the part is still there
            ...

    _softmax_forward(rows, c)(x, c, y)

A thread keeps HELD numbers of the row in its registers, four neighbours at a time. How many, and how many threads a row
gets, depends on the row's length; each case is compiled for itself when it first turns up. A row that is too long even for
the largest block passes by in pieces of SPAN numbers: then ``again`` reads them again, and the loops over ``start`` make
more than one turn.
"""

from ._array import Array
from ._four import load_four, load_one, store_four, store_one
from ._launch import TINY, Kernel, cuda, device, number

__all__ = ["HELD", "LONG", "SPAN", "again", "by_row", "fetch", "place", "put"]

# (threads of a block, fours that a thread keeps), from short rows to long ones. Small blocks that keep much have as much
# memory on its way as large ones, and less to wait for when they add up their sums
SIZES = [(2, 1), (2, 2), (4, 2)] if TINY else [(32, 1), (32, 2), (32, 4), (64, 4), (128, 4), (256, 4), (256, 8)]

BLOCK = 1       # in a kernel: how many threads a row gets
HELD = 4        # how many numbers of it a thread keeps
SPAN = 4        # and how many all of them keep
LONG = False    # are rows longer than what a block can keep?
FOURS = False   # can rows be read in fours?


@device
def fetch(x, at, c, beyond, held):
    """Read this thread's part of a row of c numbers that begins at x[at]; `beyond` stands for what lies behind its end."""
    for k in range(0, HELD, 4):
        j = BLOCK * k + cuda.threadIdx.x * 4
        if FOURS:
            held[k] = held[k + 1] = held[k + 2] = held[k + 3] = beyond
            if j < c:
                held[k], held[k + 1], held[k + 2], held[k + 3] = load_four(x, at + j)
        else:
            for l in range(4):
                held[k + l] = number(load_one(x, at + j + l)) if j + l < c else beyond


@device
def again(x, at, c, beyond, held):
    """Read it again, unless it is still there."""
    if LONG:
        fetch(x, at, c, beyond, held)


@device
def put(held, y, at, c):
    """Write this thread's part of a row."""
    for k in range(0, HELD, 4):
        j = BLOCK * k + cuda.threadIdx.x * 4
        if FOURS:
            if j < c:
                store_four(y, at + j, (held[k], held[k + 1], held[k + 2], held[k + 3]))
        else:
            for l in range(4):
                if j + l < c:
                    store_one(y, at + j + l, held[k + l])


@device
def place(k):
    """Where in the row, or in its piece, the k-th number stands that this thread keeps."""
    return BLOCK * (k - k % 4) + cuda.threadIdx.x * 4 + k % 4


class by_row:  # noqa: N801  (a decorator)
    """A kernel for rows of any length c: ``kernel(blocks, c)(arguments)`` launches it. Arrays that end in c hold rows."""

    def __init__(self, function):
        self.function, self.variants = function, {}

    def __call__(self, blocks, c):
        def launch(*args):
            sizes = SIZES[:-1] if args[0].itemsize == 8 else SIZES      # a float64 takes two registers
            threads, quads = next((size for size in sizes if c <= 4 * size[0] * size[1]), sizes[-1])
            long = c > 4 * threads * quads
            fours = c % 4 == 0 and all([a.in_fours for a in args if isinstance(a, Array) and a.shape[-1:] == (c,)])
            key = threads, quads, long, fours
            kernel = self.variants.get(key) or self.variants.setdefault(key, self.variant(*key))
            kernel[(blocks,), (threads,)](*args)

        return launch

    def variant(self, threads, quads, long, fours):
        """The kernel for so many threads that keep so many fours each."""
        constants = {"BLOCK": threads, "HELD": 4 * quads, "SPAN": 4 * quads * threads, "LONG": long, "FOURS": fours}
        tools = {source.function.__name__: device(source.function, **constants) for source in (fetch, put, place)}
        tools["again"] = device(again.function, **constants, fetch=tools["fetch"])
        return Kernel(self.function, **constants, **tools)

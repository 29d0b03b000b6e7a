"""Large copies from any layout to any other, shared by all threads: rows of numbers, or a matrix that is turned, by tiles.

What is copied may also be added to what is there.

A file of its own, imported when the first large copy comes, as ``_large`` is.
"""

import math
from functools import lru_cache

import numpy as np

from ._jit import chunk, formula, pieces, spread, with_formulas
from ._large import cut
from ._memory import empty, numbers

__all__ = ["triangle", "write"]

TILE = 16       # rows and columns of a tile: float32's fill a cache line each way
FEW = 4         # numbers that a tile has at least, each way: of fewer, steps are as quick
AXES = 4        # as many are left, at most, once those are one that follow each other in both arrays


def write(y, x, name="copy"):
    """y[...] = x, or "add": y += x, of one shape; False, and nothing done, where that is NumPy's."""
    if x.dtype != y.dtype or x.itemsize not in (4, 8) or not (x.flags.aligned and y.flags.aligned):
        return False
    if name == "add" and x.dtype.kind != "f":
        return False
    plan = _plan(x.shape, x.strides, y.strides, x.itemsize)
    if plan is None:
        return False
    loop, pieces, start, first, span, *settings = plan
    real = np.float32 if x.itemsize == 4 else np.float64       # only moved, whole numbers may pass for floats
    _named(loop, name)(pieces, numbers(x, first, span[0], real), start, *settings, numbers(y, 0, span[1], real))
    return True


def triangle(x, edge, lower):
    """x (…, m, n) in C order → its numbers left of the edge, which is so far right of the diagonal; or those right of it."""
    y = empty(x.shape, x.dtype)
    m, n = x.shape[-2:]
    rows = x.reshape(-1, n)
    size = chunk(len(rows))
    _triangle(pieces(len(rows), size), size, rows, m, edge, lower, y.reshape(rows.shape))
    return y


@lru_cache(maxsize=256)
def _plan(shape, x_strides, y_strides, itemsize):
    """The loop; how many pieces; where x begins in its memory; that memory's first byte, seen from x; numbers spanned;
    sizes and steps."""
    axes = [(dy, dx, n) for n, dx, dy in zip(shape, x_strides, y_strides) if n != 1]
    if not axes or any(dy <= 0 or dx % itemsize or dy % itemsize for dy, dx, _ in axes):
        return None
    axes = [(dy // itemsize, dx // itemsize, n) for dy, dx, n in sorted(axes, key=lambda axis: -axis[0])]
    start = -sum(dx * (n - 1) for _, dx, n in axes if dx < 0)
    spans = 1 + sum(abs(dx) * (n - 1) for _, dx, n in axes), 1 + sum(dy * (n - 1) for dy, _, n in axes)
    merged = axes[:1]
    for dy, dx, n in axes[1:]:
        before = merged[-1]
        if before[0] == dy * n and before[1] == dx * n:
            merged[-1] = dy, dx, before[2] * n
        else:
            merged.append((dy, dx, n))
    along = [i for i, (_, dx, n) in enumerate(merged[:-1]) if dx == 1 and n >= FEW]
    last, loop = merged[-1], _rows
    if last[0] == 1 and last[1] not in (0, 1) and last[2] >= FEW and along:     # a number that is repeated is a row, too
        loop = _turned
        merged = [axis for i, axis in enumerate(merged[:-1]) if i != along[0]] + [merged[along[0]], last]
    if len(merged) > AXES:
        return None
    merged = [(0, 0, 1)] * (AXES - len(merged)) + merged
    sizes, dxs, dys = tuple(n for *_, n in merged), tuple(dx for _, dx, _ in merged), tuple(dy for dy, *_ in merged)
    if loop is _turned:
        return loop, sizes[0] * sizes[1] * -(-sizes[2] // TILE), start, -start * itemsize, spans, sizes, dxs, dys
    size, pieces = cut(math.prod(sizes[:3]), sizes[3])
    return loop, pieces, start, -start * itemsize, spans, size, sizes, dxs, dys


def _rows(piece, x, start, size, sizes, dx, dy, y):
    # unsigned places, not slices: where rows are short and far apart, those would wait for each other's memory
    n, columns = sizes[0] * sizes[1] * sizes[2], sizes[3]
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    count, c = np.uintp(min(wide, columns - left)), 0
    source = target = np.uintp(0)
    for row in range(first, min(first + tall, n)):
        if c == 0 or c == sizes[2]:
            a, b, c = row // (sizes[1] * sizes[2]), row // sizes[2] % sizes[1], row % sizes[2]
            source = np.uintp(start + a * dx[0] + b * dx[1] + c * dx[2] + left * dx[3])
            target = np.uintp(a * dy[0] + b * dy[1] + c * dy[2] + left * dy[3])
        if dx[3] == 1 and dy[3] == 1:
            for j in range(count):
                y[target + j] = formula(y[target + j], x[source + j])
        elif dx[3] == 0 and dy[3] == 1:
            same = x[source]
            for j in range(count):
                y[target + j] = formula(y[target + j], same)
        else:
            for j in range(count):
                place = target + j * np.uintp(dy[3])
                y[place] = formula(y[place], x[source + j * np.uintp(dx[3])])
        source, target, c = source + np.uintp(dx[2]), target + np.uintp(dy[2]), c + 1


def _turned(task, x, start, sizes, dx, dy, y):
    tiles = (sizes[2] + TILE - 1) // TILE
    a, b = task // tiles // sizes[1], task // tiles % sizes[1]
    k0 = task % tiles * TILE
    k1 = min(k0 + TILE, sizes[2])
    source, target = start + a * dx[0] + b * dx[1], a * dy[0] + b * dy[1]
    for j0 in range(0, sizes[3], TILE):
        count = np.uintp(min(TILE, sizes[3] - j0))
        for k in range(k0, k1):
            place, taken = np.uintp(target + k * dy[2] + j0), np.uintp(source + k + j0 * dx[3])
            for j in range(count):
                y[place + j] = formula(y[place + j], x[taken + j * np.uintp(dx[3])])


@spread
def _triangle(piece, size, x, m, edge, lower, y):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out = x[i], y[i]
        at = min(max(i % m + edge, 0), c)
        for j in range(at):
            out[j] = row[j] if lower else 0
        for j in range(at, c):
            out[j] = 0 if lower else row[j]


FORMULAS = {"copy": lambda old, new: new, "add": lambda old, new: old + new}

_named, __getattr__ = with_formulas(globals(), FORMULAS)

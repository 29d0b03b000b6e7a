"""Matrix products on all threads.

``np.matmul`` lets OpenBLAS cut a product by its number of threads, and the cut decides how sums are rounded: of 584
products tried, 106 came out with other bits on two threads than on one. Here each piece is one thread's, and the bits do
not depend on how many there are: either the product is made of tiles that its shape decides, whoever computes them, or its
shape decides the pieces, too. And there is one pool of threads instead of two that fight for the same cores.

A product in tiles has its right factor copied, some rows and columns at a time, so that a tile's lie side by side, in the
cache. Where NumPy brings no OpenBLAS, ``product`` is ``np.matmul``.
"""

import math
from functools import lru_cache

import numpy as np
from numba import get_thread_id

from ._blas import AVAILABLE, TILE, WHOLE, in_tiles, one_thread, turn
from ._jit import CHUNKS, jit, ready, spread
from ._memory import empty
from ._threads import now

__all__ = ["product"]

TINY = 1 << 18   # multiplications up to which OpenBLAS itself uses one thread: NumPy's own call is the quickest
LINE = 1 << 13   # the same, where a factor is a vector, or may be the other one turned
SMALL = 1 << 20  # products of fewer multiplications than this are not worth a parallel launch
WIDE = 192       # rows of a piece, at least: OpenBLAS copies all of the other factor for each piece, and that must pay
NARROW = 32      # rows of each of two pieces, at least; and of a product that is made of tiles
THIN = 8         # with fewer rows than this, the time goes into reading the matrix, not into multiplications
PART = 128, 512  # rows and columns of the result that are added to at a time; of fewer columns, more rows
LONG = 3         # tiles deep is what is copied at a time
READ = 12        # multiplications that take as long as to read a number
GAP = 16         # numbers between the rows of the copy: rows a power of two apart thrash L1


def product(a, b, bias=None, out=None, add=False):
    """a (…, m, k) · b (…, k, n) + bias (n,) → (…, m, n).

    out: a C-contiguous array to write to; add: to what it holds.
    """
    if out is None and a.shape[:-2] == b.shape[:-2]:
        (m, k), n = a.shape[-2:], b.shape[-1]
        tiny = m * k * n <= (TINY if m > 1 and n > 1 and m != n else LINE)
        if tiny and a.ndim == 2 or _is_small(math.prod(a.shape[:-2]), m, n, k):
            if tiny:
                y = np.matmul(a, b)
            else:
                with one_thread():
                    y = np.matmul(a, b)
            if bias is not None:
                y += bias
            return y
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
        y = None if out is None else out.reshape(-1, out.shape[-1])
        a2 = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return product(a2, b, bias, y, add).reshape(*a.shape[:-1], b.shape[-1])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if a.ndim > 2 or b.ndim > 2 else ()
    (m, k), n = a.shape[-2:], b.shape[-1]
    if out is None:
        out = empty((*batch, m, n), a.dtype)
    if _is_small(math.prod(batch), m, n, k) or not AVAILABLE:
        with one_thread():
            if add:
                out += np.matmul(a, b)
            else:
                np.matmul(a, b, out=out)
        if bias is not None:
            out += bias
        return out
    bias = np.empty(0, a.dtype) if bias is None else ready(bias, a.dtype)
    (a, ta), (b, tb) = _factor(a, batch), _factor(b, batch)
    threads = now()
    tile, rows, columns, copied = _plan(math.prod(batch), m, n, k, ta, tb, threads)
    room = np.empty((threads, min(k, tile[2] * LONG), min(n, PART[1]) + GAP) if copied else (0, 0, 0), a.dtype)
    with one_thread():
        c = out.reshape(-1, m, n)
        _piece(len(c) * rows * columns, a, ta, b, tb, bias, out.dtype.type(add), tile, rows, columns, room, c)
    return out


def _is_small(batch, m, n, k):
    """Is it too little work for a parallel launch?"""
    return batch * k * max(m, n) * max(min(m, n), THIN) < SMALL


@lru_cache(maxsize=256)
def _plan(batch, m, n, k, ta, tb, threads):
    """The tile; into how many pieces rows and columns are cut; whether b is copied."""
    if TILE != WHOLE and min(m, n) >= NARROW:
        copied = tb or not ta
        # pieces of whole tiles, one a thread: the longest shall be short, and little of b copied by several
        (tall, wide, deep), grids = TILE, [(r, c) for r in range(1, threads + 1) for c in range(1, threads // r + 1)]
        rows, columns = min(grids, key=lambda grid: (
            -(-batch * grid[0] * grid[1] // threads) * _cost(_longest(m, tall, grid[0]), _longest(n, wide, grid[1])),
            grid[0] * n + grid[1] * m))
        steps = -(-k // deep)
        return (tall, wide, min(deep, -(-k // steps // 16) * 16)), rows, columns, copied
    pieces = 1
    while batch * pieces < CHUNKS and max(m, n) >= 2 * WIDE * pieces:
        pieces *= 2
    if batch * pieces == 1:     # too narrow for two wide pieces; two narrow ones are better than one thread
        pieces = 2 if max(m, n) >= 2 * NARROW else 1
    return WHOLE, *((pieces, 1) if m >= n else (1, pieces)), False


def _cost(rows, columns):
    """What a piece takes, per step of the sum: its multiplications, and what it reads of both factors."""
    return rows * columns + READ * (rows + columns)


def _longest(side, step, pieces):
    """The most of a side, whose steps are not cut, that comes to one of so many pieces."""
    steps = -(-side // step)
    last = side - (pieces - 1) * steps // pieces * step     # of the most steps, but one may not be whole
    others = -(-steps // pieces) - (steps % pieces == 1) if pieces > 1 else 0
    return max(last, others * step)


def _factor(x, batch):
    """x (…, rows, columns) → (1 or all of the batch, …) in C order, and whether the two sides were swapped for that."""
    if x.ndim > 2 and math.prod(x.shape[:-2]) != 1:
        x = np.broadcast_to(x, batch + x.shape[-2:])
    swapped = x.swapaxes(-1, -2)
    transposed = swapped.flags.c_contiguous and not x.flags.c_contiguous
    x = ready(swapped if transposed else x)
    return x.reshape(-1, *x.shape[-2:]), transposed


@jit
def _cut(side, step, pieces, piece):
    """Where a piece begins and ends; steps are not cut, unless one would be the whole side."""
    if step == WHOLE[0]:
        return piece * side // pieces, (piece + 1) * side // pieces
    steps = -(-side // step)
    return piece * steps // pieces * step, min(side, (piece + 1) * steps // pieces * step)


@spread
def _piece(piece, a, ta, b, tb, bias, beta, tile, rows, columns, room, c):
    """Where there is room, with some rows and columns of b at a time copied to where they lie side by side."""
    i, row, column = piece // columns // rows, piece // columns % rows, piece % columns
    top, bottom = _cut(c.shape[1], tile[0], rows, row)
    left, right = _cut(c.shape[2], tile[1], columns, column)
    x, y = a[i if len(a) > 1 else 0], b[i if len(b) > 1 else 0]
    k, copied = x.shape[0] if ta else x.shape[1], len(room) > 0
    wide, deep = (PART[1], room.shape[1]) if copied else (right - left, k)
    for j0 in range(left, right, wide):
        j1 = min(right, j0 + wide)
        for k0 in range(0, k, deep):
            k1 = min(k, k0 + deep)
            factor = y[j0:j1, k0:k1] if tb else y[k0:k1, j0:j1]
            if copied:
                copy = room[get_thread_id(), :k1 - k0, :j1 - j0]
                if tb:
                    turn(factor, copy)
                else:
                    _copy(factor, copy)
                factor = copy
            _by_parts(x[k0:k1, top:bottom] if ta else x[top:bottom, k0:k1], ta, factor, tb and not copied,
                      bias if k1 == k else bias[:0], beta if k0 == 0 else c.dtype.type(1), tile, top, j0, c[i])


@jit
def _by_parts(a, ta, b, tb, bias, beta, tile, top, left, c):
    """In tiles, as large a part of the result at a time as stays in the cache; it begins at top, left of c."""
    m, n = a.shape[1] if ta else a.shape[0], b.shape[0] if tb else b.shape[1]
    wide = n if n <= tile[1] else min(n, PART[1])
    tall = max(1, PART[0] * PART[1] // (tile[0] * wide)) * tile[0]
    for j0 in range(0, n, wide):
        j1 = min(n, j0 + wide)
        for i0 in range(0, m, tall):
            i1 = min(m, i0 + tall)
            x, y = a[:, i0:i1] if ta else a[i0:i1, :], b[j0:j1, :] if tb else b[:, j0:j1]
            after = a[:tile[2], i1:i1 + tile[0]] if ta else a[i1:i1 + tile[0], :tile[2]]
            in_tiles(c.dtype.type(1), x, ta, y, tb, beta, c[top + i0:top + i1, left + j0:left + j1], tile, after)
            if len(bias) > 0:   # in c itself: the steps within a part of it are not known to be of one number
                for i in range(np.uintp(top + i0), np.uintp(top + i1)):
                    for j in range(np.uintp(left + j0), np.uintp(left + j1)):
                        c[i, j] += bias[j]


@jit
def _copy(b, room):
    for l in range(np.uintp(b.shape[0])):
        for j in range(np.uintp(b.shape[1])):
            room[l, j] = b[l, j]

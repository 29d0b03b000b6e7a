"""Matrix products, written five times: each version is the last one plus one idea.

z[i, j] = Σ over l of x[i, l] · y[l, j]          x (m, k), y (k, n), z (m, n)

    naive        a thread a number; threads side by side take rows, so that their loads lie far apart
    coalesced    threads side by side take columns: their loads are neighbours, and come in one transaction
    tiled        a block brings a tile of x and of y to shared memory once, and all of its threads use it
    registers    a thread computes TM × TN numbers, and uses every number that it fetched TM or TN times
    vector       all of memory is read four numbers at a time, and the next tiles are on their way while these are multiplied

The last is what every product here uses, unless cuBLAS is at hand (``_library.py``). x and y are described by steps, (from
row to row, from column to column), so that a transposed factor needs no copy. docs/gpu.md tells the story of the ladder.
"""

import math
from functools import lru_cache

import numpy as np

from ..reference import matmul as _reference
from ._array import empty, packed, ready, view
from ._four import begin_at_16, load_four, load_one, store_four, store_one
from ._launch import TINY, Kernel, blocks_for, cuda, device, kernel, number
from ._library import multiply
from ._map import formula, into
from .arithmetic import sum_to
from .reduce import sum_forward

__all__ = _reference.__all__

SIDE = 2 if TINY else 16                               # a block of the first rungs has SIDE × SIDE threads
TILE_M, TILE_N, TILE_K = (4, 4, 2) if TINY else (128, 128, 8)      # what a block computes at a time
TM, TN = (2, 2) if TINY else (8, 8)                    # what a thread computes
ACROSS, DOWN = TILE_N // TN, TILE_M // TM                   # threads of a block
THREADS = ACROSS * DOWN
TILES, DEPTH = ((16, 8), 4) if TINY else ((128, 64), 16)      # the last rung's: sides of a tile, and how deep it is
SHARE, MOST_SHARES = 8 if TINY else 256, 32        # as many products has a share of a long sum, at least
LAUNCH, MOVED = 0 if TINY else 70, 40000        # while a tile takes k further: a launch's time, and numbers written and read
MULTIPROCESSORS = 132       # of an H200


@kernel
def _naive(x, x_steps, y, y_steps, m, n, k, z):
    i, j = cuda.grid(2)     # threads side by side have neighbouring i
    if i < m and j < n:
        total = number(0.0)
        for l in range(k):
            total += x[i * x_steps[0] + l * x_steps[1]] * y[l * y_steps[0] + j * y_steps[1]]
        z[i * n + j] = total


@kernel
def _coalesced(x, x_steps, y, y_steps, m, n, k, z):
    j, i = cuda.grid(2)     # threads side by side have neighbouring j
    if i < m and j < n:
        total = number(0.0)
        for l in range(k):
            total += x[i * x_steps[0] + l * x_steps[1]] * y[l * y_steps[0] + j * y_steps[1]]
        z[i * n + j] = total


@kernel
def _tiled(x, x_steps, y, y_steps, m, n, k, z):
    xs = cuda.shared.array((SIDE, SIDE), number)
    ys = cuda.shared.array((SIDE, SIDE), number)
    j, i = cuda.grid(2)
    across, down = cuda.threadIdx.x, cuda.threadIdx.y
    total = number(0.0)
    for start in range(0, k, SIDE):
        # pass 1: each thread brings one number of each tile; 0 beyond the edge
        l = start + across
        xs[down, across] = x[i * x_steps[0] + l * x_steps[1]] if i < m and l < k else number(0.0)
        l = start + down
        ys[down, across] = y[l * y_steps[0] + j * y_steps[1]] if l < k and j < n else number(0.0)
        cuda.syncthreads()
        # pass 2: a row of one tile times a column of the other
        for l in range(SIDE):
            total += xs[down, l] * ys[l, across]
        cuda.syncthreads()
    if i < m and j < n:
        z[i * n + j] = total


@kernel
def _registers(x, x_offset, x_steps, y, y_offset, y_steps, m, n, k, z_offset, z):
    """Batches lie along the grid's third axis; the steps are (batch, row, column)."""
    xs = cuda.shared.array((TILE_K, TILE_M), number)
    ys = cuda.shared.array((TILE_K, TILE_N), number)
    totals = cuda.local.array((TM, TN), number)
    column = cuda.local.array(TM, number)
    batch = cuda.blockIdx.z
    x_start, y_start = x_offset + batch * x_steps[0], y_offset + batch * y_steps[0]
    top, left = cuda.blockIdx.y * TILE_M, cuda.blockIdx.x * TILE_N
    t = cuda.threadIdx.x
    across, down = t % ACROSS, t // ACROSS
    for a in range(TM):
        for b in range(TN):
            totals[a, b] = number(0.0)
    for start in range(0, k, TILE_K):
        # pass 1: all threads bring both tiles; 0 beyond the edge. Neighbours fetch neighbours, whichever way x lies
        for at in range(t, TILE_M * TILE_K, THREADS):
            if x_steps[2] == 1:
                i, l = at // TILE_K, at % TILE_K
            else:
                i, l = at % TILE_M, at // TILE_M
            inside = top + i < m and start + l < k
            xs[l, i] = x[x_start + (top + i) * x_steps[1] + (start + l) * x_steps[2]] if inside else number(0.0)
        for at in range(t, TILE_N * TILE_K, THREADS):
            if y_steps[2] == 1:
                j, l = at % TILE_N, at // TILE_N
            else:
                j, l = at // TILE_K, at % TILE_K
            inside = left + j < n and start + l < k
            ys[l, j] = y[y_start + (start + l) * y_steps[1] + (left + j) * y_steps[2]] if inside else number(0.0)
        cuda.syncthreads()
        # pass 2: TM numbers of a column of x with TN numbers of a row of y: TM · TN products for TM + TN fetches
        for l in range(TILE_K):
            for a in range(TM):
                column[a] = xs[l, a * DOWN + down]
            for b in range(TN):
                right = ys[l, b * ACROSS + across]
                for a in range(TM):
                    totals[a, b] += column[a] * right
        cuda.syncthreads()
    # pass 3: write
    for a in range(TM):
        i = top + a * DOWN + down
        for b in range(TN):
            j = left + b * ACROSS + across
            if i < m and j < n:
                z[z_offset + (batch * m + i) * n + j] = totals[a, b]


_registers.number_like = -1     # whole numbers are multiplied as such


# ---------------------------------------------------------------------------------------------------------------------
# the last rung

@device
def _spot(part, deep):
    """Which four numbers of a tile this thread brings: the first one's place across the tile, and down into it."""
    four = cuda.threadIdx.x + part * THREADS
    if deep == 1:       # neighbours in memory lie below each other
        return four // (DEEP // 4), four % (DEEP // 4) * 4
    return four % (TILE // 4) * 4, four // (TILE // 4)


@device
def _bring(x, at, across, deep, width, depth, fours, held):
    """Read this thread's part of the tile that begins at x[at]; 0 beyond the edges. Steps in memory: across, deep."""
    for part in range(PARTS):
        i, l = _spot(part, deep)
        start = at + i * across + l * deep
        if fours and i < width and l < depth:
            held[4 * part], held[4 * part + 1], held[4 * part + 2], held[4 * part + 3] = load_four(x, start)
        elif deep == 1:
            for e in range(4):
                held[4 * part + e] = number(load_one(x, start + e)) if i < width and l + e < depth else number(0.0)
        else:
            for e in range(4):
                held[4 * part + e] = number(load_one(x, start + e * across)) if i + e < width and l < depth else number(0.0)


@device
def _lay(held, deep, tiles, at):
    """Write this thread's part of a tile into shared memory, where neighbours lie side by side."""
    for part in range(PARTS):
        i, l = _spot(part, deep)
        if deep == 1:
            for e in range(4):
                store_one(tiles, at + (l + e) * PITCH + i, held[4 * part + e])
        else:
            k = 4 * part
            store_four(tiles, at + l * PITCH + i, (held[k], held[k + 1], held[k + 2], held[k + 3]))


def _vector(x, x_offset, x_steps, x_fours, y, y_offset, y_steps, y_fours, bias, has_bias, m, n, k, whole, z_offset, z_fours,
            z):
    tiles = cuda.shared.array(AREAS, number)        # two tiles of x, two of y: one is filled while the other is used
    begin_at_16(tiles)
    totals = cuda.local.array((EACH, EACH), number)
    column, row = cuda.local.array(EACH, number), cuda.local.array(EACH, number)
    next_x, next_y = cuda.local.array(BROUGHT, number), cuda.local.array(BROUGHT, number)
    batch, top, left = cuda.blockIdx.z, cuda.blockIdx.y * TILE, cuda.blockIdx.x * TILE
    x_at, y_at = x_offset + batch * x_steps[0] + top * x_steps[1], y_offset + batch * y_steps[0] + left * y_steps[2]
    across, down = cuda.threadIdx.x % SIDE * 4, cuda.threadIdx.x // SIDE * 4
    for a in range(EACH):
        for b in range(EACH):
            totals[a, b] = number(0.0)
    left_over = whole - batch * k
    k = left_over if left_over < k else k       # the last share may be smaller
    # pass 1: the first tiles
    _bring(x, x_at, x_steps[1], x_steps[2], m - top, k, x_fours, next_x)
    _bring(y, y_at, y_steps[2], y_steps[1], n - left, k, y_fours, next_y)
    now, later = 0, AREAS // 2
    for start in range(DEEP, k + DEEP, DEEP):
        _lay(next_x, x_steps[2], tiles, now)
        _lay(next_y, y_steps[1], tiles, now + AREAS // 4)
        cuda.syncthreads()
        # pass 2: ask for the next tiles; they come while these are multiplied
        if start < k:
            _bring(x, x_at + start * x_steps[2], x_steps[1], x_steps[2], m - top, k - start, x_fours, next_x)
            _bring(y, y_at + start * y_steps[1], y_steps[2], y_steps[1], n - left, k - start, y_fours, next_y)
        # pass 3: EACH numbers of a column of x with EACH of a row of y, fetched four by four
        for l in range(DEEP):
            for a in range(0, EACH, 4):
                column[a], column[a + 1], column[a + 2], column[a + 3] = load_four(tiles, now + l * PITCH + a * SIDE + down)
            for b in range(0, EACH, 4):
                row[b], row[b + 1], row[b + 2], row[b + 3] = load_four(
                    tiles, now + AREAS // 4 + l * PITCH + b * SIDE + across)
            for a in range(EACH):
                for b in range(EACH):
                    totals[a, b] += column[a] * row[b]
        now, later = later, now
    # pass 4: write, with the bias
    for b in range(0, EACH, 4):
        j = left + b * SIDE + across
        for e in range(4):
            row[b + e] = number(load_one(bias, j + e)) if has_bias and j + e < n else number(0.0)
    for a in range(EACH):
        i = top + a // 4 * 4 * SIDE + down + a % 4
        for b in range(0, EACH, 4):
            j, at = left + b * SIDE + across, z_offset + (batch * m + i) * n + left + b * SIDE + across
            for e in range(4):
                totals[a, b + e] += row[b + e]
            if z_fours and i < m and j < n:
                store_four(z, at, (totals[a, b], totals[a, b + 1], totals[a, b + 2], totals[a, b + 3]))
            else:
                for e in range(4):
                    if i < m and j + e < n:
                        store_one(z, at + e, totals[a, b + e])


TILE = DEEP = EACH = PITCH = PARTS = BROUGHT = AREAS = 1      # in the functions above: what they are being compiled for


@lru_cache(None)
def _vector_kernel(tile, depth):
    """The kernel for tiles of tile × depth numbers."""
    pitch = tile + 4        # of a row in shared memory: four more, so that a column does not lie in one bank
    parts = tile * depth // 4 // (SIDE * SIDE)
    constants = {"TILE": tile, "DEEP": depth, "EACH": tile // SIDE, "PITCH": pitch, "PARTS": parts, "BROUGHT": 4 * parts,
                 "AREAS": 4 * depth * pitch, "THREADS": SIDE * SIDE}
    spot = device(_spot.function, **constants)
    tools = {source.function.__name__: device(source.function, _spot=spot, **constants) for source in (_bring, _lay)}
    return Kernel(_vector, number_like=-1, **constants, **tools)


def _own_product(x, x_steps, y, y_steps, bias, m, n, k, z, batch):
    """The last rung. With shares, each computes a part of the sums over k, and a second kernel adds up what they got."""
    small, shares = _cut(m, n, k, batch)
    if shares == 1 or z.dtype.kind != "f":
        return _in_tiles(small, x, x_steps, y, y_steps, bias, m, n, k, batch * k, z, batch)
    depth = _share(k, shares)
    parts = empty((shares, m, n), np.promote_types(z.dtype, np.float32))
    x_steps, y_steps = (depth * x_steps[2], *x_steps[1:]), (depth * y_steps[1], *y_steps[1:])
    _in_tiles(small, x, x_steps, y, y_steps, None, m, n, depth, k, parts, shares)
    _add_up[blocks_for(-(-z.size // 4))](
        parts, shares, parts if bias is None else bias, bias is not None, n, z.size % 4 == 0 and z.in_fours, z)


@lru_cache(1024)
def _cut(m, n, k, batch):
    """Small tiles or large ones, and into how many shares the sums over k are cut: the least time by a simple count.

    A multiprocessor works at one tile after the other, and the last round waits for the slowest: a weight's gradient of few
    tiles, over all rows of a batch, leaves most of them idle. The unit is a large tile with one number of k. A small one is
    a quarter of it, but fetches twice as often for each product: half as long again. Shares are written, read and added up.
    """
    def time(choice):
        small, shares = choice
        tiles = -(-m // TILES[small]) * -(-n // TILES[small]) * batch
        rounds = -(-tiles * shares // MULTIPROCESSORS)
        return rounds * (1.5 / 4 if small else 1) * k / shares + (shares > 1) * (LAUNCH + shares * m * n / MOVED)

    most = k // SHARE if batch == 1 else 1
    return min([(small, shares) for small in (False, True) for shares in range(1, min(max(most, 1), MOST_SHARES) + 1)
                if shares == 1 or _share(k, shares) * (shares - 1) < k], key=time)


def _share(k, shares):
    """How much of k a share takes, in whole tiles; the last one what is left."""
    return -(-k // (shares * DEPTH)) * DEPTH


@kernel
def _add_up(parts, shares, bias, has_bias, n, fours, z):
    """The shares' sums, one after the other, for four neighbours at a time."""
    totals, held = cuda.local.array(4, number), cuda.local.array(4, number)
    for i in range(4 * cuda.grid(1), z.size, 4 * cuda.gridsize(1)):
        for e in range(4):
            totals[e] = number(load_one(bias, (i + e) % n)) if has_bias else number(0.0)
        for share in range(shares):
            at = share * z.size + i
            if fours:
                held[0], held[1], held[2], held[3] = load_four(parts, at)
            else:
                for e in range(4):
                    held[e] = number(load_one(parts, at + e)) if i + e < z.size else number(0.0)
            for e in range(4):
                totals[e] += held[e]
        if fours:
            store_four(z, i, (totals[0], totals[1], totals[2], totals[3]))
        else:
            for e in range(4):
                if i + e < z.size:
                    store_one(z, i + e, totals[e])


def _in_tiles(small, x, x_steps, y, y_steps, bias, m, n, k, whole, z, batch):
    tile = TILES[small]
    kernel = _vector_kernel(tile, DEPTH // 2 if z.itemsize == 8 and not small and not TINY else DEPTH)
    fours = _in_fours(x, x_steps, m, k), _in_fours(y, y_steps, k, n)
    for first in range(0, batch, 65535):        # the grid's third axis is no longer
        kernel[(-(-n // tile), -(-m // tile), min(batch - first, 65535)), (SIDE * SIDE, 1)](
            x.whole, x.offset + first * x_steps[0], x_steps, fours[0],
            y.whole, y.offset + first * y_steps[0], y_steps, fours[1],
            z if bias is None else bias, bias is not None, m, n, k, whole, first * m * n, n % 4 == 0 and z.in_fours, z)


def _in_fours(x, steps, rows, columns):
    """Can four neighbours of a matrix be read at once?"""
    matrix, down, along = steps
    if along == 1:
        return x.in_fours and columns % 4 == 0 and down % 4 == 0 and matrix % 4 == 0
    return down == 1 and x.in_fours and rows % 4 == 0 and along % 4 == 0 and matrix % 4 == 0


# ---------------------------------------------------------------------------------------------------------------------
# the ladder, for docs/gpu.md and those who want to climb it

def _by(kernel, turned=False):
    """A rung: a function of x (m, k) and y (k, n) that computes their product with this kernel."""
    def rung(x, y):
        (m, k), n = x.shape, y.shape[1]
        z, x, y = empty((m, n), x.dtype), packed(x), packed(y)
        across, down = -(-n // SIDE), -(-m // SIDE)
        kernel[(down, across) if turned else (across, down), (SIDE, SIDE)](x, x.steps, y, y.steps, m, n, k, z)
        return z

    return rung


def _by_registers(x, y):
    (m, k), n = x.shape, y.shape[1]
    z = empty((m, n), x.dtype)
    _registers[(-(-n // TILE_N), -(-m // TILE_M)), (ACROSS * DOWN, 1)](
        x.whole, x.offset, (0, *x.steps), y.whole, y.offset, (0, *y.steps), m, n, k, 0, z)
    return z


def _by_vector(x, y):
    (m, k), n = x.shape, y.shape[1]
    z = empty((m, n), x.dtype)
    _own_product(x, (0, *x.steps), y, (0, *y.steps), None, m, n, k, z, 1)
    return z


ladder = {"naive": _by(_naive, turned=True), "coalesced": _by(_coalesced), "tiled": _by(_tiled), "registers": _by_registers,
          "vector": _by_vector}     # functions of x (m, k) and y (k, n), each better than the one before


# ---------------------------------------------------------------------------------------------------------------------
# what ops call

def product(x, y, z=None, bias=None):
    """x (…, m, k) times y (…, k, n), with any strides → z (…, m, n), plus bias (n,) in every row."""
    lead, dtype = np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), np.result_type(x.dtype, y.dtype)
    x, y = x if x.dtype == dtype else ready(x, dtype), y if y.dtype == dtype else ready(y, dtype)
    m, n, k = x.shape[-2], y.shape[-1], x.shape[-1]
    z = empty((*lead, m, n), dtype) if z is None else z
    if not z.size:
        return z
    (x, x_steps), (y, y_steps), batch = _batched(x, lead), _batched(y, lead), math.prod(lead)
    if not multiply(x, x_steps, y, y_steps, m, n, k, z, batch):
        _own_product(x, x_steps, y, y_steps, ready(bias, dtype), m, n, k, z, batch)
    elif bias is not None:
        into(z, _plus, z, bias)
    return z


def _batched(x, lead):
    """x, repeated along the axes before its last two, and its steps (batch, row, column). Where no single step leads from
    matrix to matrix, x is packed first."""
    if x.ndim > 2 and math.prod(x.shape[:-2]) == 1 or x.ndim == 2:
        return x, (0, *x.steps[-2:])
    x = view(np.broadcast_to, x, (*lead, *x.shape[-2:]))
    axes = [(n, step) for n, step in zip(lead, x.steps) if n != 1]
    if any(outer != n * inner for (_, outer), (n, inner) in zip(axes, axes[1:])):
        x = packed(x)
        axes = [(n, step) for n, step in zip(lead, x.steps) if n != 1]
    return x, (axes[-1][1] if axes else 0, *x.steps[-2:])


_plus = formula(lambda y, bias: y + bias)


def matmul_forward(x, y):
    x2, y2 = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    z = product(x2, y2)
    z = z[..., 0, :] if x.ndim == 1 else z
    return z[..., 0] if y.ndim == 1 else z


def matmul_backward(dy, x, y, needs=(True, True)):
    dx = dy_ = None
    # a 1-D factor is a row on the left, a column on the right
    x2, y2 = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
    if x.ndim == 1:
        dy = dy[..., None, :] if y.ndim > 1 else dy[..., None]
    if y.ndim == 1:
        dy = dy[..., None]
    if needs[0]:
        dx = sum_to(product(dy, y2.swapaxes(-1, -2)), x2.shape).reshape(x.shape)
    if needs[1]:
        dy_ = sum_to(product(x2.swapaxes(-1, -2), dy), y2.shape).reshape(y.shape)
    return dx, dy_


def linear_forward(x, weight, bias):
    return product(rows(x), weight.T, bias=bias).reshape(*x.shape[:-1], len(weight))


def linear_backward(dy, x, weight, needs=(True, True, True)):
    dx = dweight = dbias = None
    dy = rows(dy)
    if needs[0]:
        dx = product(dy, weight).reshape(x.shape)
    # weight and bias were used in every row
    if needs[1]:
        dweight = product(dy.T, rows(x))
    if needs[2]:
        dbias = sum_forward(dy, (0,), False)
    return dx, dweight, dbias


def rows(x):
    """(…, c) → (rows, c)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])

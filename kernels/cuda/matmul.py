"""Matrix products, written four times: each version is the last one plus one idea.

z[i, j] = Σ over l of x[i, l] · y[l, j]          x (m, k), y (k, n), z (m, n)

    naive        a thread a number; threads side by side take rows, so that their loads lie far apart
    coalesced    threads side by side take columns: their loads are neighbours, and come in one transaction
    tiled        a block brings a tile of x and of y to shared memory once, and all of its threads use it
    registers    a thread computes TM × TN numbers, and uses every number that it fetched TM or TN times

The last is what every product here uses. x and y are described by steps, (from row to row, from column to column), so that
a transposed factor needs no copy. docs/gpu.md tells the story of the ladder.
"""

import math

import numpy as np

from ..reference import matmul as _reference
from ._array import empty, packed, ready, view
from ._launch import SIMULATED, cuda, kernel, number
from ._map import each, formula
from .arithmetic import sum_to
from .reduce import sum_forward

__all__ = _reference.__all__

SIDE = 2 if SIMULATED else 16                               # a block of the first rungs has SIDE × SIDE threads
TILE_M, TILE_N, TILE_K = (4, 4, 2) if SIMULATED else (128, 128, 8)      # what a block computes at a time
TM, TN = (2, 2) if SIMULATED else (8, 8)                    # what a thread computes
ACROSS, DOWN = TILE_N // TN, TILE_M // TM                   # threads of a block
THREADS = ACROSS * DOWN


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
# the ladder, for docs/gpu.md and those who want to climb it

def _rung(name, x, y):
    """x · y by one version of the ladder: "naive", "coalesced", "tiled" or "registers"."""
    (m, k), n = x.shape, y.shape[1]
    z = empty((m, n), x.dtype)
    x, y = packed(x), packed(y)
    across, down = -(-n // SIDE), -(-m // SIDE)
    if name == "naive":
        _naive[(down, across), (SIDE, SIDE)](x, x.steps, y, y.steps, m, n, k, z)
    elif name == "coalesced":
        _coalesced[(across, down), (SIDE, SIDE)](x, x.steps, y, y.steps, m, n, k, z)
    elif name == "tiled":
        _tiled[(across, down), (SIDE, SIDE)](x, x.steps, y, y.steps, m, n, k, z)
    else:
        product(x, y, z)
    return z


# ---------------------------------------------------------------------------------------------------------------------
# what ops call

def product(x, y, z=None):
    """x (…, m, k) times y (…, k, n), with any strides → z (…, m, n)."""
    lead, dtype = np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), np.result_type(x.dtype, y.dtype)
    x, y = x if x.dtype == dtype else ready(x, dtype), y if y.dtype == dtype else ready(y, dtype)
    m, n, k = x.shape[-2], y.shape[-1], x.shape[-1]
    z = empty((*lead, m, n), dtype) if z is None else z
    if not z.size:
        return z
    (x, x_steps), (y, y_steps), batch = _batched(x, lead), _batched(y, lead), math.prod(lead)
    grid = -(-n // TILE_N), -(-m // TILE_M)
    for first in range(0, batch, 65535):        # the grid's third axis is no longer
        part = min(batch - first, 65535)
        _registers[(*grid, part), (THREADS, 1)](
            x.whole, x.offset + first * x_steps[0], x_steps, y.whole, y.offset + first * y_steps[0], y_steps, m, n, k,
            first * m * n, z)
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
    y = product(rows(x), weight.T).reshape(*x.shape[:-1], len(weight))
    return y if bias is None else each(_plus, y, bias)


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

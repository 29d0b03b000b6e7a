"""Scaled dot-product attention, all heads at once, in tiles: the (T, S) scores never exist as a whole.

Forward    s = scale · q kᵀ (+ mask)      lse = log Σ exp(s)      P = exp(s − lse)      y = dropout(P) v
Backward   dP = dropout(dy vᵀ)            D = ⟨dy, y⟩, a row      ds = P · (dP − D)
           dq = scale · ds k              dk = scale · dsᵀ q      dv = dropout(P)ᵀ dy   dmask = ds

A block of threads takes a tile of queries and lets the keys pass by, tile after tile. What it has added up so far is worth
less when a larger score turns up: it is multiplied by exp(old largest − new largest), and divided by the sum at the end.
Going back there are two kernels: one goes through the keys for a tile of queries (dq), one through the queries for a tile of
keys (dk, dv). Both compute the probabilities again, from lse; in return nobody adds to what another block adds to.

All three are made of two products of tiles. What threads need of each other lies in two rooms of shared memory, left and
right; what a thread computes stays in its registers.

    _dots           rows of one array with rows of another, q kᵀ or dy vᵀ: of SIDE × SIDE numbers a thread has ROWS × COLS
    _add_product    such numbers times rows of a third array, P v or ds k: of SIDE × COLUMNS sums a thread has ROWS × MINE

A masked key is skipped, never multiplied by 0 (0 · NaN is NaN); a query that may attend no key gives 0 and gets 0.
"""

import math
from functools import lru_cache

import numpy as np

from ..reference import attention as _reference
from ._array import constant, empty, full, in_float32, packed, ready, view
from ._block import block_max, block_sum, exchanged, larger, plus, smaller
from ._four import begin_at_16, load_four, load_one, store_four, store_one
from ._launch import THREADS, TINY, Kernel, cuda, device, kernel, number, scalars
from .arithmetic import mul_forward, sum_to
from .dropout import drop
from .matmul import product

__all__ = _reference.__all__

_bits = scalars.random_bits

# in kernels: what they are being compiled for, see _sizes
SIDE = ACROSS = BLOCK = ROWS = COLS = COLUMNS = MINE = MANY = BROUGHT = PITCH = WIDE_PITCH = ROOM = 1
FOURS = False


# ---------------------------------------------------------------------------------------------------------------------
# products of tiles

@device
def _seat():
    """This thread's place in the block: across, down. Thread 1 sits below thread 0; 2 and 3 to their right, and so on."""
    t = cuda.threadIdx.x
    return t // 2 % ACROSS, t % 2 + t // (2 * ACROSS) * 2


@device
def _own(i, j):
    """Where in a room number (i, j) lies of those that a thread has of a tile."""
    across, down = _seat()
    return (down * ROWS + i) * PITCH + across + ACROSS * j


@device
def _bring(x, at, steps, rows, columns, height, width, pitch, room):
    """Lay (height, width) numbers of x, from x[at] on, into a room; 0 beyond rows and columns. → were all of them finite?"""
    held = cuda.local.array(BROUGHT, number)
    r, c = cuda.threadIdx.x // (width // 4), cuda.threadIdx.x % (width // 4) * 4
    below = BLOCK // (width // 4)       # where the thread's next four lie
    at += r * steps[2] + c * steps[3]
    rows -= r
    # all loads first: they are on their way together
    for n in range(0, BROUGHT, 4):
        held[n] = held[n + 1] = held[n + 2] = held[n + 3] = number(0.0)
        if FOURS:
            if n // 4 * below < rows and c < columns:
                held[n], held[n + 1], held[n + 2], held[n + 3] = load_four(x, at)
        else:
            for e in range(4):
                if n // 4 * below < rows and c + e < columns:
                    held[n + e] = load_one(x, at + e * steps[3])
        at += below * steps[2]
    rest = number(0.0)
    for n in range(0, BROUGHT, 4):
        if r + n // 4 * below < height:
            store_four(room, (r + n // 4 * below) * pitch + c, (held[n], held[n + 1], held[n + 2], held[n + 3]))
        rest += (held[n] + held[n + 1] + held[n + 2] + held[n + 3]) * number(0.0)
    return rest == number(0.0)


@device
def _dots(x, x_at, x_steps, rows, y, y_at, y_steps, cols, features, left, right, dots):
    """dots = x yᵀ, for SIDE rows of each. The rooms are free before, and afterwards."""
    across, down = _seat()
    mine = cuda.local.array((ROWS, 4), number)
    for i in range(ROWS):
        for j in range(COLS):
            dots[i, j] = number(0.0)
    for start in range(0, features, SIDE):
        _bring(x, x_at + start * x_steps[3], x_steps, rows, features - start, SIDE, SIDE, PITCH, left)
        _bring(y, y_at + start * y_steps[3], y_steps, cols, features - start, SIDE, SIDE, PITCH, right)
        cuda.syncthreads()
        for d in range(0, smaller(SIDE, features - start), 4):
            # four features of ROWS rows with those of COLS rows
            for i in range(ROWS):
                mine[i, 0], mine[i, 1], mine[i, 2], mine[i, 3] = load_four(left, (down * ROWS + i) * PITCH + d)
            for j in range(COLS):
                n0, n1, n2, n3 = load_four(right, (across + ACROSS * j) * PITCH + d)
                for i in range(ROWS):
                    dots[i, j] += mine[i, 0] * n0
                    dots[i, j] += mine[i, 1] * n1
                    dots[i, j] += mine[i, 2] * n2
                    dots[i, j] += mine[i, 3] * n3
        cuda.syncthreads()


@device
def _row_dots(x, x_at, x_steps, y, y_at, y_steps, rows, features, left, right, dots):
    """dots = ⟨x, y⟩, row by row, for this thread's rows. The order is that of _dots: the same numbers give the same bits."""
    _, down = _seat()
    for i in range(ROWS):
        dots[i] = number(0.0)
    for start in range(0, features, SIDE):
        _bring(x, x_at + start * x_steps[3], x_steps, rows, features - start, SIDE, SIDE, PITCH, left)
        _bring(y, y_at + start * y_steps[3], y_steps, rows, features - start, SIDE, SIDE, PITCH, right)
        cuda.syncthreads()
        for d in range(0, smaller(SIDE, features - start), 4):
            for i in range(ROWS):
                at = (down * ROWS + i) * PITCH + d
                m0, m1, m2, m3 = load_four(left, at)
                n0, n1, n2, n3 = load_four(right, at)
                dots[i] += m0 * n0
                dots[i] += m1 * n1
                dots[i] += m2 * n2
                dots[i] += m3 * n3
        cuda.syncthreads()


@device
def _add_product(weights, x, at, steps, rows, columns, left, right, sums):
    """sums += weights · x, for SIDE rows of x; a weight of 0 skips its row. The rooms are free before, and afterwards."""
    across, down = _seat()
    mine = cuda.local.array((ROWS, 4), number)
    for i in range(ROWS):
        for j in range(COLS):
            store_one(left, _own(i, j), weights[i, j])
    for start in range(0, smaller(SIDE, rows), MANY):
        finite = _bring(x, at + start * steps[2], steps, rows - start, columns, MANY, COLUMNS, WIDE_PITCH, right)
        if cuda.syncthreads_and(int(finite)):
            for s in range(0, MANY, 4):
                # four weights of ROWS rows with MINE columns of four rows
                for i in range(ROWS):
                    mine[i, 0], mine[i, 1], mine[i, 2], mine[i, 3] = load_four(left, (down * ROWS + i) * PITCH + start + s)
                for e in range(4):
                    for c in range(0, MINE, 4):
                        n0, n1, n2, n3 = load_four(right, (s + e) * WIDE_PITCH + c * ACROSS + 4 * across)
                        for i in range(ROWS):
                            sums[i, c] += mine[i, e] * n0
                            sums[i, c + 1] += mine[i, e] * n1
                            sums[i, c + 2] += mine[i, e] * n2
                            sums[i, c + 3] += mine[i, e] * n3
        else:
            for s in range(MANY):
                for i in range(ROWS):
                    weight = load_one(left, (down * ROWS + i) * PITCH + start + s)
                    if weight != 0.0:       # 0 · NaN would be NaN
                        for c in range(0, MINE, 4):
                            for e in range(4):
                                sums[i, c + e] += weight * load_one(right, s * WIDE_PITCH + c * ACROSS + 4 * across + e)
        cuda.syncthreads()


@device
def _put(sums, i, factor, y, at, column, columns):
    """Write a row of sums, times a factor, from this column on; the row begins at y[at]."""
    across, _ = _seat()
    for c in range(0, MINE, 4):
        e = column + c * ACROSS + 4 * across
        n0, n1, n2, n3 = factor * sums[i, c], factor * sums[i, c + 1], factor * sums[i, c + 2], factor * sums[i, c + 3]
        if columns % 4 == 0 and e < columns:
            store_four(y, at + e, (n0, n1, n2, n3))
        else:
            if e < columns:
                store_one(y, at + e, n0)
            if e + 1 < columns:
                store_one(y, at + e + 1, n1)
            if e + 2 < columns:
                store_one(y, at + e + 2, n2)
            if e + 3 < columns:
                store_one(y, at + e + 3, n3)


@device
def _put_tile(room, y, at, T, S, t0, s0):
    """Write a tile that lies in a room to y (T, S), which begins at y[at]."""
    r, c = cuda.threadIdx.x // SIDE, cuda.threadIdx.x % SIDE
    t, s, own = t0 + r, s0 + c, r * PITCH + c
    at += t * S + s
    for _ in range(0, SIDE * SIDE, BLOCK):
        if t < T and s < S:
            store_one(y, at, load_one(room, own))
        t, own, at = t + BLOCK // SIDE, own + BLOCK // SIDE * PITCH, at + BLOCK // SIDE * S


# ---------------------------------------------------------------------------------------------------------------------
# between the products

@device
def _added(mask, at, kind, allowed):
    """What is added to the score of a query and a key; −inf if it may not attend. kind of mask: 0 none, 1 bool, 2 float."""
    if not allowed or kind == 1 and not load_one(mask, at):
        return number(-math.inf)
    return number(load_one(mask, at)) if kind == 2 else number(0.0)


@device
def _lay_mask(mask, at, steps, kind, causal, T, S, t0, s0, turned, room):
    """Lay what is added to a tile's scores into a room, if there is anything to add. turned: rows are keys, not queries."""
    if kind == 0 and t0 + SIDE <= T and s0 + SIDE <= S and (s0 + SIDE <= t0 + 1 or not causal):
        return False
    t, s = cuda.threadIdx.x // SIDE, cuda.threadIdx.x % SIDE        # neighbours take neighbouring keys
    to, step = (s * PITCH + t, 1) if turned else (t * PITCH + s, PITCH)
    t, s = t0 + t, s0 + s
    at += t * steps[2] + s * steps[3]
    for _ in range(0, SIDE * SIDE, BLOCK):
        store_one(room, to, _added(mask, at, kind, t < T and s < S and (s <= t or not causal)))
        t, to, at = t + BLOCK // SIDE, to + BLOCK // SIDE * step, at + BLOCK // SIDE * steps[2]
    cuda.syncthreads()
    return True


@device
def _lay_kept(kept, limit, first, second, at, S, t0, s0, turned, room):
    """Lay what dropout multiplies a tile's probabilities with into a room. `at` counts those of all earlier heads."""
    cuda.syncthreads()      # nobody still reads what was here before
    t, s = cuda.threadIdx.x // SIDE, cuda.threadIdx.x % SIDE
    to, step = (s * PITCH + t, 1) if turned else (t * PITCH + s, PITCH)
    at += (t0 + t) * S + s0 + s
    for _ in range(0, SIDE * SIDE, BLOCK):
        store_one(room, to, kept if _bits(first, second, at) >= limit else number(0.0))
        to, at = to + BLOCK // SIDE * step, at + BLOCK // SIDE * S
    cuda.syncthreads()


@device
def _score(dot, scale, masked, room, at):
    """The score of a query and a key; −inf if it may not attend."""
    score = scale * dot
    if masked:
        added = load_one(room, at)
        score = score + added if added != -math.inf else added
    return score


@device
def _probability(score, level):
    """exp(score − level), in which a key that may not be attended has 0, and so has a query that may attend none."""
    return math.exp(score - level) if score != -math.inf and level != -math.inf else number(0.0)


def _row_fold(value):
    """What the threads find out together that share a row of the tile."""
    far = 2
    while far < 2 * ACROSS:
        value = combine(value, exchanged(value, far))
        far *= 2
    return value


combine = plus      # in _row_fold: the function that it is being compiled for
row_max = row_sum = device(_row_fold)


@device
def _place(at, steps, b, h, t):
    """Where in memory row t of head h of example b begins."""
    return at + b * steps[0] + h * steps[1] + t * steps[2]


# ---------------------------------------------------------------------------------------------------------------------
# the kernels

def _forward(q, q_at, q_steps, k, k_at, k_steps, v, v_at, v_steps, mask, mask_at, mask_steps, kind, shape, causal, scale,
             kept, limit, first, second, y, lse):
    B, H, G, T, S, K, E = shape         # K features in a query and a key, E in a value
    left = cuda.shared.array(ROOM, number)
    right = cuda.shared.array(ROOM, number)
    begin_at_16(left)
    scores, ys = cuda.local.array((ROWS, COLS), number), cuda.local.array((ROWS, MINE), number)
    tops, totals = cuda.local.array(ROWS, number), cuda.local.array(ROWS, number)
    b, h = cuda.blockIdx.x // H, cuda.blockIdx.x % H
    g = h // (H // G)
    t0 = (cuda.gridDim.y - 1 - cuda.blockIdx.y) * SIDE      # causal: tiles with the most keys come first
    column = cuda.blockIdx.z * COLUMNS
    heads = (b * H + h) * T     # rows of y before this head's
    q_at, mask_at = _place(q_at, q_steps, b, h, t0), _place(mask_at, mask_steps, b, h, 0)
    for i in range(ROWS):
        tops[i], totals[i] = number(-math.inf), number(0.0)
        for c in range(MINE):
            ys[i, c] = number(0.0)
    for start in range(0, smaller(t0 + SIDE, S) if causal else S, SIDE):    # causal: later keys are nobody's business here
        # pass 1: scores
        _dots(q, q_at, q_steps, T - t0, k, _place(k_at, k_steps, b, g, start), k_steps, S - start, K, left, right, scores)
        masked = _lay_mask(mask, mask_at, mask_steps, kind, causal, T, S, t0, start, False, left)
        # pass 2: probabilities, above the largest score so far
        for i in range(ROWS):
            top = tops[i]
            for j in range(COLS):
                scores[i, j] = _score(scores[i, j], scale, masked, left, _own(i, j))
                top = scores[i, j] if scores[i, j] > top else top
            top = row_max(top)
            base = top if top > -math.inf else number(0.0)
            fade = math.exp(tops[i] - base) if tops[i] > -math.inf else number(0.0)
            tops[i] = top
            totals[i] *= fade       # of this thread's keys; those of the row come together at the end
            for c in range(MINE):
                ys[i, c] = ys[i, c] * fade if fade != 0.0 else number(0.0)      # 0 · ∞ would be NaN
            for j in range(COLS):
                scores[i, j] = math.exp(scores[i, j] - base)
                totals[i] += scores[i, j]
        if limit:
            _lay_kept(kept, limit, first, second, heads * S, S, t0, start, False, left)
            for i in range(ROWS):
                for j in range(COLS):
                    scores[i, j] *= load_one(left, _own(i, j))
        # pass 3: average the values
        at = _place(v_at, v_steps, b, g, start) + column * v_steps[3]
        _add_product(scores, v, at, v_steps, S - start, E - column, left, right, ys)
    across, down = _seat()
    for i in range(ROWS):
        t, total = t0 + down * ROWS + i, row_sum(totals[i])
        if t < T:
            _put(ys, i, number(1.0) / total if total != 0.0 else number(0.0), y, (heads + t) * E, column, E)
            if across == 0 and column == 0:
                top = tops[i] if tops[i] > -math.inf else number(0.0)
                lse[heads + t] = top + math.log(total) if total != 0.0 else number(-math.inf)


def _backward_queries(q, q_at, q_steps, k, k_at, k_steps, v, v_at, v_steps, dy, dy_at, dy_steps, mask, mask_at, mask_steps,
                      kind, shape, causal, scale, kept, limit, first, second, y, y_at, y_steps, lse, has_ds, rests, dots, dq,
                      ds):
    """→ dq, and for the other kernel each query's D and rest: 1 / the sum of its probabilities, nearly 1 as lse is rounded.

    The sum is known when all keys have passed by; dq is multiplied with the rest then, ds not yet.
    """
    B, H, G, T, S, K, E = shape
    left = cuda.shared.array(ROOM, number)
    right = cuda.shared.array(ROOM, number)
    begin_at_16(left)
    probs, slopes = cuda.local.array((ROWS, COLS), number), cuda.local.array((ROWS, COLS), number)
    dqs, levels = cuda.local.array((ROWS, MINE), number), cuda.local.array(ROWS, number)
    totals, dot = cuda.local.array(ROWS, number), cuda.local.array(ROWS, number)
    b, h = cuda.blockIdx.x // H, cuda.blockIdx.x % H
    g = h // (H // G)
    t0 = (cuda.gridDim.y - 1 - cuda.blockIdx.y) * SIDE
    column = cuda.blockIdx.z * COLUMNS
    heads = (b * H + h) * T
    q_at, dy_at = _place(q_at, q_steps, b, h, t0), _place(dy_at, dy_steps, b, h, t0)
    mask_at = _place(mask_at, mask_steps, b, h, 0)
    across, down = _seat()
    _row_dots(dy, dy_at, dy_steps, y, _place(y_at, y_steps, b, h, t0), y_steps, T - t0, E, left, right, dot)
    for i in range(ROWS):
        t = t0 + down * ROWS + i
        levels[i], totals[i] = lse[heads + t] if t < T else number(0.0), number(0.0)
        for c in range(MINE):
            dqs[i, c] = number(0.0)
    for start in range(0, smaller(t0 + SIDE, S) if causal else S, SIDE):
        # pass 1 again; and pass 3 backward: the gradient of the probabilities
        k_here, v_here = _place(k_at, k_steps, b, g, start), _place(v_at, v_steps, b, g, start)
        _dots(q, q_at, q_steps, T - t0, k, k_here, k_steps, S - start, K, left, right, probs)
        _dots(dy, dy_at, dy_steps, T - t0, v, v_here, v_steps, S - start, E, left, right, slopes)
        masked = _lay_mask(mask, mask_at, mask_steps, kind, causal, T, S, t0, start, False, left)
        # pass 2 again: the probabilities, from lse
        for i in range(ROWS):
            for j in range(COLS):
                probs[i, j] = _probability(_score(probs[i, j], scale, masked, left, _own(i, j)), levels[i])
                totals[i] += probs[i, j]
        # pass 2 backward: a probability that grows takes from the others of its row
        if limit:
            _lay_kept(kept, limit, first, second, heads * S, S, t0, start, False, left)
        for i in range(ROWS):
            for j in range(COLS):
                keep = load_one(left, _own(i, j)) if limit else number(1.0)
                slopes[i, j] = probs[i, j] * (slopes[i, j] * keep - dot[i]) if probs[i, j] != 0.0 else number(0.0)
        # pass 1 backward
        _add_product(slopes, k, k_here + column * k_steps[3], k_steps, S - start, K - column, left, right, dqs)
        if has_ds and column == 0:      # the left room still holds it
            _put_tile(left, ds, heads * S, T, S, t0, start)
            cuda.syncthreads()
    for i in range(ROWS):
        t, total = t0 + down * ROWS + i, row_sum(totals[i])
        rest = number(1.0) / (total if total > 0.5 else number(0.5))
        if t < T:
            _put(dqs, i, scale * rest, dq, (heads + t) * K, column, K)
            if across == 0 and column == 0:
                rests[heads + t], dots[heads + t] = rest, dot[i]


def _backward_keys(q, q_at, q_steps, k, k_at, k_steps, v, v_at, v_steps, dy, dy_at, dy_steps, mask, mask_at, mask_steps,
                   kind, shape, causal, scale, kept, limit, first, second, lse, rests, dots, dk, dv):
    """→ dk and dv of a tile of keys, over all queries of all heads that read them. Here a tile's rows are keys."""
    B, H, G, T, S, K, E = shape
    left = cuda.shared.array(ROOM, number)
    right = cuda.shared.array(ROOM, number)
    begin_at_16(left)
    probs, slopes = cuda.local.array((ROWS, COLS), number), cuda.local.array((ROWS, COLS), number)
    dks, dvs = cuda.local.array((ROWS, MINE), number), cuda.local.array((ROWS, MINE), number)
    dot = cuda.local.array(COLS, number)
    b, g = cuda.blockIdx.x // G, cuda.blockIdx.x % G
    s0 = cuda.blockIdx.y * SIDE
    column = cuda.blockIdx.z * COLUMNS
    k_at, v_at = _place(k_at, k_steps, b, g, s0), _place(v_at, v_steps, b, g, s0)
    across, down = _seat()
    for i in range(ROWS):
        for c in range(MINE):
            dks[i, c] = dvs[i, c] = number(0.0)
    for h in range(g * (H // G), (g + 1) * (H // G)):
        heads, mask_here = (b * H + h) * T, _place(mask_at, mask_steps, b, h, 0)
        for start in range(s0 if causal else 0, T, SIDE):       # causal: earlier queries look elsewhere
            # pass 1 again; and pass 3 backward: the gradient of the probabilities
            q_here, dy_here = _place(q_at, q_steps, b, h, start), _place(dy_at, dy_steps, b, h, start)
            _dots(k, k_at, k_steps, S - s0, q, q_here, q_steps, T - start, K, left, right, probs)
            _dots(v, v_at, v_steps, S - s0, dy, dy_here, dy_steps, T - start, E, left, right, slopes)
            masked = _lay_mask(mask, mask_here, mask_steps, kind, causal, T, S, start, s0, True, left)
            # pass 2 again: the probabilities, from lse
            for j in range(COLS):
                t, level, rest = heads + start + across + ACROSS * j, number(0.0), number(0.0)
                dot[j] = number(0.0)
                if ACROSS * j < T - start - across:
                    level, rest, dot[j] = load_one(lse, t), load_one(rests, t), load_one(dots, t)
                for i in range(ROWS):
                    probs[i, j] = rest * _probability(_score(probs[i, j], scale, masked, left, _own(i, j)), level)
            # pass 2 backward: a probability that grows takes from the others of its query
            if limit:
                _lay_kept(kept, limit, first, second, heads * S, S, start, s0, True, left)
            for i in range(ROWS):
                for j in range(COLS):
                    keep = load_one(left, _own(i, j)) if limit else number(1.0)
                    slopes[i, j] = probs[i, j] * (slopes[i, j] * keep - dot[j]) if probs[i, j] != 0.0 else number(0.0)
                    probs[i, j] *= keep
            # passes 3 and 1 backward
            _add_product(probs, dy, dy_here + column * dy_steps[3], dy_steps, T - start, E - column, left, right, dvs)
            _add_product(slopes, q, q_here + column * q_steps[3], q_steps, T - start, K - column, left, right, dks)
    for i in range(ROWS):
        s = s0 + down * ROWS + i
        if s < S:
            _put(dks, i, scale, dk, ((b * G + g) * S + s) * K, column, K)
            _put(dvs, i, number(1.0), dv, ((b * G + g) * S + s) * E, column, E)


# ---------------------------------------------------------------------------------------------------------------------
# launching them

def _columns(features):
    """How many columns of y, dq, dk and dv a block adds up: all, rounded up to 32, 64 or 128. More are other blocks'."""
    columns, most = (8, 16) if TINY else (32, 128)
    while columns < min(features, most):
        columns *= 2
    return columns


def _sizes(columns, itemsize, fours):
    """What kernels are compiled for: tiles that fit into 48 KiB of shared memory, sums that fit into the registers.

    Why a room's rows lie 256 + 16 bytes apart, and threads sit as they do: shared memory has 32 banks of 4 bytes. Eight
    threads that read 16 bytes each, from eight rows that follow each other, take from all 32 at once. And on the right every
    two neighbours among the threads want the same numbers, on the left a thread and the next but one: so a warp's 32 threads
    are served in half as many turns.
    """
    side, across, down = 256 // itemsize, 8 if columns <= 64 else 16, 16    # tiles 64 × 64 in float32, 32 × 32 in float64
    if TINY:
        side, across, down = (4, 2, 2) if columns <= 8 else (8, 2, 4)
    gap = 16 // itemsize
    many = side     # how many rows of `columns` numbers fit into a room; four are read at a time
    while many > 4 and many * (columns + gap) > side * (side + gap):
        many //= 2
    return {"SIDE": side, "ACROSS": across, "BLOCK": across * down, "ROWS": side // down, "COLS": side // across,
            "COLUMNS": columns, "MINE": columns // across, "MANY": many, "FOURS": fours,
            "BROUGHT": max(side * side, many * columns) // (across * down), "PITCH": side + gap, "WIDE_PITCH": columns + gap,
            "ROOM": max(side * (side + gap), many * (columns + gap))}


@lru_cache(None)
def _kernels(columns, itemsize, fours):
    """Their sizes, and the three kernels."""
    sizes = _sizes(columns, itemsize, fours)
    tools: dict = {}
    for tool in _seat, _own, _bring, _dots, _row_dots, _add_product, _put, _put_tile, _lay_mask, _lay_kept:   # callers last
        tools[tool.function.__name__] = device(tool.function, **sizes, **tools)
    tools["row_max"], tools["row_sum"] = [device(_row_fold, combine=combine, **sizes) for combine in (larger, plus)]
    # of 65,536 registers: three blocks of 128 threads share them, or two of 256
    registers = None if TINY else 168 if sizes["BLOCK"] == 128 else 128
    name = f"{columns} columns{' in fours' if fours else ''}"
    return sizes, *[Kernel(function, f"attention.{function.__name__} {name}", registers=registers, **sizes, **tools)
                    for function in (_forward, _backward_queries, _backward_keys)]


@in_float32
def attention_forward(q, k, v, mask, causal, scale, p, seed):
    (B, H, T, K), (G, S), E = q.shape, k.shape[1:3], v.shape[3]
    y, lse = empty((B, H, T, E), q.dtype), empty((B, H, T), q.dtype)
    if lse.size:
        sizes, forward, *_ = _kernels(_columns(max(K, E)), q.itemsize, _in_fours(q, k, v))
        forward[_grid(sizes, B * H, T, E)](*_parts(q, k, v), *_mask(mask, q, S), (B, H, G, T, S, K, E), bool(causal),
                                           float(scale), *drop(p, seed), y, lse)
    return y, lse


@in_float32
def attention_backward(dy, q, k, v, mask, y, lse, causal, scale, p, seed, needs=(True, True, True, True)):
    (B, H, T, K), (G, S), E = q.shape, k.shape[1:3], v.shape[3]
    needs_mask = needs[3] and mask is not None and mask.dtype != bool
    dq, dk, dv = empty(q.shape, q.dtype), empty(k.shape, q.dtype), empty(v.shape, q.dtype)
    ds = full((B, H, T, S), 0, q.dtype) if needs_mask else constant(1, 0, q.dtype)
    rests, dots = empty((B, H, T, 1), q.dtype), empty((B, H, T), q.dtype)
    dy, lse = dy if dy.dtype == q.dtype else ready(dy, q.dtype), ready(lse)
    sizes, _, queries, keys = _kernels(_columns(max(K, E)), q.itemsize, _in_fours(q, k, v, dy, y))
    shared = (*_parts(q, k, v, dy), *_mask(mask, q, S), (B, H, G, T, S, K, E), bool(causal), float(scale), *drop(p, seed))
    if lse.size:
        queries[_grid(sizes, B * H, T, K)](*shared, *_parts(y), lse, bool(needs_mask), rests, dots, dq, ds)
    if S and B * G and (needs[1] or needs[2]):
        keys[_grid(sizes, B * G, S, max(K, E))](*shared, lse, rests, dots, dk, dv)
    dmask = ready(sum_to(mul_forward(ds, rests), mask.shape), q.dtype) if needs_mask else None
    return tuple(g if need else None for g, need in zip((dq, dk, dv, dmask), needs, strict=True))


def _grid(sizes, heads, rows, features):
    """A block for each tile of rows of each head, and for each slice of its columns."""
    slices = -(-max(features, 1) // sizes["COLUMNS"])
    return (heads, -(-rows // sizes["SIDE"]), slices), (sizes["BLOCK"], 1)


def _parts(*arrays):
    """Arrays with any strides, as kernels take them."""
    return [part for x in arrays for part in (x.whole, x.offset, x.steps)]


def _in_fours(*arrays):
    """Can rows be read four numbers at a time?"""
    return all([x.in_fours and x.shape[3] % 4 == 0 and x.steps[3] == 1 and all([step % 4 == 0 for step in x.steps[:3]])
                for x in arrays])


def _mask(mask, q, S):
    """A mask as kernels take it: its memory, where it begins, steps over (B, H, T, S), its kind."""
    if mask is None:
        return constant(1, True, np.dtype(bool)).whole, 0, (0, 0, 0, 0), 0
    mask = mask if mask.dtype in (bool, q.dtype) else ready(mask, q.dtype)
    spread = view(np.broadcast_to, mask, (*q.shape[:3], S))
    return spread.whole, spread.offset, spread.steps, 1 if mask.dtype == bool else 2


# ---------------------------------------------------------------------------------------------------------------------
# the probabilities themselves, for those who want to look at them: here (T, S) does exist

@kernel
def _masked_softmax(s, mask, mask_at, mask_steps, kind, H, T, S, causal, probs):
    i, j0, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    b, h, t = i // (H * T), i // T % H, i % T
    at = mask_at + b * mask_steps[0] + h * mask_steps[1] + t * mask_steps[2]
    top = number(-math.inf)
    for j in range(j0, S, threads):
        added = _added(mask, at + j * mask_steps[3], kind, j <= t or not causal)
        score = s[i * S + j] + added
        top = score if added != -math.inf and (score > top or score != score) else top
    top = block_max(top)
    top = top if top != -math.inf else number(0.0)
    total = number(0.0)
    for j in range(j0, S, threads):
        added = _added(mask, at + j * mask_steps[3], kind, j <= t or not causal)
        e = math.exp(s[i * S + j] + added - top) if added != -math.inf else number(0.0)
        probs[i * S + j] = e
        total += e
    total = block_sum(total)
    for j in range(j0, S, threads):
        probs[i * S + j] = probs[i * S + j] / total if total != 0.0 else number(0.0)


@kernel
def _weights_slope(dy, probs, S, ds):
    i, j0, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    total = number(0.0)
    for j in range(j0, S, threads):
        p = probs[i * S + j]
        total += p * dy[i * S + j] if p != 0.0 else number(0.0)
    total = block_sum(total)
    for j in range(j0, S, threads):
        p = probs[i * S + j]
        ds[i * S + j] = p * (dy[i * S + j] - total) if p != 0.0 else number(0.0)


@kernel
def _skipping_product(a, a_at, a_steps, x, x_at, x_steps, scale, H, m, n, k, z):
    # a thread a number; a 0 in a skips its row of x
    at = cuda.grid(1)
    if at < z.size:
        j, i, h, b = at % n, at // n % m, at // (n * m) % H, at // (n * m * H)
        total = number(0.0)
        for l in range(k):
            w = a[a_at + b * a_steps[0] + h * a_steps[1] + i * a_steps[2] + l * a_steps[3]]
            if w != 0.0:
                total += w * x[x_at + b * x_steps[0] + h * x_steps[1] + l * x_steps[2] + j * x_steps[3]]
        z[at] = scale * total


@in_float32
def attention_weights_forward(q, k, mask, causal, scale):
    (B, H, T, _), S = q.shape, k.shape[2]
    probs = empty((B, H, T, S), q.dtype)
    if probs.size:
        s = product(q * float(scale), _to_heads(k, H).swapaxes(-1, -2))
        _masked_softmax[B * H * T](s, *_mask(mask, q, S), H, T, S, bool(causal), probs)
    return probs


@in_float32
def attention_weights_backward(dy, q, k, mask, probs, causal, scale, needs=(True, True, True)):
    (B, H, T, K), (G, S) = q.shape, k.shape[1:3]
    ds = empty(probs.shape, q.dtype)
    if ds.size:
        _weights_slope[B * H * T](ready(dy, q.dtype), ready(probs), S, ds)
    dq = _skipping(ds, _to_heads(k, H), scale) if needs[0] else None
    dk = None
    if needs[1]:
        per_head = _skipping(ds.swapaxes(-1, -2), q, scale)
        dk = sum_to(per_head.reshape(B, G, H // G, S, K), (B, G, 1, S, K)).reshape(k.shape)
    needs_mask = needs[2] and mask is not None and mask.dtype != bool
    return dq, dk, ready(sum_to(ds, mask.shape), q.dtype) if needs_mask else None


def _to_heads(k, H):
    """Keys (B, G, S, D), repeated for all query heads (B, H, S, D)."""
    B, G, S, K = k.shape
    return k if G == H else view(np.broadcast_to, packed(k).reshape(B, G, 1, S, K), (B, G, H // G, S, K)).reshape(B, H, S, K)


def _skipping(a, x, scale):
    (B, H, m, k), n = a.shape, x.shape[3]
    z = empty((B, H, m, n), x.dtype)
    if z.size:
        _skipping_product[-(-z.size // THREADS)](*_parts(a, x), float(scale), H, m, n, k, z)
    return z

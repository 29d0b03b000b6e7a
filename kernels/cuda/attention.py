"""Scaled dot-product attention, all heads at once, in tiles: the (T, S) scores never exist as a whole.

Forward    s = scale · q kᵀ (+ mask)      lse = log Σ exp(s)      P = exp(s − lse)      y = dropout(P) v
Backward   dP = dropout(dy vᵀ)            D = ⟨dy, y⟩, a row      ds = P · (dP − D)
           dq = scale · ds k              dk = scale · dsᵀ q      dv = dropout(P)ᵀ dy   dmask = ds

A block of threads takes a tile of queries and lets the keys pass by, tile after tile. What it has added up so far is worth
less when a larger score turns up: it is multiplied by exp(old largest − new largest), and divided by the sum at the end.
Going back there are two kernels: one goes through the keys for a tile of queries (dq), one through the queries for a tile of
keys (dk, dv). Both compute the probabilities again, from lse; in return nobody adds to what another block adds to.

A masked key is skipped, never multiplied by 0 (0 · NaN is NaN); a query that may attend no key gives 0 and gets 0.
"""

import math
from functools import lru_cache

import numpy as np

from ..reference import attention as _reference
from ._array import constant, empty, full, in_float32, packed, ready, view
from ._block import block_max, block_sum
from ._launch import SIMULATED, THREADS, Kernel, cuda, device, kernel, number, scalars
from .arithmetic import sum_to
from .dropout import drop
from .matmul import product

__all__ = _reference.__all__

_bits = scalars.random_bits
D = 1       # features of a tile: every kernel is compiled for its own number
TILE = 2    # queries in a tile, and keys: a block has TILE × TILE threads


# ---------------------------------------------------------------------------------------------------------------------
# for all kernels: one thread's score

@device
def _score(product, mask, mask_at, kind, causal, scale, t, s, T, S):
    """(is query t allowed to attend key s?, their score). kind of mask: 0 none, 1 bool, 2 float, added to the score."""
    score = scale * product
    allowed = t < T and s < S and (not causal or s <= t)
    if allowed and kind == 1:
        allowed = mask[mask_at] != 0
    if allowed and kind == 2:
        added = number(mask[mask_at])
        allowed = added != -math.inf
        score += added
    return allowed, score


@device
def _kept(scale, limit, first, second, index):
    """What dropout multiplies this probability with."""
    return scale if limit == 0 or _bits(first, second, index) >= limit else number(0.0)


@device
def _load(tile, x, at, across, inside, columns, r, c):
    """Bring row r of a tile, which begins at `at`, to shared memory, this thread its part; 0 where there is no row."""
    for d in range(c, columns, TILE):
        tile[r, d] = x[at + d * across] if inside else number(0.0)


# ---------------------------------------------------------------------------------------------------------------------

def _forward(q, q_at, q_steps, k, k_at, k_steps, v, v_at, v_steps, mask, mask_at, mask_steps, kind, shape, causal, scale,
             kept, limit, first, second, y, lse):
    B, H, G, T, S, K, E = shape         # K features in a query and a key, E in a value
    qs = cuda.shared.array((TILE, D), number)
    ks = cuda.shared.array((TILE, D), number)
    vs = cuda.shared.array((TILE, D), number)
    ys = cuda.shared.array((TILE, D), number)
    probs = cuda.shared.array((TILE, TILE), number)
    tops = cuda.shared.array((TILE, TILE), number)
    c, r = cuda.threadIdx.x, cuda.threadIdx.y
    b, h = cuda.blockIdx.x // H, cuda.blockIdx.x % H
    g = h // (H // G)
    t = cuda.blockIdx.y * TILE + r
    _load(qs, q, q_at + b * q_steps[0] + h * q_steps[1] + t * q_steps[2], q_steps[3], t < T, K, r, c)
    for d in range(c, E, TILE):
        ys[r, d] = number(0.0)
    top, total = number(-math.inf), number(0.0)
    last = (cuda.blockIdx.y + 1) * TILE     # causal: later keys are nobody's business here
    last = last if causal and last < S else S
    for start in range(0, last, TILE):
        # pass 1: scores
        row = start + r
        _load(ks, k, k_at + b * k_steps[0] + g * k_steps[1] + row * k_steps[2], k_steps[3], row < S, K, r, c)
        _load(vs, v, v_at + b * v_steps[0] + g * v_steps[1] + row * v_steps[2], v_steps[3], row < S, E, r, c)
        cuda.syncthreads()
        s, dot = start + c, number(0.0)
        for d in range(K):
            dot += qs[r, d] * ks[c, d]
        at = mask_at + b * mask_steps[0] + h * mask_steps[1] + t * mask_steps[2] + s * mask_steps[3]
        allowed, score = _score(dot, mask, at, kind, causal, scale, t, s, T, S)
        tops[r, c] = score if allowed else number(-math.inf)
        cuda.syncthreads()
        # pass 2: probabilities, above the largest score so far
        largest = top
        for j in range(TILE):
            largest = tops[r, j] if tops[r, j] > largest else largest
        base = largest if largest > -math.inf else number(0.0)
        fade = math.exp(top - base) if top > -math.inf else number(0.0)
        probs[r, c] = math.exp(score - base) if allowed else number(0.0)
        cuda.syncthreads()
        # pass 3: average the values
        added = number(0.0)
        for j in range(TILE):
            added += probs[r, j]
        total, top = total * fade + added, largest
        cuda.syncthreads()
        probs[r, c] *= _kept(kept, limit, first, second, ((b * H + h) * T + t) * S + s)
        cuda.syncthreads()
        for d in range(c, E, TILE):
            mean = ys[r, d] * fade
            for j in range(TILE):
                if probs[r, j] != 0.0:
                    mean += probs[r, j] * vs[j, d]
            ys[r, d] = mean
        cuda.syncthreads()
    if t < T:
        place = (b * H + h) * T + t
        for d in range(c, E, TILE):
            y[place * E + d] = ys[r, d] / total if total != 0.0 else number(0.0)
        if c == 0:
            lse[place] = (top if top > -math.inf else number(0.0)) + math.log(total) if total != 0.0 else number(-math.inf)


def _backward_queries(dy, q, q_at, q_steps, k, k_at, k_steps, v, v_at, v_steps, mask, mask_at, mask_steps, kind, shape,
                      causal, scale, kept, limit, first, second, y, lse, has_ds, totals, dots, dq, ds):
    """→ dq, and for the other kernel what a query's probabilities add up to (lse is rounded) and its D."""
    B, H, G, T, S, K, E = shape
    qs = cuda.shared.array((TILE, D), number)
    dys = cuda.shared.array((TILE, D), number)
    ks = cuda.shared.array((TILE, D), number)
    vs = cuda.shared.array((TILE, D), number)
    dqs = cuda.shared.array((TILE, D), number)
    parts = cuda.shared.array((TILE, TILE), number)
    c, r = cuda.threadIdx.x, cuda.threadIdx.y
    b, h = cuda.blockIdx.x // H, cuda.blockIdx.x % H
    g = h // (H // G)
    t = cuda.blockIdx.y * TILE + r
    place = (b * H + h) * T + t
    _load(qs, q, q_at + b * q_steps[0] + h * q_steps[1] + t * q_steps[2], q_steps[3], t < T, K, r, c)
    _load(dys, dy, place * E, 1, t < T, E, r, c)
    for d in range(c, K, TILE):
        dqs[r, d] = number(0.0)
    level = lse[place] if t < T else number(-math.inf)
    some = level > -math.inf or level != level
    dot = number(0.0)
    if t < T:
        for d in range(E):
            dot += dy[place * E + d] * y[place * E + d]
    last = (cuda.blockIdx.y + 1) * TILE
    last = last if causal and last < S else S
    total = number(0.0)
    for phase in range(2):      # first what the probabilities add up to, then the gradients
        for start in range(0, last, TILE):
            # passes 1 and 2 again: the probabilities, from lse
            row = start + r
            _load(ks, k, k_at + b * k_steps[0] + g * k_steps[1] + row * k_steps[2], k_steps[3], row < S, K, r, c)
            _load(vs, v, v_at + b * v_steps[0] + g * v_steps[1] + row * v_steps[2], v_steps[3], row < S, E, r, c)
            cuda.syncthreads()
            s, product = start + c, number(0.0)
            for d in range(K):
                product += qs[r, d] * ks[c, d]
            at = mask_at + b * mask_steps[0] + h * mask_steps[1] + t * mask_steps[2] + s * mask_steps[3]
            allowed, score = _score(product, mask, at, kind, causal, scale, t, s, T, S)
            p = math.exp(score - level) if allowed and some else number(0.0)
            if phase == 0:
                parts[r, c] = p
                cuda.syncthreads()
                for j in range(TILE):
                    total += parts[r, j]
            else:
                # pass 2 backward: a probability that grows takes from the others of its row
                p /= total if total > 0.5 else number(0.5)
                slope = number(0.0)
                if p != 0.0:
                    for d in range(E):
                        slope += dys[r, d] * vs[c, d]
                    slope = p * (slope * _kept(kept, limit, first, second, place * S + s) - dot)
                parts[r, c] = slope
                if has_ds and t < T and s < S:
                    ds[place * S + s] = slope
                cuda.syncthreads()
                # pass 1 backward
                for d in range(c, K, TILE):
                    mean = dqs[r, d]
                    for j in range(TILE):
                        if parts[r, j] != 0.0:
                            mean += parts[r, j] * ks[j, d]
                    dqs[r, d] = mean
            cuda.syncthreads()
    if t < T:
        for d in range(c, K, TILE):
            dq[place * K + d] = scale * dqs[r, d]
        if c == 0:
            totals[place] = total if total > 0.5 else number(0.5)
            dots[place] = dot


def _backward_keys(dy, q, q_at, q_steps, k, k_at, k_steps, v, v_at, v_steps, mask, mask_at, mask_steps, kind, shape, causal,
                   scale, kept, limit, first, second, lse, totals, dots, dk, dv):
    """→ dk and dv of a tile of keys, over all queries of all heads that read them."""
    B, H, G, T, S, K, E = shape
    qs = cuda.shared.array((TILE, D), number)
    dys = cuda.shared.array((TILE, D), number)
    ks = cuda.shared.array((TILE, D), number)
    vs = cuda.shared.array((TILE, D), number)
    dks = cuda.shared.array((TILE, D), number)
    dvs = cuda.shared.array((TILE, D), number)
    parts = cuda.shared.array((TILE, TILE), number)
    slopes = cuda.shared.array((TILE, TILE), number)
    c, r = cuda.threadIdx.x, cuda.threadIdx.y       # thread (c, r): query c of the tile that passes by, key r of ours
    b, g = cuda.blockIdx.x // G, cuda.blockIdx.x % G
    s = cuda.blockIdx.y * TILE + r
    _load(ks, k, k_at + b * k_steps[0] + g * k_steps[1] + s * k_steps[2], k_steps[3], s < S, K, r, c)
    _load(vs, v, v_at + b * v_steps[0] + g * v_steps[1] + s * v_steps[2], v_steps[3], s < S, E, r, c)
    for d in range(c, D, TILE):
        dks[r, d] = number(0.0)
        dvs[r, d] = number(0.0)
    for h in range(g * (H // G), (g + 1) * (H // G)):
        for start in range(cuda.blockIdx.y * TILE if causal else 0, T, TILE):       # causal: earlier queries look elsewhere
            # passes 1 and 2 again
            row = start + r
            place = (b * H + h) * T + row
            _load(qs, q, q_at + b * q_steps[0] + h * q_steps[1] + row * q_steps[2], q_steps[3], row < T, K, r, c)
            _load(dys, dy, place * E, 1, row < T, E, r, c)
            cuda.syncthreads()
            t, product = start + c, number(0.0)
            place = (b * H + h) * T + t
            for d in range(K):
                product += qs[c, d] * ks[r, d]
            at = mask_at + b * mask_steps[0] + h * mask_steps[1] + t * mask_steps[2] + s * mask_steps[3]
            allowed, score = _score(product, mask, at, kind, causal, scale, t, s, T, S)
            p, slope, keep = number(0.0), number(0.0), number(1.0)
            if allowed and (lse[place] > -math.inf or lse[place] != lse[place]):
                p = math.exp(score - lse[place]) / totals[place]
                keep = _kept(kept, limit, first, second, place * S + s)
            # pass 2 backward
            if p != 0.0:
                for d in range(E):
                    slope += dys[c, d] * vs[r, d]
                slope = p * (slope * keep - dots[place])
            parts[r, c] = p * keep
            slopes[r, c] = slope
            cuda.syncthreads()
            # passes 3 and 1 backward
            for d in range(c, E, TILE):
                mean = dvs[r, d]
                for j in range(TILE):
                    if parts[r, j] != 0.0:
                        mean += parts[r, j] * dys[j, d]
                dvs[r, d] = mean
            for d in range(c, K, TILE):
                mean = dks[r, d]
                for j in range(TILE):
                    if slopes[r, j] != 0.0:
                        mean += slopes[r, j] * qs[j, d]
                dks[r, d] = mean
            cuda.syncthreads()
    if s < S:
        place = (b * G + g) * S + s
        for d in range(c, K, TILE):
            dk[place * K + d] = scale * dks[r, d]
        for d in range(c, E, TILE):
            dv[place * E + d] = dvs[r, d]


@lru_cache(None)
def _kernels(features, itemsize):
    """The three kernels for so many features, and their tile: six of its arrays must fit in 48 KiB of shared memory."""
    tile = 2 if SIMULATED else next((t for t in (16, 8, 4) if (6 * t * features + 2 * t * t) * itemsize <= 48 << 10), 2)
    within = {"D": features, "TILE": tile, "_load": device(_load.function, TILE=tile)}
    name = f"with {features} features"
    return (tile, Kernel(_forward, f"attention._forward {name}", **within),
            Kernel(_backward_queries, f"attention._backward_queries {name}", **within),
            Kernel(_backward_keys, f"attention._backward_keys {name}", **within))


@in_float32
def attention_forward(q, k, v, mask, causal, scale, p, seed):
    (B, H, T, K), (G, S), E = q.shape, k.shape[1:3], v.shape[3]
    y, lse = empty((B, H, T, E), q.dtype), empty((B, H, T), q.dtype)
    if lse.size:
        tile, forward, *_ = _kernels(max(K, E, 1), q.itemsize)
        forward[(B * H, -(-T // tile)), (tile, tile)](
            *_parts(q, k, v), *_mask(mask, q, S), (B, H, G, T, S, K, E), bool(causal), float(scale), *drop(p, seed), y, lse)
    return y, lse


@in_float32
def attention_backward(dy, q, k, v, mask, y, lse, causal, scale, p, seed, needs=(True, True, True, True)):
    (B, H, T, K), (G, S), E = q.shape, k.shape[1:3], v.shape[3]
    needs_mask = needs[3] and mask is not None and mask.dtype != bool
    dq, dk, dv = empty(q.shape, q.dtype), empty(k.shape, q.dtype), empty(v.shape, q.dtype)
    ds = full((B, H, T, S), 0, q.dtype) if needs_mask else constant(1, 0, q.dtype)
    totals, dots = empty((B, H, T), q.dtype), empty((B, H, T), q.dtype)
    tile, _, queries, keys = _kernels(max(K, E, 1), q.itemsize)
    dy, y, lse = ready(dy, q.dtype), ready(y), ready(lse)
    shared = (*_parts(q, k, v), *_mask(mask, q, S), (B, H, G, T, S, K, E), bool(causal), float(scale), *drop(p, seed))
    if lse.size:
        queries[(B * H, -(-T // tile)), (tile, tile)](dy, *shared, y, lse, bool(needs_mask), totals, dots, dq, ds)
    if S and B * G and (needs[1] or needs[2]):
        keys[(B * G, -(-S // tile)), (tile, tile)](dy, *shared, lse, totals, dots, dk, dv)
    dmask = ready(sum_to(ds, mask.shape), q.dtype) if needs_mask else None
    return tuple(g if need else None for g, need in zip((dq, dk, dv, dmask), needs, strict=True))


def _parts(*arrays):
    """Arrays with any strides, as kernels take them."""
    return [part for x in arrays for part in (x.whole, x.offset, x.steps)]


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
        allowed, score = _score(s[i * S + j], mask, at + j * mask_steps[3], kind, causal, number(1.0), t, j, T, S)
        top = score if allowed and (score > top or score != score) else top
    top = block_max(top)
    top = top if top != -math.inf else number(0.0)
    total = number(0.0)
    for j in range(j0, S, threads):
        allowed, score = _score(s[i * S + j], mask, at + j * mask_steps[3], kind, causal, number(1.0), t, j, T, S)
        e = math.exp(score - top) if allowed else number(0.0)
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

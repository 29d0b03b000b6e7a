"""Scaled dot-product attention, all heads at once, without the matrix of all probabilities.

A strip of queries meets all its keys at once: their scores, one matrix product, lie in a scratch array that stays in
cache. Memory grows with T and with S, not with T · S. The formulas stand in the reference.
"""

import numba
import numpy as np
from numpy.lib.stride_tricks import as_strided

from ._blas import TILE, WHOLE, in_tiles, one_thread, turn, turned
from ._drop import drop, settings
from ._exp import exp_below, largest
from ._jit import jit, ready, spread
from ._memory import empty, numbers
from .arithmetic import sum_to

__all__ = [
    "attention_backward", "attention_forward", "attention_weights_backward", "attention_weights_forward",
]


FEW = 8     # queries: fewer read keys and values where they lie
GAP = 16    # numbers between the rows of a copy: rows a power of two apart thrash L1
ROWS = 48   # queries in a strip: OpenBLAS's loops take 6 rows at a time, and a short causal strip computes less in vain


def attention_forward(q, k, v, mask, causal, scale, p, seed):
    """q (B, H, T, D), k (B, G, S, D), v (B, G, S, E) → y (B, H, T, E), lse (B, H, T).

    mask: None, bool (True: may attend) or float (added; −inf: may not), broadcast to (B, H, T, S). causal: query t
    attends keys 0 … t. p: the share of probabilities dropped, by a hash of seed and place.
    """
    bias = _bias(mask, q, k)
    lse = np.full(q.shape[:3], -np.inf, q.dtype)
    some = lse.size > 0 and v.shape[2] > 0
    # (B, T, H, E): as the next layer reads it
    y = (empty if some else np.zeros)((len(q), q.shape[2], q.shape[1], v.shape[3]), q.dtype)
    if some:
        with one_thread():
            parts = _parts(q)
            _forward(len(q) * q.shape[1] * parts, *_heads(q, q.dtype), *_heads(k, q.dtype), *_heads(v, q.dtype), k.shape[1:],
                     bias, mask is not None, bool(causal), q.dtype.type(scale), *settings(q.dtype, p, seed), _tile(q), parts,
                     _scratch(q, k, 1), y, lse)
    return y.swapaxes(1, 2), lse


def attention_backward(dy, q, k, v, mask, y, lse, causal, scale, p, seed, needs=(True, True, True, True)):
    """dy (B, H, T, E) → dq, dk, dv, dmask (of a float mask, in its shape)."""
    bias = _bias(mask, q, k)
    needs = (*map(bool, needs[:3]), bool(needs[3]) and mask is not None and mask.dtype != bool)
    some = lse.size > 0 and k.shape[2] > 0
    # (B, T, H, D), as y: the layer before reads them so
    dq, dk, dv = ((empty if some else np.zeros)((len(x), x.shape[2], x.shape[1], x.shape[3]), q.dtype) for x in (q, k, v))
    dbias = np.zeros_like(bias)
    if some:
        with one_thread():
            owners = _owners(k, bias, needs[3])
            _backward(owners[0] * owners[1], owners, *_heads(dy, q.dtype), *_heads(q, q.dtype), *_heads(k, q.dtype),
                      *_heads(v, q.dtype), bias, mask is not None, ready(y.swapaxes(1, 2)), ready(lse), bool(causal),
                      q.dtype.type(scale), *settings(q.dtype, p, seed), needs, _tile(q), _scratch(q, k, 2), dq, dk, dv,
                      dbias)
    dq, dk, dv = (g.swapaxes(1, 2) for g in (dq, dk, dv))
    dmask = _unbias(dbias, mask) if needs[3] else None
    return tuple(g if need else None for g, need in zip((dq, dk, dv, dmask), needs, strict=True))


def _heads(x, dtype):
    """(B, H, T, D) of any layout → the memory it lies in, and how many numbers it is to the next b, h and t.

    Loops copy the heads they need from there, one that fits the cache at a time: layers make queries, keys and values of
    one product, and there the rows of a head lie far apart.
    """
    B, H, T, D = x.shape
    b, h, t, d = x.strides
    size = x.itemsize
    if x.dtype != dtype or d != size or t < D * size or b < 0 or h < 0 or not x.flags.aligned:
        x = ready(x, dtype)
    if x.flags.carray:  # what may not be written to would be compiled once more
        return x.reshape(-1), (H * T * D, T * D, D)
    return numbers(x, 0, (b * (B - 1) + h * (H - 1) + t * (T - 1)) // size + D, dtype), (b // size, h // size, t // size)


def _parts(q):
    """Into how many tasks a head's strips are cut: one, unless threads would wait for the one that has a head more."""
    B, H, T, _ = q.shape
    pairs = -(-T // (2 * ROWS))
    threads = numba.get_num_threads() if pairs > 1 else 1
    return 1 if B * H % threads == 0 else min(pairs, -(-16 * threads // (B * H)))


def _owners(k, bias, dbias):
    """Into how many tasks batch and heads of keys are cut. One owns a head of keys, with all queries that read it; heads
    that share a mask whose gradient is wanted share the task. So every gradient has one writer and one order."""
    B, G = k.shape[:2]
    return 1 if dbias and len(bias) < B else B, 1 if dbias and bias.shape[1] == 1 else G


def _tile(q):
    """In what parts the products of a strip are made. To turn the keys for few queries would take longer than those."""
    return TILE if q.shape[2] >= FEW else WHOLE


def _bias(mask, q, k):
    """A mask as numbers to add: −inf where a query may not attend. Shape (1 or B, 1 or H, 1 or T, S)."""
    if mask is None:
        return np.zeros((1, 1, 1, 1), q.dtype)
    if mask.dtype == bool:
        mask = np.where(mask, q.dtype.type(0), q.dtype.type(-np.inf))
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return ready(np.broadcast_to(mask, (*mask.shape[:3], k.shape[2])), q.dtype)


def _unbias(dbias, mask):
    """The gradient of the numbers to add, in the shape of the mask they came from."""
    if mask.ndim and mask.shape[-1] == 1:
        dbias = dbias.sum(-1, keepdims=True)
    return np.asarray(dbias if mask.ndim else dbias.sum()).reshape(mask.shape)


def _scratch(q, k, arrays):
    """For each thread, room for strips of queries against every key."""
    T, S = q.shape[2], k.shape[2]
    return np.empty((numba.get_num_threads(), arrays, min(T, ROWS), S + GAP), q.dtype)


# ---- forward ---------------------------------------------------------------------------------------------------------


@spread
def _forward(i, q, q_steps, k, k_steps, v, v_steps, sizes, bias, masked, causal, scale, grow, limits, tile, parts, scratch,
             y, lse):
    """The strips of a head, or some of them."""
    B, T, H, E = y.shape
    G, S, D = sizes
    strips = -(-T // scratch.shape[2])
    pairs = (strips + 1) // 2
    b, h, part = i // parts // H, i // parts % H, i % parts
    g = h // (H // G)
    room = scratch[numba.get_thread_id(), 0]
    one_q = np.empty((scratch.shape[2], D), room.dtype)
    one_k, one_v = _head(k, k_steps, b, g, S, D), _head(v, v_steps, b, g, S, E)
    if tile != WHOLE:
        one_k, one_v = _copied_turned(one_k), _copied(one_v)
    elif T >= FEW:
        one_k, one_v = _copied(one_k), _copied(one_v)
    mask = bias[min(b, len(bias) - 1), min(h, bias.shape[1] - 1)]
    # A causal strip costs more the later it lies: an early and a late one go together, so that all pairs cost the same.
    for pair in range(part * pairs // parts, (part + 1) * pairs // parts):
        for strip in range(pair, strips - pair, max(1, strips - 1 - 2 * pair)):
            t0 = strip * len(one_q)
            rows = min(T - t0, len(one_q))
            _take(_head(q, q_steps, b, h, T, D)[t0:t0 + rows], one_q)
            _forward_strip(t0, one_q[:rows], one_k, one_v, mask, masked, causal, scale, grow, limits, tile,
                           (b * H + h) * T, room, y[b], h, lse[b, h])


@jit
def _forward_strip(t0, q, k, v, bias, masked, causal, scale, grow, limits, tile, place, room, y, h, lse):
    S, E = v.shape
    one, zero = room.dtype.type(1), room.dtype.type(0)
    t1 = t0 + len(q)
    keys = min(S, t1) if causal else S
    # pass 1: scores
    in_tiles(scale, q, False, k, tile == WHOLE, zero, room[: t1 - t0, :keys], tile)
    # pass 2: exp(s − m); the division by their sum can wait
    factor = np.empty(t1 - t0, room.dtype)
    for t in range(t0, t1):
        s = room[t - t0]
        seen = min(keys, t + 1) if causal else keys
        if masked:
            _add_bias(s, seen, bias[min(t, len(bias) - 1)])
        m, total = _exp_row(s, seen, keys)
        if total != 0:
            lse[t] = m + np.log(total)
        factor[t - t0] = grow / total if total != 0 else zero
        if limits[0] > 0:
            drop(s, seen, (place + t) * S, limits)
    # pass 3: average the values, those with probability 0 left out even where they are NaN
    average = np.empty((t1 - t0, E), room.dtype)
    in_tiles(one, room[: t1 - t0, :keys], False, v, False, zero, average, tile)
    if not _finite(average):
        average[:] = zero
        _skipping(room, t1 - t0, keys, one, v, average)
    for t in range(np.uintp(len(average))):
        for e in range(np.uintp(E)):
            y[np.uintp(t0) + t, np.uintp(h), e] = average[t, e] * factor[t]


# ---- backward --------------------------------------------------------------------------------------------------------


@spread
def _backward(i, owners, dy, dy_steps, q, q_steps, k, k_steps, v, v_steps, bias, masked, y, lse, causal, scale, grow, limits,
              needs, tile, scratch, dq, dk, dv, dbias):
    """All queries that read a head of keys, or several: see ``_owners``."""
    B, T, H, D = dq.shape
    _, S, G, E = dv.shape
    strips = -(-T // scratch.shape[2])
    own_b, own_g = owners
    rooms = scratch[numba.get_thread_id()]
    # what the products take and give lies in a row: of rows that lie apart, they take a tenth longer
    one_q, one_dy = np.empty((scratch.shape[2], D), lse.dtype), np.empty((scratch.shape[2], E), lse.dtype)
    one_dq, one_dk, one_dv = np.empty_like(one_q), np.empty((S, D), lse.dtype), np.empty((S, E), lse.dtype)
    for b in range(i // own_g * (B // own_b), (i // own_g + 1) * (B // own_b)):
        for g in range(i % own_g * (G // own_g), (i % own_g + 1) * (G // own_g)):
            one_k, one_v = _head(k, k_steps, b, g, S, D), _head(v, v_steps, b, g, S, E)
            if T >= FEW:
                one_k = _copied(one_k)
            right_k, right_v = one_k, one_v
            if tile != WHOLE:
                right_k, right_v = _copied_turned(one_k), _copied_turned(one_v)
            finite = _finite(one_k)
            one_dk[:] = 0
            one_dv[:] = 0
            for h in range(g * (H // G), (g + 1) * (H // G)):
                at = min(b, len(bias) - 1), min(h, bias.shape[1] - 1)
                for strip in range(strips):
                    t0 = strip * len(one_q)
                    rows = min(T - t0, len(one_q))
                    _take(_head(q, q_steps, b, h, T, D)[t0:t0 + rows], one_q)
                    _take(_head(dy, dy_steps, b, h, T, E)[t0:t0 + rows], one_dy)
                    _backward_strip(t0, one_dy[:rows], one_q[:rows], one_k, right_k, right_v, finite,
                                    bias[at], masked, y[b], h, lse[b, h], causal, scale, grow, limits,
                                    (b * H + h) * T, needs, tile, rooms[0], rooms[1], one_dq[:rows], one_dk, one_dv,
                                    dbias[at])
                    if needs[0]:
                        _put(one_dq, rows, dq[b], t0, h)
            _put(one_dk, S, dk[b], 0, g)
            _put(one_dv, S, dv[b], 0, g)


@jit
def _put(x, rows, out, first, h):
    """Some rows of a head to their places among those of all heads."""
    for t in range(np.uintp(rows)):
        for e in range(np.uintp(x.shape[1])):
            out[np.uintp(first) + t, np.uintp(h), e] = x[t, e]


@jit
def _backward_strip(t0, dy, q, k, right_k, right_v, finite, bias, masked, y, h, lse, causal, scale, grow, limits, place,
                    needs, tile, room, droom, dq, dk, dv, dbias):
    S, E = len(k), dy.shape[1]
    one, zero = room.dtype.type(1), room.dtype.type(0)
    rows = len(dy)
    t1 = t0 + rows
    keys = min(S, t1) if causal else S
    finite = finite and _finite(q) and _finite(dy)
    probs, ds = room[:rows, :keys], droom[:rows, :keys]
    # pass 1 again: scores; and the gradient of the probabilities, from pass 3 backward
    in_tiles(scale, q, False, right_k, tile == WHOLE, zero, probs, tile)
    in_tiles(one, dy, False, right_v, tile == WHOLE, zero, ds, tile)
    for t in range(t0, t1):
        i, own = np.uintp(t - t0), lse[t]
        seen = np.uintp(0 if own == -np.inf else min(keys, t + 1) if causal else keys)
        # pass 2 again: probabilities, from lse
        if masked:
            _add_bias(room[i], seen, bias[min(t, len(bias) - 1)])
        total = zero
        for j in range(seen):
            room[i, j] = exp_below(room[i, j] - own)
            total += room[i, j]
        rest = one / total  # nearly 1: it takes out that lse was rounded
        for j in range(seen, np.uintp(keys)):
            room[i, j] = zero
            droom[i, j] = zero
        # pass 2 backward: a probability that grows takes from the others of its row
        D = zero
        for e in range(np.uintp(E)):
            D += dy[i, e] * y[np.uintp(t), np.uintp(h), e]
        if limits[0] > 0:
            drop(droom[i], seen, (place + t) * S, limits)
        for j in range(seen):
            room[i, j] *= rest
            droom[i, j] = room[i, j] * (droom[i, j] * grow - D) if room[i, j] != 0 else zero
        if limits[0] > 0:
            drop(room[i], seen, (place + t) * S, limits)
        if needs[3]:
            at = np.uintp(min(t, len(dbias) - 1))
            for j in range(seen):
                dbias[at, j] += droom[i, j]
    if finite:
        # pass 3 backward
        if needs[2]:
            in_tiles(grow, probs, True, dy, False, one, dv[:keys], tile)
        # pass 1 backward
        if needs[0]:
            in_tiles(scale, ds, False, k, False, zero, dq, tile)
        if needs[1]:
            in_tiles(scale, ds, True, q, False, one, dk[:keys], tile)
    else:
        dq[:] = zero
        _skipping_transposed(room, rows, keys, grow, dy, dv)
        _skipping(droom, rows, keys, scale, k, dq)
        _skipping_transposed(droom, rows, keys, scale, q, dk)


# ---- with the probabilities in sight ---------------------------------------------------------------------------------


def attention_weights_forward(q, k, mask, causal, scale):
    """q (B, H, T, D), k (B, G, S, D) → probabilities (B, H, T, S), 0 where masked."""
    q, bias = ready(q), _bias(mask, q, k)
    probs = np.zeros((*q.shape[:3], k.shape[2]), q.dtype)
    if probs.size:
        with one_thread():
            _weights(len(q) * q.shape[1], q, turned(k, _tile(q), q.dtype), bias, mask is not None, bool(causal),
                     q.dtype.type(scale), _tile(q), probs)
    return probs


def attention_weights_backward(dy, q, k, mask, probs, causal, scale, needs=(True, True, True)):
    """dy (B, H, T, S) → dq, dk, dmask (of a float mask, in its shape)."""
    q, k = ready(q), ready(k, q.dtype)
    needs = needs[0], needs[1], needs[2] and mask is not None and mask.dtype != bool
    dq, dk, ds = np.zeros_like(q), np.zeros_like(k), np.empty_like(probs)
    if probs.size:
        with one_thread():
            _weights_backward(len(k) * k.shape[1], ready(dy, q.dtype), q, k, ready(probs), q.dtype.type(scale), _tile(q),
                              ds, dq, dk)
    dmask = sum_to(ds, mask.shape) if needs[2] else None
    return tuple(g if need else None for g, need in zip((dq, dk, dmask), needs, strict=True))


@spread
def _weights(i, q, k, bias, masked, causal, scale, tile, probs):
    _, H, T, S = probs.shape
    zero = probs.dtype.type(0)
    b, h = i // H, i % H
    # pass 1: scores
    in_tiles(scale, q[b, h], False, k[b, h // (H // k.shape[1])], tile == WHOLE, zero, probs[b, h], tile)
    # pass 2: probabilities
    for t in range(T):
        s = probs[b, h, t]
        seen = min(S, t + 1) if causal else S
        if masked:
            _add_bias(s, seen, bias[min(b, len(bias) - 1), min(h, bias.shape[1] - 1), min(t, bias.shape[2] - 1)])
        _, total = _exp_row(s, seen, S)
        for j in range(seen):
            s[j] = s[j] / total if total != 0 else zero


@spread
def _weights_backward(i, dy, q, k, probs, scale, tile, ds, dq, dk):
    _, H, T, S = probs.shape
    G = k.shape[1]
    one, zero = probs.dtype.type(1), probs.dtype.type(0)
    b, g = i // G, i % G
    for h in range(g * (H // G), (g + 1) * (H // G)):
        # pass 2 backward
        for t in range(T):
            P, d, out = probs[b, h, t], dy[b, h, t], ds[b, h, t]
            D = zero
            for j in range(S):
                D += P[j] * d[j] if P[j] != 0 else zero
            for j in range(S):
                out[j] = P[j] * (d[j] - D) if P[j] != 0 else zero
        # pass 1 backward
        if _finite(q[b, h]) and _finite(k[b, g]):
            in_tiles(scale, ds[b, h], False, k[b, g], False, zero, dq[b, h], tile)
            in_tiles(scale, ds[b, h], True, q[b, h], False, one, dk[b, g], tile)
        else:
            _skipping(ds[b, h], T, S, scale, k[b, g], dq[b, h])
            _skipping_transposed(ds[b, h], T, S, scale, q[b, h], dk[b, g])


# ---- shared ----------------------------------------------------------------------------------------------------------


@jit
def _head(x, steps, b, h, rows, width):
    """The rows (T or S, D) of one head in the memory of all."""
    first = np.int64(b) * steps[0] + np.int64(h) * steps[1]
    return as_strided(x[first:], (rows, width), (steps[2] * x.itemsize, x.itemsize))


@jit
def _take(x, out):
    """The rows of x, in a row."""
    for t in range(np.uintp(x.shape[0])):   # np.uintp: places that cannot be negative, so the loop is one of vectors
        for e in range(np.uintp(x.shape[1])):
            out[t, e] = x[t, e]


@jit
def _copied(x):
    y = np.empty((x.shape[0], x.shape[1] + GAP), x.dtype)[:, :x.shape[1]]
    _take(x, y)
    return y


@jit
def _copied_turned(x):
    y = np.empty((x.shape[1], x.shape[0] + GAP), x.dtype)[:, :x.shape[0]]
    turn(x, y)
    return y


@jit
def _exp_row(s, seen, keys):
    """s[:seen] becomes exp(s − m), the rest of s[:keys] 0 → m and the sum. The largest, m, goes lest exp overflow."""
    m = largest(s[:seen]) if seen else s.dtype.type(-np.inf)
    if m == -np.inf:
        m = s.dtype.type(0)
    total = s.dtype.type(0)
    for j in range(seen):
        s[j] = exp_below(s[j] - m)
        total += s[j]
    for j in range(seen, keys):
        s[j] = 0
    return m, total


@jit
def _add_bias(s, n, bias):
    """s[:n] += bias, and −inf where bias is: a masked score may be NaN."""
    for j in range(n):
        s[j] = s[j] + bias[j] if bias[j] != -np.inf else bias[j]


@jit
def _finite(x):
    """Whether no number of x (rows, columns) is infinite or NaN. (Times 0, those are NaN.)"""
    rest = x.dtype.type(0)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            rest += x[i, j] * x.dtype.type(0)
    return rest == 0


@jit
def _skipping(a, rows, n, alpha, x, out):
    """out += alpha · a · x, in which a 0 in a skips its row of x: 0 · NaN would be NaN."""
    for i in range(rows):
        for j in range(n):
            if a[i, j] != 0:
                for e in range(x.shape[1]):
                    out[i, e] += alpha * a[i, j] * x[j, e]


@jit
def _skipping_transposed(a, rows, n, alpha, x, out):
    """out += alpha · aᵀ · x, in which a 0 in a skips its row of x."""
    for i in range(rows):
        for j in range(n):
            if a[i, j] != 0:
                for e in range(x.shape[1]):
                    out[j, e] += alpha * a[i, j] * x[i, e]

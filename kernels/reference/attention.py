"""Scaled dot-product attention, all heads at once.

Forward    s = scale · q kᵀ (+ mask)      lse = log Σ exp(s)      P = exp(s − lse)      y = dropout(P) v
Backward   dP = dropout(dy vᵀ)            D = ⟨dy, y⟩, a row      ds = P · (dP − D)
           dq = scale · ds k              dk = scale · dsᵀ q      dv = dropout(P)ᵀ dy   dmask = ds

Query head h reads key head h // (H // G): G heads of keys serve H heads of queries. Only lse, one number a query, is
kept for backward: P comes back as exp(s − lse). A masked key is skipped, never multiplied by 0 (0 · NaN is NaN); a
query that may attend no key gives 0 and gets 0.
"""

import numpy as np

from .dropout import keep

__all__ = [
    "attention_backward", "attention_forward", "attention_weights_backward", "attention_weights_forward",
]


def attention_forward(q, k, v, mask, causal, scale, p, seed):
    """q (B, H, T, D), k (B, G, S, D), v (B, G, S, E) → y (B, H, T, E), lse (B, H, T).

    mask: None, bool (True: may attend) or float (added; −inf: may not), broadcast to (B, H, T, S). causal: query t
    attends keys 0 … t. p: the share of probabilities dropped, by a hash of seed and place.
    """
    y = np.zeros((*q.shape[:3], v.shape[3]), np.result_type(q, k, v, *_additive(q, mask)))
    lse = np.full(q.shape[:3], -np.inf, y.dtype)
    kept = _kept(q, k, p, seed)
    for b, h, g in _heads(q, k):
        # pass 1: scores
        s, allowed = _scores(q[b, h], k[b, g], _mask_of(mask, b, h, q, k), causal, scale)
        # pass 2: probabilities. Taking the largest score away first keeps exp from overflowing
        probs, lse[b, h] = _softmax(s, allowed)
        # pass 3: average the values
        y[b, h] = _product(probs if kept is None else probs * kept[b, h], v[b, g])
    return y, lse


def attention_backward(dy, q, k, v, mask, y, lse, causal, scale, p, seed, needs=(True, True, True, True)):
    """dy (B, H, T, E) → dq, dk, dv, dmask (of a float mask, in its shape)."""
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    needs_mask = needs[3] and mask is not None and mask.dtype != bool
    dmask = np.zeros(mask.shape, q.dtype) if needs_mask else None
    kept = _kept(q, k, p, seed)
    for b, h, g in _heads(q, k):
        # passes 1 and 2 again: the probabilities, from lse
        s, allowed = _scores(q[b, h], k[b, g], _mask_of(mask, b, h, q, k), causal, scale)
        allowed &= lse[b, h][:, None] != -np.inf
        probs = _exp(s, np.where(lse[b, h] == -np.inf, 0, lse[b, h]), allowed)
        with np.errstate(invalid="ignore", over="ignore"):
            probs /= np.maximum(probs.sum(-1, keepdims=True), 0.5)  # nearly 1: it takes out that lse was rounded
            dprobs = dy[b, h] @ v[b, g].T
            D = (dy[b, h] * y[b, h]).sum(-1)
        dropped = probs
        if kept is not None:
            dropped, dprobs = probs * kept[b, h], dprobs * kept[b, h]
        # pass 3 backward
        dv[b, g] += _product(dropped.T, dy[b, h])
        # pass 2 backward: a probability that grows takes from the others of its row
        ds = _times(probs, dprobs - D[:, None])
        # pass 1 backward
        dq[b, h] = scale * _product(ds, k[b, g])
        dk[b, g] += scale * _product(ds.T, q[b, h])
        if needs_mask:
            _add_to(dmask, ds, b, h)
    return tuple(g if need else None for g, need in zip((dq, dk, dv, dmask), needs, strict=True))


def attention_weights_forward(q, k, mask, causal, scale):
    """q (B, H, T, D), k (B, G, S, D) → probabilities (B, H, T, S), 0 where masked."""
    probs = np.zeros((*q.shape[:3], k.shape[2]), np.result_type(q, k, *_additive(q, mask)))
    for b, h, g in _heads(q, k):
        probs[b, h], _ = _softmax(*_scores(q[b, h], k[b, g], _mask_of(mask, b, h, q, k), causal, scale))
    return probs


def attention_weights_backward(dy, q, k, mask, probs, causal, scale, needs=(True, True, True)):
    """dy (B, H, T, S) → dq, dk, dmask (of a float mask, in its shape)."""
    dq, dk = np.zeros_like(q), np.zeros_like(k)
    needs_mask = needs[2] and mask is not None and mask.dtype != bool
    dmask = np.zeros(mask.shape, q.dtype) if needs_mask else None
    for b, h, g in _heads(q, k):
        # pass 2 backward
        D = _times(probs[b, h], dy[b, h]).sum(-1)
        ds = _times(probs[b, h], dy[b, h] - D[:, None])
        # pass 1 backward
        dq[b, h] = scale * _product(ds, k[b, g])
        dk[b, g] += scale * _product(ds.T, q[b, h])
        if needs_mask:
            _add_to(dmask, ds, b, h)
    return tuple(g if need else None for g, need in zip((dq, dk, dmask), needs, strict=True))


def _heads(q, k):
    """Every (batch, query head, key head)."""
    (B, H), G = q.shape[:2], k.shape[1]
    return [(b, h, h // (H // G)) for b in range(B) for h in range(H)]


def _additive(q, mask):
    """A complex mask makes the result complex; otherwise the result has the inputs' dtype."""
    return [] if mask is None or mask.dtype.kind != "c" else [mask]


def _mask_of(mask, b, h, q, k):
    """The mask of one head: (T, S)."""
    if mask is None:
        return None
    if mask.dtype.kind == "f" and q.dtype.kind == "f":
        mask = mask.astype(q.dtype, copy=False)
    return np.broadcast_to(mask, (*q.shape[:3], k.shape[2]))[b, h]


def _kept(q, k, p, seed):
    """What dropout multiplies the probabilities (B, H, T, S) with: 0 or 1 / (1 − p)."""
    if p == 0:
        return None
    kept = keep((*q.shape[:3], k.shape[2]), p, seed)
    return kept.astype(q.real.dtype) / (1 - p) if p < 1 else kept.astype(q.real.dtype)


def _scores(q, k, mask, causal, scale):
    """One head's scores (T, S), and which keys each query may attend."""
    with np.errstate(invalid="ignore", over="ignore"):
        s = scale * (q @ k.T)
        allowed = np.tri(*s.shape, dtype=bool) if causal else np.ones(s.shape, bool)
        if mask is not None and mask.dtype == bool:
            allowed &= mask
        elif mask is not None:
            allowed &= mask.real != -np.inf
            s = s + mask
    return s, allowed


def _softmax(s, allowed):
    """→ probabilities (T, S) and lse (T,); 0 and −inf for a row without allowed keys."""
    m = np.where(allowed, s.real, -np.inf).max(-1, initial=-np.inf)
    m[m == -np.inf] = 0
    e = _exp(s, m, allowed)
    total = e.sum(-1)
    none = total == 0
    probs = e / np.where(none, 1, total)[:, None]
    return probs, np.where(none, -np.inf, m + np.log(np.where(none, 1, total)))


def _exp(s, m, allowed):
    """exp(s − m), 0 where not allowed; s (T, S), m (T,)."""
    with np.errstate(invalid="ignore"):
        return np.where(allowed, np.exp(np.where(allowed, s - m[:, None], 0)), 0)


def _product(a, x):
    """a · x, in which a 0 in a skips its row of x."""
    if np.isfinite(x).all():
        return a @ x
    with np.errstate(invalid="ignore"):
        return np.array([row[row != 0] @ x[row != 0] for row in a]).reshape(len(a), x.shape[1])


def _times(a, x):
    """a · x, element by element, in which a 0 in a gives 0."""
    with np.errstate(invalid="ignore"):
        return np.where(a != 0, a * np.where(a != 0, x, 0), 0)


def _add_to(dmask, ds, b, h):
    """Add one head's ds (T, S) to the gradient of a mask that was broadcast."""
    lead = [0] * (4 - dmask.ndim)
    part = dmask.reshape([1] * len(lead) + list(dmask.shape))
    part = part[b if part.shape[0] > 1 else 0, h if part.shape[1] > 1 else 0]
    for axis in 0, 1:
        if part.shape[axis] == 1:
            ds = ds.sum(axis, keepdims=True)
    part += ds

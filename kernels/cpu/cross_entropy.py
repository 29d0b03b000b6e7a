"""Cross-entropy of logits against class numbers: one row at a time, softmax never stored. Formulas: the reference."""

import numpy as np

from ._jit import CHUNKS, jit, parallel, prange, ready
from .attention import fast_exp

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    """logits (N, V), labels (N,), weight (V,) or None → losses (N,), lse (N,). 0 where the label is ignored."""
    z = ready(logits)
    losses, lse = np.empty((2, len(z)), z.dtype)
    if z.size:
        _forward(z, ready(labels, np.int64), *_settings(z, weight, ignore_index, smoothing), losses, lse)
    return losses, lse


def cross_entropy_backward(dy, logits, labels, weight, lse, ignore_index, smoothing):
    """dy (N,) → dlogits (N, V)."""
    z = ready(logits)
    dz = np.empty_like(z)
    if z.size:
        _backward(ready(dy, z.dtype), z, ready(labels, np.int64), ready(lse),
                  *_settings(z, weight, ignore_index, smoothing), dz)
    return dz


def _settings(z, weight, ignore_index, smoothing):
    weight = np.ones(z.shape[1], z.dtype) if weight is None else ready(weight, z.dtype)
    pieces = 1 if z.size < 1 << 12 else min(CHUNKS, len(z))
    return weight, weight.sum(), ignore_index, z.dtype.type(smoothing), pieces


@parallel
def _forward(z, labels, weight, total_weight, ignore_index, smoothing, pieces, losses, lse):
    for piece in prange(pieces):
        for i in range(piece * len(z) // pieces, (piece + 1) * len(z) // pieces):
            loss, lse[i] = _row(z[i], max(labels[i], 0) if labels[i] != ignore_index else 0, weight, total_weight, smoothing)
            losses[i] = loss if labels[i] != ignore_index else z.dtype.type(0)


@jit
def _row(z, label, weight, total_weight, smoothing):
    V = len(z)
    # pass 1: lse as the largest logit and ln(1 + the others), so that a small loss keeps its digits
    best = 0
    for j in range(V):
        best = j if z[j] > z[best] or z[j] != z[j] else best
    top = z[best]
    others = z.dtype.type(0)
    for j in range(V):
        others += fast_exp(z[j] - top)
    # (the largest itself came in as 1; where that would swamp the rest, the rest is added again without it)
    if others < z.dtype.type(1.5):
        others = z.dtype.type(0)
        for j in range(best):
            others += fast_exp(z[j] - top)
        for j in range(best + 1, V):
            others += fast_exp(z[j] - top)
    else:
        others -= z.dtype.type(1)
    log_sum = np.log1p(others)
    # pass 2: −ln p at the label; with smoothing also at every other class
    loss = (log_sum - (z[label] - top)) * weight[label]
    if smoothing > 0:
        below = z.dtype.type(0)
        for j in range(V):
            below += (z[j] - top) * weight[j]
        loss = (1 - smoothing) * loss + smoothing / z.dtype.type(V) * (log_sum * total_weight - below)
    return loss, top + log_sum


@parallel
def _backward(dy, z, labels, lse, weight, total_weight, ignore_index, smoothing, pieces, dz):
    for piece in prange(pieces):
        for i in range(piece * len(z) // pieces, (piece + 1) * len(z) // pieces):
            if labels[i] != ignore_index:
                _row_backward(dy[i], z[i], labels[i], lse[i], weight, total_weight, smoothing, dz[i])
            else:
                dz[i] = 0


@jit
def _row_backward(dy, z, label, lse, weight, total_weight, smoothing, dz):
    V = len(z)
    # softmax once more; the saved lse is rounded, so it is normalised again
    total = z.dtype.type(0)
    for j in range(V):
        dz[j] = fast_exp(z[j] - lse)
        total += dz[j]
    own = dz[label]
    dz[label] = 0
    others = z.dtype.type(0)
    for j in range(V):
        others += dz[j]
    # pass 2 backward: p − 1 at the label is −(Σ of the others)
    w = weight[label] * (1 - smoothing)
    if smoothing > 0:
        share = smoothing / z.dtype.type(V)
        for j in range(V):
            p = dz[j] / total
            dz[j] = dy * (w * p + share * (p * total_weight - weight[j]))
        p = own / total
        dz[label] = dy * (share * (p * total_weight - weight[label]) - w * others / total)
    else:
        scale = dy * w / total
        for j in range(V):
            dz[j] *= scale
        dz[label] = -scale * others

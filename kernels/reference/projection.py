"""Linear, softmax and cross-entropy in one: the loss of a language model from its last hidden states.

Forward    z = x weightᵀ + bias      lse = log Σ exp(z) = top + log(1 + others), in these two parts
           loss = (1 − ε) (lse − z_label) + ε ⟨lse − z⟩                    ε: label smoothing
Backward   dz = dy · (p − ε/V)       p = exp(z − lse)          at the label: dy · (ε − ε/V − Σ of the other p)
           dx = dz weight            dweight = dzᵀ x                       dbias = Σ dz

Rows go through in chunks, so that the logits z (N, V) never exist as a whole. At the label, p − 1 would lose every
digit once the model is sure; the sum of the others does not. Ignored rows are left out: whatever they hold, nobody
sees it.
"""

import numpy as np

__all__ = ["projection_backward", "projection_forward"]

CHUNK_BYTES = 32 << 20  # of logits


def projection_forward(x, weight, bias, labels, ignore_index, smoothing):
    """x (N, d), weight (V, d), bias (V,) or None, labels (N,) → losses (N,), top (N,), others (N,), all 0 where ignored."""
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    losses, top, others = np.zeros(len(x), dtype), np.zeros(len(x), dtype), np.zeros(len(x), dtype)
    for rows in _chunks(labels, ignore_index, weight):
        # pass 1: logits
        z = _logits(x[rows], weight, bias)
        at = np.arange(len(rows)), labels[rows]
        own, mean = z[at], z.mean(-1)
        # pass 2: log-sum-exp. The largest logit is exp(0) = 1 in the sum; log1p of the others keeps their digits
        largest = np.arange(len(rows)), z.real.argmax(-1)
        m = z[largest]
        e = np.exp(z - m[:, None])
        e[largest] = 0
        top[rows], others[rows] = m, e.sum(-1)
        rest = np.log1p(others[rows])
        # pass 3: loss
        losses[rows] = (1 - smoothing) * (m - own + rest) + smoothing * (m - mean + rest)
    return losses, top, others


def projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=(True, True, True)):
    """dy (N,) → dx (N, d), dweight (V, d), dbias (V,)."""
    V = len(weight)
    dx, dweight, dbias = np.zeros_like(x), np.zeros_like(weight), np.zeros(V, x.dtype)
    for rows in _chunks(labels, ignore_index, weight):
        # passes 1 and 2 again: probabilities
        e, total = np.exp(_logits(x[rows], weight, bias) - top[rows, None]), 1 + others[rows]
        # pass 3 backward
        at = np.arange(len(rows)), labels[rows]
        dz = e / total[:, None] - smoothing / V
        dz[at] = smoothing - smoothing / V - (others[rows] + (1 - e[at])) / total
        dz *= dy[rows, None]
        # pass 1 backward
        dx[rows] = dz @ weight
        dweight += dz.T @ x[rows]
        dbias += dz.sum(0)
    gradients = dx, dweight, None if bias is None else dbias
    return tuple(g if need else None for g, need in zip(gradients, needs, strict=True))


def _chunks(labels, ignore_index, weight):
    """The indices of the rows that count, in pieces."""
    rows = np.flatnonzero(labels != ignore_index)
    step = max(1, CHUNK_BYTES // max(1, len(weight) * weight.itemsize))
    return [rows[i:i + step] for i in range(0, len(rows), step)]


def _logits(x, weight, bias):
    z = x @ weight.T
    return z if bias is None else z + bias

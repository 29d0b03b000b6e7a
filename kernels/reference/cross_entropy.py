"""Cross-entropy of logits against class numbers, one loss a row.

With smoothing ε the target puts 1 − ε on the label and ε / V on every class. The gradient at the label is written as
−(Σ of the others): p − 1 has no digits left where p is nearly 1.
"""

import numpy as np

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    """logits (N, V), labels (N,), weight (V,) or None → losses (N,), lse (N,). 0 where the label is ignored."""
    rows = np.arange(len(labels))
    counted = labels != ignore_index
    y = np.where(counted, labels, 0)
    # pass 1: lse = ln Σ eᶻ, as the largest logit and ln(1 + the others): a small loss keeps its digits
    with np.errstate(invalid="ignore"):
        top = logits.real.argmax(-1)
        d = logits - logits[rows, top].real[:, None]
        e = np.exp(d)
        own = e[rows, top] - 1
        e[rows, top] = 0
        log_sum = np.log1p(e.sum(-1) + own)
    # pass 2: −ln p at the label; with smoothing also at every other class
    w = 1 if weight is None else weight[y]
    losses = (log_sum - d[rows, y]) * w
    if smoothing:
        each = log_sum[:, None] - d
        everywhere = (each if weight is None else each * weight).sum(-1)
        losses = (1 - smoothing) * losses + smoothing / logits.shape[1] * everywhere
    return np.where(counted, losses, 0), logits[rows, top].real + log_sum


def cross_entropy_backward(dy, logits, labels, weight, lse, ignore_index, smoothing):
    """dy (N,) → dlogits (N, V)."""
    rows = np.arange(len(labels))
    counted = labels != ignore_index
    y = np.where(counted, labels, 0)
    # softmax once more, from the saved lse, normalised again since lse is rounded
    p = np.exp(logits - lse[:, None])
    p /= p.sum(-1, keepdims=True)
    others = p.copy()
    others[rows, y] = 0
    # pass 2 backward: p − 1 at the label is −(Σ of the others)
    g = p.copy()
    g[rows, y] = -others.sum(-1)
    if weight is not None:
        g *= weight[y][:, None]
    if smoothing:
        V = logits.shape[1]
        spread = p - 1 / V if weight is None else p * (weight.sum() / V) - weight / V
        g = (1 - smoothing) * g + smoothing * spread
    return np.where(counted[:, None], g * dy[:, None], 0).astype(logits.dtype, copy=False)

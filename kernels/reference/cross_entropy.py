"""Cross-entropy of logits and labels, unreduced: one loss per row.

p = softmax(z)      lse = log Σ eᶻ      s: label smoothing, w: class weights (1 where there are none), V classes
loss = (1 − s) · w[label] · (lse − z[label])  +  s/V · Σⱼ w[j] · (lse − z[j])
dz[j] = dy · ((1 − s) · w[label] · (p[j] − [j = label])  +  s/V · (p[j] · Σ w − w[j]))

A row's lse is kept in two parts, the largest logit and Σ e^(z − top) of all others: lse = top + log(1 + others). As one
number it would be rounded, near 10⁴ to steps of 10⁻³, and so would be every probability. And for a confident row
p[label] − 1 would cancel to nothing in float32; it is taken as −Σ of the other p, which the second part knows.
"""

import numpy as np

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    """logits (N, V), labels (N,), weight (V,) or None → losses (N,), top (N,), others (N,). Ignored rows lose 0."""
    n, v = logits.shape
    counted, labels = _counted(labels, ignore_index)
    weight = np.ones(v, logits.dtype) if weight is None else weight
    # pass 1: the log-sum-exp, above the largest logit, which gives e⁰ = 1
    top = logits.real.max(1, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        d = logits - top[:, None]
        e, largest = np.exp(d), d.real == 0
        others = np.where(largest, e - 1, e).sum(1) + (largest.sum(1, dtype=d.real.dtype) - 1)
        logsum = np.log1p(others)
        # pass 2: the label's loss, and the smoothed mean of all
        losses = (1 - smoothing) * weight[labels] * (logsum - d[np.arange(n), labels])
        if smoothing:
            losses = losses + smoothing / v * ((logsum[:, None] - d) * weight).sum(1)
    return np.where(counted, losses, np.zeros((), logits.dtype)), top, others


def cross_entropy_backward(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    """dy (N,) → dlogits (N, V)."""
    n, v = logits.shape
    counted, labels = _counted(labels, ignore_index)
    weight = np.ones(v, logits.dtype) if weight is None else weight
    label = np.arange(n), labels
    # pass 1 backward: the probabilities; where the label's is p − 1, what the others have
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.exp(logits - top[:, None])
    total = 1 + others
    p = e / total[:, None]
    pull = p.copy()
    pull[label] = -(others + (1 - e[label])) / total
    # pass 2 backward
    dlogits = pull * ((1 - smoothing) * weight[labels])[:, None]
    if smoothing:
        dlogits = dlogits + smoothing / v * (p * weight.sum() - weight)
    return np.where(counted[:, None], dlogits * dy[:, None], np.zeros((), logits.dtype))


def _counted(labels, ignore_index):
    """Which rows count, and labels that are safe to index with (0 where ignored)."""
    counted = labels != ignore_index
    return counted, np.where(counted, labels, 0)

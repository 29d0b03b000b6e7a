"""Cross-entropy of logits and labels, unreduced: one loss per row.

p = softmax(z)      lse = log Σ eᶻ      s: label smoothing, w: class weights (1 where there are none), V classes
loss = (1 − s) · w[label] · (lse − z[label])  +  s/V · Σⱼ w[j] · (lse − z[j])
dz[j] = dy · ((1 − s) · w[label] · (p[j] − [j = label])  +  s/V · (p[j] · Σ w − w[j]))

For a confident row p[label] − 1 would cancel to nothing in float32; it is taken as −Σ of the other p.
"""

import numpy as np

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    """logits (N, V), labels (N,), weight (V,) or None → losses (N,), lse (N,). Ignored rows lose 0."""
    n, v = logits.shape
    counted, labels = _counted(labels, ignore_index)
    weight = np.ones(v, logits.dtype) if weight is None else weight
    # pass 1: the log-sum-exp, above the largest logit; the losses −log p
    top = logits.real.max(1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        d = logits - top
        logsum = np.log(np.exp(d).sum(1, keepdims=True))
        # pass 2: the label's loss, and the smoothed mean of all
        losses = (1 - smoothing) * weight[labels] * (logsum - d)[np.arange(n), labels]
        if smoothing:
            losses = losses + smoothing / v * ((logsum - d) * weight).sum(1)
        zero = np.zeros((), logits.dtype)
        return np.where(counted, losses, zero), (top + logsum)[:, 0]


def cross_entropy_backward(dy, logits, labels, weight, lse, ignore_index, smoothing):
    """dy (N,) → dlogits (N, V)."""
    n, v = logits.shape
    counted, labels = _counted(labels, ignore_index)
    weight = np.ones(v, logits.dtype) if weight is None else weight
    rows = np.arange(n)
    # pass 1 backward: the probabilities, all but the label's
    with np.errstate(invalid="ignore", over="ignore"):
        e = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    total = e.sum(1)
    dlogits = p = e / total[:, None]
    others = e.copy()
    others[rows, labels] = 0
    pull = p.copy()
    pull[rows, labels] = -others.sum(1) / total
    # pass 2 backward
    dlogits = pull * ((1 - smoothing) * weight[labels])[:, None]
    if smoothing:
        dlogits = dlogits + smoothing / v * (p * weight.sum() - weight)
    return np.where(counted[:, None], dlogits * dy[:, None], np.zeros((), logits.dtype))


def _counted(labels, ignore_index):
    """Which rows count, and labels that are safe to index with (0 where ignored)."""
    counted = labels != ignore_index
    return counted, np.where(counted, labels, 0)

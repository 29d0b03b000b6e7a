"""Cross-entropy, compiled. Backward takes the largest logit and the sum again instead of using the saved lse: for
logits of 10⁴ a float32 lse is off by 10⁻³, and so would be every probability.
"""

import numpy as np

from ._jit import chunk, parallel, prange, ready, scalars
from .softmax import _largest

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]

_exp = scalars.exp


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    n, v = logits.shape
    losses, lse = np.empty(n, logits.dtype), np.empty(n, logits.dtype)
    weight = np.ones(v, logits.dtype) if weight is None else ready(weight, logits.dtype)
    _forward(ready(logits), ready(labels, np.int64), weight, ignore_index, float(smoothing), chunk(n), losses, lse)
    return losses, lse


def cross_entropy_backward(dy, logits, labels, weight, lse, ignore_index, smoothing):
    n, v = logits.shape
    dlogits = np.empty((n, v), logits.dtype)
    weight = np.ones(v, logits.dtype) if weight is None else ready(weight, logits.dtype)
    labels = ready(labels, np.int64)
    _backward(ready(dy), ready(logits), labels, weight, ignore_index, float(smoothing), chunk(n), dlogits)
    return dlogits


@parallel
def _forward(logits, labels, weight, ignore_index, smoothing, size, losses, lse):
    n, v = logits.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            # pass 1: the log-sum-exp, above the largest logit
            top, total = np.float64(_largest(logits[i])), 0.0
            for j in range(v):
                total += _exp(logits[i, j] - top)
            logsum = np.log(total)
            lse[i] = top + logsum
            # pass 2: the label's loss, and the smoothed mean of all
            loss, label = 0.0, labels[i]
            if label != ignore_index:
                loss = (1.0 - smoothing) * weight[label] * (logsum - (logits[i, label] - top))
                if smoothing > 0.0:
                    total = 0.0
                    for j in range(v):
                        total += weight[j] * (logsum - (logits[i, j] - top))
                    loss += smoothing / v * total
            losses[i] = loss


@parallel
def _backward(dy, logits, labels, weight, ignore_index, smoothing, size, dlogits):
    n, v = logits.shape
    every = 0.0
    for j in range(v):
        every += weight[j]
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            label = labels[i]
            if label == ignore_index:
                for j in range(v):
                    dlogits[i, j] = 0.0
            else:
                # pass 1 backward: e^(z − max) of all but the label, whose p − 1 is −(the others' sum)
                top, others = np.float64(_largest(logits[i])), 0.0
                mine = _exp(logits[i, label] - top)
                for j in range(label):
                    e = _exp(logits[i, j] - top)
                    others += e
                    dlogits[i, j] = e
                for j in range(label + 1, v):
                    e = _exp(logits[i, j] - top)
                    others += e
                    dlogits[i, j] = e
                # pass 2 backward
                total = others + mine
                slope = (1.0 - smoothing) * weight[label] * dy[i]
                if smoothing > 0.0:
                    dlogits[i, label] = mine
                    smooth = smoothing / v * dy[i]
                    scale = (slope + smooth * every) / total
                    for j in range(v):
                        dlogits[i, j] = scale * dlogits[i, j] - smooth * weight[j]
                    dlogits[i, label] = smooth * (mine / total * every - weight[label]) - slope * (others / total)
                else:
                    for j in range(v):
                        dlogits[i, j] = slope / total * dlogits[i, j] if j != label else slope / total * -others

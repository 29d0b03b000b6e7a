"""Cross-entropy, compiled. Backward takes the largest logit and the sum again instead of using the saved lse: for
logits of 10⁴ a float32 lse is off by 10⁻³, and so would be every probability.
"""

import numpy as np

from ._exp import exp_below, largest
from ._jit import chunk, parallel, prange, ready

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


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
            row = logits[i]
            # pass 1: the log-sum-exp, above the largest logit. Summed in float64: of a sure model, log(1 + a little) is left
            top, total = largest(row), 0.0
            for j in range(len(row)):
                total += np.float64(exp_below(row[j] - top))
            logsum = np.log(total)
            lse[i] = top + logsum
            # pass 2: the label's loss, and the smoothed mean of all
            loss, label = 0.0, labels[i]
            if label != ignore_index:
                loss = (1.0 - smoothing) * weight[label] * (logsum - (np.float64(row[label]) - top))
                if smoothing > 0.0:
                    every = 0.0
                    for j in range(len(row)):
                        every += weight[j] * (logsum - (np.float64(row[j]) - top))
                    loss += smoothing / v * every
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
            row, out, label = logits[i], dlogits[i], labels[i]
            if label == ignore_index:
                out[:] = 0
            else:
                # pass 1 backward: e^(z − max) of all but the label, whose p − 1 is −(the others' sum)
                top, others = largest(row), 0.0
                for j in range(len(row)):
                    out[j] = exp_below(row[j] - top)
                mine, out[label] = np.float64(out[label]), 0
                for j in range(len(row)):
                    others += np.float64(out[j])
                # pass 2 backward
                total = others + mine
                slope = (1.0 - smoothing) * weight[label] * dy[i]
                if smoothing > 0.0:
                    smooth = smoothing / v * dy[i]
                    scale = (slope + smooth * every) / total
                    for j in range(len(out)):
                        out[j] = scale * out[j] - smooth * weight[j]
                    out[label] = smooth * (mine / total * every - weight[label]) - slope * (others / total)
                else:
                    share = logits.dtype.type(slope / total)
                    for j in range(len(out)):
                        out[j] *= share
                    out[label] = slope / total * -others

"""Cross-entropy, compiled. Backward takes the largest logit and the sum again instead of using the saved lse: for
logits of 10⁴ a float32 lse is off by 10⁻³, and so would be every probability.
"""

import numpy as np

from ._exp import exp_below, largest
from ._jit import block, minus, parallel, prange, ready

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    n, v = logits.shape
    losses, lse = np.empty(n, logits.dtype), np.empty(n, logits.dtype)
    weight = np.ones(v, logits.dtype) if weight is None else ready(weight, logits.dtype)
    _forward(ready(logits), ready(labels, np.int64), weight, ignore_index, float(smoothing), block(n, v), losses, lse)
    return losses, lse


def cross_entropy_backward(dy, logits, labels, weight, lse, ignore_index, smoothing):
    n, v = logits.shape
    dlogits = np.empty((n, v), logits.dtype)
    weight = np.ones(v, logits.dtype) if weight is None else ready(weight, logits.dtype)
    labels = ready(labels, np.int64)
    _backward(ready(dy), ready(logits), labels, weight, ignore_index, float(smoothing), block(n, v), dlogits)
    return dlogits


@parallel
def _forward(logits, labels, weight, ignore_index, smoothing, size, losses, lse):
    n, v = logits.shape
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        last = min(first + size, n)
        # pass 1: the log-sum-exp, above the largest logit. That one gives 1; a little more keeps its digits
        for i in range(first, last):
            lse[i] = largest(logits[i])
        for i in range(first, last):
            row, top, others, ones = logits[i], lse[i], zero, zero
            for j in range(len(row)):
                others += zero if row[j] == top else exp_below(row[j] - top)
                ones += one if row[j] == top else zero
            losses[i] = others + minus(ones, one)
        # pass 2: the label's loss, and the smoothed mean of all
        for i in range(first, last):
            row, top, label = logits[i], lse[i], labels[i]
            more = np.float64(losses[i])
            logsum = np.log(1.0 + more) if more > 1e-7 else more
            lse[i] = top + logsum
            losses[i] = 0
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
    zero, tops, others = logits.dtype.type(0), np.empty(n, logits.dtype), np.empty(n, logits.dtype)
    every = 0.0
    for j in range(v):
        every += weight[j]
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        last = min(first + size, n)
        # pass 1 backward: e^(z − max), and the sum of all but the label's, whose p − 1 is −(the others' sum)
        for i in range(first, last):
            tops[i] = largest(logits[i])
        for i in range(first, last):
            row, out, top, label, rest = logits[i], dlogits[i], tops[i], np.int32(labels[i]), zero
            for j in range(len(row)):
                out[j] = exp_below(row[j] - top)
                rest += zero if np.int32(j) == label else out[j]
            others[i] = rest
        # pass 2 backward
        for i in range(first, last):
            out, label = dlogits[i], labels[i]
            if label == ignore_index:
                out[:] = 0
            else:
                mine, rest = np.float64(out[label]), np.float64(others[i])
                total = mine + rest
                slope = (1.0 - smoothing) * weight[label] * dy[i]
                if smoothing > 0.0:
                    smooth = smoothing / v * dy[i]
                    scale = (slope + smooth * every) / total
                    for j in range(len(out)):
                        out[j] = scale * out[j] - smooth * weight[j]
                    out[label] = smooth * (mine / total * every - weight[label]) - slope * (rest / total)
                else:
                    share = logits.dtype.type(slope / total)
                    for j in range(len(out)):
                        out[j] *= share
                    out[label] = slope / total * -rest

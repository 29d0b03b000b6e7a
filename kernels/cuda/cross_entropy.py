"""Cross-entropy of logits and labels, unreduced: one block of threads a row.

p = softmax(z)      lse = log Σ eᶻ      s: label smoothing, w: class weights (1 where there are none), V classes
loss = (1 − s) · w[label] · (lse − z[label])  +  s/V · Σⱼ w[j] · (lse − z[j])
dz[j] = dy · ((1 − s) · w[label] · (p[j] − [j = label])  +  s/V · (p[j] · Σ w − w[j]))

For a confident row two things would cancel to nothing in float32: the sum 1 + (a little) in the logarithm, where the largest
logit's e⁰ = 1 is left to log1p, and p[label] − 1, which is taken as −Σ of the other p.
"""

import math

from ..reference import cross_entropy as _reference
from ._array import empty, full, ready
from ._block import block_max, block_sum
from ._launch import cuda, kernel, number

__all__ = _reference.__all__


@kernel
def _cross_entropy_forward(z, labels, weight, ignore, smoothing, v, losses, lse):
    t, threads, i = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    row, label = i * v, labels[i]
    # pass 1: the log-sum-exp, above the largest logit
    top = number(-math.inf)
    for j in range(t, v, threads):
        x = z[row + j]
        top = x if x > top or x != x else top
    top = block_max(top)
    rest, largest = number(0.0), number(0.0)
    for j in range(t, v, threads):
        if z[row + j] == top:
            largest += 1.0
        else:
            rest += math.exp(z[row + j] - top)
    rest = block_sum(rest)
    logsum = math.log1p(rest + (block_sum(largest) - 1.0)) + (top - top)     # NaN if the largest is infinite
    # pass 2: the label's loss, and the smoothed mean of all
    spread = number(0.0)
    if smoothing > 0.0:
        for j in range(t, v, threads):
            spread += (logsum - (z[row + j] - top)) * weight[j]
        spread = block_sum(spread)
    if t == 0:
        lse[i] = top + logsum
        if label == ignore:
            losses[i] = number(0.0)
        else:
            losses[i] = ((1.0 - smoothing) * weight[label] * (logsum - (z[row + label] - top))
                         + smoothing / number(v) * spread)


@kernel
def _cross_entropy_backward(dy, z, labels, weight, ignore, smoothing, v, dz):
    t, threads, i = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    row, label, slope = i * v, labels[i], dy[i]
    if label == ignore:
        for j in range(t, v, threads):
            dz[row + j] = number(0.0)
        return
    # pass 1 backward: the probabilities, all but the label's
    top = number(-math.inf)
    for j in range(t, v, threads):
        x = z[row + j]
        top = x if x > top or x != x else top
    top = block_max(top)
    others, weights = number(0.0), number(0.0)
    for j in range(t, v, threads):
        weights += weight[j]
        if j != label:
            others += math.exp(z[row + j] - top)
    others = block_sum(others)
    weights = block_sum(weights)
    total = others + math.exp(z[row + label] - top)
    # pass 2 backward
    for j in range(t, v, threads):
        p = math.exp(z[row + j] - top) / total
        pull = -others / total if j == label else p
        dz[row + j] = slope * ((1.0 - smoothing) * weight[label] * pull + smoothing / number(v) * (p * weights - weight[j]))


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    n, v = logits.shape
    losses, lse = empty((n,), logits.dtype), empty((n,), logits.dtype)
    if n:
        _cross_entropy_forward[n](ready(logits), ready(labels, "int64"), _weights(weight, logits), ignore_index,
                                  float(smoothing), v, losses, lse)
    return losses, lse


def cross_entropy_backward(dy, logits, labels, weight, lse, ignore_index, smoothing):
    n, v = logits.shape
    dlogits = empty((n, v), logits.dtype)
    if dlogits.size:
        _cross_entropy_backward[n](ready(dy, logits.dtype), ready(logits), ready(labels, "int64"), _weights(weight, logits),
                                   ignore_index, float(smoothing), v, dlogits)
    return dlogits


def _weights(weight, logits):
    return full(logits.shape[1:], 1, logits.dtype) if weight is None else ready(weight, logits.dtype)

"""Cross-entropy of logits and labels, unreduced: one block of threads a row.

p = softmax(z)      lse = log Σ eᶻ      s: label smoothing, w: class weights (1 where there are none), V classes
loss = (1 − s) · w[label] · (lse − z[label])  +  s/V · Σⱼ w[j] · (lse − z[j])
dz[j] = dy · ((1 − s) · w[label] · (p[j] − [j = label])  +  s/V · (p[j] · Σ w − w[j]))

A row's lse is kept in two parts, the largest logit and Σ e^(z − top) of all others: lse = top + log(1 + others). For a
confident row two things would cancel to nothing in float32: the sum 1 + (a little) in the logarithm, where the largest
logit's e⁰ = 1 is left to log1p, and p[label] − 1, which is taken as −Σ of the other p.
"""

import math

from ..reference import cross_entropy as _reference
from ._array import accumulator, constant, empty, ready
from ._block import block_max, block_sum, larger
from ._four import load_one
from ._launch import cuda, number
from ._row import HELD, SPAN, again, by_row, fetch, place, put

__all__ = _reference.__all__


@by_row
def _losses(z, labels, weight, ignore, smoothing, quiet, v, losses, tops, others):
    i, nothing = cuda.blockIdx.x, number(-math.inf)
    row, label = i * v, labels[i]
    held, weights = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    # pass 1: the largest logit, how often it is there, and Σ e^(z − largest) of the others. What a thread has added up is
    # worth less when a larger one turns up
    top, largest, rest = nothing, number(0.0), number(0.0)
    for start in range(0, v, SPAN):
        fetch(z, row + start, v - start, nothing, held)
        before = top
        for k in range(HELD):
            top = larger(top, held[k])
        if top != before:
            rest, largest = (rest + largest) * math.exp(before - top), number(0.0)
        for k in range(HELD):
            if held[k] == top:
                largest += 1.0
            else:
                rest += math.exp(held[k] - top)
    before, top = top, block_max(top)
    if top != before:
        rest, largest = (rest + largest) * math.exp(before - top), number(0.0)
    rest = block_sum(rest)
    rest += (block_sum(largest) - 1.0) + (top - top)        # NaN if the largest is infinite
    logsum = math.log1p(rest)
    # pass 2: the label's loss, and the smoothed mean of all
    spread = number(0.0)
    if smoothing > 0.0:
        for start in range(0, v, SPAN):
            again(z, row + start, v - start, nothing, held)
            fetch(weight, start, v - start, number(0.0), weights)
            for k in range(HELD):
                spread += (logsum - (held[k] - top)) * weights[k] if start + place(k) < v else number(0.0)
        spread = block_sum(spread)
    if cuda.threadIdx.x == 0:
        ignored = label == ignore
        tops[i] = top if not (ignored and quiet) else number(0.0)
        others[i] = rest if not (ignored and quiet) else number(0.0)
        losses[i] = number(0.0)
        if not ignored:
            losses[i] = ((1.0 - smoothing) * load_one(weight, label) * (logsum - (load_one(z, row + label) - top))
                         + smoothing / number(v) * spread)


@by_row
def _slopes(dy, z, labels, weight, tops, others, ignore, smoothing, v, dz):
    i, nothing = cuda.blockIdx.x, number(-math.inf)
    row, label, slope, top, rest = i * v, labels[i], load_one(dy, i), load_one(tops, i), load_one(others, i)
    held, weights = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    if label == ignore:
        for k in range(HELD):
            held[k] = number(0.0)
        for start in range(0, v, SPAN):
            put(held, dz, row + start, v - start)
        return
    total, share, label_weight = 1.0 + rest, smoothing / number(v), (1.0 - smoothing) * load_one(weight, label)
    total_weight = number(0.0)
    for k in range(HELD):
        weights[k] = number(0.0)
    if smoothing > 0.0:
        for start in range(0, v, SPAN):
            fetch(weight, start, v - start, number(0.0), weights)
            for k in range(HELD):
                total_weight += weights[k]
        total_weight = block_sum(total_weight)
    # passes 1 and 2 backward: the probabilities; where the label's is p − 1, what the others have
    for start in range(0, v, SPAN):
        fetch(z, row + start, v - start, nothing, held)
        if smoothing > 0.0:
            again(weight, start, v - start, number(0.0), weights)
        for k in range(HELD):
            e = math.exp(held[k] - top)
            pull = -(rest + (1.0 - e)) if start + place(k) == label else e
            held[k] = slope * (label_weight * (pull / total) + share * (e / total * total_weight - weights[k]))
        put(held, dz, row + start, v - start)


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    n = len(logits)
    wide = accumulator(logits.dtype)
    results = empty((n,), logits.dtype), empty((n,), wide), empty((n,), wide)
    return losses_of(logits, labels, weight, ignore_index, smoothing, results)


def cross_entropy_backward(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    return slopes_of(dy, logits, labels, weight, top, others, ignore_index, smoothing, empty(logits.shape, logits.dtype))


def losses_of(logits, labels, weight, ignore_index, smoothing, results, quiet=False):
    """Write losses, top and others. ``quiet``: the latter, too, are 0 for ignored rows, whatever they hold."""
    n, v = logits.shape
    if n:
        _losses(n, v)(ready(logits), ready(labels, "int64"), _weights(weight, logits), ignore_index, float(smoothing), quiet,
                      v, *results)
    return results


def slopes_of(dy, logits, labels, weight, top, others, ignore_index, smoothing, dlogits):
    """Write the logits' gradient over ``dlogits``, which may be the logits themselves."""
    n, v = logits.shape
    if logits.size:
        _slopes(n, v)(ready(dy, logits.dtype), ready(logits), ready(labels, "int64"), _weights(weight, logits), ready(top),
                      ready(others), ignore_index, float(smoothing), v, dlogits)
    return dlogits


def _weights(weight, logits):
    return constant(logits.shape[1], 1, logits.dtype) if weight is None else ready(weight, logits.dtype)

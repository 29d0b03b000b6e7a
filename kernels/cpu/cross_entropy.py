"""Cross-entropy, compiled: the reference's numbered passes, for a few rows at a time, while they are in cache."""

from functools import lru_cache

import numpy as np

from ._exp import exp_below, largest, log_above
from ._jit import block, chunk, minus, pieces, ready, spread
from ._memory import empty

__all__ = ["cross_entropy_backward", "cross_entropy_forward"]


def cross_entropy_forward(logits, labels, weight, ignore_index, smoothing):
    n, v = logits.shape
    losses, top, others = np.empty(n, logits.dtype), np.empty(n, logits.dtype), np.empty(n, logits.dtype)
    weight = _ones(v, logits.dtype) if weight is None else ready(weight, logits.dtype)
    labels, size = ready(labels, np.int64), block(n, v)
    _forward(pieces(n, size), ready(logits), labels, weight, ignore_index, float(smoothing), size, losses, top, others)
    return losses, top, others


def cross_entropy_backward(dy, logits, labels, weight, top, others, ignore_index, smoothing):
    n, v = logits.shape
    dlogits = empty((n, v), logits.dtype)
    weight = _ones(v, logits.dtype) if weight is None else ready(weight, logits.dtype)
    labels, top, others = ready(labels, np.int64), ready(top), ready(others)
    every, size = float(weight.sum(dtype=np.float64)) if smoothing > 0 else 0.0, chunk(n)
    _backward(pieces(n, size), ready(dy), ready(logits), labels, weight, top, others, ignore_index, float(smoothing), every,
              size, dlogits)
    return dlogits


@lru_cache(maxsize=4)
def _ones(n, dtype):
    return np.ones(n, dtype)


@spread
def _forward(piece, logits, labels, weight, ignore_index, smoothing, size, losses, tops, others):
    n, v = logits.shape
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    first = piece * size
    last = min(first + size, n)
    # pass 1: the largest logit, and Σ e^(z − top) of all others
    for i in range(first, last):
        tops[i] = largest(logits[i])
    for i in range(first, last):
        row, top, rest, ones = logits[i], tops[i], zero, zero
        for j in range(len(row)):
            rest += zero if row[j] == top else exp_below(row[j] - top)
            ones += one if row[j] == top else zero
        others[i] = rest + minus(ones, one) + (top - top)       # NaN if the largest is infinite
    for i in range(first, last):
        losses[i] = log_above(others[i])
    # pass 2: the label's loss, and the smoothed mean of all
    for i in range(first, last):
        row, top, label, logsum = logits[i], tops[i], labels[i], np.float64(losses[i])
        losses[i] = 0
        if label != ignore_index:
            loss = (1.0 - smoothing) * weight[label] * minus(logsum, minus(np.float64(row[label]), top))
            if smoothing > 0.0:
                every = 0.0
                for j in range(len(row)):
                    every += weight[j] * minus(logsum, minus(np.float64(row[j]), top))
                loss += smoothing / v * every
            losses[i] = loss


@spread
def _backward(piece, dy, logits, labels, weight, tops, others, ignore_index, smoothing, every, size, dlogits):
    n, v = logits.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out, label = logits[i], dlogits[i], labels[i]
        top, rest = tops[i], np.float64(others[i])          # all in one tuple, Numba 0.68 loses the last write to out
        if label == ignore_index:
            out[:] = 0
        else:
            slope, smooth, share = (1.0 - smoothing) * weight[label] * dy[i], smoothing / v * dy[i], 1.0 / (1.0 + rest)
            # passes 1 and 2 backward
            scale, less = logits.dtype.type((slope + smooth * every) * share), logits.dtype.type(smooth)
            for j in range(len(row)):
                out[j] = scale * exp_below(row[j] - top) - less * weight[j]
            # the label's p − 1 would cancel where p is more than ½, so the label's logit the largest
            if row[label] == top:
                out[label] = smooth * (every * share - weight[label]) - slope * (rest * share)
            else:
                out[label] -= logits.dtype.type(slope)

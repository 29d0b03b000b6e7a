"""Linear, softmax and cross-entropy in one, never with all logits. The formulas stand in the reference.

Some classes at a time, for all rows: their logits stay in the cache, and their weights' gradient is written once. So the
sum of a row grows from one few to the next, and is scaled down where a larger logit comes.
"""

import numpy as np

from ._exp import exp_below, largest
from ._jit import jit, minus, ready, spread
from ._memory import empty
from ._product import product
from .matmul import column_sums

__all__ = ["projection_backward", "projection_forward"]

SPACE, FEWEST = 4 << 20, 512    # bytes of logits at a time, but at least so many classes


def projection_forward(x, weight, bias, labels, ignore_index, smoothing):
    """x (N, d), weight (V, d), bias (V,) or None, labels (N,) → losses (N,), top (N,), others (N,), all 0 where ignored."""
    kept, x, labels = _kept(labels, ignore_index, x, labels)        # what is ignored, nobody sees
    top, others, sums = np.full(len(x), -np.inf, x.dtype), np.zeros(len(x), x.dtype), np.zeros((2, len(x)))
    # passes 1 and 2: logits, log-sum-exp
    for first, z in _logits(x, weight, bias):
        _add_up(len(z), z, first, labels, smoothing > 0, top, others, *sums)
    others += top - top         # NaN if the largest is infinite
    # pass 3: loss
    (own, mean), lse = sums / [[1], [max(1, len(weight))]], np.log1p(others, dtype=np.float64)
    losses = (1 - smoothing) * (top - own + lse)
    if smoothing > 0:
        losses += smoothing * (top - mean + lse)
    return tuple(_everywhere(found, kept) for found in (losses.astype(x.dtype), top, others))


def projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=(True, True, True)):
    """dy (N,) → dx (N, d), dweight (V, d), dbias (V,)."""
    kept, dy, x, labels, top, others = _kept(labels, ignore_index, dy, x, labels, top, others)
    dx = np.zeros(x.shape, x.dtype) if needs[0] else None
    dweight = empty(weight.shape, x.dtype) if needs[1] else None
    dbias = np.empty(len(weight), x.dtype) if needs[2] and bias is not None else None
    smoothing, share = x.dtype.type(smoothing), x.dtype.type(smoothing / max(1, len(weight)))
    # passes 1 and 2 again
    for first, z in _logits(x, weight, bias):
        # pass 3 backward: the gradient is written over the logits
        _gradients(len(z), z, first, labels, top, others, dy, smoothing, share)
        # pass 1 backward
        some = slice(first, first + z.shape[1])
        if needs[0]:
            product(z, weight[some], out=dx, add=True)
        if needs[1]:
            product(z.T, x, out=dweight[some])
        if dbias is not None:
            dbias[some] = column_sums(z)
    return _everywhere(dx, kept) if needs[0] else None, dweight, dbias


def _kept(labels, ignore_index, *arrays):
    """Where the labels count, and what stands there in each array."""
    kept = labels != ignore_index
    if kept.all():
        kept = slice(None)      # nothing is copied
    return kept, *[ready(a[kept]) for a in arrays]


def _everywhere(found, kept):
    """What was found for the rows that count, at their places; 0 for the others."""
    if type(kept) is slice:
        return found
    everywhere = np.zeros((len(kept), *found.shape[1:]), found.dtype)
    everywhere[kept] = found
    return everywhere


def _logits(x, weight, bias):
    """The logits of some classes after those of others, each in the memory of the ones before; and the first class."""
    step = max(FEWEST, SPACE // max(1, len(x) * x.itemsize))
    space = np.empty(len(x) * min(step, len(weight)), x.dtype)
    for first in range(0, len(weight), step):
        w, b = weight[first:first + step], None if bias is None else bias[first:first + step]
        yield first, product(x, w.T, b, out=space[:len(x) * len(w)].reshape(len(x), len(w)))


@spread
def _add_up(i, z, first, labels, averaged, tops, others, own, total):
    tops[i], others[i] = _add_up_row(z[i], tops[i], others[i])
    if 0 <= labels[i] - first < z.shape[1]:
        own[i] = z[i, labels[i] - first]
    if averaged:
        for j in range(z.shape[1]):
            total[i] += z[i, j]


@jit
def _add_up_row(z, top, others):
    """top, the largest logit so far, and others = Σ e^(z − top) of all others, with some more logits."""
    zero, one = z.dtype.type(0), z.dtype.type(1)
    m, rest, ones = largest(z), zero, zero
    for j in range(len(z)):
        rest += zero if z[j] == m else exp_below(z[j] - m)
        ones += one if z[j] == m else zero
    if m > top:
        return m, rest + minus(ones, one) + (others if top == -np.inf else (others + one) * exp_below(top - m))
    return top, others + (rest if m == -np.inf else (rest + ones) * exp_below(m - top))


@spread
def _gradients(i, z, first, labels, tops, others, dy, smoothing, share):
    _gradient(z[i], labels[i] - first, tops[i], others[i], dy[i], smoothing, share)


@jit
def _gradient(z, label, top, others, dy, smoothing, share):
    """Some logits of a row become the gradient. At the label: the sum of the others, for p − 1 would lose its digits."""
    one = z.dtype.type(1)
    own, scale = exp_below(z[label] - top) if 0 <= label < len(z) else one, dy / (one + others)
    for j in range(len(z)):
        z[j] = scale * exp_below(z[j] - top) - dy * share
    if 0 <= label < len(z):
        # where the label's is the largest logit, the others do not hold it, and their sum is what p lacks
        rest = others if own > others + others else others + (one - own)
        z[label] = dy * (smoothing - share) - scale * rest

"""Linear, softmax and cross-entropy in one, in chunks of rows. The formulas stand in the reference."""

import numpy as np

from ..reference.projection import _chunks
from ._blas import product
from ._exp import exp_below, largest
from ._jit import jit, parallel, prange, ready
from .matmul import column_sums

__all__ = ["projection_backward", "projection_forward"]


def projection_forward(x, weight, bias, labels, ignore_index, smoothing):
    """x (N, d), weight (V, d), bias (V,) or None, labels (N,) → losses (N,), 0 where ignored, lse (N,)."""
    losses, lse = np.zeros(len(x), x.dtype), np.zeros(len(x), x.dtype)
    # pass 1: logits
    for rows, z in _logits_by_chunk(x, weight, bias, labels, ignore_index):
        # passes 2 and 3: log-sum-exp, loss
        chunk, chunk_lse = np.empty(len(rows), x.dtype), np.empty(len(rows), x.dtype)
        _losses(z, ready(labels[rows]), x.dtype.type(smoothing), chunk, chunk_lse)
        losses[rows], lse[rows] = chunk, chunk_lse
    return losses, lse


def projection_backward(dy, x, weight, bias, labels, lse, ignore_index, smoothing, needs=(True, True, True)):
    """dy (N,) → dx (N, d), dweight (V, d), dbias (V,)."""
    dx, dweight, dbias = np.zeros(x.shape, x.dtype), None, np.zeros(len(weight), x.dtype)
    for rows, dz in _logits_by_chunk(x, weight, bias, labels, ignore_index):
        # passes 1 and 2 again, pass 3 backward
        _gradients(dz, ready(labels[rows]), lse[rows], dy[rows], x.dtype.type(smoothing))
        # pass 1 backward
        if needs[0]:
            dx[rows] = product(dz, weight)
        if needs[1]:
            dweight = product(dz.T, x[rows], out=dweight, add=dweight is not None)
        if needs[2] and bias is not None:
            dbias += column_sums(dz)
    if dweight is None:
        dweight = np.zeros(weight.shape, x.dtype)
    gradients = dx, dweight, None if bias is None else dbias
    return tuple(g if need else None for g, need in zip(gradients, needs, strict=True))


def _logits_by_chunk(x, weight, bias, labels, ignore_index):
    """Row numbers and their logits, chunk by chunk, each in the memory of the one before."""
    chunks = _chunks(labels, ignore_index, weight)
    space = np.empty((max(map(len, chunks), default=0), len(weight)), x.dtype)
    for rows in chunks:
        yield rows, product(x[rows], weight.T, bias, out=space[:len(rows)])


@parallel
def _losses(z, labels, smoothing, losses, lse):
    for i in prange(len(z)):
        losses[i], lse[i] = _loss(z[i], labels[i], smoothing)


@jit
def _loss(z, label, smoothing):
    """The loss of one row of logits, and its lse. The largest logit, exp(0) = 1 in the sum, is left to log1p."""
    own, m, sum_ = z[label], largest(z), z.dtype.type(0)
    for j in range(len(z)):
        sum_ += z[j]
    top = 0
    while top < len(z) - 1 and z[top] != m:
        top += 1
    z[top] = -np.inf
    rest = z.dtype.type(0)
    for j in range(len(z)):
        rest += exp_below(z[j] - m)
    rest = np.log1p(rest)
    return (1 - smoothing) * (m - own + rest) + smoothing * (m - sum_ / z.dtype.type(len(z)) + rest), m + rest


@parallel
def _gradients(z, labels, lse, dy, smoothing):
    for i in prange(len(z)):
        _gradient(z[i], labels[i], lse[i], dy[i], smoothing)


@jit
def _gradient(z, label, lse, dy, smoothing):
    """A row of logits becomes the gradient. At the label: the sum of the others, for p − 1 would lose its digits."""
    share = smoothing / z.dtype.type(len(z))
    own = exp_below(z[label] - lse)
    z[label] = -np.inf
    others = z.dtype.type(0)
    for j in range(len(z)):
        z[j] = exp_below(z[j] - lse)
        others += z[j]
    # all p are off by one factor, as lse is rounded: their sum tells it
    total = own + others
    for j in range(len(z)):
        z[j] = dy * (z[j] / total - share)
    z[label] = dy * (smoothing - share - others / total)

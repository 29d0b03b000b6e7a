"""Linear, softmax and cross-entropy in one, in chunks of rows. The formulas stand in the reference."""

import numpy as np

from ..reference.projection import _chunks
from ._blas import product
from ._exp import exp_below
from ._jit import jit, parallel, prange, ready
from .cross_entropy import cross_entropy_forward
from .matmul import column_sums

__all__ = ["projection_backward", "projection_forward"]


def projection_forward(x, weight, bias, labels, ignore_index, smoothing):
    """x (N, d), weight (V, d), bias (V,) or None, labels (N,) → losses (N,), top (N,), others (N,), all 0 where ignored."""
    results = tuple(np.zeros(len(x), x.dtype) for _ in range(3))
    # pass 1: logits
    for rows, z in _logits_by_chunk(x, weight, bias, labels, ignore_index):
        # passes 2 and 3: log-sum-exp, loss
        for all_rows, chunk in zip(results, cross_entropy_forward(z, labels[rows], None, ignore_index, smoothing)):
            all_rows[rows] = chunk
    return results


def projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=(True, True, True)):
    """dy (N,) → dx (N, d), dweight (V, d), dbias (V,)."""
    dx, dweight, dbias = np.zeros(x.shape, x.dtype), None, np.zeros(len(weight), x.dtype)
    for rows, dz in _logits_by_chunk(x, weight, bias, labels, ignore_index):
        # passes 1 and 2 again, pass 3 backward: the gradient is written over the logits
        _gradients(dz, ready(labels[rows]), top[rows], others[rows], dy[rows], x.dtype.type(smoothing))
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
def _gradients(z, labels, tops, others, dy, smoothing):
    for i in prange(len(z)):
        _gradient(z[i], labels[i], tops[i], others[i], dy[i], smoothing)


@jit
def _gradient(z, label, top, others, dy, smoothing):
    """A row of logits becomes the gradient. At the label: the sum of the others, for p − 1 would lose its digits."""
    sure, scale, share = z[label] == top, dy / (1 + others), smoothing / z.dtype.type(len(z))
    for j in range(len(z)):
        z[j] = scale * exp_below(z[j] - top) - dy * share
    z[label] = dy * (smoothing - share) - scale * others if sure else z[label] - dy * (1 - smoothing)

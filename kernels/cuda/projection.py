"""Linear, softmax and cross-entropy in one: the loss of a language model from its last hidden states.

Forward    z = x weightᵀ + bias      lse = log Σ exp(z)
           loss = (1 − ε) (lse − z_label) + ε ⟨lse − z⟩                    ε: label smoothing
Backward   dz = dy · (p − ε/V)       p = exp(z − lse)          at the label: dy · (ε − ε/V − Σ of the other p)
           dx = dz weight            dweight = dzᵀ x                       dbias = Σ dz

Rows go through in chunks, so that the logits z (N, V) never exist as a whole. Ignored rows count as 0 all the way.
"""

import math

import numpy as np

from ..reference import projection as _reference
from ._array import empty, full, ready, view, zeros
from ._block import block_max, block_sum
from ._launch import cuda, kernel, number
from ._map import each, into
from .arithmetic import _add, _where
from .matmul import product
from .reduce import sum_forward

__all__ = _reference.__all__


@kernel
def _losses(z, bias, labels, ignore, smoothing, v, losses, lse):
    t, threads, i = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    row, label = i * v, labels[i]
    # pass 1: logits, the largest
    top, mean = number(-math.inf), number(0.0)
    for j in range(t, v, threads):
        x = z[row + j] + bias[j]
        z[row + j] = x
        mean += x
        top = x if x > top or x != x else top
    top = block_max(top)
    mean = block_sum(mean) / number(v)
    # pass 2: log-sum-exp. The largest logit is exp(0) = 1 in the sum; log1p of the others keeps their digits
    rest, largest = number(0.0), number(0.0)
    for j in range(t, v, threads):
        if z[row + j] == top:
            largest += 1.0
        else:
            rest += math.exp(z[row + j] - top)
    rest = block_sum(rest)
    rest = math.log1p(rest + (block_sum(largest) - 1.0)) + (top - top)
    # pass 3: loss
    if t == 0:
        if label == ignore:
            losses[i], lse[i] = number(0.0), number(0.0)
        else:
            losses[i] = (1.0 - smoothing) * (top - z[row + label] + rest) + smoothing * (top - mean + rest)
            lse[i] = top + rest


@kernel
def _gradients(dy, bias, labels, lse, ignore, smoothing, v, z):
    t, threads, i = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    row, label = i * v, labels[i]
    if label == ignore:
        for j in range(t, v, threads):
            z[row + j] = number(0.0)
        return
    # passes 1 and 2 again: probabilities, from lse, and what they add up to: lse was rounded
    others = number(0.0)
    for j in range(t, v, threads):
        z[row + j] = math.exp(z[row + j] + bias[j] - lse[i])
        others += z[row + j] if j != label else number(0.0)
    others = block_sum(others)
    total = others + z[row + label]
    cuda.syncthreads()
    # pass 3 backward
    share = smoothing / number(v)
    for j in range(t, v, threads):
        z[row + j] = dy[i] * (z[row + j] / total - share if j != label else smoothing - share - others / total)


def projection_forward(x, weight, bias, labels, ignore_index, smoothing):
    n, v = len(x), len(weight)
    dtype, labels = np.result_type(x.dtype, weight.dtype), ready(labels, "int64")
    losses, lse, offsets = empty((n,), dtype), empty((n,), dtype), _bias(bias, v, dtype)
    for start, stop in _chunks(n, v, dtype):
        z = product(x[start:stop], weight.T)
        _losses[stop - start](z, offsets, labels[start:stop], ignore_index, float(smoothing), v, losses[start:stop],
                              lse[start:stop])
    return losses, lse


def projection_backward(dy, x, weight, bias, labels, lse, ignore_index, smoothing, needs=(True, True, True)):
    n, v = len(x), len(weight)
    dx = zeros(x.shape, x.dtype) if needs[0] else None
    dweight = zeros(weight.shape, weight.dtype) if needs[1] else None
    dbias = zeros((v,), x.dtype) if needs[2] and bias is not None else None
    dy, labels, lse, offsets = ready(dy, x.dtype), ready(labels, "int64"), ready(lse), _bias(bias, v, x.dtype)
    for start, stop in _chunks(n, v, x.dtype):
        dz = product(x[start:stop], weight.T)
        _gradients[stop - start](dy[start:stop], offsets, labels[start:stop], lse[start:stop], ignore_index,
                                 float(smoothing), v, dz)
        # pass 1 backward
        if needs[0]:
            product(dz, weight, dx[start:stop])
        if needs[1]:
            ignored = view(np.expand_dims, labels[start:stop] == ignore_index, 1)
            seen = each(_where, ignored, 0.0, x[start:stop], dtype=x.dtype)
            into(dweight, _add, dweight, product(dz.T, seen))
        if dbias is not None:
            into(dbias, _add, dbias, sum_forward(dz, (0,), False))
    return dx, dweight, dbias


def _chunks(n, v, dtype):
    """Where the rows' pieces begin and end."""
    step = max(1, _reference.CHUNK_BYTES // max(1, v * dtype.itemsize))
    return [(i, min(i + step, n)) for i in range(0, n, step)]


def _bias(bias, v, dtype):
    return full((v,), 0, dtype) if bias is None else ready(bias, dtype)

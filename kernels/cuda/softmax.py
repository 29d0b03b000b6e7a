"""Softmax and its logarithm over any axis, one block of threads a row.

softmax       p = e^(x − max) / Σ e^(x − max)      dx = p · (dy − Σ dy · p)
log_softmax   y = x − max − log Σ e^(x − max)      dx = dy − e^y · Σ dy
"""

import math

import numpy as np

from ._array import empty_like, ready, view
from ._block import block_max, block_sum
from ._launch import cuda, kernel, number

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


@kernel
def _softmax_forward(x, c, y):
    t, threads = cuda.threadIdx.x, cuda.blockDim.x
    row = cuda.blockIdx.x * c
    # pass 1: the largest
    top = number(-math.inf)
    for j in range(t, c, threads):
        v = x[row + j]
        top = v if v > top or v != v else top
    top = block_max(top)
    # pass 2: the sum
    total = number(0.0)
    for j in range(t, c, threads):
        total += math.exp(x[row + j] - top)
    total = block_sum(total)
    # pass 3: write
    for j in range(t, c, threads):
        y[row + j] = math.exp(x[row + j] - top) / total


@kernel
def _softmax_backward(dy, y, c, dx):
    t, threads = cuda.threadIdx.x, cuda.blockDim.x
    row = cuda.blockIdx.x * c
    # pass 2 backward: a probability that grows takes from the others of its row
    total = number(0.0)
    for j in range(t, c, threads):
        total += dy[row + j] * y[row + j]
    total = block_sum(total)
    # pass 3 backward
    for j in range(t, c, threads):
        dx[row + j] = y[row + j] * (dy[row + j] - total)


@kernel
def _log_softmax_forward(x, c, y):
    t, threads = cuda.threadIdx.x, cuda.blockDim.x
    row = cuda.blockIdx.x * c
    # pass 1: the largest
    top = number(-math.inf)
    for j in range(t, c, threads):
        v = x[row + j]
        top = v if v > top or v != v else top
    top = block_max(top)
    # pass 2: the logarithm of the sum
    total = number(0.0)
    for j in range(t, c, threads):
        total += math.exp(x[row + j] - top)
    logsum = math.log(block_sum(total))
    # pass 3: write
    for j in range(t, c, threads):
        y[row + j] = x[row + j] - top - logsum


@kernel
def _log_softmax_backward(dy, y, c, dx):
    t, threads = cuda.threadIdx.x, cuda.blockDim.x
    row = cuda.blockIdx.x * c
    # pass 2 backward
    total = number(0.0)
    for j in range(t, c, threads):
        total += dy[row + j]
    total = block_sum(total)
    # pass 3 backward
    for j in range(t, c, threads):
        dx[row + j] = dy[row + j] - math.exp(y[row + j]) * total


def softmax_forward(x, axis):
    return _along(_softmax_forward, axis, x)


def softmax_backward(dy, y, axis):
    return _along(_softmax_backward, axis, dy, y)


def log_softmax_forward(x, axis):
    return _along(_log_softmax_forward, axis, x)


def log_softmax_backward(dy, y, axis):
    return _along(_log_softmax_backward, axis, dy, y)


def _along(loop, axis, *arrays):
    """Run a kernel over rows on arrays whose rows lie along this axis."""
    if not arrays[0].ndim:
        return _along(loop, 0, *[x.reshape(1) for x in arrays]).reshape(())
    rows = [ready(view(np.moveaxis, x, axis, -1)) for x in arrays]
    y = empty_like(rows[0])
    if y.size:
        c = y.shape[-1]
        loop[y.size // c](*rows, c, y)
    return view(np.moveaxis, y, -1, axis)

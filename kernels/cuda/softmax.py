"""Softmax and its logarithm over any axis, one block of threads a row.

softmax       p = e^(x − max) / Σ e^(x − max)      dx = p · (dy − Σ dy · p)
log_softmax   y = x − max − log Σ e^(x − max)      dx = dy − e^y · Σ dy
"""

import math

import numpy as np

from ._array import empty_like, ready, view
from ._block import block_max, block_sum, larger
from ._launch import cuda, number
from ._row import HELD, LONG, SPAN, again, by_row, fetch, put

__all__ = ["log_softmax_backward", "log_softmax_forward", "softmax_backward", "softmax_forward"]


@by_row
def _softmax_forward(x, c, y):
    row = cuda.blockIdx.x * c
    held, nothing = cuda.local.array(HELD, number), number(-math.inf)
    # pass 1: the largest
    top = nothing
    for start in range(0, c, SPAN):
        fetch(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            top = larger(top, held[k])
    top = block_max(top)
    # pass 2: the sum
    total = number(0.0)
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            held[k] = math.exp(held[k] - top)
            total += held[k]
    total = block_sum(total)
    # pass 3: write
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            held[k] = (math.exp(held[k] - top) if LONG else held[k]) / total
        put(held, y, row + start, c - start)


@by_row
def _softmax_backward(dy, y, c, dx):
    row = cuda.blockIdx.x * c
    slopes, p, nothing = cuda.local.array(HELD, number), cuda.local.array(HELD, number), number(0.0)
    # pass 2 backward: a probability that grows takes from the others of its row
    total = number(0.0)
    for start in range(0, c, SPAN):
        fetch(dy, row + start, c - start, nothing, slopes)
        fetch(y, row + start, c - start, nothing, p)
        for k in range(HELD):
            total += slopes[k] * p[k]
    total = block_sum(total)
    # pass 3 backward
    for start in range(0, c, SPAN):
        again(dy, row + start, c - start, nothing, slopes)
        again(y, row + start, c - start, nothing, p)
        for k in range(HELD):
            p[k] *= slopes[k] - total
        put(p, dx, row + start, c - start)


@by_row
def _log_softmax_forward(x, c, y):
    row = cuda.blockIdx.x * c
    held, nothing = cuda.local.array(HELD, number), number(-math.inf)
    # pass 1: the largest
    top = nothing
    for start in range(0, c, SPAN):
        fetch(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            top = larger(top, held[k])
    top = block_max(top)
    # pass 2: the logarithm of the sum
    total = number(0.0)
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            total += math.exp(held[k] - top)
    logsum = math.log(block_sum(total))
    # pass 3: write
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            held[k] = held[k] - top - logsum
        put(held, y, row + start, c - start)


@by_row
def _log_softmax_backward(dy, y, c, dx):
    row = cuda.blockIdx.x * c
    slopes, held, nothing = cuda.local.array(HELD, number), cuda.local.array(HELD, number), number(0.0)
    # pass 2 backward
    total = number(0.0)
    for start in range(0, c, SPAN):
        fetch(dy, row + start, c - start, nothing, slopes)
        for k in range(HELD):
            total += slopes[k]
    total = block_sum(total)
    # pass 3 backward
    for start in range(0, c, SPAN):
        again(dy, row + start, c - start, nothing, slopes)
        fetch(y, row + start, c - start, nothing, held)
        for k in range(HELD):
            held[k] = slopes[k] - math.exp(held[k]) * total
        put(held, dx, row + start, c - start)


def softmax_forward(x, axis):
    return _along(_softmax_forward, axis, x)


def softmax_backward(dy, y, axis):
    return _along(_softmax_backward, axis, dy, y)


def log_softmax_forward(x, axis):
    return _along(_log_softmax_forward, axis, x)


def log_softmax_backward(dy, y, axis):
    return _along(_log_softmax_backward, axis, dy, y)


def _along(kernel, axis, *arrays):
    """Run a kernel over rows on arrays whose rows lie along this axis."""
    if not arrays[0].ndim:
        return _along(kernel, 0, *[x.reshape(1) for x in arrays]).reshape(())
    rows = [ready(view(np.moveaxis, x, axis, -1)) for x in arrays]
    y = empty_like(rows[0])
    if y.size:
        c = y.shape[-1]
        kernel(y.size // c, c)(*rows, c, y)
    return view(np.moveaxis, y, -1, axis)

"""The residual connection: y = x + dropout(f + bias), in one pass.

dx = dy      df = dropout's mask · dy / (1 − p)      dbias = Σ df over every row
"""

from ..reference import residual as _reference
from ._array import constant, empty, ready
from ._four import WIDTH, FourKernel, fetch, put
from ._launch import cuda, number, scalars
from .dropout import drop, dropout_backward
from .reduce import sum_forward

__all__ = _reference.__all__

_bits = scalars.random_bits


def _residual(x, f, bias, scale, limit, first, second, n, c, y):
    held, branch, shift = cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number)
    i = WIDTH * cuda.grid(1)
    while i < n:
        fetch(x, i, held)
        fetch(f, i, branch)
        fetch(bias, i % c, shift)
        for k in range(WIDTH):
            kept = limit == 0 or _bits(first, second, i + k) >= limit
            held[k] += (branch[k] + shift[k]) * scale if kept else number(0.0)
        put(held, y, i)
        i += WIDTH * cuda.gridsize(1)


_residual = FourKernel(_residual)


def residual_forward(x, f, bias, p, seed):
    c = x.shape[-1] if x.ndim else 1
    bias = constant(c, 0, x.dtype) if bias is None else ready(bias, x.dtype)
    y = empty(x.shape, x.dtype)
    if y.size:
        _residual(y.size, ready(x), ready(f, x.dtype), bias, *drop(p, seed), y.size, c, y)
    return y


def residual_backward(dy, p, seed, needs=(True, True, True)):
    df = dbias = None
    if needs[1] or needs[2]:
        df = dropout_backward(dy, p, seed) if p else dy
    if needs[2]:
        dbias = sum_forward(df, tuple(range(df.ndim - 1)), False)
    return dy if needs[0] else None, df if needs[1] else None, dbias

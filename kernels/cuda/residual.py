"""The residual connection: y = x + dropout(f + bias), in one pass.

dx = dy      df = dropout's mask · dy / (1 − p)      dbias = Σ df over every row
"""

from ..reference import residual as _reference
from ._array import empty, full, ready
from ._launch import blocks_for, cuda, kernel, number, scalars
from .dropout import dropout_backward, limits, scale_of
from .reduce import sum_forward

__all__ = _reference.__all__

_bits = scalars.random_bits


@kernel
def _residual(x, f, bias, scale, limit, first, second, n, c, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        kept = limit == 0 or _bits(first, second, i) >= limit
        y[i] = x[i] + ((f[i] + bias[i % c]) * scale if kept else number(0.0))


def residual_forward(x, f, bias, p, seed):
    c = x.shape[-1] if x.ndim else 1
    bias = full((c,), 0, x.dtype) if bias is None else ready(bias, x.dtype)
    y = empty(x.shape, x.dtype)
    if y.size:
        settings = (scale_of(p), *limits(p, seed)) if p else (1.0, 0, 0, 0)
        _residual[blocks_for(y.size)](ready(x), ready(f, x.dtype), bias, *settings, y.size, c, y)
    return y


def residual_backward(dy, p, seed, needs=(True, True, True)):
    df = dbias = None
    if needs[1] or needs[2]:
        df = dropout_backward(dy, p, seed) if p else dy
    if needs[2]:
        dbias = sum_forward(df, tuple(range(df.ndim - 1)), False)
    return dy if needs[0] else None, df if needs[1] else None, dbias

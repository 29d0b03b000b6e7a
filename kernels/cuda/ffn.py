"""The feed-forward layer: linear, activation, dropout, linear.

Forward    pre = x w1ᵀ + b1       hidden = dropout(act(pre))       y = hidden w2ᵀ + b2
Backward   dhidden = dy w2        dpre = dropout(dhidden) · act′(pre)
           dx = dpre w1           dw1 = dpreᵀ x         db1 = Σ dpre        dw2 = dyᵀ hidden        db2 = Σ dy

Only pre is kept; hidden is made again from it. One kernel does activation and dropout, one their backward.
"""

from functools import lru_cache

from ..reference import ffn as _reference
from ._array import constant, empty, ready
from ._four import WIDTH, FourKernel, fetch, put
from ._launch import cuda, number, scalars
from ._map import formula
from .activation import _gelu, _gelu_slope, _gelu_tanh, _gelu_tanh_slope, _relu, _silu, _silu_slope
from .dropout import drop
from .matmul import product, rows
from .reduce import sum_forward

__all__ = _reference.__all__

_bits = scalars.random_bits
_relu_slope_at = formula(lambda dy, x: dy if x > 0 else 0.0)
_ACTIVATIONS = {"relu": (_relu, _relu_slope_at), "gelu": (_gelu, _gelu_slope), "silu": (_silu, _silu_slope),
                "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope)}
act = act_slope = formula(lambda x: x)      # below: the activation that a kernel is being compiled for


def _hidden(linear, bias, scale, limit, first, second, n, h, pre, hidden):
    held, shift = cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number)
    i = WIDTH * cuda.grid(1)
    while i < n:
        fetch(linear, i, held)
        fetch(bias, i % h, shift)
        for k in range(WIDTH):
            held[k] += shift[k]
        put(held, pre, i)
        for k in range(WIDTH):
            kept = limit == 0 or _bits(first, second, i + k) >= limit
            held[k] = number(act(held[k])) * scale if kept else number(0.0)
        put(held, hidden, i)
        i += WIDTH * cuda.gridsize(1)


def _hidden_backward(dhidden, pre, scale, limit, first, second, n, dpre, hidden):
    held, slopes = cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number)
    i = WIDTH * cuda.grid(1)
    while i < n:
        fetch(pre, i, held)
        fetch(dhidden, i, slopes)
        for k in range(WIDTH):
            kept = limit == 0 or _bits(first, second, i + k) >= limit
            slopes[k] = number(act_slope(slopes[k], held[k])) * scale if kept else number(0.0)
            held[k] = number(act(held[k])) * scale if kept else number(0.0)
        put(slopes, dpre, i)
        put(held, hidden, i)
        i += WIDTH * cuda.gridsize(1)


@lru_cache(None)
def _kernels(activation):
    act, act_slope = _ACTIVATIONS[activation]
    return (FourKernel(_hidden, f"ffn._hidden with {activation}", act=act),
            FourKernel(_hidden_backward, f"ffn._hidden_backward with {activation}", act=act, act_slope=act_slope))


def ffn_forward(x, w1, b1, w2, b2, activation, p, seed):
    # pass 1: linear
    pre = product(rows(x), w1.T)
    n, h = pre.shape
    b1 = constant(h, 0, x.dtype) if b1 is None else ready(b1, x.dtype)
    # pass 2: bias, activation, dropout
    hidden = empty(pre.shape, pre.dtype)
    if pre.size:
        _kernels(activation)[0](pre.size, pre, b1, *drop(p, seed), pre.size, h, pre, hidden)
    # pass 3: linear
    y = product(hidden, w2.T, bias=b2)
    return y.reshape(*x.shape[:-1], len(w2)), pre


def ffn_backward(dy, x, w1, w2, pre, activation, p, seed, needs=(True, True, True, True, True)):
    dx = dw1 = db1 = dw2 = db2 = None
    dy, pre = rows(dy), ready(pre)
    # passes 3 and 2 backward
    dhidden = product(dy, w2)
    dpre, hidden = empty(pre.shape, pre.dtype), empty(pre.shape, pre.dtype)
    if pre.size:
        _kernels(activation)[1](pre.size, dhidden, pre, *drop(p, seed), pre.size, dpre, hidden)
    if needs[4]:
        db2 = sum_forward(dy, (0,), False)
    if needs[3]:
        dw2 = product(dy.T, hidden)
    # pass 1 backward
    if needs[2]:
        db1 = sum_forward(dpre, (0,), False)
    if needs[1]:
        dw1 = product(dpre.T, rows(x))
    if needs[0]:
        dx = product(dpre, w1).reshape(x.shape)
    return dx, dw1, db1, dw2, db2


"""The feed-forward layer: linear, activation, dropout, linear.

Forward    pre = x w1ᵀ + b1       hidden = dropout(act(pre))       y = hidden w2ᵀ + b2
Backward   dhidden = dy w2        dpre = dropout(dhidden) · act′(pre)
           dx = dpre w1           dw1 = dpreᵀ x         db1 = Σ dpre        dw2 = dyᵀ hidden        db2 = Σ dy

Only pre is kept; hidden is made again from it. One kernel does activation and dropout, one their backward.
"""

from functools import lru_cache

from ..reference import ffn as _reference
from ._array import empty, full, ready
from ._launch import Kernel, blocks_for, cuda, number, scalars
from ._map import formula
from .activation import _gelu, _gelu_slope, _gelu_tanh, _gelu_tanh_slope, _relu, _silu, _silu_slope
from .dropout import limits, scale_of
from .matmul import product, rows
from .reduce import sum_forward

__all__ = _reference.__all__

_bits = scalars.random_bits
_relu_slope_at = formula(lambda dy, x: dy if x > 0 else 0.0)
_ACTIVATIONS = {"relu": (_relu, _relu_slope_at), "gelu": (_gelu, _gelu_slope), "silu": (_silu, _silu_slope),
                "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope)}
act = act_slope = formula(lambda x: x)      # below: the activation that a kernel is being compiled for


def _hidden(linear, bias, scale, limit, first, second, n, h, pre, hidden):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        x = linear[i] + bias[i % h]
        pre[i] = x
        kept = limit == 0 or _bits(first, second, i) >= limit
        hidden[i] = number(act(x)) * scale if kept else number(0.0)


def _hidden_backward(dhidden, pre, scale, limit, first, second, n, dpre, hidden):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        kept = limit == 0 or _bits(first, second, i) >= limit
        hidden[i] = number(act(pre[i])) * scale if kept else number(0.0)
        dpre[i] = number(act_slope(dhidden[i], pre[i])) * scale if kept else number(0.0)


@lru_cache(None)
def _kernels(activation):
    act, act_slope = _ACTIVATIONS[activation]
    return (Kernel(_hidden, f"ffn._hidden with {activation}", act=act),
            Kernel(_hidden_backward, f"ffn._hidden_backward with {activation}", act=act, act_slope=act_slope))


def ffn_forward(x, w1, b1, w2, b2, activation, p, seed):
    # pass 1: linear
    pre = product(rows(x), w1.T)
    n, h = pre.shape
    b1 = full((h,), 0, x.dtype) if b1 is None else ready(b1, x.dtype)
    # pass 2: bias, activation, dropout
    hidden = empty(pre.shape, pre.dtype)
    if pre.size:
        _kernels(activation)[0][blocks_for(pre.size)](pre, b1, *_drop(p, seed), pre.size, h, pre, hidden)
    # pass 3: linear
    y = product(hidden, w2.T)
    y = y if b2 is None else y + b2
    return y.reshape(*x.shape[:-1], len(w2)), pre


def ffn_backward(dy, x, w1, w2, pre, activation, p, seed, needs=(True, True, True, True, True)):
    dx = dw1 = db1 = dw2 = db2 = None
    dy, pre = rows(dy), ready(pre)
    # passes 3 and 2 backward
    dhidden = product(dy, w2)
    dpre, hidden = empty(pre.shape, pre.dtype), empty(pre.shape, pre.dtype)
    if pre.size:
        _kernels(activation)[1][blocks_for(pre.size)](dhidden, pre, *_drop(p, seed), pre.size, dpre, hidden)
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


def _drop(p, seed):
    """What dropout inside a kernel needs: the factor of what stays, and how to draw."""
    return (scale_of(p), *limits(p, seed)) if p else (1.0, 0, 0, 0)

"""The feed-forward layer: two matrix products, and one pass over the hidden numbers. The formulas stand in the reference."""

import math

import numpy as np

from ._blas import product
from ._drop import drop, settings
from ._jit import CHUNKS, jit, parallel, prange
from .attention import fast_exp
from .matmul import _rows, column_sums

__all__ = ["ffn_backward", "ffn_forward"]

_ACTIVATIONS = {"relu": 0, "gelu": 1, "gelu_tanh": 2, "silu": 3}


def ffn_forward(x, w1, b1, w2, b2, activation, p, seed):
    """x (…, c), w1 (h, c), b1 (h,) or None, w2 (o, h), b2 (o,) or None → y (…, o), pre (rows, h).

    activation: "relu", "gelu", "gelu_tanh" or "silu". p: the share of hidden numbers dropped, by a hash of seed and place.
    """
    # pass 1: linear
    pre = product(_rows(x), w1.T, b1)
    # pass 2: activation, dropout
    hidden = np.empty_like(pre)
    _activate(pre.reshape(-1), _ACTIVATIONS[activation], *settings(pre.dtype, p, seed), _pieces(pre), hidden.reshape(-1))
    # pass 3: linear
    return product(hidden, w2.T, b2).reshape(*x.shape[:-1], len(w2)), pre


def ffn_backward(dy, x, w1, w2, pre, activation, p, seed, needs=(True, True, True, True, True)):
    """dy (…, o) → dx (…, c), dw1 (h, c), db1 (h,), dw2 (o, h), db2 (o,)."""
    dx = dw1 = db1 = dw2 = db2 = None
    dy = _rows(dy)
    # pass 3 backward; and pass 2 backward, which makes hidden again on the way
    if needs[4]:
        db2 = column_sums(dy)
    dpre, hidden = product(dy, w2), np.empty_like(pre)
    _activate_backward(pre.reshape(-1), _ACTIVATIONS[activation], *settings(pre.dtype, p, seed), _pieces(pre),
                       hidden.reshape(-1), dpre.reshape(-1))
    if needs[3]:
        dw2 = product(dy.T, hidden)
    # pass 1 backward
    if needs[2]:
        db1 = column_sums(dpre)
    if needs[1]:
        dw1 = product(dpre.T, _rows(x))
    if needs[0]:
        dx = product(dpre, w1).reshape(x.shape)
    return dx, dw1, db1, dw2, db2


def _pieces(x):
    return CHUNKS if x.size >= 1 << 13 else 1


@parallel
def _activate(pre, activation, grow, limits, pieces, hidden):
    for piece in prange(pieces):
        i0, i1 = piece * len(pre) // pieces, (piece + 1) * len(pre) // pieces
        _activate_piece(pre[i0:i1], activation, grow, limits, i0, hidden[i0:i1])


@jit
def _activate_piece(pre, activation, grow, limits, place, hidden):
    for i in range(len(pre)):
        hidden[i] = _act(pre[i], activation)[0] * grow
    if limits[0] > 0:
        drop(hidden, len(pre), place, limits)


@parallel
def _activate_backward(pre, activation, grow, limits, pieces, hidden, dpre):
    for piece in prange(pieces):
        i0, i1 = piece * len(pre) // pieces, (piece + 1) * len(pre) // pieces
        _activate_backward_piece(pre[i0:i1], activation, grow, limits, i0, hidden[i0:i1], dpre[i0:i1])


@jit
def _activate_backward_piece(pre, activation, grow, limits, place, hidden, dpre):
    for i in range(len(pre)):
        value, slope = _act(pre[i], activation)
        hidden[i] = value * grow
        dpre[i] *= slope * grow
    if limits[0] > 0:
        drop(hidden, len(pre), place, limits)
        drop(dpre, len(pre), place, limits)


@jit
def _act(x, activation):
    """act(x) and act′(x)."""
    number = type(x)
    if activation == 0:
        return max(x, number(0)), number(x > 0)
    if activation == 1:
        cdf = number(math.erfc(-x / math.sqrt(2)) / 2)
        return x * cdf, cdf + x * fast_exp(-x * x / number(2)) * number(1 / math.sqrt(2 * math.pi))
    u, du = x, number(1)
    if activation == 2:
        z = max(min(x, number(20)), number(-20))  # beyond, σ is 0 or 1 and x³ might overflow
        c, c3 = number(2 * math.sqrt(2 / math.pi)), number(0.044715)
        u, du = c * (z + c3 * z * z * z), c * (number(1) + number(3) * c3 * z * z)
    e = fast_exp(-u)
    sigma = number(1) / (number(1) + e)
    rest = e * sigma if e < np.inf else number(1)  # 1 − σ with all its digits
    return x * sigma, sigma + x * sigma * rest * du

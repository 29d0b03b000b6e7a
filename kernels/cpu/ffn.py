"""The feed-forward layer: two matrix products, and one pass over the hidden numbers; formulas in the reference."""

import numpy as np

from ._drop import drop, settings
from ._exp import gelu, gelu_slope, sigma
from ._jit import CHUNKS, jit, spread
from ._memory import empty
from ._product import product
from .activation import C1, C3, END
from .matmul import _rows, column_sums

__all__ = ["ffn_backward", "ffn_forward"]

ROWS = 640  # at least so many at a time in backward, where their hidden numbers exist twice; fewer would take longer
RELU, GELU, GELU_TANH, SILU = range(4)
_ACTIVATIONS = {"relu": RELU, "gelu": GELU, "gelu_tanh": GELU_TANH, "silu": SILU}


def ffn_forward(x, w1, b1, w2, b2, activation, p, seed):
    """x (…, c), w1 (h, c), b1 (h,) or None, w2 (o, h), b2 (o,) or None → y (…, o), pre (rows, h).

    activation: "relu", "gelu", "gelu_tanh" or "silu". p: the share of hidden numbers dropped, by a hash of seed and
    place.
    """
    # pass 1: linear
    pre = product(_rows(x), w1.T, b1)
    # pass 2: activation, dropout
    hidden = empty(pre.shape, pre.dtype)
    pieces = _pieces(pre)
    _activate(pieces, pre.reshape(-1), _ACTIVATIONS[activation], *settings(pre.dtype, p, seed), pieces, hidden.reshape(-1))
    # pass 3: linear
    return product(hidden, w2.T, b2).reshape(*x.shape[:-1], len(w2)), pre


def ffn_backward(dy, x, w1, w2, pre, activation, p, seed, needs=(True, True, True, True, True)):
    """dy (…, o) → dx (…, c), dw1 (h, c), db1 (h,), dw2 (o, h), db2 (o,)."""
    shape, dy, x = x.shape, _rows(dy), _rows(x)
    step = max(1, -(-len(x) // max(1, len(x) // ROWS)))
    dpre, hidden = (empty((step, len(w1)), x.dtype) for _ in range(2))
    dx = empty(x.shape, x.dtype) if needs[0] else None
    dw1 = dw2 = None
    db1, db2 = np.zeros(len(w1), x.dtype) if needs[2] else None, column_sums(dy) if needs[4] else None
    for first in range(0, max(1, len(x)), step):
        some = slice(first, first + step)
        if first + step > len(x):
            dpre, hidden = dpre[:len(x) - first], hidden[:len(x) - first]
        # pass 3 backward; and pass 2 backward, which makes hidden again on the way
        product(dy[some], w2, out=dpre)
        pieces = _pieces(dpre)
        _activate_backward(pieces, pre[some].reshape(-1), _ACTIVATIONS[activation], *settings(pre.dtype, p, seed),
                           first * len(w1), pieces, hidden.reshape(-1), dpre.reshape(-1))
        if needs[3]:
            dw2 = product(dy[some].T, hidden, out=dw2, add=dw2 is not None)
        # pass 1 backward
        if needs[2]:
            db1 += column_sums(dpre)
        if needs[1]:
            dw1 = product(dpre.T, x[some], out=dw1, add=dw1 is not None)
        if needs[0]:
            product(dpre, w1, out=dx[some])
    return dx.reshape(shape) if needs[0] else None, dw1, db1, dw2, db2


def _pieces(x):
    return CHUNKS if x.size >= 1 << 13 else 1


@spread
def _activate(piece, pre, activation, grow, limits, pieces, hidden):
    i0, i1 = piece * len(pre) // pieces, (piece + 1) * len(pre) // pieces
    _activate_piece(pre[i0:i1], activation, grow, limits, i0, hidden[i0:i1])


@jit
def _activate_piece(pre, activation, grow, limits, place, hidden):
    number = pre.dtype.type
    if activation == RELU:
        for i in range(len(pre)):
            hidden[i] = number(0) if pre[i] <= 0 else pre[i] * grow
    elif activation == GELU:
        for i in range(len(pre)):
            hidden[i] = gelu(pre[i]) * grow
    else:
        c1, c3, end = _gate(pre, activation)
        for i in range(len(pre)):
            z = max(min(pre[i], end), -end)
            hidden[i] = pre[i] * grow * sigma(z * (c1 + c3 * z * z))[0]
    if limits[0] > 0:
        drop(hidden, len(pre), place, limits)


@spread
def _activate_backward(piece, pre, activation, grow, limits, place, pieces, hidden, dpre):
    i0, i1 = piece * len(pre) // pieces, (piece + 1) * len(pre) // pieces
    _activate_backward_piece(pre[i0:i1], activation, grow, limits, place + i0, hidden[i0:i1], dpre[i0:i1])


@jit
def _activate_backward_piece(pre, activation, grow, limits, place, hidden, dpre):
    one = pre.dtype.type(1)
    if activation == RELU:
        for i in range(len(pre)):
            hidden[i] = one - one if pre[i] <= 0 else pre[i] * grow
            dpre[i] = dpre[i] * grow if pre[i] > 0 else one - one
    elif activation == GELU:
        for i in range(len(pre)):
            dpre[i] *= gelu_slope(pre[i]) * grow
            hidden[i] = gelu(pre[i]) * grow
    else:
        c1, c3, end = _gate(pre, activation)
        for i in range(len(pre)):
            z = max(min(pre[i], end), -end)
            s, rest = sigma(z * (c1 + c3 * z * z))
            dpre[i] *= (s + pre[i] * s * rest * (c1 + (c3 + c3 + c3) * z * z)) * grow
            hidden[i] = pre[i] * s * grow
    if limits[0] > 0:
        drop(hidden, len(pre), place, limits)
        drop(dpre, len(pre), place, limits)


@jit
def _gate(pre, activation):
    """silu and the tanh form of gelu are x · σ(u), u = c1 x + c3 x³. Beyond ± end, σ is 0 or 1 and u might overflow."""
    number = pre.dtype.type
    if activation == SILU:
        return number(1), number(0), number(1e4)
    return number(C1), number(C3), number(END)

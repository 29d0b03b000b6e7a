"""The feed-forward layer: linear, activation, dropout, linear.

Forward    pre = x w1ᵀ + b1       hidden = dropout(act(pre))       y = hidden w2ᵀ + b2
Backward   dhidden = dy w2        dpre = dropout(dhidden) · act′(pre)
           dx = dpre w1           dw1 = dpreᵀ x         db1 = Σ dpre        dw2 = dyᵀ hidden        db2 = Σ dy

Only pre is kept; hidden is as large, and quickly made again from it.
"""

import math

import numpy as np

from .dropout import keep
from .matmul import _rows

__all__ = ["ffn_backward", "ffn_forward"]


def ffn_forward(x, w1, b1, w2, b2, activation, p, seed):
    """x (…, c), w1 (h, c), b1 (h,) or None, w2 (o, h), b2 (o,) or None → y (…, o), pre (rows, h).

    activation: "relu", "gelu", "gelu_tanh" or "silu". p: the share of hidden numbers dropped, by a hash of seed and
    place.
    """
    # pass 1: linear
    pre = _rows(x) @ w1.T
    if b1 is not None:
        pre = pre + b1
    # pass 2: activation, dropout
    hidden, _ = _activate(pre, activation)
    kept = _kept(pre, p, seed)
    # pass 3: linear
    y = (hidden if kept is None else hidden * kept) @ w2.T
    if b2 is not None:
        y = y + b2
    return y.reshape(*x.shape[:-1], len(w2)), pre


def ffn_backward(dy, x, w1, w2, pre, activation, p, seed, needs=(True, True, True, True, True)):
    """dy (…, o) → dx (…, c), dw1 (h, c), db1 (h,), dw2 (o, h), db2 (o,)."""
    dx = dw1 = db1 = dw2 = db2 = None
    dy = _rows(dy)
    hidden, slope = _activate(pre, activation)
    kept = _kept(pre, p, seed)
    # pass 3 backward
    if needs[4]:
        db2 = dy.sum(0)
    if needs[3]:
        dw2 = dy.T @ (hidden if kept is None else hidden * kept)
    # pass 2 backward
    dpre = (dy @ w2) * slope
    if kept is not None:
        dpre = dpre * kept
    # pass 1 backward
    if needs[2]:
        db1 = dpre.sum(0)
    if needs[1]:
        dw1 = dpre.T @ _rows(x)
    if needs[0]:
        dx = (dpre @ w1).reshape(x.shape)
    return dx, dw1, db1, dw2, db2


def _kept(pre, p, seed):
    """What dropout multiplies the hidden numbers with: 0 or 1 / (1 − p)."""
    if p == 0:
        return None
    kept = keep(pre.shape, p, seed).astype(pre.real.dtype)
    return kept / (1 - p) if p < 1 else kept


def _activate(x, activation):
    """act(x) and act′(x)."""
    if activation == "relu":
        on = x.real > 0
        return np.where(on | np.isnan(x.real), x, 0), on.astype(x.real.dtype)
    if activation == "gelu":
        cdf = _normal_cdf(x)
        return x * cdf, cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    # x · σ(u): silu has u = x, the tanh form of gelu u = 2 √(2/π) (x + 0.044715 x³), as (1 + tanh(u/2)) / 2 = σ(u)
    u, du = x, 1
    if activation == "gelu_tanh":
        z = np.where(np.abs(x.real) < 20, x, 20 * np.sign(x.real))  # beyond, σ is 0 or 1 and x³ might overflow
        c = 2 * math.sqrt(2 / math.pi)
        u, du = c * (z + 0.044715 * z * z * z), c * (1 + 3 * 0.044715 * z * z)
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(-u)
        sigma = 1 / (1 + e)
        rest = np.where(np.isfinite(e), e * sigma, 1)  # 1 − σ with all its digits
    return x * sigma, sigma + x * sigma * rest * du


def _normal_cdf(x):
    """½ erfc(−x / √2): of the two ways to write it, the one that keeps its digits for very negative x."""
    cdf = np.array([math.erfc(-z / math.sqrt(2)) / 2 for z in x.real.ravel().tolist()], x.real.dtype).reshape(x.shape)
    if x.dtype.kind == "c":
        cdf = cdf + 1j * x.imag * np.exp(-x.real * x.real / 2) / math.sqrt(2 * math.pi)
    return cdf

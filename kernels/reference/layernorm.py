"""LayerNorm and RMSNorm over the last axis.

LayerNorm   x̂ = (x − mean) · rstd      rstd = (var + eps)^(−1/2)      y = x̂ · γ + β
RMSNorm     x̂ = x · rrms               rrms = (⟨x²⟩ + eps)^(−1/2)     y = x̂ · γ

The mean is taken twice (the second time of what the first left over), because in float32 a mean of 10⁶ is itself off by
more than the values around it: a constant row then gives exactly zero.
"""

import numpy as np

__all__ = ["layernorm_backward", "layernorm_forward", "rmsnorm_backward", "rmsnorm_forward"]


def layernorm_forward(x, gamma, beta, eps):
    """x (…, c), gamma and beta (c,) or None → y (…, c), mean (rows,), rstd (rows,)."""
    rows = _rows(x)
    # pass 1: the mean, and what is left after taking it away
    mean = _mean(rows)
    d = rows - mean[:, None]
    rest = _mean(d)
    mean, d = mean + rest, d - rest[:, None]
    # pass 2: the variance of what is left (divided by c, not c − 1)
    rstd = 1 / np.sqrt(_mean(d * d) + eps)
    # pass 3: normalise, scale, shift
    return _affine(d * rstd[:, None], gamma, beta).reshape(x.shape), mean, rstd


def layernorm_backward(dy, x, gamma, mean, rstd, needs=(True, True, True)):
    """dy (…, c) → dx (…, c), dgamma (c,), dbeta (c,)."""
    dx = dgamma = dbeta = None
    dy = _rows(dy)
    d = _rows(x) - mean[:, None]
    xhat = (d - _mean(d)[:, None]) * rstd[:, None]
    # pass 3 backward: γ and β were used in every row
    if needs[1]:
        dgamma = (dy * xhat).sum(0)
    if needs[2]:
        dbeta = dy.sum(0)
    # passes 2 and 1 backward: every element also moved its row's variance and mean
    if needs[0]:
        dxhat = dy if gamma is None else dy * gamma
        dx = dxhat - _mean(dxhat)[:, None] - xhat * _mean(dxhat * xhat)[:, None]
        dx = (dx * rstd[:, None]).reshape(x.shape)
    return dx, dgamma, dbeta


def rmsnorm_forward(x, gamma, eps):
    """x (…, c), gamma (c,) or None → y (…, c), rrms (rows,)."""
    rows = _rows(x)
    # pass 1: the mean square, of the row divided by its largest value where x² might overflow
    big = np.abs(rows.real).max(-1, initial=1)
    big[~np.isfinite(big)] = 1
    small = rows / big[:, None]
    rrms = 1 / (np.sqrt(_mean(small * small) + eps / big / big) * big)
    # pass 2: normalise, scale
    return _affine(rows * rrms[:, None], gamma, None).reshape(x.shape), rrms


def rmsnorm_backward(dy, x, gamma, rrms, needs=(True, True)):
    """dy (…, c) → dx (…, c), dgamma (c,)."""
    dx = dgamma = None
    dy = _rows(dy)
    xhat = _rows(x) * rrms[:, None]
    # pass 2 backward
    if needs[1]:
        dgamma = (dy * xhat).sum(0)
    # pass 1 backward
    if needs[0]:
        dxhat = dy if gamma is None else dy * gamma
        dx = dxhat - xhat * _mean(dxhat * xhat)[:, None]
        dx = (dx * rrms[:, None]).reshape(x.shape)
    return dx, dgamma


def _rows(x):
    """(…, c) → (rows, c)."""
    return x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


def _mean(x):
    return x.sum(-1) / max(1, x.shape[-1])


def _affine(xhat, gamma, beta):
    y = xhat if gamma is None else xhat * gamma
    return y if beta is None else y + beta

"""BatchNorm: every channel brought to mean 0 and variance 1, over the batch and over all positions.

x̂ = (x − mean) · rstd      rstd = (var + eps)^(−1/2)      y = x̂ · γ + β

In training, mean and var are the batch's own; afterwards they are given: what the layer remembers of training. The mean is
taken twice, as in LayerNorm: in float32 a mean of 10⁴ is itself off by more than small values around it.
"""

import numpy as np

__all__ = ["batchnorm_backward", "batchnorm_forward"]


def batchnorm_forward(x, gamma, beta, mean, var, eps):
    """x (n, c, …), gamma and beta (c,) or None, mean and var (c,) or None → y (n, c, …), mean (c,), var (c,).

    var divides by n, not n − 1.
    """
    rows = _channels(x)
    if mean is None:
        # pass 1: the mean, and what is left after taking it away
        mean = _mean(rows)
        d = rows - mean[:, None]
        rest = _mean(d)
        mean, d = mean + rest, d - rest[:, None]
        # pass 2: the variance of what is left
        var = _mean(d * d)
    else:
        d = rows - mean[:, None]
    # pass 3: normalise, scale, shift
    y = d / np.sqrt(var + eps)[:, None]
    y = y if gamma is None else y * gamma[:, None]
    y = y if beta is None else y + beta[:, None]
    return _back(y, x.shape), mean, var


def batchnorm_backward(dy, x, gamma, mean, var, eps, training, needs=(True, True, True)):
    """dy (n, c, …) → dx (n, c, …), dgamma (c,), dbeta (c,). training: mean and var were x's own."""
    dx = dgamma = dbeta = None
    dy, d, rstd = _channels(dy), _channels(x) - mean[:, None], 1 / np.sqrt(var + eps)[:, None]
    xhat = (d - _mean(d)[:, None] if training else d) * rstd
    # pass 3 backward: γ and β were used everywhere in their channel
    if needs[1]:
        dgamma = (dy * xhat).sum(1)
    if needs[2]:
        dbeta = dy.sum(1)
    # passes 2 and 1 backward: every element also moved its channel's variance and mean
    if needs[0]:
        dxhat = dy if gamma is None else dy * gamma[:, None]
        if training:
            dxhat = dxhat - _mean(dxhat)[:, None] - xhat * _mean(dxhat * xhat)[:, None]
        dx = _back(dxhat * rstd, x.shape)
    return dx, dgamma, dbeta


def _channels(x):
    """(n, c, …) → (c, n · …)."""
    return x.swapaxes(0, 1).reshape(x.shape[1], x.size // max(1, x.shape[1]))


def _back(rows, shape):
    """(c, n · …) → (n, c, …)."""
    return np.ascontiguousarray(rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1))


def _mean(rows):
    return rows.sum(1) / max(1, rows.shape[1])

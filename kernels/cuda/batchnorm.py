"""BatchNorm: every channel brought to mean 0 and variance 1, over the batch and over all positions.

x̂ = (x − mean) · rstd      rstd = (var + eps)^(−1/2)      y = x̂ · γ + β

Sums over the batch and all positions are folds (``reduce.py``); the rest is one formula at every position.
"""

import math

import numpy as np

from ..reference import batchnorm as _reference
from ._array import ready, view, zeros
from ._map import each, formula
from .reduce import mean_forward, sum_forward

__all__ = _reference.__all__

_less = formula(lambda x, mean, rest: x - mean - rest)
_square = formula(lambda x, mean, rest: (x - mean - rest) * (x - mean - rest))
_normal = formula(lambda d, var, eps: d / math.sqrt(var + eps))
_affine = formula(lambda xhat, gamma, beta: xhat * gamma + beta)
_input_slope = formula(lambda dxhat, across, xhat, along: dxhat - across - xhat * along)


def batchnorm_forward(x, gamma, beta, mean, var, eps):
    dims, rest = _all_but_channels(x), 0.0
    if mean is None and not x.size:     # nothing to average: 0
        mean = var = zeros((x.shape[1],), x.dtype)
        d = x
    elif mean is None:
        # pass 1: the mean, and what is left after taking it away
        mean = mean_forward(x, dims, False)
        rest = _column(mean_forward(each(_less, x, _column(mean, x), 0.0), dims, False), x)
        # pass 2: the variance of what is left
        var = mean_forward(each(_square, x, _column(mean, x), rest), dims, False)
        d = each(_less, x, _column(mean, x), rest)
        mean = mean + rest.reshape(mean.shape)
    else:
        mean, var = ready(mean, x.dtype), ready(var, x.dtype)
        d = each(_less, x, _column(mean, x), 0.0)
    # pass 3: normalise, scale, shift
    xhat = each(_normal, d, _column(var, x), float(eps))
    y = each(_affine, xhat, 1.0 if gamma is None else _column(gamma, x), 0.0 if beta is None else _column(beta, x))
    return y, mean, var


def batchnorm_backward(dy, x, gamma, mean, var, eps, training, needs=(True, True, True)):
    dx = dgamma = dbeta = None
    dims = _all_but_channels(x)
    d = each(_less, x, _column(mean, x), 0.0)
    if training:
        d = d - mean_forward(d, dims, True)
    xhat = each(_normal, d, _column(var, x), float(eps))
    # pass 3 backward: γ and β were used everywhere in their channel
    if needs[1]:
        dgamma = sum_forward(dy * xhat, dims, False)
    if needs[2]:
        dbeta = sum_forward(dy, dims, False)
    # passes 2 and 1 backward: every element also moved its channel's variance and mean
    if needs[0]:
        dxhat = dy if gamma is None else dy * _column(gamma, x)
        if training:
            dxhat = each(_input_slope, dxhat, mean_forward(dxhat, dims, True), xhat, mean_forward(dxhat * xhat, dims, True))
        dx = each(_normal, dxhat, _column(var, x), float(eps))
    return dx, dgamma, dbeta


def _all_but_channels(x):
    return tuple([axis for axis in range(x.ndim) if axis != 1])


def _column(v, x):
    """One number a channel (c,), to be broadcast over (n, c, …)."""
    return view(np.reshape, ready(v), (len(v), *[1] * (x.ndim - 2)))

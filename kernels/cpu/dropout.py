"""Dropout, compiled: the same bits as the reference, drawn while the elements pass by."""

import math

import numpy as np

from ..scalar import seed_keys
from ._jit import chunk, pieces, ready, scalars, spread

__all__ = ["dropout_backward", "dropout_forward", "keep"]

_bits = scalars.random_bits


def keep(shape, p, seed):
    mask = np.empty(math.prod(shape), np.bool_)
    size = chunk(mask.size)
    _keep(pieces(mask.size, size), round(p * 2**32), *seed_keys(seed), size, mask)
    return mask.reshape(shape)


def dropout_forward(x, p, seed):
    y = np.empty(x.shape, x.dtype)
    scale, size = x.dtype.type(1 / (1 - p) if p < 1 else 0), chunk(x.size)
    _dropout(pieces(x.size, size), ready(x).reshape(-1), round(p * 2**32), *seed_keys(seed), scale, size, y.reshape(-1))
    return y


def dropout_backward(dy, p, seed):
    return dropout_forward(dy, p, seed)


@spread
def _keep(piece, threshold, first_key, second_key, size, mask):
    first = piece * size
    for i in range(first, min(first + size, mask.size)):
        mask[i] = _bits(first_key, second_key, i) >= threshold


@spread
def _dropout(piece, x, threshold, first_key, second_key, scale, size, y):
    first = piece * size
    for i in range(first, min(first + size, x.size)):
        scaled = x[i] * scale
        y[i] = scaled if _bits(first_key, second_key, i) >= threshold else 0.0 * scale

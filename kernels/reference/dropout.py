"""Dropout: each element is kept with probability 1 − p, and then scaled by 1 / (1 − p).

Whether an element is kept depends on the seed and on its flat index alone. So no mask is saved: backward asks again.
"""

import numpy as np

from ..scalar import random_bits, seed_keys

__all__ = ["dropout_backward", "dropout_forward", "keep"]


def keep(shape, p, seed):
    """A bool array: which elements stay."""
    first, second = seed_keys(seed)
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    return (random_bits(first, second, index) >= round(p * 2**32)).reshape(shape)


def dropout_forward(x, p, seed):
    scale = 1 / (1 - p) if p < 1 else 0.0
    return np.where(keep(x.shape, p, seed), x * x.real.dtype.type(scale), np.zeros((), x.dtype))


def dropout_backward(dy, p, seed):
    return dropout_forward(dy, p, seed)

"""Dropout by counting: whether an element stays is a hash of the seed and the element's number, so no mask is stored.

Backward, every backend and every layout make the same bits again.
"""

import numpy as np

from ..scalar import hash32

__all__ = ["dropout_backward", "dropout_forward", "keep"]


def dropout_forward(x, p, seed):
    """x (…) → y (…): 0 with probability p, else x / (1 − p)."""
    return _times(x, p, seed)


def dropout_backward(dy, p, seed):
    """dy (…) → dx (…): dropped where x was dropped."""
    return _times(dy, p, seed)


def keep(shape, p, seed):
    """Which elements of an array of this shape stay, numbered in C order."""
    count = np.arange(int(np.prod(shape)), dtype=np.uint64)
    return (hash32(np.uint64(seed), count) >= np.uint64(min(int(p * 2**32), 2**32 - 1))).reshape(shape)


def _times(x, p, seed):
    if p >= 1:
        return np.zeros_like(x)
    return np.where(keep(x.shape, p, seed), x * x.real.dtype.type(1 / (1 - p)), 0)

"""Dropout by counting, in one pass: the random bits are made where they are used. See the reference."""

import numpy as np

from ..reference.dropout import keep
from ..scalar import hash32
from ._jit import CHUNKS, inline, parallel, prange, ready

__all__ = ["dropout_backward", "dropout_forward", "keep"]

kept = inline(hash32)  # compare with limit(p): the element stays where its hash is not below


def dropout_forward(x, p, seed):
    """x (…) → y (…): 0 with probability p, else x / (1 − p)."""
    return _times(x, p, seed)


def dropout_backward(dy, p, seed):
    """dy (…) → dx (…): dropped where x was dropped."""
    return _times(dy, p, seed)


def limit(p):
    """The hash below which an element is dropped."""
    return np.uint64(min(int(p * 2**32), 2**32 - 1))


def _times(x, p, seed):
    if p >= 1:
        return np.zeros(x.shape, x.dtype)
    x = ready(x)
    y = np.empty_like(x)
    pieces = CHUNKS if x.size >= 1 << 13 else 1
    _dropout(x.reshape(-1), x.dtype.type(1 / (1 - p)), limit(p), np.uint64(seed), pieces, y.reshape(-1))
    return y


@parallel
def _dropout(x, grow, limit, seed, pieces, y):
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            y[i] = x[i] * grow if kept(seed, np.uint64(i)) >= limit else x.dtype.type(0)

"""Large sums and copies, shared by all threads. A file of its own: small arithmetic must not wait for the compiler."""

import numpy as np

from ._jit import CHUNKS, parallel, prange
from ._memory import empty

__all__ = ["add", "copy"]


def add(x, y):
    """x + y, of equal shape and dtype, in C order."""
    z = empty(x.shape, x.dtype)
    _add(x.ravel(), y.ravel(), z.ravel())
    return z


def copy(x):
    """x, which is in C order, in memory of its own."""
    y = empty(x.shape, x.dtype)
    _copy(x.ravel(), y.ravel())
    return y


@parallel
def _add(x, y, z):
    size = (x.size + CHUNKS - 1) // CHUNKS
    for piece in prange((x.size + size - 1) // size):
        part = slice(np.int64(piece) * size, np.int64(piece) * size + size)
        u, v, w = x[part], y[part], z[part]
        for i in range(len(u)):
            w[i] = u[i] + v[i]


@parallel
def _copy(x, y):
    size = (x.size + CHUNKS - 1) // CHUNKS
    for piece in prange((x.size + size - 1) // size):
        part = slice(np.int64(piece) * size, np.int64(piece) * size + size)
        u, v = x[part], y[part]
        for i in range(len(u)):
            v[i] = u[i]

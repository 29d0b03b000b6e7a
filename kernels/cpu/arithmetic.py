"""NumPy is as fast as one thread can be, and the reference serves; the sum of two large arrays is shared by all threads."""

import numpy as np

from ..reference import arithmetic as _reference
from ..reference.arithmetic import *
from ._jit import chunk, parallel, prange

__all__ = _reference.__all__

LARGE = 1 << 17  # elements: fewer are added before a second thread has woken


def add_forward(x, y):
    if x.size < LARGE or x.shape != y.shape or x.dtype != y.dtype or not (x.flags.carray and y.flags.carray):
        return _reference.add_forward(x, y)
    z = np.empty_like(x)
    _add(x.reshape(-1), y.reshape(-1), chunk(x.size), z.reshape(-1))
    return z


@parallel
def _add(x, y, size, z):
    for piece in prange((x.size + size - 1) // size):
        part = slice(np.int64(piece) * size, np.int64(piece) * size + size)
        u, v, w = x[part], y[part], z[part]
        for i in range(len(u)):
            w[i] = u[i] + v[i]

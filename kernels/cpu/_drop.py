"""Dropout inside other kernels: what is dropped depends on a seed and a place, so backward drops the same again."""

import numpy as np

from ..scalar import WORD, scramble, seed_keys
from ._jit import jit

__all__ = ["drop", "settings"]

_scramble = jit(scramble)


def settings(dtype, p, seed):
    """p and a seed as kernels take them: what a kept number is multiplied with, and what ``drop`` needs."""
    return dtype.type(1 / (1 - p) if p < 1 else 0), (round(p * 2**32), *seed_keys(seed))


@jit
def drop(x, n, place, limits):
    """Set to 0 what dropout drops of x[:n]; place: the flat index of x[0] (C order)."""
    limit, first, second = limits
    for j in range(n):
        index = np.int64(place + j)
        if _scramble((_scramble((index & WORD) ^ first) + (index >> 32) + second) & WORD) < limit:
            x[j] = 0

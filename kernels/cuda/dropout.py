"""Dropout: the same random bits as on the CPU, drawn while the elements pass by. Each depends on a seed and a place."""

from ..reference import dropout as _reference
from ..scalar import seed_keys
from ._array import empty, ready
from ._four import WIDTH, FourKernel, fetch, put
from ._launch import blocks_for, cuda, kernel, number, scalars

__all__ = _reference.__all__

_bits = scalars.random_bits


@kernel
def _keep(limit, first, second, n, mask):
    i = cuda.grid(1)
    while i < n:
        mask[i] = _bits(first, second, i) >= limit
        i += cuda.gridsize(1)


def _dropout(x, scale, limit, first, second, n, y):
    held = cuda.local.array(WIDTH, number)
    i = WIDTH * cuda.grid(1)
    while i < n:
        fetch(x, i, held)
        for k in range(WIDTH):
            held[k] = held[k] * scale if _bits(first, second, i + k) >= limit else number(0.0)
        put(held, y, i)
        i += WIDTH * cuda.gridsize(1)


_dropout = FourKernel(_dropout)


def keep(shape, p, seed):
    mask = empty(shape, bool)
    if mask.size:
        _keep[blocks_for(mask.size)](*limits(p, seed), mask.size, mask)
    return mask


def dropout_forward(x, p, seed):
    y = empty(x.shape, x.dtype)
    if y.size:
        _dropout(y.size, ready(x), scale_of(p), *limits(p, seed), y.size, y)
    return y


def dropout_backward(dy, p, seed):
    return dropout_forward(dy, p, seed)


def scale_of(p):
    """What a kept number is multiplied with."""
    return 1 / (1 - p) if p < 1 else 0.0


def limits(p, seed):
    """What kernels need to draw: the limit below which an element goes, and the seed's two words."""
    return round(p * 2**32), *seed_keys(seed)


def drop(p, seed):
    """What dropout inside another kernel needs: the factor of what stays, and how to draw. Without dropout all stays."""
    return (scale_of(p), *limits(p, seed)) if p else (1.0, 0, 0, 0)

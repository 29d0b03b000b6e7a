"""Shapes: most of it is views, and small copies are NumPy's; a large copy is shared by all threads."""

import math

import numpy as np

from ..reference import shape as _reference
from ..reference.shape import *
from . import _shared
from ._memory import empty
from ._shared import put

__all__ = _reference.__all__


# ---- several arrays to one, and one to several -----------------------------------------------------------------------

def cat_forward(xs, dim):
    sizes = [x.shape[dim] for x in xs]
    shape = (*xs[0].shape[:dim], sum(sizes), *xs[0].shape[dim + 1:])
    if math.prod(shape) < _shared.LARGE:
        return _reference.cat_forward(xs, dim)
    y = empty(shape, xs[0].dtype)
    for piece, x in zip(split_forward(y, sizes, dim), xs):
        put(piece, x)
    return y


def stack_forward(xs, dim):
    shape = (*xs[0].shape[:dim], len(xs), *xs[0].shape[dim:])
    if len(shape) == 1 or math.prod(shape) < _shared.LARGE:
        return _reference.stack_forward(xs, dim)
    y = empty(shape, xs[0].dtype)
    for piece, x in zip(unbind_forward(y, dim), xs):
        put(piece, x)
    return y


def split_backward(dys, shape, dtype, sizes, dim):
    if math.prod(shape) < _shared.LARGE:
        return _reference.split_backward(dys, shape, dtype, sizes, dim)
    dx = empty(shape, dtype)
    for piece, dy in zip(split_forward(dx, sizes, dim), dys):
        _put_or_0(piece, dy)
    return dx


def unbind_backward(dys, shape, dtype, dim):
    if len(shape) == 1 or math.prod(shape) < _shared.LARGE:
        return _reference.unbind_backward(dys, shape, dtype, dim)
    dx = empty(shape, dtype)
    for piece, dy in zip(unbind_forward(dx, dim), dys):
        _put_or_0(piece, dy)
    return dx


def _put_or_0(piece, dy):
    if dy is None:
        piece[...] = 0
    else:
        put(piece, dy)


# ---- copies ----------------------------------------------------------------------------------------------------------

def copy(x):
    if x.size < _shared.LARGE:
        return x.copy()
    if x.flags.carray and x.dtype.char in "fd":
        return _shared.compiled("_large").copy(x)
    y = empty(x.shape, x.dtype)
    put(y, x)
    return y


def contiguous_forward(x):
    return x if x.flags.c_contiguous else copy(x)


def flip_forward(x, dims):
    return copy(np.flip(x, dims))


def repeat_forward(x, repeats):
    shape = (1,) * (len(repeats) - x.ndim) + x.shape
    if math.prod(shape) * math.prod(repeats) < _shared.LARGE:
        return _reference.repeat_forward(x, repeats)
    pairs = [n for pair in zip(repeats, shape) for n in pair]
    y = empty(pairs, x.dtype)
    put(y, np.broadcast_to(x.reshape([n for size in shape for n in (1, size)]), pairs))
    return y.reshape([r * n for r, n in zip(repeats, shape)])

"""Shapes: most of it is views, and small copies are NumPy's; a large copy is shared by all threads."""

import math

import numpy as np

from ..reference import shape as _reference
from ..reference.shape import *
from . import _shared
from ._memory import empty
from ._shared import put
from .reduce import sum_forward

__all__ = _reference.__all__


# ---- several arrays to one, and one to several -----------------------------------------------------------------------

def cat_forward(xs, dim):
    sizes = [x.shape[dim] for x in xs]
    shape = (*xs[0].shape[:dim], sum(sizes), *xs[0].shape[dim + 1:])
    if math.prod(shape) < _shared.LARGE:
        return _reference.cat_forward(xs, dim)
    y = empty(shape, xs[0].dtype)
    return _filled(y, split_forward(y, sizes, dim), xs)


def stack_forward(xs, dim):
    shape = (*xs[0].shape[:dim], len(xs), *xs[0].shape[dim:])
    if len(shape) == 1 or math.prod(shape) < _shared.LARGE:
        return _reference.stack_forward(xs, dim)
    y = empty(shape, xs[0].dtype)
    return _filled(y, unbind_forward(y, dim), xs)


def split_backward(dys, shape, dtype, sizes, dim):
    if math.prod(shape) < _shared.LARGE:
        return _reference.split_backward(dys, shape, dtype, sizes, dim)
    dx = empty(shape, dtype)
    return _filled(dx, split_forward(dx, sizes, dim), dys)


def unbind_backward(dys, shape, dtype, dim):
    if len(shape) == 1 or math.prod(shape) < _shared.LARGE:
        return _reference.unbind_backward(dys, shape, dtype, dim)
    dx = empty(shape, dtype)
    return _filled(dx, unbind_forward(dx, dim), dys)


def _filled(y, pieces, xs):
    """y, when each of its pieces has got its numbers; 0 where there are none."""
    for piece, x in zip(pieces, xs):
        if x is None:
            piece[...] = 0
        else:
            put(piece, x)
    return y


# ---- copies ----------------------------------------------------------------------------------------------------------

def copy(x):
    row = x.flags.carray and x.dtype.char in "fd"
    if x.size < (_shared.LARGE if row else _shared.TURNED):
        return x.copy()
    if row:
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


def repeat_backward(dy, shape, repeats):
    along = [i for i, times in enumerate(repeats) if times != 1]
    if dy.size < _shared.LARGE or len(along) != 1:
        return _reference.repeat_backward(dy, shape, repeats)
    i, sizes = along[0], (1,) * (len(repeats) - len(shape)) + tuple(shape)
    return sum_forward(dy.reshape(*sizes[:i], repeats[i], *sizes[i:]), (i,), False).reshape(shape)


def repeat_interleave_forward(x, repeats, dim):
    times = _as_often(repeats)
    if times is None:
        return _reference.repeat_interleave_forward(x, repeats, dim)
    shape = (*x.shape[:dim + 1], times, *x.shape[dim + 1:])
    y = empty(shape, x.dtype)
    put(y, np.broadcast_to(np.expand_dims(x, dim + 1), shape))
    return y.reshape(*x.shape[:dim], x.shape[dim] * times, *x.shape[dim + 1:])


def repeat_interleave_backward(dy, shape, repeats, dim):
    times = _as_often(repeats)
    if times is None:
        return _reference.repeat_interleave_backward(dy, shape, repeats, dim)
    return sum_forward(dy.reshape(*shape[:dim + 1], times, *shape[dim + 1:]), (dim + 1,), False)


def _as_often(repeats):
    """How often every entry is repeated; None where some are more often than others."""
    return int(repeats[0]) if repeats.size and (repeats == repeats[0]).all() else None


# ---- triangles -------------------------------------------------------------------------------------------------------

def tril_forward(x, diagonal):
    y = _triangle(x, diagonal + 1, True)
    return _reference.tril_forward(x, diagonal) if y is None else y


def triu_forward(x, diagonal):
    y = _triangle(x, diagonal, False)
    return _reference.triu_forward(x, diagonal) if y is None else y


def tril_backward(dy, diagonal):
    return tril_forward(dy, diagonal)


def triu_backward(dy, diagonal):
    return triu_forward(dy, diagonal)


def _triangle(x, edge, lower):
    """Of a large array of floats: what is left of the edge, or right of it; None for anything else."""
    if x.ndim < 2 or x.size < _shared.LARGE or x.dtype.char not in "fd":
        return None
    return _shared.compiled("_copy").triangle(contiguous_forward(x), edge, lower)

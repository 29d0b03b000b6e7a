"""The same numbers in another arrangement. Views cost nothing on the GPU: NumPy works out their strides.

Kernels are only needed where numbers move or gradients add up.
"""

import math

import numpy as np

from ..reference import shape as _reference
from ._array import Array, cast, copy_into, counting, empty, like_ghost, packed, view, zeros
from ._map import each, formula

__all__ = _reference.__all__


# ---------------------------------------------------------------------------------------------------------------------
# views

def reshape_forward(x, shape):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if -1 in shape:
        shape = tuple([x.size // max(1, -math.prod(shape)) if n == -1 else n for n in shape])
    if x.contiguous:
        return view(np.reshape, x, shape)
    try:
        return like_ghost(x, np.reshape(x.ghost, shape, copy=False))
    except (TypeError, ValueError):     # no strides describe it (or NumPy 2.0 cannot tell)
        return reshape_forward(packed(x), shape)


def reshape_backward(dy, shape):
    return reshape_forward(dy, shape)


def permute_forward(x, dims):
    return view(_reference.permute_forward, x, dims)


def permute_backward(dy, dims):
    return view(_reference.permute_backward, dy, dims)


def expand_forward(x, shape):
    return view(_reference.expand_forward, x, shape)


def expand_backward(dy, shape):
    return Array.kernels.sum_to(dy, shape)


def narrow_forward(x, dim, start, length):
    return view(_reference.narrow_forward, x, dim, start, length)


def narrow_backward(dy, shape, dim, start, length):
    dx = zeros(shape, dy.dtype)
    copy_into(narrow_forward(dx, dim, start, length), dy)
    return dx


def diagonal_forward(x, offset, dim1, dim2):
    return view(_reference.diagonal_forward, x, offset, dim1, dim2)


def diagonal_backward(dy, shape, offset, dim1, dim2):
    dx = zeros(shape, dy.dtype)
    copy_into(diagonal_forward(dx, offset, dim1, dim2), dy)
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# one array to several: every output is a view

def split_forward(x, sizes, dim):
    return tuple([like_ghost(x, ghost) for ghost in _reference.split_forward(x.ghost, sizes, dim)])


def split_backward(dys, shape, dtype, sizes, dim):
    dx = zeros(shape, dtype)
    for place, dy in zip(split_forward(dx, sizes, dim), dys):
        if dy is not None:
            copy_into(place, dy)
    return dx


def unbind_forward(x, dim):
    return tuple([view(lambda ghost, i: ghost[(slice(None),) * dim + (i, Ellipsis)], x, i) for i in range(x.shape[dim])])


def unbind_backward(dys, shape, dtype, dim):
    dx = zeros(shape, dtype)
    for place, dy in zip(unbind_forward(dx, dim), dys):
        if dy is not None:
            copy_into(place, dy)
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# several arrays to one

def cat_forward(xs, dim):
    sizes = [x.shape[dim] for x in xs]
    shape = (*xs[0].shape[:dim], sum(sizes), *xs[0].shape[dim + 1:])
    y = empty(shape, np.result_type(*[x.dtype for x in xs]))
    for place, x in zip(split_forward(y, sizes, dim), xs):
        copy_into(place, x)
    return y


def cat_backward(dy, sizes, dim, needs):
    return tuple(piece if need else None for piece, need in zip(split_forward(dy, sizes, dim), needs))


def stack_forward(xs, dim):
    shape = (*xs[0].shape[:dim], len(xs), *xs[0].shape[dim:])
    y = empty(shape, np.result_type(*[x.dtype for x in xs]))
    for place, x in zip(unbind_forward(y, dim), xs):
        copy_into(place, x)
    return y


def stack_backward(dy, dim, needs):
    return tuple(piece if need else None for piece, need in zip(unbind_forward(dy, dim), needs))


# ---------------------------------------------------------------------------------------------------------------------
# copies

def copy(x):
    return cast(x, x.dtype)


def contiguous_forward(x):
    return packed(x)


def contiguous_backward(dy):
    return dy


def repeat_forward(x, repeats):
    """A view in which every axis is a pair (which copy, where in it), written out."""
    pairs, shape = _pairs(x.shape, repeats)
    return packed(expand_forward(reshape_forward(x, [n if i % 2 else 1 for i, n in enumerate(pairs)]), pairs)).reshape(shape)


def repeat_backward(dy, shape, repeats):
    pairs, _ = _pairs(shape, repeats)
    ones = [n if i % 2 else 1 for i, n in enumerate(pairs)]
    return Array.kernels.sum_to(reshape_forward(dy, pairs), tuple(ones)).reshape(shape)


def _pairs(shape, repeats):
    repeats = (repeats,) if isinstance(repeats, int) else tuple(repeats)
    rank = max(len(repeats), len(shape))
    shape = (1,) * (rank - len(shape)) + tuple(shape)
    repeats = (1,) * (rank - len(repeats)) + repeats
    return [n for pair in zip(repeats, shape) for n in pair], tuple([m * n for m, n in zip(repeats, shape)])


def repeat_interleave_forward(x, repeats, dim):
    source = _repeated(x.shape[dim], repeats)
    return Array.kernels.index_select_forward(x, dim, source)


def repeat_interleave_backward(dy, shape, repeats, dim):
    source = _repeated(shape[dim], repeats)
    return Array.kernels.index_select_backward(dy, shape, dim, source)


def _repeated(n, repeats):
    """Where each entry comes from. How many there will be, the host must know."""
    return np.repeat(np.arange(n), repeats.to_host() if isinstance(repeats, Array) else repeats)


def flip_forward(x, dims):
    return cast(view(np.flip, x, dims), x.dtype)


def flip_backward(dy, dims):
    return view(np.flip, dy, dims)


def roll_forward(x, shifts, dims):
    """Along every axis: the last entries, then those before them."""
    if dims is None:
        return roll_forward(x.reshape(-1), shifts, 0).reshape(x.shape)
    shifts, dims = [(n,) if isinstance(n, int) else n for n in (shifts, dims)]
    for shift, dim in zip(shifts, dims):
        size = x.shape[dim]
        last = shift % size if size else 0
        x = cat_forward([narrow_forward(x, dim, size - last, last), narrow_forward(x, dim, 0, size - last)], dim)
    return x


def roll_backward(dy, shifts, dims):
    return roll_forward(dy, [-n for n in ([shifts] if isinstance(shifts, int) else shifts)], dims)


def tril_forward(x, diagonal):
    return Array.kernels.where_forward(each(_at_most, *_row_and_column(x), diagonal, dtype=bool), x, 0)


def tril_backward(dy, diagonal):
    return tril_forward(dy, diagonal)


def triu_forward(x, diagonal):
    return Array.kernels.where_forward(each(_at_most, *_row_and_column(x), diagonal - 1, dtype=bool), 0, x)


def triu_backward(dy, diagonal):
    return triu_forward(dy, diagonal)


def _row_and_column(x):
    """The number of every row (m, 1), and of every column (n,)."""
    m, n = x.shape[-2:]
    return counting(m).reshape(m, 1), counting(n)


_at_most = formula(lambda row, column, diagonal: column - row <= diagonal)


def diag_forward(x, diagonal):
    n = len(x) + abs(diagonal)
    return diagonal_backward(x, (n, n), diagonal, 0, 1)


def diag_backward(dy, diagonal):
    return view(np.diagonal, dy, diagonal)

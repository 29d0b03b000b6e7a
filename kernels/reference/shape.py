"""The same numbers in another arrangement. Wherever NumPy can, the result is a view: no number is copied.

Axes arrive as numbers that are not negative, sizes without −1. ``dy`` has the output's shape, the result the input's.
"""

import numpy as np

__all__ = [
    "cat_backward", "cat_forward", "contiguous_backward", "contiguous_forward", "copy", "diag_backward", "diag_forward",
    "diagonal_backward", "diagonal_forward", "expand_backward", "expand_forward", "flip_backward", "flip_forward",
    "narrow_backward", "narrow_forward", "permute_backward", "permute_forward", "repeat_backward", "repeat_forward",
    "repeat_interleave_backward", "repeat_interleave_forward", "reshape_backward", "reshape_forward", "roll_backward",
    "roll_forward", "split_backward", "split_forward", "stack_backward", "stack_forward", "tril_backward",
    "tril_forward", "triu_backward", "triu_forward", "unbind_backward", "unbind_forward",
]


# ---------------------------------------------------------------------------------------------------------------------
# views

def reshape_forward(x, shape):
    """x → the same numbers in reading order; a view where the strides allow it."""
    return x.reshape(shape)


def reshape_backward(dy, shape):
    """dy → dx of this shape."""
    return dy.reshape(shape)


def permute_forward(x, dims):
    """x → y, whose axis i is x's axis dims[i]."""
    return x.transpose(dims)


def permute_backward(dy, dims):
    """dy → dx: every axis back where it was."""
    return dy.transpose(sorted(range(len(dims)), key=dims.__getitem__))


def expand_forward(x, shape):
    """x → a view in which axes of size 1, and new ones in front, repeat."""
    return np.broadcast_to(x, shape)


def expand_backward(dy, shape):
    """dy → dx of this shape: one element was read many times, so its gradients add up."""
    new = dy.ndim - len(shape)
    dims = tuple(range(new)) + tuple(new + i for i, n in enumerate(shape) if n == 1 and dy.shape[new + i] != 1)
    return _sum(dy, dims).reshape(shape)


def narrow_forward(x, dim, start, length):
    """x → a view of length entries of one axis."""
    return x[_along(dim, slice(start, start + length))]


def narrow_backward(dy, shape, dim, start, length):
    """dy → dx of this shape: 0 outside."""
    dx = np.zeros(shape, dy.dtype)
    dx[_along(dim, slice(start, start + length))] = dy
    return dx


def diagonal_forward(x, offset, dim1, dim2):
    """x → its diagonal as the last axis; a view."""
    return x.diagonal(offset, dim1, dim2)


def diagonal_backward(dy, shape, offset, dim1, dim2):
    """dy → dx of this shape: 0 off the diagonal."""
    dx = np.zeros(shape, dy.dtype)
    view = dx.diagonal(offset, dim1, dim2)
    view.flags.writeable = True
    view[...] = dy
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# one array to several: every output is a view

def split_forward(x, sizes, dim):
    """x → pieces of these sizes along one axis."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(x[_along(dim, slice(start, start + size))])
        start += size
    return tuple(pieces)


def split_backward(dys, shape, dtype, sizes, dim):
    """dys, one per piece or None → dx of this shape."""
    dx, start = np.zeros(shape, dtype), 0
    for dy, size in zip(dys, sizes):
        if dy is not None:
            dx[_along(dim, slice(start, start + size))] = dy
        start += size
    return dx


def unbind_forward(x, dim):
    """x → its entries along one axis, without that axis."""
    return tuple(x[_along(dim, i)] for i in range(x.shape[dim]))


def unbind_backward(dys, shape, dtype, dim):
    """dys, one per entry or None → dx of this shape."""
    dx = np.zeros(shape, dtype)
    for i, dy in enumerate(dys):
        if dy is not None:
            dx[_along(dim, i)] = dy
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# several arrays to one

def cat_forward(xs, dim):
    """xs → one array, end to end along one axis."""
    return np.concatenate(xs, dim)


def cat_backward(dy, sizes, dim, needs):
    """dy → a piece for each input; sizes are the inputs' along dim."""
    return tuple(piece if need else None for piece, need in zip(split_forward(dy, sizes, dim), needs))


def stack_forward(xs, dim):
    """xs → one array with a new axis to count them."""
    shape = xs[0].shape
    y = np.empty((*shape[:dim], len(xs), *shape[dim:]), xs[0].dtype)
    for i, x in enumerate(xs):
        y[_along(dim, i)] = x
    return y


def stack_backward(dy, dim, needs):
    """dy → a piece for each input."""
    return tuple(piece if need else None for piece, need in zip(unbind_forward(dy, dim), needs))


# ---------------------------------------------------------------------------------------------------------------------
# copies

def copy(x):
    """The same numbers, in memory of their own."""
    return x.copy()


def contiguous_forward(x):
    """x → the same numbers, in memory in reading order."""
    return np.ascontiguousarray(x).reshape(x.shape)


def contiguous_backward(dy):
    """dy → dx."""
    return dy


def repeat_forward(x, repeats):
    """x → x laid side by side, repeats[i] times along axis i; there may be more repeats than axes."""
    return np.tile(x, repeats)


def repeat_backward(dy, shape, repeats):
    """dy → dx of this shape: the copies' gradients add up."""
    shape_here = (1,) * (len(repeats) - len(shape)) + tuple(shape)
    pairs = [n for pair in zip(repeats, shape_here) for n in pair]
    return _sum(dy.reshape(pairs), tuple(range(0, len(pairs), 2))).reshape(shape)


def repeat_interleave_forward(x, repeats, dim):
    """x → entry i of one axis repeats[i] times in a row."""
    return np.repeat(x, repeats, dim)


def repeat_interleave_backward(dy, shape, repeats, dim):
    """dy → dx of this shape: the copies' gradients add up."""
    dx = np.zeros(shape, dy.dtype)
    kept = np.flatnonzero(repeats)
    if kept.size:
        starts = (np.cumsum(repeats) - repeats)[kept]
        dx[_along(dim, kept)] = np.add.reduceat(dy, starts, dim)
    return dx


def flip_forward(x, dims):
    """x → these axes read backwards."""
    return np.flip(x, dims).copy()


def flip_backward(dy, dims):
    """dy → dx."""
    return np.flip(dy, dims)


def roll_forward(x, shifts, dims):
    """x → entries moved along these axes; what falls off the end comes in at the start."""
    return np.roll(x, shifts, dims)


def roll_backward(dy, shifts, dims):
    """dy → dx: moved back."""
    return np.roll(dy, [-shift for shift in shifts], dims)


def tril_forward(x, diagonal):
    """x (…, m, n) → 0 above the diagonal."""
    return np.tril(x, diagonal)


def tril_backward(dy, diagonal):
    """dy → dx: what was set to 0 gets 0."""
    return np.tril(dy, diagonal)


def triu_forward(x, diagonal):
    """x (…, m, n) → 0 below the diagonal."""
    return np.triu(x, diagonal)


def triu_backward(dy, diagonal):
    """dy → dx: what was set to 0 gets 0."""
    return np.triu(dy, diagonal)


def diag_forward(x, diagonal):
    """x (n,) → a square matrix with x on that diagonal and 0 elsewhere."""
    return np.diag(x, diagonal)


def diag_backward(dy, diagonal):
    """dy → dx (n,)."""
    return dy.diagonal(diagonal)


def _along(dim, index):
    """An index for one axis, with all of the others."""
    return (slice(None),) * dim + (index,)


def _sum(x, dims):
    return np.asarray(x.sum(dims, np.float64 if x.dtype.char in "ef" else None)).astype(x.dtype, copy=False)

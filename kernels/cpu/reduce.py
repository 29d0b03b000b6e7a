"""Reductions: NumPy multiplies and compares as fast as memory delivers; large sums are shared by all threads."""

import math

import numpy as np

from ..reference import reduce as _reference
from ..reference.reduce import *
from ..reference.reduce import _half_over, _keep, _median
from . import _shared
from ._order import places_in_order

__all__ = _reference.__all__


def sum_forward(x, dim, keepdim):
    y = _sum(x, dim, keepdim)
    return _reference.sum_forward(x, dim, keepdim) if y is None else y


def sum_of_squares(x, dim, keepdim):
    y = _sum(x, dim, keepdim, "square")
    return _reference.sum_of_squares(x, dim, keepdim) if y is None else y


def mean_forward(x, dim, keepdim):
    y = _sum(x, dim, keepdim)
    if y is None:
        return _reference.mean_forward(x, dim, keepdim)
    return np.asarray(y / x.dtype.type(x.size // y.size))


def var_forward(x, dim, correction, keepdim):
    found = _variance(x, dim, correction, keepdim)
    return _reference.var_forward(x, dim, correction, keepdim) if found is None else (found[0].astype(x.dtype), found[1])


def std_forward(x, dim, correction, keepdim):
    found = _variance(x, dim, correction, keepdim)
    if found is None:
        return _reference.std_forward(x, dim, correction, keepdim)
    return np.sqrt(found[0]).astype(x.dtype), found[1]


def _variance(x, dim, correction, keepdim):
    """Of a large array: the variance, in float64, and the mean. None for anything else."""
    rows = _groups(x, dim)
    if rows is None:
        return None
    mean, n = _mean(rows), rows.shape[1]
    squares = _shared.compiled("_sums").row_sums("square_from_mean", rows, mean.dtype, mean)
    var = (squares / max(0, n - correction)).reshape(_without(x.shape, dim, keepdim))
    return var, mean.reshape(_without(x.shape, dim, True)).astype(x.dtype, copy=False)


def _mean(rows):
    """rows (a, n, b) → (a, b), in float64."""
    wide = np.dtype(np.float64)
    return _shared.compiled("_sums").row_sums("copy", rows, wide) / rows.shape[1]


def var_backward(dy, x, mean, dim, correction, keepdim):
    rows = _groups(x, dim)
    if rows is None:
        return _reference.var_backward(dy, x, mean, dim, correction, keepdim)
    mean = _mean(rows)      # not the one that was rounded
    factor = 2 * dy.reshape(mean.shape).astype(mean.dtype) / max(0, rows.shape[1] - correction)
    return _shared.compiled("_sums").centred(rows, mean, factor).reshape(x.shape)


def std_backward(dy, x, y, mean, dim, correction, keepdim):
    return var_backward(_half_over(dy, y), x, mean, dim, correction, keepdim)


def prod_forward(x, dim, keepdim):
    rows = _rows(x, dim)
    if rows is None:
        return _reference.prod_forward(x, dim, keepdim)
    return _shared.compiled("_sums").products(rows).reshape(_without(x.shape, dim, keepdim))


def prod_backward(dy, x, dim, keepdim):
    rows = _rows(x, dim)
    if rows is None:
        return _reference.prod_backward(dy, x, dim, keepdim)
    return _shared.compiled("_sums").products_backward(dy, rows).reshape(x.shape)


def cumsum_forward(x, dim):
    y = _running_sums(x, dim, False)
    return _reference.cumsum_forward(x, dim) if y is None else y


def cumsum_backward(dy, dim):
    dx = _running_sums(dy, dim, True)
    return _reference.cumsum_backward(dy, dim) if dx is None else dx


def _running_sums(x, dim, from_end):
    """Of a large array along its last axis; None for anything else."""
    rows = _lines(x, dim)
    return None if rows is None else _shared.compiled("_sums").running_sums(rows, from_end).reshape(x.shape)


def cumprod_forward(x, dim):
    rows = _lines(x, dim)
    if rows is None:
        return _reference.cumprod_forward(x, dim)
    return _shared.compiled("_sums").running_products(rows).reshape(x.shape)


def cumprod_backward(dy, x, y, dim):
    rows = _lines(x, dim)
    if rows is None:
        return _reference.cumprod_backward(dy, x, y, dim)
    return _shared.compiled("_sums").running_products_backward(dy, rows, y).reshape(x.shape)


def norm_forward(x, p, dim, keepdim):
    # squares of float32 neither overflow nor vanish in float64
    y = _sum(x, dim, keepdim, "square", np.sqrt) if p == 2 and x.dtype == np.float32 else None
    return _reference.norm_forward(x, p, dim, keepdim) if y is None else y


def norm_backward(dy, x, y, p, dim, keepdim):
    if p == 2 and x.size >= _shared.LARGE and y.size and y.min() > 1e-30 and np.isfinite(y).all():
        dx = _shared.compiled("_large").each("mul", x, _keep(np.divide(dy, y), dim, keepdim))
        if dx is not None:
            return dx
    return _reference.norm_backward(dy, x, y, p, dim, keepdim)


def logsumexp_forward(x, dim, keepdim):
    rows = _rows(x, dim)
    if rows is None:
        return _reference.logsumexp_forward(x, dim, keepdim)
    y = _shared.compiled("_sums").log_sums(rows)
    return y.reshape(_without(x.shape, dim, keepdim))


def logsumexp_backward(dy, x, y, dim, keepdim):
    rows = _rows(x, dim)
    if rows is None:
        return _reference.logsumexp_backward(dy, x, y, dim, keepdim)
    return _shared.compiled("_sums").log_sums_backward(dy, rows, y).reshape(x.shape)


def amax_backward(dy, x, y, dim, keepdim):
    rows = _rows(x, dim)
    if rows is None:
        return _reference.amax_backward(dy, x, y, dim, keepdim)
    return _shared.compiled("_sums").equal_shares(dy, rows, y).reshape(x.shape)


amin_backward = amax_backward


def median_forward(x, dim, keepdim):
    place = places_in_order(x, dim, False, (x.shape[dim] - 1) // 2) if x.ndim else None
    if place is None:
        return _reference.median_forward(x, dim, keepdim)
    return _median(x, place.squeeze(dim), dim, keepdim)


def _lines(x, dim):
    """A large array (…, n) of which one axis is meant, the last, as (rows, n); None for anything else."""
    return _rows(x, (dim % x.ndim,)) if x.ndim > 1 else None


def _rows(x, dim):
    """A large array (…, n) whose last axes are dim as (rows, n); None for anything else."""
    if not _is_large(x, _shared.MIDDLE):
        return None
    if not dim or dim != tuple(range(x.ndim - len(dim), x.ndim)):
        return None
    return x.reshape(math.prod(x.shape[:dim[0]]), -1)


def _is_large(x, least):
    """Has it so many numbers, in C order, of a dtype that is compiled?"""
    return x.size >= least and x.dtype.char in "fd" and x.flags.carray


def _sum(x, dim, keepdim, name="copy", finish=None):
    """The sum of a large array along neighbouring axes, or of a formula of it; None for anything else.

    What ``finish`` makes of the sums, it makes of them in float64.
    """
    rows = _groups(x, dim)
    if rows is None:
        return None
    y = _shared.compiled("_sums").row_sums(name, rows, x.dtype if finish is None else np.dtype(np.float64))
    y = (y if finish is None else finish(y)).astype(x.dtype, copy=False)
    return y.reshape(_without(x.shape, dim, keepdim))


def _without(shape, dim, keepdim):
    """The shape without these neighbouring axes, or with size 1 there."""
    return shape[:dim[0]] + (1,) * len(dim) * keepdim + shape[dim[-1] + 1:]


def _groups(x, dim):
    """A large array and neighbouring axes as (a, n, b): n are one group. None for anything else."""
    if not _is_large(x, _shared.LARGE):
        return None
    if not dim or dim[-1] - dim[0] != len(dim) - 1:
        return None
    return x.reshape(math.prod(x.shape[:dim[0]]), math.prod(x.shape[dim[0]:dim[-1] + 1]), math.prod(x.shape[dim[-1] + 1:]))

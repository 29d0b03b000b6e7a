"""Many numbers in, fewer out: sums, products, extremes, norms; and running sums, which keep them all.

``dim`` is a tuple of axes, none negative, unless a kernel says "one axis". NumPy adds pairwise only along a contiguous
last axis; along any other a float32 sum drifts with every term. There the sum is taken in float64.
"""

import math

import numpy as np

__all__ = [
    "all", "amax_backward", "amax_forward", "amin_backward", "amin_forward", "any", "argmax", "argmin", "count_nonzero",
    "cumprod_backward", "cumprod_forward", "cumsum_backward", "cumsum_forward", "logsumexp_backward",
    "logsumexp_forward", "max_backward", "max_forward", "mean_backward", "mean_forward", "median_backward",
    "median_forward", "min_backward", "min_forward", "norm_backward", "norm_forward", "prod_backward", "prod_forward",
    "std_backward", "std_forward", "sum_backward", "sum_forward", "sum_of_squares", "var_backward", "var_forward",
]


# ---------------------------------------------------------------------------------------------------------------------
# sums and means

def sum_forward(x, dim, keepdim):
    """x (…) → y, x without the axes dim. Integers add up in int64."""
    if x.dtype.kind in "bui":
        return x.sum(dim, np.int64, keepdims=keepdim)
    return _sum(x, dim, keepdim)


def sum_backward(dy, shape, dim, keepdim):
    """dy → dx of this shape: every element moved the sum by itself."""
    return _spread(dy, shape, dim, keepdim)


def sum_of_squares(x, dim, keepdim):
    """x (…) → Σ x², x without the axes dim. Its gradient is 2 x."""
    return _sum(x * x, dim, keepdim)


def mean_forward(x, dim, keepdim):
    """x (…) → y, x without the axes dim."""
    return _sum(x, dim, keepdim) / x.real.dtype.type(_count(x.shape, dim))  # the mean of nothing is NaN


def mean_backward(dy, shape, dim, keepdim):
    """dy → dx of this shape."""
    return _spread(dy / dy.dtype.type(max(1, _count(shape, dim))), shape, dim, keepdim)


def var_forward(x, dim, correction, keepdim):
    """x (…) → y, mean (both without dim; mean keeps it with size 1)."""
    var, mean = _variance(x, dim, correction, keepdim)
    return var.astype(x.dtype, copy=False), mean


def var_backward(dy, x, mean, dim, correction, keepdim):
    """dy → dx. The mean moved too, but Σ (x − mean) = 0 cancels that."""
    d = x - mean
    d = d - _sum(d, dim, True) / np.asarray(max(1, _count(x.shape, dim)), x.dtype)
    return _over(2 * _keep(dy, dim, keepdim), x, dim, correction) * d if x.size else np.zeros_like(x)


def std_forward(x, dim, correction, keepdim):
    """x (…) → y, mean (mean keeps the axes dim with size 1)."""
    var, mean = _variance(x, dim, correction, keepdim)
    return np.sqrt(var).astype(x.dtype, copy=False), mean


def std_backward(dy, x, y, mean, dim, correction, keepdim):
    """dy → dx; 0 where the deviation is 0."""
    return var_backward(_half_over(dy, y), x, mean, dim, correction, keepdim)


# ---------------------------------------------------------------------------------------------------------------------
# products

def prod_forward(x, dim, keepdim):
    """x (…) → y, x without the axes dim. Integers multiply in int64."""
    y = np.asarray(x.prod(dim, _wide(x), keepdims=keepdim))
    return y if x.dtype.kind in "bui" else y.astype(x.dtype, copy=False)


def prod_backward(dy, x, dim, keepdim):
    """dy → dx: each element's factor is the product of the others, taken without division, so zeros are no matter."""
    rows = _last(x, dim)
    others = np.ones(rows.shape, _wide(x))
    np.cumprod(rows[..., :-1], -1, out=others[..., 1:])
    if rows.shape[-1]:
        others[..., :-1] *= np.cumprod(rows[..., :0:-1], -1, others.dtype)[..., ::-1]
    return (_keep(dy, dim, keepdim) * _back(others, x.shape, dim)).astype(x.dtype, copy=False)


# ---------------------------------------------------------------------------------------------------------------------
# the largest and the smallest

def amax_forward(x, dim, keepdim):
    """x (…) → y, x without the axes dim; NaN if there is one."""
    return x.max(dim, keepdims=keepdim)


def amax_backward(dy, x, y, dim, keepdim):
    """dy → dx: elements that tie share evenly."""
    y = _keep(y, dim, keepdim)
    chosen = (x == y) | ((x != x) & (y != y))
    share = _keep(dy, dim, keepdim) / chosen.sum(dim, dtype=dy.dtype, keepdims=True)
    return np.where(chosen, share, np.zeros((), dy.dtype))


def amin_forward(x, dim, keepdim):
    """x (…) → y, x without the axes dim; NaN if there is one."""
    return x.min(dim, keepdims=keepdim)


def amin_backward(dy, x, y, dim, keepdim):
    """dy → dx: elements that tie share evenly."""
    return amax_backward(dy, x, y, dim, keepdim)


def argmax(x, dim, keepdim):
    """x (…) → where along one axis (None: in reading order of all) the largest is; the first, if several are."""
    return x.argmax(dim, keepdims=keepdim)


def argmin(x, dim, keepdim):
    """x (…) → where along one axis (None: in reading order of all) the smallest is; the first, if several are."""
    return x.argmin(dim, keepdims=keepdim)


def max_forward(x, dim, keepdim):
    """x (…), one axis → y, indices of the largest."""
    return _pick(x, x.argmax(dim) if x.ndim else np.zeros((), np.int64), dim, keepdim)


def max_backward(dy, indices, shape, dim, keepdim):
    """dy → dx of this shape: only the element that was picked moved the result."""
    dx = np.zeros(shape, dy.dtype)
    if not shape:
        return dx + dy
    if dim == len(shape) - 1:
        dx.reshape(-1, shape[-1])[np.arange(indices.size), indices.reshape(-1)] = dy.reshape(-1)
    else:
        np.put_along_axis(dx, _keep(indices, (dim,), keepdim), _keep(dy, (dim,), keepdim), dim)
    return dx


def min_forward(x, dim, keepdim):
    """x (…), one axis → y, indices of the smallest."""
    return _pick(x, x.argmin(dim) if x.ndim else np.zeros((), np.int64), dim, keepdim)


def min_backward(dy, indices, shape, dim, keepdim):
    """dy → dx of this shape: only the element that was picked moved the result."""
    return max_backward(dy, indices, shape, dim, keepdim)


def median_forward(x, dim, keepdim):
    """x (…), one axis → y, indices of the median: of two in the middle the smaller; the first NaN if there is one."""
    if not x.ndim:
        return _pick(x, np.zeros((), np.int64), dim, keepdim)
    return _median(x, x.argsort(dim, kind="stable").take((x.shape[dim] - 1) // 2, dim), dim, keepdim)


def _median(x, indices, dim, keepdim):
    nan = x != x
    return _pick(x, np.where(nan.any(dim), nan.argmax(dim), indices), dim, keepdim)


def median_backward(dy, indices, shape, dim, keepdim):
    """dy → dx of this shape: only the element that was picked moved the result."""
    return max_backward(dy, indices, shape, dim, keepdim)


# ---------------------------------------------------------------------------------------------------------------------
# the logarithm of a sum of exponentials

def logsumexp_forward(x, dim, keepdim):
    """x (…) → y, x without the axes dim."""
    # pass 1: the largest, taken out so that nothing overflows; an infinite one stays in
    big = np.array(x.real.max(dim, keepdims=True, initial=-np.inf))
    big[~np.isfinite(big)] = 0
    # pass 2: the sum of what is left, and its logarithm
    with np.errstate(divide="ignore", over="ignore"):  # log 0 = −inf: every element was −inf
        y = np.log(_sum(np.exp(x - big), dim, True)) + big
    return y if keepdim else y.squeeze(dim)


def logsumexp_backward(dy, x, y, dim, keepdim):
    """dy → dx: each element's share of the sum, which is softmax. NaN where y is infinite and x equals it."""
    with np.errstate(invalid="ignore"):
        return _keep(dy, dim, keepdim) * np.exp(x - _keep(y, dim, keepdim))


# ---------------------------------------------------------------------------------------------------------------------
# running sums and products, along one axis

def cumsum_forward(x, dim):
    """x (…), one axis → y (…): every element with all before it. Integers add up in int64."""
    if not x.ndim:
        return x.astype(np.int64) if x.dtype.kind in "bui" else x.copy()
    if x.dtype.kind in "bui":
        return x.cumsum(dim, np.int64)
    return x.cumsum(dim, _wide(x)).astype(x.dtype, copy=False)


def cumsum_backward(dy, dim):
    """dy (…) → dx (…): an element moved its own sum and all that follow, so sum from the far end."""
    return np.flip(cumsum_forward(np.flip(dy, dim), dim), dim) if dy.ndim else dy


def cumprod_forward(x, dim):
    """x (…), one axis → y (…): every element times all before it. Integers multiply in int64."""
    if not x.ndim:
        return x.astype(np.int64) if x.dtype.kind in "bui" else x.copy()
    y = x.cumprod(dim, _wide(x))
    return y if x.dtype.kind in "bui" else y.astype(x.dtype, copy=False)


def cumprod_backward(dy, x, y, dim):
    """dy (…) → dx (…): divide each element out of the products it is in; the first zero's are taken without it."""
    if not x.ndim or not x.size:
        return dy * np.ones_like(x)
    zeros_before = (x == 0).cumsum(dim)
    first = (x == 0) & (zeros_before == 1)
    # before the first zero: Σ dy · y over the rest, with x divided out; y is 0 from the zero on
    dx = np.divide(cumsum_backward(dy * y, dim), x, out=np.zeros_like(x), where=zeros_before == 0)
    if first.any():  # at the zero: the products as if it were 1. After it nothing moves.
        without = np.where(zeros_before > 0, cumprod_forward(np.where(first, x.dtype.type(1), x), dim), 0)
        dx[first] = cumsum_backward(dy * without, dim)[first]
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# norms

def norm_forward(x, p, dim, keepdim):
    """x (…), p a float → y: (Σ |x|ᵖ)^(1/p); for ±inf the largest, the smallest; for 0 how many are not 0."""
    size = _abs(x)
    if p == np.inf:
        return size.max(dim, keepdims=keepdim, initial=0)
    if p == -np.inf:
        return size.min(dim, keepdims=keepdim, initial=np.inf)
    if p == 0:
        return (x != 0).sum(dim, dtype=x.dtype, keepdims=keepdim)
    if p == 1:
        return _sum(size, dim, keepdim)
    # pass 1: the largest, taken out so that powers neither overflow nor vanish
    big = np.array(size.real.max(dim, keepdims=True, initial=0))
    big[(big == 0) | ~np.isfinite(big)] = 1
    size = size / big
    # pass 2: the sum of powers, and its root
    with np.errstate(divide="ignore"):  # p < 0 and x = 0: the norm is 0
        y = big * (np.sqrt(_sum(size * size, dim, True)) if p == 2 else _sum(size**p, dim, True) ** (1 / p))
    return y if keepdim else y.squeeze(dim)


def norm_backward(dy, x, y, p, dim, keepdim):
    """dy → dx; 0 where the norm is 0, and where x is."""
    dy, y = _keep(dy, dim, keepdim), _keep(y, dim, keepdim)
    sign = np.sign(x)
    if p == 0:
        return np.zeros_like(x)
    if p == 1:
        return dy * sign
    if np.isinf(p):  # elements that tie share evenly
        chosen = np.abs(x) == y
        return sign * np.where(chosen, dy / np.maximum(chosen.sum(dim, dtype=x.dtype, keepdims=True), 1), 0)
    ratio = np.divide(x, y, out=np.zeros_like(x), where=(y != 0) & (x != 0))
    if p == 2:
        return dy * ratio
    size = np.abs(ratio)
    return dy * sign * np.power(size, p - 1, out=np.zeros_like(x), where=size != 0)


# ---------------------------------------------------------------------------------------------------------------------
# questions about many numbers at once

def all(x, dim, keepdim):
    """x (…) → is every one nonzero?"""
    return np.all(x, dim, keepdims=keepdim)


def any(x, dim, keepdim):
    """x (…) → is at least one nonzero?"""
    return np.any(x, dim, keepdims=keepdim)


def count_nonzero(x, dim):
    """x (…) → how many are not zero, int64."""
    return (x != 0).sum(dim, dtype=np.int64)


# ---------------------------------------------------------------------------------------------------------------------

def _sum(x, dim, keepdim):
    """Like x.sum, but as exact along any axis as NumPy is along the last."""
    char = x.dtype.char
    if char == "e" or char == "f" and not (x.flags.c_contiguous and dim == tuple(range(x.ndim - len(dim), x.ndim))):
        return np.asarray(np.add.reduce(x, dim, np.float64, None, keepdim)).astype(x.dtype)
    return np.add.reduce(x, dim, None, None, keepdim)


def _wide(x):
    """What sums and products of these numbers are taken in: float32's in float64, so that a long one is rounded once."""
    return np.int64 if x.dtype.kind in "bui" else np.float64 if x.dtype.char in "ef" else x.dtype


def _centre(x, dim):
    """x minus its mean, and the mean (dim kept), in float64; what is float64 itself twice, because its mean is rounded."""
    if x.dtype.char in "ef":
        mean = np.add.reduce(x, dim, np.float64, None, True) / _count(x.shape, dim)
        return x - mean, mean
    mean = mean_forward(x, dim, True)
    d = x - mean
    rest = mean_forward(d, dim, True)
    return d - rest, mean + rest


def _variance(x, dim, correction, keepdim):
    """The variance, of float32 in float64, and the mean (dim kept)."""
    d, mean = _centre(x, dim)
    return _over(_sum(d * d, dim, keepdim), x, dim, correction), mean.astype(x.dtype, copy=False)


def _half_over(dy, y):
    """What the root passes to the variance: dy / 2y, and 0 where y is 0."""
    return np.divide(dy, 2 * y, out=np.zeros_like(dy), where=y != 0)


def _over(total, x, dim, correction):
    """Divide by the number of degrees of freedom; NaN or inf when there is none."""
    return total / x.real.dtype.type(max(0, _count(x.shape, dim) - correction))


def _keep(y, dim, keepdim):
    """y with the axes that were reduced, of size 1."""
    return y if keepdim else np.expand_dims(y, dim)


def _spread(dy, shape, dim, keepdim):
    """dy repeated along the axes dim: written out where that is quicker, otherwise as a view."""
    if math.prod(shape) > 1024:
        return np.broadcast_to(_keep(dy, dim, keepdim), shape)
    dx = np.empty(shape, dy.dtype)
    dx[...] = dy if len(dim) == len(shape) and dy.size == 1 else _keep(dy, dim, keepdim)
    return dx


def _count(shape, dim):
    """How many elements one result was made of."""
    count = 1
    for axis in dim:
        count *= shape[axis]
    return count


def _last(x, dim):
    """The axes dim moved to the end and made one."""
    rest = [axis for axis in range(x.ndim) if axis not in dim]
    return x.transpose(*rest, *dim).reshape(*[x.shape[axis] for axis in rest], _count(x.shape, dim))


def _back(rows, shape, dim):
    """Undo ``_last``."""
    order = [axis for axis in range(len(shape)) if axis not in dim] + list(dim)
    return rows.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def _pick(x, indices, dim, keepdim):
    """The elements at these places along one axis, and the places."""
    if not x.ndim:
        return x.copy(), indices
    if dim == x.ndim - 1:
        y = x.reshape(-1, x.shape[-1])[np.arange(indices.size), indices.reshape(-1)].reshape(indices.shape)
    else:
        y = np.take_along_axis(x, np.expand_dims(indices, dim), dim).squeeze(dim)
    return (np.expand_dims(y, dim), np.expand_dims(indices, dim)) if keepdim else (y, indices)


def _abs(x):
    """|x|; of a complex number the branch that its real part is on."""
    return np.where(x.real < 0, -x, x) if x.dtype.kind == "c" else np.abs(x)

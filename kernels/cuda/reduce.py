"""Many numbers in, fewer out. One kernel folds rows with any formula: sums, products, extremes.

The axes to fold are moved to the end. A block of threads takes a row: each thread folds every THREADS-th number, then the
block folds the threads' results. Where the axes are the first ones, a thread takes a column instead, so that neighbours
still read neighbouring numbers; shares of the rows are folded apart and then together. The order depends on the shape
alone: same bits on every run.
"""

import math
from functools import lru_cache

import numpy as np

from ..reference import reduce as _reference
from ._array import Array, accumulator, cast, empty, full, ready, view, zeros
from ._block import block_fold, larger, plus, smaller, times
from ._four import load_one, store_one
from ._launch import THREADS, TINY, WARP, Kernel, cuda, kernel, number
from ._map import each, formula
from .arithmetic import _where

__all__ = _reference.__all__

SHARES = 3 if TINY else 128    # pieces into which columns are cut
FEW = 2 if TINY else 32        # numbers: shorter pieces are not worth a second launch

same = combine = whole_block = formula(lambda x: x)     # in the kernels below: what they are being compiled for


def _fold_rows(x, c, initial, y):
    t, row = cuda.threadIdx.x, cuda.blockIdx.x * c
    total = initial
    for j in range(t, c, cuda.blockDim.x):
        total = combine(total, number(same(load_one(x, row + j))))
    total = whole_block(total)
    if t == 0:
        store_one(y, cuda.blockIdx.x, total)


def _fold_columns(x, n, c, initial, y):
    j, share, shares = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x, cuda.blockIdx.y, cuda.gridDim.y
    if j < c:
        total = initial
        for i in range(share * n // shares, (share + 1) * n // shares):
            total = combine(total, number(same(load_one(x, i * c + j))))
        store_one(y, share * c + j, total)


def fold(x, dim, keepdim, combination, initial, first=same, dtype=None):
    """combination(first(x₀), first(x₁), …) over the axes dim, in this dtype."""
    dtype = np.dtype(dtype or x.dtype)
    rest = [axis for axis in range(x.ndim) if axis not in dim]
    n, c = math.prod([x.shape[axis] for axis in rest]), math.prod([x.shape[axis] for axis in dim])
    rows, columns = _kernels(combination, first)
    y = empty([x.shape[axis] for axis in rest], dtype)
    wide = accumulator(dtype)
    initial = bool(initial) if dtype.kind == "b" else wide.type(initial)
    if x.contiguous and tuple(dim) == tuple(range(len(dim))) and n > 1 and c:
        shares = max(1, min(c // FEW, SHARES))
        parts = y if shares == 1 else empty((shares, n), wide)
        columns[-(-n // THREADS), shares](x, c, n, initial, parts)
        if shares > 1:
            last = _kernels(combination, same)[1]
            last[-(-n // THREADS), 1](parts, shares, n, initial, y)
    elif n:
        threads = WARP      # for 12 numbers each; what a thread adds up is cheaper than what threads tell each other
        while threads < min(THREADS, c // 12):
            threads *= 2
        rows[(n,), (threads,)](ready(view(np.transpose, x, [*rest, *dim])), c, initial, y)
    return view(np.expand_dims, y, tuple(dim)) if keepdim else y


@lru_cache(None)
def _kernels(combination, first):
    within = {"combine": combination, "same": first}
    name = f"reduce.fold by {combination.name} of {first.name}"
    return (Kernel(_fold_rows, name + ", rows", -1, whole_block=block_fold(combination), **within),
            Kernel(_fold_columns, name + ", columns", -1, **within))


# ---------------------------------------------------------------------------------------------------------------------
# sums and means

def sum_forward(x, dim, keepdim):
    return fold(x, dim, keepdim, plus, 0, dtype=_wide(x))


def sum_backward(dy, shape, dim, keepdim):
    return view(np.broadcast_to, _keep(dy, dim, keepdim), shape)


def sum_of_squares(x, dim, keepdim):
    return sum_forward(Array.kernels.square_forward(x), dim, keepdim)


def mean_forward(x, dim, keepdim):
    return sum_forward(x, dim, keepdim) / float(_count(x.shape, dim))


def mean_backward(dy, shape, dim, keepdim):
    return sum_backward(dy / float(max(1, _count(shape, dim))), shape, dim, keepdim)


_squares = formula(lambda d: d * d)
_less = formula(lambda x, a, b: x - a - b)
_scaled = formula(lambda d, rest, dy, scale: (d - rest) * dy * scale)


def var_forward(x, dim, correction, keepdim):
    # the mean is taken twice: in float32 it is itself rounded
    first = mean_forward(x, dim, True)
    rest = mean_forward(each(_less, x, first, 0.0), dim, True)
    d = each(_less, x, first, rest)
    return _divided(fold(d, dim, keepdim, plus, 0, _squares), x, dim, correction), first + rest


def var_backward(dy, x, mean, dim, correction, keepdim):
    d = x - mean
    rest = mean_forward(d, dim, True)
    freedom = max(0, _count(x.shape, dim) - correction)
    return each(_scaled, d, rest, _keep(dy, dim, keepdim), 2 / freedom if freedom else math.inf)


_sqrt = formula(lambda x: math.sqrt(x))
_root_slope = formula(lambda dy, y: 0.0 if y == 0 else dy / (y + y))


def std_forward(x, dim, correction, keepdim):
    var, mean = var_forward(x, dim, correction, keepdim)
    return each(_sqrt, var), mean


def std_backward(dy, x, y, mean, dim, correction, keepdim):
    return var_backward(each(_root_slope, dy, y), x, mean, dim, correction, keepdim)


def _divided(total, x, dim, correction):
    """Divide by the number of degrees of freedom; NaN or inf when there is none."""
    return total / float(max(0, _count(x.shape, dim) - correction))


# ---------------------------------------------------------------------------------------------------------------------
# products

def prod_forward(x, dim, keepdim):
    return fold(x, dim, keepdim, times, 1, dtype=_wide(x))


def prod_backward(dy, x, dim, keepdim):
    """Each element's factor is the product of the others: of those before it, and of those after it."""
    rest = [axis for axis in range(x.ndim) if axis not in dim]
    order = [*rest, *dim]
    rows = ready(view(np.transpose, x, order))
    n, c = math.prod([x.shape[axis] for axis in rest]), _count(x.shape, dim)
    others = empty(rows.shape, x.dtype)
    if x.size:
        _others[-(-n // THREADS)](rows, n, c, others)
    others = view(np.transpose, others, np.argsort(order).tolist())
    return _keep(dy, dim, keepdim) * others


@kernel
def _others(x, n, c, y):
    # a thread a row: forwards with the product of what came before, then backwards with that of what comes after
    i = cuda.grid(1)
    if i < n:
        before = number(1.0)
        for j in range(c):
            y[i * c + j] = before
            before *= x[i * c + j]
        after = number(1.0)
        for j in range(c - 1, -1, -1):
            y[i * c + j] *= after
            after *= x[i * c + j]


# ---------------------------------------------------------------------------------------------------------------------
# the largest and the smallest

_chosen = formula(lambda x, y: x == y or (x != x and y != y))
_shared = formula(lambda x, y, dy, count: dy / count if x == y or (x != x and y != y) else 0.0)


def amax_forward(x, dim, keepdim):
    _refuse_nothing("amax", x, dim)
    return fold(x, dim, keepdim, larger, _lowest(x.dtype))


def amax_backward(dy, x, y, dim, keepdim):
    y, dy = _keep(y, dim, keepdim), _keep(dy, dim, keepdim)
    count = fold(each(_chosen, x, y, dtype=bool), dim, True, plus, 0, dtype=dy.dtype)
    return each(_shared, x, y, dy, count, dtype=dy.dtype)


def amin_forward(x, dim, keepdim):
    _refuse_nothing("amin", x, dim)
    return fold(x, dim, keepdim, smaller, _highest(x.dtype))


def amin_backward(dy, x, y, dim, keepdim):
    return amax_backward(dy, x, y, dim, keepdim)


@kernel
def _argmax_rows(x, c, sign, y):
    # each thread's best; then, half by half, the better of two. NaN is best, and of equals the first
    values = cuda.shared.array(THREADS, number)
    places = cuda.shared.array(THREADS, np.int64)
    t, row = cuda.threadIdx.x, cuda.blockIdx.x * c
    at = t if t < c else c - 1
    best = load_one(x, row + at)
    for j in range(t, c, cuda.blockDim.x):
        v = load_one(x, row + j)
        if best == best and (v != v or (v > best if sign > 0 else v < best)):
            best, at = v, j
    values[t], places[t] = best, at
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            a, b, i, j = values[t], values[t + half], places[t], places[t + half]
            better = b != b if a == a else False
            better = better or (b > a if sign > 0 else b < a)
            equal = a == b or (a != a and b != b)
            if (better and a == a) or (equal and j < i):
                values[t], places[t] = b, j
        cuda.syncthreads()
        half //= 2
    if t == 0:
        y[cuda.blockIdx.x] = places[0]


_argmax_rows.number_like = 0


def argmax(x, dim, keepdim):
    return _arg(x, dim, keepdim, 1)


def argmin(x, dim, keepdim):
    return _arg(x, dim, keepdim, -1)


def _arg(x, dim, keepdim, sign):
    if dim is None:
        y = _arg(x.reshape(-1), 0, False, sign)
        return y.reshape((1,) * x.ndim) if keepdim else y
    if not x.ndim:
        return full((), 0, np.int64)
    _refuse_nothing("argmax" if sign > 0 else "argmin", x, (dim,))
    x = x if x.dtype != bool else cast(x, np.uint8)
    rows = ready(view(np.moveaxis, x, dim, -1))
    y = empty(rows.shape[:-1], np.int64)
    if y.size:
        _argmax_rows[y.size](rows, rows.shape[-1], sign, y)
    return view(np.expand_dims, y, dim) if keepdim else y


def max_forward(x, dim, keepdim):
    return _pick(x, argmax(x, dim, False), dim, keepdim)


def max_backward(dy, indices, shape, dim, keepdim):
    if not shape:
        return cast(dy.reshape(()), dy.dtype)
    dims = (dim,)
    dx = zeros(shape, dy.dtype)
    return Array.kernels.scatter_forward(dx, dim, _keep(indices, dims, keepdim), _keep(dy, dims, keepdim))


def min_forward(x, dim, keepdim):
    return _pick(x, argmin(x, dim, False), dim, keepdim)


def min_backward(dy, indices, shape, dim, keepdim):
    return max_backward(dy, indices, shape, dim, keepdim)


def median_forward(x, dim, keepdim):
    if not x.ndim:
        return _pick(x, full((), 0, np.int64), dim, keepdim)
    order = Array.kernels.argsort(x, dim, False)
    middle = order[(slice(None),) * dim + ((x.shape[dim] - 1) // 2,)]
    if x.dtype.kind == "f":     # the first NaN, where there is one: they are sorted last, in order
        nan = each(_nan, x, dtype=bool)
        middle = each(_where, any(nan, (dim,), False), argmax(nan, dim, False), middle, dtype=np.int64)
    return _pick(x, middle, dim, keepdim)


def median_backward(dy, indices, shape, dim, keepdim):
    return max_backward(dy, indices, shape, dim, keepdim)


_nan = formula(lambda x: x != x)


def _pick(x, indices, dim, keepdim):
    """The elements at these places along one axis, and the places."""
    if not x.ndim:
        return cast(x, x.dtype), indices
    kept = view(np.expand_dims, indices, dim)
    y = Array.kernels.gather_forward(x, dim, kept)
    return (y, kept) if keepdim else (view(np.squeeze, y, dim), indices)


def _refuse_nothing(op, x, dim):
    if x.size == 0 and _count(x.shape, dim) == 0 and math.prod([n for i, n in enumerate(x.shape) if i not in dim]):
        raise ValueError(f"{op}: of no elements at all there is no largest or smallest")


def _lowest(dtype):
    return -math.inf if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).min


def _highest(dtype):
    return math.inf if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


# ---------------------------------------------------------------------------------------------------------------------
# the logarithm of a sum of exponentials

_finite_or_zero = formula(lambda x: x if x - x == 0 else 0.0)
_exp_above = formula(lambda x, top: math.exp(x - top))
_log_plus = formula(lambda total, top: math.log(total) + top)
_softmax = formula(lambda dy, x, y: dy * math.exp(x - y))


def logsumexp_forward(x, dim, keepdim):
    # pass 1: the largest, taken out so that nothing overflows; an infinite one stays in
    top = each(_finite_or_zero, fold(x, dim, True, larger, -math.inf))
    # pass 2: the sum of what is left, and its logarithm
    y = each(_log_plus, fold(each(_exp_above, x, top), dim, True, plus, 0), top)
    return y if keepdim else view(np.squeeze, y, tuple(dim))


def logsumexp_backward(dy, x, y, dim, keepdim):
    return each(_softmax, _keep(dy, dim, keepdim), x, _keep(y, dim, keepdim))


# ---------------------------------------------------------------------------------------------------------------------
# running sums and products, along one axis

def _scan_rows(x, c, initial, y):
    # a block a row, THREADS numbers at a time: each thread adds the number 1, then 2, then 4 … places before its own
    shared = cuda.shared.array(THREADS, number)
    t, row = cuda.threadIdx.x, cuda.blockIdx.x * c
    carried = initial
    start = 0
    while start < c:
        j = start + t
        shared[t] = number(x[row + j]) if j < c else number(initial)
        cuda.syncthreads()
        distance = 1
        while distance < THREADS:
            before = shared[t - distance] if t >= distance else initial
            cuda.syncthreads()
            shared[t] = combine(before, shared[t])
            cuda.syncthreads()
            distance *= 2
        if j < c:
            y[row + j] = combine(carried, shared[t])
        carried = combine(carried, shared[THREADS - 1])
        cuda.syncthreads()
        start += THREADS


_running_sum = Kernel(_scan_rows, "reduce._running_sum", -1, combine=plus)
_running_product = Kernel(_scan_rows, "reduce._running_product", -1, combine=times)


def _scan(running, initial, x, dim):
    dtype = _wide(x)
    if not x.ndim:
        return cast(x, dtype)
    rows = ready(view(np.moveaxis, x, dim, -1))
    y = empty(rows.shape, dtype)
    if y.size:
        running[y.size // y.shape[-1]](rows, y.shape[-1], dtype.type(initial), y)
    return view(np.moveaxis, y, -1, dim)


def cumsum_forward(x, dim):
    return _scan(_running_sum, 0, x, dim)


def cumsum_backward(dy, dim):
    return view(np.flip, cumsum_forward(view(np.flip, dy, dim), dim), dim) if dy.ndim else dy


def cumprod_forward(x, dim):
    return _scan(_running_product, 1, x, dim)


_is_zero = formula(lambda x: x == 0)
_before_zero = formula(lambda total, x, zeros_before: total / x if zeros_before == 0 else 0.0)
_replaced = formula(lambda x, zeros_before: 1.0 if x == 0 and zeros_before == 1 else x)
_after_zero = formula(lambda dy, product, zeros_before: dy * product if zeros_before > 0 else 0.0)
_at_zero = formula(lambda dx, total, x, zeros_before: total if x == 0 and zeros_before == 1 else dx)


def cumprod_backward(dy, x, y, dim):
    if not x.ndim or not x.size:
        return dy * full(x.shape, 1, x.dtype)
    zeros_before = cumsum_forward(each(_is_zero, x, dtype=bool), dim)
    # before the first zero: Σ dy · y over the rest, with x divided out; y is 0 from the zero on
    dx = each(_before_zero, cumsum_backward(dy * y, dim), x, zeros_before, dtype=x.dtype)
    # at the zero: the products as if it were 1. After it nothing moves.
    product = cumprod_forward(each(_replaced, x, zeros_before, dtype=x.dtype), dim)
    total = cumsum_backward(each(_after_zero, dy, product, zeros_before, dtype=x.dtype), dim)
    return each(_at_zero, dx, total, x, zeros_before, dtype=x.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# norms

_size = formula(lambda x: abs(x))
_power = formula(lambda x, p: abs(x) ** p)
_is_there = formula(lambda x: x != 0)
_scale_of = formula(lambda big: 1.0 if big == 0 or big - big != 0 else big)
_norm_root = formula(lambda total, big, p: big * total ** (1.0 / p))
_norm_root_2 = formula(lambda total, big: big * math.sqrt(total))
_sign = formula(lambda dy, x: dy if x > 0 else -dy if x < 0 else dy * (x * 0.0))
_tied = formula(lambda x, y: abs(x) == y)
_tied_share = formula(lambda dy, x, y, count: 0.0 if abs(x) != y else dy / count if x > 0 else -dy / count if x < 0 else 0.0)
_ratio = formula(lambda dy, x, y: 0.0 if x == 0 or y == 0 else dy * (x / y))
_ratio_p = formula(lambda dy, x, y, p: 0.0 if x == 0 or y == 0 else dy * (1.0 if x > 0 else -1.0) * abs(x / y) ** (p - 1.0))


def norm_forward(x, p, dim, keepdim):
    if p == math.inf:
        return fold(x, dim, keepdim, larger, 0, _size)
    if p == -math.inf:
        return fold(x, dim, keepdim, smaller, math.inf, _size)
    if p == 0:
        return fold(x, dim, keepdim, plus, 0, _is_there)
    if p == 1:
        return fold(x, dim, keepdim, plus, 0, _size)
    # pass 1: the largest, taken out so that powers neither overflow nor vanish
    big = each(_scale_of, fold(x, dim, True, larger, 0, _size))
    # pass 2: the sum of powers, and its root
    if p == 2:
        y = each(_norm_root_2, fold(x / big, dim, True, plus, 0, _squares), big)
    else:
        y = each(_norm_root, fold(each(_power, x / big, float(p)), dim, True, plus, 0), big, float(p))
    return y if keepdim else view(np.squeeze, y, tuple(dim))


def norm_backward(dy, x, y, p, dim, keepdim):
    dy, y = _keep(dy, dim, keepdim), _keep(y, dim, keepdim)
    if p == 0:
        return zeros(x.shape, x.dtype)
    if p == 1:
        return each(_sign, dy, x)
    if math.isinf(p):
        count = fold(each(_tied, x, y, dtype=bool), dim, True, plus, 0, dtype=x.dtype)
        return each(_tied_share, dy, x, y, count, dtype=x.dtype)
    return each(_ratio, dy, x, y, dtype=x.dtype) if p == 2 else each(_ratio_p, dy, x, y, float(p), dtype=x.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# questions about many numbers at once

_and = formula(lambda a, b: a and b)
_or = formula(lambda a, b: a or b)


def all(x, dim, keepdim):
    return fold(x, _dims(x, dim), keepdim, _and, True, _is_there, bool)


def any(x, dim, keepdim):
    return fold(x, _dims(x, dim), keepdim, _or, False, _is_there, bool)


def count_nonzero(x, dim):
    return fold(x, dim, False, plus, 0, _is_there, np.int64)


# ---------------------------------------------------------------------------------------------------------------------

def _dims(x, dim):
    """The axes as a tuple; None means all."""
    return tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim


def _wide(x):
    """The dtype to add up in: integers in int64."""
    return np.dtype(np.int64) if x.dtype.kind in "bui" else x.dtype


def _keep(y, dim, keepdim):
    """y with the axes that were reduced, of size 1."""
    return y if keepdim else view(np.expand_dims, y, tuple(dim))


def _count(shape, dim):
    """How many elements one result was made of."""
    return math.prod([shape[axis] for axis in dim])

"""Matrix products: NumPy's own OpenBLAS, one thread a call, called from our threads.

``np.matmul`` lets OpenBLAS cut a product by its number of threads, and the cut decides how sums are rounded: of 584
products tried, 106 came out with other bits on two threads than on one. Here the cut is made by the shape, each piece
is one single-threaded call, and the pieces run in a ``prange``: the same bits on any number of threads, and one pool of
threads instead of two that fight for the same cores.

Where NumPy brings no OpenBLAS with 64-bit integers (``AVAILABLE`` is False), ``product`` is ``np.matmul`` and ``gemm``
a plain loop.
"""

import ctypes
import math
import os
import threading
from contextlib import nullcontext

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import overload
from numpy._core import _multiarray_umath as _numpy

from ._jit import CHUNKS, inline, parallel, prange, ready
from ._memory import empty

__all__ = ["AVAILABLE", "gemm", "one_thread", "product"]


def _find():
    """OpenBLAS's products, matrix · matrix and matrix · vector, and how its number of threads is read and set."""
    try:
        library = ctypes.CDLL(_numpy.__file__)
    except OSError:
        return None
    for prefix in "scipy_", "":
        try:
            return [getattr(library, prefix + name + "64_") for name in (
                "cblas_sgemm", "cblas_dgemm", "cblas_sgemv", "cblas_dgemv",
                "openblas_get_num_threads", "openblas_set_num_threads")]
        except AttributeError:
            pass
    return None


*_products, _get_threads, _set_threads = _find() or [None] * 6
AVAILABLE = _get_threads is not None


def _external(name, function, *arguments):
    if function is None:
        return None
    llvmlite.binding.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
    return types.ExternalFunction(name, types.void(*arguments))


def _matrix_by_matrix(name, function, real):
    e, i, p = types.int32, types.int64, types.intp
    return _external(name, function, e, e, e, i, i, i, real, p, i, p, i, real, p, i)


def _matrix_by_vector(name, function, real):
    e, i, p = types.int32, types.int64, types.intp
    return _external(name, function, e, e, i, i, real, p, i, p, i, real, p, i)


_gemm = {
    types.float32: _matrix_by_matrix("minitorch_sgemm", _products[0], types.float32),
    types.float64: _matrix_by_matrix("minitorch_dgemm", _products[1], types.float64),
}
_gemv = {
    types.float32: _matrix_by_vector("minitorch_sgemv", _products[2], types.float32),
    types.float64: _matrix_by_vector("minitorch_dgemv", _products[3], types.float64),
}
ROWS, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)  # as CBLAS numbers them


def gemm(alpha, a, ta, b, tb, beta, c):
    """c = alpha · a · b + beta · c, for compiled code; ta, tb: use this factor transposed.

    Each is a 2-D array whose rows are contiguous; alpha and beta have its dtype. Call it inside ``one_thread``.
    """
    # what follows runs where nothing is compiled (NUMBA_DISABLE_JIT)
    product = alpha * np.matmul(a.T if ta else a, b.T if tb else b)
    c[...] = product if beta == 0 else product + beta * c


@overload(gemm)
def _compiled_gemm(alpha, a, ta, b, tb, beta, c):
    cblas, by_vector = _gemm[c.dtype], _gemv[c.dtype]

    def call(alpha, a, ta, b, tb, beta, c):
        (m, n), k = c.shape, a.shape[0] if ta else a.shape[1]
        if m == 1 and n * k > 0:  # a row times a matrix: that matrix, turned, times the row
            by_vector(ROWS, PLAIN if tb else TRANSPOSED, b.shape[0], b.shape[1], alpha, b.ctypes.data, _ld(b),
                      a.ctypes.data, _ld(a) if ta else 1, beta, c.ctypes.data, 1)
        elif n == 1 and m * k > 0:
            by_vector(ROWS, TRANSPOSED if ta else PLAIN, a.shape[0], a.shape[1], alpha, a.ctypes.data, _ld(a),
                      b.ctypes.data, 1 if tb else _ld(b), beta, c.ctypes.data, _ld(c))
        elif m > 0 and n > 0:
            cblas(ROWS, TRANSPOSED if ta else PLAIN, TRANSPOSED if tb else PLAIN, m, n, k,
                  alpha, a.ctypes.data, _ld(a), b.ctypes.data, _ld(b), beta, c.ctypes.data, _ld(c))

    def loops(alpha, a, ta, b, tb, beta, c):
        m, n = c.shape
        for i in range(m):
            for j in range(n):
                c[i, j] = beta * c[i, j] if beta != 0 else beta
            for l in range(a.shape[0] if ta else a.shape[1]):
                f = alpha * (a[l, i] if ta else a[i, l])
                if tb:
                    for j in range(n):
                        c[i, j] += f * b[j, l]
                else:
                    for j in range(n):
                        c[i, j] += f * b[l, j]

    return loops if cblas is None else call


@inline
def _ld(x):
    """How many numbers it is from one row to the next. (Of a single row the stride may be anything.)"""
    return max(1, x.shape[1]) if x.shape[0] <= 1 else max(1, x.shape[1], x.strides[0] // x.itemsize)


class _OneThread:
    """OpenBLAS uses one thread a call inside the block, and as many as before after it."""

    def __init__(self):
        self.lock, self.inside, self.before = threading.Lock(), 0, 0

    def __enter__(self):
        with self.lock:
            if self.inside == 0:
                self.before = _get_threads()
                _set_threads(1)
            self.inside += 1

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _set_threads(self.before)

    def after_fork(self):
        """In the child nobody is inside, whoever was in the parent; and its lock may have been held."""
        self.lock = threading.Lock()
        if self.inside:
            self.inside = 0
            _set_threads(self.before)


_one_thread = _OneThread() if AVAILABLE else nullcontext()


def one_thread():
    """A context in which OpenBLAS uses one thread a call."""
    return _one_thread


if AVAILABLE and hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_thread.after_fork)


TINY = 1 << 18   # multiplications up to which OpenBLAS itself uses one thread: NumPy's own call is the quickest
LINE = 1 << 13   # the same, where a factor is a vector, or may be the other one turned
SMALL = 1 << 20  # products of fewer multiplications than this are not worth a parallel launch
WIDE = 192       # rows of a piece, at least: OpenBLAS copies all of the other factor for each piece, and that must pay
NARROW = 32      # rows of each of two pieces, at least
THIN = 8         # with fewer rows than this, the time goes into reading the matrix, not into multiplications


def product(a, b, bias=None, out=None, add=False):
    """a (…, m, k) · b (…, k, n) + bias (n,) → (…, m, n).

    out: a C-contiguous array to write to; add: to what it holds.
    """
    if out is None and a.shape[:-2] == b.shape[:-2]:
        (m, k), n = a.shape[-2:], b.shape[-1]
        tiny = m * k * n <= (TINY if m > 1 and n > 1 and m != n else LINE)
        if tiny and a.ndim == 2 or _is_small(math.prod(a.shape[:-2]), m, n, k):
            if tiny:
                y = np.matmul(a, b)
            else:
                with one_thread():
                    y = np.matmul(a, b)
            if bias is not None:
                y += bias
            return y
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
        y = None if out is None else out.reshape(-1, out.shape[-1])
        a2 = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return product(a2, b, bias, y, add).reshape(*a.shape[:-1], b.shape[-1])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if a.ndim > 2 or b.ndim > 2 else ()
    (m, k), n = a.shape[-2:], b.shape[-1]
    pieces = _pieces(math.prod(batch), m, n, k)
    if out is None:
        out = empty((*batch, m, n), a.dtype)
    if pieces == 0 or not AVAILABLE:
        with one_thread():
            if add:
                out += np.matmul(a, b)
            else:
                np.matmul(a, b, out=out)
        if bias is not None:
            out += bias
        return out
    bias = np.empty(0, a.dtype) if bias is None else ready(bias, a.dtype)
    (a, ta), (b, tb) = _factor(a, batch), _factor(b, batch)
    with one_thread():
        _tiles(a, ta, b, tb, bias, pieces, out.dtype.type(add), out.reshape(-1, m, n))
    return out


def _is_small(batch, m, n, k):
    """Is it too little work for a parallel launch?"""
    return batch * k * max(m, n) * max(min(m, n), THIN) < SMALL


def _pieces(batch, m, n, k):
    """Into how many pieces the longer side of each product is cut; 0: leave everything to one thread."""
    if _is_small(batch, m, n, k):
        return 0
    pieces = 1
    while batch * pieces < CHUNKS and max(m, n) >= 2 * WIDE * pieces:
        pieces *= 2
    if batch * pieces == 1:     # too narrow for two wide pieces; two narrow ones are better than one thread
        return 2 if max(m, n) >= 2 * NARROW else 0
    return pieces


def _factor(x, batch):
    """x (…, rows, columns) → (1 or all of the batch, …) in C order, and whether the two sides were swapped for that."""
    if x.ndim > 2 and math.prod(x.shape[:-2]) != 1:
        x = np.broadcast_to(x, batch + x.shape[-2:])
    swapped = x.swapaxes(-1, -2)
    transposed = swapped.flags.c_contiguous and not x.flags.c_contiguous
    x = ready(swapped if transposed else x)
    return x.reshape(-1, *x.shape[-2:]), transposed


@parallel
def _tiles(a, ta, b, tb, bias, pieces, beta, c):
    batch, m, n = c.shape
    one = c.dtype.type(1)
    for piece in prange(batch * pieces):
        i, part = piece // pieces, piece % pieces
        x, y, z = a[i if len(a) > 1 else 0], b[i if len(b) > 1 else 0], c[i]
        if m >= n:
            i0, i1 = part * m // pieces, (part + 1) * m // pieces
            j0, j1 = 0, n
            x = x[:, i0:i1] if ta else x[i0:i1, :]
        else:
            i0, i1 = 0, m
            j0, j1 = part * n // pieces, (part + 1) * n // pieces
            y = y[j0:j1, :] if tb else y[:, j0:j1]
        z = z[i0:i1, j0:j1]
        gemm(one, x, ta, y, tb, beta, z)
        if len(bias) > 0:       # in c itself: the steps within a part of it are not known to be of one number
            for row in range(np.uintp(i0), np.uintp(i1)):
                for j in range(np.uintp(j0), np.uintp(j1)):
                    c[i, row, j] += bias[j]

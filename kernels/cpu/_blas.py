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
from contextlib import contextmanager

import llvmlite.binding
import numpy as np
from numba import types
from numba.extending import overload
from numpy._core import _multiarray_umath as _numpy

from ._jit import CHUNKS, inline, parallel, prange, ready

__all__ = ["AVAILABLE", "gemm", "one_thread", "product"]


def _find():
    """Addresses of sgemm and dgemm, and the two functions that read and set the number of OpenBLAS's threads."""
    try:
        library = ctypes.CDLL(_numpy.__file__)
    except OSError:
        return None, None, None, None
    for prefix in "scipy_", "":
        try:
            found = [getattr(library, prefix + name + "64_") for name in (
                "cblas_sgemm", "cblas_dgemm", "openblas_get_num_threads", "openblas_set_num_threads")]
            return [ctypes.cast(f, ctypes.c_void_p).value for f in found[:2]] + found[2:]
        except AttributeError:
            pass
    return None, None, None, None


_sgemm, _dgemm, _get_threads, _set_threads = _find()
AVAILABLE = _sgemm is not None


def _external(name, address, real):
    if address is None:
        return None
    llvmlite.binding.add_symbol(name, address)
    i, p = types.int64, types.intp
    return types.ExternalFunction(name, types.void(
        types.int32, types.int32, types.int32, i, i, i, real, p, i, p, i, real, p, i))


_cblas = {
    types.float32: _external("minitorch_sgemm", _sgemm, types.float32),
    types.float64: _external("minitorch_dgemm", _dgemm, types.float64),
}


def gemm(alpha, a, ta, b, tb, beta, c):
    """c = alpha · a · b + beta · c, for compiled code; ta, tb: use this factor transposed.

    Each is a 2-D array whose rows are contiguous; alpha and beta have its dtype. Call it inside ``one_thread``.
    """
    # what follows runs where nothing is compiled (NUMBA_DISABLE_JIT)
    product = alpha * np.matmul(a.T if ta else a, b.T if tb else b)
    c[...] = product if beta == 0 else product + beta * c


@overload(gemm)
def _compiled_gemm(alpha, a, ta, b, tb, beta, c):
    cblas = _cblas[c.dtype]

    def call(alpha, a, ta, b, tb, beta, c):
        m, n = c.shape
        if m > 0 and n > 0:
            cblas(np.int32(101), np.int32(112 if ta else 111), np.int32(112 if tb else 111),
                  m, n, a.shape[0] if ta else a.shape[1],
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


_lock = threading.Lock()
_inside = [0, 0]  # how many callers are inside one_thread; OpenBLAS's number of threads before the first of them


@contextmanager
def one_thread():
    """OpenBLAS uses one thread a call inside the block, and as many as before after it."""
    if not AVAILABLE:
        yield
        return
    with _lock:
        if _inside[0] == 0:
            _inside[1] = _get_threads()
            _set_threads(1)
        _inside[0] += 1
    try:
        yield
    finally:
        with _lock:
            _inside[0] -= 1
            if _inside[0] == 0:
                _set_threads(_inside[1])


def _after_fork():
    """In the child nobody is inside, whoever was in the parent; and its lock may have been held."""
    global _lock
    _lock = threading.Lock()
    if _inside[0]:
        _inside[0] = 0
        _set_threads(_inside[1])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


TINY = 1 << 13   # multiplications up to which OpenBLAS itself uses one thread: NumPy's own call is the quickest
SMALL = 1 << 20  # products of fewer multiplications than this are not worth a parallel launch


def product(a, b, bias=None, out=None, add=False):
    """a (…, m, k) · b (…, k, n) + bias (n,) → (…, m, n).

    out: a C-contiguous array to write to; add: to what it holds.
    """
    if a.ndim == b.ndim == 2 and a.size * b.shape[1] <= TINY and out is None:
        y = np.matmul(a, b)
        if bias is not None:
            y += bias
        return y
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
        y = None if out is None else out.reshape(-1, out.shape[-1])
        a2 = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return product(a2, b, bias, y, add).reshape(*batch, a.shape[-2], b.shape[-1])
    (m, k), n = a.shape[-2:], b.shape[-1]
    pieces = _pieces(math.prod(batch), m, n, k)
    if out is None:
        out = np.empty((*batch, m, n), a.dtype)
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


def _pieces(batch, m, n, k):
    """Into how many pieces the longer side of each product is cut; 0: leave everything to one thread."""
    if batch * m * n * k < SMALL:
        return 0
    pieces = 1
    while batch * pieces < CHUNKS and max(m, n) >= 128 * pieces:
        pieces *= 2
    return pieces if batch * pieces > 1 else 0


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
        if len(bias) > 0:
            for row in range(i1 - i0):
                for j in range(j1 - j0):
                    z[row, j] += bias[j0 + j]

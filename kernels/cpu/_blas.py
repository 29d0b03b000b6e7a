"""NumPy's own OpenBLAS for compiled code: one thread a call, called from our threads (``_product``, attention, convolution).

Where the processor has AVX-512, OpenBLAS has loops of their own for products of up to a million multiplications: they copy
nothing, and of what lies in the cache they make 98 % of what the processor can, while a large product comes to 87 %. (Two
cores of an EPYC, Zen 4.) So a large product is made of small ones, ``in_tiles``.

Where NumPy brings no OpenBLAS with 64-bit integers (``AVAILABLE`` is False), ``gemm`` is a plain loop.
"""

import ctypes
import os
import threading
from contextlib import nullcontext

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, overload
from numpy._core import _multiarray_umath as _numpy

from ._jit import inline, jit, ready

__all__ = ["AVAILABLE", "TILE", "WHOLE", "gemm", "in_tiles", "one_thread", "turn", "turned"]


def _find():
    """OpenBLAS's products, matrix · matrix and matrix · vector; its copies; its threads, read and set; its processor."""
    try:
        library = ctypes.CDLL(_numpy.__file__)
    except OSError:
        return None
    for prefix in "scipy_", "":
        try:
            return [getattr(library, prefix + name + "64_") for name in (
                "cblas_sgemm", "cblas_dgemm", "cblas_sgemv", "cblas_dgemv", "cblas_somatcopy", "cblas_domatcopy",
                "openblas_get_num_threads", "openblas_set_num_threads", "openblas_get_corename")]
        except AttributeError:
            pass
    return None


*_loops, _get_threads, _set_threads, _core = _find() or [None] * 9
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


def _copy_of_matrix(name, function, real):
    e, i, p = types.int32, types.int64, types.intp
    return _external(name, function, e, e, i, i, real, p, i, p, i)


_gemm = {
    types.float32: _matrix_by_matrix("minitorch_sgemm", _loops[0], types.float32),
    types.float64: _matrix_by_matrix("minitorch_dgemm", _loops[1], types.float64),
}
_gemv = {
    types.float32: _matrix_by_vector("minitorch_sgemv", _loops[2], types.float32),
    types.float64: _matrix_by_vector("minitorch_dgemv", _loops[3], types.float64),
}
_omatcopy = {
    types.float32: _copy_of_matrix("minitorch_somatcopy", _loops[4], types.float32),
    types.float64: _copy_of_matrix("minitorch_domatcopy", _loops[5], types.float64),
}
ROWS, PLAIN, TRANSPOSED = np.int32(101), np.int32(111), np.int32(112)  # as CBLAS numbers them
LINE = 64   # bytes that memory brings at a time


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


def turn(x, out):
    """out (k, n) = xᵀ, of x (n, k), for compiled code. Rows of both are contiguous. Four times as fast as a loop."""
    out[...] = x.T


@overload(turn)
def _compiled_turn(x, out):
    omatcopy = _omatcopy[out.dtype]

    def call(x, out):
        if x.size > 0:
            omatcopy(ROWS, TRANSPOSED, x.shape[0], x.shape[1], out.dtype.type(1), x.ctypes.data, _ld(x),
                     out.ctypes.data, _ld(out))

    def loop(x, out):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out[j, i] = x[i, j]

    return loop if omatcopy is None else call


def fetch(x, i0, i1, j0, j1):
    """Begin to bring x[i0:i1, j0:j1] from memory into the cache, for compiled code. Rows are contiguous."""


@overload(fetch)
def _compiled_fetch(x, i0, i1, j0, j1):
    def lines(x, i0, i1, j0, j1):
        begin, step = x.ctypes.data, x.strides[0]
        for i in range(i0, min(i1, x.shape[0])):
            for byte in range(j0 * x.itemsize, min(j1, x.shape[1]) * x.itemsize, LINE):
                _fetch_line(begin + i * step + byte)

    return lines


@intrinsic
def _fetch_line(typing, address):
    def prefetch(context, builder, signature, arguments):
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
                                          "llvm.prefetch.p0")
        reading, second_cache, data = number(0), number(2), number(1)
        builder.call(function, [builder.inttoptr(arguments[0], byte), reading, second_cache, data])
        return context.get_dummy_value()

    return types.void(types.intp), prefetch


@inline
def _ld(x):
    """How many numbers it is from one row to the next. (Of a single row the stride may be anything.)"""
    return max(1, x.shape[1]) if x.shape[0] <= 1 else max(1, x.shape[1], x.strides[0] // x.itemsize)


def _processor():
    """What OpenBLAS takes the processor for."""
    if not AVAILABLE:
        return ""
    _core.restype = ctypes.c_char_p
    return _core().decode()


# rows, columns and depth of a product that OpenBLAS takes for a small one; its loops take 64 columns and 6 rows at a time
WHOLE = 1 << 40, 1 << 40, 1 << 40
TILE = (48, 64, 320) if _processor() in ("SkylakeX", "Cooperlake", "SapphireRapids") else WHOLE


@jit
def in_tiles(alpha, a, ta, b, tb, beta, c, tile, after=None):
    """``gemm`` of parts no larger than a tile: TILE, or WHOLE where OpenBLAS has no loops for small products.

    In tiles b should not be transposed, for that it has none: see ``turned``.
    after: the part of a left factor that is needed after a; then each part is fetched while the one before is multiplied.
    """
    tall, wide, deep = tile
    (m, n), k = c.shape, a.shape[0] if ta else a.shape[1]
    for k0 in range(0, max(1, k), deep):    # a sum of nothing is 0
        k1 = min(k, k0 + deep)
        for i0 in range(0, m, tall):
            i1 = min(m, i0 + tall)
            x = a[k0:k1, i0:i1] if ta else a[i0:i1, k0:k1]
            for j0 in range(0, n, wide):
                j1 = min(n, j0 + wide)
                y = b[j0:j1, k0:k1] if tb else b[k0:k1, j0:j1]
                if after is not None:
                    source, i, l = (a, i1, k0) if i1 < m else (a, 0, k1) if k1 < k else (after, 0, 0)
                    if ta:
                        fetch(source, l + deep * j0 // n, l + deep * j1 // n, i, i + tall)
                    else:
                        fetch(source, i + tall * j0 // n, i + tall * j1 // n, l, l + deep)
                    if i0 == 0 and j1 < n and not tb:
                        fetch(b, k0, k1, j1, j1 + wide)
                    elif i0 == 0 and not tb:
                        fetch(b, k1, k1 + deep, 0, wide)
                gemm(alpha, x, ta, y, tb, beta, c[i0:i1, j0:j1])
        beta = c.dtype.type(1)


def turned(x, tile, dtype=None):
    """Matrices (…, n, k) whose transposes are right factors: (…, k, n) in tiles, as they are (tb) in whole products."""
    return ready(x if tile == WHOLE else x.swapaxes(-1, -2), dtype)


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

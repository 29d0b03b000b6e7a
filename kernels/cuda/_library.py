"""Matrix products by NVIDIA's library cuBLAS, for those who have CuPy or nvmath-python: both let Python call it.

cuBLAS counts columns first. Our z = x · y, rows first, is for it zᵀ = yᵀ · xᵀ: y goes in first, and a matrix whose rows lie
one after the other is what it calls not transposed. It gets addresses; nothing is copied.
"""

import os
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from importlib import import_module

import numpy as np

from . import _launch

__all__ = ["choose", "chosen", "multiply", "orientation"]

VARIABLE = "MINITORCH_CUDA_PRODUCT"
NAMES = ("cupy", "nvmath", "own")
_choice = None      # what `choose` said
HALF, WIDE, CALCULATE_IN_FLOAT32, USUAL_ALGORITHM = 2, 0, 68, -1       # cuBLAS's numbers for these


def choose(name=None):
    """Let products be computed by "cupy", by "nvmath", or by our "own" kernel. None: whatever is there, in this order."""
    global _choice
    if name is not None and name not in NAMES:
        raise ValueError(f"there is no product by {name!r}; there are {', '.join(NAMES)}")
    _choice = name


def chosen():
    """Who computes products: "cupy", "nvmath" or "own"."""
    name = _choice or os.environ.get(VARIABLE, "").strip().lower()
    if name and name not in NAMES:
        raise ValueError(f"{VARIABLE} is {name!r}; it may be {', '.join(NAMES)}")
    if name:
        return name
    return next((name for name in NAMES[:2] if not _launch.SIMULATED and library(name)), "own")


@lru_cache(None)
def library(name):
    """cuBLAS as CuPy or nvmath offer it, or None where they are not installed."""
    try:
        return _cupy() if name == "cupy" else _nvmath()
    except Exception:       # not installed, or not for this CUDA
        return None


def _cupy():
    cublas, gpu = import_module("cupy_backends.cuda.libs.cublas"), import_module("cupy").cuda
    return Cublas(gpu.device.get_cublas_handle(), cublas.sgemmStridedBatched, cublas.dgemmStridedBatched,
                  cublas.gemmStridedBatchedEx, gpu.ExternalStream)


def _nvmath():
    cublas = import_module("nvmath.bindings.cublas")
    handle = cublas.create()

    @contextmanager
    def on_stream(stream):
        cublas.set_stream(handle, stream)
        yield
        cublas.set_stream(handle, 0)

    return Cublas(handle, cublas.sgemm_strided_batched, cublas.dgemm_strided_batched, cublas.gemm_strided_batched_ex,
                  on_stream)


class Cublas:
    """cuBLAS behind one of its two doors: the functions are the same, their names are spelled in two ways."""

    def __init__(self, handle, single, double, mixed, on_stream):
        self.handle, self.single, self.double, self.mixed, self.on_stream = handle, single, double, mixed, on_stream
        self.factors = {np.dtype(d): (np.ones(1, d), np.zeros(1, d)) for d in ("float32", "float64")}     # it gets addresses

    def gemm(self, dtype, a_turned, b_turned, rows, columns, inner, a, b, c, batch):
        """c = a · b, counted columns first. a, b, c: (address, step from column to column, step from matrix to matrix)."""
        wide = np.dtype("float32") if dtype == np.float16 else dtype
        alpha, beta = [factor.ctypes.data for factor in self.factors[wide]]
        sizes = self.handle, int(a_turned), int(b_turned), rows, columns, inner
        if dtype == np.float16:
            self.mixed(*sizes, alpha, a[0], HALF, *a[1:], b[0], HALF, *b[1:], beta, c[0], HALF, *c[1:], batch,
                       CALCULATE_IN_FLOAT32, USUAL_ALGORITHM)
        else:
            (self.single if dtype == np.float32 else self.double)(*sizes, alpha, *a, *b, beta, *c, batch)


def multiply(x, x_steps, y, y_steps, m, n, k, z, batch):
    """z = x · y by the chosen library → True; False if it cannot, and our own kernel must.

    Steps: from matrix to matrix, row to row, column to column.
    """
    cublas = None if chosen() == "own" else library(chosen())
    sides = orientation(m, k, *x_steps[1:]), orientation(k, n, *y_steps[1:])
    if cublas is None or None in sides or not k or z.dtype.char not in "efd":
        return False
    (x_turned, x_step), (y_turned, y_step) = sides
    stream = _launch.stream_number()
    with cublas.on_stream(stream) if stream else nullcontext():
        cublas.gemm(z.dtype, y_turned, x_turned, n, m, k, (y.address, y_step, y_steps[0]),
                    (x.address, x_step, x_steps[0]), (z.address, n, m * n), batch)
    _launch.count(f"matmul by {chosen()}")
    return True


def orientation(rows, columns, down, along):
    """How cuBLAS must read a matrix with these steps: (turned?, step from row to row, or from column to column). None: it
    cannot, because neither the rows nor the columns are neighbours in memory."""
    if (along == 1 or columns == 1) and (down >= columns or rows == 1):
        return False, max(down, columns, 1)
    if (down == 1 or rows == 1) and (along >= rows or columns == 1):
        return True, max(along, rows, 1)
    return None

"""The one place where Numba is configured: options, threads, and what launchers need. ``_compiler`` keeps what it makes."""

import math
from functools import cache, wraps
from types import FunctionType

import numpy as np
from numba import config, njit, prange, typeof, types
from numba._dispatcher import compute_fingerprint

from .. import scalar
from . import _memory
from ._compiler import kept
from ._shared import TURNED, put
from ._spread import address, each, launch
from ._threads import pool

__all__ = [
    "CHUNKS", "away", "block", "chunk", "formula", "inline", "jit", "minus", "parallel", "prange", "ready",
    "rows_of", "scalars", "spread", "with_formulas",
]

# No nnan, no ninf: masks use −inf, and a NaN must stay one.
FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
CHUNKS = 32  # parallel work is cut by shape into at most this many pieces, never by thread count: same bits everywhere
BLOCK = 4096  # numbers: so many of two arrays stay in the cache next to the processor
SMALL = 8192  # elements: fewer are done by one thread, which is done before a second has woken
_memory.keep()


def jit(function):
    """Compile a loop for one thread, when first called, once per dtype."""
    return kept(function, **OPTIONS)


def parallel(function):
    """Compile a loop whose ``prange`` is spread over threads; small arrays are not worth waking another thread."""
    if config.DISABLE_JIT:
        return np.errstate(all="ignore")(function)  # compiled code does not warn either
    serial = kept(function, "serial", **OPTIONS)
    if config.BOUNDSCHECK:
        return serial  # an index out of bounds in a parallel loop goes unnoticed
    return _launcher(function, kept(function, parallel=True, **OPTIONS), serial)


def spread(function):
    """Compile a function to be called with 0 … n − 1 and further arguments, from all threads: ``function(n, *args)``."""
    compiled = np.errstate(all="ignore")(function) if config.DISABLE_JIT else kept(function, **OPTIONS)

    def one_by_one(n, *args):
        for i in range(n):
            compiled(i, *args)

    if config.DISABLE_JIT or config.BOUNDSCHECK:
        return wraps(function)(one_by_one)
    places = {}     # by what Numba takes from the arguments to tell their types

    def loop(n, *args):
        kinds = compute_fingerprint(args)
        if kinds not in places:
            places[kinds] = address(compiled, types.intp, *map(typeof, args))
        if not _launch(address(_each, *[types.intp] * 3), places[kinds], n, args):
            raise MemoryError(f"{function.__name__.strip('_')}: there was no memory for what a thread needs")

    return _launcher(function, loop, one_by_one)


_each, _launch = kept(each, parallel=True, **OPTIONS), kept(launch, **OPTIONS)


def _launcher(function, loop, serial):
    """Call the loop over threads, with as many of them as the work is worth."""
    @wraps(function)
    def launch(*args):
        if not pool.several:
            return at_first(*args)
        threads, large = pool.threads(), any_large(args)
        return loop(*args) if large and threads <= pool.most else on(pool.most if large else 1, threads, args)

    def on(fewer, threads, args):
        pool.use(fewer)
        try:
            return loop(*args)
        finally:
            pool.use(threads)

    def at_first(*args):
        """Before Numba has said which threads it uses; and always where they take one caller at a time, or are lost."""
        if pool.alone:
            return serial(*args)
        with pool.turn:
            threads = pool.threads()
            result = on(min(threads, pool.most) if any_large(args) else 1, threads, args)
            pool.started()
            return result

    return launch


def formula(*numbers):
    """What loops say where each formula of their file gets a loop of its own; see ``with_formulas``."""
    raise NotImplementedError("each loop gets its own")


def with_formulas(file, formulas):
    """For a file, its globals, of loops that call ``formula``: ``named``, a loop with the formula of this name, and
    ``__getattr__``, by which processes that compile such a loop find it."""
    @cache
    def named(loop, name):
        compiled = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)(formulas[name])
        made = FunctionType(loop.__code__, {**file, "formula": compiled}, f"{loop.__name__}_of_{name}")
        made.__qualname__ = made.__name__   # of its own, because Numba keeps compiled loops by their names
        return parallel(made)

    def __getattr__(name):
        loop, _, chosen = name.rpartition("_of_")
        if chosen not in formulas:
            raise AttributeError(f"no loop is named {name!r}")
        return named(file[loop], chosen)

    return named, __getattr__


def any_large(args):
    """Is there work for a second thread?"""
    for a in args:
        if type(a) is np.ndarray and a.size > SMALL:
            return True
    return False


def inline(function):
    """Compile a helper that becomes part of the loops that call it."""
    return njit(inline="always", **OPTIONS)(function)


@njit(fastmath={"contract"}, error_model="numpy", forceinline=True)
def minus(x, m):
    """x − m, as it stands: a sum of such differences must not become the sum of x, less m many times."""
    return x - m


@njit(fastmath={"contract"}, error_model="numpy", forceinline=True)
def away(x, m, rest):
    """(x − m) − rest, as it stands: added up first, m and rest would be rounded to m."""
    return (x - m) - rest


scalars = scalar.compiled(inline)  # every formula of kernels/scalar.py, for loops to call


def ready(x, dtype=None):
    """The array as kernels take it: C-contiguous, aligned, writeable (so one compiled version serves all)."""
    if x is None or x.flags.carray and (dtype is None or x.dtype == dtype):
        return x
    if x.size < TURNED or dtype is not None and x.dtype != dtype:
        return np.require(x, dtype, ["C", "A", "W"])
    y = _memory.empty(x.shape, x.dtype)
    put(y, x)
    return y


def rows_of(x):
    """(…, c) → (rows, c), ready."""
    x = ready(x)
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def chunk(rows, pieces=CHUNKS):
    """How many rows one piece of parallel work takes: decided by the shape alone."""
    return max(1, -(-rows // pieces))


def block(rows, width):
    """How many rows of this width one piece takes so that it stays in the first cache, pass after pass."""
    return max(1, min(chunk(rows), BLOCK // max(width, 1)))

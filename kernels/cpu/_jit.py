"""The one place where Numba is configured: options, threads, and what launchers need. ``_compiler`` keeps what it makes."""

import math
from functools import cache, wraps
from types import FunctionType

import numpy as np
from numba import config, njit, typeof, types
from numba._dispatcher import compute_fingerprint

from .. import scalar
from . import _memory
from ._compiler import kept
from ._shared import TURNED, put
from ._spread import address, in_turn, launcher, on_threads
from ._threads import pool

__all__ = [
    "CHUNKS", "away", "block", "chunk", "formula", "inline", "jit", "minus", "pieces", "ready",
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


def spread(piece):
    """Compile a piece of work, to be called with its number and what all have in common; ``piece(n, *args)`` then does
    pieces 0 … n − 1, on all threads if there is enough to do."""
    compiled = np.errstate(all="ignore")(piece) if config.DISABLE_JIT else kept(piece, **OPTIONS)
    known = {}      # by what Numba looks at to tell the types of arguments: launcher and piece that are compiled for those

    @wraps(piece)
    def launch(n, *args):
        kinds = compute_fingerprint(args)
        if kinds not in known:
            place = address(compiled, types.intp, *typeof(args))
            known[kinds] = launcher(typeof(args)), place
            in_turn(), on_threads()     # whoever compiles small work ahead has the loops for all work
        start, place = known[kinds]
        large = any_large(args)
        if large and pool.several and pool.threads() <= pool.most:
            done = start(on_threads(), place, n, args)
        else:
            done = _carefully(start, place, n, args, large)
        if not done:
            raise MemoryError(f"{piece.__name__.strip('_')}: there is no memory for what a piece of the work needs")

    @wraps(piece)
    def one_by_one(n, *args):
        for i in range(n):
            compiled(i, *args)

    # not compiled, there is nothing to launch; and who looks for places out of bounds wants to know which
    return one_by_one if config.DISABLE_JIT or config.BOUNDSCHECK else launch


def _carefully(start, place, n, args, large):
    """Little work, for which no other thread is woken; and all work until the pool of threads is known, or is no more."""
    if pool.alone or not large:
        return start(in_turn(), place, n, args)
    if pool.several:
        return _on_fewer(start, place, n, args)
    with pool.turn:     # Numba has not said yet which threads it uses; or those take one caller at a time
        done = _on_fewer(start, place, n, args)
        pool.started()
        return done


def _on_fewer(start, place, n, args):
    """While a core is lent, or where the user's environment asks for fewer threads than Numba has."""
    threads = pool.threads()
    pool.use(min(threads, pool.most))
    try:
        return start(on_threads(), place, n, args)
    finally:
        pool.use(threads)


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
        return spread(made)

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


def pieces(n, size):
    """How many pieces of this size that is."""
    return -(-n // size) if n else 0


def block(rows, width):
    """How many rows of this width one piece takes so that it stays in the first cache, pass after pass."""
    return max(1, min(chunk(rows), BLOCK // max(width, 1)))

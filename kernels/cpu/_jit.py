"""The one place where Numba is configured: options, the on-disk cache, and what launchers need.

Numba's cache does not notice that an option or a function in another file changed, and its files are pickles. So ours
live in a private folder per user, whose name is a hash of every kernel source, the options and the versions: whatever
changes, the folder changes. ``NUMBA_CACHE_DIR`` and ``XDG_CACHE_HOME`` move it.
"""

import hashlib
import math
import os
import platform
import stat
import sys
import threading
import warnings
from functools import wraps
from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba import config, njit, prange
from numba.core import event
from numba.np.ufunc import parallel as numba_pool

from .. import scalar
from . import _memory
from ._shared import put

__all__ = [
    "CHUNKS", "allowed_threads", "away", "block", "cache_folder", "chunk", "inline", "jit", "minus", "parallel", "prange",
    "ready", "rows_of", "scalars",
]

# No nnan, no ninf: masks use −inf, and a NaN must stay one.
FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
OPTIONS = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
CHUNKS = 32  # parallel work is cut by shape into at most this many pieces, never by thread count: same bits everywhere
BLOCK = 4096  # numbers: so many of two arrays stay in the cache next to the processor
SHARED = 1 << 20  # elements: copies of so many are shared by all threads
SMALL = 8192  # elements: fewer are done by one thread, which is done before a second has woken


def allowed_threads():
    """How many threads the user's environment allows. Numba sees to its own variable; the two others mean us, too."""
    asked = [os.environ.get(name, "").partition(",")[0] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
    if "NUMBA_NUM_THREADS" in os.environ:
        return config.NUMBA_NUM_THREADS
    return min([int(n) for n in asked if n.isdigit() and int(n) > 0], default=config.NUMBA_NUM_THREADS)


THREADS = allowed_threads()
_memory.keep()


def jit(function):
    """Compile a loop for one thread, when first called, once per dtype."""
    return _compile(function, parallel=False)


def parallel(function):
    """Compile a loop whose ``prange`` is spread over threads; small arrays are not worth waking another thread."""
    if config.DISABLE_JIT:
        return np.errstate(all="ignore")(function)  # compiled code does not warn either
    serial = _compile(function, parallel=False, place="serial")
    if config.BOUNDSCHECK:
        return serial  # an index out of bounds in a parallel loop goes unnoticed
    loop = _compile(function, parallel=True)

    @wraps(function)
    def launch(*args):
        if not _pool.several:
            return at_first(*args)
        threads, large = _pool.threads(), any_large(args)
        return loop(*args) if large and threads <= THREADS else on(THREADS if large else 1, threads, args)

    def on(fewer, threads, args):
        _pool.use(fewer)
        try:
            return loop(*args)
        finally:
            _pool.use(threads)

    def at_first(*args):
        """Before Numba has said which threads it uses; and always where they take one caller at a time, or are lost."""
        if _pool.alone:
            return serial(*args)
        with _pool.turn:
            threads = _pool.threads()
            result = on(min(threads, THREADS) if any_large(args) else 1, threads, args)
            _pool.started()
            return result

    return launch


def any_large(args):
    """Is there work for a second thread?"""
    for a in args:
        if type(a) is np.ndarray and a.size > SMALL:
            return True
    return False


class _Pool:
    """What the threads under ``prange`` can stand, which depends on the library that Numba found for them.

    GNU OpenMP does not survive a fork: a child of a process that used it computes on its one thread, with code compiled
    apart, whose sums may be rounded otherwise in the last digit. ``workqueue`` takes one caller at a time: Python's
    threads take turns. Which library it is, Numba says after the first launch.
    """

    alone = False       # this process is a fork, and has no other threads
    several = False     # may several Python threads launch at once?

    threads, use = staticmethod(numba.get_num_threads), staticmethod(numba.set_num_threads)

    def __init__(self):
        self.turn = threading.RLock()

    def started(self):
        """Numba's two functions look each time whether there are threads. Now there are: go to what stands below them."""
        self.several = numba.threading_layer() != "workqueue"
        self.threads = getattr(numba_pool, "_get_num_threads", self.threads)
        self.use = getattr(numba_pool, "_set_num_threads", self.use)

    def after_fork(self):
        """In the child: locks that another thread held would stay closed for ever."""
        self.turn = threading.RLock()
        self.alone = self.alone or self.several and numba.threading_layer() == "omp"
        self.several = self.several and not self.alone


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.after_fork)


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
    if x.size < SHARED or dtype is not None and x.dtype != dtype:
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


def _compile(function, parallel, place=""):
    folder = cache_folder()  # and in it a place for each set of options: Numba's key does not tell them apart
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder / place if folder else "")
    try:
        return njit(cache=folder is not None, parallel=parallel, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


class _Notice(event.Listener):
    """A cold machine must not wait in silence: one line, when the first kernel of a process is really compiled."""

    told = False

    def on_start(self, event):
        loop = getattr(event.data["dispatcher"], "py_func", None)
        if self.told or os.environ.get("MINITORCH_QUIET") or not getattr(loop, "__module__", "").startswith(_KERNELS):
            return
        self.told = True
        kept = "kept for the next start" if cache_folder() else "not kept: no folder for them can be written"
        print(f"minitorch: compiling {loop.__module__.rpartition('.')[2]} for this machine. Each kernel takes 1 to 5 "
              f"seconds when it is first used ({kept}); 'minitorch warmup' compiles all of them ahead.", file=sys.stderr)

    def on_end(self, event):
        pass


_KERNELS = __name__.partition(".cpu.")[0]
event.register("numba:compile", _Notice())

_folder: list = []


def cache_folder():
    """The private folder for compiled kernels, made on first use; None where none can be had."""
    if not _folder:
        base = os.environ.get("NUMBA_CACHE_DIR")
        if not base:
            base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "minitorch")
        folder = Path(base) / f"kernels-{_fingerprint()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_unless_private(folder)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
            _folder.append(folder)
        except OSError as error:
            warnings.warn(f"minitorch: compiled kernels are not kept ({error}); every start compiles again. "
                          "Set NUMBA_CACHE_DIR to a folder of your own.", RuntimeWarning, stacklevel=2)
            _folder.append(None)
    return _folder[0]


def _refuse_unless_private(folder):
    if os.name == "posix":
        info = folder.stat()
        if info.st_uid != os.geteuid() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(f"{folder} can be written by others, and cached kernels are code")


def _fingerprint():
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        if path.parent.name != "cuda":
            digest.update(path.read_bytes())
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas")
    digest.update(repr((versions, blas, sorted(FASTMATH), config.BOUNDSCHECK, config.DISABLE_JIT)).encode())
    return digest.hexdigest()[:16]

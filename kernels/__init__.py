"""The arithmetic: arrays in, arrays out. Nothing here knows of tensors, tapes or gradients of gradients.

Three backends hold the same files, the same names and the same signatures:

- ``reference``  plain NumPy: the specification, the oracle of the tests, and the backend a debugger can step into
- ``cpu``        Numba, fused and parallel; it re-exports the reference where NumPy is already as fast as memory
- ``cuda``       numba.cuda

The calling convention, true everywhere:

1. Public names are ``<op>_forward`` and ``<op>_backward``. An op without a derivative has its plain name (``argmax``,
   ``eq``). Jitted loops are private, ``_...``, and write into arrays passed last.
2. Forward takes inputs, then settings; it returns the output first, then what backward needs.
3. Backward takes ``dy``, then the saved values in forward's order, then settings; it returns one gradient per
   differentiable input, in input order. ``needs``, a tuple of bools in input order and always last, says which gradients
   are wanted; the others come back as None, so frozen weights cost nothing.
4. Launchers check shapes, make contiguous, allocate, pick the grid; they never see a Tensor and never accumulate. Ids and
   labels arrive checked.
5. A backend *is* a module: registering a kernel is defining a function with the agreed name. A test compares names and
   signatures.
6. ``with minitorch.kernels.use("reference"):`` switches the host backend, so that any op can be stepped into with pdb.

Inputs and ``dy`` are never written to. Results have the dtype of the first input. Kernels do not silence NumPy: whoever
calls them does, with ``quiet``.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
from numpy._core import umath

from . import cpu, cuda, reference
from .cpu import _shared
from .cpu._memory import aligned, staying
from .cpu._shared import on_threads

__all__ = [
    "aligned", "backend", "cpu", "cuda", "get_num_threads", "on_threads", "quiet", "reference", "restore",
    "set_num_threads", "silence", "staying", "use",
]

# Hugging Face publishes a package named `kernels`; code that probes for it must see a version too old to use.
__version__ = "0.0.0"

_HOST = {"cpu": cpu, "reference": reference}
_host = cpu


def backend(array):
    """The backend that computes on this array. Only float32 and float64 are compiled; the rest is NumPy's.

    An array that is not NumPy's says itself who computes on it: ``array.kernels``.
    """
    if type(array) is np.ndarray:
        return _host if array.dtype.char in "fd" else reference
    if hasattr(array, "kernels"):
        return array.kernels
    raise TypeError(f"no backend computes on {type(array).__name__}; a numpy.ndarray was expected")


def get_num_threads() -> int:
    """How many threads compute.

    >>> minitorch.get_num_threads() >= 1
    True
    """
    return _shared.compiled("_threads").now()


def set_num_threads(threads: int) -> None:
    """Compute with so many threads, or with as many as the process was started with, if those are fewer.

    It holds for the Python thread that calls it. More than there are cores: NUMBA_NUM_THREADS in the environment.
    """
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise RuntimeError(f"set_num_threads: a positive whole number is needed, got {threads!r}")
    _threads = _shared.compiled("_threads")
    _threads.pool.use(min(int(threads), _threads.allowed_threads()))


_settings = getattr(umath, "_extobj_contextvar", None)  # where NumPy, since 2.0, keeps what errstate sets
if _settings is None:
    def silence():
        return np.seterr(all="ignore")

    def restore(before):
        np.seterr(**before)
else:
    with np.errstate(all="ignore"):
        # what errstate does, with the settings made once, and no step of Python: tiny ops notice the difference
        silence, restore = partial(_settings.set, _settings.get()), _settings.reset


@contextmanager
def quiet():
    """A context in which log(0) is −inf and 0/0 is NaN without a warning. Every op runs its kernels in one.

    The tape, where every microsecond counts, writes it out: ``before = silence()``, and at last ``restore(before)``.
    """
    before = silence()
    try:
        yield
    finally:
        restore(before)


@contextmanager
def use(host):
    """Compute with this host backend inside the block: ``"cpu"``, ``"reference"``, or a module of kernels of your own."""
    global _host
    if isinstance(host, str) and host not in _HOST:
        raise ValueError(f"kernels.use: no backend {host!r}; there are {', '.join(map(repr, _HOST))}")
    before, _host = _host, _HOST[host] if isinstance(host, str) else host
    try:
        yield _host
    finally:
        _host = before

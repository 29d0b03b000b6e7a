"""What is worth a second thread. Nothing is compiled here: small arrays are NumPy's, and must not wait for the compiler."""

import gc
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module

import numpy as np

__all__ = ["LARGE", "TURNED", "add_to", "compiled", "loading", "on_threads", "put", "shared"]

LARGE = 1 << 16     # elements: fewer are done by NumPy before a second thread has woken
MIDDLE = 1 << 14    # elements: where NumPy needs long for each
TURNED, ROWS = 1 << 15, 1 << 17     # elements: of a copy that turns a matrix, where NumPy's steps are long; of any other


def shared(name, kernel, slow=False):
    """A kernel of NumPy's for small arrays; for large ones ``_large``'s loop of this name, on all threads."""
    @wraps(kernel)
    def launch(*operands):
        size = MIDDLE if slow else LARGE
        for x in operands:
            if type(x) is np.ndarray and x.size >= size:
                y = compiled("_large").each(name, *operands)
                if y is not None:
                    return y
                break
        return kernel(*operands)

    return launch


def put(y, x):
    """y[...] = x, of one shape; what is large, on all threads."""
    turned = x.size >= TURNED and x.strides[-1] and (x.strides[-1] == x.itemsize) != (y.strides[-1] == y.itemsize)
    if x.size < (TURNED if turned else ROWS) or not compiled("_copy").write(y, x):
        y[...] = x


def add_to(y, x):
    """y += x, of one shape; what is large, on all threads."""
    if x.size < LARGE or not compiled("_copy").write(y, x, "add"):
        np.add(y, x, out=y)


def on_threads(function, pieces):
    """Call it with each piece, on all threads: for functions of NumPy's that let go of Python's lock."""
    import concurrent.futures  # takes a fortieth of minitorch's own import

    threads = min(len(pieces), compiled("_threads").now())
    if threads < 2:
        return [function(piece) for piece in pieces]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, pieces))     # a list, so that an error is heard of


@cache
def compiled(file):
    """A file of compiled kernels, imported when one of them is first needed."""
    with loading():
        return import_module("." + file, __package__)


@contextmanager
def loading():
    """Many objects are made within this block, and will stay: to look for garbage among them takes a tenth of a start."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()

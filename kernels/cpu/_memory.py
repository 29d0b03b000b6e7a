"""Big arrays: without page faults, where a cache line begins, and apart from what does not stay.

glibc gives every freed array above a threshold back to the operating system, which hands it out again page by page, each
zeroed: of a fresh array of 25 MB, that takes longer than to compute what stands in it. Told to keep more, glibc reuses
the memory. This holds for the whole process. What the user's environment says of it is left alone, and so are other C
libraries.

NumPy's arrays begin 16, 32 or 48 bytes behind the start of a cache line, and then every load of 64 bytes takes from two
lines. LayerNorm, which reads its rows again and again, is a fifth faster where they begin with the line: as large results
do, from ``empty``, and leaves, from ``aligned``. To find the line takes a microsecond, which smaller results would lose.

What a huge array leaves, the gradient of a large vocabulary above all, glibc would cut up for smaller ones, and extend the
heap when the next huge one comes. ``empty`` gives huge arrays pages of their own, and keeps those for the next.

What is made in the middle of a training step and stays, Adam's moving means, would lie between arrays that go, and keep the
gaps apart: large ones get pages of their own, too, from ``staying``.
"""

import ctypes
import mmap
import os
import weakref
from ctypes import addressof, c_char
from math import prod
from types import SimpleNamespace

import numpy as np

__all__ = ["LINE", "aligned", "empty", "keep", "numbers", "staying"]

LINE, LARGE, HUGE = 64, 1 << 20, 1 << 27    # bytes: of a cache line; of a result that begins with one; of one to hold back
COPIED = range(256, LARGE)                  # bytes: of an array that is worth a copy for it, if it stays

TRIM, MMAP = -1, -3     # mallopt's numbers for: how much free memory at the end is kept, from what size on nothing is
KEPT, LARGEST = 1 << 28, (1 << 28, 1 << 25)     # bytes; older versions refuse the first


def empty(shape, dtype, least=LARGE):
    """An array for results; one of at least so many bytes begins with a cache line, a huge one lies where one was before."""
    size = prod(shape) * dtype.itemsize
    if size < least:
        return np.empty(shape, dtype)
    room = _pages(size) if size >= HUGE and _keeping else np.empty(size + LINE, np.uint8)
    return np.ndarray(shape, dtype, room, -addressof(c_char.from_buffer(room)) % LINE)


def aligned(array):
    """The array, or a copy that begins with a cache line: for floats that stay and are read again and again."""
    if type(array) is not np.ndarray or array.dtype.char not in "fd":
        return array
    if array.nbytes not in COPIED or not array.flags.c_contiguous:
        return array
    if array.ctypes.data % LINE == 0:
        return array
    copy = empty(array.shape, array.dtype, 0)
    copy[...] = array
    return copy


def numbers(x, first, count, dtype):
    """So many numbers from the byte ``first`` on, seen from the beginning of x, in a row: for loops that go by steps."""
    return np.asarray(SimpleNamespace(owner=x, __array_interface__={
        "data": (x.ctypes.data + first, False), "shape": (count,), "typestr": np.dtype(dtype).str, "version": 3}))


def staying(array):
    """Zeros like this array, to be kept for long."""
    if _keeping and type(array) is np.ndarray and array.nbytes >= LARGE and array.flags.c_contiguous:
        pages = _mapped(array.nbytes)
        if pages is not None:
            return np.ndarray(array.shape, array.dtype, pages)
    return np.zeros_like(array)


_keeping = False    # did glibc agree to keep memory?
_spare = {}         # pages of huge arrays that are gone, by their id


def _pages(size):
    """Memory for a huge array: what one of about this size has left; or new, and then nothing of another size is kept."""
    for key in list(_spare):        # another thread may take one, too
        pages = _spare.get(key, ())
        if size <= len(pages) <= size + size // 8 and _spare.pop(key, None) is not None:
            break
    else:
        _spare.clear()
        pages = _mapped(size)
        if pages is None:
            return np.empty(size + LINE, np.uint8)      # which says how much memory there was not
    # whoever views an array from a buffer refers to that array: once it is gone, nobody reads its pages
    room = np.frombuffer(pages, np.uint8, size)
    if size < KEPT:
        weakref.finalize(room, _spare.__setitem__, id(pages), pages).atexit = False
    return room


def _mapped(size):
    """Fresh pages, all zero; None where there are none."""
    try:
        pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return None
    if hasattr(mmap, "MADV_HUGEPAGE"):      # of 2 MB, as NumPy asks for its own; a step takes a tenth longer without
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def keep():
    """Ask glibc to keep freed memory; False where there is no glibc, or the user has told it what to do."""
    global _keeping
    told = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"
    if any(name in os.environ for name in told) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        libc = ctypes.CDLL(None)
        _keeping = bool(libc.gnu_get_libc_version and libc.mallopt(TRIM, KEPT)
                        and any(libc.mallopt(MMAP, size) for size in LARGEST))
    except (OSError, AttributeError, TypeError):
        pass
    return _keeping

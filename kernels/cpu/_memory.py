"""Big arrays: without page faults, and where a cache line begins.

glibc gives every freed array above a threshold back to the operating system, which hands it out again page by page, each
zeroed: of a fresh array of 25 MB, that takes longer than to compute what stands in it. Told to keep more, glibc reuses
the memory. This holds for the whole process. What the user's environment says of it is left alone, and so are other C
libraries.

Such arrays begin 16 bytes behind the start of a line, and every load of 64 bytes takes from two lines. LayerNorm, which
reads its rows again and again, is a quarter faster where they begin with the line, as results made by ``empty`` do.
"""

import ctypes
import math
import os

import numpy as np

__all__ = ["LINE", "empty", "keep"]

LINE, LARGE = 64, 1 << 20   # bytes: of a cache line; of an array from which on it is worth the microsecond

TRIM, MMAP = -1, -3     # mallopt's numbers for: how much free memory at the end is kept, from what size on nothing is
KEPT, LARGEST = 1 << 28, (1 << 28, 1 << 25)     # bytes; older versions refuse the first


def empty(shape, dtype):
    """An array for results; a large one begins with a cache line."""
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    room = np.empty(size + LINE, np.uint8)
    skip = -room.__array_interface__["data"][0] % LINE
    return room[skip:skip + size].view(dtype).reshape(shape)


def keep():
    """Ask glibc to keep freed memory; False where there is no glibc, or the user has told it what to do."""
    told = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"
    if any(name in os.environ for name in told) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.gnu_get_libc_version and libc.mallopt(TRIM, KEPT)
                    and any(libc.mallopt(MMAP, size) for size in LARGEST))
    except (OSError, AttributeError, TypeError):
        return False

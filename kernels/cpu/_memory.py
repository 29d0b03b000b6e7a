"""Big arrays without page faults.

glibc gives every freed array above a threshold back to the operating system, which hands it out again page by page, each
zeroed: of a fresh array of 25 MB, that takes longer than to compute what stands in it. Told to keep more, glibc reuses
the memory. This holds for the whole process. What the user's environment says of it is left alone, and so are other C
libraries.
"""

import ctypes
import os

__all__ = ["keep"]

TRIM, MMAP = -1, -3     # mallopt's numbers for: how much free memory at the end is kept, from what size on nothing is
KEPT, LARGEST = 1 << 28, (1 << 28, 1 << 25)     # bytes; older versions refuse the first


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

"""What stands where in order, along one axis of large arrays: a number of 32 bits and its place make one of 64 bits.

Those NumPy sorts, or parts, many at a time, and lets go of Python's lock.
"""

import numpy as np

from . import _shared

__all__ = ["places_in_order"]


def places_in_order(x, dim, descending, rank=None):
    """The indices that sort x along one axis, equals as they stood; or only the one of this rank. None for small arrays."""
    if x.size < _shared.MIDDLE or x.itemsize > 4 or x.dtype == np.uint32:
        return None
    rows = np.moveaxis(x, dim, -1)
    n = rows.shape[-1]
    places = np.empty((*rows.shape[:-1], n if rank is None else 1), np.int64)
    tall, rows, found = -(-_shared.MIDDLE // n), rows.reshape(-1, n), places.reshape(-1, places.shape[-1])

    def sort(first):
        keys = _in_order(rows[first:first + tall], descending).astype(np.int64) << 32 | np.arange(n)
        if rank is None:
            keys.sort(-1)
        else:
            keys.partition(rank, -1)
            keys = keys[:, rank:rank + 1]
        np.bitwise_and(keys, 0xFFFFFFFF, out=found[first:first + tall])

    _shared.on_threads(sort, range(0, len(rows), tall))
    return np.moveaxis(places, -1, dim)


def _in_order(x, descending):
    """Whole numbers of 32 bits in the order of x. Those of a float, read as one, are, but for the sign of the negative."""
    if x.dtype.kind == "f":
        bits = (x.astype(np.float32) + np.float32(0)).view(np.int32)    # −0 is 0
        keys = bits ^ (bits >> 31 & 0x7FFFFFFF)
        keys[x != x] = 0x7FFFFFFF
    else:
        keys = x.astype(np.int32)
    return ~keys if descending else keys

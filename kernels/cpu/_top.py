"""The few largest, or smallest, of each row, found in one look at every number.

A file of its own, imported when the first large row comes, as ``_large`` is. NaN counts as the largest; of equals the first
are chosen. Most numbers do not beat the last of those chosen so far, and that is asked of many at a time.
"""

import numpy as np

from ._jit import chunk, inline, pieces, ready, spread

__all__ = ["MOST", "top"]

MOST = 128      # the chosen ones stand in order, and a new one moves all behind it
BLOCK = 64


def top(rows, k, largest):
    """rows (m, n) → where the k largest, or smallest, of each are (m, k), best first."""
    rows, places = ready(rows), np.empty((len(rows), k), np.int64)
    size = chunk(len(rows))
    _top(pieces(len(rows), size), rows, largest, size, places)
    return places


@inline
def _beats(x, y, largest):
    return (x > y) | (x != x) & (y == y) if largest else (x < y) | (x == x) & (y != y)


@spread
def _top(piece, rows, largest, size, places):
    m, n = rows.shape
    k = places.shape[1]
    best, first = np.empty(k, rows.dtype), piece * size
    for i in range(first, min(first + size, m)):
        row, place, chosen = rows[i], places[i], 0
        for start in range(0, n, BLOCK):
            block = row[start:start + BLOCK]
            if chosen == k:
                worst, better = best[k - 1], False
                for j in range(len(block)):
                    better |= _beats(block[j], worst, largest)
                if not better:
                    continue
            for j in range(len(block)):
                x = block[j]
                if chosen == k and not _beats(x, best[k - 1], largest):
                    continue
                to = min(chosen, k - 1)
                while to and _beats(x, best[to - 1], largest):
                    best[to], place[to] = best[to - 1], place[to - 1]
                    to -= 1
                best[to], place[to] = x, start + j
                chosen = min(chosen + 1, k)

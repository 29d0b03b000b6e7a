"""LayerNorm and RMSNorm, compiled: the reference's numbered passes, row by row, while the row is in cache.

Sums over rows (γ, β) are taken by chunk, in float64, and the chunks are added in order: same bits for any thread count.
"""

import numpy as np

from ._jit import CHUNKS, away, chunk, inline, jit, minus, pieces, ready, rows_of, spread
from ._memory import empty

__all__ = ["layernorm_backward", "layernorm_forward", "rmsnorm_backward", "rmsnorm_forward"]

ROWS = 32    # so many rows are added up in the dtype of x, their sums in float64
PIECES = 16  # of LayerNorm's backward: each leaves a row of sums for γ and one for β, which one thread adds up


def layernorm_forward(x, gamma, beta, eps):
    rows = rows_of(x)
    n, c = rows.shape
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    beta = np.zeros(c, x.dtype) if beta is None else ready(beta, x.dtype)
    y, mean, rstd = empty(rows.shape, x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    size = chunk(n)
    _layernorm_forward(pieces(n, size), rows, gamma, beta, float(eps), size, y, mean, rstd)
    return y.reshape(x.shape), mean, rstd


def layernorm_backward(dy, x, gamma, mean, rstd, needs=(True, True, True)):
    dy, rows = rows_of(dy), rows_of(x)
    n, c = rows.shape
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    dx = empty((n if needs[0] else PIECES, c), x.dtype)      # if not wanted, a row for each piece to write to
    parts, sums = np.zeros((PIECES, 2, c)), np.empty((2, c), x.dtype)
    size = chunk(n, PIECES)
    _layernorm_backward(pieces(n, size), dy, rows, gamma, ready(mean), ready(rstd), size, bool(needs[0]), dx, parts)
    _add_up(parts, sums)
    return dx.reshape(x.shape) if needs[0] else None, sums[0] if needs[1] else None, sums[1] if needs[2] else None


def rmsnorm_forward(x, gamma, eps):
    rows = rows_of(x)
    gamma = np.ones(rows.shape[1], x.dtype) if gamma is None else ready(gamma, x.dtype)
    y, rrms = empty(rows.shape, x.dtype), np.empty(len(rows), x.dtype)
    size = chunk(len(rows))
    _rmsnorm_forward(pieces(len(rows), size), rows, gamma, float(eps), size, y, rrms)
    return y.reshape(x.shape), rrms


def rmsnorm_backward(dy, x, gamma, rrms, needs=(True, True)):
    dy, rows = rows_of(dy), rows_of(x)
    n, c = rows.shape
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    dx = empty(rows.shape, x.dtype) if needs[0] else np.empty((0, c), x.dtype)
    parts = np.zeros((CHUNKS if needs[1] else 0, c))
    size = chunk(n)
    _rmsnorm_backward(pieces(n, size), dy, rows, gamma, ready(rrms), size, dx, parts)
    return dx.reshape(x.shape) if needs[0] else None, parts.sum(0).astype(x.dtype) if needs[1] else None


@spread
def _layernorm_forward(piece, x, gamma, beta, eps, size, y, mean, rstd):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out = x[i], y[i]
        # pass 1, in a loop that writes nothing: how one that does is made of vectors, and so the order of its sum,
        # depends on where its arrays lie
        total = x.dtype.type(0)
        for j in range(c):
            total += x[i, j]
        m, rest, r = _moments(row, total, eps)
        # pass 3: normalise, scale, shift
        for j in range(len(row)):
            out[j] = away(row[j], m, rest) * r * gamma[j] + beta[j]
        mean[i] = m + rest
        rstd[i] = r


@inline
def _moments(row, total, eps):
    """The mean of a row with this sum, as a number and what that lacks, and 1/√(variance + eps)."""
    c, zero = max(len(row), 1), row.dtype.type(0)
    # pass 1: the mean, roughly
    m = row.dtype.type(total / c)
    # pass 2: what it lacks, and the variance around it
    total, square = zero, zero
    for j in range(len(row)):
        d = minus(row[j], m)
        total += d
        square += d * d
    rest = np.float64(total) / c
    variance = np.float64(square) / c - rest * rest
    # squares that are not in float32's range, or a mean too rough for so small a variance: once more, in float64
    if not (1e-30 < variance < 1e34 and rest * rest < variance):
        m64 = np.float64(0)
        for _ in range(2):
            more = 0.0
            for j in range(len(row)):
                more += minus(np.float64(row[j]), m64)
            m64 += more / c
        variance = 0.0
        for j in range(len(row)):
            d = minus(np.float64(row[j]), m64)
            variance += d * d
        variance /= c
        m = row.dtype.type(m64)
        rest = m64 - m
    return m, row.dtype.type(rest), row.dtype.type(1.0 / np.sqrt(variance + eps))


@spread
def _layernorm_backward(piece, dy, x, gamma, mean, rstd, size, wanted, dx, parts):
    n, c = x.shape
    first = piece * size
    last = min(first + size, n)
    near = np.zeros((2, c), x.dtype)
    dgamma, dbeta = near[0], near[1]                # sums of few rows, before they go to float64
    for i in range(first, last):
        drow, row, m, r, out = dy[i], x[i], mean[i], rstd[i], dx[i if wanted else piece]
        # Σ dx̂, Σ dx̂ · x̂ and, as the saved mean was rounded, what it left over
        a, b, total = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
        for j in range(len(row)):
            d, g = minus(row[j], m), drow[j] * gamma[j]
            a += g
            b += g * d
            total += d
        rest = x.dtype.type(total / max(c, 1))
        a, b = x.dtype.type(a / max(c, 1)), x.dtype.type((b - a * rest) / max(c, 1)) * r * r
        # pass 3 backward: γ and β were used in every row
        # passes 2 and 1 backward: every element also moved its row's variance and mean
        for j in range(len(row)):
            d = away(row[j], m, rest)
            dgamma[j] += drow[j] * (d * r)
            dbeta[j] += drow[j]
            out[j] = (drow[j] * gamma[j] - a - d * b) * r
        if (i - first) % ROWS == ROWS - 1 or i == last - 1:
            part = parts[piece]
            for j in range(c):
                part[0, j] += dgamma[j]
                part[1, j] += dbeta[j]
            near[:] = 0


@jit
def _add_up(parts, sums):
    """The sums of all pieces, in order."""
    c = parts.shape[2]
    for of in range(2):
        total = parts[0, of]
        for k in range(1, PIECES):
            for j in range(c):
                total[j] += parts[k, of, j]
        for j in range(c):
            sums[of, j] = total[j]


@spread
def _rmsnorm_forward(piece, x, gamma, eps, size, y, rrms):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        row, out = x[i], y[i]
        # pass 1: the mean square. float64 squares float32's largest; for float64, divide by the largest value
        total = 0.0
        for j in range(len(row)):
            total += np.float64(row[j]) * np.float64(row[j])
        r = 1.0 / np.sqrt(total / max(c, 1) + eps)
        if total > 1e300:
            big = 1.0
            for j in range(len(row)):
                big = max(big, abs(np.float64(row[j])))
            if big < np.inf:
                total = 0.0
                for j in range(len(row)):
                    small = row[j] / big
                    total += small * small
                r = 1.0 / (np.sqrt(total / c + eps / big / big) * big)
        # pass 2: normalise, scale
        for j in range(len(row)):
            out[j] = row[j] * r * gamma[j]
        rrms[i] = r


@spread
def _rmsnorm_backward(piece, dy, x, gamma, rrms, size, dx, parts):
    n, c = x.shape
    first = piece * size
    for i in range(first, min(first + size, n)):
        drow, row, r = dy[i], x[i], np.float64(rrms[i])
        # pass 2 backward
        if parts.shape[0]:
            dgamma = parts[piece]
            for j in range(len(row)):
                dgamma[j] += drow[j] * (row[j] * r)
        # pass 1 backward
        if dx.shape[0]:
            out, b = dx[i], 0.0
            for j in range(len(row)):
                b += np.float64(drow[j]) * gamma[j] * (row[j] * r)
            b /= c
            for j in range(len(row)):
                out[j] = (np.float64(drow[j]) * gamma[j] - (row[j] * r) * b) * r

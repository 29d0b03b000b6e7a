"""LayerNorm and RMSNorm, compiled: the reference's numbered passes, row by row, while the row is in cache.

Sums over rows (γ, β) are taken by chunk, and the chunks are added in order: same bits for any thread count.
"""

import numpy as np

from ._jit import CHUNKS, away, chunk, jit, parallel, prange, ready, rows_of

__all__ = ["layernorm_backward", "layernorm_forward", "rmsnorm_backward", "rmsnorm_forward"]


def layernorm_forward(x, gamma, beta, eps):
    rows = rows_of(x)
    n, c = rows.shape
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    beta = np.zeros(c, x.dtype) if beta is None else ready(beta, x.dtype)
    y, mean, rstd = np.empty_like(rows), np.empty(n, x.dtype), np.empty(n, x.dtype)
    _layernorm_forward(rows, gamma, beta, float(eps), chunk(n), y, mean, rstd)
    return y.reshape(x.shape), mean, rstd


def layernorm_backward(dy, x, gamma, mean, rstd, needs=(True, True, True)):
    dy, rows = rows_of(dy), rows_of(x)
    n, c = rows.shape
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    dx = np.empty_like(rows) if needs[0] else np.empty((0, c), x.dtype)
    parts = np.zeros((2, CHUNKS, c) if needs[1] or needs[2] else (2, 0, c), x.dtype)
    _layernorm_backward(dy, rows, gamma, ready(mean), ready(rstd), chunk(n), dx, parts)
    dgamma, dbeta = parts.sum(1)
    return dx.reshape(x.shape) if needs[0] else None, dgamma if needs[1] else None, dbeta if needs[2] else None


def rmsnorm_forward(x, gamma, eps):
    rows = rows_of(x)
    gamma = np.ones(rows.shape[1], x.dtype) if gamma is None else ready(gamma, x.dtype)
    y, rrms = np.empty_like(rows), np.empty(len(rows), x.dtype)
    _rmsnorm_forward(rows, gamma, float(eps), chunk(len(rows)), y, rrms)
    return y.reshape(x.shape), rrms


def rmsnorm_backward(dy, x, gamma, rrms, needs=(True, True)):
    dy, rows = rows_of(dy), rows_of(x)
    n, c = rows.shape
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    dx = np.empty_like(rows) if needs[0] else np.empty((0, c), x.dtype)
    parts = np.zeros((CHUNKS if needs[1] else 0, c))
    _rmsnorm_backward(dy, rows, gamma, ready(rrms), chunk(n), dx, parts)
    return dx.reshape(x.shape) if needs[0] else None, parts.sum(0).astype(x.dtype) if needs[1] else None


@parallel
def _layernorm_forward(x, gamma, beta, eps, size, y, mean, rstd):
    n, c = x.shape
    share = x.dtype.type(1 / max(c, 1))
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            row, out = x[i], y[i]
            # pass 1: the mean, and what is left after taking it away
            m, rest = _mean(row)
            # pass 2: the variance
            total = x.dtype.type(0)
            for j in range(len(row)):
                d = away(row[j], m, rest)
                total += d * d
            r = x.dtype.type(1 / np.sqrt(np.float64(total * share) + eps))
            if not total < np.inf:              # float64 squares float32's largest
                wide = 0.0
                for j in range(len(row)):
                    wide += np.float64(away(row[j], m, rest)) ** 2
                r = x.dtype.type(1 / np.sqrt(wide * share + eps))
            # pass 3: normalise, scale, shift
            for j in range(len(row)):
                out[j] = away(row[j], m, rest) * r * gamma[j] + beta[j]
            mean[i] = m + rest
            rstd[i] = r


@parallel
def _layernorm_backward(dy, x, gamma, mean, rstd, size, dx, parts):
    n, c = x.shape
    zero, share = x.dtype.type(0), x.dtype.type(1 / max(c, 1))
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            drow, row, r = dy[i], x[i], rstd[i]
            # the saved mean was rounded: take what it left over, too
            m, rest = mean[i], x.dtype.type(0)
            for j in range(len(row)):
                rest += away(row[j], m, zero)
            rest *= share
            # pass 3 backward: γ and β were used in every row; and the sums for what follows
            a, b = zero, zero
            if parts.shape[1]:
                dgamma, dbeta = parts[0, np.int64(piece)], parts[1, np.int64(piece)]
                for j in range(len(row)):
                    d = away(row[j], m, rest)
                    a += drow[j] * gamma[j]
                    b += drow[j] * gamma[j] * d
                    dgamma[j] += drow[j] * (d * r)
                    dbeta[j] += drow[j]
            else:
                for j in range(len(row)):
                    a += drow[j] * gamma[j]
                    b += drow[j] * gamma[j] * away(row[j], m, rest)
            # passes 2 and 1 backward: every element also moved its row's variance and mean
            if dx.shape[0]:
                out, a, b = dx[i], a * share, b * r * r * share
                for j in range(len(row)):
                    out[j] = (drow[j] * gamma[j] - a - away(row[j], m, rest) * b) * r


@jit
def _mean(row):
    """The mean of a row, and the mean of what is left after taking it away: rounding hides a little of a large mean."""
    share = row.dtype.type(1 / max(len(row), 1))
    zero = row.dtype.type(0)
    m, rest = zero, zero
    for j in range(len(row)):
        m += row[j]
    m *= share
    for j in range(len(row)):
        rest += away(row[j], m, zero)
    return m, rest * share


@parallel
def _rmsnorm_forward(x, gamma, eps, size, y, rrms):
    n, c = x.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
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


@parallel
def _rmsnorm_backward(dy, x, gamma, rrms, size, dx, parts):
    n, c = x.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            drow, row, r = dy[i], x[i], np.float64(rrms[i])
            # pass 2 backward
            if parts.shape[0]:
                dgamma = parts[np.int64(piece)]
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

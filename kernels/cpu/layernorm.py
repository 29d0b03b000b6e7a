"""LayerNorm and RMSNorm over the last axis: a row is read into cache once. The formulas stand in the reference."""

import numpy as np

from ._jit import CHUNKS, jit, parallel, prange, ready, rows_of

__all__ = ["layernorm_backward", "layernorm_forward", "rmsnorm_backward", "rmsnorm_forward"]


def layernorm_forward(x, gamma, beta, eps):
    """x (…, c), gamma and beta (c,) or None → y (…, c), mean (rows,), rstd (rows,)."""
    rows = rows_of(x)
    y, mean, rstd = np.empty_like(rows), np.empty(len(rows), x.dtype), np.empty(len(rows), x.dtype)
    _layernorm_forward(rows, _or(gamma, 1, rows), _or(beta, 0, rows), x.dtype.type(eps), _pieces(rows), y, mean, rstd)
    return y.reshape(x.shape), mean, rstd


def layernorm_backward(dy, x, gamma, mean, rstd, needs=(True, True, True)):
    """dy (…, c) → dx (…, c), dgamma (c,), dbeta (c,)."""
    rows, pieces = rows_of(x), _pieces(rows_of(x))
    dx, partial = np.empty_like(rows), np.zeros((2, pieces, rows.shape[1]), x.dtype)
    _layernorm_backward(rows_of(dy), rows, _or(gamma, 1, rows), ready(mean), ready(rstd), dx, partial)
    dgamma, dbeta = partial.sum(1)
    return dx.reshape(x.shape) if needs[0] else None, dgamma if needs[1] else None, dbeta if needs[2] else None


def rmsnorm_forward(x, gamma, eps):
    """x (…, c), gamma (c,) or None → y (…, c), rrms (rows,)."""
    rows = rows_of(x)
    y, rrms = np.empty_like(rows), np.empty(len(rows), x.dtype)
    _rmsnorm_forward(rows, _or(gamma, 1, rows), x.dtype.type(eps), _pieces(rows), y, rrms)
    return y.reshape(x.shape), rrms


def rmsnorm_backward(dy, x, gamma, rrms, needs=(True, True)):
    """dy (…, c) → dx (…, c), dgamma (c,)."""
    rows, pieces = rows_of(x), _pieces(rows_of(x))
    dx, partial = np.empty_like(rows), np.zeros((pieces, rows.shape[1]), x.dtype)
    _rmsnorm_backward(rows_of(dy), rows, _or(gamma, 1, rows), ready(rrms), dx, partial)
    return dx.reshape(x.shape) if needs[0] else None, partial.sum(0) if needs[1] else None


# ---- loops -----------------------------------------------------------------------------------------------------------


@parallel
def _layernorm_forward(x, gamma, beta, eps, pieces, y, mean, rstd):
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            mean[i], rstd[i] = _layernorm_row(x[i], gamma, beta, eps, y[i])


@jit
def _layernorm_row(x, gamma, beta, eps, y):
    c = len(x)
    size = x.dtype.type(c)
    # pass 1: the mean, and the mean of what it left over
    mean = x.dtype.type(0)
    for j in range(c):
        mean += x[j]
    mean /= size
    rest = x.dtype.type(0)
    for j in range(c):
        rest += x[j] - mean
    rest /= size
    # pass 2: the variance
    var = x.dtype.type(0)
    for j in range(c):
        d = x[j] - mean - rest
        var += d * d
    rstd = x.dtype.type(1) / np.sqrt(var / size + eps)
    # pass 3: normalise, scale, shift
    for j in range(c):
        y[j] = (x[j] - mean - rest) * rstd * gamma[j] + beta[j]
    return mean + rest, rstd


@parallel
def _layernorm_backward(dy, x, gamma, mean, rstd, dx, partial):
    pieces = partial.shape[1]
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            _layernorm_row_backward(dy[i], x[i], gamma, mean[i], rstd[i], dx[i], partial[0, piece], partial[1, piece])


@jit
def _layernorm_row_backward(dy, x, gamma, mean, rstd, dx, dgamma, dbeta):
    c = len(x)
    size = x.dtype.type(c)
    # the saved mean is rounded: what it leaves over is taken away again
    rest = x.dtype.type(0)
    for j in range(c):
        rest += x[j] - mean
    rest /= size
    # ⟨d⟩ and ⟨d · x̂⟩; pass 3 backward: γ and β were used in every row
    d_mean, dx_mean = x.dtype.type(0), x.dtype.type(0)
    for j in range(c):
        xhat = (x[j] - mean - rest) * rstd
        d = dy[j] * gamma[j]
        d_mean += d
        dx_mean += d * xhat
        dgamma[j] += dy[j] * xhat
        dbeta[j] += dy[j]
    d_mean /= size
    dx_mean /= size
    # passes 2 and 1 backward: every element also moved its row's variance and mean
    for j in range(c):
        xhat = (x[j] - mean - rest) * rstd
        dx[j] = rstd * (dy[j] * gamma[j] - d_mean - xhat * dx_mean)


@parallel
def _rmsnorm_forward(x, gamma, eps, pieces, y, rrms):
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            rrms[i] = _rmsnorm_row(x[i], gamma, eps, y[i])


@jit
def _rmsnorm_row(x, gamma, eps, y):
    c = len(x)
    size = x.dtype.type(c)
    # pass 1: the mean square, of the row divided by its largest value where x² might overflow
    total = x.dtype.type(0)
    for j in range(c):
        total += x[j] * x[j]
    big = x.dtype.type(1)
    if not np.isfinite(total):
        for j in range(c):
            big = max(big, abs(x[j]))
        big = big if np.isfinite(big) else x.dtype.type(1)
        total = x.dtype.type(0)
        for j in range(c):
            total += (x[j] / big) * (x[j] / big)
    rrms = x.dtype.type(1) / (np.sqrt(total / size + eps / big / big) * big)
    # pass 2: normalise, scale
    for j in range(c):
        y[j] = x[j] * rrms * gamma[j]
    return rrms


@parallel
def _rmsnorm_backward(dy, x, gamma, rrms, dx, partial):
    pieces = len(partial)
    for piece in prange(pieces):
        for i in range(piece * len(x) // pieces, (piece + 1) * len(x) // pieces):
            _rmsnorm_row_backward(dy[i], x[i], gamma, rrms[i], dx[i], partial[piece])


@jit
def _rmsnorm_row_backward(dy, x, gamma, rrms, dx, dgamma):
    c = len(x)
    # pass 2 backward, and ⟨d · x̂⟩
    dx_mean = x.dtype.type(0)
    for j in range(c):
        xhat = x[j] * rrms
        dx_mean += dy[j] * gamma[j] * xhat
        dgamma[j] += dy[j] * xhat
    dx_mean /= x.dtype.type(c)
    # pass 1 backward
    for j in range(c):
        dx[j] = rrms * (dy[j] * gamma[j] - x[j] * rrms * dx_mean)


# ---- launchers' helpers ----------------------------------------------------------------------------------------------


def _or(vector, value, rows):
    """γ or β, or its neutral value where there is none."""
    return np.full(rows.shape[1], value, rows.dtype) if vector is None else ready(vector, rows.dtype)


def _pieces(rows):
    """Into how many pieces the rows are cut: one where a parallel region would cost more than it saves."""
    return 1 if rows.size < 1 << 13 else min(CHUNKS, len(rows))

"""LayerNorm and RMSNorm over the last axis, one block of threads a row.

LayerNorm   x̂ = (x − mean) · rstd      rstd = (var + eps)^(−1/2)      y = x̂ · γ + β
            dx = rstd · (d − ⟨d⟩ − x̂ · ⟨d · x̂⟩)      d = dy · γ      dγ = Σ dy · x̂      dβ = Σ dy
RMSNorm     x̂ = x · rrms               rrms = (⟨x²⟩ + eps)^(−1/2)     y = x̂ · γ

Sums over rows (γ, β): every block takes the same share of rows, walks through it in order and writes its own sum down; then
the blocks' sums are added in order. No atomics: the same bits on every run.
"""

import math

from ._array import empty, full, ready
from ._block import block_max, block_sum, larger
from ._launch import SIMULATED, THREADS, cuda, kernel, number

__all__ = ["layernorm_backward", "layernorm_forward", "rmsnorm_backward", "rmsnorm_forward"]

SHARES = 3 if SIMULATED else 256    # pieces into which rows are dealt, for sums over rows


@kernel
def _layernorm_forward(x, gamma, beta, eps, c, y, mean, rstd):
    i, t, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    row = i * c
    # pass 1: the mean, and what it left over because it was rounded
    total = number(0.0)
    for j in range(t, c, threads):
        total += x[row + j]
    m = block_sum(total) / number(c)
    total = number(0.0)
    for j in range(t, c, threads):
        total += x[row + j] - m
    rest = block_sum(total) / number(c)
    # pass 2: the variance
    total = number(0.0)
    for j in range(t, c, threads):
        d = x[row + j] - m - rest
        total += d * d
    r = 1.0 / math.sqrt(block_sum(total) / number(c) + eps)
    # pass 3: normalise, scale, shift
    for j in range(t, c, threads):
        y[row + j] = (x[row + j] - m - rest) * r * gamma[j] + beta[j]
    if t == 0:
        mean[i] = m + rest
        rstd[i] = r


@kernel
def _layernorm_backward(dy, x, gamma, mean, rstd, c, dx):
    i, t, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    row, m, r = i * c, mean[i], rstd[i]
    # the saved mean was rounded: take what it left over, too
    total = number(0.0)
    for j in range(t, c, threads):
        total += x[row + j] - m
    rest = block_sum(total) / number(c)
    # passes 2 and 1 backward: every element also moved its row's variance and mean
    along, across = number(0.0), number(0.0)
    for j in range(t, c, threads):
        d = dy[row + j] * gamma[j]
        along += d * ((x[row + j] - m - rest) * r)
        across += d
    along = block_sum(along) / number(c)
    across = block_sum(across) / number(c)
    for j in range(t, c, threads):
        xhat = (x[row + j] - m - rest) * r
        dx[row + j] = (dy[row + j] * gamma[j] - across - xhat * along) * r


@kernel
def _layernorm_backward_weights(dy, x, mean, rstd, n, c, dgammas, dbetas):
    # pass 3 backward: γ and β were used in every row. A thread a column, a share of the rows a block
    j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    share, shares = cuda.blockIdx.y, cuda.gridDim.y
    if j < c:
        dgamma, dbeta = number(0.0), number(0.0)
        for i in range(share * n // shares, (share + 1) * n // shares):
            d = dy[i * c + j]
            dgamma += d * ((x[i * c + j] - mean[i]) * rstd[i])
            dbeta += d
        dgammas[share * c + j] = dgamma
        dbetas[share * c + j] = dbeta


@kernel
def _rmsnorm_forward(x, gamma, eps, c, y, rrms):
    i, t, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    row = i * c
    # pass 1: the mean square, of the row divided by its largest value where x² might overflow
    big = number(1.0)
    for j in range(t, c, threads):
        big = larger(big, abs(x[row + j]))
    big = block_max(big)
    big = big if big < math.inf else number(1.0)
    total = number(0.0)
    for j in range(t, c, threads):
        small = x[row + j] / big
        total += small * small
    r = 1.0 / (math.sqrt(block_sum(total) / number(c) + eps / big / big) * big)
    # pass 2: normalise, scale
    for j in range(t, c, threads):
        y[row + j] = x[row + j] * r * gamma[j]
    if t == 0:
        rrms[i] = r


@kernel
def _rmsnorm_backward(dy, x, gamma, rrms, c, dx):
    i, t, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    row, r = i * c, rrms[i]
    # pass 1 backward
    total = number(0.0)
    for j in range(t, c, threads):
        total += dy[row + j] * gamma[j] * (x[row + j] * r)
    total = block_sum(total) / number(c)
    for j in range(t, c, threads):
        dx[row + j] = (dy[row + j] * gamma[j] - x[row + j] * r * total) * r


@kernel
def _rmsnorm_backward_weights(dy, x, rrms, n, c, dgammas):
    # pass 2 backward
    j = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    share, shares = cuda.blockIdx.y, cuda.gridDim.y
    if j < c:
        dgamma = number(0.0)
        for i in range(share * n // shares, (share + 1) * n // shares):
            dgamma += dy[i * c + j] * (x[i * c + j] * rrms[i])
        dgammas[share * c + j] = dgamma


@kernel
def _add_shares(parts, shares, c, total):
    j = cuda.grid(1)
    if j < c:
        s = number(0.0)
        for k in range(shares):
            s += parts[k * c + j]
        total[j] = s


def layernorm_forward(x, gamma, beta, eps):
    rows, n, c = _rows(x)
    gamma = full((c,), 1, x.dtype) if gamma is None else ready(gamma, x.dtype)
    beta = full((c,), 0, x.dtype) if beta is None else ready(beta, x.dtype)
    y, mean, rstd = empty(x.shape, x.dtype), empty((n,), x.dtype), empty((n,), x.dtype)
    if n:
        _layernorm_forward[n](rows, gamma, beta, float(eps), c, y, mean, rstd)
    return y, mean, rstd


def layernorm_backward(dy, x, gamma, mean, rstd, needs=(True, True, True)):
    rows, n, c = _rows(x)
    dy, mean, rstd = ready(dy, x.dtype), ready(mean), ready(rstd)
    gamma = full((c,), 1, x.dtype) if gamma is None else ready(gamma, x.dtype)
    dx = dgamma = dbeta = None
    if needs[0]:
        dx = empty(x.shape, x.dtype)
        if n:
            _layernorm_backward[n](dy, rows, gamma, mean, rstd, c, dx)
    if needs[1] or needs[2]:
        shares = max(1, min(n, SHARES))
        dgammas, dbetas = empty((shares, c), x.dtype), empty((shares, c), x.dtype)
        if c:
            _layernorm_backward_weights[_columns(c), shares](dy, rows, mean, rstd, n, c, dgammas, dbetas)
        dgamma = add_shares(dgammas) if needs[1] else None
        dbeta = add_shares(dbetas) if needs[2] else None
    return dx, dgamma, dbeta


def rmsnorm_forward(x, gamma, eps):
    rows, n, c = _rows(x)
    gamma = full((c,), 1, x.dtype) if gamma is None else ready(gamma, x.dtype)
    y, rrms = empty(x.shape, x.dtype), empty((n,), x.dtype)
    if n:
        _rmsnorm_forward[n](rows, gamma, float(eps), c, y, rrms)
    return y, rrms


def rmsnorm_backward(dy, x, gamma, rrms, needs=(True, True)):
    rows, n, c = _rows(x)
    dy, rrms = ready(dy, x.dtype), ready(rrms)
    gamma = full((c,), 1, x.dtype) if gamma is None else ready(gamma, x.dtype)
    dx = dgamma = None
    if needs[0]:
        dx = empty(x.shape, x.dtype)
        if n:
            _rmsnorm_backward[n](dy, rows, gamma, rrms, c, dx)
    if needs[1]:
        dgammas = empty((max(1, min(n, SHARES)), c), x.dtype)
        if c:
            _rmsnorm_backward_weights[_columns(c), len(dgammas)](dy, rows, rrms, n, c, dgammas)
        dgamma = add_shares(dgammas)
    return dx, dgamma


def add_shares(parts):
    """parts (shares, c) → their sum (c,), added in order."""
    shares, c = parts.shape
    total = empty((c,), parts.dtype)
    if c:
        _add_shares[_columns(c)](parts, shares, c, total)
    return total


def _columns(c):
    """How many blocks have a thread for every column."""
    return -(-c // THREADS)


def _rows(x):
    """x as the kernels take it, the number of rows and their length."""
    c = x.shape[-1]
    return ready(x), math.prod(x.shape[:-1]), c

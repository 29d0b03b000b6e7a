"""LayerNorm and RMSNorm over the last axis, one block of threads a row.

LayerNorm   x̂ = (x − mean) · rstd      rstd = (var + eps)^(−1/2)      y = x̂ · γ + β
            dx = rstd · (d − ⟨d⟩ − x̂ · ⟨d · x̂⟩)      d = dy · γ      dγ = Σ dy · x̂      dβ = Σ dy
RMSNorm     x̂ = x · rrms               rrms = (⟨x²⟩ + eps)^(−1/2)     y = x̂ · γ

Going back, a block takes a share of the rows, one after the other. A thread has the same columns in every row, so it adds up
its part of dγ and dβ in registers on the way; then the shares' sums are added in order. No atomics: always the same bits.
"""

import math

from ._array import accumulator, constant, empty, fill, ready
from ._block import block_max, block_sum, larger
from ._four import store_one
from ._launch import TINY, WARP, cuda, kernel, number
from ._row import HELD, LONG, SPAN, again, by_row, fetch, place, put

__all__ = ["layernorm_backward", "layernorm_forward", "rmsnorm_backward", "rmsnorm_forward"]

MOST_SHARES = 3 if TINY else 1056      # eight blocks for each of an H200's 132 multiprocessors
ROWS = 1 if TINY else 16               # at least so many in a share: their sums are then little beside the rows


@by_row
def _layernorm_forward(x, gamma, beta, eps, c, y, mean, rstd):
    i, nothing = cuda.blockIdx.x, number(0.0)
    row = i * c
    held = cuda.local.array(HELD, number)
    scale, shift = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    # pass 1: the mean, and what it left over because it was rounded
    total = nothing
    for start in range(0, c, SPAN):
        fetch(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            total += held[k]
    m = block_sum(total) / number(c)
    total = nothing
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            total += held[k] - m if start + place(k) < c else nothing
    rest = block_sum(total) / number(c)
    # pass 2: the variance
    total = nothing
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            d = held[k] - m - rest
            total += d * d if start + place(k) < c else nothing
    r = 1.0 / math.sqrt(block_sum(total) / number(c) + eps)
    # pass 3: normalise, scale, shift
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        fetch(gamma, start, c - start, nothing, scale)
        fetch(beta, start, c - start, nothing, shift)
        for k in range(HELD):
            held[k] = (held[k] - m - rest) * r * scale[k] + shift[k]
        put(held, y, row + start, c - start)
    if cuda.threadIdx.x == 0:
        mean[i] = m + rest
        rstd[i] = r


@by_row
def _layernorm_backward(dy, x, gamma, mean, rstd, n, c, wants_dx, dx, parts):
    share, shares, nothing = cuda.blockIdx.x, cuda.gridDim.x, number(0.0)
    slopes, held, scale = cuda.local.array(HELD, number), cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    dgamma, dbeta = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    at = share * 2 * c      # where in parts (shares, 2, c) this share's dγ begins; dβ is c further on
    for k in range(HELD):
        dgamma[k] = dbeta[k] = nothing
    if LONG:                # what of a long row does not fit into registers is added up in memory, by the same thread
        for start in range(0, c, SPAN):
            put(dgamma, parts, at + start, c - start)
            put(dbeta, parts, at + c + start, c - start)
    fetch(gamma, 0, c, nothing, scale)
    for i in range(share * n // shares, (share + 1) * n // shares):
        row, m, r = i * c, mean[i], rstd[i]
        # the saved mean was rounded: take what it left over, too
        total = nothing
        for start in range(0, c, SPAN):
            fetch(x, row + start, c - start, nothing, held)
            fetch(dy, row + start, c - start, nothing, slopes)
            for k in range(HELD):
                total += held[k] - m if start + place(k) < c else nothing
        rest = block_sum(total) / number(c)
        # pass 3 backward: γ and β were used in every row
        along, across = nothing, nothing
        for start in range(0, c, SPAN):
            again(x, row + start, c - start, nothing, held)
            again(dy, row + start, c - start, nothing, slopes)
            again(gamma, start, c - start, nothing, scale)
            again(parts, at + start, c - start, nothing, dgamma)
            again(parts, at + c + start, c - start, nothing, dbeta)
            for k in range(HELD):
                held[k] = (held[k] - m - rest) * r
                dgamma[k] += slopes[k] * held[k]
                dbeta[k] += slopes[k]
                slopes[k] *= scale[k]
                along += slopes[k] * held[k]
                across += slopes[k]
            if LONG:
                put(dgamma, parts, at + start, c - start)
                put(dbeta, parts, at + c + start, c - start)
        # passes 2 and 1 backward: every element also moved its row's variance and mean
        if wants_dx:
            along = block_sum(along) / number(c)
            across = block_sum(across) / number(c)
            for start in range(0, c, SPAN):
                if LONG:
                    again(x, row + start, c - start, nothing, held)
                    again(dy, row + start, c - start, nothing, slopes)
                    again(gamma, start, c - start, nothing, scale)
                    for k in range(HELD):
                        held[k], slopes[k] = (held[k] - m - rest) * r, slopes[k] * scale[k]
                for k in range(HELD):
                    slopes[k] = (slopes[k] - across - held[k] * along) * r
                put(slopes, dx, row + start, c - start)
    if not LONG:
        put(dgamma, parts, at, c)
        put(dbeta, parts, at + c, c)


@by_row
def _rmsnorm_forward(x, gamma, eps, c, y, rrms):
    i, nothing = cuda.blockIdx.x, number(0.0)
    row = i * c
    held, scale = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    # pass 1: the mean square, of the row divided by its largest value where x² might overflow
    big = number(1.0)
    for start in range(0, c, SPAN):
        fetch(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            big = larger(big, abs(held[k]))
    big = block_max(big)
    big = big if big < math.inf else number(1.0)
    total = nothing
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        for k in range(HELD):
            small = held[k] / big
            total += small * small
    r = 1.0 / (math.sqrt(block_sum(total) / number(c) + eps / big / big) * big)
    # pass 2: normalise, scale
    for start in range(0, c, SPAN):
        again(x, row + start, c - start, nothing, held)
        fetch(gamma, start, c - start, nothing, scale)
        for k in range(HELD):
            held[k] = held[k] * r * scale[k]
        put(held, y, row + start, c - start)
    if cuda.threadIdx.x == 0:
        rrms[i] = r


@by_row
def _rmsnorm_backward(dy, x, gamma, rrms, n, c, wants_dx, dx, parts):
    share, shares, nothing = cuda.blockIdx.x, cuda.gridDim.x, number(0.0)
    slopes, held = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    scale, dgamma = cuda.local.array(HELD, number), cuda.local.array(HELD, number)
    at = share * c      # where in parts (shares, c) this share's dγ begins
    for k in range(HELD):
        dgamma[k] = nothing
    if LONG:
        for start in range(0, c, SPAN):
            put(dgamma, parts, at + start, c - start)
    fetch(gamma, 0, c, nothing, scale)
    for i in range(share * n // shares, (share + 1) * n // shares):
        row, r, total = i * c, rrms[i], nothing
        # pass 2 backward: γ was used in every row
        for start in range(0, c, SPAN):
            fetch(x, row + start, c - start, nothing, held)
            fetch(dy, row + start, c - start, nothing, slopes)
            again(gamma, start, c - start, nothing, scale)
            again(parts, at + start, c - start, nothing, dgamma)
            for k in range(HELD):
                dgamma[k] += slopes[k] * (held[k] * r)
                total += slopes[k] * scale[k] * (held[k] * r)
            if LONG:
                put(dgamma, parts, at + start, c - start)
        # pass 1 backward
        if wants_dx:
            total = block_sum(total) / number(c)
            for start in range(0, c, SPAN):
                again(x, row + start, c - start, nothing, held)
                again(dy, row + start, c - start, nothing, slopes)
                again(gamma, start, c - start, nothing, scale)
                for k in range(HELD):
                    slopes[k] = (slopes[k] * scale[k] - held[k] * r * total) * r
                put(slopes, dx, row + start, c - start)
    if not LONG:
        put(dgamma, parts, at, c)


@kernel
def _add_shares(parts, shares, m, c, first, second):
    # threads side by side take columns; those below each other every WARP-th share, and the first adds up what they got.
    # parts is (shares, m, c); m is 1 or 2, and the sums go to one array or two
    sums = cuda.shared.array((WARP, WARP), number)
    across, down = cuda.threadIdx.x, cuda.threadIdx.y
    j, s = cuda.blockIdx.x * WARP + across, number(0.0)
    if j < m * c:
        for share in range(down, shares, WARP):
            s += parts[share * m * c + j]
    sums[down, across] = s
    cuda.syncthreads()
    if down == 0 and j < m * c:
        s = number(0.0)
        for k in range(WARP):
            s += sums[k, across]
        if j < c:
            store_one(first, j, s)
        else:
            store_one(second, j - c, s)


def layernorm_forward(x, gamma, beta, eps):
    rows, n, c = _rows(x)
    wide = accumulator(x.dtype)
    y, mean, rstd = empty(x.shape, x.dtype), empty((n,), wide), empty((n,), wide)
    if not c:       # rows of nothing: mean 0, variance 0
        fill(mean, 0), fill(rstd, eps ** -0.5)
    elif n:
        _layernorm_forward(n, c)(rows, _weight(gamma, 1, c, x), _weight(beta, 0, c, x), float(eps), c, y, mean, rstd)
    return y, mean, rstd


def layernorm_backward(dy, x, gamma, mean, rstd, needs=(True, True, True)):
    rows, n, c = _rows(x)
    dx, shares = empty(x.shape, x.dtype), _shares(n)
    parts = empty((shares, 2, c), accumulator(x.dtype))
    if c:
        _layernorm_backward(shares, c)(ready(dy, x.dtype), rows, _weight(gamma, 1, c, x), ready(mean), ready(rstd), n, c,
                                       needs[0], dx, parts)
    dgamma, dbeta = _added(parts, x.dtype) if needs[1] or needs[2] else (None, None)
    return dx if needs[0] else None, dgamma if needs[1] else None, dbeta if needs[2] else None


def rmsnorm_forward(x, gamma, eps):
    rows, n, c = _rows(x)
    y, rrms = empty(x.shape, x.dtype), empty((n,), accumulator(x.dtype))
    if not c:
        fill(rrms, eps ** -0.5)
    elif n:
        _rmsnorm_forward(n, c)(rows, _weight(gamma, 1, c, x), float(eps), c, y, rrms)
    return y, rrms


def rmsnorm_backward(dy, x, gamma, rrms, needs=(True, True)):
    rows, n, c = _rows(x)
    dx, shares = empty(x.shape, x.dtype), _shares(n)
    parts = empty((shares, 1, c), accumulator(x.dtype))
    if c:
        _rmsnorm_backward(shares, c)(ready(dy, x.dtype), rows, _weight(gamma, 1, c, x), ready(rrms), n, c, needs[0], dx,
                                     parts)
    return dx if needs[0] else None, _added(parts, x.dtype)[0] if needs[1] else None


def _added(parts, dtype):
    """parts (shares, m, c) → their sums, m arrays (c,), added in order."""
    shares, m, c = parts.shape
    sums = [empty((c,), dtype) for _ in range(m)]
    if c:
        _add_shares[(-(-m * c // WARP),), (WARP, WARP)](parts, shares, m, c, sums[0], sums[-1])
    return sums


def _shares(n):
    """Into how many pieces n rows are dealt."""
    return max(1, min(n // ROWS, MOST_SHARES))


def _weight(w, default, c, x):
    return constant(c, default, x.dtype) if w is None else ready(w, x.dtype)


def _rows(x):
    """x as the kernels take it, the number of rows and their length."""
    return ready(x), math.prod(x.shape[:-1]), x.shape[-1]

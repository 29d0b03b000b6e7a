"""BatchNorm, compiled: the reference's numbered passes, channel by channel. A channel has one writer, and its sums are taken
in float64, in order: same bits for any thread count.
"""

import math

import numpy as np
from numba import get_num_threads

from ._jit import CHUNKS, ready, spread
from ._memory import empty

__all__ = ["batchnorm_backward", "batchnorm_forward"]

WIDE = 192 # channels that a piece of rows has, where they are enough for all threads: shorter ones are begun too often
SHORT = 8  # positions: where there are fewer, but more than one, a channel's numbers are first brought side by side


def batchnorm_forward(x, gamma, beta, mean, var, eps):
    c = x.shape[1]
    given = mean is not None
    mean = ready(mean, x.dtype) if given else np.empty(c, x.dtype)
    var = ready(var, x.dtype) if given else np.empty(c, x.dtype)
    rows = _channels(x)
    y = empty(rows.shape, rows.dtype)
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    beta = np.zeros(c, x.dtype) if beta is None else ready(beta, x.dtype)
    if rows.shape[2] == 1:
        pieces = _row_pieces(c)
        _forward_rows(pieces, rows[:, :, 0], gamma, beta, float(eps), given, pieces, y[:, :, 0], mean, var)
    else:
        pieces = min(c, CHUNKS)
        _forward(pieces, rows, gamma, beta, float(eps), given, pieces, y, mean, var)
    return _back(y, x.shape), mean, var


def batchnorm_backward(dy, x, gamma, mean, var, eps, training, needs=(True, True, True)):
    c = x.shape[1]
    dy, rows = _channels(dy), _channels(x)
    dx = empty(rows.shape, rows.dtype) if needs[0] else np.empty((0, c, 1), x.dtype)
    dgamma, dbeta = np.empty(c, x.dtype), np.empty(c, x.dtype)
    gamma = np.ones(c, x.dtype) if gamma is None else ready(gamma, x.dtype)
    mean, var = ready(mean, x.dtype), ready(var, x.dtype)
    if rows.shape[2] == 1:
        pieces = _row_pieces(c)
        _backward_rows(pieces, dy[:, :, 0], rows[:, :, 0], gamma, mean, var, float(eps), training, pieces, dx[:, :, 0],
                       dgamma, dbeta)
    else:
        pieces = min(c, CHUNKS)
        _backward(pieces, dy, rows, gamma, mean, var, float(eps), training, pieces, dx, dgamma, dbeta)
    return _back(dx, x.shape) if needs[0] else None, dgamma if needs[1] else None, dbeta if needs[2] else None


def _channels(x):
    """(n, c, …) → (n, c, positions), or (1, c, n · positions) where positions are few; ready."""
    n, c = x.shape[:2]
    x = x.reshape(n, c, math.prod(x.shape[2:]))
    return ready(x) if x.shape[2] == 1 or x.shape[2] >= SHORT else ready(x.swapaxes(0, 1)).reshape(1, c, n * x.shape[2])


def _row_pieces(c):
    """Into how many pieces the channels of rows are cut."""
    return max(1, min(max(c // WIDE, get_num_threads()), c // 16, CHUNKS))


def _back(rows, shape):
    if len(rows) == shape[0]:
        return rows.reshape(shape)
    return np.ascontiguousarray(rows.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1))


@spread
def _forward(piece, x, gamma, beta, eps, given, pieces, y, mean, var):
    n, c, positions = x.shape
    count = max(n * positions, 1)
    for k in range(piece * c // pieces, (piece + 1) * c // pieces):
        m, v = np.float64(mean[k]), np.float64(var[k])
        if not given:
            # pass 1: the mean
            total = 0.0
            for i in range(n):
                row = x[i, k]
                for j in range(len(row)):
                    total += np.float64(row[j])
            m = total / count
            # pass 2: the variance, and what the mean left over
            total, rest = 0.0, 0.0
            for i in range(n):
                row = x[i, k]
                for j in range(len(row)):
                    d = np.float64(row[j]) - m
                    total += d * d
                    rest += d
            rest /= count
            m += rest
            v = total / count - rest * rest
            if v < 0:
                v = 0.0
            mean[k] = m
            var[k] = v
        # pass 3: normalise, scale, shift
        g, b = gamma[k] / np.sqrt(v + eps), np.float64(beta[k])
        for i in range(n):
            row, out = x[i, k], y[i, k]
            for j in range(len(row)):
                out[j] = (np.float64(row[j]) - m) * g + b


@spread
def _backward(piece, dy, x, gamma, mean, var, eps, training, pieces, dx, dgamma, dbeta):
    n, c, positions = x.shape
    count = max(n * positions, 1)
    for k in range(piece * c // pieces, (piece + 1) * c // pieces):
        m, r = np.float64(mean[k]), 1.0 / np.sqrt(np.float64(var[k]) + eps)
        # pass 3 backward, and what the saved mean, which was rounded, left over
        a, b, rest = 0.0, 0.0, 0.0
        for i in range(n):
            drow, row = dy[i, k], x[i, k]
            for j in range(len(row)):
                d = np.float64(row[j]) - m
                rest += d
                a += np.float64(drow[j])
                b += np.float64(drow[j]) * d
        if training:
            rest /= count
            m += rest
            b -= rest * a
        b *= r
        dgamma[k] = b
        dbeta[k] = a
        # passes 2 and 1 backward: every element also moved its channel's variance and mean
        if dx.shape[0]:
            g = gamma[k] * r
            a = a / count if training else 0.0
            b = b / count * r if training else 0.0
            for i in range(n):
                drow, row, out = dy[i, k], x[i, k], dx[i, k]
                for j in range(len(row)):
                    out[j] = ((np.float64(drow[j]) - a) - (np.float64(row[j]) - m) * b) * g


@spread
def _forward_rows(piece, x, gamma, beta, eps, given, pieces, y, mean, var):
    """The same for (n, c): the rows are read in order, a piece of the channels at a time."""
    n, c = x.shape
    k0, k1 = piece * c // pieces, (piece + 1) * c // pieces
    m, v, rest = np.zeros(k1 - k0), np.zeros(k1 - k0), np.zeros(k1 - k0)
    if given:
        m[:] = mean[k0:k1]
        v[:] = var[k0:k1]
    else:
        # pass 1: the mean
        for i in range(n):
            row = x[i, k0:k1]
            for k in range(len(row)):
                m[k] += np.float64(row[k])
        m /= max(n, 1)
        # pass 2: the variance, and what the mean left over
        for i in range(n):
            row = x[i, k0:k1]
            for k in range(len(row)):
                d = np.float64(row[k]) - m[k]
                v[k] += d * d
                rest[k] += d
        for k in range(k1 - k0):
            rest[k] /= max(n, 1)
            m[k] += rest[k]
            v[k] = v[k] / max(n, 1) - rest[k] * rest[k]
            if v[k] < 0:
                v[k] = 0.0
            mean[k0 + k] = m[k]
            var[k0 + k] = v[k]
    # pass 3: normalise, scale, shift
    g, b = gamma[k0:k1] / np.sqrt(v + eps), beta[k0:k1]
    for i in range(n):
        row, out = x[i, k0:k1], y[i, k0:k1]
        for k in range(len(row)):
            out[k] = (np.float64(row[k]) - m[k]) * g[k] + b[k]


@spread
def _backward_rows(piece, dy, x, gamma, mean, var, eps, training, pieces, dx, dgamma, dbeta):
    n, c = x.shape
    k0, k1 = piece * c // pieces, (piece + 1) * c // pieces
    m, r = np.zeros(k1 - k0), np.zeros(k1 - k0)
    m[:] = mean[k0:k1]
    r[:] = var[k0:k1]
    r = 1.0 / np.sqrt(r + eps)
    # pass 3 backward, and what the saved mean, which was rounded, left over
    a, b, rest = np.zeros(k1 - k0), np.zeros(k1 - k0), np.zeros(k1 - k0)
    for i in range(n):
        drow, row = dy[i, k0:k1], x[i, k0:k1]
        for k in range(len(row)):
            d = np.float64(row[k]) - m[k]
            rest[k] += d
            a[k] += np.float64(drow[k])
            b[k] += np.float64(drow[k]) * d
    if training:
        rest /= max(n, 1)
        m += rest
        b -= rest * a
    b *= r
    for k in range(k1 - k0):
        dgamma[k0 + k] = b[k]
        dbeta[k0 + k] = a[k]
    # passes 2 and 1 backward: every element also moved its channel's variance and mean
    if dx.shape[0]:
        g = gamma[k0:k1] * r
        a /= max(n, 1)
        b *= r / max(n, 1)
        if not training:
            a[:] = 0.0
            b[:] = 0.0
        for i in range(n):
            drow, row, out = dy[i, k0:k1], x[i, k0:k1], dx[i, k0:k1]
            for k in range(len(row)):
                out[k] = ((np.float64(drow[k]) - a[k]) - (np.float64(row[k]) - m[k]) * b[k]) * g[k]

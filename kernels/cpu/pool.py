"""Pooling, compiled: plane by plane. A plane has one writer, so the same bits come out for any thread count."""

import numpy as np

from ._jit import CHUNKS, ready, spread
from ._memory import empty
from .reduce import mean_backward, mean_forward

__all__ = ["avg_pool2d_backward", "avg_pool2d_forward", "max_pool2d_backward", "max_pool2d_forward"]


def max_pool2d_forward(x, kernel, stride, padding, dilation, size):
    y = np.empty((*x.shape[:2], *size), x.dtype)
    at = np.empty(y.shape, np.int64)
    pieces = min(len(x) * x.shape[1], CHUNKS)
    _max_forward(pieces, _planes(x), (*kernel, *stride, *padding, *dilation), pieces, _planes(y), _planes(at))
    return y, at


def max_pool2d_backward(dy, at, shape):
    dx = np.zeros(shape, dy.dtype)
    pieces = min(shape[0] * shape[1], CHUNKS)
    _max_backward(pieces, _planes(dy), _planes(at), pieces, dx.reshape(shape[0] * shape[1], shape[2] * shape[3]))
    return dx


def avg_pool2d_forward(x, rows, columns):
    if _is_whole(rows, columns, x.shape):
        return mean_forward(x, (2, 3), True)
    y = np.empty((*x.shape[:2], rows.shape[1], columns.shape[1]), x.dtype)
    pieces = min(len(x) * x.shape[1], CHUNKS)
    _avg_forward(pieces, _planes(x), ready(rows, np.int64), ready(columns, np.int64), pieces, _planes(y))
    return y


def avg_pool2d_backward(dy, rows, columns, shape):
    if _is_whole(rows, columns, shape):
        return mean_backward(dy, shape, (2, 3), True)
    dx = empty(shape, dy.dtype)
    pieces = min(shape[0] * shape[1], CHUNKS)
    _avg_backward(pieces, _planes(dy), ready(rows, np.int64), ready(columns, np.int64), pieces, _planes(dx))
    return dx


def _is_whole(rows, columns, shape):
    """Is the one window the whole plane?"""
    return rows.T.tolist() == [[0, shape[2], shape[2]]] and columns.T.tolist() == [[0, shape[3], shape[3]]]


def _planes(x):
    """(n, c, h, w) → (n · c, h, w), ready."""
    return ready(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


@spread
def _max_forward(piece, x, settings, pieces, y, at):
    planes, h, w = x.shape
    kh, kw, sh, sw, ph, pw, dh, dw = settings
    for plane in range(piece * planes // pieces, (piece + 1) * planes // pieces):
        for r in range(y.shape[1]):
            for s in range(y.shape[2]):
                best, place = x.dtype.type(-np.inf), np.int64(-1)
                for i in range(kh):
                    row = r * sh - ph + i * dh
                    if row < 0 or row >= h:
                        continue
                    line = x[plane, row]
                    for j in range(kw):
                        column = s * sw - pw + j * dw
                        if 0 <= column < w:
                            v = line[column]
                            if place < 0 or v > best or v != v:
                                best, place = v, row * w + column
                y[plane, r, s] = best
                at[plane, r, s] = place


@spread
def _max_backward(piece, dy, at, pieces, dx):
    planes = len(dx)
    for plane in range(piece * planes // pieces, (piece + 1) * planes // pieces):
        out = dx[plane]
        for r in range(dy.shape[1]):
            drow, places = dy[plane, r], at[plane, r]
            for s in range(len(drow)):
                if places[s] >= 0:
                    out[places[s]] += drow[s]


@spread
def _avg_forward(piece, x, rows, columns, pieces, y):
    planes, _, w = x.shape
    line = np.empty(w)
    for plane in range(piece * planes // pieces, (piece + 1) * planes // pieces):
        for r in range(y.shape[1]):
            # pass 1: the rows of the windows, added up
            line[:] = 0
            for i in range(np.uintp(rows[0, r]), np.uintp(rows[1, r])):
                for j in range(w):
                    line[j] += np.float64(x[plane, i, j])
            # pass 2: of these, each window's columns
            for s in range(y.shape[2]):
                total = 0.0
                for j in range(np.uintp(columns[0, s]), np.uintp(columns[1, s])):
                    total += line[j]
                y[plane, r, s] = total / (rows[2, r] * columns[2, s])


@spread
def _avg_backward(piece, dy, rows, columns, pieces, dx):
    planes, _, w = dx.shape
    line = np.empty(w, dx.dtype)
    for plane in range(piece * planes // pieces, (piece + 1) * planes // pieces):
        dx[plane] = 0
        for r in range(dy.shape[1]):
            # pass 2 backward: a share for every column of a window
            line[:] = 0
            for s in range(dy.shape[2]):
                share = dx.dtype.type(dy[plane, r, s] / (rows[2, r] * columns[2, s]))
                for j in range(np.uintp(columns[0, s]), np.uintp(columns[1, s])):
                    line[j] += share
            # pass 1 backward: every row of the windows got it
            for i in range(np.uintp(rows[0, r]), np.uintp(rows[1, r])):
                for j in range(w):
                    dx[plane, i, j] += line[j]

"""Pooling: one number for each window of a picture, its largest or its mean. A thread an output; going back, an input."""

import math

import numpy as np

from ..reference import pool as _reference
from ._array import counting, empty, ready, to_device, zeros
from ._four import load_one
from ._launch import blocks_for, cuda, kernel, number
from ._map import each, formula
from .index import add_rows

__all__ = _reference.__all__


@kernel
def _max_pool(x, h, w, kernel, stride, padding, dilation, size, n, y, at):
    for k in range(cuda.grid(1), n, cuda.gridsize(1)):
        column, row, plane = k % size[1], k // size[1] % size[0], k // (size[1] * size[0])
        best, where = number(-math.inf), -1
        for i in range(kernel[0]):
            down = row * stride[0] - padding[0] + i * dilation[0]
            for j in range(kernel[1]):
                across = column * stride[1] - padding[1] + j * dilation[1]
                if down >= 0 and down < h and across >= 0 and across < w:
                    v = load_one(x, (plane * h + down) * w + across)
                    if where < 0 or v > best or v != v:
                        best, where = v, down * w + across
        y[k] = best
        at[k] = where


def max_pool2d_forward(x, kernel, stride, padding, dilation, size):
    y, at = empty((*x.shape[:2], *size), x.dtype), empty((*x.shape[:2], *size), np.int64)
    if y.size:
        _max_pool[blocks_for(y.size)](ready(x), *x.shape[2:], tuple(kernel), tuple(stride), tuple(padding), tuple(dilation),
                                      tuple(size), y.size, y, at)
    return y, at


_cell = formula(lambda at, k, outputs, pixels: -1 if at < 0 else k // outputs * pixels + at)
_or_last = formula(lambda cell, last: last if cell < 0 else cell)


def max_pool2d_backward(dy, at, shape):
    """Windows of padding alone send their gradient to a cell after the last."""
    n = math.prod(shape)
    places = each(_cell, at.reshape(-1), counting(at.size), max(1, math.prod(at.shape[2:])), shape[2] * shape[3])
    cells = add_rows(zeros((n + 1, 1), dy.dtype), each(_or_last, places, n), dy.reshape(-1, 1))
    return ready(cells.reshape(-1)[:n].reshape(shape))


@kernel
def _avg_pool(x, h, w, rows, columns, height, width, n, y):
    for k in range(cuda.grid(1), n, cuda.gridsize(1)):
        j, i, plane = k % width, k // width % height, k // (width * height)
        total = number(0.0)
        for down in range(rows[i], rows[height + i]):
            for across in range(columns[j], columns[width + j]):
                total += load_one(x, (plane * h + down) * w + across)
        y[k] = total / number(rows[2 * height + i] * columns[2 * width + j])


@kernel
def _avg_pool_backward(dy, h, w, rows, columns, height, width, n, dx):
    for k in range(cuda.grid(1), n, cuda.gridsize(1)):
        across, down, plane = k % w, k // w % h, k // (w * h)
        total = number(0.0)
        for i in range(height):
            if rows[i] <= down and down < rows[height + i]:
                for j in range(width):
                    if columns[j] <= across and across < columns[width + j]:
                        total += (dy[(plane * height + i) * width + j]
                                  / number(rows[2 * height + i] * columns[2 * width + j]))
        dx[k] = total


def avg_pool2d_forward(x, rows, columns):
    height, width = rows.shape[1], columns.shape[1]
    y = empty((*x.shape[:2], height, width), x.dtype)
    if y.size:
        _avg_pool[blocks_for(y.size)](ready(x), *x.shape[2:], _edges(rows), _edges(columns), height, width, y.size, y)
    return y


def avg_pool2d_backward(dy, rows, columns, shape):
    dx = empty(shape, dy.dtype)
    if dx.size:
        _avg_pool_backward[blocks_for(dx.size)](ready(dy), *shape[2:], _edges(rows), _edges(columns), rows.shape[1],
                                                columns.shape[1], dx.size, dx)
    return dx


def _edges(rows):
    return ready(to_device(rows), "int64")

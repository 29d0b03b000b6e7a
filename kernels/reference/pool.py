"""Pooling: one number for each window of a picture, its largest or its mean.

Pictures are (n, c, h, w); every channel is pooled by itself. ``size``, the output's height and width, is decided by the op.
"""

import numpy as np

__all__ = ["avg_pool2d_backward", "avg_pool2d_forward", "max_pool2d_backward", "max_pool2d_forward"]


def max_pool2d_forward(x, kernel, stride, padding, dilation, size):
    """x (n, c, h, w) → y (n, c, *size), and where each one stood: row · w + column, or −1 for a window of padding alone.

    The first of equals wins; a NaN wins against every number, the last one against other NaNs, as in PyTorch.
    """
    h, w = x.shape[2:]
    y = np.full((*x.shape[:2], *size), -np.inf, x.dtype)
    at = np.full(y.shape, -1)
    rows, columns = (np.arange(n) * s - p for n, s, p in zip(size, stride, padding))
    for i, j in np.ndindex(*kernel):
        row, column = rows[:, None] + i * dilation[0], columns + j * dilation[1]
        inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
        row, column = np.where(inside, row, 0), np.where(inside, column, 0)
        value = x[:, :, row, column]
        better = inside & ((at < 0) | (value.real > y.real) | np.isnan(value))
        y, at = np.where(better, value, y), np.where(better, row * w + column, at)
    return y, at


def max_pool2d_backward(dy, at, shape):
    """dy (n, c, h', w') → dx of this shape: all of a window's gradient goes to its largest number."""
    dx = np.zeros((shape[0], shape[1], shape[2] * shape[3]), dy.dtype)
    n, c, row, column = np.nonzero(at >= 0)
    np.add.at(dx, (n, c, at[n, c, row, column]), dy[n, c, row, column])
    return dx.reshape(shape)


def avg_pool2d_forward(x, rows, columns):
    """x (n, c, h, w), rows (3, h'), columns (3, w') → y (n, c, h', w').

    The windows are given by where they begin, where they end, and how many positions they count as. y is the sum of a window
    divided by the product of its two counts. (Padding may count although it adds nothing.)
    """
    y = np.zeros((*x.shape[:2], rows.shape[1], columns.shape[1]), x.dtype)
    for i, (top, bottom, n) in enumerate(rows.T):
        for j, (left, right, m) in enumerate(columns.T):
            y[:, :, i, j] = x[:, :, top:bottom, left:right].sum((2, 3)) / (n * m)
    return y


def avg_pool2d_backward(dy, rows, columns, shape):
    """dy (n, c, h', w') → dx of this shape: each position of a window gets an equal share, windows may overlap."""
    dx = np.zeros(shape, dy.dtype)
    for i, (top, bottom, n) in enumerate(rows.T):
        for j, (left, right, m) in enumerate(columns.T):
            dx[:, :, top:bottom, left:right] += dy[:, :, i, j, None, None] / (n * m)
    return dx

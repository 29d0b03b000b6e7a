"""Convolution of pictures: windows are laid out as rows of a matrix, and one product does the rest.

y[n, o, h, w] = b[o] + Σ weight[o, c, i, j] · x[n, c, h · stride + i · dilation − before, w · stride + j · dilation − before]
"""

import numpy as np

from ..reference import conv as _reference
from ._array import empty, packed, view
from ._launch import blocks_for, cuda, kernel, number
from .matmul import product
from .pad import pad_forward
from .reduce import sum_forward

__all__ = _reference.__all__


def conv2d_forward(x, weight, bias, stride, padding, dilation, groups):
    # pass 1: the windows, a view of the padded picture, laid out
    windows, size = _windows(x, weight, stride, padding, dilation, groups)
    # pass 2: each window times each kernel
    y = product(_kernels(weight, groups), windows)                      # (n, g, o / g, h' · w')
    y = y.reshape(len(x), len(weight), *size)
    # pass 3: the bias
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def conv2d_backward(dy, x, weight, stride, padding, dilation, groups, needs=(True, True, True)):
    dx = dweight = dbias = None
    n, o, *size = dy.shape
    grouped = packed(dy).reshape(n, groups, o // groups, size[0] * size[1])
    # pass 3 backward: the bias was added everywhere
    if needs[2]:
        dbias = sum_forward(dy, (0, 2, 3), False)
    # pass 2 backward: a weight met every window; a window met every kernel
    if needs[1]:
        windows, _ = _windows(x, weight, stride, padding, dilation, groups)
        each_picture = product(grouped, windows.swapaxes(-1, -2))
        dweight = sum_forward(each_picture, (0,), False).reshape(weight.shape)
    # pass 1 backward: where windows overlap, what comes to them adds up
    if needs[0]:
        dwindows = product(_kernels(weight, groups).swapaxes(-1, -2), grouped)      # (n, g, c / g · kh · kw, h' · w')
        dx = empty(x.shape, x.dtype)
        if dx.size:
            (top, _), (left, _) = padding
            _add_windows[blocks_for(dx.size)](dwindows, tuple(x.shape[1:]), tuple(weight.shape[2:]), tuple(size),
                                              tuple(stride), tuple(dilation), (top, left), dx.size, dx)
    return dx, dweight, dbias


@kernel
def _add_windows(dwindows, shape, span, size, stride, dilation, before, n, dx):
    # a thread an element of the picture: it looks for the windows that saw it
    for at in range(cuda.grid(1), n, cuda.gridsize(1)):
        column, row = at % shape[2], at // shape[2] % shape[1]
        plane = at // (shape[2] * shape[1])             # picture and channel: n · c
        total = number(0.0)
        for i in range(span[0]):
            down = row + before[0] - i * dilation[0]
            for j in range(span[1]):
                across = column + before[1] - j * dilation[1]
                if (down >= 0 and across >= 0 and down % stride[0] == 0 and across % stride[1] == 0
                        and down // stride[0] < size[0] and across // stride[1] < size[1]):
                    place = ((plane * span[0] + i) * span[1] + j) * size[0] + down // stride[0]
                    total += dwindows[place * size[1] + across // stride[1]]
        dx[at] = total


def _windows(x, weight, stride, padding, dilation, groups):
    """x (n, c, h, w) → (n, g, c / g · kh · kw, h' · w') and (h', w')."""
    x = pad_forward(x, [(0, 0), (0, 0), *padding], "constant", 0)
    windows = view(lambda ghost: _reference._windows(ghost, weight.shape[2:], stride, dilation), x)
    n, c, h, w, kh, kw = windows.shape
    laid_out = packed(view(np.transpose, windows, (0, 1, 4, 5, 2, 3)))
    return laid_out.reshape(n, groups, c // groups * kh * kw, h * w), (h, w)


def _kernels(weight, groups):
    """weight (o, c / g, kh, kw) → (g, o / g, c / g · kh · kw)."""
    o, c, kh, kw = weight.shape
    return packed(weight).reshape(groups, o // groups, c * kh * kw)

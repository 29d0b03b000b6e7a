"""Convolution of pictures: every output is a weighted sum of the window that lies under the kernel.

y[n, o, h, w] = b[o] + Σ weight[o, c, i, j] · x[n, c, h · stride + i · dilation − before, w · stride + j · dilation − before]

over c, i and j; outside of the picture x is 0. With groups, outputs and channels are dealt out to groups in order, and each
output sees the channels of its own group. ``stride`` and ``dilation`` are (rows, columns); ``padding`` is ((before, after),
(before, after)).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["conv2d_backward", "conv2d_forward"]


def conv2d_forward(x, weight, bias, stride, padding, dilation, groups):
    """x (n, c, h, w), weight (o, c / groups, kh, kw), bias (o,) or None → y (n, o, h', w')."""
    # pass 1: the windows, a view of the padded picture
    windows = _grouped(_windows(_padded(x, padding), weight.shape[2:], stride, dilation), groups, 1)
    # pass 2: each window times each kernel
    y = np.einsum("ngchwij,gocij->ngohw", windows, _grouped(weight, groups, 0), optimize=True)
    y = y.reshape(len(x), len(weight), *y.shape[3:])
    # pass 3: the bias
    return y if bias is None else y + bias[:, None, None]


def conv2d_backward(dy, x, weight, stride, padding, dilation, groups, needs=(True, True, True)):
    """dy (n, o, h', w') → dx (n, c, h, w), dweight (o, c / groups, kh, kw), dbias (o,)."""
    dx = dweight = dbias = None
    grouped, kernels = _grouped(dy, groups, 1), _grouped(weight, groups, 0)
    # pass 3 backward: the bias was added everywhere
    if needs[2]:
        dbias = dy.sum((0, 2, 3))
    # pass 2 backward: a weight met every window; a window met every kernel
    if needs[1]:
        windows = _grouped(_windows(_padded(x, padding), weight.shape[2:], stride, dilation), groups, 1)
        dweight = np.einsum("ngohw,ngchwij->gocij", grouped, windows, optimize=True).reshape(weight.shape)
    # pass 1 backward: where windows overlap, what comes to them adds up; what fell on the padding is dropped
    if needs[0]:
        dwindows = np.einsum("ngohw,gocij->ngchwij", grouped, kernels, optimize=True)
        dpadded = np.zeros_like(_padded(x, padding), dy.dtype)
        for i, j in np.ndindex(*weight.shape[2:]):
            reached = _reached(dpadded, i, j, dy.shape[2:], stride, dilation)
            reached += dwindows[..., i, j].reshape(reached.shape)
        (top, _), (left, _) = padding
        dx = np.ascontiguousarray(dpadded[:, :, top:top + x.shape[2], left:left + x.shape[3]])
    return dx, dweight, dbias


def _padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), *padding))


def _windows(x, size, stride, dilation):
    """x (n, c, h, w) → a view (n, c, h', w', kh, kw)."""
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation)]
    all_of_them = sliding_window_view(x, span, (2, 3))
    return all_of_them[:, :, ::stride[0], ::stride[1], ::dilation[0], ::dilation[1]]


def _reached(x, i, j, size, stride, dilation):
    """A view of what the kernel's element (i, j) touches in the padded picture, one for each output."""
    rows, columns = (slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in zip((i, j), dilation, size, stride))
    return x[:, :, rows, columns]


def _grouped(x, groups, axis):
    """One axis, cut into (groups, rest)."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1:])

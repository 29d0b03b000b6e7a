"""Pooling: a picture made smaller, by the largest number or the mean of each window."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError, got
from minitorch.ops.conv import per_axis
from minitorch.ops.shape import reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


class MaxPool2d(Function):
    """The largest number of each window.

    Forward    y = max of the window        at = where it stood: row · W + column
    Backward   dx[at] = Σ dy        Σ: over the windows whose largest number it is; 0 elsewhere
    Saved      at, one whole number for each output; x's shape
    Shapes     x (n, c, H, W)    y, at (n, c, H', W')
    Derived in docs/layers/pool.md
    """

    def forward(self, x, *, kernel, stride, padding, dilation, size, indices=False):
        y, self.at = self.k.max_pool2d_forward(x, kernel, stride, padding, dilation, size)
        self.shape = x.shape
        return (y, self.at) if indices else y

    def backward(self, dy, _=None):
        return self.k.max_pool2d_backward(dy, self.at, self.shape)


class AvgPool2d(Function):
    """The mean of each window.

    Forward    y = Σ x / n                  Σ: over the window    n: what it counts as, at most its size with padding
    Backward   dx = Σ dy / n                Σ: over the windows that an element is in
    Saved      the windows' bounds; x's shape
    Shapes     x (n, c, H, W)    rows (3, H'), columns (3, W'): begin, end, count    y (n, c, H', W')
    Derived in docs/layers/pool.md
    """

    def forward(self, x, *, rows, columns):
        self.shape, self.rows, self.columns = x.shape, rows, columns
        return self.k.avg_pool2d_forward(x, rows, columns)

    def backward(self, dy):
        return self.k.avg_pool2d_backward(dy, self.rows, self.columns, self.shape)


def max_pool2d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False,
               return_indices: bool = False):
    """The largest number of each window of pictures (n, c, h, w), or of one (c, h, w); by default windows do not overlap.

    With ``return_indices`` also where it stood in its plane: row · width + column.

    >>> minitorch.nn.functional.max_pool2d(minitorch.tensor([[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 0.0, 0.0]]]), 2)
    tensor([[[4., 5.]]])
    """
    op = "max_pool2d"
    batch, kernel, stride, padding = _settings(op, input, kernel_size, stride, padding)
    dilation = per_axis(op, "dilation", dilation, 2, 1)
    size = _size(op, input, kernel, stride, padding, dilation, ceil_mode)
    result = MaxPool2d.apply(batch, kernel=kernel, stride=stride, padding=padding, dilation=dilation, size=size,
                             indices=bool(return_indices))
    if batch is input:
        return result
    return tuple(reshape(y, *y.shape[1:]) for y in result) if return_indices else reshape(result, *result.shape[1:])


def avg_pool2d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of pictures (n, c, h, w), or of one (c, h, w); by default windows do not overlap.

    Padding counts as zeros, unless ``count_include_pad=False``. ``divisor_override`` replaces the number divided by.

    >>> minitorch.nn.functional.avg_pool2d(minitorch.tensor([[[1.0, 2.0, 5.0, 0.0], [3.0, 4.0, 0.0, 0.0]]]), 2)
    tensor([[[2.5000, 1.2500]]])
    """
    op = "avg_pool2d"
    batch, kernel, stride, padding = _settings(op, input, kernel_size, stride, padding)
    if divisor_override is not None and (not isinstance(divisor_override, Integral) or not divisor_override):
        raise ValueError(f"{op}: divisor_override must be a whole number other than 0, got {divisor_override!r}")
    sizes = _size(op, input, kernel, stride, padding, (1, 1), ceil_mode)
    windows = []
    for axis, (n, k, s, p, size) in enumerate(zip(input.shape[-2:], kernel, stride, padding, sizes)):
        begin = np.arange(size) * s - p
        end = np.minimum(begin + k, n + p)
        count = end - begin
        begin, end = np.maximum(begin, 0), np.minimum(end, n)
        if divisor_override is not None:
            count = np.full(size, 1 if axis else int(divisor_override))
        elif not count_include_pad:
            count = end - begin
        windows.append(np.stack([begin, end, count]))
    return _mean(input, batch, windows)


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """Pictures of any size brought to ``output_size``, (height, width), by the means of windows as equal as can be.

    None stands for the input's own height or width; one number for both.

    >>> minitorch.nn.functional.adaptive_avg_pool2d(minitorch.tensor([[[1.0, 2.0, 6.0]]]), 1)
    tensor([[[3.]]])
    """
    op = "adaptive_avg_pool2d"
    batch = _batch(op, input)
    pair = (output_size,) * 2 if output_size is None or isinstance(output_size, Integral) else output_size
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{op}: output_size must be a whole number or two of them, None for the input's own, got "
                        f"{output_size!r}")
    sizes = per_axis(op, "output_size", [n if m is None else m for n, m in zip(input.shape[-2:], pair)], 2, 0)
    windows = []
    for n, m in zip(input.shape[-2:], sizes):
        i = np.arange(m)
        begin, end = i * n // max(m, 1), -(-(i + 1) * n // max(m, 1))
        windows.append(np.stack([begin, end, end - begin]))
    return _mean(input, batch, windows)


def _mean(input, batch, windows):
    y = AvgPool2d.apply(batch, rows=windows[0], columns=windows[1])
    return y if batch is input else reshape(y, *y.shape[1:])


def _batch(op, x):
    """Check the input; a picture becomes a batch of one."""
    if not isinstance(x, Variable):
        raise TypeError(f"{op}: input must be a Tensor, {got(x)}")
    if x.ndim not in (3, 4):
        raise ShapeError(f"{op}: expected input of shape (n, channels, height, width) or (channels, height, width), got "
                         f"{x.shape}")
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: expected a float tensor, got {x.dtype}. Use x.float().")
    if 0 in x.shape[-2:]:
        raise ShapeError(f"{op}: the pictures are empty: input is {x.shape}")
    return x if x.ndim == 4 else reshape(x, 1, *x.shape)


def _settings(op, x, kernel, stride, padding):
    batch = _batch(op, x)
    kernel = per_axis(op, "kernel_size", kernel, 2, 1)
    empty = stride is None or isinstance(stride, (tuple, list)) and not stride
    stride = kernel if empty else per_axis(op, "stride", stride, 2, 1)
    return batch, kernel, stride, per_axis(op, "padding", padding, 2, 0)


def _size(op, x, kernel, stride, padding, dilation, ceil_mode):
    """The output's height and width."""
    size = []
    for n, k, s, p, d in zip(x.shape[-2:], kernel, stride, padding, dilation):
        span = (k - 1) * d + 1
        if p > span // 2:
            raise ShapeError(f"{op}: padding may be at most half of the window, got padding {p} for a window of {span}. "
                             "Pad more with F.pad.")
        m = (n + 2 * p - span + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (m - 1) * s >= n + p:      # the last window would begin behind the picture
            m -= 1
        if m < 1:
            raise ShapeError(f"{op}: the window is larger than its input: {n} positions, with padding {n + 2 * p}, window "
                             f"{span}. Input: {x.shape}. Was the picture made too small before?")
        size.append(m)
    return tuple(size)

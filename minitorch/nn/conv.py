"""Convolution layers: a few kernels, moved over a picture or a sequence."""

from __future__ import annotations

import math

from minitorch.creation import empty
from minitorch.nn import functional as F
from minitorch.nn import init
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.ops.conv import per_axis
from minitorch.tensor import Tensor

__all__ = ["Conv1d", "Conv2d"]


class _Conv(Module):
    """What the layers share: parameters, their start, and how they print."""

    axes = 0

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...],
                 stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] | str = 0,
                 dilation: int | tuple[int, ...] = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device=None, dtype=None):
        super().__init__()
        name = type(self).__name__
        if groups < 1:
            raise ValueError(f"{name}: groups must be at least 1, got {groups}")
        for what, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if count < 0 or count % groups:
                raise ValueError(f"{name}: {what} must be divisible by groups, got {count} channels and {groups} groups")
        if padding_mode != "zeros":
            if padding_mode not in ("reflect", "replicate", "circular"):
                raise ValueError(f"{name}: padding_mode must be 'zeros', got {padding_mode!r}")
            raise NotImplementedError(f"{name}: padding_mode={padding_mode!r} is not supported. Pad before the layer, "
                                      f"F.pad(x, …, mode={padding_mode!r}), and leave padding out.")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.axes, 1)
        self.stride = per_axis(name, "stride", stride, self.axes, 1)
        self.dilation = per_axis(name, "dilation", dilation, self.axes, 1)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: padding must be a number, a tuple, 'same' or 'valid', got {padding!r}")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(f"{name}: padding='same' is not supported for strided convolutions, got stride "
                                 f"{stride}. Say how many zeros: padding=1.")
        self.padding = padding if isinstance(padding, str) else per_axis(name, "padding", padding, self.axes, 0)
        self.weight = Parameter(empty(out_channels, in_channels // groups, *self.kernel_size, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        fan_in = math.prod(self.weight.shape[1:])
        if not fan_in:
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.axes:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.axes:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(_Conv):
    """Kernels of a few pixels, moved over a picture: every output is a weighted sum of the window under a kernel.

    Shapes: x (n, in_channels, h, w) or without n, weight (out_channels, in_channels / groups, kh, kw), bias (out_channels,),
    y (n, out_channels, h', w'). Both start uniform in ±1/√(in_channels / groups · kh · kw).

    >>> layer = minitorch.nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
    >>> layer(minitorch.zeros(5, 3, 32, 32)).shape
    (5, 8, 16, 16)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Kernels of a few positions, moved along a sequence.

    Shapes: x (n, in_channels, length) or without n, weight (out_channels, in_channels / groups, k), bias (out_channels,),
    y (n, out_channels, length').

    >>> minitorch.nn.Conv1d(16, 33, 3)(minitorch.zeros(20, 16, 50)).shape
    (20, 33, 48)
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.conv1d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

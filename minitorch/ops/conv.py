"""Convolution: one small kernel, moved over a picture or a sequence."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError, casts, got
from minitorch.ops.shape import reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["conv1d", "conv2d"]


class Conv2d(Function):
    """Every output is a weighted sum of the window under the kernel, which is moved over the picture.

    Forward    y[n, o, h, w] = b[o] + Σ weight[o, c, i, j] · x[n, c, h·s + i·d − p, w·s + j·d − p]
               Σ: over c, i, j    s: stride    d: dilation    p: padding; outside of the picture x is 0
    Backward   dx[n, c, r, q] = Σ weight[o, c, i, j] · dy[n, o, h, w]    Σ: where h·s + i·d − p = r and w·s + j·d − p = q
               dweight[o, c, i, j] = Σ dy[n, o, h, w] · x[n, c, h·s + i·d − p, w·s + j·d − p]    Σ: over n, h, w
               db = Σ dy                                                                         Σ: over n, h, w
    Saved      x, weight. The windows, kh · kw times as large as x, are gathered again.
    Shapes     x (n, c, H, W)    weight (o, c / groups, kh, kw)    b (o,) or None    y (n, o, H', W')
               H' = ⌊(H + padding − d · (kh − 1) − 1) / s⌋ + 1
    Derived in docs/layers/conv.md
    """

    def forward(self, x, weight, bias, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
        self.x, self.weight = x, weight
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        return self.k.conv2d_forward(x, weight, bias, stride, padding, dilation, groups)

    def backward(self, dy):
        return self.k.conv2d_backward(dy, self.x, self.weight, self.stride, self.padding, self.dilation, self.groups,
                                      self.needs)


def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1,
           groups: int = 1) -> Tensor:
    """Move the kernels, ``weight``, over pictures (n, c, h, w), or over one picture (c, h, w).

    ``padding`` is a number of zeros around the picture, or ``"same"`` (the output is as large as the input) or ``"valid"``
    (none).

    >>> picture = minitorch.tensor([[[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]])
    >>> edges = minitorch.tensor([[[[-1.0, 1.0]]]])
    >>> minitorch.nn.functional.conv2d(picture, edges)
    tensor([[[1., 2.],
             [1., 2.]]])
    """
    return _convolve("conv2d", input, weight, bias, stride, padding, dilation, groups)


def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1,
           groups: int = 1) -> Tensor:
    """Move the kernels, ``weight``, along sequences (n, c, length), or along one (c, length).

    >>> minitorch.nn.functional.conv1d(minitorch.tensor([[1.0, 2.0, 4.0]]), minitorch.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2.]])
    """
    return _convolve("conv1d", input, weight, bias, stride, padding, dilation, groups)


def _convolve(op, x, weight, bias, stride, padding, dilation, groups):
    axes = int(op[4])
    _check_tensors(op, axes, x, weight, bias)
    kernel = weight.shape[2:]
    if not all(kernel):
        raise ShapeError(f"{op}: the kernel is empty: weight is {weight.shape}")
    stride, dilation = per_axis(op, "stride", stride, axes, 1), per_axis(op, "dilation", dilation, axes, 1)
    if not isinstance(groups, Integral) or groups < 1:
        raise ValueError(f"{op}: groups must be a whole number, at least 1, got {groups!r}")
    _check_channels(op, axes, x, weight, bias, groups)
    before_after = _padding(op, padding, kernel, stride, dilation)
    for name, n, k, d, pair in zip(("length",) if axes == 1 else ("height", "width"), x.shape[-axes:], kernel, dilation,
                                   before_after):
        span = (k - 1) * d + 1
        if n + sum(pair) < span:
            raise ShapeError(f"{op}: the kernel is larger than its input: {name} {n}, with padding {n + sum(pair)}, kernel "
                             f"{span}. Input {x.shape}, weight {weight.shape}. Pad more, or use a smaller kernel or fewer "
                             "strides before.")
    batch = x if x.ndim == axes + 2 else reshape(x, 1, *x.shape)
    if axes == 1:
        batch, weight = reshape(batch, *batch.shape[:2], 1, -1), reshape(weight, *weight.shape[:2], 1, -1)
        stride, dilation, before_after = (1, *stride), (1, *dilation), ((0, 0), *before_after)
    y = Conv2d.apply(batch, weight, bias, stride=stride, padding=before_after, dilation=dilation, groups=int(groups))
    if axes == 2 and x.ndim == 4:
        return y
    return reshape(y, *y.shape[x.ndim == axes + 1:2], *y.shape[-axes:])


def _check_tensors(op, axes, x, weight, bias):
    for name, t in (("input", x), ("weight", weight), ("bias", bias)):
        if not (isinstance(t, Variable) or name == "bias" and t is None):
            raise TypeError(f"{op}: {name} must be a Tensor, {got(t)}")
    expected = "(n, channels, height, width) or (channels, height, width)" if axes == 2 else \
        "(n, channels, length) or (channels, length)"
    if x.ndim not in (axes + 1, axes + 2):
        missing = x.ndim == axes and " Is the axis of the channels missing? x.unsqueeze(-3)." if axes == 2 else ""
        raise ShapeError(f"{op}: expected input of shape {expected}, got {x.shape}.{missing or ''}")
    if weight.ndim != axes + 2:
        raise ShapeError(f"{op}: weight must be (outputs, channels / groups, {'height, width' if axes == 2 else 'length'})"
                         f", got {weight.shape}")
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: expected a float tensor, got {x.dtype}. Use x.float(); pictures of bytes: x.float() / 255.")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.dtype != x.dtype:
            raise DTypeError(f"{op}: input is {x.dtype}, {name} is {t.dtype}. {casts(x.dtype)}")


def _check_channels(op, axes, x, weight, bias, groups):
    channels, expected = x.shape[-axes - 1], weight.shape[1] * groups
    if channels != expected:
        last = f" Are the channels last? x.permute({'0, 3, 1, 2' if x.ndim == 4 else '2, 0, 1'})." \
            if axes == 2 and x.shape[-1] == expected else ""
        raise ShapeError(f"{op}: input {x.shape} has {channels} channels, weight {weight.shape} expects {expected}"
                         f"{f' ({groups} groups of {weight.shape[1]})' if groups > 1 else ''}.{last}")
    if weight.shape[0] % groups:
        raise ShapeError(f"{op}: {weight.shape[0]} outputs cannot be dealt out to {groups} groups evenly. Weight: "
                         f"{weight.shape}.")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"{op}: bias has shape {bias.shape}, expected ({weight.shape[0]},): weight is {weight.shape}")


def _padding(op, padding, kernel, stride, dilation):
    """(before, after) for each axis."""
    if padding == "valid":
        return tuple((0, 0) for _ in kernel)
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"{op}: padding='same' is for stride 1, got stride {stride}. Say how many zeros: padding=1.")
        total = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return tuple((n // 2, n - n // 2) for n in total)
    if isinstance(padding, str):
        raise ValueError(f"{op}: padding must be a number, a tuple, 'same' or 'valid', got {padding!r}")
    return tuple((n, n) for n in per_axis(op, "padding", padding, len(kernel), 0))


def per_axis(op: str, name: str, value, axes: int, least: int) -> tuple[int, ...]:
    """One whole number for each axis, from one for all of them or a tuple; none smaller than ``least``."""
    values = (value,) * axes if isinstance(value, Integral) else \
        tuple(value) * (axes if len(value) == 1 else 1) if isinstance(value, (tuple, list)) else None
    if values is None or len(values) != axes or not all(isinstance(v, Integral) for v in values):
        one = "a whole number" if axes == 1 else f"a whole number or {axes} of them"
        raise TypeError(f"{op}: {name} must be {one}, got {value!r}")
    if min(values) < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {value!r}")
    return tuple(int(v) for v in values)

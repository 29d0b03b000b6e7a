"""BatchNorm: every channel brought to one scale, over the batch."""

from __future__ import annotations

import numpy as np

from minitorch.autograd import note_write
from minitorch.creation import empty, tensor
from minitorch.errors import ShapeError
from minitorch.nn import functional as F
from minitorch.nn import init
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d"]


class _BatchNorm(Module):
    """What both share; they differ in the shapes that they take."""

    ranks: tuple[int, ...] = ()
    shapes = ""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, device=None, dtype=None, *, bias: bool = True):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, Parameter(empty(num_features, device=device, dtype=dtype)) if wanted else None)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, empty(num_features, device=device, dtype=dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(np.int64(0)) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen in training: mean 0, variance 1."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """γ = 1, β = 0, and nothing seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.ranks:
            raise ShapeError(f"{type(self).__name__}: expected {' or '.join(f'{n}D' for n in self.ranks)} input "
                             f"{self.shapes}, got {input.ndim}D input of shape {input.shape}")
        if input.shape[1] != self.num_features:
            last = " Are the channels last? x.permute(0, 3, 1, 2)." if input.shape[-1] == self.num_features else ""
            raise ShapeError(f"{type(self).__name__}: input {input.shape} has {input.shape[1]} channels (axis 1), the layer "
                             f"was built for {self.num_features}.{last}")
        if not self.training and self.running_mean is not None:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if not self.track_running_stats:
            return F.batch_norm(input, None, None, self.weight, self.bias, True, eps=self.eps)
        momentum = 1 / (self.num_batches_tracked.item() + 1) if self.momentum is None else self.momentum
        y = F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)
        self.num_batches_tracked.data[...] = self.num_batches_tracked.data + 1
        note_write(self.num_batches_tracked.data)
        return y

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"bias={self.affine and self.bias is not None}, track_running_stats={self.track_running_stats}")


class BatchNorm2d(_BatchNorm):
    """Mean 0 and variance 1 for every channel of pictures, over the batch and all pixels; then scaled by γ and shifted by β.

    In training the batch's own mean and variance serve, and a running mean and variance are kept: each batch moves them by
    ``momentum`` (None: they become the plain average of all batches). After ``eval()`` these serve. γ, called ``weight``,
    starts at 1; β, called ``bias``, at 0.

    Shapes: x, y (n, num_features, h, w), weight, bias, running_mean and running_var (num_features,).

    >>> layer = minitorch.nn.BatchNorm2d(1)
    >>> layer(minitorch.tensor([[[[1.0, 3.0]]]])).detach()
    tensor([[[[-1.0000,  1.0000]]]])
    >>> layer.running_mean
    tensor([0.2000])
    """

    ranks, shapes = (4,), "(n, channels, height, width)"


class BatchNorm1d(_BatchNorm):
    """Mean 0 and variance 1 for every feature, over the batch and, in sequences, all positions; otherwise as BatchNorm2d.

    Shapes: x, y (n, num_features) or (n, num_features, length).

    >>> minitorch.nn.BatchNorm1d(2)(minitorch.tensor([[1.0, 10.0], [3.0, 10.0]])).detach()
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])
    """

    ranks, shapes = (2, 3), "(n, features) or (n, features, length)"

"""BatchNorm: every channel brought to one size, over the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch import kernels
from minitorch.autograd import Function, Variable, note_write
from minitorch.errors import DTypeError, ShapeError, casts, got

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["batch_norm"]


class BatchNorm(Function):
    """Normalise every channel over the batch and all positions, then scale and shift.

    Forward    x̂ = (x − mean) · rstd          rstd = (var + eps)^(−1/2)
               y = x̂ · γ + β                  mean, var: the batch's own in training; given afterwards
    Backward   d  = dy · γ
               dx = rstd · (d − ⟨d⟩ − x̂ · ⟨d · x̂⟩)       ⟨·⟩: mean over the channel;   with mean and var given, rstd · d
               dγ = Σ dy · x̂      dβ = Σ dy                Σ: over the channel
    Saved      x, γ, mean, var. x̂ is recomputed: it is as large as x; mean and var are one number a channel.
    Shapes     x, y (n, c, …)    γ, β, mean, var (c,)
    Derived in docs/layers/batchnorm.md
    """

    def forward(self, x, gamma, beta, *, eps=1e-5, mean=None, var=None):
        y, self.mean, self.var = self.k.batchnorm_forward(x, gamma, beta, mean, var, eps)
        self.x, self.gamma, self.eps, self.training = x, gamma, eps, mean is None
        return y

    def backward(self, dy):
        return self.k.batchnorm_backward(dy, self.x, self.gamma, self.mean, self.var, self.eps, self.training, self.needs)


def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Bring every channel (axis 1) to mean 0 and variance 1 over all other axes; then scale by weight and shift by bias.

    In training the batch's own mean and variance serve, and the running ones, where given, move a step of size ``momentum``
    towards them; in place. Otherwise the running ones serve.

    >>> x = minitorch.tensor([[1.0, 10.0], [3.0, 10.0]])
    >>> minitorch.nn.functional.batch_norm(x, None, None, training=True)
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])
    """
    _check(input, running_mean, running_var, weight, bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var are needed outside of training. Give both, or "
                             "training=True.")
        mean, var = running_mean.data.astype(input.dtype), running_var.data.astype(input.dtype)     # copies: they may move
        return BatchNorm.apply(input, weight, bias, eps=float(eps), mean=mean, var=var)
    n = input.numel() // max(1, input.shape[1])
    if n < 2 and input.shape[1]:
        raise ValueError(f"batch_norm: expected more than 1 value per channel when training, got input size {input.shape}: "
                         "the mean of one number is the number itself. Use a larger batch, or model.eval().")
    y = BatchNorm.apply(input, weight, bias, eps=float(eps))
    if running_mean is not None or running_var is not None:
        if y.fn is not None:
            mean, var = y.fn.mean, y.fn.var
        else:                               # nothing was remembered
            _, mean, var = kernels.backend(input.data).batchnorm_forward(input.data, None, None, None, None, float(eps))
        for running, now in ((running_mean, mean), (running_var, var * (n / max(n - 1, 1)))):    # the unbiased one is kept
            if running is not None:
                running.data[...] = (1 - momentum) * running.data + momentum * now
                note_write(running.data)
    return y


def _check(x, running_mean, running_var, weight, bias):
    if not isinstance(x, Variable):
        raise TypeError(f"batch_norm: input must be a Tensor, {got(x)}")
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: expected input of shape (n, channels, …), got {x.shape}")
    if x.dtype.kind != "f":
        raise DTypeError(f"batch_norm: expected a float tensor, got {x.dtype}. Use x.float().")
    c = x.shape[1]
    for name, t in (("weight", weight), ("bias", bias), ("running_mean", running_mean), ("running_var", running_var)):
        if t is None:
            continue
        if not isinstance(t, Variable):
            raise TypeError(f"batch_norm: {name} must be a Tensor, {got(t)}")
        if t.shape != (c,):
            last = " Are the channels last? x.permute(0, 3, 1, 2)." if x.ndim == 4 and t.shape == x.shape[-1:] else ""
            raise ShapeError(f"batch_norm: input {x.shape} has {c} channels (axis 1), {name} has shape {t.shape}.{last}")
        if name in ("weight", "bias") and t.dtype != x.dtype:
            raise DTypeError(f"batch_norm: input is {x.dtype}, {name} is {t.dtype}. {casts(x.dtype)}")

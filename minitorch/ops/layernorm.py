"""LayerNorm and RMSNorm: every token's features brought to the same size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function
from minitorch.errors import DTypeError, ShapeError, casts
from minitorch.ops.shape import reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["layer_norm", "rms_norm"]


class LayerNorm(Function):
    """Normalise the last axis, then scale and shift.

    Forward    x̂ = (x − mean) · rstd          rstd = (var + eps)^(−1/2)
               y = x̂ · γ + β
    Backward   d  = dy · γ
               dx = rstd · (d − ⟨d⟩ − x̂ · ⟨d · x̂⟩)       ⟨·⟩: mean over the last axis
               dγ = Σ dy · x̂      dβ = Σ dy                Σ: over every row
    Saved      x, γ, mean, rstd. x̂ is recomputed: it is as large as x; mean and rstd are one number a row.
    Shapes     x, y (…, c)    γ, β (c,)    mean, rstd (rows,)
    Derived in docs/layers/layernorm.md
    """

    def forward(self, x, gamma, beta, *, eps=1e-5):
        y, self.mean, self.rstd = self.k.layernorm_forward(x, gamma, beta, eps)
        self.x, self.gamma = x, gamma
        return y

    def backward(self, dy):
        return self.k.layernorm_backward(dy, self.x, self.gamma, self.mean, self.rstd, self.needs)


class RMSNorm(Function):
    """Divide the last axis by its root mean square, then scale.

    Forward    x̂ = x · rrms          rrms = (⟨x²⟩ + eps)^(−1/2)
               y = x̂ · γ
    Backward   d  = dy · γ
               dx = rrms · (d − x̂ · ⟨d · x̂⟩)       ⟨·⟩: mean over the last axis
               dγ = Σ dy · x̂                        Σ: over every row
    Saved      x, γ, rrms
    Shapes     x, y (…, c)    γ (c,)    rrms (rows,)
    Derived in docs/layers/rmsnorm.md
    """

    def forward(self, x, gamma, *, eps):
        y, self.rrms = self.k.rmsnorm_forward(x, gamma, eps)
        self.x, self.gamma = x, gamma
        return y

    def backward(self, dy):
        return self.k.rmsnorm_backward(dy, self.x, self.gamma, self.rrms, self.needs)


def layer_norm(input: Tensor, normalized_shape, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:
    """Bring the last axes, ``normalized_shape``, to mean 0 and variance 1; then scale by weight and shift by bias.

    >>> x = minitorch.tensor([100.0, 200.0, 50.0])
    >>> minitorch.nn.functional.layer_norm(x, (3,))
    tensor([-0.2673,  1.3363, -1.0690])
    """
    x, weight, bias = _flat("layer_norm", "LayerNorm", input, normalized_shape, weight, bias)
    y = LayerNorm.apply(x, weight, bias, eps=float(eps))
    return y if x is input else reshape(y, input.shape)


def rms_norm(input: Tensor, normalized_shape, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """Divide the last axes, ``normalized_shape``, by their root mean square; then scale by weight.

    >>> minitorch.nn.functional.rms_norm(minitorch.tensor([3.0, 4.0]), (2,))
    tensor([0.8485, 1.1314])
    """
    x, weight, _ = _flat("rms_norm", "RMSNorm", input, normalized_shape, weight, None)
    eps = float(np.finfo(input.dtype).eps if eps is None else eps)
    y = RMSNorm.apply(x, weight, eps=eps)
    return y if x is input else reshape(y, input.shape)


def _flat(op, layer, x, normalized_shape, weight, bias):
    """Check the arguments; make of the normalised axes one."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    dtype = x.dtype
    if dtype.kind != "f":
        raise DTypeError(f"{op}: expected a float tensor, got {dtype}. Use x.float().")
    if not shape:
        raise ShapeError(f"{op}: normalized_shape must name at least one axis, got ()")
    if x.shape[-len(shape):] != shape:
        if len(shape) == 1:
            last = x.shape[-1] if x.ndim else "missing"
            raise ShapeError(f"{op}: the last dimension is {last}, {layer} was built for {shape[0]}. Input: {x.shape}.")
        raise ShapeError(f"{op}: the last dimensions of {x.shape} are not {shape}, for which {layer} was built")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.shape != shape:
            raise ShapeError(f"{op}: {name} has shape {t.shape}, expected normalized_shape {shape}")
        if t is not None and t.dtype != dtype:
            raise DTypeError(f"{op}: input is {dtype}, {name} is {t.dtype}. {casts(dtype)}")
    if len(shape) == 1:
        return x, weight, bias
    size = math.prod(shape)
    return (reshape(x, *x.shape[:x.ndim - len(shape)], size),
            None if weight is None else reshape(weight, size), None if bias is None else reshape(bias, size))

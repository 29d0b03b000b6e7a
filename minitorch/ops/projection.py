"""The softmax projection: features to vocabulary, softmax, cross-entropy, without ever holding all the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.cross_entropy import _check_loss, check_labels, share_of_each
from minitorch.ops.shape import reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["softmax_projection"]


class SoftmaxProjection(Function):
    """Linear → softmax → cross-entropy in chunks: memory for one chunk's logits only.

    Forward    z = x wᵀ + b        lossᵢ = −ln softmax(z)[i, labelᵢ]       one chunk after another
               loss = the mean, or sum, over labels that count
    Backward   dz = dlossᵢ · (softmax(z) − target)                          z computed again, chunk by chunk
               dx = dz w        dw = dzᵀ x        db = Σ dz                 Σ: over every row
    Saved      x, w, b, labels, top = the largest of z, others = Σ e^(z − top) of all others: two numbers a row
    Shapes     x (N, d)    w (V, d)    b (V,)    labels (N,)
    Derived in docs/layers/projection.md
    """

    def forward(self, x, weight, bias, labels, *, ignore_index, smoothing, reduction):
        losses, self.top, self.others = self.k.projection_forward(x, weight, bias, labels, ignore_index, smoothing)
        self.x, self.weight, self.bias, self.labels = x, weight, bias, labels
        self.ignore_index, self.smoothing = ignore_index, smoothing
        self.share = share_of_each(reduction, labels, None, ignore_index, x.dtype)
        return losses if reduction == "none" else losses.sum() * self.share

    def backward(self, dy):
        dlosses = np.broadcast_to(dy * self.share, self.labels.shape)
        return *self.k.projection_backward(dlosses, self.x, self.weight, self.bias, self.labels, self.top, self.others,
                                           self.ignore_index, self.smoothing, self.needs[:3]), None


def softmax_projection(x: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, ignore_index: int = -100,
                       label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """cross_entropy(linear(x, weight, bias), labels), in chunks, so that the logits never exist all at once.

    >>> x, w = minitorch.tensor([[1.0, 0.0]]), minitorch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    >>> minitorch.nn.functional.softmax_projection(x, w, None, minitorch.tensor([0]))
    tensor(0.4076)
    """
    op = "softmax_projection"
    _check_loss(op, x, reduction)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"{op}: label_smoothing must be between 0 and 1, got {label_smoothing}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.dtype != x.dtype:
            raise DTypeError(f"{op}: x is {x.dtype}, {name} is {t.dtype}. Cast one.")
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"{op}: x {x.shape} and weight {weight.shape}: expected (…, d) and (vocabulary, d)")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"{op}: bias has shape {bias.shape}, expected {weight.shape[:1]}")
    if labels.shape != x.shape[:-1]:
        raise ShapeError(f"{op}: x {x.shape} needs labels of shape {x.shape[:-1]}, got {labels.shape}")
    rows = reshape(x, labels.numel(), x.shape[-1])
    checked, _ = check_labels(op, _Logits(labels.numel(), weight.shape[0]), reshape(labels, -1), ignore_index)
    loss = SoftmaxProjection.apply(rows, weight, bias, checked, ignore_index=ignore_index,
                                   smoothing=float(label_smoothing), reduction=reduction)
    return reshape(loss, labels.shape) if reduction == "none" else loss


class _Logits:
    """The shape that the logits would have."""

    def __init__(self, rows, classes):
        self.shape, self.ndim = (rows, classes), 2

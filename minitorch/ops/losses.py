"""Losses for numbers and probabilities. Those that many programs use are nodes of their own, others made of smaller ops."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import ShapeError, got
from minitorch.ops.activation import softplus
from minitorch.ops.arithmetic import add, div, mul, rsub, sub, where
from minitorch.ops.cross_entropy import _check_loss
from minitorch.ops.dtype import promote
from minitorch.ops.elementwise import abs as abs_
from minitorch.ops.elementwise import clamp_min, exp, log, neg, square
from minitorch.ops.reduce import mean, norm
from minitorch.ops.reduce import sum as sum_
from minitorch.ops.shape import broadcast_tensors

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "huber_loss", "kl_div", "l1_loss",
    "logsigmoid", "mse_loss", "normalize", "pairwise_distance", "smooth_l1_loss",
]


class SquaredError(Function):
    """How far numbers are from their targets: the differences squared, their mean or sum.

    Forward    d = x − t        y = Σ d² · share        share: 1 / n for the mean of n, 1 for the sum
    Backward   dx = dy · 2 d · share                    dt = −dx
    Saved      d
    Shapes     x, t (…)    y ()
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, target, *, reduction):
        self.d = self.k.sub_forward(x, target)
        n = x.size if reduction == "mean" else 1
        self.share = x.dtype.type(1 / max(n, 1))
        # divided, not times the share: the mean of ones is one
        return self.k.div_forward(self.k.sum_of_squares(self.d, tuple(range(x.ndim)), False), x.dtype.type(n))

    def backward(self, dy):
        dx = self.k.mul_forward(self.d, dy * (2 * self.share))
        return dx, self.k.neg_forward(dx) if self.needs[1] else None


def mse_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
             weight: Tensor | None = None) -> Tensor:
    """The mean of (input − target)², each element counted by its weight.

    >>> minitorch.nn.functional.mse_loss(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    input, target = _pair("mse_loss", input, target, reduction, size_average, reduce)
    if weight is None and reduction != "none" and input.dtype == target.dtype:
        return SquaredError.apply(input, target, reduction=reduction)
    return _weighted("mse_loss", square(sub(input, target)), weight, reduction)


def l1_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
            weight: Tensor | None = None) -> Tensor:
    """The mean of |input − target|, each element counted by its weight.

    >>> minitorch.nn.functional.l1_loss(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 4.0]))
    tensor(1.)
    """
    input, target = _pair("l1_loss", input, target, reduction, size_average, reduce)
    return _weighted("l1_loss", abs_(sub(input, target)), weight, reduction)


class SquareThenStraight(Function):
    """Square near 0, straight further out: what a number far off its target pulls with is bounded.

    Forward    d = x − t, near = d, but from −edge to edge        y = near · (d − ½ near), or their mean or sum
    Backward   dx = dy · near · share                             dt = −dx
    Saved      x, t
    Shapes     x, t (…)    y (…), the mean or sum ()
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, target, *, edge, reduction):
        self.x, self.target, self.edge = x, target, float(edge)
        self.share = x.dtype.type(1 / max(x.size, 1) if reduction == "mean" else 1)
        y = self.k.huber_forward(x, target, self.edge)
        if reduction == "none":
            return y
        reduce = self.k.mean_forward if reduction == "mean" else self.k.sum_forward
        return reduce(y, tuple(range(x.ndim)), False)

    def backward(self, dy):
        dy = dy if self.share == 1 else dy * self.share
        return self.k.huber_backward(dy, self.x, self.target, self.edge, self.needs)


def smooth_l1_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
                   beta: float = 1.0) -> Tensor:
    """Square near 0, straight further out: ½ d²/β where |d| < β, else |d| − ½ β."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    input, target = _pair("smooth_l1_loss", input, target, reduction, size_average, reduce)
    loss = _square_then_straight("smooth_l1_loss", input, target, beta, reduction)
    return loss if beta == 1 else div(loss, beta)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """Square near 0, straight further out: ½ d² where |d| ≤ δ, else δ (|d| − ½ δ)."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}")
    input, target = _pair("huber_loss", input, target, reduction)
    if weight is None:
        return _square_then_straight("huber_loss", input, target, delta, reduction)
    losses = _square_then_straight("huber_loss", input, target, delta, "none")
    return _reduce(_times("huber_loss", losses, weight), reduction)


def kl_div(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """How far the distribution ``target`` is from the log-probabilities ``input``: target · (ln target − input).

    Use ``reduction="batchmean"`` for the mathematical definition; "mean" also divides by the number of classes.
    """
    if reduction == "batchmean":
        return div(kl_div(input, target, size_average, reduce, "sum", log_target), max(input.shape[0], 1))
    input, target = _pair("kl_div", input, target, reduction, size_average, reduce, warn=False)
    if reduction == "mean":
        warnings.warn("kl_div: reduction='mean' divides by every element; 'batchmean' is the mathematical definition",
                      UserWarning, stacklevel=2)
    if log_target:
        return _reduce(mul(exp(target), sub(target, input)), reduction)
    positive = target > 0
    entropy = where(positive, mul(target, log(where(positive, target, 1.0))), mul(target, 0.0))
    return _reduce(sub(entropy, mul(target, input)), reduction)


class BinaryCrossEntropy(Function):
    """How surprised a probability was by a yes or no.

    Forward    y = −(t · max(ln x, −100) + (1 − t) · max(ln(1 − x), −100))
    Backward   dx = dy · (x − t) / max(x · (1 − x), 10⁻¹²)        dt = dy · (ln(1 − x) − ln x)
    Saved      x, t
    Shapes     x, t, y (…)
    Derived in docs/layers/cross_entropy.md
    """

    def forward(self, x, t):
        self.x, self.t = x, t
        return self.k.binary_cross_entropy_forward(x, t)

    def backward(self, dy):
        return self.k.binary_cross_entropy_backward(dy, self.x, self.t, self.needs)


def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None, reduce=None,
                         reduction: str = "mean") -> Tensor:
    """−(t ln x + (1 − t) ln(1 − x)) for probabilities x; logits go into binary_cross_entropy_with_logits."""
    op = "binary_cross_entropy"
    _check_loss(op, input, reduction, size_average, reduce)
    input, target = _same_dtype(op, input, target)
    if input.shape != target.shape:
        raise ShapeError(f"{op}: input has shape {input.shape}, target {target.shape}; they must be equal")
    if input.data.size and not ((input.data >= 0) & (input.data <= 1)).all():
        bad = input.data[~((input.data >= 0) & (input.data <= 1))].flat[0]
        raise RuntimeError(f"{op}: input must be between 0 and 1, found {bad}. Apply sigmoid, or use "
                           "binary_cross_entropy_with_logits.")
    losses = BinaryCrossEntropy.apply(input, target)
    return _reduce(losses if weight is None else mul(losses, weight), reduction)


class BinaryCrossEntropyWithLogits(Function):
    """How surprised a probability, given as its logit, was by a yes or no.

    Forward    y = (1 − t) · x + ln(1 + e⁻ˣ)
    Backward   dx = dy · (σ(x) − t)        dt = −dy · x
    Saved      x, t
    Shapes     x, t, y (…)
    Derived in docs/layers/cross_entropy.md
    """

    def forward(self, x, t):
        self.x, self.t, k = x, t, self.k
        surprise = k.softplus_forward(k.neg_forward(x), 1.0, np.inf)
        return k.add_forward(k.mul_forward(k.sub_forward(1.0, t), x), surprise)

    def backward(self, dy):
        k = self.k
        dx = k.mul_forward(dy, k.sub_forward(k.sigmoid_forward(self.x), self.t))
        return dx, k.mul_forward(k.neg_forward(dy), self.x) if self.needs[1] else None


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None,
                                     reduce=None, reduction: str = "mean", pos_weight: Tensor | None = None) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target), computed so that large logits stay finite.

    >>> minitorch.nn.functional.binary_cross_entropy_with_logits(minitorch.tensor([0.0]), minitorch.tensor([1.0]))
    tensor(0.6931)
    """
    op = "binary_cross_entropy_with_logits"
    _check_loss(op, input, reduction, size_average, reduce)
    input, target = _same_dtype(op, input, target)
    if input.shape != target.shape:
        raise ValueError(f"{op}: target has shape {target.shape}, input {input.shape}; they must be equal")
    if pos_weight is None:
        losses = BinaryCrossEntropyWithLogits.apply(input, target)
    else:       # (1 − t) x + w ln(1 + e⁻ˣ), where w is pos_weight for the positives
        surprise = mul(softplus(neg(input), threshold=np.inf), add(mul(sub(pos_weight, 1), target), 1))
        losses = add(mul(rsub(target, 1), input), surprise)
    return _reduce(losses if weight is None else mul(losses, weight), reduction)


def logsigmoid(input: Tensor) -> Tensor:
    """ln σ(x) = −ln(1 + e⁻ˣ).

    >>> minitorch.nn.functional.logsigmoid(minitorch.tensor([0.0]))
    tensor([-0.6931])
    """
    return neg(softplus(neg(input), threshold=np.inf))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Divide by the p-norm along ``dim``, so that it becomes 1.

    >>> minitorch.nn.functional.normalize(minitorch.tensor([3.0, 4.0]), dim=0)
    tensor([0.6000, 0.8000])
    """
    return div(input, clamp_min(norm(input, p, dim, keepdim=True), eps))


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``: 1 same direction, 0 at right angles, −1 opposite.

    >>> minitorch.nn.functional.cosine_similarity(minitorch.tensor([1.0, 0.0]), minitorch.tensor([1.0, 1.0]), dim=0)
    tensor(0.7071)
    """
    if x1.shape != x2.shape:
        x1, x2 = broadcast_tensors(x1, x2)
    unit1 = div(x1, clamp_min(norm(x1, 2, dim, keepdim=True), eps))
    unit2 = div(x2, clamp_min(norm(x2, 2, dim, keepdim=True), eps))
    return sum_(mul(unit1, unit2), dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 − x2 + eps over the last axis."""
    return norm(add(sub(x1, x2), eps), p, -1, keepdim=keepdim)


def _pair(op, input, target, reduction, size_average=None, reduce=None, warn=True):
    _check_loss(op, input, reduction, size_average, reduce)
    if not isinstance(target, Variable):
        raise TypeError(f"{op}: target must be a Tensor, {got(target)}")
    if warn and input.shape != target.shape:
        warnings.warn(f"{op}: input has shape {input.shape}, target {target.shape}; they are broadcast, which is seldom "
                      "meant", UserWarning, stacklevel=3)
    return broadcast_tensors(input, target) if input.shape != target.shape else (input, target)


def _same_dtype(op, input, target):
    if not isinstance(target, Variable):
        raise TypeError(f"{op}: target must be a Tensor, {got(target)}")
    return promote(input, target, op=op)


def _square_then_straight(op, input, target, edge, reduction):
    """½ d² up to the edge, edge · (|d| − ½ edge) beyond it."""
    return SquareThenStraight.apply(*promote(input, target, op=op), edge=edge, reduction=reduction)


def _times(op, losses, weight):
    if weight.shape != losses.shape:
        raise ShapeError(f"{op}: weight has shape {weight.shape}, the losses have {losses.shape}; they must be equal")
    return mul(losses, weight)


def _weighted(op, losses, weight, reduction):
    """Reduce losses, each counted by its weight; a mean divides by the sum of the weights."""
    if weight is None:
        return _reduce(losses, reduction)
    losses = _times(op, losses, weight)
    return div(sum_(losses), sum_(weight)) if reduction == "mean" else _reduce(losses, reduction)


def _reduce(losses, reduction):
    return mean(losses) if reduction == "mean" else sum_(losses) if reduction == "sum" else losses

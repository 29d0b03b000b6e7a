"""Cross-entropy: how surprised the model was by the right answer."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, RangeError, ShapeError, got
from minitorch.ops.arithmetic import div, mul
from minitorch.ops.device import known, within
from minitorch.ops.elementwise import neg
from minitorch.ops.reduce import sum as sum_
from minitorch.ops.shape import movedim, reshape
from minitorch.ops.softmax import log_softmax

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["cross_entropy", "nll_loss"]


class CrossEntropy(Function):
    """Softmax and the negative log of the label's probability, in one node.

    Forward    p = softmax(logits)      lossᵢ = −w[labelᵢ] · ln p[i, labelᵢ]          0 where the label is ignored
               with smoothing ε the target is 1 − ε on the label and ε / V on every class
               loss = Σ lossᵢ / Σ w[labelᵢ] (mean), Σ lossᵢ (sum), or lossᵢ (none)
    Backward   dlogits = dlossᵢ · w[labelᵢ] · (p − target)
    Saved      logits, labels, and two numbers a row: top = the largest logit, others = Σ e^(logits − top) of all others.
               p = e^(logits − top) / (1 + others) is made again: it is as large as the logits.
    Shapes     logits (N, V)    labels (N,)    w (V,)    top, others (N,)
    Derived in docs/layers/cross_entropy.md
    """

    def forward(self, logits, labels, weight, *, ignore_index, smoothing, reduction):
        losses, self.top, self.others = self.k.cross_entropy_forward(logits, labels, weight, ignore_index, smoothing)
        self.logits, self.labels, self.weight = logits, labels, weight
        self.ignore_index, self.smoothing = ignore_index, smoothing
        self.share = share_of_each(reduction, labels, weight, ignore_index, logits.dtype)
        return losses if reduction == "none" else losses.sum() * self.share

    def backward(self, dy):
        dlosses = np.empty_like(self.top)
        dlosses[...] = dy * self.share
        dlogits = self.k.cross_entropy_backward(dlosses, self.logits, self.labels, self.weight, self.top, self.others,
                                                self.ignore_index, self.smoothing)
        return dlogits, None, None


class NegativeLogLikelihood(Function):
    """The label's log-probability, negative: what is left of cross-entropy where the logarithms are already there.

    Forward    lossᵢ = −w[labelᵢ] · logp[i, labelᵢ]          0 where the label is ignored
               loss = Σ lossᵢ / Σ w[labelᵢ] (mean), Σ lossᵢ (sum), or lossᵢ (none)
    Backward   dlogp[i, labelᵢ] = −dlossᵢ · w[labelᵢ], all else 0
    Saved      labels, which of them count, w[labelᵢ]
    Shapes     logp (N, V)    labels (N,)    w (V,)
    Derived in docs/layers/cross_entropy.md
    """

    def forward(self, logp, labels, weight, *, ignore_index, reduction):
        self.shape, self.counted = logp.shape, labels != ignore_index
        self.labels = np.where(self.counted, labels, 0)[:, None]
        self.w = 1 if weight is None else weight[self.labels[:, 0]]
        self.share = share_of_each(reduction, labels, weight, ignore_index, logp.dtype)
        # 0 · ∞ is NaN, so a row that does not count is left out rather than weighed with 0
        losses = np.where(self.counted, -self.w * self.k.gather_forward(logp, 1, self.labels)[:, 0], 0)
        return losses if reduction == "none" else losses.sum() * self.share

    def backward(self, dy):
        dlosses = np.where(self.counted, -self.w * (dy * self.share), 0)
        return self.k.gather_backward(dlosses[:, None], self.shape, 1, self.labels), None, None


def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None,
                  ignore_index: int = -100, reduce=None, reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
    """The mean of −ln softmax(input)[target]: how surprised the model was.

    input is (N, V), or (V,), or (N, V, d1, …) with the classes on axis 1; target holds class numbers, or probabilities in
    input's own shape. Labels equal to ``ignore_index`` do not count; if all are, the loss is 0.0 and a warning says so.

    >>> logits = minitorch.tensor([[2.0, 1.0, 0.0]])
    >>> minitorch.nn.functional.cross_entropy(logits, minitorch.tensor([0]))
    tensor(0.4076)
    """
    op = "cross_entropy"
    _check_loss(op, input, reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"{op}: label_smoothing must be between 0 and 1, got {label_smoothing}")
    if isinstance(target, Variable) and target.dtype.kind == "f":
        return _with_probabilities(input, target, weight, reduction, label_smoothing)
    labels, classes = check_labels(op, input, target, ignore_index)
    _check_weight(op, weight, classes, input)
    rows = _rows(input)
    loss = CrossEntropy.apply(rows, labels.reshape(-1), None if weight is None else weight.data,
                              ignore_index=ignore_index, smoothing=float(label_smoothing), reduction=reduction)
    return reshape(loss, labels.shape) if reduction == "none" else loss


def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None, ignore_index: int = -100,
             reduce=None, reduction: str = "mean") -> Tensor:
    """Like cross_entropy, for log-probabilities: the mean of −input[target].

    >>> logp = minitorch.log_softmax(minitorch.tensor([[2.0, 1.0, 0.0]]), 1)
    >>> minitorch.nn.functional.nll_loss(logp, minitorch.tensor([0]))
    tensor(0.4076)
    """
    op = "nll_loss"
    _check_loss(op, input, reduction, size_average, reduce)
    labels, classes = check_labels(op, input, target, ignore_index)
    _check_weight(op, weight, classes, input)
    loss = NegativeLogLikelihood.apply(_rows(input), labels.reshape(-1), None if weight is None else weight.data,
                                       ignore_index=ignore_index, reduction=reduction)
    return reshape(loss, labels.shape) if reduction == "none" else loss


def check_labels(op: str, input, target, ignore_index: int):
    """Class numbers as int64, each in range or ignored; and how many classes there are."""
    if not isinstance(target, Variable):
        raise TypeError(f"{op}: target must be a Tensor, {got(target)}")
    labels = target.data
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{op}: labels must be integers, got {labels.dtype}. Use target.long().")
    shape = input.shape
    if not shape:
        raise ShapeError(f"{op}: logits must have a class axis, got shape ()")
    classes = shape[0] if len(shape) == 1 else shape[1]
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if labels.shape != expected:
        if len(shape) == 3 and labels.shape == shape[:2]:
            raise ShapeError(f"{op}: logits {shape} and labels {labels.shape}: flatten both: "
                             f"logits.reshape(-1, {shape[2]}), labels.reshape(-1). (Classes are expected on axis 1.)")
        if len(shape) == 2 and labels.ndim == 1:
            raise ShapeError(f"{op}: {shape[0]} rows of logits but {labels.shape[0]} labels.")
        fix = ""
        if labels.shape == shape:
            fix = f". One-hot labels? Use labels.argmax({min(1, len(shape) - 1)}), or labels.float() as probabilities."
        elif labels.size == math.prod(expected):
            fix = f". Use labels.reshape({', '.join(map(str, expected))})."
        raise ShapeError(f"{op}: logits {shape} need labels of shape {expected}, got {labels.shape}{fix}")
    seen = known(labels)
    if seen and labels.dtype == np.int64 and seen.high < classes and (
            ignore_index < 0 <= seen.low or
            seen.low == ignore_index < 0 <= seen.above and seen.lows < seen.size == labels.size):
        return labels, classes      # the CPU saw them
    labels = labels.astype(np.int64, copy=False)
    if ignore_index < 0 and within(labels, 0, classes):
        return labels, classes      # as nearly always: every label counts
    wrong = (labels != ignore_index) & ((labels < 0) | (labels >= classes))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        value, position = int(labels[at]), at[0] if len(at) == 1 else at
        if value < 0:
            raise RangeError(f"{op}: label {value} at position {position} is negative and is not ignore_index "
                             f"({ignore_index}). Pass ignore_index={value} if {value} means 'skip'.")
        from_one = " Do the labels count from 1? Use labels - 1." if value == classes and 0 not in labels else ""
        raise RangeError(f"{op}: label {value} at position {position} is outside [0, {classes}) ({classes} classes)."
                         f"{from_one} Use ignore_index (now {ignore_index}) for positions to skip.")
    if labels.size and reduce_all_ignored(labels, ignore_index):
        warnings.warn(f"{op}: all {labels.size} labels equal ignore_index ({ignore_index}); the loss is 0.0 and gradients "
                      "are zero.", UserWarning, stacklevel=3)
    return labels, classes


def reduce_all_ignored(labels, ignore_index) -> bool:
    """True if no label counts."""
    return bool((labels == ignore_index).all())


def share_of_each(reduction, labels, weight, ignore_index, dtype):
    """What each row's loss counts in the result: 1 / (number, or weight, of the labels that count) for a mean."""
    if reduction != "mean":
        return dtype.type(1)
    seen = known(labels)
    if seen and weight is None and (ignore_index < seen.low or seen.low == ignore_index < 0 and seen.size == labels.size):
        return dtype.type(1 / max(1, labels.size - (seen.lows if seen.low == ignore_index else 0)))
    counted = labels != ignore_index
    if weight is None:
        return dtype.type(1 / max(1, np.count_nonzero(counted)))
    total = float(weight[labels[counted]].sum(dtype=np.float64))
    return dtype.type(1 / total if total else np.inf if counted.any() else 1)


def _with_probabilities(input, target, weight, reduction, smoothing):
    if target.shape != input.shape:
        raise ShapeError(f"cross_entropy: target probabilities have shape {target.shape}, logits {input.shape}; they must "
                         "be equal. Class numbers must be integers: target.long().")
    axis = 1 if input.ndim > 1 else 0
    classes = input.shape[axis]
    _check_weight("cross_entropy", weight, classes, input)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    logp = log_softmax(input, axis)
    if weight is not None:
        logp = mul(logp, reshape(weight, *([classes] + [1] * (input.ndim - 1 - axis))))
    losses = neg(sum_(mul(logp, target), axis))
    if reduction == "none":
        return losses
    return sum_(losses) if reduction == "sum" else div(sum_(losses), max(losses.numel(), 1))


def _rows(input):
    """Classes last, everything else flattened: (N, V)."""
    if input.ndim == 2:
        return input
    if input.ndim == 1:
        return reshape(input, 1, -1)
    return reshape(movedim(input, 1, -1), math.prod(input.shape[:1] + input.shape[2:]), input.shape[1])


def _check_loss(op, input, reduction, size_average=None, reduce=None):
    if size_average is not None or reduce is not None:
        raise NotImplementedError(f"{op}: size_average and reduce are PyTorch's old names; use reduction=")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if not isinstance(input, Variable):
        raise TypeError(f"{op}: input must be a Tensor, {got(input)}")
    if input.dtype.kind != "f":
        raise DTypeError(f"{op}: logits must be floats, got {input.dtype}. Are input and target swapped?")


def _check_weight(op, weight, classes, input):
    if weight is None:
        return
    if weight.shape != (classes,):
        raise ShapeError(f"{op}: weight has shape {weight.shape}, expected ({classes},): one per class")
    if weight.dtype != input.dtype:
        raise DTypeError(f"{op}: logits are {input.dtype}, weight is {weight.dtype}. Cast one.")

"""Losses as modules: how far predictions are from what was wanted."""

from __future__ import annotations

from minitorch.nn import functional as F
from minitorch.nn.module import Module
from minitorch.tensor import Tensor

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "NLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    """What the losses share: ``reduction``, which is "mean", "sum" or "none"."""

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None,
                 weighted: bool = False):
        super().__init__()
        if isinstance(size_average, Tensor):
            name = type(self).__name__
            raise TypeError(f"{name}: got tensors where settings belong. Make the loss first, then call it: "
                            f"{name}()(input, target).")
        for option, given in (("size_average", size_average), ("reduce", reduce)):
            if given is not None:
                raise NotImplementedError(f"{type(self).__name__}: {option} is not supported; use reduction='mean', "
                                          "'sum' or 'none'")
        self.reduction = reduction
        if weighted:
            self.register_buffer("weight", weight)


class CrossEntropyLoss(_Loss):
    """−log of the probability that softmax gives to the right class. Takes logits, not probabilities.

    Shapes: input (N, C) or (N, C, d…) or (C,), target integers (N), (N, d…) or (), or probabilities of input's shape.
    With every label ignored the mean is 0.0, not NaN.

    >>> loss = minitorch.nn.CrossEntropyLoss()
    >>> loss(minitorch.zeros(1, 4), minitorch.tensor([2]))            # ln 4: four classes, no idea
    tensor(1.3863)
    """

    def __init__(self, weight: Tensor | None = None, size_average=None, ignore_index: int = -100, reduce=None,
                 reduction: str = "mean", label_smoothing: float = 0.0):
        super().__init__(size_average, reduce, reduction, weight, weighted=True)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, weight=self.weight, ignore_index=self.ignore_index,
                               reduction=self.reduction, label_smoothing=self.label_smoothing)


class NLLLoss(_Loss):
    """−log-probability of the right class, from log-probabilities (LogSoftmax).

    >>> loss = minitorch.nn.NLLLoss()
    >>> loss(minitorch.tensor([[0.25, 0.75]]).log(), minitorch.tensor([1]))
    tensor(0.2877)
    """

    def __init__(self, weight: Tensor | None = None, size_average=None, ignore_index: int = -100, reduce=None,
                 reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction, weight, weighted=True)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """The squared difference.

    >>> minitorch.nn.MSELoss()(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 4.0]))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The distance.

    >>> minitorch.nn.L1Loss()(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 4.0]))
    tensor(1.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Squared where the difference is below beta, straight beyond.

    >>> minitorch.nn.SmoothL1Loss()(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 4.0]))
    tensor(0.7500)
    """

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0):
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Squared where the difference is below delta, straight beyond; delta times the smooth L1 loss.

    >>> minitorch.nn.HuberLoss()(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 4.0]))
    tensor(0.7500)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class KLDivLoss(_Loss):
    """How far a distribution is from the target: input is log-probabilities, target probabilities.

    Use ``reduction="batchmean"`` for the mathematical value; "mean" also divides by the number of classes.

    >>> loss = minitorch.nn.KLDivLoss(reduction="batchmean")
    >>> loss(minitorch.tensor([[0.5, 0.5]]).log(), minitorch.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False):
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class BCELoss(_Loss):
    """Cross-entropy of yes or no, from probabilities. BCEWithLogitsLoss is safer.

    >>> minitorch.nn.BCELoss()(minitorch.tensor([0.5]), minitorch.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(self, weight: Tensor | None = None, size_average=None, reduce=None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction, weight, weighted=True)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of yes or no, from logits. ``pos_weight`` makes each yes count more.

    >>> minitorch.nn.BCEWithLogitsLoss()(minitorch.tensor([0.0]), minitorch.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(self, weight: Tensor | None = None, size_average=None, reduce=None, reduction: str = "mean",
                 pos_weight: Tensor | None = None):
        super().__init__(size_average, reduce, reduction, weight, weighted=True)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, weight=self.weight, reduction=self.reduction,
                                                  pos_weight=self.pos_weight)

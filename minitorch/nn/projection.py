"""SoftmaxProjection: from features to a probability for every word of the vocabulary."""

from __future__ import annotations

import math

from minitorch.creation import empty
from minitorch.errors import ShapeError
from minitorch.nn import functional as F
from minitorch.nn import init
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.tensor import Tensor

__all__ = ["SoftmaxProjection"]


class SoftmaxProjection(Module):
    """The output layer: logits = x · Wᵀ + b, one per word; softmax makes them probabilities.

    It is one big logistic regression. ``weight`` ties it to an embedding: with ``weight=embedding.weight`` one table is
    learnt for both.

    ========================  ==========================================================================================
    ``layer(x)``              the logits (…, vocab_size)
    ``layer.loss(x, ids)``    the cross-entropy, without ever holding all logits at once; the way to train
    ``layer.greedy(x)``       the likeliest word of each position
    ========================  ==========================================================================================

    Shapes: x (…, d_model), weight (vocab_size, d_model), bias (vocab_size,).

    >>> layer = minitorch.nn.SoftmaxProjection(8, vocab_size=100)
    >>> x = minitorch.zeros(2, 5, 8)
    >>> layer(x).shape, layer.greedy(x).shape
    ((2, 5, 100), (2, 5))
    """

    def __init__(self, d_model: int, vocab_size: int, bias: bool = True, weight: Parameter | None = None, device=None,
                 dtype=None):
        super().__init__()
        self.d_model, self.vocab_size = d_model, vocab_size
        self.tied = weight is not None
        if weight is None:
            self.weight = Parameter(empty(vocab_size, d_model, device=device, dtype=dtype))
        else:
            if tuple(weight.shape) != (vocab_size, d_model):
                raise ShapeError(f"SoftmaxProjection: the tied weight should be (vocab_size, d_model) = "
                                 f"({vocab_size}, {d_model}), got {tuple(weight.shape)}")
            self.weight = weight if isinstance(weight, Parameter) else Parameter(weight)
            dtype = weight.dtype if dtype is None else dtype
        self.register_parameter("bias", Parameter(empty(vocab_size, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, as Linear does; a tied weight stays as it is."""
        if not self.tied:
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.d_model) if self.d_model > 0 and not self.tied else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return F.linear(x, self.weight, self.bias)

    def loss(self, x: Tensor, labels: Tensor, ignore_index: int = -100, label_smoothing: float = 0.0,
             reduction: str = "mean") -> Tensor:
        """−log of the probability of each right word, averaged: projection, softmax and cross-entropy in one op.

        >>> layer = minitorch.nn.SoftmaxProjection(8, vocab_size=100, bias=False)
        >>> layer.loss(minitorch.zeros(2, 8), minitorch.tensor([4, 2]))          # ln 100: no idea
        tensor(4.6052, grad_fn=<SoftmaxProjection>)
        """
        return F.softmax_projection(x, self.weight, self.bias, labels, ignore_index=ignore_index,
                                    label_smoothing=label_smoothing, reduction=reduction)

    def greedy(self, x: Tensor) -> Tensor:
        """The id of the likeliest word; softmax would not change which that is."""
        return self.forward(x.detach()).detach().argmax(-1)

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, vocab_size={self.vocab_size}, bias={self.bias is not None}" + \
            (", tied=True" if self.tied else "")

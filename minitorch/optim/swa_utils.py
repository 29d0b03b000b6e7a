"""A moving average of the weights: it wavers less than the weights themselves, and often does better.

The names are those of ``torch.optim.swa_utils``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from minitorch import autograd
from minitorch.creation import tensor as make_tensor
from minitorch.nn import Module
from minitorch.tensor import Tensor

__all__ = ["AveragedModel", "get_ema_avg_fn", "get_swa_avg_fn"]


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], Any]:
    """The exponential moving average: decay · average + (1 − decay) · parameter."""
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    def average(averaged, current, count):
        return averaged * decay + current * (1 - decay)
    return average


def get_swa_avg_fn() -> Callable[[Any, Any, Any], Any]:
    """The mean of all weights so far, each counting the same."""
    def average(averaged, current, count):
        return averaged + (current - averaged) / (count + 1)
    return average


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of the model's, over the calls of ``update_parameters``.

    Without ``avg_fn`` it is the plain mean. Buffers are copied, or averaged with ``use_buffers=True``.

    >>> from minitorch.optim.swa_utils import AveragedModel, get_ema_avg_fn
    >>> model = minitorch.nn.Linear(2, 1, bias=False)
    >>> averaged = AveragedModel(model, avg_fn=get_ema_avg_fn(0.9))
    >>> _ = model.weight.detach().fill_(1.0)
    >>> averaged.update_parameters(model)                              # the first time, it takes them over
    >>> _ = model.weight.detach().fill_(0.0)
    >>> averaged.update_parameters(model)
    >>> averaged.module.weight.detach()
    tensor([[0.9000, 0.9000]])
    """

    n_averaged: Tensor

    def __init__(self, model: Module, device: Any = None, avg_fn: Callable[[Any, Any, Any], Any] | None = None,
                 multi_avg_fn: Callable | None = None, use_buffers: bool = False):
        super().__init__()
        if multi_avg_fn is not None:
            raise NotImplementedError("AveragedModel: multi_avg_fn is not supported. Give avg_fn, a function of one array.")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", make_tensor(0))
        self.avg_fn = avg_fn or get_swa_avg_fn()
        self.use_buffers = use_buffers

    def forward(self, *inputs, **settings):
        return self.module(*inputs, **settings)

    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters, as they are now, into the average."""
        count = int(self.n_averaged.item())
        pairs = list(zip(self.module.parameters(), model.parameters()))
        buffers = list(zip(self.module.buffers(), model.buffers()))
        for averaged, current in pairs + buffers if self.use_buffers else pairs:
            if averaged.shape != current.shape:
                raise ValueError(f"AveragedModel: it averages another model: {averaged.shape} and {current.shape}")
            copied = count == 0 or averaged.dtype.kind != "f"
            _write(averaged, current.data if copied else self.avg_fn(averaged.data, current.data, count))
        for averaged, current in () if self.use_buffers else buffers:
            _write(averaged, current.data)
        _write(self.n_averaged, np.asarray(count + 1))


def _write(tensor, values):
    tensor.data[...] = values
    autograd.note_write(tensor.data)

"""What a model learns: tensors that a module registers and an optimiser updates."""

from __future__ import annotations

import numpy as np

from minitorch.creation import as_tensor
from minitorch.tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor to be learnt. Assigned to a module it is registered there; it requires a gradient from the start.

    Shares memory with ``data`` and keeps its dtype.

    >>> minitorch.nn.Parameter(minitorch.tensor([1.0, 2.0]))
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    """

    _stays = True

    def __init__(self, data=None, requires_grad: bool = True):
        self._data = np.empty(0, np.float32) if data is None else as_tensor(data).data
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo):
        copy = super().__deepcopy__(memo)
        copy._grad = None  # a copy begins without a gradient, as in PyTorch
        return copy

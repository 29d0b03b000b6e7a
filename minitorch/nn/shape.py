"""Modules that change the shape, or nothing: for use inside Sequential."""

from __future__ import annotations

from typing import Any

from minitorch.nn.module import Module
from minitorch.tensor import Tensor

__all__ = ["Flatten", "Identity", "Unflatten"]


class Identity(Module):
    """Returns its input. Put it where a module is expected and none is wanted; arguments are accepted and ignored.

    >>> minitorch.nn.Identity(54, unused=True)(minitorch.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """The axes from start_dim to end_dim as one; by default all but the first.

    >>> minitorch.nn.Flatten()(minitorch.zeros(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis split into several.

    >>> minitorch.nn.Unflatten(1, (3, 4))(minitorch.zeros(2, 12)).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]):
        super().__init__()
        if not isinstance(dim, int):
            raise NotImplementedError(f"Unflatten: named dimensions are not supported; dim must be an int, got {dim!r}")
        if not (isinstance(unflattened_size, (tuple, list)) and all(isinstance(s, int) for s in unflattened_size)):
            raise TypeError(f"unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        dim = self.dim % input.ndim if -input.ndim <= self.dim < input.ndim else self.dim
        return input.reshape(*input.shape[:dim], *self.unflattened_size, *input.shape[dim + 1:])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

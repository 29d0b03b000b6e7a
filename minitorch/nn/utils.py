"""Gradient clipping, and all parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minitorch import autograd, kernels, ops
from minitorch.creation import tensor as make_tensor
from minitorch.errors import ShapeError
from minitorch.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
                    error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """Scale all gradients by one factor so that their common norm is at most ``max_norm``; return the norm before.

    Call it between ``backward()`` and ``optimizer.step()``. The norm is added up in float64.

    >>> w = minitorch.nn.Parameter(minitorch.tensor([1.0, 1.0]))
    >>> (w * minitorch.tensor([3.0, 4.0])).sum().backward()
    >>> minitorch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    gradients, norm_type = _gradients(parameters), float(norm_type)
    if not gradients:
        return make_tensor(0.0)
    dtype = np.result_type(*[g.dtype for g in gradients])
    # a GPU is not asked for the norm, which would mean to wait for it: there a factor of 1 changes nothing
    asked = error_if_nonfinite or norm_type == math.inf or not all([g.is_cuda for g in gradients])
    with kernels.quiet():
        sizes: list = [kernels.backend(g.data).power_sum(g.data, norm_type) for g in gradients]
        if asked:
            sizes = [float(size) for size in sizes]
        total: Any = np.max(sizes) if norm_type == math.inf else sum(sizes) ** (1.0 / norm_type)
        if error_if_nonfinite and not math.isfinite(total):
            raise RuntimeError(f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
                               "cannot be clipped. To disable this error and scale the gradients by the non-finite norm "
                               "anyway, set `error_if_nonfinite=False`")
        factor = np.minimum(max_norm / (total + 1e-6), 1.0)
        if not asked or factor != 1:
            for g in gradients:
                _check_writeable(g)
                kernels.backend(g.data).scale_step(g.data, factor)
                autograd.note_write(g.data)
    return make_tensor(np.asarray(total, dtype)) if asked else gradients[0].like(total.astype(dtype))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Bring every single gradient value between −clip_value and clip_value.

    >>> w = minitorch.nn.Parameter(minitorch.tensor([1.0, 1.0]))
    >>> (w * minitorch.tensor([0.3, -4.0])).sum().backward()
    >>> minitorch.nn.utils.clip_grad_value_([w], 0.5)
    >>> w.grad
    tensor([ 0.3000, -0.5000])
    """
    for g in _gradients(parameters):
        _write(g, np.clip(g.data, -float(clip_value), float(clip_value)))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other, as one vector; gradients flow through.

    >>> minitorch.nn.utils.parameters_to_vector(minitorch.nn.Linear(3, 2).parameters()).shape
    (8,)
    """
    return ops.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the values of one vector into the parameters, one after the other."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    parameters = list(parameters)
    total = sum(parameter.numel() for parameter in parameters)
    if vec.shape != (total,):
        raise ShapeError(f"vector_to_parameters: the parameters have {total} values, vec has shape {vec.shape}")
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        _write(parameter, vec.data[start:end].reshape(parameter.shape))
        start = end


def _gradients(parameters) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in parameters if p.grad is not None]


def _write(tensor, values) -> None:
    _check_writeable(tensor)
    tensor.data[...] = values
    autograd.note_write(tensor.data)


def _check_writeable(tensor):
    if not tensor.data.flags.writeable:
        raise RuntimeError(f"cannot write into a read-only array of shape {tensor.shape}")

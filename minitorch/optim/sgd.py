"""SGD: a step against the gradient, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minitorch.optim.optimizer import Optimizer, buffer_like, check_flags
from minitorch.tensor import Tensor

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent: param −= lr · grad.

    With momentum the step follows a moving sum of gradients, b = momentum · b + (1 − dampening) · grad; ``nesterov``
    looks one step ahead. ``weight_decay`` adds weight_decay · param to the gradient. ``foreach`` and ``fused`` are
    accepted and change nothing.

    >>> w = minitorch.nn.Parameter(minitorch.tensor([1.0]))
    >>> optimizer = minitorch.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000])
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0, dampening: float = 0,
                 weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None):
        check_flags("SGD", differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })

    def _check(self, group) -> None:
        for name, text in (("lr", "learning rate"), ("momentum", "momentum value"),
                           ("weight_decay", "weight_decay value")):
            if not group[name] >= 0:
                raise ValueError(f"Invalid {text}: {group[name]}")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    _update = Optimizer._update_by_kernel

    def _call(self, param: Tensor, gradient: Tensor, state, group) -> tuple:
        first = state.get("momentum_buffer") is None
        buffer = buffer_like(param, state, "momentum_buffer") if group["momentum"] != 0 else None
        return "sgd_step", (param.data, gradient.data, buffer), (
            float(group["lr"]), float(group["momentum"]), float(group["dampening"]), float(group["weight_decay"]),
            bool(group["nesterov"]), bool(group["maximize"]), first)

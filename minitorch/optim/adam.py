"""Adam and AdamW: a step of its own size for every weight, from moving means of the gradient and of its square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minitorch.creation import tensor as make_tensor
from minitorch.optim.optimizer import Optimizer, buffer_like, check_flags
from minitorch.tensor import Tensor

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """param −= lr · m̂ / (√v̂ + eps), where m̂ and v̂ are moving means of the gradient and of its square.

    The means start at 0; the hats correct for that. ``betas`` say how slowly the means move. ``weight_decay`` adds
    weight_decay · param to the gradient; AdamW decays better. ``amsgrad`` divides by the largest v so far. ``foreach``
    and ``fused`` are accepted and change nothing.

    >>> w = minitorch.nn.Parameter(minitorch.tensor([1.0]))
    >>> optimizer = minitorch.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000])
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False):
        check_flags(type(self).__name__, capturable=capturable, differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        })

    def _check(self, group) -> None:
        for name, text in (("lr", "learning rate"), ("eps", "epsilon value"), ("weight_decay", "weight_decay value")):
            if not group[name] >= 0:
                raise ValueError(f"Invalid {text}: {group[name]}")
        for i, beta in enumerate(group["betas"]):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")

    _update = Optimizer._update_by_kernel

    def _call(self, param: Tensor, gradient: Tensor, state, group) -> tuple:
        steps = state.get("step")
        if steps is None or steps.is_cuda:
            steps = state["step"] = make_tensor(0.0 if steps is None else steps.item(), dtype=np.float32, device="cpu")
        steps.data[...] += 1
        count = int(steps.data)
        m, v = buffer_like(param, state, "exp_avg"), buffer_like(param, state, "exp_avg_sq")
        vmax = buffer_like(param, state, "max_exp_avg_sq") if group["amsgrad"] else None
        beta1, beta2 = group["betas"]
        return "adam_step", (param.data, gradient.data, m, v, vmax), (
            count, float(group["lr"]), float(beta1), float(beta2), float(group["eps"]), float(group["weight_decay"]),
            bool(group["decoupled_weight_decay"]), bool(group["maximize"]))


class AdamW(Adam):
    """Adam whose weight decay is apart from the gradient: param shrinks by lr · weight_decay per step.

    >>> w = minitorch.nn.Parameter(minitorch.tensor([1.0]))
    >>> optimizer = minitorch.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8500])
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
                 foreach: bool | None = None, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True)

"""Schedules for the learning rate. Call ``scheduler.step()`` after ``optimizer.step()``.

As in PyTorch most schedules change the rate that is there, step by step, so that several can work on one optimiser.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minitorch.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "InverseSquareRootLR", "LRScheduler", "LambdaLR", "LinearLR",
    "MultiStepLR", "SequentialLR", "StepLR", "WarmupCosineLR",
]


class LRScheduler:
    """The base of every schedule: a subclass writes ``get_lr``, the rates for step number ``last_epoch``."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an optimizer")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def get_lr(self) -> list[float]:
        """The rates, one per parameter group, for step number ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__}: write get_lr(self)")

    def get_last_lr(self) -> list[float]:
        """The rates in use, one per parameter group."""
        return list(self._last_lr)

    def step(self) -> None:
        """Go on to the next rate."""
        self.last_epoch += 1
        self._set(self.get_lr())

    def _restart(self) -> None:
        """Go back to the first rate."""
        self._set(self.base_lrs)
        self.last_epoch = -1
        self.step()

    def _set(self, rates) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def _lrs(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is: plain numbers and lists."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there. The rate itself is part of the optimiser's state."""
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
    """The initial rate times a function of the step number; or one function per parameter group.

    >>> w = minitorch.nn.Parameter(minitorch.zeros(1))
    >>> optimizer = minitorch.optim.SGD([w], lr=1.0)
    >>> scheduler = minitorch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** step)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
                 last_epoch: int = -1):
        groups = len(optimizer.param_groups)
        self.lr_lambdas: list[Any] = list(lr_lambda) if isinstance(lr_lambda, Sequence) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * function(self.last_epoch) for base, function in zip(self.base_lrs, self.lr_lambdas)]

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "lr_lambdas"}


class StepLR(LRScheduler):
    """Times gamma every step_size steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if due else lr for lr in self._lrs]


class MultiStepLR(LRScheduler):
    """Times gamma at each of the given step numbers."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr * self.gamma ** self.milestones.count(self.last_epoch) for lr in self._lrs]


class ConstantLR(LRScheduler):
    """A fraction of the rate for the first total_iters steps, then all of it."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        if not 0 <= factor <= 1:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._lrs]
        return [lr * (1.0 / self.factor) if self.last_epoch == self.total_iters else lr for lr in self._lrs]


class LinearLR(LRScheduler):
    """From start_factor to end_factor times the rate in a straight line of total_iters steps: a warm-up."""

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0,
                 total_iters: int = 5, last_epoch: int = -1):
        if not 0 < start_factor <= 1:
            raise ValueError("Starting multiplicative factor expected to be greater than 0 and less or equal to 1.")
        if not 0 <= end_factor <= 1:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._lrs]
        if self.last_epoch > self.total_iters:
            return self._lrs
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / before) for lr in self._lrs]


class ExponentialLR(LRScheduler):
    """Times gamma every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [lr * self.gamma if self.last_epoch else lr for lr in self._lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to eta_min in T_max steps; beyond, up again."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, low = self.last_epoch, self.eta_min
        if t == 0:
            return self._lrs
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # just past the bottom, where a ratio would divide by 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - low) * rise for base, lr in zip(self.base_lrs, self._lrs)]
        ratio = (1 + math.cos(math.pi * t / self.T_max)) / (1 + math.cos(math.pi * (t - 1) / self.T_max))
        return [ratio * (lr - low) + low for lr in self._lrs]


class InverseSquareRootLR(LRScheduler):
    """A straight warm-up to the rate in warmup_steps steps, then down with 1 / √step: the original Transformer's.

    With ``d_model`` it is the paper's formula, lr · d_model^(−1/2) · min(step^(−1/2), step · warmup_steps^(−3/2)); use
    lr=1. Steps count from 1.

    >>> optimizer = minitorch.optim.Adam([minitorch.nn.Parameter(minitorch.zeros(1))], lr=1.0)
    >>> scheduler = minitorch.optim.lr_scheduler.InverseSquareRootLR(optimizer, warmup_steps=4)
    >>> rates = []
    >>> for _ in range(16):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step(); scheduler.step()
    >>> rates[0], rates[3], rates[15]                                 # steps 1, 4 and 16
    (0.25, 1.0, 0.5)
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, d_model: int | None = None, last_epoch: int = -1):
        if warmup_steps < 1:
            raise ValueError(f"InverseSquareRootLR: warmup_steps must be at least 1, got {warmup_steps}")
        self.warmup_steps, self.d_model = warmup_steps, d_model
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step, warm = self.last_epoch + 1, self.warmup_steps
        factor = step / warm if step < warm else math.sqrt(warm / step)
        if self.d_model is not None:
            factor /= math.sqrt(self.d_model * warm)
        return [base * factor for base in self.base_lrs]


class WarmupCosineLR(LRScheduler):
    """A straight warm-up to the rate in warmup_steps steps, then half a cosine down to eta_min at step total_steps.

    Steps count from 1; after total_steps the rate stays at eta_min. GPT-style models are trained like this.

    >>> optimizer = minitorch.optim.AdamW([minitorch.nn.Parameter(minitorch.zeros(1))], lr=1.0)
    >>> scheduler = minitorch.optim.lr_scheduler.WarmupCosineLR(optimizer, warmup_steps=2, total_steps=10)
    >>> rates = []
    >>> for _ in range(10):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step(); scheduler.step()
    >>> rates[0], rates[1], round(rates[5], 6), rates[9]              # steps 1, 2, 6 and 10
    (0.5, 1.0, 0.5, 0.0)
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0,
                 last_epoch: int = -1):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError("WarmupCosineLR: needs 0 <= warmup_steps < total_steps, got "
                             f"warmup_steps={warmup_steps}, total_steps={total_steps}")
        self.warmup_steps, self.total_steps, self.eta_min = warmup_steps, total_steps, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        step, warm = self.last_epoch + 1, self.warmup_steps
        if step <= warm:
            return [base * (step / warm) for base in self.base_lrs]
        done = min((step - warm) / (self.total_steps - warm), 1.0)
        return [self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * done)) / 2 for base in self.base_lrs]


class SequentialLR(LRScheduler):
    """Several schedules one after the other; each of the milestones starts the next one from its beginning.

    >>> from minitorch.optim.lr_scheduler import ExponentialLR, LinearLR
    >>> optimizer = minitorch.optim.SGD([minitorch.nn.Parameter(minitorch.zeros(1))], lr=1.0)
    >>> warmup, decay = LinearLR(optimizer, 0.1, total_iters=10), ExponentialLR(optimizer, 0.9)
    >>> scheduler = minitorch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[10])
    >>> scheduler.get_last_lr()
    [0.1]
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int],
                 last_epoch: int = -1):
        if not schedulers:
            raise ValueError("SequentialLR expects at least one scheduler to be chained, but got no scheduler.")
        for i, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"SequentialLR expects all schedulers to belong to the same optimizer, but scheduler "
                                 f"{i} has another one")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError("SequentialLR expects the number of milestones to be one less than that of schedulers, "
                             f"got {len(schedulers)} schedulers and {len(milestones)} milestones")
        self.optimizer = optimizer
        self._schedulers, self._milestones = list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        self._schedulers[0]._restart()
        self._last_lr = self._schedulers[0].get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        now = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[now]
        if now > 0 and self._milestones[now - 1] == self.last_epoch:
            scheduler._restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _restart(self) -> None:
        self.last_epoch = 0
        self._schedulers[0]._restart()
        self._last_lr = self._schedulers[0].get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(state)

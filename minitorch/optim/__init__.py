"""Optimisers, which update parameters, and schedules for the learning rate."""

from minitorch.optim import lr_scheduler, swa_utils
from minitorch.optim.adam import Adam, AdamW
from minitorch.optim.optimizer import Optimizer
from minitorch.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "swa_utils"]

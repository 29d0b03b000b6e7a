"""Training: a loop for any model, and the tasks that ``minitorch train`` knows."""

from minitorch.train.log import plot_losses, read_log
from minitorch.train.precision import Precision
from minitorch.train.trainer import Diverged, Interrupted, Settings, Trainer, decay_groups

__all__ = ["Diverged", "Interrupted", "Precision", "Settings", "Trainer", "decay_groups", "plot_losses", "read_log"]

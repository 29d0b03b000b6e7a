"""torch.utils, as far as it goes here: data loading, gradient checkpointing."""

from minitorch.utils import data

__all__ = ["data"]

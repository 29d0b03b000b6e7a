"""torch.utils, as far as it goes here: data loading, gradient checkpointing."""

__all__: list[str] = []

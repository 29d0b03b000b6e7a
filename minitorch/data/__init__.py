"""Data that needs no network: texts, tokenizers, and the batches that models learn from."""

from minitorch.data.digits import digits

__all__ = ["digits"]

"""Data that needs no network: texts, tokenizers, and the batches that models learn from."""

__all__: list[str] = []

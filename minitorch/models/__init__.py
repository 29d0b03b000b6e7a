"""Whole models, a readable file each: GPT, BERT, T5, the original Transformer, Llama, ResNet."""

__all__: list[str] = []

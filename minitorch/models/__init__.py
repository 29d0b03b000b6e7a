"""Whole models, a readable file each: GPT, BERT, T5, the original Transformer, Llama, ResNet."""

from .gpt import GPT, GPTConfig

__all__ = ["GPT", "GPTConfig"]

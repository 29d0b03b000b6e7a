"""Whole models, a readable file each: GPT, BERT, T5, the original Transformer, Llama, ResNet."""

from .gpt import GPT, GPTConfig
from .llama import Llama, LlamaConfig

__all__ = ["GPT", "GPTConfig", "Llama", "LlamaConfig"]

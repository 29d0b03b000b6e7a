"""Whole models, a readable file each: GPT, BERT, T5, the original Transformer, Llama, ResNet."""

from .bert import BERT, BERTConfig
from .gpt import GPT, GPTConfig

__all__ = ["BERT", "BERTConfig", "GPT", "GPTConfig"]

"""Whole models, a readable file each: GPT, BERT, T5, the original Transformer, Llama, ResNet."""

from .bert import BERT, BERTConfig
from .gpt import GPT, GPTConfig
from .resnet import ResNet, ResNetConfig

__all__ = ["BERT", "BERTConfig", "GPT", "GPTConfig", "ResNet", "ResNetConfig"]

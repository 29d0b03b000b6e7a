"""Whole models, a readable file each: GPT, BERT, T5, the original Transformer, Llama, ResNet."""

from .bert import BERT, BERTConfig
from .gpt import GPT, GPTConfig
from .llama import Llama, LlamaConfig
from .resnet import ResNet, ResNetConfig
from .t5 import T5, T5Config
from .transformer import Transformer, TransformerConfig

__all__ = [
    "BERT", "BERTConfig", "GPT", "GPTConfig", "Llama", "LlamaConfig", "ResNet", "ResNetConfig", "T5", "T5Config",
    "Transformer", "TransformerConfig",
]

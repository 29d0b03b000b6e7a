"""Layers and models: parameters and how they are put together. The maths is in ``minitorch.ops``."""

from minitorch.nn import functional, init, utils
from minitorch.nn.activation import (
    ELU,
    GELU,
    GLU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minitorch.nn.attention import MultiheadAttention
from minitorch.nn.batchnorm import BatchNorm1d, BatchNorm2d
from minitorch.nn.containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from minitorch.nn.conv import Conv1d, Conv2d
from minitorch.nn.dropout import Dropout
from minitorch.nn.embedding import Embedding
from minitorch.nn.ffn import FFN
from minitorch.nn.layernorm import LayerNorm, RMSNorm
from minitorch.nn.linear import Linear
from minitorch.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.nn.pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from minitorch.nn.position import LearnedPositionalEncoding, PositionalEncoding, SinusoidalEncoding
from minitorch.nn.projection import SoftmaxProjection
from minitorch.nn.residual import Residual
from minitorch.nn.rotary import RotaryEmbedding
from minitorch.nn.shape import Flatten, Identity, Unflatten
from minitorch.nn.transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)

__all__ = [
    "AdaptiveAvgPool2d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d",
    "CrossEntropyLoss", "Dropout", "ELU", "Embedding", "FFN", "Flatten", "GELU", "GLU", "HuberLoss", "Identity",
    "KLDivLoss", "L1Loss", "LayerNorm", "LeakyReLU", "LearnedPositionalEncoding", "Linear", "LogSoftmax", "MSELoss",
    "MaxPool2d", "Module", "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "Parameter", "ParameterDict",
    "ParameterList", "PositionalEncoding", "RMSNorm", "ReLU", "ReLU6", "Residual", "RotaryEmbedding", "Sequential",
    "SiLU", "Sigmoid", "SinusoidalEncoding", "SmoothL1Loss", "Softmax", "SoftmaxProjection", "Softplus", "Tanh",
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
    "Unflatten", "functional", "init", "utils",
]

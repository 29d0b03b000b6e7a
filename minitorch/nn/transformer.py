"""The Transformer: encoder layers, decoder layers, stacks of them, and the original model of both.

In boolean masks True means MASKED here, as in PyTorch's nn (scaled_dot_product_attention has it the other way round).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from minitorch.creation import as_tensor
from minitorch.errors import ShapeError
from minitorch.nn import functional as F
from minitorch.nn import init
from minitorch.nn.attention import MultiheadAttention, is_causal_mask
from minitorch.nn.containers import ModuleList
from minitorch.nn.dropout import Dropout
from minitorch.nn.ffn import activation_function, run_feed_forward
from minitorch.nn.layernorm import LayerNorm
from minitorch.nn.linear import Linear
from minitorch.nn.module import Module
from minitorch.nn.residual import add_branch
from minitorch.ops import as_dtype, get_default_dtype
from minitorch.tensor import Tensor

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
]


class TransformerEncoderLayer(Module):
    """Self-attention, then a feed-forward network, each with a residual connection and LayerNorm.

    ``norm_first=False`` is the paper's post-norm, LN(x + f(x)); ``norm_first=True`` is pre-norm, x + f(LN(x)), which
    deep models use because it trains more steadily.

    Shapes: src (T, B, d_model), or (B, T, d_model) with ``batch_first=True``; src_mask (T, T) or (B · nhead, T, T);
    src_key_padding_mask (B, T). **In boolean masks True means MASKED.**

    >>> layer = minitorch.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(minitorch.ones(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: str | Callable[[Tensor], Tensor] = F.relu, layer_norm_eps: float = 1e-5,
                 batch_first: bool = False, norm_first: bool = False, bias: bool = True, device=None, dtype=None):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **made)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **made)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **made)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation_function(activation)

    def forward(self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool = False) -> Tensor:
        """``is_causal=True`` lets no position see a later one; it needs no mask."""
        def attend(x):
            return self.self_attn(x, x, x, attn_mask=src_mask, key_padding_mask=src_key_padding_mask,
                                  need_weights=False, is_causal=is_causal)[0]

        x = src
        if self.norm_first:
            x = add_branch(x, attend(self.norm1(x)), self.dropout1)
            return add_branch(x, self._feed_forward(self.norm2(x)), self.dropout2)
        x = self.norm1(add_branch(x, attend(x), self.dropout1))
        return self.norm2(add_branch(x, self._feed_forward(x), self.dropout2))

    def _feed_forward(self, x):
        return run_feed_forward(x, self.linear1, self.activation, self.dropout, self.linear2)


class TransformerDecoderLayer(Module):
    """Self-attention, attention to the encoder's output (``memory``), then a feed-forward network.

    Each has a residual connection and LayerNorm. Queries come from the decoder, keys and values from memory.

    Shapes: tgt (T, B, d_model), memory (S, B, d_model), batch first with ``batch_first=True``; tgt_mask (T, T),
    memory_mask (T, S), key padding masks (B, T) and (B, S). **In boolean masks True means MASKED.**

    >>> layer = minitorch.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(minitorch.ones(3, 5, 8), minitorch.ones(3, 7, 8), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: str | Callable[[Tensor], Tensor] = F.relu, layer_norm_eps: float = 1e-5,
                 batch_first: bool = False, norm_first: bool = False, bias: bool = True, device=None, dtype=None):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **made)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first,
                                                 **made)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **made)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **made)
        self.norm3 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **made)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = activation_function(activation)

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
                tgt_is_causal: bool = False, memory_is_causal: bool = False) -> Tensor:
        """``tgt_is_causal=True`` lets no position see a later one; it needs no mask."""
        def attend(x):
            return self.self_attn(x, x, x, attn_mask=tgt_mask, key_padding_mask=tgt_key_padding_mask,
                                  need_weights=False, is_causal=tgt_is_causal)[0]

        def look_up(x):
            return self.multihead_attn(x, memory, memory, attn_mask=memory_mask, need_weights=False,
                                       key_padding_mask=memory_key_padding_mask, is_causal=memory_is_causal)[0]

        def feed_forward(x):
            return run_feed_forward(x, self.linear1, self.activation, self.dropout, self.linear2)

        x = tgt
        for branch, norm, dropout in ((attend, self.norm1, self.dropout1), (look_up, self.norm2, self.dropout2),
                                      (feed_forward, self.norm3, self.dropout3)):
            if self.norm_first:
                x = add_branch(x, branch(norm(x)), dropout)
            else:
                x = norm(add_branch(x, branch(x), dropout))
        return x


class TransformerEncoder(Module):
    """num_layers copies of an encoder layer, one after the other, and a last norm if given.

    The copies start with equal weights, as in PyTorch; initialise them anew where that matters.
    ``enable_nested_tensor`` and ``mask_check`` are accepted; in PyTorch they steer a fast path, which makes padded
    positions 0 in eval mode. Here they come out as in training mode there: as whatever attention makes of them.

    >>> layer = minitorch.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> minitorch.nn.TransformerEncoder(layer, num_layers=3)(minitorch.ones(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None,
                 enable_nested_tensor: bool = True, mask_check: bool = True):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                is_causal: bool | None = None) -> Tensor:
        """``is_causal=None`` looks whether the mask is the causal one, which has a faster way."""
        is_causal = is_causal_mask(mask) if is_causal is None else is_causal
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=is_causal, src_key_padding_mask=src_key_padding_mask)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """num_layers copies of a decoder layer, one after the other, and a last norm if given.

    >>> layer = minitorch.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> minitorch.nn.TransformerDecoder(layer, num_layers=3)(minitorch.ones(3, 5, 8), minitorch.ones(3, 7, 8)).shape
    (3, 5, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
                tgt_is_causal: bool | None = None, memory_is_causal: bool = False) -> Tensor:
        """``tgt_is_causal=None`` looks whether the mask is the causal one, which has a faster way."""
        tgt_is_causal = is_causal_mask(tgt_mask) if tgt_is_causal is None else tgt_is_causal
        x = tgt
        for layer in self.layers:
            x = layer(x, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
                      memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
                      memory_is_causal=memory_is_causal)
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """The model of "Attention is all you need": an encoder reads the source, a decoder writes the target.

    Embeddings, positions and the output layer are not part of it.

    >>> model = minitorch.nn.Transformer(8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=16)
    >>> source, target = minitorch.ones(7, 3, 8), minitorch.ones(5, 3, 8)      # (length, batch, d_model)
    >>> model(source, target, tgt_mask=model.generate_square_subsequent_mask(5)).shape
    (5, 3, 8)
    """

    def __init__(self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
                 dim_feedforward: int = 2048, dropout: float = 0.1,
                 activation: str | Callable[[Tensor], Tensor] = F.relu, custom_encoder: Module | None = None,
                 custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5, batch_first: bool = False,
                 norm_first: bool = False, bias: bool = True, device=None, dtype=None):
        super().__init__()
        made = {"device": device, "dtype": dtype}
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def last_norm():
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **made)

        if custom_encoder is None:
            reader = TransformerEncoderLayer(*settings, **made)
            custom_encoder = TransformerEncoder(reader, num_encoder_layers, last_norm())
        if custom_decoder is None:
            writer = TransformerDecoderLayer(*settings, **made)
            custom_decoder = TransformerDecoder(writer, num_decoder_layers, last_norm())
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
                memory_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
                tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
                src_is_causal: bool | None = None, tgt_is_causal: bool | None = None,
                memory_is_causal: bool = False) -> Tensor:
        """Read src, write tgt: the decoder's output at each position of tgt."""
        axis = 0 if self.batch_first else 1
        if src.ndim == tgt.ndim == 3 and src.shape[axis] != tgt.shape[axis]:
            raise ShapeError(f"Transformer: the batches of src {src.shape} and tgt {tgt.shape} differ: "
                             f"{src.shape[axis]} and {tgt.shape[axis]}. batch_first is {self.batch_first}.")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(f"Transformer: src {src.shape} and tgt {tgt.shape} must end in d_model = {self.d_model}")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                            tgt_key_padding_mask=tgt_key_padding_mask, memory_key_padding_mask=memory_key_padding_mask,
                            tgt_is_causal=tgt_is_causal, memory_is_causal=memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device=None, dtype=None) -> Tensor:
        """The causal mask, to be added: −∞ for later positions, 0 elsewhere.

        >>> minitorch.nn.Transformer.generate_square_subsequent_mask(3)
        tensor([[0., -inf, -inf],
                [0., 0., -inf],
                [0., 0., 0.]])
        """
        dtype = get_default_dtype() if dtype is None else as_dtype(dtype)
        return as_tensor(np.triu(np.full((sz, sz), -np.inf), 1).astype(dtype), device=device)


def _copies(layer, count) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])

"""The Transformer of "Attention is all you need": an encoder reads a sentence, a decoder writes its translation.

With this file one can

- build one and train it       ``model = Transformer(TransformerConfig.preset("tiny"))``, ``model.loss(src, tgt, labels)``
- let it translate             ``model.translate(src)``, greedily or with ``beams=4``
- see what it looks at         ``model.cross_attention(src, tgt)``: for each word written, the weight of each word read
- save it and load it          ``model.save_pretrained(folder)``, ``Transformer.from_pretrained(folder)``

From the ids at the bottom to the logits at the top, as in the paper's figure::

                                            logits (B, T, V)
                                               │  the table of tgt_embedding again (tied), or projection
                                             norm3                                  ┐
    memory (B, S, d)                           + ◄─ linear2 ◄─ relu ◄─ linear1 ◄┐   │
       │                                       ├────────────────────────────────┘   │
     norm2                                ┐  norm2                                  │ decoder.layers,
       + ◄─ linear2 ◄─ relu ◄─ linear1 ◄┐ │    + ◄─ multihead_attn ◄─┬◄─ memory     │ × num_decoder_layers
       ├────────────────────────────────┘ │    ├─────────────────────┘              │
     norm1                                │  norm1                                  │
       + ◄─ self_attn ◄┐                  │    + ◄─ self_attn, causal ◄┐            │
       ├───────────────┘                  ┘    ├───────────────────────┘            ┘
       │  encoder.layers, × num_encoder_layers │
       + ◄─ sines and cosines of the place     + ◄─ sines and cosines of the place
     × √d                                    × √d
       │  src_embedding                        │  tgt_embedding
    src (B, S)                              tgt (B, T)

The norm comes after each sum (post-norm); with ``norm_first=True`` each branch reads the normalised sum instead (pre-norm),
and a last norm follows the layers. The layers are those of ``nn``; their weights have PyTorch's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minitorch import Tensor, autograd, from_numpy, no_grad, stack
from minitorch.errors import ShapeError
from minitorch.kernels import backend
from minitorch.models.pretrained import Config, PretrainedModel, beside
from minitorch.models.search import (
    SearchCache,
    check_search,
    end_ids,
    evaluating,
    look,
    search,
)
from minitorch.nn import (
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    ModuleList,
    MultiheadAttention,
    SinusoidalEncoding,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
    init,
)
from minitorch.nn import functional as F
from minitorch.nn.ffn import activation_function, run_feed_forward
from minitorch.nn.module import is_plain
from minitorch.nn.residual import add_branch

__all__ = ["Transformer", "TransformerConfig"]


@dataclass
class TransformerConfig(Config):
    """The sizes and choices of a Transformer, under the names that ``nn.Transformer`` gives them; the paper's as defaults.

    ``tgt_vocab_size=None``: source and target share one vocabulary and one table of embeddings. ``tie_word_embeddings``
    uses the target's table for the projection, too.

    >>> from minitorch.models import TransformerConfig
    >>> TransformerConfig.preset("large").d_model
    1024
    """

    model_type: ClassVar[str] = "minitorch-transformer"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vocab_size": 65, "d_model": 32, "nhead": 4, "num_encoder_layers": 2, "num_decoder_layers": 2,
                 "dim_feedforward": 64, "max_len": 128},
        "base": {"d_model": 512, "nhead": 8, "num_encoder_layers": 6, "num_decoder_layers": 6, "dim_feedforward": 2048},
        "large": {"d_model": 1024, "nhead": 16, "num_encoder_layers": 24, "num_decoder_layers": 24, "dim_feedforward": 4096},
    }

    vocab_size: int = 37000                         # of the source, or of both
    tgt_vocab_size: int | None = None
    d_model: int = 512
    nhead: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    dim_feedforward: int = 2048
    dropout: float = 0.1
    activation: str = "relu"
    layer_norm_eps: float = 1e-5
    norm_first: bool = False                        # pre-norm
    max_len: int = 1024                             # the longest text it can read or write
    tie_word_embeddings: bool = True
    label_smoothing: float = 0.1                    # of ``loss``: this share of the label goes to all tokens alike
    pad_token_id: int | None = 0
    bos_token_id: int = 1                           # begins every text that is written
    eos_token_id: int | list[int] | None = 2        # ends it

    def check(self) -> None:
        self._need_sizes("vocab_size", "d_model", "nhead", "num_encoder_layers", "num_decoder_layers", "dim_feedforward",
                         "max_len")
        if self.tgt_vocab_size is not None:
            self._need_sizes("tgt_vocab_size")
        self._need_heads("d_model", "nhead")
        self._need(self.activation in ("relu", "gelu", "gelu_tanh", "silu"), "activation",
                   "'relu', 'gelu', 'gelu_tanh' or 'silu'")
        self._need_probabilities("dropout", "label_smoothing")
        self._need_positive("layer_norm_eps")
        self._need_flags("norm_first", "tie_word_embeddings")
        self._need_id("pad_token_id")
        self._need(self.bos_token_id is not None, "bos_token_id", "an id: what the decoder begins with")
        self._need_id("bos_token_id", self.tgt_vocab_size or self.vocab_size)


class Transformer(PretrainedModel):
    """Encoder and decoder, post-norm, with sinusoidal positions: the original model.

    >>> from minitorch.models import Transformer, TransformerConfig
    >>> model = Transformer(TransformerConfig.preset("tiny"))
    >>> src, tgt = minitorch.tensor([[5, 3, 60, 2]]), minitorch.tensor([[1, 7]])
    >>> model(src, tgt).shape                                  # for each word written, a score for every one to follow
    (1, 2, 65)
    >>> model.translate(src, max_new_tokens=3, eos=None).shape
    (1, 4)
    """

    config_class = TransformerConfig
    architectures = ("Transformer",)
    tied = {"projection.weight": "tgt_embedding.weight"}

    config: TransformerConfig

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        c = config
        settings: dict[str, Any] = {"dim_feedforward": c.dim_feedforward, "dropout": c.dropout, "activation": c.activation,
                    "layer_norm_eps": c.layer_norm_eps, "batch_first": True, "norm_first": c.norm_first}

        def last_norm():
            return LayerNorm(c.d_model, eps=c.layer_norm_eps) if c.norm_first else None

        self.src_embedding = None if c.tgt_vocab_size is None else Embedding(c.vocab_size, c.d_model)
        self.tgt_embedding = Embedding(c.tgt_vocab_size or c.vocab_size, c.d_model)
        self.positions = SinusoidalEncoding(c.d_model, max_len=c.max_len, dropout=c.dropout)
        self.encoder = TransformerEncoder(TransformerEncoderLayer(c.d_model, c.nhead, **settings), c.num_encoder_layers,
                                          last_norm())
        self.decoder = Decoder([DecoderLayer(c.d_model, c.nhead, **settings) for _ in range(c.num_decoder_layers)],
                               last_norm())
        self.projection = None if c.tie_word_embeddings else Linear(c.d_model, self.tgt_embedding.num_embeddings, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Embeddings so that times √d they have variance 1; the other matrices by Glorot's rule, as nn.Transformer does."""
        for name, parameter in self.named_parameters():
            if "embedding" in name:
                init.normal_(parameter, 0.0, self.config.d_model ** -0.5)
            elif parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    # -----------------------------------------------------------------------------------------------------------------
    # from ids to numbers

    def forward(self, src: Tensor, tgt: Tensor | None = None, src_mask: Tensor | None = None,
                tgt_mask: Tensor | None = None) -> Tensor:
        """Logits (B, T, V): behind each token of tgt, a score for every token that may come next.

        Masks, (B, S) and (B, T), are 1 for tokens and 0 for padding, which nobody looks at.
        """
        return self.logits(self.decode(tgt, self.encode(src, src_mask), src_mask, tgt_mask))

    def encode(self, src: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """What the encoder makes of a text: a vector for every token, (B, S, d)."""
        ids = self._ids("encode", src, "src")
        mask = self._mask("encode", src_mask, ids.shape, "src_mask")
        masked = None if mask is None else beside(ids, ~mask)            # nn's layers have True where one must not look
        table = self.src_embedding if self.src_embedding is not None else self.tgt_embedding
        return self.encoder(self._embed(table, ids), src_key_padding_mask=masked)

    def decode(self, tgt: Tensor | None, memory: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
               cache: SearchCache | None = None, seen: list[Tensor] | None = None) -> Tensor:
        """The decoder's output (B, T, d) for what is written so far; memory is what ``encode`` returned.

        With a cache, tgt are the new ids. Cross-attention weights are appended to ``seen``.
        """
        if tgt is None:
            raise TypeError("Transformer: tgt is missing: the decoder needs what is written so far, and be it the start "
                            f"token alone, {self.config.bos_token_id}. To train, call loss(src, tgt, labels); to write, "
                            "translate(src).")
        ids = self._ids("decode", tgt, "tgt")
        if memory.ndim != 3 or memory.shape[2] != self.config.d_model:
            raise ShapeError(f"Transformer.decode: memory should be (batch, length, {self.config.d_model}), what encode "
                             f"returned; got {tuple(memory.shape)}")
        if ids.shape[0] != memory.shape[0]:
            raise ShapeError(f"Transformer.decode: tgt {ids.shape} and the source {memory.shape[:2]} are (batch, length), "
                             f"and their batches differ: {ids.shape[0]} and {memory.shape[0]}")
        past = cache.length if cache is not None else 0
        mask = self._mask("decode", tgt_mask, (ids.shape[0], past + ids.shape[1]), "tgt_mask")
        source_mask = self._mask("decode", src_mask, memory.shape[:2], "src_mask")
        return self._decode(ids, memory, source_mask, mask, cache, seen)

    def _decode(self, ids, memory, source_mask, mask=None, cache=None, seen=None):
        past = cache.length if cache is not None else 0
        x = self._embed(self.tgt_embedding, ids, past)
        return self.decoder(x, memory, _may_attend(x, mask, ids.shape[1], past), _may(x, source_mask), cache, seen)

    def _embed(self, table, ids, start=0):
        return self.positions(table(ids) * math.sqrt(self.config.d_model), start)

    def logits(self, features: Tensor) -> Tensor:
        """A score for every token of the target's vocabulary."""
        return F.linear(features, self._table)

    def loss(self, src: Tensor, tgt: Tensor, labels: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
             label_smoothing: float | None = None) -> Tensor:
        """The mean of −log p(label) with smoothed labels, without ever holding all logits.

        tgt (B, T) begins with the start token, labels (B, T) ends with the end token: each label is what follows the
        token of tgt above it (teacher forcing); −100 where it does not count. ``label_smoothing=None``: the config's.
        """
        labels = self._ids("loss", labels, "labels")
        ids = self._ids("loss", tgt, "tgt")
        if labels.shape != ids.shape:
            raise ShapeError(f"Transformer.loss: labels {labels.shape} and tgt {ids.shape} should have one shape: a label "
                             "for every token read. From a text with both marks: tgt = text[:, :-1], labels = text[:, 1:].")
        features = self.decode(ids, self.encode(src, src_mask), src_mask, tgt_mask)
        smoothing = self.config.label_smoothing if label_smoothing is None else label_smoothing
        return F.softmax_projection(features, self._table, None, labels, label_smoothing=smoothing)

    @no_grad()
    def cross_attention(self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None) -> Tensor:
        """Who looks where: for each token written, how much each head looks at each token read.

        Shape (layers, B, heads, T, S); each row sums to 1. For a translation, ``model.cross_attention(src, ids[:, :-1])``:
        row t was looked up while ids[t + 1] was written.
        """
        seen: list[Tensor] = []
        with evaluating(self):
            self.decode(tgt, self.encode(src, src_mask), src_mask, seen=seen)
        return stack(seen)

    @property
    def _table(self) -> Tensor:
        return self.tgt_embedding.weight if self.projection is None else self.projection.weight

    # -----------------------------------------------------------------------------------------------------------------
    # writing

    @no_grad()
    def translate(self, src: Any, src_mask: Any = None, max_new_tokens: int = 50, beams: int = 1,
                  length_penalty: float = 1.0, early_stopping: bool | str = False, eos: Any = "config",
                  return_scores: bool = False, use_cache: bool = True) -> Any:
        """The target text of each source: the start token, then at most max_new_tokens (B, 1 + tokens).

        Greedily, or with several ``beams``, whose settings are those of ``search.beam_search``. A text ends with the token
        ``eos`` (the config's, unless given; None: never) and is filled with pad_token_id. Texts of unequal length need a
        src_mask, ``src != pad``; without one, padding is read. With ``return_scores`` the result is (ids, scores).
        """
        check_search("Transformer.translate", max_new_tokens, beams, length_penalty, early_stopping)
        ids, config = self._ids("translate", src, "src").to(self.device), self.config
        ends = end_ids("Transformer.translate", config.eos_token_id if isinstance(eos, str) and eos == "config" else eos)
        with evaluating(self):
            memory, source_mask = self.encode(ids, src_mask), self._mask("translate", src_mask, ids.shape, "src_mask")

            def decode(new, cache):
                return self.logits(self._decode(new.to(memory.device), memory, source_mask, cache=cache)[:, -1:])

            return search(decode, len(ids), config.bos_token_id, max_new_tokens=min(max_new_tokens, config.max_len),
                          beams=beams, length_penalty=length_penalty, early_stopping=early_stopping, ends=ends,
                          pad=config.pad_token_id, return_scores=return_scores, use_cache=use_cache,
                          write=self.writer(source_mask))

    def writer(self, source_mask: np.ndarray | None = None) -> Callable[[np.ndarray, SearchCache], np.ndarray] | None:
        """What ``decode`` and ``logits`` compute, for one more token of each text, in plain NumPy and without a tape.

        None if somebody looks on, or replaced a part: then the parts themselves are run.
        """
        if self.device != "cpu" or autograd.observers or source_mask is not None and not source_mask.any(1).all() or not all(
                is_plain(module, type(module)) and type(module) in _PARTS for module in self.modules()):
            return None
        c, table, embeddings = self.config, self._table.data.T, self.tgt_embedding.weight.data
        places, k, act = self.positions.pe.data, backend(table), activation_function(c.activation)
        layers = [{name: weight.data.T for name, weight in layer.named_parameters()} for layer in self.decoder.layers]
        last = None if self.decoder.norm is None else (self.decoder.norm.weight.data, self.decoder.norm.bias.data)
        hidden = None if source_mask is None else np.where(source_mask, 0, -np.inf).astype(table.dtype)[:, None, None, :]
        d, heads = c.d_model, c.nhead

        def norm(x, weight, bias):
            centred = x - np.add.reduce(x, -1, keepdims=True) / x.dtype.type(d)
            return centred / np.sqrt(np.vecdot(centred, centred)[:, None] / d + c.layer_norm_eps) * weight + bias

        def linear(x, layer, name):
            return k.matmul_forward(x, layer[name + ".weight"]) + layer[name + ".bias"]

        def attend(x, layer, number, cache):
            qkv = k.matmul_forward(x, layer["self_attn.in_proj_weight"]) + layer["self_attn.in_proj_bias"]
            q, keys, values = qkv.reshape(len(x), 3, heads, 1, -1).swapaxes(0, 1)
            keys, values = cache.extend_arrays(number, keys, values)
            return linear(look(q, keys, values, (d // heads) ** -0.5), layer, "self_attn.out_proj")

        def look_up(x, layer, number, cache):
            q = k.matmul_forward(x, layer["multihead_attn.in_proj_weight"][:, :d]) + layer["multihead_attn.in_proj_bias"][:d]
            keys, values = cache.source[number]
            y = look(q.reshape(len(x), heads, 1, -1), keys.data, values.data, (d // heads) ** -0.5, hidden)
            return linear(y, layer, "multihead_attn.out_proj")

        def feed_forward(x, layer, number, cache):
            return linear(act(from_numpy(linear(x, layer, "linear1"))).data, layer, "linear2")

        def write(ids, cache):
            x = embeddings[ids] * table.dtype.type(math.sqrt(d)) + places[cache.length]             # (N, d)
            for number, layer in enumerate(layers):
                for branch, name in ((attend, "norm1"), (look_up, "norm2"), (feed_forward, "norm3")):
                    weights = layer[name + ".weight"], layer[name + ".bias"]
                    if c.norm_first:
                        x = x + branch(norm(x, *weights), layer, number, cache)
                    else:
                        x = norm(x + branch(x, layer, number, cache), *weights)
            return k.matmul_forward(x if last is None else norm(x, *last), table)

        return write


class Decoder(Module):
    """The decoder's layers one after the other, and with pre-norm a last norm."""

    def __init__(self, layers: list[DecoderLayer], norm: LayerNorm | None):
        super().__init__()
        self.layers = ModuleList(layers)
        self.norm = norm

    def forward(self, x: Tensor, memory: Tensor, may: tuple, may_source: Tensor | None = None,
                cache: SearchCache | None = None, seen: list[Tensor] | None = None) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x, memory, may, may_source, number, cache, seen)
        return x if self.norm is None else self.norm(x)


class DecoderLayer(TransformerDecoderLayer):
    """The decoder layer of nn, that can also write token by token from a cache, and show what it looks at."""

    def forward(self, x: Tensor, memory: Tensor, may: tuple, may_source: Tensor | None = None, number: int = 0,
                cache: SearchCache | None = None, seen: list[Tensor] | None = None) -> Tensor:
        def attend(x):
            q, k, v = _projections(self.self_attn, x, "qkv")
            if cache is not None:
                k, v = cache.extend(number, k, v)
            return _attend(self.self_attn, q, k, v, *may)

        def look_up(x):
            q, = _projections(self.multihead_attn, x, "q")
            k, v = cache.once(number, source) if cache is not None else source()
            if seen is not None:
                seen.append(F.attention_weights(q, k, attn_mask=may_source))
            return _attend(self.multihead_attn, q, k, v, may_source)

        def source():
            return _projections(self.multihead_attn, memory, "kv")

        def feed_forward(x):
            return run_feed_forward(x, self.linear1, self.activation, self.dropout, self.linear2)

        for branch, norm, dropout in ((attend, self.norm1, self.dropout1), (look_up, self.norm2, self.dropout2),
                                      (feed_forward, self.norm3, self.dropout3)):
            x = add_branch(x, branch(norm(x)), dropout) if self.norm_first else norm(add_branch(x, branch(x), dropout))
        return x


_PARTS = (Transformer, Decoder, DecoderLayer, Dropout, Embedding, LayerNorm, Linear, ModuleList, MultiheadAttention,
          SinusoidalEncoding, TransformerEncoder, TransformerEncoderLayer)


def _projections(attention: MultiheadAttention, x: Tensor, which: str) -> tuple[Tensor, ...]:
    """Queries, keys and values of x, those asked for, each (B, heads, T, d/heads); in one product."""
    d, first = attention.embed_dim, "qkv".index(which)
    rows = slice(first * d, (first + len(which)) * d)
    y = F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    shape = (*x.shape[:2], attention.num_heads, attention.head_dim)
    return tuple(part.view(shape).transpose(1, 2) for part in y.chunk(len(which), -1))


def _attend(attention: MultiheadAttention, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None,
            causal: bool = False) -> Tensor:
    """What the heads gather (N, T, d). If there are more queries than texts, several beams share each text."""
    (N, heads, T, _), B = q.shape, k.shape[0]
    if N != B:
        q = q.reshape(B, N // B, heads, T, -1).transpose(1, 2).reshape(B, heads, N // B * T, q.shape[-1])
    y = F.scaled_dot_product_attention(q, k, v, mask, attention.dropout if attention.training else 0.0, causal)
    if N != B:
        y = y.reshape(B, heads, N // B, T, -1).transpose(1, 2).reshape(N, heads, T, -1)
    return attention.out_proj(y.transpose(1, 2).reshape(N, T, attention.embed_dim))


def _may(x: Tensor, mask: np.ndarray | None) -> Tensor | None:
    """Which keys may be looked at, as attention takes it: (B, 1, 1, S)."""
    return None if mask is None else beside(x, mask[:, None, None, :])


def _may_attend(x: Tensor, mask: np.ndarray | None, length: int, past: int) -> tuple[Tensor | None, bool]:
    """Which keys each new token may look at: a mask or None, and whether besides no later ones (causal)."""
    if past and length > 1:                                 # several new tokens after some: token t is number past + t
        below = np.tri(length, past + length, past, dtype=bool)[None, None]
        return beside(x, below if mask is None else mask[:, None, None, :] & below), False
    return _may(x, mask), length > 1

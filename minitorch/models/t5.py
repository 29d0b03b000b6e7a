"""T5: an encoder reads a text, a decoder writes another: translation, summaries, any task put as text to text.

With this file one can

- build one and train it       ``t5 = T5(T5Config.preset("tiny"))``, ``t5.loss(input_ids, labels).backward()``
- load a real one              ``T5.from_pretrained(folder)``, and save it: ``t5.save_pretrained(folder)``
- let it write                 ``t5.generate(input_ids)``, greedily, by chance, or with ``beams=4``
- look inside                  ``t5.cross_attention(input_ids, decoder_input_ids)``, ``t5.encode(input_ids)``

From the ids at the bottom to the logits at the top, with the names that Hugging Face gives the weights::

                                            logits (B, T, V)
                                               │  lm_head, or shared again (tied; then × d_model^−½)
    memory (B, S, d)                           │  decoder.final_layer_norm
       │  encoder.final_layer_norm             ├───────────────────────────┐
       ├───────────────────────────┐           + ◄─ DenseReluDense ◄─ norm ┘  layer.2 ┐
       + ◄─ DenseReluDense ◄─ norm ┘ layer.1 ┐ ├───────────────────────────┐          │ decoder.block, × num_decoder_layers
       ├───────────────────────────┐         │ + ◄─ EncDecAttention ◄─ norm┘  layer.1 │ (the keys and values of
       + ◄─ SelfAttention ◄─ norm ─┘ layer.0 ┘ ├───────────────────────────┐          │ EncDecAttention come from memory)
       │  encoder.block, × num_layers          + ◄─ SelfAttention ◄─ norm ─┘  layer.0 ┘
     shared                                  shared
       │                                       │
    input_ids (B, S)                        decoder_input_ids (B, T)

It knows places only by how far apart two tokens are: each self-attention adds a learnt number to the score of a query and
a key, one per head and per bucket of distances (``relative_attention_bias``, which the first block learns for all).
There is no bias anywhere else, norms are RMSNorm, and scores are not divided by √d_kv: the start of the weights does that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minitorch import Generator, Tensor, autograd, from_numpy, no_grad, stack
from minitorch.errors import CheckpointError, RangeError, ShapeError
from minitorch.kernels import backend
from minitorch.models.generation import check_sampling, sample
from minitorch.models.pretrained import ACTIVATIONS, FUSED, Config, PretrainedModel, beside
from minitorch.models.search import (
    SearchCache,
    check_search,
    end_ids,
    evaluating,
    look,
    search,
)
from minitorch.nn import Dropout, Embedding, Linear, Module, ModuleList, RMSNorm, init
from minitorch.nn import functional as F
from minitorch.nn.module import is_plain
from minitorch.ops.device import on_host

__all__ = ["T5", "T5Config", "relative_position_bucket"]


@dataclass
class T5Config(Config):
    """The sizes and choices of a T5, under the names of config.json, with T5-small's values as defaults.

    ``feed_forward_proj`` is an activation, "relu", or a gated one, "gated-gelu" (where gelu means gelu_new, as everybody
    has it), "gated-silu". ``scale_decoder_outputs`` multiplies the decoder's output by d_model^−½; the first T5, whose
    projection is tied, does so, and None means: if tied.

    >>> from minitorch.models import T5Config
    >>> T5Config.preset("base").num_decoder_layers
    6
    """

    model_type: ClassVar[str] = "t5"
    aliases: ClassVar[Mapping[str, str]] = {"hidden_size": "d_model", "num_attention_heads": "num_heads",
                                            "num_hidden_layers": "num_layers", "head_dim": "d_kv"}
    sizes = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads",
             "relative_attention_num_buckets")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vocab_size": 65, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        "base": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
        "large": {"d_model": 1024, "d_kv": 64, "d_ff": 4096, "num_layers": 24, "num_heads": 16},
    }

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64                                  # features of one head; heads · d_kv need not be d_model
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None           # None: as many as num_layers
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128      # from here on, all distances share a bucket
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    dense_act_fn: str | None = None                 # what feed_forward_proj says, unless given
    is_gated_act: bool | None = None
    is_encoder_decoder: bool = True                 # false: the encoder alone
    tie_word_embeddings: bool = True
    scale_decoder_outputs: bool | None = None
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    decoder_start_token_id: int | None = None       # None: pad_token_id

    def __post_init__(self):
        gated, _, name = str(self.feed_forward_proj).rpartition("-")
        self._need(gated in ("", "gated"), "feed_forward_proj", "an activation, such as 'relu', or 'gated-' and one")
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if self.dense_act_fn is None:
            self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else name
        if self.is_gated_act is None:
            self.is_gated_act = bool(gated)
        if self.scale_decoder_outputs is None:
            self.scale_decoder_outputs = self.tie_word_embeddings
        if self.decoder_start_token_id is None:
            self.decoder_start_token_id = self.pad_token_id
        super().__post_init__()

    def check(self) -> None:
        self._need_sizes("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads",
                         "relative_attention_num_buckets", "relative_attention_max_distance")
        self._need(self.relative_attention_num_buckets >= 4, "relative_attention_num_buckets",
                   "4 or more: half are for keys before, half for keys behind, and half of those for short distances")
        self._need(self.relative_attention_max_distance > self.relative_attention_num_buckets // 2,
                   "relative_attention_max_distance", "above relative_attention_num_buckets // 2 = "
                   f"{self.relative_attention_num_buckets // 2}, below which every distance has its own bucket")
        self._need_activation("dense_act_fn")
        self._need_probabilities("dropout_rate")
        self._need_positive("layer_norm_epsilon", "initializer_factor")
        self._need_flags("is_gated_act", "is_encoder_decoder", "tie_word_embeddings", "scale_decoder_outputs")
        self._need_id("pad_token_id", self.vocab_size)
        self._need_id("decoder_start_token_id", self.vocab_size)


class T5(PretrainedModel):
    """An encoder-decoder Transformer that knows places only by their distance.

    >>> from minitorch.models import T5, T5Config
    >>> t5 = T5(T5Config.preset("tiny"))
    >>> text, begun = minitorch.tensor([[5, 3, 60, 1]]), minitorch.tensor([[0, 7]])
    >>> t5(text, begun).shape                                  # for each token written, a score for every one to follow
    (1, 2, 65)
    >>> t5.generate(text, max_new_tokens=3, eos=None).shape    # the start token and three more
    (1, 4)
    """

    config_class = T5Config
    table = ("shared.weight", "vocab_size", "d_model")
    architectures = ("T5ForConditionalGeneration",)
    prefix = "transformer."
    heads = ("",)                                       # T5's files carry no prefix
    tied = {"lm_head.weight": "shared.weight"}
    ignored = (r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",)

    config: T5Config

    def __init__(self, config: T5Config):
        super().__init__(config)
        both = config.is_encoder_decoder
        self.shared = Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack(config, config.num_layers, decoder=False)
        self.decoder = Stack(config, config.num_decoder_layers or config.num_layers, decoder=True) if both else None
        untied = both and not config.tie_word_embeddings
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False) if untied else None
        self._initialise()

    def _initialise(self) -> None:
        """As T5 starts: queries are drawn so small that q · k needs no division by √d_kv."""
        c, factor = self.config, self.config.initializer_factor
        stds = {"q": (c.d_model * c.d_kv) ** -0.5, "o": (c.num_heads * c.d_kv) ** -0.5, "wo": c.d_ff ** -0.5,
                "shared": 1.0, "lm_head": 1.0}
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                init.normal_(parameter, 0.0, factor * stds.get(name.split(".")[-2], c.d_model ** -0.5))

    # -----------------------------------------------------------------------------------------------------------------
    # from ids to numbers

    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                decoder_attention_mask: Tensor | None = None) -> Tensor:
        """Logits (B, T, V): behind each token of decoder_input_ids, a score for every token that may come next.

        Masks, (B, S) and (B, T), are 1 for tokens and 0 for padding, which nobody looks at.
        """
        memory = self.encode(input_ids, attention_mask)
        return self.logits(self.decode(decoder_input_ids, memory, attention_mask, decoder_attention_mask))

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the encoder makes of a text: a vector for every token, (B, S, d)."""
        ids = self._ids("encode", input_ids, "input_ids")
        return self.encoder(self.shared(ids), self._mask("encode", attention_mask, ids.shape))

    def decode(self, decoder_input_ids: Tensor | None, memory: Tensor, attention_mask: Tensor | None = None,
               decoder_attention_mask: Tensor | None = None, cache: SearchCache | None = None,
               seen: list[Tensor] | None = None) -> Tensor:
        """The decoder's output (B, T, d) for what is written so far; memory is what ``encode`` returned.

        With a cache, decoder_input_ids are the new ids. Cross-attention weights are appended to ``seen``.
        """
        decoder = self._decoder()
        if decoder_input_ids is None:
            raise TypeError("T5: decoder_input_ids is missing: the decoder needs what is written so far, and be it the "
                            f"start token alone, {self.config.decoder_start_token_id}. To train, call loss(input_ids, "
                            "labels); to write, generate(input_ids).")
        ids = self._ids("decode", decoder_input_ids, "decoder_input_ids")
        if memory.ndim != 3 or memory.shape[2] != self.config.d_model:
            raise ShapeError(f"T5.decode: memory should be (batch, length, {self.config.d_model}), what encode returned; "
                             f"got {tuple(memory.shape)}")
        if ids.shape[0] != memory.shape[0]:
            raise ShapeError(f"T5.decode: decoder_input_ids {ids.shape} and the source {memory.shape[:2]} are (batch, "
                             f"length), and their batches differ: {ids.shape[0]} and {memory.shape[0]}")
        past = cache.length if cache is not None else 0
        mask = self._mask("decode", decoder_attention_mask, (ids.shape[0], past + ids.shape[1]), "decoder_attention_mask")
        source_mask = self._mask("decode", attention_mask, memory.shape[:2])
        return decoder(self.shared(ids), mask, memory, source_mask, cache, seen)

    def logits(self, features: Tensor) -> Tensor:
        """A score for every token of the vocabulary."""
        return F.linear(self._scaled(features), self._table)

    def loss(self, input_ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None,
             decoder_attention_mask: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """The mean of −log p(label), without ever holding all logits.

        labels (B, T): the text to write, which ends with the end token; −100 where it does not count. The decoder reads it
        moved by one, behind the start token (teacher forcing).
        """
        labels = self._ids("loss", labels, "labels")
        given = on_host(labels.data)
        wrong = given[(given != -100) & ((given < 0) | (given >= self.config.vocab_size))]
        if wrong.size:
            raise RangeError(f"T5.loss: label {wrong[0]} is outside [0, {self.config.vocab_size}); −100 marks labels that "
                             "do not count")
        memory = self.encode(input_ids, attention_mask)
        features = self.decode(self.shift_right(labels), memory, attention_mask, decoder_attention_mask)
        return F.softmax_projection(self._scaled(features), self._table, None, labels, label_smoothing=label_smoothing)

    def shift_right(self, labels: Tensor) -> Tensor:
        """What the decoder reads while it learns to write labels: the start token, then all labels but the last.

        >>> from minitorch.models import T5, T5Config
        >>> T5(T5Config.preset("tiny")).shift_right(minitorch.tensor([[7, 8, 1, -100]]))
        tensor([[0, 7, 8, 1]])
        """
        labels, start, pad = self._ids("shift_right", labels, "labels"), self._start(), self.config.pad_token_id
        given = on_host(labels.data)
        if pad is None and (given == -100).any():
            raise ValueError("T5: pad_token_id is None, but labels hold −100, which the decoder reads as padding. Set "
                             "config.pad_token_id.")
        shifted = np.concatenate([np.full((len(given), 1), start), given[:, :-1]], 1)
        return beside(labels, np.where(shifted == -100, pad if pad is not None else 0, shifted))

    @no_grad()
    def cross_attention(self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Who looks where: for each token written, how much each head looks at each token read.

        Shape (layers, B, heads, T, S); each row sums to 1.
        """
        seen: list[Tensor] = []
        with evaluating(self):
            self.decode(decoder_input_ids, self.encode(input_ids, attention_mask), attention_mask, seen=seen)
        return stack(seen)

    def _scaled(self, features):
        return features * self.config.d_model ** -0.5 if self.config.scale_decoder_outputs else features

    @property
    def _table(self) -> Tensor:
        return self.shared.weight if self.lm_head is None else self.lm_head.weight

    def _decoder(self) -> Stack:
        if self.decoder is None:
            raise RuntimeError("T5: this model is an encoder alone (is_encoder_decoder is false): it has no decoder to "
                               "write with. encode(input_ids) gives its vectors.")
        return self.decoder

    def _start(self) -> int:
        if self.config.decoder_start_token_id is None:
            raise ValueError("T5: decoder_start_token_id and pad_token_id are None: with which token does the decoder "
                             "begin? Set config.decoder_start_token_id.")
        return self.config.decoder_start_token_id

    # -----------------------------------------------------------------------------------------------------------------
    # writing

    @no_grad()
    def generate(self, input_ids: Any, max_new_tokens: int = 20, temperature: float = 0.0, top_k: int | None = None,
                 top_p: float | None = None, eos: Any = "config", attention_mask: Any = None,
                 generator: Generator | None = None, beams: int = 1, length_penalty: float = 1.0,
                 early_stopping: bool | str = False, return_scores: bool = False, use_cache: bool = True) -> Any:
        """What the decoder writes to each text: the start token, then at most max_new_tokens (B, 1 + tokens).

        Greedily; or drawn, with a ``temperature`` above 0 and the other settings of ``generation.sample``; or searched for
        with several ``beams``, whose settings are those of ``search.beam_search``. A text ends with the token ``eos`` (the
        config's, unless given; None: never) and is filled with pad_token_id. Texts of unequal length need an
        attention_mask, ``input_ids != pad``; without one, padding is read. With ``return_scores``: (ids, scores).
        """
        check_search("T5.generate", max_new_tokens, beams, length_penalty, early_stopping)
        check_sampling("T5.generate", temperature, top_k, top_p)
        if temperature and beams > 1:
            raise ValueError(f"T5.generate: beams={beams} search for the likeliest text, temperature={temperature} draws "
                             "by chance: choose one")
        choose = partial(sample, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
        ids = self._ids("generate", input_ids, "input_ids").to(self.device)
        config, decoder = self.config, self._decoder()
        ends = end_ids("T5.generate", config.eos_token_id if isinstance(eos, str) and eos == "config" else eos)
        with evaluating(self):
            memory, source_mask = self.encode(ids, attention_mask), self._mask("generate", attention_mask, ids.shape)

            def decode(new, cache):
                return self.logits(decoder(self.shared(new.to(memory.device)), None, memory, source_mask, cache)[:, -1:])

            return search(decode, len(ids), self._start(), max_new_tokens=max_new_tokens, beams=beams,
                          length_penalty=length_penalty, early_stopping=early_stopping, ends=ends, pad=config.pad_token_id,
                          return_scores=return_scores, use_cache=use_cache, write=self.writer(source_mask),
                          choose=choose if temperature else None)

    def writer(self, source_mask: np.ndarray | None = None) -> Callable[[np.ndarray, SearchCache], np.ndarray] | None:
        """What ``decode`` and ``logits`` compute, for one more token of each text, in plain NumPy and without a tape.

        None if somebody looks on, or replaced a part: then the parts themselves are run.
        """
        decoder = self.decoder
        if decoder is None or self.device != "cpu" or autograd.observers or not all(
                is_plain(module, type(module)) and type(module) in _PARTS for module in self.modules()):
            return None
        if source_mask is not None and not source_mask.any(1).all():
            return None
        c, table, embeddings = self.config, self._table.data.T, self.shared.weight.data
        act, eps, k = ACTIVATIONS[str(c.dense_act_fn)], c.layer_norm_epsilon, backend(table)
        layers = [[{name: weight.data.T for name, weight in part.named_parameters()} for part in block.layer]
                  for block in decoder.block]
        last = decoder.final_layer_norm.weight.data
        hidden = None if source_mask is None else np.where(source_mask, 0, -np.inf).astype(table.dtype)[:, None, None, :]
        biases = np.empty((c.num_heads, 0), table.dtype)                                    # by distance

        def norm(x, weight):
            return x / np.sqrt(np.vecdot(x, x)[:, None] / x.shape[-1] + eps) * weight

        def linear(x, weights, name):
            return k.matmul_forward(x, weights[name + ".weight"])

        def write(ids, cache):
            nonlocal biases
            past = cache.length
            if past >= biases.shape[1]:
                first = decoder.block[0].layer[0].SelfAttention
                biases = first.bias_of_distance(1, 2 * past + 63).data[0, :, 0, ::-1]
            bias = biases[:, past::-1][None, :, None]
            x = embeddings[ids]                                                             # (N, d)
            for number, (attention, lookup, feed) in enumerate(layers):
                h, name = norm(x, attention["layer_norm.weight"]), "SelfAttention."
                q, keys, values = (linear(h, attention, name + n).reshape(len(x), c.num_heads, 1, -1) for n in "qkv")
                keys, values = cache.extend_arrays(number, keys, values)
                x = x + linear(look(q, keys, values, bias=bias), attention, name + "o")
                h, name = norm(x, lookup["layer_norm.weight"]), "EncDecAttention."
                q = linear(h, lookup, name + "q").reshape(len(x), c.num_heads, 1, -1)
                keys, values = cache.source[number]
                x = x + linear(look(q, keys.data, values.data, bias=hidden), lookup, name + "o")
                h, name = norm(x, feed["layer_norm.weight"]), "DenseReluDense."
                inner = act(from_numpy(linear(h, feed, name + ("wi_0" if c.is_gated_act else "wi")))).data
                if c.is_gated_act:
                    inner = inner * linear(h, feed, name + "wi_1")
                x = x + linear(inner, feed, name + "wo")
            x = norm(x, last)
            return k.matmul_forward(x * x.dtype.type(c.d_model ** -0.5) if c.scale_decoder_outputs else x, table)

        return write

    # -----------------------------------------------------------------------------------------------------------------
    # files

    @classmethod
    def read(cls, path: Path) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """A folder's config and weights; it may hold a T5ForConditionalGeneration, a T5Model or a T5EncoderModel.

        A T5Model has no projection; the table of embeddings serves. A T5EncoderModel can only ``encode``.
        """
        content, weights = super().read(path)
        kinds = content.get("architectures") or []
        if content.get("scale_decoder_outputs") is None:
            content["scale_decoder_outputs"] = content.get("tie_word_embeddings") is not False
        if kinds and not any("ConditionalGeneration" in str(kind) for kind in kinds) and "lm_head.weight" not in weights:
            content["tie_word_embeddings"] = True
        if "T5EncoderModel" in kinds and not any("decoder." in name for name in weights):
            content["is_encoder_decoder"] = False
        return content, weights

    def _load(self, path, weights, named) -> None:
        for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):    # older files hold shared three times
            if name in named:
                table = weights[named.setdefault("shared.weight", named[name])]
                if not np.array_equal(table, weights[named.pop(name)]):
                    raise CheckpointError(path, name, "differs from shared.weight; encoder and decoder share one table here")
        if self.lm_head is None and "lm_head.weight" in named and "shared.weight" in named and not np.array_equal(
                weights[named["lm_head.weight"]], weights[named["shared.weight"]]):
            raise CheckpointError(path, "lm_head.weight", "differs from shared.weight, to which config.json ties it")
        super()._load(path, weights, named)

    def architecture(self) -> list[str]:
        """What config.json calls this model."""
        return list(self.architectures) if self.config.is_encoder_decoder else ["T5EncoderModel"]


class Stack(Module):
    """The encoder, or the decoder: blocks, then a norm. The first block's bias of distances serves them all."""

    def __init__(self, config: T5Config, layers: int, decoder: bool):
        super().__init__()
        self.block = ModuleList([Block(config, layer, decoder) for layer in range(layers)])
        self.final_layer_norm = RMSNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = Dropout(config.dropout_rate)
        self.causal = decoder

    def forward(self, x: Tensor, mask: np.ndarray | None = None, memory: Tensor | None = None,
                source_mask: np.ndarray | None = None, cache: SearchCache | None = None,
                seen: list[Tensor] | None = None) -> Tensor:
        past = cache.length if cache is not None else 0
        bias = self.block[0].layer[0].SelfAttention.bias_of_distance(x.shape[1], past)        # (1, heads, T, past + T)
        may_see = None if mask is None else mask[:, None, None, :]
        if past and self.causal and x.shape[1] > 1:                     # several new tokens after some: token t is past + t
            below = np.tri(x.shape[1], past + x.shape[1], past, dtype=bool)
            may_see = below if may_see is None else may_see & below
        if may_see is not None:
            bias = bias + beside(x, np.where(may_see, 0, -np.inf).astype(x.dtype))
        may = None if source_mask is None else beside(x, source_mask[:, None, None, :])
        x = self.dropout(x)
        for block in self.block:
            x = block(x, bias, memory, may, cache, seen)
        return self.dropout(self.final_layer_norm(x))


class Block(Module):
    """Self-attention, in the decoder also attention to the encoder's output, then a feed-forward network."""

    def __init__(self, config: T5Config, number: int, decoder: bool):
        super().__init__()
        self.layer = ModuleList([Sublayer(config, SelfAttention=Attention(config, number, number == 0, decoder, decoder))])
        if decoder:
            self.layer.append(Sublayer(config, EncDecAttention=Attention(config, number)))
        self.layer.append(Sublayer(config, DenseReluDense=FeedForward(config)))

    def forward(self, x: Tensor, bias: Tensor, memory: Tensor | None = None, may: Tensor | None = None,
                cache: SearchCache | None = None, seen: list[Tensor] | None = None) -> Tensor:
        x = self.layer[0](x, bias, cache=cache)
        if memory is not None:
            x = self.layer[1](x, may, memory, cache, seen)
        return self.layer[-1](x)


class Sublayer(Module):
    """x + f(norm(x)): pre-norm, so that the sum passes from bottom to top untouched. f has Hugging Face's name for it."""

    def __init__(self, config: T5Config, **named: Module):
        super().__init__()
        (self.name, f), = named.items()
        self.add_module(self.name, f)
        self.layer_norm = RMSNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.dropout = config.dropout_rate

    def forward(self, x: Tensor, *others, **settings) -> Tensor:
        branch = getattr(self, self.name)(self.layer_norm(x), *others, **settings)
        return F.residual_add(x, branch, dropout_p=self.dropout, training=self.training)


class Attention(Module):
    """Each token takes from the tokens of its own text, or from memory. No scale, no bias but that of distances."""

    def __init__(self, config: T5Config, number: int, distances: bool = False, causal: bool = False, one_way: bool = False):
        super().__init__()
        width = config.num_heads * config.d_kv
        self.q = Linear(config.d_model, width, bias=False)
        self.k = Linear(config.d_model, width, bias=False)
        self.v = Linear(config.d_model, width, bias=False)
        self.o = Linear(width, config.d_model, bias=False)
        if distances:
            self.relative_attention_bias = Embedding(config.relative_attention_num_buckets, config.num_heads)
        self.number, self.heads, self.dropout = number, config.num_heads, config.dropout_rate
        self.causal, self.one_way = causal, one_way
        self.max_distance = config.relative_attention_max_distance

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None,
                cache: SearchCache | None = None, seen: list[Tensor] | None = None) -> Tensor:
        N, T, _ = x.shape
        q = self._heads(self.q(x))                                                            # (N, heads, T, d_kv)
        if memory is None:
            k, v = self._heads(self.k(x)), self._heads(self.v(x))
            if cache is not None:
                k, v = cache.extend(self.number, k, v)
        elif cache is None:
            k, v = self._keys_and_values(memory)
        else:
            k, v = cache.once(self.number, lambda: self._keys_and_values(memory))
        B, heads = k.shape[:2]
        if N != B:                          # several beams read one text: their queries go side by side
            q = q.reshape(B, N // B, heads, T, -1).transpose(1, 2).reshape(B, heads, N // B * T, q.shape[-1])
        causal = self.causal and k.shape[2] == T                            # after past tokens, the stack's mask says it
        y = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0, causal, scale=1.0)
        if seen is not None:
            seen.append(F.attention_weights(q, k, mask, scale=1.0))
        if N != B:
            y = y.reshape(B, heads, N // B, T, -1).transpose(1, 2).reshape(N, heads, T, -1)
        return self.o(y.transpose(1, 2).reshape(N, T, self.o.in_features))

    def _heads(self, x):
        return x.view(*x.shape[:2], self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def _keys_and_values(self, memory):
        return self._heads(self.k(memory)), self._heads(self.v(memory))

    def bias_of_distance(self, length: int, past: int = 0) -> Tensor:
        """What is added to the score of query t (number past + t) and key s: (1, heads, length, past + length)."""
        distance = np.arange(past + length) - np.arange(past, past + length)[:, None]
        bucket = relative_position_bucket(distance, not self.one_way, self.relative_attention_bias.num_embeddings,
                                          self.max_distance)
        table = self.relative_attention_bias
        return table(beside(table.weight, bucket)).permute(2, 0, 1).unsqueeze(0)


class FeedForward(Module):
    """wo(act(wi x)), or, gated, wo(act(wi_0 x) · wi_1 x). The name DenseReluDense stayed when the ReLU went."""

    def __init__(self, config: T5Config):
        super().__init__()
        for name in ("wi_0", "wi_1") if config.is_gated_act else ("wi",):
            self.add_module(name, Linear(config.d_model, config.d_ff, bias=False))
        self.wo = Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = Dropout(config.dropout_rate)
        self.gated, self.activation = config.is_gated_act, str(config.dense_act_fn)

    def forward(self, x: Tensor) -> Tensor:
        act = ACTIVATIONS[self.activation]
        if self.gated:
            return self.wo(self.dropout(act(self.wi_0(x)) * self.wi_1(x)))
        if self.activation in FUSED:
            return F.feed_forward(x, self.wi.weight, None, self.wo.weight, None, FUSED[self.activation],
                                  self.dropout.p, self.training)
        return self.wo(self.dropout(act(self.wi(x))))


_PARTS = (T5, Stack, Block, Sublayer, Attention, FeedForward, Dropout, Embedding, Linear, ModuleList, RMSNorm)


def relative_position_bucket(distance: np.ndarray, bidirectional: bool = True, num_buckets: int = 32,
                             max_distance: int = 128) -> np.ndarray:
    """In which bucket a distance, key minus query, falls.

    Half of the buckets are for short distances, one each; in the others the distances grow like powers, and the last
    holds all from max_distance on. If keys may lie on both sides, each side gets half of the buckets; else keys behind the
    query (which it may not see) count as distance 0.

    >>> from minitorch.models.t5 import relative_position_bucket
    >>> relative_position_bucket(np.array([0, -1, -2, -7, -9, -50, -500]), False, num_buckets=8, max_distance=64)
    array([0, 1, 2, 4, 5, 7, 7])
    """
    if bidirectional:
        num_buckets //= 2
    behind = (distance > 0) * (num_buckets if bidirectional else 0)
    distance = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
    exact = num_buckets // 2
    # in float32, as everybody's: at the borders between buckets the rounding decides
    times = np.maximum(distance, 1).astype(np.float32) / np.float32(exact)
    share = np.log(times) / np.float32(math.log(max_distance / exact))
    far = exact + (share * np.float32(num_buckets - exact)).astype(np.int64)
    return behind + np.where(distance < exact, distance, np.minimum(far, num_buckets - 1))

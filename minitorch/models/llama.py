"""Llama: the decoder of today's open language models.

With this file one can

- build one and train it       ``llama = Llama(LlamaConfig.preset("tiny"))``, ``llama.loss(ids, labels).backward()``
- load a real one              ``Llama.from_pretrained(folder)``, or a file in llama.cpp's format: ``"model.gguf"``
- let it write                 ``llama.generate(ids, max_new_tokens=50)``

From the ids at the bottom to the logits at the top, with each name that Hugging Face gives the weights::

    logits (B, T, V)
       │  lm_head, or embed_tokens again (tied)
       │  norm
       ├───────────────────────────────────────────────┐
       + ◄─ mlp ◄─ post_attention_layernorm            │
       ├───────────────────────────────────────┐       │ × num_hidden_layers: pre-norm
       + ◄─ self_attn ◄─ input_layernorm       │       │
       │        ▲                                      ┘
       │        positions: queries and keys are turned (rotary); no position is added anywhere
       │
      embed_tokens
       │
    ids (B, T)

Beside GPT-2: RMSNorm for LayerNorm; rotary positions; SwiGLU, W₃(silu(W₁x) · W₂x), for the feed-forward network; several
query heads share one head of keys and values, which makes the cache smaller; no biases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minitorch import Tensor, as_tensor, autograd, from_numpy
from minitorch.kernels import backend
from minitorch.models import llama_gguf
from minitorch.models.generation import Generation, KVCache, attend
from minitorch.models.gpt import _may_attend
from minitorch.models.pretrained import ACTIVATIONS, Config, PretrainedModel, beside
from minitorch.nn import Embedding, Linear, Module, ModuleList, RMSNorm, RotaryEmbedding, init
from minitorch.nn import functional as F
from minitorch.nn.module import is_plain
from minitorch.ops.device import on_host

__all__ = ["Llama", "LlamaConfig"]


_NO_MARKS = {"bos_token_id": None, "eos_token_id": None}       # a new model's ids mean what its tokenizer says


@dataclass
class LlamaConfig(Config):
    """The sizes and choices of a Llama, under the names of config.json, with transformers' defaults.

    ``rope_theta`` and ``rope_scaling`` say how positions turn queries and keys (see ``nn.RotaryEmbedding``); newer files
    keep both in ``rope_parameters``, which is read, too.

    >>> from minitorch.models import LlamaConfig
    >>> LlamaConfig.preset("base", vocab_size=65).intermediate_size
    2048
    """

    model_type: ClassVar[str] = "llama"
    only: ClassVar[Mapping[str, tuple]] = {"partial_rotary_factor": (1, None), "sliding_window": (None,)}
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vocab_size": 65, "hidden_size": 32, "intermediate_size": 88, "num_hidden_layers": 2,
                 "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, **_NO_MARKS},
        "base": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6, "num_attention_heads": 8,
                 **_NO_MARKS},
        "large": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
                  **_NO_MARKS},
    }

    vocab_size: int = 32000
    hidden_size: int = 4096                     # d, the features of each token
    intermediate_size: int = 11008              # inside the feed-forward network
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None      # None: as many as query heads
    head_dim: int | None = None                 # None: d / heads
    max_position_embeddings: int = 2048         # the longest text it has learnt to read
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = None                 # its embedding learns nothing; −1 is the last id

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LlamaConfig:
        """From what a config.json holds, of transformers 4 or 5."""
        content = dict(content)
        new, old = content.pop("rope_parameters", None), content.get("rope_scaling")
        if new is not None and not isinstance(new, Mapping):
            raise ValueError(f"LlamaConfig: rope_parameters should be an object {{...}}, got {new!r}")
        rope = {**(old if isinstance(old, Mapping) else {}), **(new or {})}
        if "rope_theta" in rope:
            content["rope_theta"] = rope.pop("rope_theta")
        if new is not None:
            content["rope_scaling"] = rope
        for key, allowed in cls.only.items():
            if rope.get(key) not in (*allowed, None):
                raise NotImplementedError(f"LlamaConfig: {key}={rope[key]!r} is not supported")
        return super().from_dict(content)

    def check(self) -> None:
        self._need_sizes("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                         "max_position_embeddings")
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self._need_heads("hidden_size", "num_attention_heads")
            self.head_dim = self.hidden_size // self.num_attention_heads
        self._need_sizes("num_key_value_heads", "head_dim")
        self._need(self.head_dim % 2 == 0, "head_dim", "even: rotary positions turn pairs of features")
        self._need_heads("num_attention_heads", "num_key_value_heads")
        self._need_activation("hidden_act")
        self._need_positive("rms_norm_eps", "initializer_range", "rope_theta")
        self._need_probabilities("attention_dropout")
        self._need_flags("attention_bias", "mlp_bias", "tie_word_embeddings")
        pad, size = self.pad_token_id, self.vocab_size
        self._need(pad is None or isinstance(pad, int) and -size <= pad < size, "pad_token_id",
                   f"None or an id below {size}")
        self._need(self.rope_scaling is None or isinstance(self.rope_scaling, Mapping), "rope_scaling", "None or a dict")
        if self.rope_scaling and self.rope_scaling.get("rope_type", self.rope_scaling.get("type")) == "default":
            self.rope_scaling = None
        RotaryEmbedding(min(self.head_dim, 4), self.rope_theta, self._stretch())        # raises what is wrong with them

    def rotary(self) -> RotaryEmbedding:
        """What turns queries and keys."""
        return RotaryEmbedding(self.head_dim, self.rope_theta, self._stretch())      # type: ignore[arg-type]

    def _stretch(self):
        """rope_scaling; the length learnt from is the model's, unless llama3 says otherwise."""
        scaling = dict(self.rope_scaling or {})
        if scaling and (self._dynamic or "original_max_position_embeddings" not in scaling):
            scaling["original_max_position_embeddings"] = self.max_position_embeddings
        return scaling

    @property
    def _dynamic(self) -> bool:
        scaling = self.rope_scaling or {}
        return scaling.get("rope_type", scaling.get("type")) == "dynamic"


class Llama(Generation, PretrainedModel):
    """A decoder-only Transformer as Llama, SmolLM, TinyLlama and others have it.

    >>> from minitorch.models import Llama, LlamaConfig
    >>> llama = Llama(LlamaConfig.preset("tiny"))
    >>> ids = minitorch.tensor([[5, 3, 60, 1]])
    >>> llama(ids).shape                                      # for each token, a score for every token that may follow
    (1, 4, 65)
    >>> llama.generate(ids, max_new_tokens=3, temperature=0).shape
    (1, 7)
    """

    config_class = LlamaConfig
    table = ("embed_tokens.weight", "vocab_size", "hidden_size")
    architectures = ("LlamaForCausalLM",)
    prefix = "model."
    heads = ("lm_head.",)
    tied = {"lm_head.weight": "embed_tokens.weight"}
    ignored = (r"\.rotary_emb\.inv_freq$",)

    config: LlamaConfig

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        c = config
        self.embed_tokens = Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.layers = ModuleList([Block(c, layer) for layer in range(c.num_hidden_layers)])
        self.norm = RMSNorm(c.hidden_size, eps=c.rms_norm_eps)
        self.lm_head = None if c.tie_word_embeddings else Linear(c.hidden_size, c.vocab_size, bias=False)
        self.rotary = c.rotary()
        self._initialise()

    def _initialise(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.normal_(parameter, 0.0, self.config.initializer_range)
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                init.zeros_(parameter)
        if self.config.pad_token_id is not None:
            self.embed_tokens.weight.data[self.config.pad_token_id] = 0

    @classmethod
    def read(cls, path: Path) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """A folder's config and weights; from a GGUF file, too, alone or in a folder without config.json."""
        file = llama_gguf.file_in(path)
        return super().read(path) if file is None else llama_gguf.read(file)

    @classmethod
    def for_weights(cls, config, shapes, changes):
        """The model to load these weights into: every one is loaded, so none is drawn."""
        with init.skipped():
            return cls(config)

    @property
    def context_length(self) -> int:
        """How many tokens it can read: as many as it has learnt to, times the factor of a dynamic rope_scaling."""
        stretch = self.rotary.scaling["factor"] if self.rotary.dynamic else 1
        return int(self.config.max_position_embeddings * stretch)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None,
                cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V): at each position, a score for every token that may come next.

        attention_mask (B, T): 1 for tokens, 0 for padding, which nobody looks at. With a cache, ids are the new tokens,
        and the mask covers those read before as well.
        """
        return self.logits(self.features(ids, attention_mask, position_ids, cache))

    def features(self, ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None,
                 cache: KVCache | None = None) -> Tensor:
        """The output of the last layer, normalised: (B, T, d)."""
        ids = self._ids("forward", ids)
        (batch, length), past = ids.shape, cache.length if cache else 0
        mask = self._mask("forward", attention_mask, (batch, past + length))
        if position_ids is None:
            positions = np.arange(past, past + length)
        else:
            positions = np.atleast_2d(on_host(as_tensor(position_ids).data))[:, None, :]    # (B, 1, T): for every head
        x = self.embed_tokens(ids)
        turn = [beside(x, table.astype(self.dtype)) for table in self.rotary.tables(positions)]
        may = _may_attend(x, mask, length, past)
        for block in self.layers:
            x = block(x, turn, may, cache)
        return self.norm(x)

    def logits(self, features: Tensor) -> Tensor:
        """A score for every token of the vocabulary."""
        return F.linear(features, self._table)

    def loss(self, ids: Tensor, labels: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        """The mean of −log p(label) over all positions, without ever holding all logits.

        labels (B, T): the token that follows each position; −100 where it does not count. Without labels, each token of
        ids is the label of the one before it.
        """
        ids = self._ids("loss", ids)
        if labels is None:
            following = np.full(ids.shape, -100)
            following[:, :-1] = on_host(ids.data)[:, 1:]
            mask = self._mask("loss", attention_mask, ids.shape)
            if mask is not None:
                following[:, :-1][~(mask[:, 1:] & mask[:, :-1])] = -100
            labels = beside(ids, following)
        return F.softmax_projection(self.features(ids, attention_mask), self._table, None, as_tensor(labels))

    def decoder(self) -> Callable[..., np.ndarray] | None:
        """What ``forward`` computes, for one more token of each text, in plain NumPy and without a tape.

        None if somebody looks on, or replaced a part: then the parts themselves are run.
        """
        if autograd.observers or not all(is_plain(module, type(module)) and type(module) in _PARTS
                                         for module in self.modules()):
            return None
        c, act, k = self.config, ACTIVATIONS[self.config.hidden_act], backend(self._table.data)
        H, G, D = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        layers = [[_arrays(part) for part in (
            block.input_layernorm, *(block.self_attn.get_submodule(f"{name}_proj") for name in "qkvo"),
            block.post_attention_layernorm, block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj)]
            for block in self.layers]
        tokens, last, table = self.embed_tokens.weight.data, _arrays(self.norm), self._table.data
        linear, turn = k.linear_forward, k.rotary_forward

        def norm(x, weight, _):
            return x / np.sqrt(np.vecdot(x, x)[:, None] / x.shape[-1] + c.rms_norm_eps) * weight

        def step(ids, positions, may, cache):
            x = tokens[ids]                                                                 # (B, d)
            B = len(x)
            may = None if may is None else may[:, None, None, :]
            cos, sin = (t.astype(x.dtype).reshape(-1, 1, 1, D // 2) for t in self.rotary.tables(positions))
            for layer, (norm_1, q_proj, k_proj, v_proj, o_proj, norm_2, gate, up, down) in enumerate(layers):
                h = norm(x, *norm_1)
                q = turn(linear(h, *q_proj).reshape(B, G, H // G, D), cos, sin)             # a group's heads side by side
                keys = turn(linear(h, *k_proj).reshape(B, G, 1, D), cos, sin)
                keys, values = cache.extend_arrays(layer, keys, linear(h, *v_proj).reshape(B, G, 1, D))
                x = x + linear(attend(q, keys, values, D ** -0.5, may).reshape(B, H * D), *o_proj)
                h = norm(x, *norm_2)
                x = x + linear(act(from_numpy(linear(h, *gate))).data * linear(h, *up), *down)
            return linear(norm(x, *last), table, None)

        return step

    @property
    def _table(self) -> Tensor:
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight


class Block(Module):
    """Attention, then a feed-forward network. Each reads the normalised sum so far, and adds to it."""

    def __init__(self, config: LlamaConfig, layer: int):
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = SwiGLU(config)
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, x: Tensor, turn: list, may: tuple, cache: KVCache | None = None) -> Tensor:
        x = F.residual_add(x, self.self_attn(self.input_layernorm(x), turn, may, cache))
        return F.residual_add(x, self.mlp(self.post_attention_layernorm(x)))


class Attention(Module):
    """Every token takes from itself and from those before it; H query heads share G heads of keys and values."""

    def __init__(self, config: LlamaConfig, layer: int):
        super().__init__()
        c, bias = config, config.attention_bias
        self.layer, self.dropout, self.D = layer, c.attention_dropout, c.head_dim
        self.H, self.G = c.num_attention_heads, c.num_key_value_heads
        self.q_proj = Linear(c.hidden_size, self.H * self.D, bias=bias)     # type: ignore[operator]
        self.k_proj = Linear(c.hidden_size, self.G * self.D, bias=bias)     # type: ignore[operator]
        self.v_proj = Linear(c.hidden_size, self.G * self.D, bias=bias)     # type: ignore[operator]
        self.o_proj = Linear(self.H * self.D, c.hidden_size, bias=bias)     # type: ignore[operator]

    def forward(self, x: Tensor, turn: list, may: tuple, cache: KVCache | None = None) -> Tensor:
        B, T, _ = x.shape
        q = self.q_proj(x).view(B, T, self.H, self.D).transpose(1, 2)       # (B, H, T, D)
        k = self.k_proj(x).view(B, T, self.G, self.D).transpose(1, 2)       # (B, G, T, D)
        v = self.v_proj(x).view(B, T, self.G, self.D).transpose(1, 2)
        q, k = F.rotary(q, *turn), F.rotary(k, *turn)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)                           # (B, G, S, D): those of before, too
        mask, causal = may
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=self.H != self.G,
                                           dropout_p=self.dropout if self.training else 0.0)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, self.H * self.D))    # type: ignore[operator]


class SwiGLU(Module):
    """down(silu(gate(x)) · up(x)): one product decides how much of the other passes."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        c = config
        self.gate_proj = Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias)
        self.up_proj = Linear(c.hidden_size, c.intermediate_size, bias=c.mlp_bias)
        self.down_proj = Linear(c.intermediate_size, c.hidden_size, bias=c.mlp_bias)
        self.activation = ACTIVATIONS[c.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


_PARTS = (Llama, Block, Attention, SwiGLU, Embedding, Linear, ModuleList, RMSNorm, RotaryEmbedding)


def _arrays(module) -> tuple[np.ndarray, np.ndarray | None]:
    """Weight and bias."""
    bias = getattr(module, "bias", None)
    return module.weight.data, None if bias is None else bias.data

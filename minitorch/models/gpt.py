"""GPT-2: a decoder that predicts the next token.

With this file one can

- build one and train it       ``gpt = GPT(GPTConfig.preset("tiny"))``, ``gpt.loss(ids, labels).backward()``
- load the real one            ``GPT.from_pretrained(folder)``, and save it: ``gpt.save_pretrained(folder)``
- let it write                 ``gpt.generate(ids, max_new_tokens=50)``

From the ids at the bottom to the logits at the top, with each name that Hugging Face gives the weights::

    logits (B, T, V)
       │  wte, the same table again (tied), or lm_head
       │  ln_f
       ├──────────────┐
       + ◄─ mlp ◄─ ln_2      ┐
       ├──────────────┐      │ × n_layer: pre-norm, so the sum passes from bottom to top untouched
       + ◄─ attn ◄─ ln_1     ┘
       │
       + ◄─ wpe: the position
       │
      wte: the token
       │
    ids (B, T)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minitorch import Tensor, as_tensor, autograd, from_numpy, zeros
from minitorch.errors import ShapeError
from minitorch.kernels import backend
from minitorch.models.generation import Generation, KVCache, attend
from minitorch.models.pretrained import ACTIVATIONS, FUSED, Config, PretrainedModel, beside
from minitorch.nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, init
from minitorch.nn import functional as F
from minitorch.nn.module import is_plain
from minitorch.ops.device import on_host

__all__ = ["GPT", "GPTConfig"]


_NO_MARKS = {"bos_token_id": None, "eos_token_id": None}       # a new model's ids mean what its tokenizer says


@dataclass
class GPTConfig(Config):
    """The sizes and choices of a GPT, under the names of config.json, with GPT-2's own values as defaults.

    >>> from minitorch.models import GPTConfig
    >>> GPTConfig.preset("base", vocab_size=65).n_layer
    6
    """

    model_type: ClassVar[str] = "gpt2"
    aliases: ClassVar[Mapping[str, str]] = {"hidden_size": "n_embd", "max_position_embeddings": "n_positions",
                                            "num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}
    only: ClassVar[Mapping[str, tuple]] = {"add_cross_attention": (False, None)}
    sizes = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_inner")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vocab_size": 65, "n_positions": 64, "n_embd": 32, "n_head": 4, "n_layer": 2, **_NO_MARKS},
        "base": {"n_embd": 512, "n_head": 8, "n_layer": 6, **_NO_MARKS},
        "large": {"n_embd": 1024, "n_head": 16, "n_layer": 24, **_NO_MARKS},
    }

    vocab_size: int = 50257
    n_positions: int = 1024                         # the longest text it can read
    n_embd: int = 768                               # d, the features of each token
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None                      # of the feed-forward network; None: 4 d
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1                        # dropout: of what each sublayer adds,
    embd_pdrop: float = 0.1                         # of the embeddings,
    attn_pdrop: float = 0.1                         # of the attention's probabilities
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True                 # divide the scores by √(d / heads),
    scale_attn_by_inverse_layer_idx: bool = False   # and by the number of the layer
    tie_word_embeddings: bool = True
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    pad_token_id: int | None = None

    def check(self) -> None:
        self._need_sizes("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
        self._need_heads("n_embd", "n_head")
        if self.n_inner is not None:
            self._need_sizes("n_inner")
        self._need_activation("activation_function")
        self._need_probabilities("resid_pdrop", "embd_pdrop", "attn_pdrop")
        self._need_not_negative("layer_norm_epsilon", "initializer_range")
        self._need_flags("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "tie_word_embeddings")


class GPT(Generation, PretrainedModel):
    """A decoder-only Transformer: learned positions, pre-norm, the projection tied to the embedding.

    >>> from minitorch.models import GPT, GPTConfig
    >>> gpt = GPT(GPTConfig.preset("tiny"))
    >>> ids = minitorch.tensor([[5, 3, 60, 1]])
    >>> gpt(ids).shape                                        # for each token, a score for every token that may follow
    (1, 4, 65)
    >>> gpt.generate(ids, max_new_tokens=3, temperature=0).shape
    (1, 7)
    """

    config_class = GPTConfig
    table = ("wte.weight", "vocab_size", "n_embd")
    architectures = ("GPT2LMHeadModel",)
    prefix = "transformer."
    heads = ("lm_head.",)
    tied = {"lm_head.weight": "wte.weight"}
    ignored = (r"\.attn\.(bias|masked_bias)$",)

    config: GPTConfig

    def __init__(self, config: GPTConfig):
        super().__init__(config)
        c = config
        self.wte = Embedding(c.vocab_size, c.n_embd)
        self.wpe = Embedding(c.n_positions, c.n_embd)
        self.drop = Dropout(c.embd_pdrop)
        self.h = ModuleList([Block(c, layer) for layer in range(c.n_layer)])
        self.ln_f = LayerNorm(c.n_embd, eps=c.layer_norm_epsilon)
        self.lm_head = None if c.tie_word_embeddings else Linear(c.n_embd, c.vocab_size, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """As GPT-2 starts: what each sublayer adds is made smaller, so that the sum over the layers is not large."""
        std = self.config.initializer_range
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                init.normal_(parameter, 0.0, std / (2 * self.config.n_layer) ** 0.5 if ".c_proj." in name else std)

    @property
    def context_length(self) -> int:
        """How many tokens it can read: it has learnt a vector for each position."""
        return self.config.n_positions

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
        if past + length > self.config.n_positions:
            raise ShapeError(f"GPT: {past + length} tokens, but n_positions is {self.config.n_positions}: it has no vector "
                             "for a later position. Cut the text; generate() does so by itself.")
        if position_ids is None:
            position_ids = beside(ids, np.arange(past, past + length))
        x = self.drop(self.wte(ids) + self.wpe(as_tensor(position_ids)))
        may = _may_attend(x, mask, length, past)
        for block in self.h:
            x = block(x, may, cache)
        return self.ln_f(x)

    def logits(self, features: Tensor) -> Tensor:
        """A score for every token of the vocabulary."""
        return F.linear(features, self._table)

    def loss(self, ids: Tensor, labels: Tensor | None = None, attention_mask: Tensor | None = None,
             label_smoothing: float = 0.0) -> Tensor:
        """The mean of −log p(label) over all positions, without ever holding all logits.

        labels (B, T): the token that follows each position; −100 where it does not count. Without labels, each token of
        ids is the label of the one before it, unless one of them is padding.
        """
        ids = self._ids("loss", ids)
        if labels is None:
            following = np.full(ids.shape, -100)
            following[:, :-1] = on_host(ids.data)[:, 1:]
            mask = self._mask("loss", attention_mask, ids.shape)
            if mask is not None:
                following[:, :-1][~(mask[:, 1:] & mask[:, :-1])] = -100
            labels = beside(ids, following)
        return F.softmax_projection(self.features(ids, attention_mask), self._table, None, as_tensor(labels),
                                    label_smoothing=label_smoothing)

    def decoder(self) -> Callable[..., np.ndarray] | None:
        """What ``forward`` computes, for one more token of each text, in plain NumPy and without a tape.

        None if somebody looks on, or replaced a part: then the parts themselves are run.
        """
        if autograd.observers or not all(is_plain(module, type(module)) and type(module) in _PARTS
                                         for module in self.modules()):
            return None
        act, scales = ACTIVATIONS[self.config.activation_function], [block.attn.scale for block in self.h]
        layers = [[_arrays(part) for part in (block.ln_1, block.attn.c_attn, block.attn.c_proj,
                                              block.ln_2, block.mlp.c_fc, block.mlp.c_proj)] for block in self.h]
        tokens, places, ln_f, table = self.wte.weight.data, self.wpe.weight.data, _arrays(self.ln_f), self._table.data.T
        heads, eps, k = self.config.n_head, self.config.layer_norm_epsilon, backend(table)

        def norm(x, weight, bias):
            centred = x - np.add.reduce(x, -1, keepdims=True) / x.shape[-1]
            return centred / np.sqrt(np.vecdot(centred, centred)[:, None] / x.shape[-1] + eps) * weight + bias

        def linear(x, weight, bias):
            return k.matmul_forward(x, weight) + bias

        def step(ids, positions, may, cache):
            x = tokens[ids] + places[positions]                                             # (B, d)
            may = None if may is None else may[:, None, None, :]
            for layer, (ln_1, c_attn, attn_proj, ln_2, c_fc, mlp_proj) in enumerate(layers):
                q, keys, values = linear(norm(x, *ln_1), *c_attn).reshape(len(x), 3, heads, 1, -1).swapaxes(0, 1)
                keys, values = cache.extend_arrays(layer, keys, values)
                x = x + linear(attend(q, keys, values, scales[layer], may).reshape(x.shape), *attn_proj)
                hidden = act(from_numpy(linear(norm(x, *ln_2), *c_fc))).data
                x = x + linear(hidden, *mlp_proj)
            return k.matmul_forward(norm(x, *ln_f), table)

        return step

    @property
    def _table(self) -> Tensor:
        return self.wte.weight if self.lm_head is None else self.lm_head.weight


class Block(Module):
    """Attention, then a feed-forward network. Each reads the normalised sum so far, and adds to it."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config, layer)
        self.ln_2 = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)
        self.dropout = config.resid_pdrop

    def forward(self, x: Tensor, may: tuple, cache: KVCache | None = None) -> Tensor:
        x = F.residual_add(x, self.attn(self.ln_1(x), may, cache), dropout_p=self.dropout, training=self.training)
        return F.residual_add(x, self.mlp(self.ln_2(x)), dropout_p=self.dropout, training=self.training)


class Attention(Module):
    """Every token takes from itself and from those before it; c_attn makes queries, keys and values in one product."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.heads, self.layer, self.dropout = config.n_head, layer, config.attn_pdrop
        self.scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer + 1
        self.c_attn = Conv1D(3 * config.n_embd, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, may: tuple, cache: KVCache | None = None) -> Tensor:
        B, T, d = x.shape
        split = B, T, 3, self.heads, d // self.heads
        q, k, v = self.c_attn(x).view(split).permute(2, 0, 3, 1, 4).unbind(0)                       # (B, heads, T, d/heads)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        mask, causal = may
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=self.scale,
                                           dropout_p=self.dropout if self.training else 0.0)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, d))


class MLP(Module):
    """Two linear layers with an activation between, on every token alike.

    One node where the activation is fused, and nobody replaced a part or looks on.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        width = config.n_inner or 4 * config.n_embd
        self.activation = config.activation_function
        self.c_fc = Conv1D(width, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.activation in FUSED and is_plain(self.c_fc, Conv1D) and is_plain(self.c_proj, Conv1D):
            return F.feed_forward(x, self.c_fc.weight.T, self.c_fc.bias, self.c_proj.weight.T, self.c_proj.bias,
                                  FUSED[self.activation])
        return self.c_proj(ACTIVATIONS[self.activation](self.c_fc(x)))


class Conv1D(Module):
    """A linear layer whose weight lies as GPT-2's files have it, (in, out): y = x W + b. The name is theirs, too."""

    def __init__(self, width: int, inputs: int):
        super().__init__()
        self.weight = Parameter(zeros(inputs, width))
        self.bias = Parameter(zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.T, self.bias)

    def extra_repr(self) -> str:
        return f"inputs={self.weight.shape[0]}, width={self.weight.shape[1]}"


_PARTS = (GPT, Block, Attention, MLP, Conv1D, Dropout, Embedding, LayerNorm, Linear, ModuleList)


def _arrays(module) -> tuple[np.ndarray, np.ndarray]:
    return module.weight.data, module.bias.data


def _may_attend(x: Tensor, mask: np.ndarray | None, length: int, past: int) -> tuple[Tensor | None, bool]:
    """Who may look at whom, as attention takes it: a mask (B or 1, 1, T or 1, S) or None, and whether it is causal."""
    causal = length > 1
    may = None if mask is None else mask[:, None, None, :]
    if past and causal:                                     # several new tokens after some: token t is number past + t
        below = np.tri(length, past + length, past, dtype=bool)
        may, causal = below[None, None] if may is None else may & below, False
    return None if may is None else beside(x, may), causal

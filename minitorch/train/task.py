"""What a task is, and what tasks share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from minitorch import data
from minitorch.nn import Module
from minitorch.random import Generator
from minitorch.tensor import Tensor
from minitorch.train.config import ConfigError, unknown_key
from minitorch.train.trainer import Settings
from minitorch.utils.data import DataLoader, Dataset

__all__ = ["Task", "configure", "data_keys", "fraction", "loader", "text_of", "whole_number"]

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


def loader(dataset: Dataset, batch_size: int, settings: Settings, **more) -> DataLoader:
    """The shuffled loader of a task: its order comes from the run's seed, whatever else draws random numbers."""
    whole_number("batch_size", batch_size)
    if batch_size > len(dataset):  # type: ignore[arg-type]
        raise ConfigError(f"[data] batch_size={batch_size} is more than there is to learn from: {len(dataset)}")  # type: ignore
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


def whole_number(name: str, value: Any) -> None:
    """A key of [data] that counts something."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"[data] {name} should be a whole number, 1 or more, got {value!r}")


def fraction(name: str, value: Any) -> None:
    """A key of [data] that is a share."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ConfigError(f"[data] {name} should be a fraction between 0 and 1, got {value!r}")


def text_of(which: str) -> str:
    """The text that a config names: of the plays, or of a file."""
    if which in ("shipped", "all"):
        try:
            return data.plays(which)
        except ImportError as error:
            raise ConfigError(f"[data] text: {error}") from None
    try:
        return Path(which).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"[data] text: {which!r} is neither \"shipped\" nor \"all\" nor a text file: {error}") from None

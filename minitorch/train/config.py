"""What to train, in a file one can read: the task, and the settings of its model, its data and its training.

    task = "char-lm"            # what to learn: minitorch train --list says what there is
    [model]
    n_layer = 4
    [train]
    steps = 2000
    lr = 1e-3

The files are TOML, as far as that goes here: sections, and one ``key = value`` a line, where the value is a number, true,
false, a text in double quotes, or a list of those. Python reads TOML itself from 3.11 on; these few lines do it in 3.10,
and say what is wrong in which line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

__all__ = ["ConfigError", "dump", "override", "parse", "read", "shipped", "unknown_key"]

FOLDER = Path(__file__).parent / "configs"
SECTIONS = ("model", "data", "train")


class ConfigError(ValueError):
    """A config that cannot be carried out; the text says what to write instead."""


def shipped() -> dict[str, str]:
    """The configs that come along: name → the comment in their first line."""
    lines = {path.stem: path.read_text(encoding="utf-8").split("\n")[0] for path in sorted(FOLDER.glob("*.toml"))}
    return {name: line.lstrip("# ") for name, line in lines.items()}


def read(source: str | PathLike) -> dict[str, Any]:
    """The config in a file, in a run's folder, or of a shipped name."""
    path = Path(source)
    if path.is_dir():
        path = path / "config.toml"
    elif not path.suffix and "/" not in str(source) and not path.exists():
        path = FOLDER / f"{source}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        names = list(shipped())
        near = get_close_matches(Path(source).stem, names, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."
        raise ConfigError(f"there is no config {str(source)!r}, neither a file nor one that comes along. {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, name: str = "config") -> dict[str, Any]:
    """The config that a text describes.

    >>> from minitorch.train import config
    >>> config.parse('task = "char-lm"  # letters\\n[train]\\nlr = 1e-3')
    {'task': 'char-lm', 'model': {}, 'data': {}, 'train': {'lr': 0.001}}
    """
    result: dict[str, Any] = {"task": None, **{section: {} for section in SECTIONS}}
    place, seen = result, set()
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}, line {number}"
        line = _without_comment(line)
        if not line:
            continue
        section = re.fullmatch(r"\[\s*([\w-]+)\s*\]", line)
        if section:
            if section[1] not in SECTIONS:
                raise ConfigError(f"{where}: " + unknown_key("section", section[1], SECTIONS))
            place = result[section[1]]
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not re.fullmatch(r"[\w-]+", key):
            raise ConfigError(f"{where}: expected [section] or key = value, got {line!r}")
        if place is result and key != "task":
            raise ConfigError(f"{where}: {key!r} stands before the first section; only task does. The sections are "
                              f"{', '.join(f'[{section}]' for section in SECTIONS)}.")
        if (id(place), key) in seen:
            raise ConfigError(f"{where}: {key!r} is set twice")
        seen.add((id(place), key))
        place[key] = _value(value, where, key)
    if not isinstance(result["task"], str):
        raise ConfigError(f'{name}: its first line should say what to learn: task = "char-lm"')
    return result


def override(config: Mapping[str, Any], changes: Iterable[str], known: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The config with ``key=value`` or ``section.key=value`` from a command line.

    ``known`` says which keys each section may have; a key without its section is looked for in all of them. With
    ``model.`` before it, a key of the model need not be known: the model's own config judges it.
    """
    result = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for change in changes:
        key, equals, text = change.partition("=")
        section, dot, name = key.rpartition(".")
        if not equals or not key:
            raise ConfigError(f"{change!r}: a change is written key=value, such as steps=500")
        if dot and section not in SECTIONS:
            raise ConfigError(f"{change!r}: " + unknown_key("section", section, SECTIONS))
        places = [s for s in ([section] if dot else SECTIONS) if name in known[s] or s == section == "model"]
        if not places:
            raise ConfigError(f"{change!r}: " + unknown_key("key", name, [k for s in SECTIONS for k in known[s]]))
        if len(places) > 1:
            both = " or ".join(f"{s}.{name}" for s in places)
            raise ConfigError(f"{change!r}: {name!r} stands in several sections: write {both}")
        try:
            result[places[0]][name] = json.loads(text, parse_constant=_no_constant)
        except ValueError:
            result[places[0]][name] = text
    return result


def dump(config: Mapping[str, Any]) -> str:
    """The text of a config; ``parse`` reads it back."""
    lines = [f"task = {json.dumps(config['task'])}"]
    for section in SECTIONS:
        lines += ["", f"[{section}]", *[f"{key} = {json.dumps(value)}" for key, value in config[section].items()]]
    return "\n".join(lines) + "\n"


def unknown_key(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist, with the nearest that does."""
    known = list(dict.fromkeys(known))
    near = get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(known))}."
    return f"there is no {what} {name!r}. {hint}"


def _without_comment(line: str) -> str:
    """The line up to a # that stands in no text."""
    text = re.match(r'(?:[^"#]|"(?:[^"\\]|\\.)*")*', line)
    rest = line[text.end():]  # type: ignore[union-attr]
    return (line if rest[:1] not in ("", "#") else line[:text.end()]).strip()  # type: ignore[union-attr]


def _value(text: str, where: str, key: str):
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if isinstance(value, dict) or value is None:
            raise ValueError
    except (ValueError, RecursionError):
        bare = re.fullmatch(r"'?([\w./-]+)'?", text)
        hint = f' A text stands in double quotes: {key} = "{bare[1]}".' if bare else ""
        raise ConfigError(f"{where}: {key} = {text}: expected a number, true, false, a \"text\", or a list of those."
                          f"{hint}") from None
    return value


def _no_constant(name):
    raise ValueError(name)

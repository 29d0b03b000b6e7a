"""What every tokenizer can do: text to ids and back, and a JSON file to keep it in.

A model computes with numbers; a tokenizer decides which piece of text each number stands for. Special tokens such as
``<pad>`` or ``[MASK]`` are pieces that no text contains: their ids come first, 0, 1, 2 ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from minitorch.errors import RangeError
from minitorch.io.atomic import replacing

__all__ = ["Tokenizer"]


class Tokenizer:
    """Text to ids and back. The four kinds here differ in what one id stands for."""

    kind: str                           # the "type" in the file
    special_tokens: dict[str, int]      # name -> id

    @property
    def vocab_size(self) -> int:
        """How many ids there are: they go from 0 up to, but without, this."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of ids."""
        raise NotImplementedError

    def _contents(self) -> dict:
        """What the file holds, apart from the type."""
        raise NotImplementedError

    @classmethod
    def _from_contents(cls, contents: dict) -> Tokenizer:
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Keep it in a JSON file.

        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/letters.json"
        >>> minitorch.data.CharTokenizer("abc").save(path)
        >>> minitorch.data.CharTokenizer.load(path).encode("cab")
        [2, 0, 1]
        """
        text = json.dumps({"type": self.kind, **self._contents()}, ensure_ascii=True, indent=0)
        with replacing(path) as file:
            file.write(text.encode())

    @classmethod
    def load(cls, path: str | Path):
        """The tokenizer that ``save`` kept in a file."""
        try:
            contents = json.loads(Path(path).read_bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"{cls.__name__}.load: there is no file {path}. "
                                    "tokenizer.save(path) writes one.") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{cls.__name__}.load: {path} is not JSON ({error}). Expected a file that "
                             "tokenizer.save(path) wrote.") from None
        kind = contents.get("type") if isinstance(contents, dict) else None
        if kind != cls.kind:
            raise ValueError(f"{cls.__name__}.load: {path} holds no {cls.kind} tokenizer: its \"type\" is {kind!r}. "
                             "minitorch.data.load_tokenizer(path) opens every kind.")
        try:
            return cls._from_contents(contents)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{cls.__name__}.load: {path} is damaged: {type(error).__name__}: {error}") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} ids)"

    def _text(self, text) -> str:
        if not isinstance(text, str):
            raise TypeError(f"{type(self).__name__}.encode: text must be a str, got {type(text).__name__}."
                            + (" Decode it first: text.decode()." if isinstance(text, bytes) else ""))
        return text

    def _ids(self, ids) -> list[int]:
        """The ids as ints, each one checked: a list, an array or a Tensor of one axis."""
        where = f"{type(self).__name__}.decode"
        if isinstance(ids, (str, bytes)):
            raise TypeError(f"{where}: ids must be numbers, got {type(ids).__name__}. encode(text) makes ids of text.")
        ids = getattr(ids, "data", ids) if hasattr(ids, "requires_grad") else ids
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        numbers = list(ids) if isinstance(ids, Iterable) else [ids]
        for at, id in enumerate(numbers):
            if not hasattr(id, "__index__"):
                raise TypeError(f"{where}: ids must be whole numbers, got {type(id).__name__} at position {at}."
                                + (" Decode one row at a time." if isinstance(id, Sequence) else ""))
            if not 0 <= id < self.vocab_size:
                raise RangeError(f"{where}: id {id} at position {at} is not in the vocabulary, 0 to {self.vocab_size - 1}."
                                 " Was the text encoded by another tokenizer?")
        return [int(id) for id in numbers]

    def _split(self, text: str) -> list[tuple[bool, str]]:
        """Cut out the special tokens: (is it one, text), in order."""
        if not self.special_tokens:
            return [(False, text)]
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, longest_first)) + ")", text)
        return [(i % 2 == 1, part) for i, part in enumerate(parts) if part]


def _special(names: Iterable[str], where: str) -> dict[str, int]:
    """Number the special tokens, from 0."""
    if isinstance(names, str):
        raise TypeError(f"{where}: special_tokens must be a list of names, got the str {names!r}. Write [{names!r}].")
    names = list(names)
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: a special token must be a str that is not empty, got {name!r}.")
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: special_tokens holds a name twice: {names}.")
    return {name: id for id, name in enumerate(names)}

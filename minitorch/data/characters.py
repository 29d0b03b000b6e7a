"""One id for each character: the simplest tokenizer, and enough to learn to write like a play."""

from __future__ import annotations

from collections.abc import Iterable

from minitorch.data.tokenizer import Tokenizer, _special

__all__ = ["CharTokenizer"]


class CharTokenizer(Tokenizer):
    """One id for each different character of a text, in the order of their code points.

    Parameters
    ----------
    text
        Every character in it gets an id. The alphabet itself will do, or the text to be learnt.
    special_tokens
        Names of pieces that are no characters; they get the first ids.

    >>> letters = minitorch.data.CharTokenizer("hello")
    >>> letters.characters, letters.encode("hole"), letters.decode([1, 0])
    ('ehlo', [1, 3, 2, 0], 'he')
    >>> letters.encode("help")
    Traceback (most recent call last):
    ValueError: CharTokenizer.encode: 'p' at position 3 is not among the 4 characters: 'ehlo'
    """

    kind = "characters"

    def __init__(self, text: str = "", special_tokens: Iterable[str] = ()):
        self.special_tokens = _special(special_tokens, "CharTokenizer")
        self.train(text)

    def train(self, text: str) -> CharTokenizer:
        """Take the characters of this text instead; return the tokenizer."""
        self.characters = "".join(sorted(set(self._text(text))))
        self._pieces = [*self.special_tokens, *self.characters]
        self._id = {c: i for i, c in enumerate(self.characters, len(self.special_tokens))}
        return self

    @property
    def vocab_size(self) -> int:
        return len(self._pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, one for each character and each special token in it."""
        ids, at = [], 0
        for special, part in self._split(self._text(text)):
            try:
                ids += [self.special_tokens[part]] if special else [self._id[c] for c in part]
            except KeyError as error:
                character = error.args[0]
                some = self.characters if len(self.characters) < 100 else self.characters[:97] + "..."
                raise ValueError(f"CharTokenizer.encode: {character!r} at position {at + part.index(character)} is not "
                                 f"among the {len(self.characters)} characters: {some!r}") from None
            at += len(part)
        return ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of ids."""
        first = len(self.special_tokens) if skip_special_tokens else 0
        return "".join(self._pieces[id] for id in self._ids(ids) if id >= first)

    def _contents(self):
        return {"special_tokens": list(self.special_tokens), "characters": self.characters}

    @classmethod
    def _from_contents(cls, contents):
        return cls(contents["characters"], contents["special_tokens"])

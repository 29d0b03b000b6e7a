"""WordPiece, BERT's tokenizer: the longest pieces of each word that the vocabulary holds.

A file ``vocab.txt`` lists the pieces, one a line; ``##ing`` stands for "ing" inside a word. No other library is needed to
read it, or to learn such pieces from a text of one's own.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from minitorch.data.byte_pairs import find_merges
from minitorch.data.tokenizer import Tokenizer

__all__ = ["WordPieceTokenizer"]

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class WordPieceTokenizer(Tokenizer):
    """BERT's tokenizer. ``encode`` puts [CLS] in front and [SEP] behind, as BERT was trained to see them.

    Parameters
    ----------
    pieces
        The vocabulary, in the order of its ids. ``WordPieceTokenizer.load(folder)`` reads it from ``vocab.txt``; ``train``
        learns it from a text.
    lowercase
        Write everything small and drop accents, as "uncased" models do.

    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "cat", "##s", "!"]
    >>> tokenizer = minitorch.data.WordPieceTokenizer(words)
    >>> tokenizer.encode("Playing cats!"), tokenizer.decode([5, 6, 7, 8])
    ([2, 5, 6, 7, 8, 9, 3], 'playing cats')
    """

    kind = "word-pieces"

    def __init__(self, pieces: Iterable[str] = _SPECIAL, lowercase: bool = True):
        self.lowercase = lowercase
        self._set(pieces)

    def _set(self, pieces):
        self.pieces = list(pieces)
        self._id = {piece: id for id, piece in enumerate(self.pieces)}
        missing = [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in self._id]
        if missing:
            raise ValueError(f"WordPieceTokenizer: the vocabulary lacks {', '.join(missing)}. Is it BERT's vocab.txt?")
        self.special_tokens = {name: self._id[name] for name in _SPECIAL if name in self._id}

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    def train(self, text: str, vocab_size: int) -> WordPieceTokenizer:
        """Learn the pieces from a text: its characters, then what stands most often beside each other, until there are
        ``vocab_size`` of them, or nothing is left to merge.

        >>> tokenizer = minitorch.data.WordPieceTokenizer().train("low lower lowest, slow slower slowest", 24)
        >>> tokenizer.decode(tokenizer.encode("Lowest slower!", add_special_tokens=False))
        'lowest slower [UNK]'
        """
        counts = Counter(word for special, part in self._split(self._text(text)) if not special
                         for word in _words(part, self.lowercase) if len(word) <= 100)
        split = [[word[0], *("##" + c for c in word[1:])] for word in counts]
        pieces = [*_SPECIAL, *sorted({c for word in split for c in word})]
        if vocab_size < len(pieces):
            raise ValueError(f"WordPieceTokenizer.train: vocab_size must be at least {len(pieces)}, got {vocab_size}: the "
                             "special tokens, and each character of the text at the beginning of a word and inside one")
        id = {piece: i for i, piece in enumerate(pieces)}
        for left, right in find_merges([[id[c] for c in word] for word in split], list(counts.values()), len(pieces),
                                       vocab_size):
            pieces.append(pieces[left] + pieces[right].removeprefix("##"))
        self._set(dict.fromkeys(pieces))    # the same piece may come about in two ways
        return self

    def encode(self, text: str, pair: str | None = None, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text, or of two: [CLS] text [SEP] pair [SEP]."""
        ids = self._encode(self._text(text))
        second = [] if pair is None else self._encode(self._text(pair))
        if not add_special_tokens:
            return ids + second
        cls, sep = self.special_tokens["[CLS]"], self.special_tokens["[SEP]"]
        return [cls, *ids, sep] + ([*second, sep] if pair is not None else [])

    def _encode(self, text):
        ids = []
        for special, part in self._split(text):
            if special:
                ids.append(self.special_tokens[part])
            else:
                for word in _words(part, self.lowercase):
                    ids += self._encode_word(word)
        return ids

    def _encode_word(self, word):
        """The longest piece that fits, then the longest of what is left ...; [UNK] when nothing fits."""
        ids, start = [], 0
        while start < len(word) <= 100:
            mark = "##" if start else ""
            end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in self._id), None)
            if end is None:
                break
            ids.append(self._id[mark + word[start:end]])
            start = end
        return ids if start == len(word) else [self.special_tokens["[UNK]"]]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of ids, a blank between words. How it was spaced and capitalised is not kept."""
        skip = set(self.special_tokens.values()) if skip_special_tokens else set()
        return " ".join(self.pieces[id] for id in self._ids(ids) if id not in skip).replace(" ##", "")

    @classmethod
    def load(cls, path: str | Path) -> WordPieceTokenizer:
        """From a folder with ``vocab.txt``, from such a file, or from what ``save`` wrote."""
        path = Path(path)
        if path.is_file() and path.suffix == ".json":
            return super().load(path)
        file = path / "vocab.txt" if path.is_dir() else path
        try:
            pieces = file.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            raise FileNotFoundError(f"WordPieceTokenizer.load: there is no file {file}. BERT's folders hold a vocab.txt.") \
                from None
        settings = file.parent / "tokenizer_config.json"
        lowercase = json.loads(settings.read_bytes()).get("do_lower_case", True) if settings.is_file() else True
        return cls([piece.rstrip("\r") for piece in pieces[:-1] + pieces[-1:] * bool(pieces[-1])], bool(lowercase))

    def _contents(self):
        return {"lowercase": self.lowercase, "pieces": self.pieces}

    @classmethod
    def _from_contents(cls, contents):
        return cls(contents["pieces"], contents["lowercase"])


# Chinese characters are words by themselves.
_HAN = re.compile("([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
                  "\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f])")


def _words(text, lowercase):
    """Words and single signs, cleaned as BERT cleans them."""
    text = "".join(" " if c in "\t\n\r" or unicodedata.category(c) == "Zs" else c for c in text
                   if c in "\t\n\r" or (c != "\ufffd" and unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs")))
    text = _HAN.sub(r" \1 ", text)
    if lowercase:
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn").lower()
    for word in text.split():
        yield from filter(None, re.split("([" + _signs(word) + "])", word) if _signs(word) else [word])


def _signs(word):
    return "".join(re.escape(c) for c in dict.fromkeys(word) if _is_sign(c))


def _is_sign(c):
    return (c.isascii() and not c.isalnum() and c.isprintable()) or unicodedata.category(c)[0] == "P"

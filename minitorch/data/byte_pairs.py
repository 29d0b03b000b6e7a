"""Byte-pair encoding: pieces of words, found by merging the most frequent neighbours again and again.

It starts from the 256 bytes, so that every text in every script can be written, and comes back unchanged. Training counts
all pairs of neighbours, makes the most frequent pair one new token, and repeats until the vocabulary is full. Only the words
that held the merged pair are counted anew: that makes it fast.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from minitorch.data.tokenizer import Tokenizer, _special

__all__ = ["BytePairTokenizer", "find_merges"]

# No token reaches over the edge of a word. Letters, digits and signs keep apart and may take the blank before them along.
# Runs end after 64 characters: the time that encoding takes grows with the text, never with its square.
_WORD = re.compile(r" ?[^\W\d_]{1,64}| ?\d{1,64}| ?(?:[^\w\s]|_){1,64}|\s{1,64}(?!\S)|\s{1,64}")


class BytePairTokenizer(Tokenizer):
    """Pieces of words, learnt from a text; what it has not seen falls apart into bytes, and is never lost.

    Parameters
    ----------
    merges
        Pairs of ids, in the order in which they were merged: pair number k became the id ``256 + k``, behind the special
        tokens. ``train`` finds them.
    special_tokens
        Names that always are one token, with the first ids.

    >>> pieces = minitorch.data.BytePairTokenizer().train("low lower lowest, slow slower slowest", 262)
    >>> [pieces.decode([id]) for id in pieces.encode("a slow lowland")]
    ['a', ' s', 'low', ' ', 'low', 'l', 'a', 'n', 'd']
    >>> pieces.decode(pieces.encode("Größe 漢字 🙂"))
    'Größe 漢字 🙂'
    """

    kind = "byte-pairs"

    def __init__(self, merges: Iterable[tuple[int, int]] = (), special_tokens: Iterable[str] = ()):
        self.special_tokens = _special(special_tokens, "BytePairTokenizer")
        self._set(merges)

    def _set(self, merges):
        first = len(self.special_tokens)
        self._bytes = [name.encode("utf-8", "surrogatepass") for name in self.special_tokens]
        self._bytes += [bytes([b]) for b in range(256)]
        self.merges: dict[tuple[int, int], int] = {}      # (left, right) -> the token they become
        for pair in merges:
            left, right = map(int, pair)
            if not first <= min(left, right) <= max(left, right) < len(self._bytes):
                raise ValueError(f"BytePairTokenizer: merge {len(self.merges)} of {left} and {right}: both must be ids made "
                                 f"before, {first} to {len(self._bytes) - 1}.")
            if (left, right) in self.merges:
                raise ValueError(f"BytePairTokenizer: merge {len(self.merges)} of {left} and {right} is there twice.")
            self.merges[left, right] = len(self._bytes)
            self._bytes.append(self._bytes[left] + self._bytes[right])
        self._known: dict[str, list[int]] = {}             # words encoded before

    @property
    def vocab_size(self) -> int:
        return len(self._bytes)

    def train(self, text: str, vocab_size: int) -> BytePairTokenizer:
        """Learn the merges from a text until there are ``vocab_size`` ids, or nothing is left to merge.

        Among equally frequent pairs the one with the lower ids is merged first: the same text gives the same tokenizer.
        """
        first, least = len(self.special_tokens), len(self.special_tokens) + 256
        if vocab_size < least:
            raise ValueError(f"BytePairTokenizer.train: vocab_size must be at least {least}, got {vocab_size}: 256 bytes"
                             + (f" and {first} special tokens." if first else "."))
        counts = Counter(word for special, part in self._split(self._text(text)) if not special for word in _words(part))
        merges = find_merges([[first + byte for byte in word] for word in counts], list(counts.values()), least, vocab_size)
        self._set(merges)
        return self

    def encode(self, text: str) -> list[int]:
        """The ids of a text. A special token's name in it becomes that token."""
        ids: list[int] = []
        for special, part in self._split(self._text(text)):
            if special:
                ids.append(self.special_tokens[part])
                continue
            for word in _WORD.findall(part):
                if word not in self._known:
                    if len(self._known) >= 100_000:
                        self._known.clear()
                    self._known[word] = self._encode_word(word)
                ids += self._known[word]
        return ids

    def _encode_word(self, word: str) -> list[int]:
        first = len(self.special_tokens)
        ids = [first + byte for byte in word.encode("utf-8", "surrogatepass")]
        while len(ids) > 1:
            never = self.vocab_size
            pair = min(zip(ids, ids[1:]), key=lambda pair: self.merges.get(pair, never))     # the merge learnt first
            if pair not in self.merges:
                break
            ids = _merge(ids, pair, self.merges[pair])
        return ids

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of ids. Bytes that are no whole character show as �."""
        first = len(self.special_tokens) if skip_special_tokens else 0
        data = b"".join(self._bytes[id] for id in self._ids(ids) if id >= first)
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace")

    def _contents(self):
        return {"special_tokens": list(self.special_tokens), "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def _from_contents(cls, contents):
        return cls(contents["merges"], contents["special_tokens"])


def find_merges(words: list[list[int]], times: list[int], first: int, last: int) -> list[tuple[int, int]]:
    """The pairs to merge into the tokens ``first`` up to ``last``, given words and how often each stands in the text.

    The words are changed: they end as merged.
    """
    pairs: Counter[tuple[int, int]] = Counter()         # how often each pair stands in the text
    where: dict[tuple[int, int], set[int]] = defaultdict(set)     # and in which words
    for i, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pairs[pair] += times[i]
            where[pair].add(i)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    merges = []
    for new in range(first, last):
        while heap and -heap[0][0] != pairs[heap[0][1]]:    # a count that has changed since
            heapq.heappop(heap)
        if not heap or -heap[0][0] < 2:
            break
        merged = heapq.heappop(heap)[1]
        merges.append(merged)
        changed: Counter[tuple[int, int]] = Counter()
        for i in where.pop(merged):
            before, after = words[i], _merge(words[i], merged, new)
            for pair in zip(before, before[1:]):
                changed[pair] -= times[i]
            for pair in zip(after, after[1:]):
                changed[pair] += times[i]
                where[pair].add(i)
            words[i] = after
        for pair, change in changed.items():
            if change:
                pairs[pair] += change
                heapq.heappush(heap, (-pairs[pair], pair))
    return merges


def _words(text):
    return (word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text))


def _merge(ids, pair, new):
    """Replace each occurrence of the pair, from the left."""
    out, i, last = [], 0, len(ids) - 1
    while i <= last:
        if i < last and ids[i] == pair[0] and ids[i + 1] == pair[1]:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out

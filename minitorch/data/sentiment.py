"""Four hundred short sentences and whether their writer was content: small enough to fine-tune on while one waits."""

from __future__ import annotations

from minitorch.data.plays import shipped

__all__ = ["sentiment"]


def sentiment(split: str | None = None) -> list[tuple[str, int]]:
    """Pairs (sentence, label): 1 for content, 0 for not. They are about films, food, products and travel.

    Parameters
    ----------
    split
        ``"train"`` (324 sentences), ``"test"`` (80), or ``None``: all of them. Half of each have the label 1.

    >>> minitorch.data.sentiment("train")[0]
    ('I laughed until my stomach hurt, and so did the whole row behind us.', 1)
    """
    if split not in (None, "train", "test"):
        raise ValueError(f"sentiment: split must be 'train', 'test' or None, got {split!r}")
    rows = (line.split("\t") for line in shipped("sentiment.tsv").splitlines())
    return [(text, int(label)) for label, part, text in rows if split in (None, part)]

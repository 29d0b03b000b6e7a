"""What a run leaves to look at: a table of its steps, and pictures of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from minitorch.io.atomic import replacing

__all__ = ["Log", "plot_losses", "read_log"]

COLUMNS = ["step", "train", "valid", "lr", "gradient norm", "tokens/s"]


class Log:
    """``log.csv``: a row a step, written as it happens. A run that goes on from step n takes off what came after n."""

    def __init__(self, folder: Path | None):
        self.path = None if folder is None else folder / "log.csv"
        self._file: Any = None

    @contextmanager
    def open(self, step: int) -> Iterator[Log]:
        """Go on behind the row of this step."""
        if self.path is None:
            yield self
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [row for row in read_log(self.path) if int(row["step"]) <= step] if self.path.exists() and step else []
        with replacing(self.path) as file:
            text = "\n".join([",".join(COLUMNS), *[",".join(row.values()) for row in rows], ""])
            file.write(text.encode())
        with open(self.path, "a", newline="", encoding="utf-8") as self._file:
            yield self

    def row(self, values: dict[str, Any]) -> None:
        """Add a step. Numbers are written in full: they can be compared bit by bit."""
        if self.path is not None:
            self._file.write(",".join(str(values.get(name, "")) for name in COLUMNS) + "\n")
            self._file.flush()


def read_log(path: str | PathLike) -> list[dict[str, str]]:
    """The rows of a ``log.csv``; one that was being written when the process was killed does not count."""
    with open(path, newline="", encoding="utf-8") as file:
        lines = file.read().split("\n")[:-1]
    rows = list(csv.reader(lines))
    return [dict(zip(rows[0], row)) for row in rows[1:] if len(row) == len(COLUMNS)] if rows else []


def plot_losses(rows: Sequence[dict[str, str]], ax: Any = None, title: str = "") -> Any:
    """Draw the training loss, step by step and as a running mean, and the validation loss; return the Axes."""
    if ax is None:
        ax = import_module("matplotlib.pyplot").subplots(figsize=(7, 4.2), layout="constrained")[1]
    steps, losses = [int(row["step"]) for row in rows], [float(row["train"]) for row in rows]
    window = max(1, len(rows) // 50)
    if window > 1:
        ax.plot(steps, losses, color="#0072B2", alpha=0.25, linewidth=0.6, label="training, each step")
    sums = [0.0]
    for loss in losses:
        sums.append(sums[-1] + loss)
    ranges = [(max(0, i - window // 2), min(len(losses), i + window // 2 + 1)) for i in range(len(losses))]
    means = [(sums[end] - sums[begin]) / (end - begin) for begin, end in ranges]
    name = f"training, mean of {window} steps" if window > 1 else "training"
    ax.plot(steps, means, color="#0072B2", linewidth=1.6, label=name)
    valid = [(int(row["step"]), float(row["valid"])) for row in rows if row["valid"]]
    if valid:
        ax.plot(*zip(*valid), color="#D55E00", marker="o", markersize=4, linewidth=1.6,
                label=f"validation, {valid[-1][1]:.3f} at the end")
    ax.set(xlabel="step", ylabel="loss", title=title)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax

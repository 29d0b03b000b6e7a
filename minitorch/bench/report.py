"""What was measured, to read and to keep: a table in the terminal, a CSV file, a Markdown table, a chart."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from minitorch.bench.compare import OURS, Row, geometric_mean, ratios

__all__ = ["COLOURS", "NAMES", "amount", "chart", "drawing", "footer", "header", "line", "markdown", "save"]

NAMES = {"minitorch": "minitorch", "torch": "PyTorch", "torch.compile": "torch.compile", "reference": "NumPy reference"}
COLOURS = {"torch": "#0072B2", "torch.compile": "#E69F00", "reference": "#009E73"}     # told apart by colour-blind eyes
LABEL = 50          # letters for the name of a case and its size
COLUMNS = ("benchmark", "case", "size", "side", "unit", "minimum", "median", "rounds", "ratio", "ratio_of_medians", "floor",
           "floor_fraction", "note")
UNITS = {"s": [(1, "s"), (1e-3, "ms"), (1e-6, "µs")], "B": [(1e9, "GB"), (1e6, "MB")]}


def amount(value: float, unit: str) -> str:
    """Three digits and a unit that suits.

    >>> amount(0.00123, "s"), amount(12.3, "s"), amount(2_500_000, "B")
    ('1.23 ms', '12.3 s', '2.5 MB')
    """
    size, name = next(((s, n) for s, n in UNITS[unit] if abs(value) >= s), UNITS[unit][-1])
    number = value / size
    return f"{number:.0f} {name}" if abs(number) >= 100 else f"{number:.3g} {name}"


def header(sides: Sequence[str], floor: bool = False) -> str:
    """The first line of the table: below it stand the fastest and the median round of each side."""
    cells = " " * LABEL
    for side in sides:
        cells += f"{NAMES[side]:>20}" + ("" if side == OURS else "  ratio")
    return cells + ("  floor" if floor else "")


def line(rows: Sequence[Row]) -> str:
    """One case, all its sides.

    >>> us = Row("ops", "gelu", "small", "minitorch", "s", 2e-3, 2e-3, 3, floor=1e-3)
    >>> line([us, Row("ops", "gelu", "small", "torch", "s", 3e-3, 3e-3, 3)]).split()
    ['gelu', 'small', '2', 'ms', '2', 'ms', '3', 'ms', '3', 'ms', '1.50', '50%']
    """
    by_ratio = ratios(rows)
    text = f"{rows[0].case:<24} {rows[0].size}".ljust(LABEL)
    for row in rows:
        text += f"{amount(row.minimum, row.unit):>10}{amount(row.median, row.unit):>10}"
        if row.side != OURS:
            ratio = by_ratio.get((row.benchmark, row.case, row.size, row.side))
            text += "       " if ratio is None else f"{ratio:7.2f}"
    if rows[0].floor:
        text += f"{rows[0].floor / rows[0].minimum:7.0%}"
    note = next((row.note for row in rows if row.note), "")
    return f"{text}  {note}".rstrip()


def footer(rows: Sequence[Row], sides: Sequence[str]) -> list[str]:
    """The geometric means of the ratios."""
    lines = []
    for what, title in (("minimum", "geometric mean, fastest"), ("median", "geometric mean, median")):
        text, found = title.ljust(LABEL), False
        for side in sides:
            of_side = [ratio for (*_, s), ratio in ratios(rows, what).items() if s == side]
            found = found or bool(of_side)
            text += " " * 20 + ("" if side == OURS else f"{geometric_mean(of_side):7.2f}" if of_side else " " * 7)
        lines += [text.rstrip()] if found else []
    return lines


def markdown(rows: Sequence[Row]) -> str:
    """The table for a page of documentation."""
    sides = list(dict.fromkeys(row.side for row in rows))
    others = [side for side in sides if side != OURS]
    floors = any(row.floor for row in rows)
    titles = ["", "", NAMES[OURS], *(t for side in others for t in (NAMES[side], "ratio")), *(["floor"] if floors else [])]
    lines = ["| " + " | ".join(titles) + " |", "|---|---" + "|---:" * (len(titles) - 2) + "|"]
    for (case, size), group in groupby(rows, lambda row: (row.case, row.size)):
        found = {row.side: row for row in group}
        by_ratio = {side: ratio for (*_, side), ratio in ratios(list(found.values())).items()}
        cells = [case, size, amount(found[OURS].minimum, found[OURS].unit) if OURS in found else ""]
        for side in others:
            row = found.get(side)
            cells += [amount(row.minimum, row.unit) if row else "", f"{by_ratio[side]:.2f}" if side in by_ratio else ""]
        if floors:
            us = found[OURS]
            cells.append(f"{us.floor / us.minimum:.0%}" if us.floor else "")
        lines.append("| " + " | ".join(cells) + " |")
    means = ["**geometric mean**", "", ""]
    for side in others:
        of_side = [ratio for (*_, s), ratio in ratios(rows).items() if s == side]
        means += ["", f"**{geometric_mean(of_side):.2f}**" if of_side else ""]
    return "\n".join([*lines, "| " + " | ".join(means + [""] * floors) + " |"]) + "\n"


def save(rows: Sequence[Row], folder: Path, name: str, facts: dict[str, str], findings: Sequence[str] = ()) -> list[Path]:
    """Write NAME.csv, NAME.md, and the chart as NAME.png and NAME.svg.

    ``facts`` are columns that are equal in every row, ``findings`` sentences below the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_ratio, by_median = ratios(rows), ratios(rows, "median")
    facts = {**facts, "machine": _machine(), "cores": str(os.cpu_count()), "python": platform.python_version()}
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        launches = ["launches"] if any(row.launches is not None for row in rows) else []
        table.writerow([*COLUMNS, *launches, *facts])
        for row in rows:
            key = row.benchmark, row.case, row.size, row.side
            values: tuple = (row.benchmark, row.case, row.size, row.side, row.unit, row.minimum, row.median, row.rounds,
                      by_ratio.get(key), by_median.get(key), row.floor, row.floor and row.floor / row.minimum, row.note)
            values += (row.launches,) * len(launches)
            table.writerow([*(f"{v:.6g}" if isinstance(v, float) else v for v in values), *facts.values()])
    (folder / f"{name}.md").write_text(markdown(rows) + "".join(f"\n- {text}" for text in findings) + "\n" * bool(findings),
                                        encoding="utf-8")
    return [folder / f"{name}.csv", folder / f"{name}.md", *chart(rows, folder / name)]


def chart(rows: Sequence[Row], path: Path) -> list[Path]:
    """A bar a case: theirs divided by ours, PyTorch's if it was measured. Nothing is drawn where there is no other side."""
    by_ratio = ratios(rows)
    sides = [s for s in ("torch", "torch.compile") if any(k[-1] == s for k in by_ratio)] or \
        [s for s in ("reference",) if any(k[-1] == s for k in by_ratio)]
    cases = list(dict.fromkeys(k[:3] for k in by_ratio if k[-1] in sides))
    if not cases:
        return []
    with drawing(path, 8, 1.2 + 0.28 * len(cases) * max(1, 0.7 * len(sides))) as (figure, paths):
        axes = figure.add_subplot()
        for i, side in enumerate(sides):
            thick = 0.8 / len(sides)
            found = [(at, by_ratio[(*case, side)]) for at, case in enumerate(cases) if (*case, side) in by_ratio]
            places = [at + (i - (len(sides) - 1) / 2) * thick for at, _ in found]
            bars = axes.barh(places, [r for _, r in found], 0.9 * thick, color=COLOURS[side], label=NAMES[side])
            labels = axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
            for label in labels:
                label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})     # the line passes behind it
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(cases)), [", ".join(filter(None, case[1:])) for case in cases], fontsize=8)
        axes.set_ylim(len(cases) - 0.4, -0.6)
        axes.set_xlim(0, 1.1 * max(1.0, *(r for (*_, s), r in by_ratio.items() if s in sides)))
        what = "memory" if rows[0].unit == "B" else "time"
        axes.set_xlabel(f"their {what} divided by minitorch's: right of the line minitorch "
                        + ("needs less" if what == "memory" else "is faster"))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(sides), frameon=False)
    return paths


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[tuple[Any, list[Path]]]:
    """A figure to draw on, and where it will stand at the end of the block: as PATH.png and PATH.svg."""
    paths = [path.with_name(path.name + ending) for ending in (".png", ".svg")]
    with import_module("matplotlib").rc_context({"svg.hashsalt": "minitorch", "svg.fonttype": "none"}):
        figure = import_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
        yield figure, paths
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})


def _machine() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(text.partition(":")[2].strip() for text in file if text.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

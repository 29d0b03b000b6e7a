"""How the time of a training step grows: with threads, with the length of the texts, with the width of the model.

The larger configurations run on one thread and on all, in turns; then one model reads longer and longer texts, and another
is made wider and wider. ``curves`` draws the two, beside the time that the matrix products alone would take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import groupby
from math import log
from pathlib import Path

from minitorch.bench import report, train
from minitorch.bench.compare import Row, compare, machine
from minitorch.bench.process import Worker

__all__ = ["cases", "curves", "findings", "measure"]

ONE, ALL, LENGTH, WIDTH = "on 1 thread", "on all threads", "longer texts", "wider models"


def cases(quick: bool = False) -> list[dict]:
    """What to measure. The length and the width are the numbers that their sizes end in.

    >>> [case["size"] for case in cases() if case["name"] == "longer texts"][-1]
    '65, 1024, 2, 4, 256, 2: T = 1024'
    """
    configs = train.QUICK if quick else train.CONFIGS[1:]
    longer = [(65, T, 2, 4, 256, 2) for T in ((16, 32) if quick else (128, 256, 512, 1024))]
    wider = [(65, 256, 2, d // 64, d, 2) for d in ((64, 128) if quick else (128, 256, 512, 1024))]
    return [*({**train.case(config), "name": name} for config in configs for name in (ONE, ALL)),
            *(_of(LENGTH, config, f"T = {config[1]}") for config in longer),
            *(_of(WIDTH, config, f"d = {config[4]}") for config in wider)]


def _of(name, config, what):
    case = train.case(config)       # two steps are compared: few words a step, and Adam makes much of a rounding
    return {**case, "name": name, "size": f"{case['size']}: {what}", "steps": 2}


def measure(cases: Sequence[dict], sides: Sequence[str], threads: int, rounds: int,
            tick: Callable[..., object] = lambda text, rounds=1: None) -> Iterator[list[Row]]:
    """Every case on every side, in turns, and with it the same on another number of threads: the machine's speed changes
    from minute to minute. The floor of each is the time of its products alone, on as many threads.
    """
    def threads_of(case):
        return 1 if case["name"] == ONE else threads

    with ExitStack() as stack:
        floor, workers = {}, {}
        for n in sorted(set(map(threads_of, cases))):
            floor[n] = machine(n)
            workers[n] = [stack.enter_context(Worker(side, n)) for side in sides]
        for _, group in groupby(cases, lambda case: case["size"]):
            together = list(group)
            turns = [worker for case in together for worker in workers[threads_of(case)]]
            rows, = compare("scaling", "train", turns, together[:1], rounds, partial(_ticks, tick, len(together)))
            for i, case in enumerate(together):
                least = floor[threads_of(case)].seconds(0, case["flops"])
                yield [replace(row, case=case["name"], floor=least) for row in rows[i * len(sides):(i + 1) * len(sides)]]


def _ticks(tick, times, text, rounds=1):
    """Tick for several cases that are measured together."""
    tick(text, times * rounds)


def findings(rows: Sequence[Row], side: str) -> Iterator[str]:
    """What the rows say of one side, in sentences.

    >>> rows = [Row("scaling", name, "65, 16", "torch", "s", t, t, 1) for name, t in ((ONE, 3.0), (ALL, 2.0))]
    >>> list(findings(rows, "torch"))
    ['PyTorch on all threads is 1.50 times as fast as on one: 65, 16']
    """
    times = {(row.case, row.size): row.minimum for row in rows if row.side == side}
    for (case, size), alone in times.items():
        if case == ONE and (ALL, size) in times:
            yield f"{report.NAMES[side]} on all threads is {alone / times[ALL, size]:.2f} times as fast as on one: {size}"
    for name in (LENGTH, WIDTH):
        points = _points(rows, name, side)
        if len(points) > 1:
            (a, s, f), (b, t, g) = points[-2:]
            yield (f"{report.NAMES[side]}, {name}: the time grows like the power {log(t / s) / log(b / a):.2f} at the end"
                   + (f", the products alone like {log(g / f) / log(b / a):.2f}" if f and g else ""))


def curves(rows: Sequence[Row], path: Path) -> list[Path]:
    """Time against the length and against the width, both axes in powers of two, as PATH_curves.png and .svg."""
    sides = list(dict.fromkeys(row.side for row in rows))
    with report.drawing(path.with_name(f"{path.name}_curves"), 9, 4) as (figure, paths):
        for axes, name, what in zip(figure.subplots(1, 2), (LENGTH, WIDTH), ("words in a text", "features"), strict=True):
            for side in sides:
                points = _points(rows, name, side)
                axes.plot([x for x, *_ in points], [1e3 * t for _, t, _ in points], "o-", label=report.NAMES[side],
                          color=report.COLOURS.get(side, "#D55E00"))
            axes.plot([x for x, *_ in points], [1e3 * (f or float("nan")) for *_, f in points], "--", color="grey",
                      label="its matrix products alone")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            axes.set_xticks([x for x, *_ in points], [str(x) for x, *_ in points])
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_xlabel(what)
            axes.set_ylabel("milliseconds a training step")
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
    return paths


def _points(rows, name, side):
    """(length or width, seconds, floor), as measured."""
    return [(int(row.size.rpartition("= ")[2]), row.minimum, row.floor) for row in rows
            if row.case == name and row.side == side]

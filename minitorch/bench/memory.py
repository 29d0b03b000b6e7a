"""Peak memory: of a training step with a large vocabulary, and of attention as the text grows.

A process cannot forget its peak, so every figure comes from a fresh one. A tiny case of the same kind runs first; what it
took, which is the library and its code, is subtracted, and left in the rows "in all".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import log2
from statistics import median

from minitorch.bench import ops, report, train
from minitorch.bench.compare import Row
from minitorch.bench.process import Worker

__all__ = ["cases", "findings", "growth", "measure"]

WHOLE = ", in all"
STEPS = [   # how the loss is computed, and of what layers the model is
    ("step, encoder layers, projection", "projection", "encoder"),
    ("step, projection", "projection", "gpt"),
    ("step, by hand", "by hand", "gpt"),
]


def cases(quick: bool = False) -> list[tuple[str, dict, dict]]:
    """What to measure: the file, the case, and the tiny case that comes before it.

    >>> [case["size"] for _, case, _ in cases() if case["name"] == "attention, causal"][-1]
    'T = 16384'
    """
    found: list[tuple[str, dict, dict]] = []
    for name, loss, model in STEPS:
        step, tiny = ({**train.case(config, model=model, loss=loss, weights="own"), "name": name, "steps": 2}
                      for config in (train.QUICK[-1] if quick else (50304, 256, 2, 12, 768, 8), train.QUICK[0]))
        found.append(("train", step, tiny))
    first = next(case for case in ops.cases() if case["name"] == "attention, causal")
    for T in (512 * 2 ** i for i in range(3 if quick else 6)):
        long = {**first, "B": 1, "H": 4, "D": 64, "T": T, "size": f"T = {T}", "compared": False}
        found.append(("ops", long, {**long, "T": 64}))
    return found


def measure(cases: Sequence[tuple[str, dict, dict]], sides: Sequence[str], threads: int, rounds: int,
            tick: Callable[..., object] = lambda text, rounds=1: None, device: str = "cpu") -> Iterator[list[Row]]:
    """Measure each case in a fresh process for each side and round, in turns; of each side, the round that took least."""
    for module, case, tiny in cases:
        title = f"{case['name']} {case['size']}"
        tick(title, 0)
        peaks: dict[str, list] = {side: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                with Worker(side, threads, device) as worker:
                    before = worker.ask(do="prepare", module=module, case=tiny)["peak"]
                    peaks[side].append((worker.ask(do="prepare", module=module, case=case)["peak"], before))
            tick(title)
        yield [_row(case["name"], case, side, found, lambda peak, before: peak - before) for side, found in peaks.items()]
        if module == "train":
            yield [_row(case["name"] + WHOLE, case, side, found, lambda peak, _: peak) for side, found in peaks.items()]


def _row(name, case, side, found, amount) -> Row:
    return Row("memory", name, case["size"], side, "B", amount(*min(found)), median(amount(*pair) for pair in found),
               len(found))


def findings(rows: Sequence[Row], side: str) -> Iterator[str]:
    """What the rows say of one side, in a sentence."""
    power = growth(rows, side)
    if power is not None:
        yield f"attention's memory grows like T^{power:.2f} in {report.NAMES[side]} (1 is linear, 2 is quadratic)"


def growth(rows: Sequence[Row], side: str) -> float | None:
    """The power of T with which attention's memory grows, from its three longest texts: 1 is linear, 2 is quadratic.

    >>> rows = [Row("memory", "attention, causal", f"T = {T}", "torch", "B", 100 + T * T, 0, 1) for T in (8, 16, 32)]
    >>> growth(rows, "torch")
    2.0
    """
    peaks = [row.minimum for row in rows if row.case == "attention, causal" and row.side == side][-3:]
    if len(peaks) < 3 or not peaks[0] < peaks[1] < peaks[2]:
        return None
    return log2((peaks[2] - peaks[1]) / (peaks[1] - peaks[0]))

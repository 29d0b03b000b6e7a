"""Several workers in turns, and what came of it: one ``Row`` for each case and side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from time import sleep

from minitorch.bench import floor as floors
from minitorch.bench.floor import Floor
from minitorch.bench.process import Worker

__all__ = ["OURS", "Row", "compare", "geometric_mean", "machine", "ratios"]

OURS = "minitorch"
PAUSE = 0.1             # seconds between two sides: threads that have just worked spin for a while before they sleep
SLOW_ROUNDS = 3         # for the reference: it is many times slower, and nobody's rival


@dataclass
class Row:
    """What one side took for one case: seconds, or bytes. ``floor``: what nothing on this machine could stay below."""

    benchmark: str
    case: str
    size: str
    side: str
    unit: str
    minimum: float
    median: float
    rounds: int
    floor: float | None = None
    note: str = ""
    launches: int | None = None     # of kernels in one call, on a GPU


def compare(benchmark: str, module: str, workers: Sequence[Worker], cases: Sequence[dict], rounds: int,
            tick: Callable[..., object] = lambda text, rounds=1: None) -> Iterator[list[Row]]:
    """Run every case on every worker, in turns: A B A B; yield a row for each. A first round, slower, is not counted.

    ``tick`` is called with the case's name and 0 before it is prepared, and with its name after each round. Where the
    sides computed different things, the rows' ``note`` says so.
    """
    for case in cases:
        name, size = case.get("name", module), case.get("size", "")
        tick(f"{name} {size}", 0)
        facts = [worker.ask(do="prepare", module=module, case=case) for worker in workers]
        ours = next((found for worker, found in zip(workers, facts) if worker.side == OURS), None)
        notes = [_difference(worker.side, found, ours) for worker, found in zip(workers, facts)]
        note = "; ".join(dict.fromkeys(filter(None, notes)))
        rounds_of: list[list[dict]] = [[] for _ in workers]
        for i in range(rounds + 1):
            for worker, replies in zip(workers, rounds_of):
                if worker.side == "reference" and i > SLOW_ROUNDS:
                    continue
                sleep(PAUSE)
                reply = worker.ask(do="round")
                if i:
                    replies.append(reply)
            tick(f"{name} {size}")
        yield [Row(benchmark, name, size, worker.side, "s", min(reply["fastest"] for reply in replies),
                   median(reply["median"] for reply in replies), len(replies), note=note, launches=found.get("launches"))
               for worker, found, replies in zip(workers, facts, rounds_of)]


def machine(threads: int) -> Floor:
    """This machine's own speed, with so many threads."""
    with Worker("numpy", threads) as worker:
        speeds = floors.cases(threads)
        times = [row.minimum for row, in compare("floor", "floor", [worker], speeds, rounds=1)]
    return Floor.of(zip(speeds, times, strict=True))


def ratios(rows: Sequence[Row], what: str = "minimum") -> dict[tuple[str, str, str, str], float]:
    """Theirs divided by ours for every case that both sides ran; above 1, ours is the smaller.

    >>> us = Row("ops", "gelu", "small", "minitorch", "s", 0.5, 0.5, 3)
    >>> ratios([us, Row("ops", "gelu", "small", "torch", "s", 1.0, 1.5, 3)])
    {('ops', 'gelu', 'small', 'torch'): 2.0}
    """
    ours = {(r.benchmark, r.case, r.size): getattr(r, what) for r in rows if r.side == OURS}
    return {(r.benchmark, r.case, r.size, r.side): getattr(r, what) / ours[r.benchmark, r.case, r.size]
            for r in rows if r.side != OURS and ours.get((r.benchmark, r.case, r.size))}


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios: twice as fast here and half as fast there is 1.

    >>> geometric_mean([2.0, 0.5])
    1.0
    """
    return exp(sum(map(log, values)) / len(values))


def _difference(side, facts, ours) -> str:
    """How this side's results differ from ours; empty where they do not."""
    if ours is None or side == OURS:
        return ""
    if "losses" in facts:
        apart = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(facts["losses"], ours["losses"], strict=True))
        return f"losses of {side} differ by {apart:.1e}" if not apart <= facts.get("tolerance", 1e-5) else ""
    for (length, wave), (our_length, our_wave) in zip(facts["fingerprint"], ours["fingerprint"], strict=True):
        if not max(abs(length - our_length), abs(wave - our_wave)) <= 1e-4 * our_length + 1e-30:
            return f"{side} computed something else"
    return ""

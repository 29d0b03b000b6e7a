"""From the first second: whole processes, from their start to their end, importing a library or taking a training step.

Kernels are compiled when they are first used and kept on disk, so the first step is timed with an empty cache and with a
full one. PyTorch comes compiled, except for what torch.compile makes, which has a cache, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from minitorch.bench import train
from minitorch.bench.compare import Row
from minitorch.bench.process import WORKER, whole_process

__all__ = ["CASES", "measure"]

CASES = ("import", "first step, empty cache", "first step, full cache")
ROOT = str(Path(__file__).resolve().parent.parent.parent)


def measure(sides: Sequence[str], threads: int, cases: Sequence[str] = CASES, rounds: int = 3, quick: bool = False,
            tick: Callable[..., object] = lambda text, rounds=1: None) -> Iterator[list[Row]]:
    """Start each side once for each case and round, in turns. A full cache is what the empty one became."""
    step = {**train.case(train.QUICK[0] if quick else train.CONFIGS[1], weights="own"), "steps": 1}
    with TemporaryDirectory() as folder:
        for case in cases:
            tick(case, 0)
            times: dict[str, list] = {side: [] for side in sides}
            for i in range(rounds):
                for side in sides:
                    if case == CASES[0]:
                        times[side].append(_import(side, threads))
                        continue
                    cache = Path(folder) / side / (str(i) if case == CASES[1] else "full")
                    if case == CASES[2] and not cache.exists():
                        _step(side, threads, step, cache)
                    times[side].append(_step(side, threads, step, cache))
                tick(case)
            size = "" if case == CASES[0] else step["size"]
            yield [Row("startup", case, size, side, "s", min(t), median(t), rounds) for side, t in times.items()]


def _import(side, threads) -> float:
    code = f"import sys; sys.path[0] = {ROOT!r}; import {side.partition('.')[0]}"
    return whole_process([sys.executable, "-c", code], (), threads)


def _step(side, threads, case, cache) -> float:
    cache.mkdir(parents=True, exist_ok=True)
    messages = [{"library": side, "threads": threads}, {"do": "prepare", "module": "train", "case": case}]
    return whole_process([sys.executable, str(WORKER)], messages, threads, NUMBA_CACHE_DIR=str(cache / "kernels"),
                         TORCHINDUCTOR_CACHE_DIR=str(cache / "inductor"))

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

__all__ = ["cases", "measure"]

FEW = (65, 8, 1, 2, 16, 2)      # vocabulary, words, layers, heads, features, texts: a model to look at
ROOT = str(Path(__file__).resolve().parent.parent.parent)


def cases(quick: bool = False) -> list[dict]:
    """Importing; the first step with either cache, of a model of a few numbers and of one to be used.

    >>> [case["name"] for case in cases()][:3]
    ['import', 'first step, empty cache', 'first step, full cache']
    """
    steps = [{**train.case(config, weights="own"), "steps": 1}
             for config in ([train.QUICK[0]] if quick else [FEW, train.CONFIGS[1]])]
    return [{"name": "import", "size": ""}, *({**step, "name": f"first step, {cache} cache", "cache": cache}
                                              for step in steps for cache in ("empty", "full"))]


def measure(cases: Sequence[dict], sides: Sequence[str], threads: int, rounds: int,
            tick: Callable[..., object] = lambda text, rounds=1: None) -> Iterator[list[Row]]:
    """Start each side once for each case and round, in turns. A full cache is one that a first step has filled."""
    for case in cases:
        times: dict[str, list] = {side: [] for side in sides}
        with TemporaryDirectory() as folder:
            tick(case["name"], 0)
            for side in sides if case.get("cache") == "full" else ():
                _step(side, threads, case, Path(folder, side, "full"))
            for i in range(rounds):
                for side in sides:
                    cache = Path(folder, side, "full" if case.get("cache") == "full" else str(i))
                    seconds = _step(side, threads, case, cache) if "cache" in case else _import(side, threads)
                    times[side].append(seconds)
                tick(case["name"])
        yield [Row("startup", case["name"], case["size"], side, "s", min(t), median(t), rounds) for side, t in times.items()]


def _import(side, threads) -> float:
    code = f"import sys; sys.path[0] = {ROOT!r}; import {side.partition('.')[0]}"
    return whole_process([sys.executable, "-c", code], (), threads)


def _step(side, threads, case, cache) -> float:
    cache.mkdir(parents=True, exist_ok=True)
    messages = [{"library": side, "threads": threads}, {"do": "prepare", "module": "train", "case": case}]
    return whole_process([sys.executable, str(WORKER)], messages, threads, NUMBA_CACHE_DIR=str(cache / "kernels"),
                         TORCHINDUCTOR_CACHE_DIR=str(cache / "inductor"))

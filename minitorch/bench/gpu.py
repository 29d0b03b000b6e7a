"""``minitorch bench --device cuda``: the same cases on a GPU, next to PyTorch on the same GPU, and the ladder of products.

The ceiling is measured in the same run: copies by the driver, and a library's float32 product. Times are those of many calls
in a row, from a GPU that waits to one that is done (``worker.timed_in_rows``). Without a GPU, Numba's simulator goes through
the same code with tiny sizes; what it says of time means nothing, and every row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf, log
from pathlib import Path
from typing import Any

from minitorch.bench import generate, ladder, memory, ops, report, train
from minitorch.bench.compare import OURS, Row, compare
from minitorch.bench.process import Worker, WorkerDied, is_installed

__all__ = ["Ceiling", "SIMULATED", "cases", "curves", "findings", "measure", "sides"]

SIMULATED = "simulated, no timing"
GPT2 = (50304, 1024, 12, 12, 768, 4)        # vocabulary, words, layers, heads, d, texts
TINY = {"rows": 4, "d": 4, "vocabulary": 7, "labels": 4, "B": 1, "H": 2, "T": 4, "D": 4}       # for the simulator


@dataclass
class Ceiling:
    """What this GPU can do: bytes moved a second, by the bytes of a copy, and operations a second of a library's product.

    >>> Ceiling({1 << 20: 1e12}, 2e13).seconds(1 << 20, 4e7)
    2e-06
    """

    copying: dict[int, float]
    multiplying: float = inf        # inf: no library is there to measure it with

    def seconds(self, moved: float, flops: float) -> float:
        """Less than this nothing takes that moves so many bytes and does so many operations."""
        nearest = min(self.copying, key=lambda size: abs(log(size / max(moved, 1))))
        return max(moved / self.copying[nearest], flops / self.multiplying)

    def __str__(self):
        large, fastest = self.copying[max(self.copying)], max(self.copying.values())
        text = f"this GPU copies {large / 1e9:.0f} GB/s, up to {fastest / 1e9:.0f} within its caches"
        return text if self.multiplying == inf else f"{text}; a library's float32 product does " \
                                                    f"{self.multiplying / 1e12:.1f} TFLOP/s (TF32 off)"


def sides(threads: int) -> tuple[list[str], dict[str, str], str]:
    """Who can be measured on the GPU, what GPU it is, and why PyTorch cannot, if it cannot."""
    with Worker(OURS, threads, "cuda") as worker:
        about = {key: value for key, value in worker.hello.items() if key not in ("version", "peak")}
    if not is_installed("torch"):
        return [OURS], about, "PyTorch is not installed, so there is nothing to compare with: pip install torch"
    try:
        with Worker("torch", threads, "cuda"):
            return [OURS, "torch"], about, ""
    except WorkerDied as error:
        return [OURS], about, f"PyTorch is left out: {str(error).strip().splitlines()[-1]}"


def cases(what: str, args) -> list:
    """All there is to measure; of sizes that suit a GPU, or, with --quick, tiny."""
    tiny = args.quick
    if what == "ops":
        found = ops.cases(tiny, ("GPT-2", "large"))
        return [_smaller(case) for case in found] if tiny else found
    if what == "train":
        return [{**train.case((7, 4, 1, 2, 8, 1)), "steps": 1}] if tiny else [*train.cases(), train.case(GPT2)]
    if what == "memory":
        every = memory.cases(tiny)
        return [_small_text(case, i) for i, case in enumerate(every[2:])] if tiny else every
    if what == "generate":
        return [{**generate.cases(True)[0], "V": 7, "d": 8, "new": 2}] if tiny else generate.cases()
    return ladder.cases([8] if tiny else (1024, 2048, 4096))


def _smaller(case):
    return {key: min(value, TINY[key]) if key in TINY else value for key, value in case.items()}


def _small_text(case, i):
    module, long, first = case
    T = 4 << i
    return module, {**_smaller(long), "T": T, "size": f"T = {T}"}, {**_smaller(first), "T": 2}


def measure(what: str, about: dict, quick: bool, cases: Sequence[Any], sides: Sequence[str], threads: int, rounds: int,
            tick: Callable[..., object] = lambda text, rounds=1: None, say: Callable[[str], object] = print
            ) -> Iterator[list[Row]]:
    """The rows of one case after another, each with its ceiling. In the simulator every row says that it is no timing."""
    simulated = "simulated" in about.get("gpu", "")
    run: Any = {"memory": memory.measure, "generate": generate.measure, "matmul": _climb}.get(what, _in_turns)
    settings = {"device": "cuda"} if what in ("memory", "generate") else \
        {"what": what, "quick": quick, "say": say}
    for rows in run(cases, sides, threads, rounds, tick, **settings):
        yield [replace(row, note=SIMULATED) for row in rows] if simulated else rows


def _ceiling(workers, quick, tick) -> Ceiling:
    copying: dict[int, float] = {}
    multiplying = inf
    for case in ladder.speeds(quick):
        able = [w for w in workers if "copy" in case or w.side == "torch"]
        if not able:
            continue
        for (*rows,) in compare("ceiling", "ladder", able, [{"name": "ceiling", "size": "", **case}], 1, tick):
            seconds = min(row.minimum for row in rows)
            if "copy" in case:
                copying[2 * case["copy"]] = 2 * case["copy"] / seconds
            else:
                multiplying = 2 * case["product"] ** 3 / seconds
    return Ceiling(copying, multiplying)


def _in_turns(cases, sides, threads, rounds, tick, what, quick, say) -> Iterator[list[Row]]:
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(side, threads, "cuda")) for side in sides]
        ceiling = _ceiling(workers, quick, lambda *_: None)
        say(f"{ceiling}\n")
        for case, rows in zip(cases, compare(what, what, workers, cases, rounds, tick), strict=True):
            least = ceiling.seconds(case["bytes"], case["flops"]) or None
            yield [replace(row, floor=least) for row in rows]


def _climb(cases, sides, threads, rounds, tick, what, quick, say) -> Iterator[list[Row]]:
    """Each rung beside the library's product of the same size, which is its ceiling."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(side, threads, "cuda")) for side in sides]
        say("the ceiling is a library's product in float32, TF32 off\n")
        library: dict[int, float] = {}
        for case in cases:
            able = workers if case["name"] == ladder.LIBRARY else workers[:1]
            rows, = compare(what, "ladder", able, [case], rounds, tick)
            if case["name"] == ladder.LIBRARY:
                library[case["product"]] = min(row.minimum for row in rows)
            yield [replace(row, floor=library.get(case["product"])) for row in rows]


def findings(rows: Sequence[Row], side: str) -> Iterator[str]:
    """What the rows say of one side: how many kernels a step launches, how attention's memory grows."""
    for row in rows:
        if row.side == side and row.launches is not None and row.benchmark == "train":
            yield f"launches per step: {row.launches} ({row.case}, {row.size})"
    yield from memory.findings(rows, side)


def curves(rows: Sequence[Row], path: Path) -> list[Path]:
    """The ladder's chart: the share of the library's speed that each rung reaches."""
    rungs = [row for row in rows if row.benchmark == "matmul" and row.case in ladder.RUNGS and row.floor]
    if not rungs:
        return []
    sizes = list(dict.fromkeys(row.size for row in rungs))
    with report.drawing(path.with_name(f"{path.name}_ladder"), 8, 4) as (figure, paths):
        axes = figure.add_subplot()
        for i, size in enumerate(sizes):
            of_size = {row.case: row.floor / row.minimum for row in rungs if row.size == size and row.floor}
            thick = 0.8 / len(sizes)
            bars = axes.bar([at + (i - (len(sizes) - 1) / 2) * thick for at in range(len(ladder.RUNGS))],
                            [100 * of_size.get(name, 0) for name in ladder.RUNGS], 0.9 * thick, label=size,
                            color=("#56B4E9", "#0072B2", "#000000")[i % 3])
            axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
        axes.axhline(100, color="black", linewidth=1, linestyle="--")
        axes.set_xticks(range(len(ladder.RUNGS)), ladder.RUNGS)
        axes.set_ylabel("% of the library's float32 product")
        note = next((row.note for row in rungs if row.note), "")
        axes.set_title("A ladder of matrix products" + f": {note}" * bool(note))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return paths

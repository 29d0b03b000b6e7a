"""How fast could it be? Nothing that moves so many bytes is faster than copying them, no product faster than BLAS.

Both speeds are measured on this machine, in the run that they are compared with: ``cases`` says what to time,
``Floor.of`` takes the times. Copying is timed at many sizes, since small arrays stay in the cache, with one thread and with
all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log

import numpy as np

__all__ = ["Floor", "cases", "prepare"]


@dataclass
class Floor:
    """The speeds of this machine: bytes moved a second, by the bytes of a copy (read and written), and operations a second.

    >>> floor = Floor({4096: 1e10, 1 << 20: 5e9}, 1e11)
    >>> floor.seconds(1 << 20, 0) == (1 << 20) / 5e9, floor.seconds(4096, 1e11)
    (True, 1.0)
    """

    copying: dict[int, float]
    multiplying: float

    @classmethod
    def of(cls, times: Iterable[tuple[dict, float]]) -> Floor:
        """From cases and the seconds that each took."""
        copying: dict[int, float] = {}
        multiplying = 0.0
        for case, seconds in times:
            if "copy" in case:
                moved = 2 * case["copy"]
                copying[moved] = max(copying.get(moved, 0.0), moved / seconds)
            else:
                multiplying = max(multiplying, 2 * case["product"] ** 3 / seconds)
        return cls(copying, multiplying)

    def seconds(self, moved: float, flops: float) -> float:
        """The floor of what moves so many bytes and does so many operations: whichever takes longer."""
        nearest = min(self.copying, key=lambda size: abs(log(size / max(moved, 1))))
        return max(moved / self.copying[nearest], flops / self.multiplying)

    def __str__(self):
        large, fastest = self.copying[max(self.copying)], max(self.copying.values())
        return (f"this machine copies {large / 1e9:.0f} GB/s, up to {fastest / 1e9:.0f} within its caches; its BLAS does "
                f"{self.multiplying / 1e9:.0f} GFLOP/s")


def cases(threads: int) -> list[dict]:
    """What to time: copies of 16 kB to 128 MB, and a product of two square matrices.

    >>> cases(threads=2)[-2:]
    [{'copy': 134217728, 'threads': 2}, {'product': 2048}]
    """
    sizes = [1 << power for power in (14, 17, 20, 23, 27)]
    return [*({"copy": size, "threads": n} for size in sizes for n in sorted({1, threads})), {"product": 2048}]


def prepare(library, case: dict):
    """The thing to time, and nothing to say about it."""
    if "product" in case:
        a, b = np.random.default_rng(0).standard_normal((2, case["product"], case["product"]), np.float32)
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out), {}
    source = np.ones(case["copy"] // 4, np.float32)
    target = np.zeros_like(source)
    threads = case.get("threads", 1)
    if threads == 1:
        return lambda: np.copyto(target, source), {}
    pool = ThreadPoolExecutor(threads)
    pieces = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return lambda: list(pool.map(lambda piece: np.copyto(*piece), pieces)), {}

"""Peak memory: of fresh processes, without what the library takes; and how it grows with the text."""

import numpy as np
import pytest

from minitorch.bench import memory
from minitorch.bench.compare import Row
from minitorch.bench.process import Worker
from minitorch.bench.worker import peak

pytestmark = pytest.mark.skipif(not peak(), reason="this system does not say how much memory a process has used")


def test_peak_sees_an_array_come_and_go():
    before = peak()
    np.ones(2 * before // 8)
    assert peak() >= 2 * before


def test_a_fresh_process_knows_nothing_of_its_parent():
    ballast = np.ones(int(3e8 // 8))
    with Worker("numpy", 1) as worker:
        assert worker.hello["peak"] < ballast.nbytes


class Fake:
    peaks: list = []

    def __init__(self, side, threads, device): self.side = side
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def ask(self, **message): return {"peak": Fake.peaks.pop(0)}


def test_the_leanest_round_counts(monkeypatch):
    monkeypatch.setattr(memory, "Worker", Fake)
    Fake.peaks = [10, 30, 100, 400, 20, 32, 100, 300]      # of each side and round: before, and at the end
    case = ("train", {"name": "step", "size": "1"}, {})
    ticks: list = []
    above, whole = memory.measure([case], ["minitorch", "torch"], 1, 2, lambda text, rounds=1: ticks.append((text, rounds)))
    assert [(r.side, r.minimum, r.median) for r in above] == [("minitorch", 20, 16), ("torch", 200, 250)]
    assert [(r.case, r.minimum) for r in whole] == [("step, in all", 30), ("step, in all", 300)]
    assert ticks == [("step 1", 0), ("step 1", 1), ("step 1", 1)]


def test_attention_grows_linearly():
    chosen = [c for c in memory.cases(quick=True) if c[0] == "ops"]
    list(memory.measure(chosen[:1], ["minitorch"], 1, 1))       # a process that compiles has its peak there
    rows = [row for group in memory.measure(chosen, ["minitorch"], 1, 1) for row in group]
    assert [row.size for row in rows] == ["T = 512", "T = 1024", "T = 2048"]
    assert 0.7 < memory.growth(rows, "minitorch") < 1.3 and memory.growth(rows, "torch") is None


def test_growth_of_a_square_is_two():
    rows = [Row("memory", "attention, causal", f"T = {T}", "torch", "B", 1e6 + 3 * T ** 2, 0, 1) for T in (1, 2, 4, 8)]
    assert memory.growth(rows, "torch") == pytest.approx(2)
    assert memory.growth(rows[:2], "torch") is None

"""Threads, lengths, widths: what is measured, and what is said of it."""

import pytest

from minitorch.bench import compare, floor, scaling
from minitorch.bench.compare import Row


@pytest.fixture
def rows():
    """A side whose time grows like the square of the length, and of which two threads are 1.6 times as fast as one."""
    def row(case, size, seconds):
        return Row("scaling", case, size, "minitorch", "s", seconds, seconds, 1, floor=seconds / 4)
    return [row(scaling.ONE, "65", 1.6), row(scaling.ALL, "65", 1.0), row(scaling.ONE, "alone", 2.0),
            *(row(scaling.LENGTH, f"65: T = {T}", T * T / 1e4) for T in (16, 32, 64)),
            *(row(scaling.WIDTH, f"65: d = {d}", d / 1e3) for d in (16, 32))]


def test_what_is_found(rows):
    assert list(scaling.findings(rows, "minitorch")) == [
        "minitorch on all threads is 1.60 times as fast as on one: 65",
        "minitorch, longer texts: the time grows like the power 2.00 at the end, the products alone like 2.00",
        "minitorch, wider models: the time grows like the power 1.00 at the end, the products alone like 1.00",
    ]
    assert list(scaling.findings(rows[:1], "torch")) == []


def test_the_curves_are_drawn(rows, tmp_path):
    paths = scaling.curves(rows, tmp_path / "scaling")
    assert [path.name for path in paths] == ["scaling_curves.png", "scaling_curves.svg"]
    assert "words in a text" in paths[1].read_text() and paths[0].stat().st_size > 10_000


def test_every_case_is_measured_with_its_threads(monkeypatch):
    asked = []

    class Counted(scaling.Worker):
        def __init__(self, side, threads):
            asked.append((side, threads))
            super().__init__(side, threads)

    monkeypatch.setattr(scaling, "Worker", Counted)
    cases = [case for case in scaling.cases(quick=True) if case["name"] != scaling.WIDTH]
    groups = list(scaling.measure(cases, ["minitorch"], 2, rounds=1))
    assert asked == [("minitorch", 1), ("minitorch", 2)]        # of each number of threads one, for all cases
    assert [row.case for row, in groups] == 2 * [scaling.ONE, scaling.ALL] + 2 * [scaling.LENGTH]
    assert all(row.minimum > 0 and row.floor > 0 and not row.note for row, in groups)


def test_one_thread_and_all_take_turns(monkeypatch):
    """Each row is that of the workers with its threads, and the least of its own rounds."""
    seconds, order = {1: [5.0, 3.0, 4.0], 2: [6.0, 2.0, 1.5]}, []

    class Told:
        def __init__(self, side, threads):
            self.side, self.threads = side, threads

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, do, **_):
            if do == "prepare":
                return {"losses": [1.0]}
            order.append((self.side, self.threads))
            took = seconds[self.threads][len(order) // 4 % 3] * (2 if self.side == "torch" else 1)
            return {"fastest": took, "median": took}

    monkeypatch.setattr(scaling, "Worker", Told)
    monkeypatch.setattr(scaling, "machine", lambda threads: floor.Floor({4096: 1e9}, 1e9 * threads))
    monkeypatch.setattr(compare, "PAUSE", 0.0)
    ticks = []
    cases = [case for case in scaling.cases(quick=True) if case["name"] in (scaling.ONE, scaling.ALL)][:2]
    one, both = scaling.measure(cases, ["minitorch", "torch"], 2, 2, lambda text, n=1: ticks.append(n))
    assert order == 3 * [("minitorch", 1), ("torch", 1), ("minitorch", 2), ("torch", 2)]
    assert [(row.case, row.side, row.minimum) for row in (*one, *both)] == [
        (scaling.ONE, "minitorch", 3.0), (scaling.ONE, "torch", 6.0),
        (scaling.ALL, "minitorch", 1.5), (scaling.ALL, "torch", 3.0)]
    assert one[0].floor == 2 * both[0].floor and sum(ticks) == 2 * 3

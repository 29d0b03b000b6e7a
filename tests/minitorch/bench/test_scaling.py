"""Threads, lengths, widths: what is measured, and what is said of it."""

import pytest

from minitorch.bench import scaling
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
    cases = [case for case in scaling.cases(quick=True) if case["name"] in (scaling.ONE, scaling.LENGTH)]
    groups = list(scaling.measure(cases, ["minitorch"], 2, rounds=1))
    assert asked == [("numpy", 1), ("minitorch", 1), ("numpy", 2), ("minitorch", 2)]
    assert [row.case for row, in groups] == 2 * [scaling.ONE] + 2 * [scaling.LENGTH]
    assert all(row.minimum > 0 and row.floor > 0 and not row.note for row, in groups)

"""Sides in turns: the order of the rounds, what becomes a row, and who is told off for computing something else."""

import pytest

from minitorch.bench import compare
from minitorch.bench.compare import Row, geometric_mean, ratios


class Fake:
    """A worker that needs no process."""

    def __init__(self, side, seconds, log, facts=None):
        self.side, self.seconds, self.log, self.facts = side, list(seconds), log, facts or {"fingerprint": []}

    def ask(self, do, **message):
        self.log.append((self.side, do))
        if do == "prepare":
            return self.facts
        seconds = self.seconds.pop(0)
        return {"fastest": seconds, "median": seconds + 1, "calls": 1}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(compare, "PAUSE", 0)


def run(*workers, rounds):
    rows, = compare.compare("ops", "ops", workers, [{"name": "gelu", "size": "small"}], rounds)
    return rows


def test_sides_take_turns_and_the_first_round_does_not_count():
    log = []
    rows = run(Fake("minitorch", [9, 2, 1, 3], log), Fake("torch", [0, 4, 6, 5], log), rounds=3)
    assert log[:2] == [("minitorch", "prepare"), ("torch", "prepare")]
    assert log[2:] == 4 * [("minitorch", "round"), ("torch", "round")]
    assert [(r.side, r.minimum, r.median, r.rounds) for r in rows] == [("minitorch", 1, 3, 3), ("torch", 4, 6, 3)]


def test_the_slow_reference_runs_fewer_rounds():
    rows = run(Fake("minitorch", range(1, 9), []), Fake("reference", range(1, 9), []), rounds=7)
    assert [r.rounds for r in rows] == [7, 3]


@pytest.mark.parametrize("facts, note", [
    ({"fingerprint": [[1.0, 0.5]]}, ""), ({"fingerprint": [[1.0, 0.6]]}, "torch computed something else"),
    ({"fingerprint": [[float("nan"), 0.5]]}, "torch computed something else"),
])
def test_other_results_are_noticed(facts, note):
    rows = run(Fake("minitorch", [1, 1], [], {"fingerprint": [[1.0, 0.5]]}), Fake("torch", [1, 1], [], facts), rounds=1)
    assert [r.note for r in rows] == [note, note]


@pytest.mark.parametrize("last, note", [(2.0, ""), (2.00001, ""), (2.0001, "losses of torch differ by 5.0e-05")])
def test_other_losses_are_noticed(last, note):
    ours, theirs = {"losses": [4.0, 2.0]}, {"losses": [4.0, last]}
    rows = run(Fake("minitorch", [1, 1], [], ours), Fake("torch", [1, 1], [], theirs), rounds=1)
    assert rows[0].note == note


def test_ratios_are_theirs_divided_by_ours():
    rows = [Row("ops", "a", "", side, "s", t, 2 * t, 1) for side, t in [("minitorch", 2.0), ("torch", 3.0)]]
    assert ratios(rows) == {("ops", "a", "", "torch"): 1.5} == ratios(rows, "median")
    assert ratios(rows[1:]) == {}
    assert geometric_mean([8.0, 0.5, 2.0]) == pytest.approx(2.0)

"""Whole processes: which are started, how often, and with which caches."""

import pytest

from minitorch.bench import startup


@pytest.fixture
def started(monkeypatch):
    found = []

    def fake(command, messages, threads, **settings):
        library = messages[0]["library"] if messages else command[-1].split()[-1]
        found.append((library, settings.get("NUMBA_CACHE_DIR")))
        return float(len(found))
    monkeypatch.setattr(startup, "whole_process", fake)
    return found


def test_empty_caches_are_new_and_full_ones_were_filled_before(started):
    rows = [row for group in startup.measure(startup.cases(), ["minitorch", "torch"], 1, 2) for row in group]
    assert [(r.case, r.side) for r in rows] == [
        (case["name"], side) for case in startup.cases() for side in ("minitorch", "torch")]
    assert [library for library, _ in started[:4]] == ["minitorch", "torch", "minitorch", "torch"]
    empty = [cache for _, cache in started[4:8]]
    assert len(set(empty)) == 4
    ours = [cache for library, cache in started[8:14] if library == "minitorch"]
    assert len(ours) == 3 and len(set(ours)) == 1 and ours[0] not in empty
    assert (rows[0].minimum, rows[0].median) == (1, 2)


def test_importing_for_real():
    (row,), = startup.measure(startup.cases()[:1], ["minitorch"], 1, 1)
    assert 0.01 < row.minimum < 30 and row.unit == "s"


def test_a_step_for_real_fills_the_cache(tmp_path):
    step = startup.cases(quick=True)[1]
    seconds = startup._step("reference", 1, step, tmp_path)
    assert seconds > 0.1

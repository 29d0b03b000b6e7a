"""The floor: speeds from times, and the floor of a kernel from speeds."""

import pytest

from minitorch.bench.floor import Floor, cases, prepare


def test_speeds_come_from_the_fastest_copy_of_a_size_and_the_product():
    floor = Floor.of([({"copy": 500, "threads": 1}, 2.0), ({"copy": 500, "threads": 2}, 1.0), ({"copy": 5000}, 4.0),
                      ({"product": 10}, 0.5)])
    assert floor.copying == {1000: 1000.0, 10000: 2500.0} and floor.multiplying == 4000.0


def test_the_longer_of_moving_and_multiplying():
    floor = Floor({1000: 100.0, 100000: 50.0}, 10.0)
    assert floor.seconds(1000, 0) == 10 and floor.seconds(1000, 200) == 20
    assert floor.seconds(99000, 0) == 1980 and floor.seconds(0, 0) == 0


@pytest.mark.parametrize("case", cases(threads=2)[:3] + [{"product": 8}], ids=str)
def test_what_is_timed_runs(case):
    run, facts = prepare(None, case)
    run()
    assert facts == {}


def test_each_size_is_copied_by_one_thread_and_by_all():
    found = [(case["copy"], case["threads"]) for case in cases(threads=4) if "copy" in case]
    assert len(found) == len(set(found)) and {threads for _, threads in found} == {1, 4}
    assert len(cases(threads=1)) == len({case.get("copy") for case in cases(threads=1)})

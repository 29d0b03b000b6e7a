"""How kernels run: on as many threads as the user asked for."""

import sys
import threading
import time

import numba
import numpy as np
import pytest

from minitorch.kernels.cpu import _compiler, _jit, _threads

pytestmark = pytest.mark.filterwarnings("ignore:Cannot cache compiled function")


@pytest.mark.parametrize("environment, expected", [
    ({"OMP_NUM_THREADS": "1"}, 1), ({"OPENBLAS_NUM_THREADS": "1"}, 1), ({"OMP_NUM_THREADS": "1,2"}, 1),
    ({"OMP_NUM_THREADS": "nonsense"}, None), ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}, None), ({}, None),
])
def test_the_users_thread_variables(monkeypatch, environment, expected):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _threads.allowed_threads() == (expected or numba.config.NUMBA_NUM_THREADS)


def test_a_kernel_keeps_to_them_and_gives_the_setting_back(monkeypatch):
    @_jit.spread
    def look(i, x, seen):
        seen[i] = numba.get_num_threads()

    def threads_seen(x, seen):
        look(len(x), x, seen)

    before = numba.get_num_threads()
    seen = np.zeros(_jit.SMALL + 1)
    threads_seen(seen, seen)
    _compiler.settle()      # that may have had to be compiled
    threads_seen(seen, seen)
    assert set(seen) == {min(before, _threads.allowed_threads())}
    monkeypatch.setattr(_threads.pool, "most", 1)
    threads_seen(seen, seen)
    assert set(seen) == {1} and numba.get_num_threads() == before
    threads_seen(seen[:3], seen)
    assert numba.get_num_threads() == before

    # a core is left to a process that compiles ahead, until that ends
    monkeypatch.setattr(_threads.pool, "most", 2)
    ends = threading.Event()
    while_it_works = threading.Thread(target=_threads.pool.lend_until, args=[ends.wait])
    while_it_works.start()
    while _threads.pool.most == 2:
        time.sleep(0.001)
    threads_seen(seen, seen)
    assert set(seen) == {1} and numba.get_num_threads() == before
    ends.set()
    while_it_works.join()
    threads_seen(seen, seen)
    assert set(seen) == {min(before, 2)} and numba.get_num_threads() == before


def test_pieces_are_done_once_each_with_what_is_given():
    @_jit.spread
    def note(i, x, numbers, sizes, wanted, found):
        found[i] += x[i] + numbers[1] * sizes[0][1] + (1 if wanted else 0)

    for n in (0, 1, 7, 3 * _jit.SMALL):
        x, found = np.arange(float(n)), np.zeros(n)
        note(n, x, (1.0, 2.0), ((3, 4), 5), True, found)
        np.testing.assert_array_equal(found, x + 9)
    # other types are another version: dtypes, layouts, what may not be written to
    x = np.arange(10, dtype=np.float32)[::2]
    x.flags.writeable = False
    found = np.zeros(5, np.int64)
    note(5, x, (1, 2), ((3, 4), 5), False, found)
    np.testing.assert_array_equal(found, [8, 10, 12, 14, 16])


@pytest.mark.parametrize("numbers", [4, 2 * _jit.SMALL])
def test_a_piece_without_memory_is_an_error(numbers):
    @_jit.spread
    def greedy(i, size, x):
        x[i] = np.empty(size)[i]

    x = np.zeros(numbers)
    greedy(4, 4, x)
    with pytest.raises(MemoryError, match="greedy: there is no memory"):
        greedy(4, 1 << 60, x)
    greedy(4, 4, x)     # and the next one works


def test_arrays_belong_to_the_same_as_before():
    @_jit.spread
    def rows(i, x, y):
        part = x[i]
        y[i] = part[:2].sum() if i % 2 else part[0]

    x, y = np.ones((64, 1 + _jit.SMALL)), np.zeros(64)
    before = sys.getrefcount(x), sys.getrefcount(y)
    for _ in range(3):
        rows(64, x, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before
    assert set(y) == {1.0, 2.0}

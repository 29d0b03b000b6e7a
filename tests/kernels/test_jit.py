"""How kernels run: on as many threads as the user asked for."""

import threading
import time

import numba
import numpy as np
import pytest

from minitorch.kernels.cpu import _jit, _threads


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


@pytest.mark.filterwarnings("ignore:Cannot cache compiled function")
def test_a_kernel_keeps_to_them_and_gives_the_setting_back(monkeypatch):
    @_jit.parallel
    def threads_seen(x, seen):
        for i in _jit.prange(len(x)):
            seen[i] = numba.get_num_threads()

    before = numba.get_num_threads()
    seen = np.zeros(_jit.SMALL + 1)
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

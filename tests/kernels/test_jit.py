"""How kernels are compiled: threads as the user asked, a private cache that follows every source, a debugger's mode."""

import os
import stat
import subprocess
import sys

import numba
import numpy as np
import pytest

from minitorch.kernels.cpu import _jit


@pytest.mark.parametrize("environment, expected", [
    ({"OMP_NUM_THREADS": "1"}, 1), ({"OPENBLAS_NUM_THREADS": "1"}, 1), ({"OMP_NUM_THREADS": "1,2"}, 1),
    ({"OMP_NUM_THREADS": "nonsense"}, None), ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}, None), ({}, None),
])
def test_the_users_thread_variables(monkeypatch, environment, expected):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _jit.allowed_threads() == (expected or numba.config.NUMBA_NUM_THREADS)


@pytest.mark.filterwarnings("ignore:Cannot cache compiled function")
def test_a_kernel_keeps_to_them_and_gives_the_setting_back(monkeypatch):
    @_jit.parallel
    def threads_seen(x, seen):
        for i in _jit.prange(len(x)):
            seen[i] = numba.get_num_threads()

    before = numba.get_num_threads()
    seen = np.zeros(_jit.SMALL + 1)
    threads_seen(seen, seen)
    assert set(seen) == {min(before, _jit.THREADS)}
    monkeypatch.setattr(_jit, "THREADS", 1)
    threads_seen(seen, seen)
    assert set(seen) == {1} and numba.get_num_threads() == before
    threads_seen(seen[:3], seen)
    assert numba.get_num_threads() == before


def run(script, **environment):
    return subprocess.run([sys.executable, "-W", "default", "-c", script], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=300)


KERNEL = """
import numpy as np
from minitorch.kernels import cpu
print(cpu.layernorm_forward(np.arange(6.0).reshape(2, 3), None, None, 1e-5)[0].round(3).tolist())
"""
RESULT = "[[-1.225, 0.0, 1.225], [-1.225, 0.0, 1.225]]"


@pytest.mark.parametrize("variable, place", [("NUMBA_CACHE_DIR", "{}"), ("XDG_CACHE_HOME", "{}/minitorch")])
def test_the_cache_is_private_and_goes_where_it_is_told(tmp_path, variable, place):
    environment = {name: "" for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")} | {variable: str(tmp_path)}
    assert run(KERNEL, **environment).stdout.strip() == RESULT
    folders = list((tmp_path / place.format(tmp_path).removeprefix(str(tmp_path)).lstrip("/")).glob("kernels-*"))
    assert len(folders) == 1 and stat.S_IMODE(folders[0].stat().st_mode) == 0o700
    assert list(folders[0].rglob("*.nbi"))


def test_a_cache_that_others_can_write_to_is_not_used(tmp_path):
    run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    folder = next(tmp_path.glob("kernels-*"))
    folder.chmod(0o777)
    again = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert again.stdout.strip() == RESULT
    assert "can be written by others" in again.stderr and "Set NUMBA_CACHE_DIR" in again.stderr


def test_a_cache_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    result = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert result.stdout.strip() == RESULT and "compiled kernels are not kept" in result.stderr


def test_without_a_compiler():
    assert run(KERNEL, NUMBA_DISABLE_JIT="1").stdout.strip() == RESULT

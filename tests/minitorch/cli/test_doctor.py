"""minitorch doctor: what is well is reported, what is wrong is found and comes with a remedy."""

import os
import subprocess
import sys

import pytest

from minitorch.cli import main
from minitorch.kernels.cpu import _compiler


def doctor(*args, **env):
    env = {**os.environ, **env}
    done = subprocess.run([sys.executable, "-m", "minitorch", "doctor", *args], capture_output=True, text=True, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_a_healthy_machine(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "kernels", raising=False)      # transformers looks for a package of this name
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for what in ("Python", "NumPy, Numba", "BLAS", "threads", "threading layer", "kernel cache", "GPU", "clashes"):
        assert what in out
    assert str(_compiler.cache_folder()) in out and out.rstrip().endswith("all is well")


def test_the_stranger_of_the_same_name_is_found(tmp_path):
    for name in ("minitorch", "minitorchbr"):
        folder = tmp_path / f"{name}-0.1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    code, out = doctor(PYTHONPATH=str(tmp_path))
    assert code == 1 and "2 problems found" in out
    assert "pip uninstall minitorch," in out and "pip uninstall minitorchbr" in out


def test_threads_that_the_user_asked_for():
    code, out = doctor(OMP_NUM_THREADS="1")
    assert code == 0 and "1 of " in out and "OMP_NUM_THREADS=1 asks" in out


def test_no_place_for_the_cache(tmp_path):
    file = tmp_path / "file"
    file.touch()
    code, out = doctor(NUMBA_CACHE_DIR=str(file))
    assert code == 1 and "every start compiles again" in out and "set NUMBA_CACHE_DIR" in out


def test_old_kernels_are_listed_and_cleaned(tmp_path):
    old, other = tmp_path / "kernels-0123456789abcdef", tmp_path / "kernels-of-somebody"
    for folder in (old, other):
        folder.mkdir()
        (folder / "x.nbc").write_bytes(b"x" * 2_000_000)
    code, out = doctor(NUMBA_CACHE_DIR=str(tmp_path))
    assert code == 0 and "1 folders of other versions, 2 MB" in out
    code, out = doctor("--clean", NUMBA_CACHE_DIR=str(tmp_path))
    assert "deleted 1 folders of compiled kernels, 2 MB" in out and not old.exists() and other.exists()


@pytest.mark.parametrize("env, text", [({"NUMBA_DISABLE_JIT": "1"}, "runs as plain Python"),
                                       ({"NUMBA_THREADING_LAYER": "workqueue"}, "pip install tbb"),
                                       ({"OPENBLAS_CORETYPE": "Haswell"}, "made for that CPU")])
def test_settings_that_slow_down_or_endanger(env, text):
    code, out = doctor(**env)
    assert code == 0 and text in out

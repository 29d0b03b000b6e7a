"""minitorch warmup: afterwards no kernel is left to compile, and a cold start says what it is doing."""

import os
import subprocess
import sys

import pytest

from minitorch import warmup
from minitorch.cli import main

LEFT = """
import importlib, inspect, pkgutil, sys
from minitorch import warmup
from minitorch.kernels import cpu
for _, use in warmup.tasks():
    use()
for m in pkgutil.iter_modules(cpu.__path__):
    module = importlib.import_module(cpu.__name__ + "." + m.name)
    for name, launch in vars(module).items():
        if getattr(launch, "__module__", "") == module.__name__ and inspect.isfunction(launch) and launch.__closure__:
            piece = inspect.getclosurevars(launch).nonlocals.get("compiled")
            if piece is not None:
                seen = str(piece.signatures)
                masks = name == "_keep" and seen != "[]"        # it has no dtype
                print(m.name, name, masks or "float32" in seen, masks or "float64" in seen)
"""


def python(code, **env):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env})


def test_every_kernel_is_warmed_in_both_dtypes():
    result = python(LEFT)
    rows = [line.split() for line in result.stdout.splitlines()]
    assert result.returncode == 0 and len(rows) > 60, result.stderr
    assert [row for row in rows if row[2:] != ["True", "True"]] == []


def test_a_second_warmup_takes_seconds(capsys):
    assert main(["warmup", "--dtype", "float32"]) == 0
    assert "every kernel is compiled" in capsys.readouterr().out


def test_another_minitorch_in_the_current_folder_is_not_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "minitorch").mkdir()
    (tmp_path / "minitorch" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert main(["warmup", "--dtype", "float32", "--jobs", "1"]) == 0
    assert "every kernel is compiled" in capsys.readouterr().out


def test_only_the_layers(capsys):
    assert main(["warmup", "--layers", "--dtype", "float64", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.startswith("what the layers use is compiled")
    names = [name for name, _ in warmup.tasks(["float64"], layers=True)]
    assert "attention, float64" in names and not any("large" in name for name in names)


def test_one_part_prints_what_it_did(capsys):
    assert main(["warmup", "--dtype", "float32", "--part", "3/20"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2


@pytest.mark.parametrize("argv", [["--jobs", "0"], ["--part", "3"], ["--part", "2/2"], ["--part", "a/b"]])
def test_wrong_arguments(argv, capsys):
    assert main(["warmup", *argv]) == 2
    assert argv[0] in capsys.readouterr().err


NOTICE = "import minitorch as mt; x = mt.randn(3, 4).softmax(-1); x.sigmoid()"


def test_a_cold_start_says_so_once(tmp_path):
    result = python(NOTICE, NUMBA_CACHE_DIR=str(tmp_path), MINITORCH_QUIET="")
    assert result.stderr.count("minitorch: compiling") == 1 and "minitorch warmup" in result.stderr
    again = python(NOTICE, NUMBA_CACHE_DIR=str(tmp_path), MINITORCH_QUIET="")
    assert again.stderr == ""


def test_the_notice_can_be_silenced(tmp_path):
    assert python(NOTICE, NUMBA_CACHE_DIR=str(tmp_path), MINITORCH_QUIET="1").stderr == ""

"""``minitorch bench --device cuda``: the path through the code, in the simulator; and what is said where there is no GPU."""

import csv
from argparse import Namespace
from math import inf
from pathlib import Path

import pytest

from minitorch.bench import gpu, ladder, process, worker
from minitorch.bench.compare import Row
from minitorch.cli import main

import quick_simulator
from on_cuda import HERE, in_the_simulator


@pytest.mark.skipif(HERE, reason="tensors go to the GPU in this process")
def test_in_the_simulator():
    """The quicker half of what needs a GPU in this file, with the simulator."""
    in_the_simulator(__file__, "-k", "goes_through and (train or matmul)")


@pytest.mark.skipif(HERE, reason="there is a GPU")
def test_without_a_gpu_it_says_what_is_missing(capsys):
    assert main(["bench", "ops", "--device", "cuda"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("minitorch bench --device cuda: Numba finds no usable NVIDIA GPU") and err.count("\n") == 1


@pytest.mark.parametrize("argv, message", [
    (["startup", "--device", "cuda"], "startup is measured on the CPU; with --device cuda there are ops, train, memory"),
    (["ops", "--device", "cuda", "--compile"], "--compile is for the CPU"),
    (["matmul"], "minitorch bench matmul --device cuda"),
])
def test_wrong_arguments(argv, message, capsys):
    assert main(["bench", *argv]) == 2
    assert message in capsys.readouterr().err


def test_the_ceiling():
    ceiling = gpu.Ceiling({1 << 16: 4e12, 1 << 30: 2e12}, 5e13)
    assert ceiling.seconds(1 << 29, 0) == (1 << 29) / 2e12 and ceiling.seconds(1 << 10, 5e13) == 1
    assert "copies 2000 GB/s, up to 4000" in str(ceiling) and "50.0 TFLOP/s (TF32 off)" in str(ceiling)
    assert "product" not in str(gpu.Ceiling({1: 1e12}, inf))


def rungs():
    return [Row("matmul", name, "64 × 64", "minitorch", "s", seconds, seconds, 1, floor=1e-3)
            for name, seconds in zip(ladder.RUNGS, (0.1, 0.02, 0.01, 2e-3, 1.25e-3))]


def test_the_ladders_chart(tmp_path):
    png, svg = gpu.curves(rungs(), tmp_path / "matmul")
    assert png.read_bytes().startswith(b"\x89PNG") and png.name == "matmul_ladder.png"
    assert ">80<" in svg.read_text() and "registers" in svg.read_text()
    assert gpu.curves([], tmp_path / "none") == []


def test_what_is_found():
    rows = [Row("train", "GPT", "tiny", "minitorch", "s", 1.0, 1.0, 1, launches=151),
            Row("train", "GPT", "tiny", "torch", "s", 1.0, 1.0, 1)]
    assert list(gpu.findings(rows, "minitorch")) == ["launches per step: 151 (GPT, tiny)"]
    assert list(gpu.findings(rows, "torch")) == []


def test_every_case_has_a_size_for_a_gpu():
    for what in ("ops", "train", "memory", "generate", "matmul"):
        for quick in (False, True):
            assert gpu.cases(what, Namespace(quick=quick))
    assert {case["size"] for case in gpu.cases("ops", Namespace(quick=False))} >= {"GPT-2", "large"}


def test_short_calls_are_timed_in_rows():
    done = []

    class Library:
        def finish():
            done.append(len(calls))

    calls = []
    found = worker.timed_in_rows(lambda: calls.append(1), Library)
    assert found["calls"] > 1000 and 0 < found["fastest"] <= found["median"] < 1e-4 and len(done) > 10


@pytest.mark.gpu
@pytest.mark.parametrize("what", ["ops", "train", "memory", "generate", "matmul"])
def test_it_goes_through(what, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(process, "WORKER", Path(quick_simulator.__file__).with_name("quick_worker.py"))
    assert main(["bench", what, "--device", "cuda", "--quick", "--rounds", "1", "--save", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "gpu: " in out and f"saved {tmp_path / what}.csv" in out
    with open(tmp_path / f"{what}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(row["note"] == (gpu.SIMULATED if "simulated" in row["gpu"] else "") for row in rows)
    if what == "train":
        assert int(rows[0]["launches"]) > 50 and "launches per step: " in out
    if what == "matmul":
        assert {"naive", "vector"} <= {row["case"] for row in rows}

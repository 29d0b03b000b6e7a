"""minitorch bench: the table, what is saved, who is missing, and how it stops."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import minitorch.cli.bench as bench
from minitorch.bench.process import WorkerDied
from minitorch.cli import main

QUICK = ["--quick", "--threads", "1", "--rounds", "1"]


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(bench, "is_installed", lambda library: False)


def test_a_table_and_a_csv_file(without_torch, tmp_path, capsys):
    assert main(["bench", "ops", *QUICK, "--only", "8 numbers", "--save", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "this machine copies" in out and "GFLOP/s" in out
    assert "add                      8 numbers" in out and "NumPy reference  ratio" in out and "geometric mean" in out
    with open(tmp_path / "ops.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["side"] for row in rows] == ["minitorch", "reference"] and rows[0]["torch"] == ""
    assert {path.name for path in tmp_path.iterdir()} == {"ops.csv", "ops.md", "ops.png", "ops.svg"}


def test_next_to_pytorch(torch, capsys):
    assert main(["bench", "train", *QUICK, "--model", "gpt", "--only", "512"]) == 0
    out = capsys.readouterr().out
    assert "PyTorch  ratio" in out and "differ" not in out and "GPT, by hand             512, 32, 1, 2, 32, 2" in out


def test_pytorch_missing(without_torch, capsys):
    assert main(["bench", "ops", *QUICK, "--only", "8 numbers"]) == 0
    out = capsys.readouterr().out
    assert "PyTorch is not installed" in out and "pip install torch==2.13.0" in out and "[oracle]" in out


@pytest.mark.parametrize("argv, message", [
    (["--threads", "0"], "--threads 0: at least one"), (["--rounds", "0"], "--rounds 0: at least one"),
    (["--model", "gpt"], "for train and all, not for ops"),
    (["--only", "nosuch"], "--only nosuch: no case"),
    (["--save", __file__], "is a file"),
])
def test_wrong_arguments(argv, message, capsys):
    assert main(["bench", "ops", *argv]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["nosuch"], ["train", "--model", "bert"]])
def test_not_understood(argv, capsys):
    with pytest.raises(SystemExit) as error:
        main(["bench", *argv])
    assert error.value.code == 2 and "usage" in capsys.readouterr().err


def measured(monkeypatch, function):
    monkeypatch.setitem(bench.BENCHMARKS, "ops", bench.BENCHMARKS["ops"]._replace(measure=function))


def rows(side_notes):
    return [bench.Row("ops", "add", "", side, "s", 1.0, 1.0, 1, note=note) for side, note in side_notes]


def test_a_worker_that_dies_ends_the_run_but_not_what_was_measured(without_torch, monkeypatch, tmp_path, capsys):
    def measure(*_):
        yield rows([("minitorch", ""), ("reference", "")])
        raise WorkerDied("the process that measures torch ended")
    measured(monkeypatch, measure)
    assert main(["bench", "ops", *QUICK, "--save", str(tmp_path)]) == 1
    assert "the process that measures torch ended" in capsys.readouterr().err
    assert len((tmp_path / "ops.csv").read_text().splitlines()) == 3


def test_other_results_are_an_error(without_torch, monkeypatch, capsys):
    measured(monkeypatch, lambda *_: [rows([("minitorch", "torch computed something else")])])
    assert main(["bench", "ops", *QUICK]) == 1
    assert "computed something else" in capsys.readouterr().out


def test_all_runs_every_benchmark(without_torch, monkeypatch, capsys):
    seen = []
    for name, benchmark in bench.BENCHMARKS.items():
        def measure(cases, sides, *_, name=name):
            seen.append((name, len(cases), tuple(sides)))
            return []
        monkeypatch.setitem(bench.BENCHMARKS, name, benchmark._replace(measure=measure))
    assert main(["bench", "all", *QUICK]) == 0
    assert [name for name, *_ in seen] == ["ops", "train", "memory", "scaling", "startup", "generate"]
    assert seen[0][2] == ("minitorch", "reference") and seen[1][1:] == (4, ("minitorch",))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_ctrl_c_leaves_nobody_behind():
    process = subprocess.Popen([sys.executable, "-m", "minitorch", "bench", "ops", "--quick", "--threads", "1",
                                "--rounds", "1000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        end = time.monotonic() + 60
        while len(children := workers.read_text().split()) < 1 and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "stopped" in err and "Traceback" not in err
    assert children
    end = time.monotonic() + 20         # one that was just being started sees the end of its input, and goes
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)

"""`minitorch gradflow`, as somebody meets it in a folder of their own."""

import csv
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from minitorch.cli import main


def run(capsys, *argv):
    try:
        code = main(["gradflow", *argv])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_without_arguments_in_an_empty_folder(tmp_path):
    done = subprocess.run([sys.executable, "-m", "minitorch", "gradflow"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "TkAgg"}, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == ["gradflow.png"]
    assert (tmp_path / "gradflow.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert done.stdout.endswith("wrote gradflow.png\n") and "weights start as in PyTorch (uniform" in done.stdout
    plain, residual = (next(line.split() for line in done.stdout.splitlines() if line.startswith(name))
                       for name in ("plain", "residual"))
    assert float(plain[3]) < -25 and abs(float(residual[3])) < 1                    # the column of orders


def test_every_kind_of_file(capsys, tmp_path):
    names = [str(tmp_path / f"flow.{kind}") for kind in ("png", "svg", "pdf", "csv")]
    code, out, _ = run(capsys, "--depth", "5", "--width", "8", "--narrow", *[x for name in names for x in ("--save", name)])
    assert code == 0 and all(f"wrote {name}" in out for name in names)
    assert "<svg" in (tmp_path / "flow.svg").read_text(encoding="utf-8")
    with open(names[-1], newline="") as file:
        rows = list(csv.DictReader(file))
    norms = [float(row["out_grad_norm"]) for row in rows if row["variant"] == "plain"]
    assert f"{norms[-1]:.2e}" in out and f"{math.log10(norms[0] / norms[-1]):+.1f}" in out
    code, out, _ = run(capsys, "--depth", "5", "--width", "8", "--save", names[-1])
    assert code == 0 and f"replaced {names[-1]}" in out


def test_transformer_blocks_and_training(capsys, tmp_path):
    save = ["--save", str(tmp_path / "flow.png")]
    code, out, _ = run(capsys, "--block", "transformer", "--depth", "6", "--width", "8", "--activation", "gelu", *save)
    assert code == 0 and "self-attention with 4 heads, then Linear(8, 8) → gelu" in out and "No theory is shown" in out
    code, out, _ = run(capsys, "--steps", "2", "--depth", "4", "--width", "8", "--dtype", "float64", *save)
    assert code == 0 and "plain SGD, learning rate 0.02" in out
    assert len([line for line in out.splitlines() if "does not learn: loss" in line]) == 5


def test_the_figure_says_the_finding(capsys, tmp_path):
    name = str(tmp_path / "flow.csv")
    for seed in ("1", "2"):
        code, out, _ = run(capsys, "--depth", "30", "--width", "16", "--seed", seed, "--save", name)
        with open(name, newline="") as file:
            rows = list(csv.DictReader(file))
        first, last = ({row["variant"]: float(row["out_grad_norm"]) for row in rows if row["block"] == block}
                       for block in ("1", "30"))
        assert code == 0
        factor = np.log10(first["residual"] / first["plain"])
        assert f"at block 1 larger by a factor of 10^{factor:.1f}" in " ".join(out.split())
        assert f"{last['pre-norm']:.2e}" in out


@pytest.mark.parametrize("argv, text", [
    (["--depth", "1001"], "--depth 1001: it must be from 2 to 1000"),
    (["--depth", "1"], "from 2 to 1000"),
    (["--width", "0"], "--width 0"),
    (["--steps", "-1"], "--steps -1"),
    (["--seed", "-1"], "--seed -1"),
    (["--lr", "0", "--steps", "3"], "--lr 0.0: it must be above 0"),
    (["--save", "flow.gif"], "must end in one of .csv, .pdf, .png, .svg"),
    (["--save", "no/such/flow.png"], "there is no folder no/such"),
    (["--activation", "rely"], "invalid choice: 'rely'"),
    (["--depth", "many"], "invalid int value"),
])
def test_what_cannot_be(capsys, argv, text):
    code, out, err = run(capsys, *argv)
    assert code == 2 and text in err and not out


def test_a_place_that_cannot_be_written_to(capsys, tmp_path):
    (tmp_path / "flow.png").mkdir()
    code, _, err = run(capsys, "--save", str(tmp_path / "flow.png"))
    assert code == 2 and "cannot be written to" in err

"""minitorch tour, as a newcomer runs it: the folder it leaves, its numbers, and its pages in a real browser."""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from browser import Browser, missing

from minitorch import explain
from minitorch.cli import main

FILES = ["block.html", "gradient-flow.csv", "gradient-flow.svg", "gradients.csv", "index.html", "neuron.txt",
         "residual-lab.html", "training.svg"]


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    done = subprocess.run([sys.executable, "-m", "minitorch", "tour", "--quick", "--out", "pages"], cwd=folder, text=True,
                          capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    return folder / "pages", done.stdout


def shown(page, name):
    return re.search(rf"data-check={name}>([^<]+)<", page.read_text(encoding="utf-8"))[1]


def test_the_folder_holds_what_the_index_links(tour):
    folder, out = tour
    assert sorted(p.name for p in folder.iterdir()) == FILES
    page = (folder / "index.html").read_text(encoding="utf-8")
    for link in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert (folder / link).stat().st_size > 1000, link
    assert "index.html" in out and "minitorch step block" in out and all(f"{n}/5" in out for n in range(1, 6))


def test_every_gradient_was_right_and_the_table_says_so(tour):
    folder, out = tour
    rows = list(csv.DictReader((folder / "gradients.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) > 80 and {row["verdict"] for row in rows} == {"right"}
    assert int(shown(folder / "index.html", "right")) == len(rows) and f"{len(rows)} of {len(rows)} comparisons right" in out


def test_the_gradient_shown_is_the_engines(tour):
    folder, _ = tour
    trace, _ = explain.record_script(explain.program("block")[0])
    norms = [np.linalg.norm(v.grad.astype(float)) for v in trace.values if v.kind == "parameter" and v.grad is not None]
    assert shown(folder / "index.html", "norm") == f"{max(norms):.6g}"


def test_the_flow_shown_is_the_engines(tour):
    folder, out = tour
    found = explain.compare_stacks(depth=12, seed=0)
    found.to_csv(folder.parent / "again.csv")
    shown, again = (list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
                    for path in (folder / "gradient-flow.csv", folder.parent / "again.csv"))
    assert len(shown) == len(again) == 60
    for a, b in zip(shown, again):
        assert a["variant"] == b["variant"]
        assert float(a["out_grad_norm"]) == pytest.approx(float(b["out_grad_norm"]), rel=1e-5)
    assert found.reading().splitlines()[0] in out


@pytest.mark.skipif(bool(missing()), reason=f"the pages are tested in a browser: {missing()}")
@pytest.mark.parametrize("dark, width", [(False, 1280), (True, 400)])
def test_the_pages_in_a_browser(tour, dark, width):
    with Browser(width=width, dark=dark) as browser:
        for page in ("index.html", "block.html", "residual-lab.html"):
            browser.open(tour[0] / page)
            assert browser.complaints() == [] and browser.requests() == []
            assert browser.js("return document.documentElement.scrollWidth <= innerWidth"), f"{page} is too wide"
        browser.open(tour[0] / "index.html")
        assert browser.js("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert browser.text("h1") == "A tour of minitorch"
        assert browser.js("return document.querySelectorAll('section').length") == 6


def test_a_file_in_the_way(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["tour", "--out", str(tmp_path / "file")]) == 2
    assert "this is a file" in capsys.readouterr().err
    assert main(["tour", "--out", str(tmp_path / "file" / "deeper")]) == 2
    assert "nothing can be written there" in capsys.readouterr().err
    assert (tmp_path / "file").stat().st_size == 0

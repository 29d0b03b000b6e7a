"""The site's own machinery: docstrings become pages as they stand, and no page loads anything from the network."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minitorch import cli, ops
from minitorch.autograd import Function

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def reference_pages(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield importlib.import_module("reference_pages")
    sys.modules.pop("reference_pages")


@pytest.fixture
def offline_pages(monkeypatch):
    pytest.importorskip("sphinx", reason="the site needs pip install -e '.[docs]'")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield importlib.import_module("offline_pages")
    sys.modules.pop("offline_pages")


@pytest.mark.parametrize("text, rst", [
    ("a *b* |c| d_", r"a *b* \|c\| d\_"),
    ("2*x*y (*shape), (*shape)", r"2\*x\*y (\*shape), (\*shape)"),
    ("**With\n``x``** y ** 2, **settings", "With\n``x`` y \\*\\* 2, \\*\\*settings"),
    (".. warning:: a*\n   b*", ".. warning:: a\\*\n   b\\*"),
    ("in:\n\ny = x_     dx = dy", "in:\n\n::\n\n    y = x_     dx = dy"),
    ("``x*y`` and `name` stay", "``x*y`` and `name` stay"),
    ("so:\n\n    y = x*\n\nthen x*", "so:\n\n::\n\n    y = x*\n\nthen x\\*"),
    ("so:\n    y = x*\nthen", "so:\n\n::\n\n    y = x*\n\nthen"),
    (">>> x * y\n6\n\na*", ">>> x * y\n6\n\na\\*"),
    ("a\n\n==  ==\nx_  y\n==  ==\n\nb_", "a\n\n::\n\n    ==  ==\n    x_  y\n    ==  ==\n\nb\\_"),
    ("both:\n- a*\n  b\n- c", "both:\n\n- a\\*\n  b\n- c"),
    ("Parameters\n----------\n*x : float\n    any_\ny, z : short\nw\n    See y.\n\nThen",
     ".. rubric:: Parameters\n\n- ``*x`` : float\n\n  any\\_\n- ``y, z`` : short\n- ``w``\n\n  See y.\n\nThen"),
])
def test_a_docstring_shows_what_is_written(reference_pages, text, rst):
    assert reference_pages.as_rst(text) == rst


def test_every_op_is_on_the_page_of_formulas(reference_pages):
    page = "\n".join(reference_pages.formulas_page())
    for module in [m for m in vars(ops).values() if inspect.ismodule(m)]:
        for op in vars(module).values():
            if inspect.isclass(op) and issubclass(op, Function) and "\n    Forward " in (op.__doc__ or ""):
                assert f"\n{op.__name__}\n~~~" in page, op


def test_every_command_is_on_the_page_of_commands(reference_pages):
    page = "\n".join(reference_pages.commands_page())
    assert all(f"minitorch {name}\n---" in page for name in cli.COMMANDS)


def test_a_thumbnail_shows_the_first_lines(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    picture = importlib.import_module("thumbnails").drawing("a < b      c\n\n" + "x" * 100 + "\n" * 3 + "d\n" * 20)
    assert re.findall(">(.*)</text>", picture) == ["a &lt; b  c", "x" * 27, *"ddddd"]


def test_the_transcript_on_the_first_page_is_true(tmp_path):
    page = (DOCS / "index.md").read_text(encoding="utf-8")
    program = re.search(r"```python\n(.*?)```", page, re.S)[1]
    shown = re.search(r"<!-- transcript -->\s*```text\n(.*?)```", page, re.S)[1]
    (tmp_path / "first.py").write_text(program, encoding="utf-8")
    asked = "\n".join(re.findall(r"^\(step\) (.*)$", shown, re.M))
    run = subprocess.run([sys.executable, "-m", "minitorch", "step", "first.py"], input=f"{asked}\nq\n", cwd=tmp_path,
                         env={**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}, capture_output=True, text=True,
                         encoding="utf-8", check=True, timeout=120)

    def without_noise(text):  # how far two float64 results differ in their last digits is the machine's affair
        return re.sub(r"relative difference .*", "", text)

    assert without_noise(shown) in without_noise(run.stdout), "docs/index.md should show this:\n" + run.stdout


@pytest.mark.parametrize("text, found", [
    ('<script src="https://cdn.example/x.js"></script>', 1),
    ('<link rel="stylesheet" href="//fonts.example/x.css">', 1),
    ('<style>@import "https://fonts.example/x.css"; a { background: url(https://a.example/b.png) }</style>', 2),
    ('<div style="background: url(http://a.example/b.png)"></div>', 1),
    ('<img src="https://a.example/b.png"/><iframe src="http://a.example"></iframe>', 2),
    ('<script src="_static/x.js"></script><link rel="stylesheet" href="_static/x.css"><img src="a.png">', 0),
    ('<a href="https://a.example">a link to follow</a><svg xmlns="http://www.w3.org/2000/svg"></svg>', 0),
])
def test_what_a_page_fetches_from_elsewhere_is_found(offline_pages, tmp_path, text, found):
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    assert len(offline_pages.fetched_from_elsewhere(tmp_path / "page.html")) == found

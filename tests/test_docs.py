"""The documentation, checked: every Python block runs, every result shown is the true one, every link leads somewhere.

The ```python blocks of a page are one program. It is written to a file with every line where it stands on the page, so
that a traceback names the page's line. Two conventions:

- ``print(...)  # → text``: what is printed must be this text, white space aside; a longer text goes on in the comment
  lines that follow. The arrow may also begin the line below.
- a block whose first line is ``# raises SomeError`` must raise it.
"""

import importlib
import inspect
import re
import runpy
import sys
from pathlib import Path

import pytest

from minitorch.autograd import Function

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPS = sorted(path.stem for path in (ROOT / "minitorch" / "ops").glob("[a-z]*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def text_of(path):
    return path.read_text(encoding="utf-8")


def program_of(text):
    """The lines of a page's program: those of its Python blocks, and empty ones in place of the rest."""
    lines, inside, indent = [], False, ""
    page = text.split("\n")
    for i, line in enumerate(page):
        if inside and line.startswith("```"):
            inside, line = False, ""
        elif inside:
            line = indent + line if line else line
        elif line.startswith("```python"):
            raises = re.match(r"# raises (\w+)", page[i + 1])
            inside, indent = True, "    " if raises else ""
            line = f"with raises({raises[1]!r}):" if raises else ""
        else:
            line = ""
        lines.append(line)
    return lines


def promised(program):
    """Line number of a print → the text that the comment beside or below it promises."""
    texts, at = {}, None
    for number, line in enumerate(program, 1):
        code, arrow, shown = line.partition("# →")
        if arrow:
            at = number if code.strip() else number - 1
            assert "print(" in program[at - 1], f"line {number}: nothing is printed here"
            texts[at] = shown
        elif at is not None and line.lstrip().startswith("#"):
            texts[at] += line.lstrip().lstrip("#")
        else:
            at = None
    return {number: " ".join(shown.split()) for number, shown in texts.items()}


class raises:  # noqa: N801
    """The block inside must raise an error of this name, or one derived from it."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        pass

    def __exit__(self, kind, *_):
        assert kind is not None, f"{self.name} was not raised"
        return self.name in [k.__name__ for k in kind.__mro__]


def run(page, folder):
    """Run the page's program; return what every print printed, by line."""
    printed = {}

    def show(*values, sep=" ", end="\n", **_):
        number = sys._getframe(1).f_lineno
        printed[number] = " ".join(f"{printed.get(number, '')} {sep.join(map(str, values))}{end}".split())

    path = folder / f"{page.stem}.py"
    path.write_text("\n".join(program_of(text_of(page))), encoding="utf-8")
    runpy.run_path(str(path), {"print": show, "raises": raises}, run_name="page")
    return printed


@pytest.mark.parametrize("page", [p for p in PAGES if "```python" in text_of(p)], ids=name_of)
def test_page_runs_and_tells_the_truth(page, tmp_path):
    printed = run(page, tmp_path)
    for line, text in promised(program_of(text_of(page))).items():
        assert printed.get(line) == text, f"{name_of(page)}:{line}"


@pytest.mark.parametrize("text, error", [
    ("print(1 + 1)  # → 3", AssertionError),
    ("print([1,\n# → [2,\n#    3]", SyntaxError),
    ("# raises ValueError\nint('1')", AssertionError),
    ("# raises ValueError\n1 / 0", ZeroDivisionError),
    ("assert 1 > 2", AssertionError),
])
def test_a_page_that_lies_is_caught(text, error, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"words\n```python\n{text}\n```\nwords\n", encoding="utf-8")
    with pytest.raises(error):
        printed = run(page, tmp_path)
        assert all(printed[line] == shown for line, shown in promised(program_of(text_of(page))).items())


@pytest.mark.parametrize("family", OPS)
def test_every_op_is_on_the_page_it_names(family):
    module = importlib.import_module(f"minitorch.ops.{family}")
    for name, op in inspect.getmembers(module, inspect.isclass):
        if issubclass(op, Function) and op.__module__ == module.__name__:
            target = re.search(r"Derived in (docs/\S+\.md)", op.__doc__)[1]
            assert (ROOT / target).is_file(), f"{name}: there is no {target}"
            assert re.search(rf"\b{name}\b", text_of(ROOT / target)), f"{target} does not mention {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose)):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{name_of(page)}: {target}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name in ("layers", "ops")], ids=name_of)
def test_files_named_on_derivation_pages_exist(page):
    for target in re.findall(r"`((?:kernels|minitorch|tests|docs|examples)/[\w/]+\.\w+)`", text_of(page)):
        assert (ROOT / target).is_file(), f"{name_of(page)}: {target}"

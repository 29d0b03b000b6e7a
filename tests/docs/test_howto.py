"""The reports shown on the how-to pages are what their programs print, line numbers and all."""

import re
import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[2] / "docs" / "howto").glob("find-*.md"))


class Raises:
    """A block that begins with "# raises" may do so."""

    def __enter__(self):
        pass

    def __exit__(self, *_):
        return True


def program_of(text):
    """The Python blocks, each line where it stands on the page."""
    lines, python, indent = [], False, ""
    for line in text.split("\n"):
        if line.startswith("```"):
            python, indent, line = line == "```python", "", ""
        elif python and line.startswith("# raises"):
            indent, line = "    ", "with Raises():"
        elif python:
            line = indent + line if line else line
        lines.append(line if python else "")
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_reports_are_what_is_printed(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    program = tmp_path / f"{page.stem}.py"
    program.write_text(program_of(text), encoding="utf-8")
    printed = StringIO()
    with redirect_stdout(printed):
        runpy.run_path(str(program), {"Raises": Raises})
    reports = re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)
    assert reports
    for report in reports:
        assert report in printed.getvalue()

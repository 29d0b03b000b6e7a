"""An example without a picture shows, in the gallery, the first lines that it prints."""

from __future__ import annotations

import re
import textwrap
from html import escape
from pathlib import Path

__all__ = ["drawing", "setup"]

LINES, COLUMNS = 7, 27


def drawing(text: str) -> str:
    """The beginning of a text as a picture of 400 × 280."""
    lines = [re.sub(" {3,}", "  ", line.strip())[:COLUMNS] for line in text.split("\n") if line.strip()][:LINES]
    rows = "\n".join(f'  <text x="20" y="{50 + 34 * i}" xml:space="preserve">{escape(line)}</text>'
                     for i, line in enumerate(lines))
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 280" width="400" height="280" fill="#1f4e79" '
            'font-family="monospace" font-size="22">\n  <rect width="400" height="280" fill="#f4f6f8"/>\n'
            f"{rows}\n</svg>\n")


def _draw(app):
    gallery = Path(app.srcdir) / "gallery"
    for thumb in (gallery / "images" / "thumb").glob("sphx_glr_*_thumb.svg"):
        page = gallery / (thumb.stem.removeprefix("sphx_glr_").removesuffix("_thumb") + ".rst")
        printed = re.findall(r"^ \.\. code-block:: none\n\n(.*?)(?=^\S)", page.read_text(encoding="utf-8"), re.M | re.S)
        if printed:
            thumb.write_text(drawing("\n".join(map(textwrap.dedent, printed))), encoding="utf-8")


def setup(app):
    """Connect to Sphinx, after the gallery was made."""
    app.connect("builder-inited", _draw, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

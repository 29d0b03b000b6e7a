"""Put the pictures of ``_static/*.svg`` into the page itself, so that they take the page's colours, light and dark.

In Markdown they are ordinary images, ``![what it shows](../_static/name.svg)``, and are shown elsewhere, too.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from docutils import nodes

__all__ = ["setup"]


def _inline(app, doctree):
    for image in list(doctree.findall(nodes.image)):
        if "_static/" in image["uri"] and image["uri"].endswith(".svg"):
            path = Path(app.srcdir) / image["uri"].lstrip("/")
            app.env.note_dependency(str(path))
            svg = path.read_text(encoding="utf-8").replace(
                "<svg ", f'<svg role="img" aria-label="{escape(image.get("alt", ""), quote=True)}" ', 1)
            image.replace_self(nodes.raw("", f'<span class="drawing">{svg}</span>', format="html"))


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-read", _inline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

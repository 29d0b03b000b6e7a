"""After the build, look at every page: it must show and run without a network.

Links that a reader may follow are fine; whatever a browser fetches by itself, scripts, styles, fonts, pictures, frames, must
lie beside the page.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from sphinx.errors import ExtensionError

__all__ = ["fetched_from_elsewhere", "setup"]

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src",
           "object": "data", "image": "href", "use": "href"}
STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)")


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        address = attributes.get(FETCHED.get(tag, ""), "")
        if tag == "link" and {"stylesheet", "icon", "preload", "modulepreload", "preconnect"} & set(
                (attributes.get("rel") or "").split()):
            address = attributes.get("href", "")
        if re.match(r"(https?:)?//", address or ""):
            self.found.append(f"<{tag}> {address}")
        self.found += STYLE.findall(attributes.get("style") or "")
        self.in_style = tag == "style"

    def handle_data(self, data):
        if self.in_style:
            self.found += STYLE.findall(data)

    def handle_endtag(self, tag):
        self.in_style = False


def fetched_from_elsewhere(path: Path) -> list[str]:
    """What a browser that opens this page or style sheet would fetch over the network."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return STYLE.findall(text)
    page = _Page()
    page.feed(text)
    return page.found


def _check(app, exception):
    if exception is None and app.builder.format == "html":
        out = Path(app.outdir)
        found = [f"{path.relative_to(out)}: {what}" for path in sorted([*out.rglob("*.html"), *out.rglob("*.css")])
                 for what in fetched_from_elsewhere(path)]
        if found:
            raise ExtensionError("these pages load something from the network:\n" + "\n".join(found))


def setup(app):
    """Connect to Sphinx."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

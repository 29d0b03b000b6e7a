"""The offline player: a recorded run as one HTML page, to walk through forward and backward.

With this file one can

- write the page          `save_player`: one file, no network, opens in any browser
- have it as text         `player_html`
- see it in a notebook    `Player`
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from minitorch.explain.payload import payload
from minitorch.explain.trace import Trace

__all__ = ["Player", "player_html", "save_player"]

PAGES = Path(__file__).parent / "page"
MOST = 4000                                     # steps in a page
LARGEST = 100_000_000                           # characters in a page
SCRIPTS = ("base.js", "numbers.js", "contributions.js", "heatmap.js", "graph.js", "player.js")
STYLES = ("base.css", "player.css")


def player_html(trace: Trace, *, title: str | None = None, probes: bool = True) -> str:
    """The page, as text.

    Parameters
    ----------
    trace : Trace
        What `minitorch.explain.record` returned.
    title : str
        Stands at the top; without it, the name of the file that was recorded.
    probes : bool
        Nudge a few elements of every leaf, to show finite differences beside the gradients. This runs the program again
        a few hundred times, in float64.

    >>> from minitorch import explain
    >>> x = minitorch.tensor([1.0, 2.0], requires_grad=True)
    >>> trace = explain.record(lambda: (x * x).sum().backward())
    >>> explain.player_html(trace).startswith("<!doctype html>")
    True
    """
    if not isinstance(trace, Trace):
        raise TypeError(f"player_html: trace must be what explain.record returned, got {type(trace).__name__}")
    if not trace.steps:
        raise ValueError("player_html: nothing was recorded: no op ran inside explain.record")
    if len(trace.steps) > MOST:
        raise ValueError(f"player_html: {len(trace.steps):,} steps are too many for one page; it holds {MOST:,}. Record "
                         "less of the run: record(..., runs=1) and minitorch step --runs 1 end with the first backward().")
    title = _title(trace) if title is None else title
    page = fill("player.html", STYLES, SCRIPTS, payload(trace, title, probes), title)
    if len(page) > LARGEST:
        raise ValueError(f"player_html: the page would take {len(page) / 1e6:.0f} MB, more than a browser likes. Record "
                         "with a smaller keep=, so that large arrays are kept as summaries: explain.record(..., keep=4096).")
    return page


def save_player(trace: Trace, path: str | Path, *, title: str | None = None, probes: bool = True) -> Path:
    """Write the page to a file; return its path. Arguments as for `player_html`."""
    path = Path(path)
    path.write_text(player_html(trace, title=title, probes=probes), encoding="utf-8")
    return path


class Player:
    """The player in a notebook: the value of a cell shows itself.

    >>> from minitorch import explain
    >>> trace = explain.record(lambda: minitorch.tensor([1.0, 2.0]).exp())
    >>> explain.Player(trace, height=600)
    <Player: <Trace: 1 ops forward, 0 backward, 2 values>>
    """

    def __init__(self, trace: Trace, *, title: str | None = None, probes: bool = True, height: int = 820):
        self.trace, self.height = trace, height
        self.page = player_html(trace, title=title, probes=probes)

    def _repr_html_(self) -> str:
        return (f'<iframe srcdoc="{html.escape(self.page)}" sandbox="allow-scripts" title="minitorch player" '
                f'style="width:100%;height:{int(self.height)}px;border:1px solid #ccc;border-radius:12px"></iframe>')

    def __repr__(self):
        return f"<Player: {self.trace!r}>"


def fill(page: str, styles, scripts, data, title: str) -> str:
    """A page of this folder with its styles, scripts and data put in."""
    def read(names):
        return "\n".join((PAGES / name).read_text(encoding="utf-8") for name in names)

    parts = {"title": html.escape(title), "css": read(styles), "js": read(scripts), "data": as_json(data)}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read([page]))


def as_json(data) -> str:
    """JSON that may stand inside <script>: no "<" in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _title(trace: Trace) -> str:
    place = next((s.place for s in trace if s.place and not s.place.library), None)
    return place.file.replace("\\", "/").rpartition("/")[2] if place else "A recorded run"

"""Where the boxes of a recorded run go: a grid of rows and columns for every module, and a lane for every bypass.

With this file one can

- lay a run out    `layout`: a tree of `Box`es. A module's box holds the boxes of what ran in it, and the `Wire`s between

Every wire leads from a lower row to a higher one. A box stands in the row after the last thing that it needs; in the column
of what it needs, where that is free. A wire that passes by a row runs in a lane, to the right of all columns: so no
wire crosses a box, and a residual connection is seen as what it is, a line past the sublayer.

How many pixels a row or column takes is decided where it is drawn: it depends on which modules are open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from minitorch.explain.trace import Step, Trace, Value

__all__ = ["Box", "Wire", "layout"]

SUMS = {"Add", "ResidualAdd"}


@dataclass
class Wire:
    """A value on its way from the box that makes it to one that uses it."""

    value: int                      # its number
    source: str                     # ids of boxes
    target: str
    lane: int | None = None         # counted from the columns outwards; None: straight to the next row
    residual: bool = False          # past a sublayer, to the sum with what the sublayer made of it


@dataclass
class Box:
    """A place in its module's grid, and, for a module, what is in it."""

    id: str
    kind: str                       # "module", "op", "value" (a leaf, or the result), "in" or "out" (a module's edges)
    label: str
    module: str = ""                # the module's path
    steps: list[int] = field(default_factory=list)          # the forward steps in it
    value: int | None = None        # of a "value", "in" or "out"
    row: int = 0
    column: int = 0
    children: list[Box] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    def walk(self) -> Iterable[Box]:
        """This box and every box in it."""
        yield self
        for child in self.children:
            yield from child.walk()


def layout(trace: Trace) -> Box:
    """The box that holds the whole run.

    >>> from minitorch import explain
    >>> x = minitorch.tensor([1.0, 2.0])
    >>> trace = explain.record(lambda: x + x.exp())
    >>> from minitorch.explain.layout import layout
    >>> [(box.label, box.row, box.column) for box in layout(trace).children]
    [('Exp', 1, 0), ('Add', 2, 0), ('x', 0, 0), ('add', 3, 0)]
    """
    return _module("", "", trace.forward, 0, _origins(trace))


def _origins(trace: Trace) -> list[int]:
    """For each value, the values that it was computed from, as bits of one number."""
    origins = [0] * len(trace.values)
    for step in trace.forward:
        seen = 0
        for x in step.inputs:
            if isinstance(x, Value):
                seen |= origins[x.number] | 1 << x.number
        for y in step.outputs:
            origins[y.number] = seen
    return origins


def _module(path: str, label: str, steps: list[Step], depth: int, origins: list[int]) -> Box:
    """One call of a module: its steps follow each other in the run, so what it holds can be put in rows."""
    box = Box(f"{path}@{steps[0].index if steps else 0}", "module", label, path, [s.index for s in steps])
    for name, run in groupby(steps, key=lambda s: _part(s.module, depth)):
        inner = list(run)
        if name is None:
            box.children += [Box(f"op{s.index}", "op", s.op, s.module, [s.index]) for s in inner]
        else:
            child = _module(f"{path}.{name}".lstrip("."), name, inner, depth + 1, origins)
            box.children.append(_simplest(child, name))
    _connect(box, steps, origins)
    _rows(box)
    _columns(box)
    _lanes(box)
    return box


def _part(module: str, depth: int) -> str | None:
    parts = module.split(".") if module else []
    return parts[depth] if depth < len(parts) else None


def _simplest(box: Box, name: str) -> Box:
    """A module that holds one thing alone is drawn as that thing."""
    inside = [b for b in box.children if b.kind in ("module", "op")]
    if len(inside) != 1:
        return box
    only = inside[0]
    only.label = f"{name}.{only.label}" if only.kind == "module" else name
    only.module = only.module or box.module
    return only


# ---------------------------------------------------------------------------------------------------------------------
# wires

def is_drawn(leaf: Value) -> bool:
    """Is this leaf a box of its own? A module's parameters belong to the op that uses them."""
    return leaf.kind == "input" or "." not in leaf.name


def _connect(box: Box, steps: list[Step], origins: list[int]) -> None:
    place = {index: child for child in box.children for index in child.steps}
    top = not box.module
    mine = {s.index for s in steps}
    ends: dict[int, Box] = {}
    done = set()

    def end(kind, value, label):
        if value.number not in ends:
            ends[value.number] = Box(f"{kind}{value.number}:{box.id}", kind, label, box.module, value=value.number)
        return ends[value.number]

    def wire(value, source, target, step=None):
        if (value.number, source.id, target.id) not in done and source is not target:
            done.add((value.number, source.id, target.id))
            residual = target.kind == "op" and _is_residual(value, step, origins)
            box.wires.append(Wire(value.number, source.id, target.id, residual=residual))

    for step in steps:
        for value in step.inputs:
            if not isinstance(value, Value) or value.maker is None and not is_drawn(value):
                continue
            if value.maker is not None and value.maker.index in mine:
                source = place[value.maker.index]
            else:
                source = end("value" if top else "in", value, value.name)
            wire(value, source, place[step.index], step)
    results, ends_in = [], list(ends.values())
    for step in steps:
        for value in step.outputs:
            outside = any(user.index not in mine for user, _ in value.users)
            last = not value.users and (step.twin and step.twin.root or value.number == len(origins) - 1)
            if outside or last:
                result = Box(f"out{value.number}:{box.id}", "value" if top else "out", value.name, box.module,
                             value=value.number)
                results.append(result)
                wire(value, place[step.index], result)
    box.children += ends_in + results


def _is_residual(value: Value, step: Step | None, origins: list[int]) -> bool:
    """Is this a sum of a value and of something made from it?"""
    return step is not None and step.op in SUMS and any(
        isinstance(x, Value) and origins[x.number] >> value.number & 1 for x in step.inputs)


# ---------------------------------------------------------------------------------------------------------------------
# rows, columns, lanes

def _rows(box: Box) -> None:
    """Row 0 is the module's top edge; its last row the bottom edge. Leaves stand right above their first use."""
    into: dict[str, list[str]] = {}
    for w in box.wires:
        into.setdefault(w.target, []).append(w.source)
    by_id = {b.id: b for b in box.children}
    inner = [b for b in box.children if b.steps]
    for b in inner:                             # in the order of the run: what a box needs has its row already
        b.row = 1 + max((by_id[s].row for s in into.get(b.id, ()) if by_id[s].steps), default=0)
    last = 1 + max((b.row for b in inner), default=0)
    for b in box.children:
        if not b.steps:
            users = [by_id[w.target].row for w in box.wires if w.source == b.id and by_id[w.target].steps]
            if b.id in into:
                b.row = last
            elif b.kind == "value":
                b.row = min(users, default=1) - 1


def _columns(box: Box) -> None:
    """What is made from a thing stands below it; several such things beside each other."""
    by_id = {b.id: b for b in box.children}
    taken: set[tuple[int, int]] = set()
    placed: set[str] = set()

    def put(b, wanted):
        offsets = (0, *(sign * k for k in range(1, len(box.children) + 2) for sign in (1, -1)))
        b.column = next(wanted + k for k in offsets if (b.row, wanted + k) not in taken)
        taken.add((b.row, b.column))
        placed.add(b.id)

    def wanted(b):
        above = [by_id[w.source] for w in box.wires if w.target == b.id and w.source in placed]
        nearest = sorted(a.column for a in above if a.row == max(a.row for a in above))
        return nearest[len(nearest) // 2] if nearest else 0

    first = [b for b in box.children if b.kind == "in"]
    inner = [b for b in box.children if b.steps]
    ends = [b for b in box.children if not b.steps and b.kind != "in" and any(w.target == b.id for w in box.wires)]
    for row in range(len(box.children) + 2):
        same_row = [b for b in (*first, *inner, *ends) if b.row == row]
        for column, group in groupby(sorted(same_row, key=wanted), key=wanted):
            together = list(group)
            for k, b in enumerate(together):
                put(b, column + k - (len(together) - 1) // 2)
    for b in box.children:
        if b.id not in placed:
            put(b, next(by_id[w.target].column for w in box.wires if w.source == b.id))
    left = min((b.column for b in box.children), default=0)
    for b in box.children:
        b.column -= left


def _lanes(box: Box) -> None:
    """One lane for each value that passes by a row; two values share a lane where they do not meet."""
    by_id = {b.id: b for b in box.children}
    spans: dict[tuple[str, int], list[Wire]] = {}
    for w in box.wires:
        if by_id[w.target].row > by_id[w.source].row + 1:
            spans.setdefault((w.source, w.value), []).append(w)
        else:
            w.residual = False

    def rows(wires):
        return by_id[wires[0].source].row, max(by_id[w.target].row for w in wires)

    busy: list[list[tuple[int, int]]] = []
    for wires in sorted(spans.values(), key=lambda ws: (rows(ws)[1] - rows(ws)[0], rows(ws), ws[0].value)):
        start, stop = rows(wires)
        free = (k for k, used in enumerate(busy) if all(stop <= a or b <= start for a, b in used))
        lane = next(free, len(busy))
        if lane == len(busy):
            busy.append([])
        busy[lane].append((start, stop))
        for w in wires:
            w.lane = lane


def as_data(box: Box) -> dict[str, Any]:
    """The tree as plain dictionaries, for the page."""
    made: dict[str, Any] = {"id": box.id, "kind": box.kind, "label": box.label, "row": box.row, "column": box.column}
    if box.module:
        made["module"] = box.module
    if box.steps:
        made["steps"] = [box.steps[0], box.steps[-1]]
    if box.value is not None:
        made["value"] = box.value
    if box.children:
        made["children"] = [as_data(b) for b in box.children]
        made["wires"] = [[w.value, w.source, w.target, w.lane, int(w.residual)] for w in box.wires]
    return made

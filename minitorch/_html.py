"""How tensors and modules look in a notebook: plain HTML and SVG, without scripts, styles or anything from the network.

Text takes the notebook's own colour and the background shows through, so that light and dark both work: a cell of a heat
map is blue below 0 and orange above (colours that everybody can tell apart), the stronger the further from 0.
"""

from __future__ import annotations

import math
from html import escape

import numpy as np

__all__ = ["heat_map", "module", "tensor"]

_BELOW, _ABOVE = "#2b7bba", "#e8710a"
_ROWS, _COLUMNS = 24, 32    # cells of a heat map; larger matrices are shown by the means of blocks
_WRITTEN = 8                # up to this many rows and columns, the numbers stand in the cells
_FAINT = "opacity:.65"


def tensor(t) -> str:
    """A tensor: what it is, its statistics, a heat map, and its gradient if there is one.

    >>> "mean 2" in minitorch.tensor([1.0, 3.0])._repr_html_()
    True
    """
    facts = [str(tuple(t.shape)), t.dtype.name, str(t.device)]
    facts += [f"grad_fn {type(t.fn).__name__}"] if t.fn is not None else ["requires_grad"] if t.requires_grad else []
    parts = [_line(f"<b>{escape(type(t).__name__)}</b> {escape(' · '.join(facts))}"), _line(_statistics(t.data), _FAINT),
             heat_map(t.data)]
    if t._grad is not None:
        g = t._grad.data
        norm = math.sqrt(float(np.square(g, dtype=np.float64).sum()))
        parts += [_line(f"<b>gradient</b> norm {norm:.4g}"), _line(_statistics(g), _FAINT), heat_map(g)]
    return _box(parts)


def module(m) -> str:
    """A module: a tree to unfold, with types, settings, shapes and numbers of parameters; shared ones count once.

    >>> "15 parameters" in minitorch.nn.Linear(4, 3)._repr_html_()
    True
    """
    names: dict[int, str] = {}
    for name, p in m.named_parameters():
        names.setdefault(id(p), name)
    parameters = list(m.parameters())
    total, learnt = _count(parameters), _count([p for p in parameters if p.requires_grad])
    size = sum(p.nbytes for p in parameters)
    frozen = f" · {total - learnt:,} frozen" if learnt < total else ""
    shown = next(f"{size / unit:.3g} {name}" for unit, name in ((2**30, "GB"), (2**20, "MB"), (2**10, "KB"), (1, "bytes"))
                 if size >= unit or unit == 1)
    return _box([_node("", m, "", names, True), _line(f"{total:,} parameters{frozen} · {shown}", _FAINT)])


def heat_map(array: np.ndarray) -> str:
    """An array as an SVG picture: one cell per number, or per block of numbers; hover to read them."""
    if not array.size:
        return ""
    matrix, lead = array, ""
    if array.ndim > 2:
        lead = ", ".join("0" for _ in array.shape[:-2])
        matrix = array[(0,) * (array.ndim - 2)]
    matrix = np.atleast_2d(matrix)
    cells, tall, wide = _blocks(matrix)
    rows, columns = cells.shape
    finite = np.abs(cells[np.isfinite(cells)])
    top = float(finite.max()) if finite.size else 0.0
    written = tall == wide == 1 and rows <= _WRITTEN and columns <= _WRITTEN
    w, h = (7 * max(len(_number(v)) for v in matrix.flat) + 12, 22) if written else (14, 14)
    drawn = []
    for i in range(rows):
        for j in range(columns):
            value = cells[i, j]
            place = _place(i, j, tall, wide, matrix.shape, array.ndim, lead)
            number = _number(matrix[i, j]) if tall == wide == 1 else f"mean {_number(value)}"
            drawn.append(_cell(value, top, j * w, i * h, w, h, escape(f"{place}: {number}"), _number(matrix[i, j])
                               if written else ""))
    notes = [f"slice [{lead}, :, :] of {tuple(array.shape)}"] if lead else []
    notes += [f"each cell is the mean of up to {tall} × {wide} numbers"] if tall * wide > 1 else []
    legend = (f'<span style="color:{_BELOW}">■</span> {_number(-top)} … 0 … {_number(top)} '
              f'<span style="color:{_ABOVE}">■</span>') if array.dtype.kind != "b" else ""
    svg = (f'<svg role="img" aria-label="heat map of {rows} by {columns} cells" width="{columns * w + 1}" '
           f'viewBox="0 0 {columns * w + 1} {rows * h + 1}" style="display:block;max-width:100%;height:auto;'
           f'font:11px monospace;margin:4px 0">{"".join(drawn)}</svg>')
    return svg + _line(" · ".join(filter(None, [legend, escape("; ".join(notes))])), _FAINT)


# ---------------------------------------------------------------------------------------------------------------------
# parts of a tensor

def _cell(value, top, x, y, w, h, title, text) -> str:
    """A rectangle; what is not finite is grey and crossed."""
    if math.isfinite(value):
        strength = abs(value) / top * 0.8 if top else 0.0
        fill, mark = (_BELOW if value < 0 else _ABOVE), text
    else:
        fill, strength, mark = "currentColor", 0.25, text or ("×" if math.isnan(value) else "∞")
    label = (f'<text x="{x + w / 2:g}" y="{y + h / 2 + 4:g}" text-anchor="middle" fill="currentColor">{escape(mark)}</text>'
             if mark else "")
    return (f'<g><title>{title}</title><rect x="{x + .5:g}" y="{y + .5:g}" width="{w}" height="{h}" fill="{fill}" '
            f'fill-opacity="{strength:.3g}" stroke="currentColor" stroke-opacity="{.2 if w > 14 else .08}"/>{label}</g>')


def _blocks(matrix) -> tuple[np.ndarray, int, int]:
    """The means of blocks, few enough to draw, and how many rows and columns each block has."""
    tall, wide = -(-matrix.shape[0] // _ROWS), -(-matrix.shape[1] // _COLUMNS)
    if tall == wide == 1:
        return matrix.astype(np.float64), 1, 1
    starts = np.arange(0, matrix.shape[0], tall), np.arange(0, matrix.shape[1], wide)
    counts = [np.diff([*start, size]) for start, size in zip(starts, matrix.shape)]
    with np.errstate(invalid="ignore"):  # inf − inf
        sums = np.add.reduceat(np.add.reduceat(matrix, starts[0], axis=0, dtype=np.float64), starts[1], axis=1)
    return sums / np.outer(*counts), tall, wide


def _place(i, j, tall, wide, shape, ndim, lead) -> str:
    """The index of a cell, as one would write it in square brackets."""
    row = str(i) if tall == 1 else f"{i * tall}:{min((i + 1) * tall, shape[0])}"
    column = str(j) if wide == 1 else f"{j * wide}:{min((j + 1) * wide, shape[1])}"
    return "value" if ndim == 0 else f"[{column}]" if ndim == 1 else f"[{lead + ', ' if lead else ''}{row}, {column}]"


def _statistics(x) -> str:
    if not x.size:
        return "empty"
    if x.dtype.kind == "b":
        return f"{int(x.sum()):,} of {x.size:,} are True"
    wrong = np.zeros(3, int) if x.dtype.kind != "f" else np.array([f(x).sum() for f in (np.isnan, np.isposinf, np.isneginf)])
    finite = x[np.isfinite(x)] if wrong.any() else x
    texts = [f"{n:,} {name}" for n, name in zip(wrong, ("NaN", "+∞", "−∞")) if n]
    texts = [f'<b style="opacity:1">{", ".join(texts)}</b>'] if texts else []
    if finite.size:
        texts += [f"{name} {value:.4g}" for name, value in (
            ("mean", finite.mean(dtype=np.float64)), ("std", finite.std(dtype=np.float64)),
            ("min", finite.min()), ("max", finite.max()))]
    return " · ".join(texts)


def _number(v) -> str:
    return str(v) if isinstance(v, (bool, np.bool_, int, np.integer)) else f"{v:.4g}"


# ---------------------------------------------------------------------------------------------------------------------
# parts of a module

def _node(name, m, path, names, unfolded) -> str:
    """A module and what is below it; a leaf of the tree lists its parameters."""
    extra = m.extra_repr().replace("\n", ", ")
    label = f"({escape(name)}): " if name else ""
    count = _count(m.parameters())
    head = f"{label}<b>{escape(m._get_name())}</b>({escape(extra)})"
    head += f'<span style="{_FAINT}"> {count:,} parameter{"" if count == 1 else "s"}</span>' if count else ""
    rows = [_parameter(key, p, f"{path}{key}", names) for key, p in m._parameters.items() if p is not None]
    rows += [_line(f"{escape(key)} <i>buffer</i> {tuple(b.shape)} {b.dtype.name}")
             for key, b in m._buffers.items() if b is not None]
    rows += [_node(key, child, f"{path}{key}.", names, False) for key, child in m._modules.items() if child is not None]
    if not rows:
        return _line(head)
    return (f'<details{" open" if unfolded else ""} style="margin-left:1.2em"><summary style="cursor:pointer;'
            f'margin-left:-1.2em">{head}</summary>{"".join(rows)}</details>')


def _parameter(name, p, path, names) -> str:
    first = names.get(id(p), path)
    notes = (["frozen"] if not p.requires_grad else []) + ([f"the same as {first}"] if first != path else [])
    tail = f" <i>{escape(', '.join(notes))}</i>" if notes else ""
    return _line(f'{escape(name)} {tuple(p.shape)} {p.dtype.name}<span style="{_FAINT}"> {p.numel():,}</span>{tail}')


def _count(parameters) -> int:
    return sum(p.numel() for p in parameters)


# ---------------------------------------------------------------------------------------------------------------------

def _line(content, style: str = "") -> str:
    attribute = f' style="{style}"' if style else ""
    return f"<div{attribute}>{content}</div>" if content else ""


def _box(parts) -> str:
    return f'<div style="font:13px/1.5 monospace;color:inherit;overflow-x:auto">{"".join(parts)}</div>'

"""How a tensor prints: numbers aligned in columns, four digits, big tensors shortened; like PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["set_printoptions", "tensor"]

_options: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """Digits after the point, how many values print in full, how many at each edge otherwise, the line's width."""
    if profile is not None:
        presets = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}
        if profile not in presets:
            raise ValueError(f"set_printoptions: profile must be one of {', '.join(presets)}, got {profile!r}")
        _options.update(zip(("precision", "threshold", "edgeitems", "linewidth"), presets[profile]))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({key: value for key, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def tensor(t) -> str:
    """The text of a tensor."""
    prefix = "Parameter containing:\ntensor(" if type(t).__name__ == "Parameter" else "tensor("
    array, suffixes = t.data, []
    if t.is_cuda:
        array, suffixes = array.to_host(), [f"device='{t.device}'"]
    if array.size == 0:
        body = "[]"
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
    else:
        short = array.size > _options["threshold"]
        body = _values(array, len("tensor("), short, *_format_of(_edges(array) if short else array))
    if array.dtype.name not in (("float32", "int64", "bool") if array.size else ("float32",)):
        suffixes.append(f"dtype={array.dtype.name}")
    if t.fn is not None:
        suffixes.append(f"grad_fn=<{type(t.fn).__name__}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    last_line = len(body) - body.rfind("\n") if "\n" in body else len(body) + len("tensor(")
    for suffix in suffixes:
        if last_line + len(suffix) + 2 > _options["linewidth"]:
            body += ",\n" + " " * len("tensor(") + suffix
            last_line = len("tensor(") + len(suffix)
        else:
            body += ", " + suffix
            last_line += len(suffix) + 2
    return prefix + body + ")"


def _values(array, indent, short, width, form):
    edge = _options["edgeitems"]
    cut = short and array.ndim and len(array) > 2 * edge
    if array.ndim == 0:
        return form(array.item()).rjust(width)
    if array.ndim == 1:
        texts = [form(v).rjust(width) for v in (np.concatenate([array[:edge], array[-edge:]]) if cut else array).tolist()]
        texts[edge:edge] = [" ..."] if cut else []
        per_line = max(1, (_options["linewidth"] - indent) // (width + 2))
        lines = [texts[i:i + per_line] for i in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"
    rows = [*array[:edge], None, *array[-edge:]] if cut else list(array)
    texts = ["..." if row is None else _values(row, indent + 1, short, width, form) for row in rows]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(texts) + "]"


def _format_of(array):
    """The width of a column, and one formatter for all values; zeros, NaN and infinities do not count for the width."""
    if array.dtype.kind != "f":
        return max(len(str(v)) for v in array.ravel().tolist()), str
    values = array[np.isfinite(array) & (array != 0)].astype(np.float64)
    precision, scientific = _options["precision"], _options["sci_mode"]
    whole = bool((values == np.ceil(values)).all())
    if scientific is None and values.size:
        low, high = np.abs(values).min(), np.abs(values).max()
        scientific = bool(high > 1000 * low or high > 1e8 or low < 1e-4)

    def text(v):
        if scientific and values.size:
            return f"{v:.{precision}e}"
        if whole:
            return f"{v:.0f}." if math.isfinite(v) else str(v)
        return f"{v:.{precision}f}"

    return max((len(text(v)) for v in values.tolist()), default=1), text


def _edges(array):
    """The values that a shortened print shows."""
    edge = _options["edgeitems"]
    for axis, size in enumerate(array.shape):
        if size > 2 * edge:
            array = np.take(array, [*range(edge), *range(size - edge, size)], axis)
    return array

"""A trace as plain data: what a page needs to show a run without Python.

With this file one can

- pack a trace             `payload`: dictionaries, lists, numbers and text, ready for JSON
- keep arrays small        `Numbers`: each array once, as base64, however often it is shown; a permuted one as strides

Beside what was recorded it holds, for every op, what its contributions are computed from: see `minitorch.explain.rules`.
"""

from __future__ import annotations

import base64
import linecache
from typing import Any

import numpy as np

from minitorch.explain.layout import as_data, layout
from minitorch.explain.probe import probe
from minitorch.explain.rules import on_the_way_back, rule
from minitorch.explain.stop import input_symbols, output_symbols
from minitorch.explain.trace import Arrival, Place, Step, Summary, Trace, Value

__all__ = ["Numbers", "payload"]

AROUND = 2                                      # lines shown before and after a line of source
PROBES = 3                                      # elements probed in each leaf
_TYPES = {"f4": "f4", "f8": "f8", "i1": "i4", "i2": "i4", "i4": "i4", "u1": "u1", "b1": "u1", "u2": "i4"}


class Numbers:
    """Arrays for a page: ``add`` gives each a number; equal bytes are stored once."""

    def __init__(self):
        self.buffers: list[tuple[str, str]] = []                # type and base64
        self.entries: list[dict[str, Any]] = []
        self._known: dict[Any, int] = {}
        self._places: dict[Any, int] = {}

    def add(self, array) -> int:
        """An array's number. Of a `Summary` the statistics and the corner are stored."""
        if isinstance(array, Summary):
            statistics = {name: _finite(getattr(array, name)) for name in ("mean", "std", "low", "high", "norm", "bad")}
            return self._entry({"shape": list(array.shape), "type": str(array.dtype), "corner": self.add(array.corner),
                                **statistics})
        array = np.asarray(array)
        if array.size > 1 and (array == array.flat[0]).all():   # one number for all
            return self._entry({"buffer": self._buffer(array.reshape(-1)[:1]), "shape": list(array.shape),
                                "type": str(array.dtype), "strides": [0] * array.ndim})
        return self._entry({"buffer": self._buffer(array), "shape": list(array.shape), "type": str(array.dtype)})

    def view(self, entry: int, shape, strides, offset=0) -> int:
        """The elements of a stored array in another order: ``strides`` and ``offset`` count elements in row-major order."""
        base = self.entries[entry]
        if "buffer" not in base or "strides" in base:
            return -1
        seen = {"buffer": base["buffer"], "shape": list(shape), "type": base["type"]}
        if offset or np.prod(shape) != np.prod(base["shape"]) or list(strides) != _row_major(shape):
            seen |= {"strides": [int(s) for s in strides], "offset": int(offset)}
        return self._entry(seen)

    def counting(self, shape, strides, offset) -> int:
        """Whole numbers that count along the axes: offset + Σ index · stride. They need no storage."""
        return self._entry({"shape": list(shape), "type": "int64", "counting": True,
                            "strides": [int(s) for s in strides], "offset": int(offset)})

    def _entry(self, entry) -> int:
        key = repr(sorted(entry.items()))
        if key not in self._known:
            self._known[key] = len(self.entries)
            self.entries.append(entry)
        return self._known[key]

    def _buffer(self, array) -> int:
        code = _TYPES.get(array.dtype.str[1:])
        if code is None:                        # int64 and the like
            small = array.dtype.kind in "iu" and (not array.size or abs(array).max() < 2**31)
            code = "i4" if small else "f8"
        data = np.ascontiguousarray(array, dtype="<" + code).tobytes()
        if (code, data) not in self._places:
            self._places[code, data] = len(self.buffers)
            self.buffers.append((code, base64.b64encode(data).decode()))
        return self._places[code, data]


def payload(trace: Trace, title: str = "", probes: bool = True) -> dict[str, Any]:
    """Everything the player shows, as data."""
    numbers, sources = Numbers(), _Sources()
    values = [_value(v, numbers) for v in trace.values]
    steps = [_step(s, trace, values, numbers, sources) for s in trace.steps]
    for value, packed in zip(trace.values, values):
        packed["arrivals"] = [_arrival(a, numbers) for a in value.arrivals]
        if value.held is not None:
            packed["held"] = numbers.add(value.held)
    ops = {step.op: {part: text for part, text in step.text.items() if text} for step in trace.steps}
    return {"title": title, "values": values, "steps": steps, "ops": ops, "files": sources.files,
            "graph": as_data(layout(trace)), "probes": _probes(trace) if probes else [],
            "arrays": numbers.entries, "buffers": numbers.buffers}


def _arrival(arrival: Arrival, numbers: Numbers) -> list[int]:
    """Step, input and gradient; where that is a summary, which nobody can add to, also the sums."""
    kept = [arrival.array, arrival.total, arrival.stands] if isinstance(arrival.array, Summary) else [arrival.array]
    return [arrival.step.index, arrival.input, *(numbers.add(array) for array in kept)]


def _value(value: Value, numbers: Numbers) -> dict[str, Any]:
    packed: dict[str, Any] = {"name": value.name, "kind": value.kind, "shape": list(value.shape), "type": str(value.dtype),
                              "wants": value.requires_grad, "users": [[step.index, i] for step, i in value.users],
                              "array": -1}
    if value.maker:
        packed["maker"] = [value.maker.index, value.slot]
    else:
        packed["array"] = numbers.add(value.array)
    return packed


def _step(step: Step, trace: Trace, values, numbers: Numbers, sources: _Sources) -> dict[str, Any]:
    packed: dict[str, Any] = {"op": step.op, "phase": step.phase}
    if step.twin and step.phase == "backward":
        packed |= {"twin": step.twin.index, "run": step.run, "root": step.root, "stores": step.stores,
                   "extra": {name: numbers.add(a) for name, a in on_the_way_back(step).items()},
                   "dys": [None if dy is None else numbers.add(dy) for dy in step.dys]}
        packed["gradients"] = [None if g is None else _gradient(step, g, packed["dys"], values, numbers)
                               for g in step.gradients]
        return packed
    found = rule(step, trace)
    moves = [_move(array, numbers) for array in found.moves]
    for slot, value in enumerate(step.outputs):
        values[value.number]["array"] = _output(step, value, moves[slot] if moves else None, values, numbers)
    return packed | {
        "module": step.module, "places": [sources.add(p) for p in step.places],
        "inputs": [{"value": x.number} if isinstance(x, Value) else _thing(x, numbers) for x in step.inputs],
        "names": input_symbols(step)[:len(step.inputs)], "results": output_symbols(step),
        "outputs": [y.number for y in step.outputs],
        "settings": {name: _text(thing) for name, thing in step.settings.items()},
        "numbers": {name: thing for name, thing in step.settings.items() if _is_number(thing)}
        | {name: _finite(thing) for name, thing in found.settings.items()},
        "saved": {name: _thing(thing, numbers) for name, thing in step.saved.items() if thing is not None},
        "rule": found.kind, "moves": moves,
        "slopes": [None if a is None else numbers.add(a) for a in found.slopes],
        "extra": {name: numbers.add(a) for name, a in found.extra.items()},
    }


def _output(step, value, move, values, numbers) -> int:
    """A result that only moves one input's elements about is stored as strides over that input."""
    source = next((x for x in step.inputs if isinstance(x, Value)), None)
    if move is not None and source is not None and len(step.inputs) == 1 and value.kept and source.kept:
        counted = numbers.entries[move]
        if counted.get("counting"):
            found = numbers.view(values[source.number]["array"], value.shape, counted["strides"], counted["offset"] - 1)
            if found >= 0:
                return found
    return numbers.add(value.array)


def _gradient(step, gradient, dys, values, numbers) -> int:
    if step.op == "Permute" and not isinstance(gradient, Summary) and dys[0] is not None:
        back = np.argsort([d % len(step.settings["dims"]) for d in step.settings["dims"]])
        strides = _row_major(step.outputs[0].shape)
        found = numbers.view(dys[0], gradient.shape, [strides[k] for k in back])
        if found >= 0:
            return found
    return numbers.add(gradient)


def _move(places: np.ndarray, numbers: Numbers) -> int:
    """Where each element came from. Most moves count evenly along every axis, and are stored as that."""
    if places.size:
        first = places[(0,) * places.ndim]
        strides = [int(np.take(places, 1, k).flat[0] - first) if places.shape[k] > 1 else 0 for k in range(places.ndim)]
        even = first + sum((np.arange(n).reshape([-1] + [1] * (places.ndim - 1 - k)) * s
                            for k, (n, s) in enumerate(zip(places.shape, strides))), np.zeros((), int))
        if np.array_equal(np.broadcast_to(even, places.shape), places):
            return numbers.counting(places.shape, strides, first)
    return numbers.add(places)


def _row_major(shape) -> list[int]:
    return [int(np.prod(shape[k + 1:], dtype=int)) for k in range(len(shape))]


def _thing(thing, numbers: Numbers) -> dict[str, Any]:
    if isinstance(thing, (np.ndarray, Summary)) and (isinstance(thing, Summary) or thing.dtype.kind in "fiub"):
        return {"array": numbers.add(thing)}
    return {"text": _text(thing)}


def _text(thing) -> str:
    text = repr(thing.item() if isinstance(thing, np.generic) else thing)
    return text if len(text) <= 80 else text[:77] + "…"


def _is_number(thing) -> bool:
    if isinstance(thing, tuple):
        return all(isinstance(n, int) for n in thing)
    return isinstance(thing, (bool, int)) or isinstance(thing, float) and np.isfinite(thing)


def _finite(number):
    return float(number) if np.isfinite(number) else None


class _Sources:
    """The lines of source around every line that was called."""

    def __init__(self):
        self.files: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def add(self, place: Place) -> list[Any]:
        """Where: the file's number, the line, the function, first and last column, and whether it is minitorch's own."""
        if place.file not in self._known:
            self._known[place.file] = len(self.files)
            self.files.append({"name": place.file.replace("\\", "/").rpartition("/")[2], "lines": {}})
        file = self.files[self._known[place.file]]
        lines = linecache.getlines(place.file)
        for n in range(max(1, place.line - AROUND), min(len(lines), place.line + AROUND) + 1):
            file["lines"][n] = lines[n - 1].rstrip("\n")
        columns = []
        if place.columns and place.line <= len(lines):
            line = lines[place.line - 1].encode()
            columns = [len(line[:c].decode(errors="ignore")) for c in place.columns]
        return [self._known[place.file], place.line, place.function, columns, place.library]


def _probes(trace: Trace) -> list[list[Any]]:
    """A few elements of every leaf that got a gradient: value, element, finite difference, gradient, how far apart."""
    found = []
    for value in trace.values:
        grad = value.grad
        if value.maker is not None or not isinstance(grad, np.ndarray) or not value.kept or not grad.size:
            continue
        largest = int(np.abs(grad).argmax())
        chosen = dict.fromkeys([largest, 0, grad.size // 2][:PROBES])
        for flat in sorted(chosen):
            p = probe(trace, value.name, tuple(int(i) for i in np.unravel_index(flat, value.shape)))
            found.append([value.number, flat, *map(_finite, (p.numeric, p.analytic, p.error))])
    return found

"""What the stepper shows at each stop: the line, the formula, the numbers; in backward, where each gradient goes.

With this file one can

- tell one step            `Teller.stop`: the whole page of a step, as lines of text
- tell a value             `Teller.value`: its numbers, where it comes from, and its gradient, part by part
- tell the way             `Teller.where`: the calls that led here; `Teller.graph`: every op, and where we are
- tell the result          `Teller.leaves`: what stands in each leaf's ``.grad``
- tell it all              `transcript`
"""

from __future__ import annotations

import inspect
import linecache
import re
import textwrap
from collections.abc import Callable
from typing import IO, Any

import numpy as np

import minitorch.kernels as kernels
from minitorch.explain.show import Paint, all_the_same, block, inline, number, statistics
from minitorch.explain.trace import Place, Step, Summary, Trace, Value
from minitorch.explain.why import why

__all__ = ["Teller", "ordinal", "transcript"]

_GREEK = {"gamma": "γ", "beta": "β", "alpha": "α", "lambda_": "λ"}
_MARGIN = 12                                    # where numbers begin


class Teller:
    """Writes about a trace. Every method returns lines."""

    def __init__(self, trace: Trace, width: int = 100, paint: Callable[..., str] | None = None):
        self.trace, self.width = trace, max(60, width)
        self.paint = paint or (lambda text, *styles: text)
        self.parts: dict[tuple[Value, int], list[tuple[Step, int]]] = {}    # what arrived at a value in one backward run
        for step in trace.backward:
            for k, gradient in enumerate(step.gradients):
                if gradient is not None:
                    self.parts.setdefault((step.inputs[k], step.run), []).append((step, k))
        self.last = {step.run: step for step in trace.backward}             # of each backward run
        self.runs = len(self.last)
        self.round = {}                             # of each forward step: the backward run that comes after it, or 0
        run = 0
        for step in reversed(trace.steps):
            if step.phase == "backward":
                run = step.run
            self.round[step] = run

    # -----------------------------------------------------------------------------------------------------------------
    # one step

    def stop(self, step: Step) -> list[str]:
        """A step's page."""
        lines = [self._header(step), *self._source(step), ""]
        lines += self._forward(step) if step.phase == "forward" else self._backward(step)
        return lines

    def phase(self, step: Step) -> str:
        """"forward", or "backward run 2" where there are several."""
        if self.runs < 2:
            return step.phase
        return f"{step.phase} run {self.round[step]}" if self.round[step] else step.phase

    def _header(self, step):
        colour = "cyan" if step.phase == "forward" else "yellow"
        left = f"━━ step {step.index + 1} of {len(self.trace)} ━━ {self.phase(step)} ━━ {step.op} "
        module = step.module if len(step.module) <= (room := self.width - len(left) - 6) else f"…{step.module[1 - room:]}"
        right = f" {module} ━━" if step.module else ""
        return self.paint(left + "━" * max(2, self.width - len(left) - len(right)) + right, "bold", colour)

    def _source(self, step):
        place, inner = step.place, step.places[0] if step.places else None
        if place is None or not place.source:
            return ["  (typed at a prompt, so there is no line to show)"]
        wide = max(len(str(place)), len(str(inner))) + 2
        code, gap, comment = re.fullmatch(r"(.*?)(?:(\s+)(#[^'\"]*))?", place.source).groups("")
        comment = "  " + self.paint(comment, "dim") if gap else comment
        room, mark = self.width - wide - 4, underline(place)
        if len(code) > room:                            # then the part that ran
            start = min(max(0, len(mark) - room), max(0, mark.find("~") - 4))
            code, mark, comment = "…" * (start > 0) + code[start:], " " * (start > 0) + mark[start:], ""
            code, mark = code if len(code) <= room else code[:room - 1] + "…", mark[:room]
        lines = [f"  {str(place):<{wide}}  {self.paint(code, 'bold')}{comment}"]
        if mark:
            lines.append(" " * (wide + 4) + self.paint(mark, "green"))
        if inner is not place:
            line = f"  {str(inner):<{wide}}  {inner.source}"
            lines.append(self.paint(line if len(line) <= self.width else line[:self.width - 1] + "…", "dim"))
        return lines

    def _forward(self, step):
        lines = self._title(step) + self._formula(step.text["Forward"]) + [""]
        inputs = [(x.name, f"as {symbol}", x, _kind(x)) if isinstance(x, Value) else _constant(symbol, x)
                  for symbol, x in zip(input_symbols(step), step.inputs) if x is not None]
        settings = ", ".join(f"{name} {_setting(setting)}" for name, setting in step.settings.items())
        outputs = [(y.name, f"as {symbol}", y, "" if y.requires_grad or y.array.dtype.kind != "f" else "wants no gradient")
                   for symbol, y in zip(output_symbols(step), step.outputs)]
        lines += self._rows([*_role("in", inputs), *_role("out", outputs)])
        return lines + [f"  {self.paint('with', 'bold')}      {settings}"] * bool(settings)

    def _backward(self, step):
        lines = self._title(step) + self._formula(step.text["Forward"], "forward")
        lines += self._formula(step.text["Backward"] or "as your own backward says; its docstring has no formula", "rule")
        symbols, ys = input_symbols(step), output_symbols(step)
        came = [(f"{y.name}.grad", f"as d{s}", dy, self._came(step, y, dy)) for s, y, dy in zip(ys, step.outputs, step.dys)]
        goes, after = [], []
        for k, (symbol, x) in enumerate(zip(symbols, step.inputs)):
            gradient = step.gradients[k] if k < len(step.gradients) else None
            if gradient is not None:
                lines_after, stays = self._after(step, k, x, gradient)
                note = ("stays: a leaf" if step.stores else "a leaf") if stays else ""
                goes.append((f"{x.name}.grad", f"gets d{symbol}", gradient, note))
                after.append(lines_after)
            elif isinstance(x, Value) and x.array.dtype.kind == "f":
                goes.append((x.name, "", None, "wants no gradient"))
                after.append([])
        if step.root:
            y = step.outputs[0].name
            lines += ["", *(self.paint(f"  {line}", "dim") for line in textwrap.wrap(
                f"From here on d… is short for d {y} / d…: how fast {y} grows when that number grows. Each op gets this for "
                "its result, and its rule turns it into the same for its inputs.", self.width - 2))]
        rows = [*_role("came in", came), *_role("kept", self._kept(step, symbols, ys)), *_role("goes out", goes)]
        return [*lines, "", *self._rows(rows, brief=("kept",), after=after)]

    def _title(self, step):
        title = step.text["Title"] or f"{step.op}: an op of your own"
        if title.rstrip(".") in step.text["Forward"]:
            return []
        return [f"  {line}" for long in title.splitlines() for line in textwrap.wrap(long, self.width - 2)]

    def _formula(self, text, label=""):
        pad = 9 if label else 0
        lines = [line for long in text.splitlines() for line in folded(long, self.width - 4 - pad)]
        return [self.paint(f"    {label if not i else '':<{pad}}{line}", "magenta") for i, line in enumerate(lines)]

    def _kept(self, step, symbols, ys):
        """What forward kept for this, by its symbols."""
        known: dict[int, tuple[str, str]] = {}
        for s, x in [*zip(symbols, step.inputs), *zip(ys, step.outputs)]:
            if isinstance(x, Value):
                known[id(x.array)] = x.name, f"{known[id(x.array)][1]} and {s}" if id(x.array) in known else f"as {s}"
        kept = [(*known.get(id(thing), (_GREEK.get(name, name), "")), thing, "")
                for name, thing in {id(thing): (name, thing) for name, thing in step.saved.items()}.values()
                if isinstance(thing, (np.ndarray, Summary))]
        plain = [thing for thing in step.saved.values() if isinstance(thing, (int, float))]
        return kept + [_constant(s, x) for s, x in zip(symbols, step.inputs) if any(x is thing for thing in plain)]

    def _came(self, step, y, dy):
        if dy is None:
            return "nothing came: no op used it"
        if step.root:
            return f"backward() starts here: d {y.name} / d {y.name} = 1" if y.array.size == 1 else "backward() starts here"
        parts = self.parts.get((y, step.run), ())
        told = f"the sum of {len(parts)} parts" if len(parts) > 1 else ""
        if parts and not _equal(dy, parts[-1][0].arrivals[parts[-1][1]].total):
            told += ", " * bool(told) + "changed by a hook"
        return told

    def _after(self, step, k, x, gradient):
        """Below a gradient that goes out: the rule with its numbers, and what it is added to. And: does it stay there?"""
        lines = [self.paint(line, "green") for line in self._worked(step, k, x, gradient)]
        parts = self.parts[x, step.run]
        count, mine = len(parts), parts.index((step, k)) + 1
        last = mine == count
        if count > 1:
            text = f"{ordinal(mine)} of {count} parts of {x.name}.grad"
            so_far = [s.gradients[i] for s, i in parts[:mine]]
            if mine == 1:
                lines += textwrap.wrap(f"{text}: {x.name} was used {count} times, and what comes back is added",
                                       self.width - _MARGIN - 2)
            else:
                terms = " + ".join(number(g) for g in so_far) + " =" if gradient.shape == () and mine < 5 else ""
                lines += self._numbers(f"{text}. {'All' if last else 'So far'}: {terms}".rstrip(), step.arrivals[k].total)
        arrival = step.arrivals[k]
        if last and x.maker is None and arrival.held is not None:
            lines += self._numbers(f"{x.name}.grad held this before, for zero_grad() was not called:", arrival.held)
            lines += self._numbers("Added to it:", arrival.stands)
        return lines, last and x.maker is None

    def _worked(self, step, k, x, gradient):
        """The rule with its numbers, for the largest element of a small array, as lines."""
        small = not isinstance(gradient, Summary) and 0 < gradient.size <= 300
        if not small or any(y.array.size > 300 for y in step.outputs) or not any(a.step is step for a in x.arrivals):
            return []
        place = tuple(int(i) for i in np.unravel_index(np.abs(gradient).argmax(), gradient.shape))
        try:
            with kernels.quiet():
                parts = [p for p in why(self.trace, f"{x.name}.grad", place).parts if p.step is step and p.input == k]
        except Exception:                               # too large to keep; or an op of the user's own that runs but once
            return []
        if not parts or (len(parts) == 1 and len(parts[0].factors) == 1):
            return []
        index = f"[{', '.join(map(str, place))}]" if place else ""
        texts = [" × ".join(f"{label} ({number(n)})" for label, n in part.factors) for part in parts]
        room = self.width - _MARGIN - 2
        for count in (len(parts), 3, 2, 1):
            rest = f" + {len(parts) - count} more" if len(parts) > count else ""
            text = f"{'e.g. ' if place else ''}d{input_symbols(step)[k]}{index} = {' + '.join(texts[:count])}{rest}"
            if len(text) <= room:
                break
        return textwrap.wrap(text, room, subsequent_indent="    ")

    # -----------------------------------------------------------------------------------------------------------------
    # rows of numbers

    def _rows(self, rows, brief=(), after=()):
        """Rows: (role, name, letter, thing, note). Roles in ``brief``: statistics only. ``after``: below the last rows."""
        rows = [(role, name, "" if letter == f"as {name}" else letter, *rest) for role, name, letter, *rest in rows]
        wide = min(max((len(name) for _, name, *_ in rows), default=0), 36)
        letters = max((len(letter) for _, _, letter, *_ in rows), default=0)
        below = [[]] * (len(rows) - len(after)) + list(after)
        lines, role = [], ""
        for (new, name, letter, thing, note), extra in zip(rows, below):
            role = new or role
            letter = self.paint(f"{letter:<{letters}}", "magenta")
            head = f"  {self.paint(f'{new:<9}', 'bold')} {name:<{wide}} {letter}  "
            used = _MARGIN + max(wide, len(name)) + letters + 3
            array = thing.array if isinstance(thing, Value) else thing
            told, note = note, self.paint(f"   {note}", "dim") if note else ""
            if not isinstance(array, (np.ndarray, Summary)):
                lines.append((head + ("" if thing is None else _setting(thing)) + note).rstrip())
            else:
                beside, shape = self._beside(array, used), _shape(array)
                if beside is None and role in brief and used + len(shape) + 3 + len(statistics(array, 3)) <= self.width:
                    beside = [f"{shape}   {self.paint(statistics(array, 3), 'dim')}"]
                first, *more = beside or [shape]
                wrapped = bool(note) and len(_colourless(head + first + note)) > self.width
                lines.append(head + first + note * (not wrapped))
                lines += [" " * used + line for line in more] if beside else self._below(array, role in brief)
                lines += [" " * (_MARGIN + 2) + self.paint(told, "dim")] * wrapped
            lines += [" " * (_MARGIN + 2) + line for line in extra]
        return lines

    def _beside(self, array, used, with_shape=True):
        """A small array, to stand beside its label, with its shape; None if it has no room there."""
        text = all_the_same(array) or inline(array, self.width - used)
        rows = [text] if text else block(array, self.width) if _is_small(array) else []
        if not rows or (used + len(rows[0]) > self.width and array.shape):
            return None
        if with_shape and (shape := _shape(array)) and used + len(rows[0]) + 3 + len(shape) <= self.width:
            rows[0] += self.paint(f"   {shape}", "dim")
        return rows

    def _below(self, array, brief=False):
        """An array below its label: a corner and the statistics."""
        pad = " " * (_MARGIN + 2)
        if not array.size:
            return [pad + self.paint("no numbers", "dim")]
        if beside := self._beside(array, len(pad), with_shape=False):
            return [pad + line for line in beside]
        lines = [] if brief else block(array, self.width - len(pad), rows=3, slices=1, rest=False)
        words = folded(f"{'' if brief else '… '}{statistics(array, 3)}", self.width - len(pad))
        return [pad + line for line in lines] + [pad + self.paint(line, "dim") for line in words]

    def _numbers(self, head, array):
        """A sentence that ends in an array."""
        rows = self._beside(array, len(head) + 3 + _MARGIN)
        if rows is None:
            return [head, *(line[_MARGIN:] for line in self._below(array))]
        return [f"{head} {rows[0]}", *(" " * (len(head) + 1) + line for line in rows[1:])]

    # -----------------------------------------------------------------------------------------------------------------
    # where we are

    def where(self, step: Step) -> list[str]:
        """The calls that led to a step, outermost first, as a traceback lists them."""
        lines = []
        for place in dict.fromkeys((p.file, p.line, p.function, p.library) for p in reversed(step.places)):
            p = Place(*place[:3], library=place[3])
            text = f"  {str(p):<20} {p.function + '()' if p.function != '<module>' else '':<14} {p.source}"
            lines.append(self.paint(text, "dim") if p.library else text)
        lines = lines or ["  (typed at a prompt)"]
        lines[-1] = "→" + lines[-1][1:] if not lines[-1].startswith("\x1b") else lines[-1]
        lines.append(f"  in module  {step.module}" if step.module else "  outside of any module")
        lines.append(f"  the op     {step.fn.__module__}.{step.fn.__qualname__}, {self.phase(step)}"
                     if step.fn.__module__ != "__main__" else f"  the op     {step.op}, your own, {self.phase(step)}")
        twin = step.twin
        if twin is not None:
            lines.append(f"  its {twin.phase} is step {twin.index + 1}")
        return lines

    def listing(self, place: Place, first: int, count: int) -> list[str]:
        """Source lines, the place's own marked."""
        lines = []
        for n in range(max(1, first), first + count):
            text = linecache.getline(place.file, n)
            if not text:
                break
            mark = "→" if n == place.line else " "
            line = f"{n:>4} {mark} {text.rstrip()}"
            lines.append(self.paint(line, "bold") if mark == "→" else line)
        return lines

    def graph(self, here: Step, everything: bool = False) -> list[str]:
        """Every op of this run in order, indented by module; where there are many, modules far from here are closed."""
        now = here.twin or here if here.phase == "backward" else here
        steps = [s for s in self.trace.forward if self.round[s] == self.round[now] or s is now]
        modules = list(dict.fromkeys(path for s in steps for path in _paths(s.module)))
        for depth in range(max((m.count(".") for m in modules), default=0) + 1, -1, -1):
            closed = {m for m in modules if m.count(".") >= depth} - set(_paths(now.module))
            lines = self._graph_lines(steps, now, here, closed)
            if everything or len(lines) <= 45:
                break
        wide = min(max(len(text) for text, _ in lines), self.width - 18)
        told = [self.paint("  step  op: inputs → outputs, shape" + " " * max(3, wide - 31) + "|gradient|", "dim")]
        for text, size in lines:
            text = text if len(text) <= wide else text[:wide - 1] + "…"
            line = f"{text:<{wide + 3}}{size}".rstrip()
            told.append(self.paint(line, "bold", "green") if text[0] != " " else line)
        return told

    def _graph_lines(self, steps, now, here, closed):
        """Pairs of text and the size of the gradient."""
        lines: list[tuple[str, str]] = []
        open_path: list[str] = []
        inside = {m: [s for s in steps if m in _paths(s.module)] for m in closed}
        for s in steps:
            path = _paths(s.module)
            shut = next((m for m in path if m in closed and len(inside[m]) > 1), None)
            path = path[:path.index(shut)] if shut else path
            while open_path != path[:len(open_path)]:
                open_path.pop()
            for m in path[len(open_path):]:
                lines.append(("        " + "  " * len(open_path) + m.rpartition(".")[2], ""))
                open_path.append(m)
            if shut is None:
                lines.append(self._graph_row(s, now, here, len(path)))
            elif s is inside[shut][0]:
                last = inside[shut][-1]
                text = f"{shut.rpartition('.')[2]}  ({len(inside[shut])} ops, {s.index + 1} to {last.index + 1})"
                lines.append(("        " + "  " * len(path) + text, _size_of_grads(last)))
        return lines

    def _graph_row(self, s, now, here, depth):
        values = [x for x in s.inputs if isinstance(x, Value)]
        names = [x.name for x in values if x.kind != "parameter"]
        learnt = [x.name.rpartition(".")[2] for x in values if x.kind == "parameter"]
        names = ", ".join(names + (learnt if len(learnt) < 3 else [f"{len(learnt)} parameters"]))
        made = ", ".join(v.name for v in s.outputs)
        mark = ("▶" if here.phase == "forward" else "◀") if s is now else " "
        text = f"{mark}{s.index + 1:>5}  {'  ' * depth}{s.op}: {names} → {made}"
        return f"{text}  {tuple(s.outputs[0].shape)}" if s.outputs[0].shape else text, _size_of_grads(s)

    # -----------------------------------------------------------------------------------------------------------------
    # values

    def value(self, value: Value, index: Any = None, gradient: bool = False, here: Step | None = None) -> list[str]:
        """A value, or its gradient, or a piece of one of them."""
        name = value.name + ".grad" * gradient
        array = value.grad if gradient else value.array
        array = np.asarray(array) if isinstance(array, np.generic) else array     # a sum of 0-d arrays is none
        if array is None:
            return [f"{name} is None: " + ("no gradient reached it" if value.requires_grad else "it wants no gradient")
                    + (", for backward() did not run" if not self.trace.backward else "")]
        if index is not None:
            if isinstance(array, Summary):
                raise ValueError(f"{name} {tuple(array.shape)} was too large to keep, but for a corner. "
                                 f"Run again with --keep {array.size}.")
            array = np.asarray(array[index])
            return self._numbers(f"{name}[{_index_text(index)}] =", array)
        dtype = str(array.dtype)
        lines = [f"{self.paint(name, 'bold')}   {tuple(array.shape) if array.shape else 'a number'}   {dtype}"
                 + (f"   {self._made(value)}" if not gradient else "")]
        text = inline(array, self.width - 6)
        if text is not None:
            lines.append(f"  {text}")
        else:
            lines += ["  " + line for line in block(array, self.width - 2, rows=24, slices=6, wrap=True)]
            lines.append(self.paint("  " + statistics(array), "dim"))
        if gradient:
            lines += self._parts_of(value, here)
        else:
            later = [v.name for v in self.trace.values if v.name.partition("#")[0] == value.name.partition("#")[0]
                     and v.number > value.number]
            if later:
                lines.append(self.paint(f"  later values of the same name: {', '.join(later[:5])}", "dim"))
        return lines

    def _made(self, value):
        if value.maker is not None:
            return f"made by {value.maker.op}, step {value.maker.index + 1}"
        return {"parameter": "a parameter", "buffer": "a buffer"}.get(value.kind, "an input")

    def _parts_of(self, value, here):
        run = value.arrivals[-1].step.run
        lines = []
        if len(value.arrivals) > 1:
            lines.append(f"  the sum of {len(value.arrivals)} parts:")
        for arrival in value.arrivals:
            what = f"step {arrival.step.index + 1}, {arrival.step.op}" if arrival.input >= 0 else "the call of backward()"
            if len(value.arrivals) > 1:
                lines += self._numbers(f"  sent by {what}:", arrival.array)
            elif arrival.input >= 0:
                lines.append(self.paint(f"  sent by {what}", "dim"))
        if here is not None and self.round[here] == run or here is not None and here.phase == "forward":
            come = sum(a.step.index <= here.index for a in value.arrivals)
            if come < len(value.arrivals):
                lines.append(self.paint(f"  at this stop, {come} of {len(value.arrivals)} had arrived", "dim"))
        if value.held is not None and value.maker is None:
            lines += self._numbers("  .grad held this before, and adds the two:", value.held)
        return lines

    def saved(self, step: Step) -> list[str]:
        """What forward kept for backward."""
        lines = [f"{step.op} kept for its backward: " + (" ".join(step.text["Saved"].split()) or "")]
        known = {id(x.array): x.name for x in [*step.inputs, *step.outputs] if isinstance(x, Value)}
        rows = []
        for name, thing in step.saved.items():
            rows.append(("", _GREEK.get(name, name), f"= {known[id(thing)]}" if id(thing) in known else "", thing, ""))
        return lines + (self._rows(rows) if rows else ["  nothing"])

    def leaves(self, run: int) -> list[str]:
        """What one backward run left in the leaves."""
        found = [(value, parts) for (value, r), parts in self.parts.items() if r == run and value.maker is None]
        if not found:
            return []
        rows = []
        for value, parts in sorted(found, key=lambda pair: pair[0].number):
            last, k = parts[-1]
            rows.append(("", f"{value.name}.grad", "", last.arrivals[k].stands, ""))
        title = f"Backward{f' run {run}' if self.runs > 1 else ''} is done. " + (
            "What stands in .grad now:" if last.stores else
            "autograd.grad leaves .grad as it was; this arrived:")
        return ["", self.paint(title, "bold"), *(line[_MARGIN - 2:] for line in self._rows(rows, brief=("",)))]


def transcript(trace: Trace, width: int = 100, only: str | None = None, phase: str | None = None,
               stream: IO[str] | None = None) -> str:
    """Every stop of a run, one after another; ``only`` one op's, or one phase's.

    >>> from minitorch import explain
    >>> x = minitorch.tensor(3.0, requires_grad=True)
    >>> trace = explain.record(lambda: (x * x).backward())
    >>> print(explain.transcript(trace, 60).splitlines()[0])
    ━━ step 1 of 2 ━━ forward ━━ Mul ━━━━━━━━━━━━━━━━━━━━━━━━━━━
    """
    teller = Teller(trace, width, Paint(stream) if stream else None)
    lines: list[str] = []
    for step in trace:
        if phase in (None, step.phase) and only in (None, step.op):
            lines += [*teller.stop(step), ""]
        if step.phase == "backward" and step is teller.last[step.run] and only is None and phase != "forward":
            lines += [*teller.leaves(step.run)[1:], ""]
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# small things

def folded(line: str, width: int) -> list[str]:
    """A line that is too long, broken where it has gaps.

    >>> folded("    y = 3 · x       Σ: over rows      n: how many", 40)
    ['    y = 3 · x       Σ: over rows', '      n: how many']
    """
    indent = len(line) - len(line.lstrip())
    lines = [""]
    for piece in re.findall(r".+?(?: {3,}|$)", line.lstrip()):
        if lines[-1].strip() and indent + len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("  ")
        lines[-1] += piece
    return [" " * indent + text.rstrip() for text in lines]


def underline(place: Place) -> str:
    """Tildes under the expression that ran; "" where Python does not tell where it stands."""
    if place.columns is None:
        return ""
    raw = linecache.getline(place.file, place.line).encode()
    left, right = (len(raw[:column].decode(errors="replace")) for column in place.columns)
    indent = len(raw.decode(errors="replace")) - len(raw.decode(errors="replace").lstrip())
    return " " * (left - indent) + "~" * (right - left)


def input_symbols(step: Step) -> list[str]:
    """What the formulas call the inputs: the names of forward's parameters."""
    names: list[str] = []
    fn: Any = step.fn
    for p in inspect.signature(fn.forward).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            names += [_nth(p.name, i) for i in range(len(step.inputs) - len(names) + 1)]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(_GREEK.get(p.name, p.name))
    return [_letter(name, step.text["Forward"]) for name in names[1:]]


def _letter(name: str, formula: str) -> str:
    """A parameter called weight stands in the formula as w."""
    def stands(word):
        return re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", formula)
    return name[0] if name.isidentifier() and not stands(name) and stands(name[0]) else name


def _nth(name: str, i: int) -> str:
    """Of several inputs xs the i-th: x₀, as the formulas write them."""
    return (name.removesuffix("s") or name) + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(i))


def output_symbols(step: Step) -> list[str]:
    """What the formulas call the outputs: backward takes dy, or dz, so they are y, or z."""
    names: list[str] = []
    fn: Any = step.fn
    for p in list(inspect.signature(fn.backward).parameters.values())[1:]:
        name = p.name[1:] if p.name.startswith("d") and len(p.name) > 1 else "y"
        if p.kind is p.VAR_POSITIONAL:
            names += [_nth(name, i) for i in range(len(names), len(step.outputs))]
        else:
            names.append(name)
    return names + ["y"] * (len(step.outputs) - len(names))


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    return f"{n}{'th' if n // 10 % 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _role(role: str, rows: list) -> list:
    return [(role if not i else "", *row) for i, row in enumerate(rows)]


def _constant(symbol: str, x) -> tuple:
    return ("a number", f"as {symbol}", x, "") if isinstance(x, (int, float)) else (symbol, "", x, "")


def _kind(x) -> str:
    """What an input is, where no op made it."""
    if not isinstance(x, Value) or x.maker is not None:
        return ""
    return x.kind if x.kind != "input" else "a leaf" if x.requires_grad else "a constant: it wants no gradient"


def _is_small(array) -> bool:
    """Few enough numbers to show them all beside their name, and no more than two axes that count."""
    if isinstance(array, Summary) or not 0 < array.size <= 64 or not array.ndim:
        return False
    return np.prod(array.shape[:-2]) == 1 and array.shape[-1] <= 8


def _shape(array) -> str:
    dtype = "" if str(array.dtype) in ("float32", "int64") else f" {array.dtype}"
    return f"{tuple(array.shape)}{dtype}" if array.shape else dtype.strip()


def _colourless(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _equal(a, b) -> bool:
    if isinstance(a, Summary):
        return (a.norm, a.mean) == (b.norm, b.mean) or a.bad > 0
    return np.array_equal(a, b, equal_nan=True)


def _norm(array) -> float:
    return array.norm if isinstance(array, Summary) else float(np.linalg.norm(array))


def _size_of_grads(step: Step) -> str:
    grads = [y.grad for y in step.outputs if y.grad is not None]
    return number(float(np.sqrt(sum(_norm(g)**2 for g in grads)))) if grads else ""


def _paths(module: str) -> list[str]:
    parts = module.split(".") if module else []
    return [".".join(parts[:i + 1]) for i in range(len(parts))]


def _setting(thing) -> str:
    return number(thing) if isinstance(thing, (int, float)) else repr(thing)


def _index_text(index) -> str:
    def one(i):
        if isinstance(i, slice):
            return ":".join("" if x is None else str(x) for x in (i.start, i.stop, i.step)[:2 + (i.step is not None)])
        return "..." if i is Ellipsis else str(i)
    return ", ".join(map(one, index))

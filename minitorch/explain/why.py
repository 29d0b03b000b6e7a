"""Why is this number what it is? The products that a value, or a gradient, is the sum of.

A gradient is always a sum of products: what arrived at each result that the element went into, times the slope of that
result. A value is one where its op is linear in some of its inputs: a linear layer, a matrix product, attention in its
values, LayerNorm in γ and β. Nobody wrote these sums down for each op: the slopes come from running the op's own backward
on a gradient that is 1 at one place and 0 elsewhere, so they exist for an op of your own as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

import minitorch.kernels as kernels
from minitorch.explain.trace import Step, Summary, Trace, Value

__all__ = ["Part", "Why", "element", "why"]

_MANY = 2048                                    # more slopes than this are measured instead of computed one by one
_SLOPES = {("Attention", 2): "weight p", ("LayerNorm", 1): "x̂", ("RMSNorm", 1): "x̂", ("AttentionWeights", 0): "slope"}


@dataclass
class Part:
    """One product: its factors, each with a label and a number."""

    factors: list[tuple[str, float]]
    op: str                                     # the op whose rule this product is
    step: Step
    input: int = -1                             # of a gradient's part: which of the op's inputs it came back through

    @property
    def value(self) -> float:
        return float(np.prod([number for _, number in self.factors]))


@dataclass
class Why:
    """What one number is made of."""

    name: str                                   # "h" or "x.grad"
    index: tuple[int, ...]
    value: float                                # as it was recorded
    parts: list[Part] = field(default_factory=list)     # largest first
    note: str = ""

    @property
    def label(self) -> str:
        """The number's name: "x.grad[0, 1]"."""
        return element(self.name, self.index)

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return float(sum(part.value for part in self.parts))

    def __str__(self):
        lines = [f"{self.label} = {self.value:.7g}"]
        if self.note:
            lines += self.note.splitlines()
        if not self.parts:
            return "\n".join(lines)
        several = len({part.step.index for part in self.parts}) > 1
        shown = self.parts[:20]
        texts = [" × ".join(f"{label} ({number:.6g})" for label, number in part.factors) for part in shown]
        width = max(map(len, texts))
        for part, text in zip(shown, texts):
            lines.append(f"  {part.value:>+13.6g}   {text:<{width}}" + (f"   through {part.op}" if several else ""))
        left = self.parts[len(shown):]
        if left:
            lines.append(f"  {sum(p.value for p in left):>+13.6g}   {len(left)} more, each smaller than these")
        lines.append(f"  {'─' * 13}\n  {self.total:>+13.6g}   the sum of {len(self.parts)} part{'s'[:len(self.parts) > 1]}")
        return "\n".join(line.rstrip() for line in lines)


def why(trace: Trace, name: str, index: tuple[int, ...] | int = ()) -> Why:
    """The products that make up ``name[index]``; ``"x.grad"`` asks about the gradient of x.

    >>> from minitorch import explain
    >>> w = minitorch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> x = minitorch.tensor([10.0, 1.0])
    >>> def run():
    ...     y = w @ x
    ...     y.sum().backward()
    ...     return y
    >>> trace = explain.record(run)
    >>> print(explain.why(trace, "y", 1))
    y[1] = 34
                +30   w[1, 0] (3) × x[0] (10)
                 +4   w[1, 1] (4) × x[1] (1)
      ─────────────
                +34   the sum of 2 parts
    """
    of_gradient = name.endswith(".grad") and name not in trace
    value = trace[name.removesuffix(".grad") if of_gradient else name]
    index = _index(name, index, value.shape)
    with kernels.quiet():                           # infinities are shown, not warned of
        return _why_gradient(trace, value, index) if of_gradient else _why_value(trace, value, index)


def element(name: str, index: tuple[int, ...]) -> str:
    """The name of one element: ``x[0, 1]``; of a single number, its own name."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


# ---------------------------------------------------------------------------------------------------------------------
# a value

def _why_value(trace, value, index) -> Why:
    if not value.kept:
        raise ValueError(f"why: {value.name} {value.shape} was too large to keep. Record with keep={value.array.size}.")
    found = Why(value.name, index, value.array[index].item())
    step = value.maker
    if step is None:
        found.note = f"{'An input' if value.kind == 'input' else 'A ' + value.kind}: no recorded op computed it."
        return found
    if value.array.dtype.kind != "f" or step.text["Backward"].startswith("none"):
        found.note = f"{step.op} gives {value.dtype.name} numbers that are no sum of products."
        return found
    floats = [k for k, x in enumerate(step.inputs) if isinstance(x, Value) and x.array.dtype.kind == "f"]
    fn, outputs = trace.call(step, needs=floats)
    y = outputs[value.slot][index].item()
    slopes = _vjp(trace, fn, step, outputs, value.slot, index)
    arrays = {k: step.inputs[k].array.astype(np.float64) for k in floats}

    chosen = _linear_in(trace, step, value.slot, index, y, slopes, arrays)
    moved = _moved(step, chosen, slopes)
    if moved:
        found = _why_value(trace, *moved)
        found.note = "\n".join(filter(None, [f"{step.op} moves {found.label} here.", found.note]))
        found.name, found.index = value.name, index
    elif chosen:
        for k in chosen:
            for place in map(tuple, np.argwhere(slopes[k])):
                factors = [(element(step.inputs[k].name, _plain(place)), arrays[k][place].item())]
                factors += _slope_factor(step, k, slopes[k][place].item(), arrays)
                found.parts.append(Part(factors, step.op, step))
    elif step.settings.get("reduction") in ("mean", "sum") and (rows := _rows_of_loss(trace, step, y)) is not None:
        for place, loss, share in rows:
            found.parts.append(Part([(f"loss of row {place}", loss)] + ([("share", share)] if share != 1 else []), step.op,
                                    step))
    else:
        found.parts.append(Part([(step.op, y)], step.op, step))
        found.note = _formula_of(step, floats, slopes, arrays)
    found.parts.sort(key=lambda part: -abs(part.value))
    return found


def _moved(step, chosen, slopes):
    """The value and the place that a number was only moved from, as reshape and transpose do; None if it was computed."""
    if chosen is None or len(chosen) != 1:
        return None
    places = np.argwhere(slopes[chosen[0]])
    if len(places) != 1 or slopes[chosen[0]][tuple(places[0])] != 1 or step.inputs[chosen[0]].maker is None:
        return None
    return step.inputs[chosen[0]], _plain(places[0])


def _formula_of(step, floats, slopes, arrays) -> str:
    """For a value that is no sum: the formula, and the numbers that went into it, steepest first."""
    used = [(abs(slopes[k][p]), f"{element(step.inputs[k].name, _plain(p))} = {arrays[k][p]:.6g} (slope {slopes[k][p]:.6g})")
            for k in floats if slopes[k] is not None for p in map(tuple, np.argwhere(slopes[k]))]
    texts = [text for _, text in sorted(used, key=lambda pair: -pair[0])]
    formula = step.text["Forward"].replace("\n", "\n  ")
    note = f"Not a sum of products, but a formula:\n  {formula}" if formula else f"No sum of products: {step.op} computes it"
    return note + "\nof " * bool(texts) + ", ".join(texts[:8]) + f" and {len(texts) - 8} more" * (len(texts) > 8)


def _vjp(trace, fn, step, outputs, slot, index):
    """Slopes of one output element with respect to every input: backward of a gradient that is 1 there."""
    dys = [np.zeros_like(y) if y.dtype.kind == "f" else None for y in outputs]
    dys[slot][index] = 1
    return trace.vjp(fn, dys)


def _linear_in(trace, step, slot, index, y, slopes, arrays):
    """The inputs, as many as can be, of which this output is a sum of products with the slopes; None if there are none."""
    live = [k for k in arrays if slopes[k] is not None and slopes[k].any()]
    sizes = range(len(live), 0, -1) if len(live) <= 5 else [len(live), 1]
    rng = np.random.default_rng(0)
    for points in ("anywhere", "here"):         # linear; or else only along its own direction, as ReLU is
        for size in sizes:
            for subset in combinations(live, size):
                if not _close(sum((arrays[k] * slopes[k]).sum() for k in subset), y, arrays, slopes, subset):
                    continue
                moved = {k: rng.normal(size=arrays[k].shape) if points == "anywhere" else 2 * arrays[k] for k in subset}
                _, outputs = trace.call(step, {step.inputs[k]: moved[k] for k in subset}, only=subset)
                expected = sum((moved[k] * slopes[k]).sum() for k in subset)
                if _close(expected, outputs[slot][index].item(), moved, slopes, subset):
                    return subset
    return None


def _close(a, b, arrays, slopes, subset) -> bool:
    scale = sum(np.abs(arrays[k] * slopes[k]).sum() for k in subset)
    return bool(abs(a - b) <= 1e-11 * scale)


def _slope_factor(step, k, slope, arrays) -> list[tuple[str, float]]:
    """A slope is often an element of another input: then it is called by that name. A slope of 1 goes without saying."""
    for other, array in arrays.items():
        if other != k:
            places = np.argwhere(array == slope)
            if len(places) == 1:
                return [(element(step.inputs[other].name, _plain(places[0])), slope)]
    return [] if slope == 1 else [(_SLOPES.get((step.op, k), "slope"), slope)]


def _rows_of_loss(trace, step, y):
    """A mean or a sum over rows: the rows' own losses, and the share of each."""
    plain = Step(**{**vars(step), "settings": {**step.settings, "reduction": "none"}})
    try:
        losses = trace.call(plain)[1][0]
    except Exception:  # an op of the user's own may mean something else by "reduction"
        return None
    total = losses.sum()
    share = 1.0 if step.settings["reduction"] == "sum" else y / total if total else 0.0
    if losses.ndim == 0 or not np.isclose(total * share, y, rtol=1e-9):
        return None
    return [(place[0] if len(place) == 1 else tuple(place), losses[tuple(place)].item(), share)
            for place in np.argwhere(losses != 0).tolist()]


# ---------------------------------------------------------------------------------------------------------------------
# a gradient

def _why_gradient(trace, value, index) -> Why:
    total = value.grad
    if total is None:
        raise ValueError(f"why: no gradient reached {value.name}. " + ("It does not require one." if not value.requires_grad
                         else "Was backward() called while recording?"))
    if isinstance(total, Summary):
        raise ValueError(f"why: the gradient of {value.name} {value.shape} was too large to keep. "
                         f"Record with keep={total.size}.")
    found = Why(f"{value.name}.grad", index, total[index].item())
    measured = []
    for arrival in value.arrivals:
        step = arrival.step
        if arrival.input < 0:
            found.parts.append(Part([(f"backward() was called on {value.name}", arrival.array[index].item())], "", step))
            continue
        for dy, slot, place, slope, by_difference in _slopes_of(trace, step, arrival.input, index):
            if dy * slope:
                factors = [(element(f"{step.outputs[slot].name}.grad", place), dy)]
                floats = {k: x.array for k, x in enumerate(step.inputs)
                          if isinstance(x, Value) and x.kept and x.array.dtype.kind == "f"}
                factors += _slope_factor(step, arrival.input, slope, floats)
                found.parts.append(Part(factors, step.op, step, arrival.input))
                measured += [step.op] * by_difference
    if measured:
        found.note = f"So many results depend on it that the slopes of {measured[0]} were measured by a small nudge."
    found.parts.sort(key=lambda part: -abs(part.value))
    return found


def _slopes_of(trace, step: Step, k: int, index) -> Iterator[tuple[float, int, tuple[int, ...], float, bool]]:
    """For every result of a step that moves with element ``index`` of its input k: (dy, output, place, slope)."""
    forward: Any = step.twin
    x = forward.inputs[k]
    base = x.array.astype(np.float64)
    h = 1e-4 * max(1.0, abs(base[index]))
    fn, outputs = trace.call(forward, needs=[k])
    sides = []
    for sign in (1, -1):
        nudged = base.copy()
        nudged[index] += sign * h
        sides.append(trace.call(forward, {x: nudged}, only=[k])[1])
    work = []
    for slot, (y, dy) in enumerate(zip(outputs, step.dys)):
        if dy is None or y.dtype.kind != "f":
            continue
        if isinstance(dy, Summary):
            raise ValueError(f"why: the gradient of {step.outputs[slot].name} was too large to keep. "
                             f"Record with keep={dy.size}.")
        moves = np.zeros(y.shape, bool)
        for side in sides:
            moves |= ~((side[slot] == y) | (np.isnan(side[slot]) & np.isnan(y)))
        work += [(slot, tuple(place)) for place in np.argwhere(moves & (dy != 0)).tolist()]
    for slot, place in work:
        dy = step.dys[slot][place].item()
        if len(work) > _MANY:
            yield dy, slot, place, ((sides[0][slot][place] - sides[1][slot][place]) / (2 * h)).item(), True
        else:
            gradient = _vjp(trace, fn, forward, outputs, slot, place)[k]
            yield dy, slot, place, 0.0 if gradient is None else gradient[index].item(), False


def _plain(place) -> tuple[int, ...]:
    return tuple(int(i) for i in place)


def _index(name, index, shape) -> tuple[int, ...]:
    index = tuple(index) if isinstance(index, (tuple, list)) else (index,)
    if len(index) != len(shape) or not all(isinstance(i, (int, np.integer)) and -n <= i < n for i, n in zip(index, shape)):
        example = element(name, tuple(min(1, n - 1) for n in shape))
        raise IndexError(f"{element(name, index)}: {name} has shape {tuple(shape)}. Ask for one element, such as {example}.")
    return tuple(int(i) % n for i, n in zip(index, shape))

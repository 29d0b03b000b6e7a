"""Which parameters does no gradient reach, and where does the path stop?

`check_grads` runs a loss, follows every parameter forward through the ops that used it, and names the first place from
which no way leads to the loss: a result that was detached, an op under no_grad, an argmax, a value that nobody used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitorch import autograd
from minitorch.errors import got
from minitorch.explain.places import Place, here, page
from minitorch.nn.module import Module
from minitorch.random import default_generator
from minitorch.tensor import Tensor

__all__ = ["GradsReport", "check_grads"]


@dataclass
class GradsReport:
    """The result of `check_grads`: true if a gradient that is not 0 reached every parameter that is learnt.

    Four lists of names: ``reached``, ``missing`` (no gradient at all), ``zero`` (0 everywhere), ``frozen`` (requires_grad is
    False, so none was asked for). ``why`` tells for each missing or zero one where the path stops, in labelled lines.
    """

    reached: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    why: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.missing and not self.zero

    __bool__ = lambda self: self.ok

    def __repr__(self):
        learnt = len(self.reached) + len(self.missing) + len(self.zero)
        if self.ok:
            frozen = f"; {len(self.frozen)} are frozen" if self.frozen else ""
            return f"check_grads: a gradient reached all {learnt} parameters{frozen}"
        heads = [f"no gradient reached {len(self.missing)} of {learnt} parameters"] if self.missing else []
        heads += [f"{len(self.zero)} of {learnt} got a gradient that is 0 everywhere"] if self.zero else []
        rows = []
        for kind, names in (("no gradient", self.missing), ("all 0", self.zero)):
            for reason in dict.fromkeys(self.why[name] for name in names):
                rows += [(kind, ", ".join(name for name in names if self.why[name] == reason)), *reason, ("", " ")]
        rows.append(("frozen", ", ".join(self.frozen)))
        return page(f"check_grads: {'; '.join(heads)}.", rows).rstrip()


def check_grads(model: Module, loss: Callable[[], Tensor] | Tensor) -> GradsReport:
    """List the parameters that no gradient reaches from the loss, and say where the path stops.

    Parameters
    ----------
    model : Module
        Whose parameters are looked at. Their ``.grad`` is left alone, and the random numbers that dropout drew are put back.
    loss : callable or Tensor
        ``lambda: F.cross_entropy(model(x), y)``: a function without arguments that runs the model and returns the loss.
        Given the loss itself, the same parameters are found; but where a path left the tape cannot be told any more.

    Examples
    --------
    >>> from minitorch import explain
    >>> nn = minitorch.nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> x = minitorch.randn(4, 2)
    >>> explain.check_grads(model, lambda: model(x).sum())
    check_grads: a gradient reached all 4 parameters
    >>> explain.check_grads(model, lambda: model[2](model[0](x).detach()).sum()).missing
    ['0.weight', '0.bias']
    """
    if not isinstance(model, Module):
        raise TypeError(f"check_grads: model must be a Module, got {type(model).__name__}. Write check_grads(model, loss).")
    if isinstance(loss, Module) or not callable(loss) and not isinstance(loss, Tensor):
        raise TypeError("check_grads: loss must be a function without arguments that returns the loss, lambda: "
                        f"F.cross_entropy(model(x), y), or the loss; got {type(loss).__name__}")
    parameters = dict(model.named_parameters())
    run = _Run(parameters.values())
    state = default_generator.get_state()
    autograd.observers.append(run)
    try:
        if isinstance(loss, Tensor):
            result, run.complete = loss, False
            run.read_tape(result)
        else:
            with autograd.enable_grad():
                result = loss()
        _check_loss(result)
        learnt = {name: p for name, p in parameters.items() if p.requires_grad}
        gradients: tuple = (None,) * len(learnt)
        if result.requires_grad and learnt:
            gradients = autograd.grad(result, list(learnt.values()), retain_graph=not run.complete, allow_unused=True)
    finally:
        autograd.observers.remove(run)
        default_generator.set_state(state)

    report = GradsReport(frozen=[name for name, p in parameters.items() if not p.requires_grad])
    towards = run.leading_to(_key(result))
    for (name, p), g in zip(learnt.items(), gradients):
        if g is None:
            report.missing.append(name)
            report.why[name] = run.why_none(_key(p), towards)
        elif not g.data.any():
            report.zero.append(name)
            report.why[name] = run.why_zero(_key(p))
        else:
            report.reached.append(name)
    return report


def _check_loss(result) -> None:
    if not isinstance(result, Tensor):
        raise TypeError(f"check_grads: loss should return a Tensor, {got(result)}")
    if result.data.size != 1:
        raise RuntimeError(f"check_grads: the loss should be one number, got shape {result.shape}. Call .mean() or .sum().")


# ---------------------------------------------------------------------------------------------------------------------
# the ops that ran, on the tape or not, and what leads where

@dataclass
class _Op:
    name: str
    place: Place
    inputs: list[Any]
    sources: list[Any]              # the key of each input: of its own, or of the tensor whose memory it shares
    outputs: list[Any]              # keys
    cuts: list[str]                 # for each input, how its gradient is lost here; "" if it is not
    alive: Any = None               # keeps the tensors and the node, so that no key is given twice
    arrived: bool = False           # in backward: did a gradient other than 0 come in?
    passed: list[bool | None] = field(default_factory=list)  # and did one go on to each input? None: not even zeros

    def __str__(self):
        place = self.place
        return self.name + (f" in module {place.module}" if place.module else f" in {place.kind}" if place.kind else "")

    @property
    def line(self) -> str:
        return "".join(f"{line}\n    {line.source}" for line in self.place.lines[:1])


def _key(x):
    """What identifies a tensor: the output of an op, or a leaf."""
    return (id(x.fn), x.slot) if x.fn is not None else id(x)


class _Run:
    """An observer that remembers every op of a run, and finds paths through them."""

    def __init__(self, parameters):
        self.complete = True                    # False: only what is on the tape is known
        self.ops: list[_Op] = []
        self.uses: dict[Any, list[_Op]] = {}    # key of a tensor → the ops that used it
        self.nodes: dict[int, _Op] = {}         # id of a node on the tape → its op
        self.arrays: dict[int, Any] = {}        # id of an array, or of its memory → key of the tensor
        for p in parameters:
            self._remember(p)

    def forward(self, fn, inputs, settings, outputs):
        values = [*inputs, *_arrays(settings)]
        recorded = bool(fn.parents)
        sources, cuts = [], []
        for x in values:
            source, detached = self._source(x)
            wants = isinstance(x, Tensor) and x.requires_grad
            sources.append(source)
            if detached:
                cuts.append("detached")
            elif wants and not recorded and outputs[0].data.dtype.kind == "f":
                cuts.append("no_grad")
            elif wants and not any(y.data.dtype.kind == "f" for y in outputs):
                cuts.append("whole numbers")
            else:
                cuts.append("")
        name = settings["op"] if isinstance(settings.get("op"), str) else type(fn).__name__  # one class, many questions
        op = _Op(name, here(inputs), values, sources, [_key(y) for y in outputs], cuts, (fn, inputs, outputs))
        self._add(op, fn if recorded else None)
        for y in outputs:
            self._remember(y)

    def backward(self, fn, dys, gradients):
        op = self.nodes.get(id(fn))
        if op is not None:
            op.arrived = any(dy is not None and dy.any() for dy in dys)
            op.passed = [None if g is None else bool(g.any()) for g in gradients]

    def read_tape(self, result) -> None:
        """The ops behind a loss that was computed before."""
        stack, seen = [result.fn], {result.fn, None}
        while stack:
            fn = stack.pop()
            if fn is None:
                continue
            parents = list(fn.parents)
            op = _Op(type(fn).__name__, Place(), parents, [None if x is None else _key(x) for x in parents],
                     [(id(fn), slot) for slot in range(fn.outputs)], [""] * len(parents), fn)
            self._add(op, fn)
            behind = {x.fn for x in parents if x is not None} - seen
            seen |= behind
            stack.extend(behind)

    def _add(self, op, fn):
        self.ops.append(op)
        if fn is not None:
            self.nodes[id(fn)] = op
        for source in op.sources:
            if source is not None:
                self.uses.setdefault(source, []).append(op)

    def _remember(self, x):
        key = _key(x)
        self.arrays[id(x.data)] = key
        self.arrays.setdefault(id(autograd._memory(x.data)), key)

    def _source(self, x) -> tuple[Any, bool]:
        """The key that a value goes by, and whether it is only another tensor's numbers."""
        array = x.data if isinstance(x, Tensor) else x
        if not isinstance(array, np.ndarray):
            return None, False
        if isinstance(x, Tensor) and (x.requires_grad or x.fn is not None or _key(x) in self.uses):
            self._remember(x)
            return _key(x), False
        key = self.arrays.get(id(array), self.arrays.get(id(autograd._memory(array))))
        if key is None and isinstance(x, Tensor):
            return _key(x), False
        return key, isinstance(x, Tensor) and key is not None and key != _key(x)

    # -----------------------------------------------------------------------------------------------------------------
    # paths

    def leading_to(self, key) -> set:
        """Every tensor from which a path, cut or not, leads to this one."""
        makers = {y: op for op in self.ops for y in op.outputs}
        seen, stack = {key}, [key]
        while stack:
            op = makers.get(stack.pop())
            for source in op.sources if op else ():
                if source is not None and source not in seen:
                    seen.add(source)
                    stack.append(source)
        return seen

    def why_none(self, start, towards) -> tuple:
        """Where the path from a parameter is cut or ends."""
        if not self.complete:
            return ("because", "no path on the tape leads to it; pass a function instead of the loss to learn more"),
        if start not in self.uses:
            return ("because", "no op used it"),
        cuts, ends, seen, queue = [], [], {start}, deque([start])
        while queue:
            key = queue.popleft()
            for op in self.uses.get(key, ()):
                at = [i for i, source in enumerate(op.sources) if source == key]
                cut = next((op.cuts[i] for i in at if op.cuts[i]), "")
                if op.arrived and not cut and all(op.passed[i] is None for i in at if i < len(op.passed)):
                    cut = "no slope"
                if cut and towards & set(op.outputs):
                    cuts.append((list(_CUTS).index(cut), op, key))
                elif cut or not any(y in self.uses for y in op.outputs):
                    ends.append(op)
                else:
                    queue.extend(y for y in op.outputs if y in self.uses and y not in seen)
                    seen.update(op.outputs)
        if not cuts:
            return ("stops after", f"{ends[-1]}, {ends[-1].line}"), ("because", _UNUSED)
        rank, op, key = min(cuts, key=lambda found: found[0])
        maker = [("stops after", f"{other}, {other.line}") for other in self.ops if key in other.outputs]
        return *maker, ("because", [*_CUTS.values()][rank].format(op)), ("at", op.line)

    def why_zero(self, start) -> tuple:
        """Where a gradient that was not 0 came in and 0 went out."""
        seen, queue = {start}, deque([start])
        while queue:
            key = queue.popleft()
            for op in self.uses.get(key, ()):
                at = [i for i, source in enumerate(op.sources[:len(op.passed)]) if source == key]
                if at and op.arrived and not any(op.passed[i] for i in at):
                    return ("becomes 0 in", f"{op}, {op.line}".rstrip(", ")), ("because", _why_stopped(op, at))
                queue.extend(y for y in op.outputs if y not in seen)
                seen.update(op.outputs)
        return ("because", "the gradients that arrive on several ways cancel exactly"),


_CUTS = {
    "no_grad": "{} ran under no_grad(), so that it was not remembered",
    "detached": "{} took it as plain numbers: .detach() or .data cut it off",
    "whole numbers": "{} gives whole numbers or yes and no, which have no derivative",
    "no slope": "{} has no derivative: its backward passes nothing on",
}
_UNUSED = "nothing used that result for the loss; or it left the graph through .numpy(), .item() or .tolist()"


def _why_stopped(op, at) -> str:
    x = op.inputs[at[0]]
    if op.name == "ReLU" and isinstance(x, Tensor) and x.data.size and x.data.max() <= 0:
        return "none of its inputs is above 0, and there its slope is 0"
    others = [np.asarray(y.data if isinstance(y, Tensor) else y) for i, y in enumerate(op.inputs)
              if i not in at and isinstance(y, (Tensor, int, float))]
    return "its other input is 0 everywhere" if any(y.size and not y.any() for y in others) else ""


def _arrays(settings) -> list[Any]:
    """The arrays among an op's settings, such as an index or a mask."""
    values = [v for value in settings.values() for v in (value if isinstance(value, (tuple, list)) else (value,))]
    return [value for value in values if isinstance(value, np.ndarray)]

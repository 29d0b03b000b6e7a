"""Does any position see a later one? `check_causal` proves by gradients that none does, or names the leak.

A language model that predicts the next word must not see it. Whether it does is a question about derivatives: if the
output at position t changes with the input at a later position s, then d output[t] / d input[s] is not 0. So that
gradient is computed, for every t, and must be 0 exactly. The same is asked of the samples of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, is_dataclass
from html import escape
from typing import Any

import numpy as np

from minitorch import _html, autograd
from minitorch.errors import ShapeError, got
from minitorch.explain.places import Place, here, page
from minitorch.nn.attention import MultiheadAttention
from minitorch.nn.module import Module
from minitorch.ops.device import all_on_host, on_device_of, on_host
from minitorch.random import default_generator
from minitorch.tensor import Tensor

__all__ = ["CausalReport", "check_causal"]


@dataclass
class CausalReport:
    """The result of `check_causal`: true if nothing leaks; as text, the leak.

    ``time[t, s]`` is the largest absolute value met in d output[t] / d input[s], ``batch[a, b]`` the same for samples;
    ``module`` and ``place`` say in which module's output a leak is seen first, and where that was called.
    """

    time: np.ndarray
    batch: np.ndarray
    training: bool = False
    module: str = ""
    place: Place = field(default_factory=Place)
    hints: list[str] = field(default_factory=list)

    @property
    def leaks(self) -> list[tuple[int, int]]:
        """Pairs (t, s) where position t sees the later position s, the strongest first."""
        return _strongest(np.triu(self.time, 1))

    @property
    def mixes(self) -> list[tuple[int, int]]:
        """Pairs (a, b) where the output of sample a depends on sample b, the strongest first."""
        return _strongest(self.batch * ~np.eye(len(self.batch), dtype=bool))

    @property
    def ok(self) -> bool:
        return not self.leaks and not self.mixes

    __bool__ = lambda self: self.ok

    def __repr__(self):
        n, samples, heads = len(self.time), len(self.batch), []
        if self.ok:
            heads = [f"none of {n} positions sees a later one: every such gradient is exactly 0"]
            heads += [f"none of {samples} samples sees another"] if samples > 1 else []
            rows = [("but", hint) for hint in self.hints]
            rows += [("but", "one sample cannot mix with others: pass a batch of two or more")] if samples == 1 else []
        for t, s in self.leaks[:1]:
            heads.append(f"position {t} sees position {s}, which comes later (|gradient| {self.time[t, s]:.3g}); "
                         f"{len(self.leaks)} of {n * (n - 1) // 2} such pairs leak")
        for a, b in self.mixes[:1]:
            heads.append(f"samples mix: sample {a}'s output depends on sample {b} (|gradient| {self.batch[a, b]:.3g})")
        if not self.ok:
            rows = [("first in", self.module), *[("likely", hint) for hint in self.hints]]
            rows[1:1] = [("called at", f"{line}\n    {line.source}") for line in self.place.lines[:1]]
        rows.append(("checked in", "training mode, with one draw of dropout" if self.training else "evaluation mode"))
        verdict = "causal: " if self.ok else "not causal: " if self.leaks else ""
        return page(f"check_causal: {verdict}{'; '.join(heads)}.", rows)

    def _repr_html_(self):
        return f"<pre>{escape(repr(self))}</pre>row t, column s: how output t depends on input s{_html.heat_map(self.time)}"


def check_causal(model: Callable, *inputs: Any, batch_first: bool = True, projections: int = 2, seed: int = 0,
                 raise_exception: bool = False) -> CausalReport:
    """Prove that no position of a model's output sees a later position of its input, nor another sample.

    The gradient is taken with respect to the first input; for whole-number ids, with respect to what they look up in an
    embedding. Each output position is weighted with random numbers, not ones, so that a leak cannot cancel out. What is
    proved holds at these inputs: a path that is cut by chance (a ReLU that is 0) or that has no gradient (argmax,
    detach) is not seen, so pass random inputs.

    The model runs in the mode it is in. In training mode dropout is on, with the random numbers that come next; they
    are put back afterwards. No ``.grad`` is touched.

    It takes one forward pass, and one backward pass for each position and each sample, times ``projections``: a short
    input proves as much as a long one.

    Parameters
    ----------
    model : Module or callable
        Called with the inputs. Wrap it in a lambda to pass more: ``lambda x: model(x, attn_mask=mask)``. Of several
        results the first tensor of the right shape is taken.
    *inputs : Tensor
        The first is ids (batch, time) or values (batch, time, features); without a batch also (time,) or (time, features).
        Where it is passed several times, as in ``check_causal(attention, x, x, x)``, all of them are watched.
    batch_first : bool
        False: the first input is (time, batch, ...), and so is the result.
    projections : int
        How many random weightings of each position's output are tried.
    seed : int
        Of those weightings.
    raise_exception : bool
        Raise RuntimeError with the report, instead of returning it, where something leaks.

    Examples
    --------
    >>> from minitorch import explain
    >>> layer = minitorch.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = minitorch.randn(2, 4, 8)
    >>> mask = minitorch.nn.Transformer.generate_square_subsequent_mask(4)
    >>> explain.check_causal(lambda x: layer(x, x, x, attn_mask=mask), x)
    check_causal: causal: none of 4 positions sees a later one: every such gradient is exactly
    0; none of 2 samples sees another.
    <BLANKLINE>
      checked in  training mode, with one draw of dropout
    >>> bool(explain.check_causal(layer, x, x, x))
    False
    """
    if not inputs or not isinstance(inputs[0], Tensor):
        raise TypeError("check_causal: the first input must be a Tensor of ids (batch, time) or values (batch, time, "
                        f"features), {got(inputs[0]) if inputs else 'got nothing. Write check_causal(model, ids).'}")
    if not callable(model):
        raise TypeError(f"check_causal: model must be a Module or a function of the inputs, {got(model)}")
    layout = _Layout(inputs[0], batch_first)
    state = default_generator.get_state()
    try:
        run = _Run(model, inputs, layout)
        time = run.influence(run.result, layout.time, layout.time, projections, seed)
        batch = run.influence(run.result, layout.batch, layout.batch, projections, seed)
        if not (np.isfinite(time).all() and np.isfinite(batch).all()):
            raise RuntimeError("check_causal: a gradient is not finite, so nothing can be proved. Find out where with "
                               "explain.nan_watch().")
        report = CausalReport(time, batch, _training([model, *run.roots]))
        if not report.ok:
            default_generator.set_state(state)
            _find_first(report, model, inputs, layout, run.roots, seed)
        else:
            report.hints = _remarks(time)
    finally:
        default_generator.set_state(state)
    if raise_exception and not report:
        raise RuntimeError(repr(report))
    return report


# ---------------------------------------------------------------------------------------------------------------------
# one run of the model, with gradients to its input

class _Layout:
    """Which axis is time, which is the batch."""

    def __init__(self, x, batch_first):
        lead = x.ndim if x.dtype.kind in "iu" else x.ndim - 1
        if lead not in (1, 2):
            raise ShapeError("check_causal: ids should be (batch, time) or (time,), values (batch, time, features) or "
                             f"(time, features); got {x.dtype} {x.shape}."
                             + (" Are these ids? Use ids.long()." if lead == 0 else ""))
        self.time, self.batch = (0, None) if lead == 1 else (1, 0) if batch_first else (0, 1)
        self.lead = tuple(x.shape[:lead])
        self.n = x.shape[self.time]
        self.samples = 1 if self.batch is None else x.shape[self.batch]

    def fits(self, y) -> bool:
        return isinstance(y, Tensor) and y.dtype.kind == "f" and y.shape[:len(self.lead)] == self.lead

    def turned(self) -> _Layout:
        """With the batch and time axes swapped, as inside a layer without batch_first."""
        other = object.__new__(_Layout)
        other.__dict__.update(self.__dict__, lead=self.lead[::-1])
        if self.batch is not None:
            other.time, other.batch = self.batch, self.time
        return other


class _Run:
    """The model's result, and the tensors at which its input enters: the input itself, or what the ids look up."""

    def __init__(self, model, inputs, layout):
        x = inputs[0]
        self.layout, self.ids = layout, on_host(x.data) if x.dtype.kind in "iu" else None
        self.sources: list[Tensor] = []
        self.roots: list[Module] = [model] if isinstance(model, Module) else []
        if self.ids is None:
            self.sources = [x.detach().clone().requires_grad_()]
            inputs = [self.sources[0] if value is x else value for value in inputs]
        autograd.observers.append(self)
        try:
            with autograd.enable_grad():
                result = model(*inputs)
                self.result = self._choose(result)
        finally:
            autograd.observers.remove(self)
        if not self.sources:
            raise RuntimeError(f"check_causal: nothing was looked up with the ids {x.shape} in an embedding. Embed them "
                               "yourself and pass the values: check_causal(rest_of_the_model, embedding(ids)).")
        if not self.result.requires_grad:
            raise RuntimeError("check_causal: the result does not depend on the input by any gradient. Is the model run "
                               "under no_grad(), or is something detached?")

    def forward(self, fn, inputs, settings, outputs):
        root = here().model()
        if root is not None and not any(root is known for known in self.roots):
            self.roots.append(root)
        if self.ids is None or not self.layout.fits(outputs[0]):
            return
        if any(_equal(value, self.ids) for value in _flat([*inputs, *settings.values()])):
            if not outputs[0].requires_grad:
                outputs[0].requires_grad_()  # a frozen table
            self.sources.append(outputs[0])

    def backward(self, fn, dys, gradients):
        pass

    def _choose(self, result) -> Tensor:
        n, samples = self.layout.n, self.layout.samples
        tensors = [y for y in _flat([result]) if isinstance(y, Tensor) and y.dtype.kind == "f"]
        for y in tensors:
            if self.layout.fits(y):
                return y
        for y in tensors:
            if self.layout.batch == 0 and y.shape[:1] == (samples * n,):
                return y.reshape(samples, n, *y.shape[1:])
        shapes = ", ".join(str(y.shape) for y in tensors) or type(result).__name__
        raise ShapeError(f"check_causal: the result should have a value for each position, {self.layout.lead} and maybe "
                         f"more axes; got {shapes}")

    def influence(self, y, axis, source_axis, projections, seed) -> np.ndarray:
        """The largest |d y[t] / d source[s]|, t along an axis of y and s along one of the sources'; [[0]] for no axis."""
        if axis is None:
            return np.zeros((1, 1))
        n, random = y.shape[axis], np.random.default_rng(seed)
        matrix = np.zeros((n, n))
        for _ in range(projections):
            weights = random.standard_normal(y.shape).astype(y.dtype)
            for t in range(n):
                at_t = (slice(None),) * axis + (t,)
                dy = np.zeros_like(weights)
                dy[at_t] = weights[at_t]
                for g in autograd.grad(y, self.sources, y.like(on_device_of(dy, y)), retain_graph=True, allow_unused=True):
                    if g is not None:
                        others = tuple(i for i in range(g.ndim) if i != source_axis)
                        matrix[t] = np.maximum(matrix[t], np.abs(on_host(g.data)).max(axis=others, initial=0))
        return matrix


# ---------------------------------------------------------------------------------------------------------------------
# the module whose output leaks although its inputs do not

def _find_first(report, model, inputs, layout, roots, seed) -> None:
    calls: list[tuple] = []
    handles = []
    for root in roots:
        for path, module in root.named_modules():
            def note(module, args, settings, output, path=path, root=root):
                calls.append((module, path, type(root).__name__, [*_flat([*args, *settings.values()])],
                              next((y for y in _flat([output]) if isinstance(y, Tensor)), None), here()))
            handles.append(module.register_forward_hook(note, with_kwargs=True))
    try:
        run = _Run(model, inputs, layout)
    finally:
        for handle in handles:
            handle.remove()
    for module, path, root, args, output, place in calls:
        leaks = _leaks(run, output, layout, report, seed)
        if leaks is not None and leaks.any() and not any(
                isinstance(x, Tensor) and x.requires_grad and not any(x is source for source in run.sources)
                and _any(_leaks(run, x, layout, report, seed)) for x in args):
            report.module = f"{path} ({type(module).__name__} in {root})" if path else type(module).__name__
            report.place = place
            report.hints = _hints(report, module, leaks)
            return
    report.hints = _hints(report, None, np.triu(report.time, 1) if report.leaks else report.batch)


def _leaks(run, y, layout, report, seed) -> np.ndarray | None:
    """How a position of this tensor depends on later inputs, or how samples mix; None if its axes are others."""
    own = next((own for own in (layout, layout.turned()) if own.fits(y)), None)
    if own is None:
        return None
    if not y.requires_grad:
        return np.zeros((1, 1))
    if report.leaks:
        return np.triu(run.influence(y, own.time, layout.time, 1, seed), 1)
    batch = run.influence(y, own.batch, layout.batch, 1, seed)
    return batch * ~np.eye(len(batch), dtype=bool)


def _any(leaks) -> bool:
    """True as well for a tensor whose axes say nothing: a module in the midst of attention is not to blame."""
    return leaks is None or bool(leaks.any())


def _hints(report, module, leaks) -> list[str]:
    if isinstance(module, MultiheadAttention) and not module.batch_first and report.mixes:
        return ["MultiheadAttention was made without batch_first=True and so takes its input as (time, batch, features): "
                "given (batch, time, features), it attends across the batch"]
    if not report.leaks:
        return ["something is averaged over the batch, as BatchNorm does, or the axes of batch and time are confused"]
    n = len(leaks)
    if report.time[report.leaks[0]] < 1e-3 * report.time.diagonal().max():
        return ["the leak is faint: is the masked score a moderate number, such as −10, instead of −∞?"]
    ahead = max(s - t for t, s in _strongest(leaks))
    if ahead == 1 and n > 2:
        return ["each position sees just one later one: the mask's diagonal is off by one. Position t may see 0 … t; "
                "masked is ones(T, T).triu(1), allowed is ones(T, T).tril()"]
    if np.count_nonzero(leaks) == n * (n - 1) // 2:
        return ["every position sees every later one: no mask reached the attention, or something is averaged over time"]
    return []


def _remarks(time) -> list[str]:
    if not time.any():
        return ["no position sees anything, itself included: does the result depend on the input?"]
    if len(time) < 2:
        return ["one position has no later one: pass two or more"]
    if not np.tril(time, -1).any():
        return ["no position sees an earlier one either: each works on its own"]
    return []


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _strongest(matrix) -> list[tuple[int, int]]:
    rows, columns = np.nonzero(matrix)
    order = np.argsort(-matrix[rows, columns], kind="stable")
    return [(int(rows[i]), int(columns[i])) for i in order]


def _flat(values) -> Iterator[Any]:
    """What stands in nested tuples, lists, dicts and dataclasses."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        elif isinstance(value, dict):
            yield from _flat(value.values())
        elif is_dataclass(value):
            yield from _flat(vars(value).values())
        else:
            yield value


def _equal(value, ids) -> bool:
    array = all_on_host(value.data if isinstance(value, Tensor) else value)
    return isinstance(array, np.ndarray) and array.dtype.kind in "iu" and np.array_equal(array, ids)


def _training(modules) -> bool:
    return any(isinstance(module, Module) and module.training for module in modules)

"""Probe a gradient: nudge one number, compute everything again, and see how far the loss moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import minitorch.kernels as kernels
from minitorch.explain.trace import Summary, Trace, Value
from minitorch.explain.why import _index, element

__all__ = ["Probe", "probe"]


@dataclass
class Probe:
    """A finite difference beside the gradient that backward computed."""

    name: str
    index: tuple[int, ...]
    at: float                                   # the element's value
    eps: float                                  # how far it was nudged
    target: str                                 # the value that backward() was called on
    losses: tuple[float, float, float]          # the target at −ε, 0 and +ε
    numeric: float
    analytic: float
    smallest: float = 0.0                       # what is below this is nothing but rounding

    @property
    def error(self) -> float:
        """The relative difference of the two; 0 where both are nothing but rounding."""
        scale = max(abs(self.numeric), abs(self.analytic))
        return abs(self.numeric - self.analytic) / scale if scale > self.smallest else 0.0

    def __str__(self):
        label = element(self.name, self.index)
        low, middle, high = self.losses
        return (f"{label} = {self.at:.7g}, nudged by ε = {self.eps:.1e}, all computed again in float64:\n"
                f"  {self.target} at {label} − ε   {low:.12g}\n"
                f"  {self.target} at {label}       {middle:.12g}\n"
                f"  {self.target} at {label} + ε   {high:.12g}\n"
                f"  finite difference   {self.numeric:>+.10g}\n"
                f"  backward            {self.analytic:>+.10g}\n"
                + (f"  relative difference {self.error:.1e}" if self.error or self.numeric == self.analytic else
                   f"  both are zero, but for rounding (below {self.smallest:.0e})"))


def probe(trace: Trace, name: str, index: tuple[int, ...] | int = ()) -> Probe:
    """Nudge ``name[index]`` by ±ε, run the recorded ops again in float64, and compare with its gradient.

    The slope is taken over four points (±ε, ±2ε), which leaves an error of ε⁴; ε shrinks until two sizes of it agree.

    >>> from minitorch import explain
    >>> x = minitorch.tensor([1.0, 2.0], requires_grad=True)
    >>> trace = explain.record(lambda: (x ** 3).sum().backward())
    >>> found = explain.probe(trace, "x", 1)
    >>> found.analytic, round(found.numeric, 6)
    (12.0, 12.0)
    """
    with kernels.quiet():                           # infinities are shown, not warned of
        return _probe(trace, name, index)


def _probe(trace, name, index) -> Probe:
    name = name.removesuffix(".grad") if name not in trace else name
    value = trace[name]
    index = _index(name, index, value.shape)
    grad = value.grad
    if not value.kept or isinstance(grad, Summary):
        raise ValueError(f"probe: {name} {value.shape} was too large to keep. Record with keep={np.prod(value.shape)}.")
    if grad is None:
        raise ValueError(f"probe: no gradient reached {name}, so there is nothing to compare with. "
                         "Was backward() called while recording, and does it require a gradient?")
    run = value.arrivals[-1].step.run
    roots = [(y, dy) for step in trace.backward if step.root and step.run == run
             for y, dy in zip(step.outputs, step.dys) if dy is not None]

    base = value.array.astype(np.float64)

    def at(move: float) -> float:
        nudged = base.copy()
        nudged[index] += move
        now = trace.replay({value: nudged})
        return float(sum((_number(now.get(y, y.array), y) * dy).sum() for y, dy in roots))

    eps = 1e-3 * max(abs(base[index]), float(np.sqrt(np.mean(base**2))), 1e-3)
    noise = 1e-15 * abs(at(0.0)) / eps
    best = (np.inf, eps, 0.0, 0.0, 0.0)
    for _ in range(4):
        low, high = at(-eps), at(eps)
        slope = (8 * (high - low) - (at(2 * eps) - at(-2 * eps))) / (12 * eps)
        apart = abs(slope - (high - low) / (2 * eps))
        if apart < best[0]:
            best = apart, eps, slope, low, high
        if apart <= max(1e-6 * abs(slope), noise):
            break
        eps /= 8
    _, eps, slope, low, high = map(float, best)
    target = " and ".join(dict.fromkeys(y.name for y, _ in roots))
    smallest = max(noise, 10 * float(np.finfo(grad.dtype).eps) * float(np.abs(grad).max()))
    return Probe(name, index, base[index].item(), eps, target, (low, at(0.0), high), slope, grad[index].item(), smallest)


def _number(array, value: Value):
    if isinstance(array, Summary):
        raise ValueError(f"probe: {value.name} {value.shape} was too large to keep. Record with keep={array.size}.")
    return array.astype(np.float64)

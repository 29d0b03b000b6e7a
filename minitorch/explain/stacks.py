"""Deep stacks with and without residual connections: the classic picture of gradient flow, measured and predicted.

With this file one can

- build one          `DeepStack("pre-norm", depth=48)`: blocks wired in one of five ways, and a classifier on top
- compare all five   `compare_stacks(depth=48)`: the gradient at each block; ``.plot()``, ``.reading()``, ``.to_csv(path)``
- watch them learn   `train_stacks(steps=100)`: the same at every step; as heat maps, block × step
- predict            `expected_gains("plain", 48, 64)`: by how much each block should scale the gradient

A block is f; what differs is what happens around it:

=============  ============================  ==========================================================
plain          x ← f(x)
residual       x ← x + f(x)                  the gradient has a path round f
post-norm      x ← LN(x + f(x))              the first Transformer
pre-norm       x ← x + f(LN(x))              most deep ones since; a last LN stands before the classifier
x = x + x      x ← f(x); x ← x + x           a mistake: the input is gone, f counts twice
=============  ============================  ==========================================================
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from functools import lru_cache, partial
from importlib import import_module
from itertools import islice
from os import PathLike
from textwrap import fill
from typing import Any

import numpy as np

from minitorch.creation import from_numpy, tensor
from minitorch.explain.flow import Flow, Layer, gradient_flow, layer_ticks, norm_of, plot_gradient_flow
from minitorch.nn import FFN, Identity, LayerNorm, Linear, Module, ModuleList, MultiheadAttention, Residual, Sequential
from minitorch.nn import functional as F
from minitorch.optim import SGD
from minitorch.random import manual_seed
from minitorch.tensor import Tensor

__all__ = [
    "ACTIVATIONS", "Comparison", "DeepStack", "Journey", "Setting", "Training", "VARIANTS", "compare_stacks",
    "expected_gains", "train_stacks",
]

VARIANTS = ("plain", "residual", "post-norm", "pre-norm", "x = x + x")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": F.tanh, "sigmoid": F.sigmoid,
}
CLASSES, SAMPLES, TOKENS = 10, 32, 8


# ---------------------------------------------------------------------------------------------------------------------
# the stacks

class DeepStack(Module):
    """Blocks on top of each other, wired in one of five ways, and a linear classifier.

    ``block="mlp"``: f is an `FFN` of two linear layers, width → width → width. ``"transformer"``: a block is
    self-attention, then an FFN, each wired so; the classifier sees the mean over the tokens.

    >>> stack = minitorch.explain.DeepStack("pre-norm", depth=3, width=8)
    >>> stack(minitorch.zeros(5, 8)).shape
    (5, 10)
    >>> len(list(stack.states(minitorch.zeros(5, 8))))
    3
    """

    def __init__(self, variant: str, depth: int = 48, width: int = 64, *, block: str = "mlp", activation: str = "relu"):
        super().__init__()
        _check(variant=variant, depth=depth, width=width, block=block, activation=activation)
        act = activation if activation in ("relu", "gelu", "silu") else ACTIVATIONS[activation]

        def make():
            ffn = _wired(variant, FFN(width, width, act), width)
            if block == "mlp":
                return ffn
            return Sequential(_wired(variant, SelfAttention(width, _heads(width)), width), ffn)

        self.blocks = ModuleList([make() for _ in range(depth)])
        self.norm = LayerNorm(width) if variant == "pre-norm" else Identity()
        self.head = Linear(width, CLASSES)

    def states(self, x: Tensor) -> Iterator[Tensor]:
        """The output of each block, from the first to the last."""
        for block in self.blocks:
            x = block(x)
            yield x

    def classify(self, x: Tensor) -> Tensor:
        """What the classifier makes of the last block's output."""
        x = self.norm(x)
        return self.head(x.mean(1) if x.ndim == 3 else x)

    def forward(self, x: Tensor) -> Tensor:
        *_, last = self.states(x)
        return self.classify(last)


class Doubled(Module):
    """The mistake: what was meant is x + f(x); but x is overwritten by f(x) first, and then added to itself."""

    def __init__(self, sublayer: Module):
        super().__init__()
        self.sublayer = sublayer

    def forward(self, x: Tensor) -> Tensor:
        x = self.sublayer(x)
        return x + x


class SelfAttention(Module):
    """Multi-head attention of a sequence to itself: (B, T, width) → (B, T, width)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attn = MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x, x, x, need_weights=False)[0]


def _wired(variant, f, width) -> Module:
    if variant == "plain":
        return f
    if variant == "x = x + x":
        return Doubled(f)
    return Residual(f, {"residual": None, "post-norm": "post", "pre-norm": "pre"}[variant], width)


def _heads(width) -> int:
    return next(heads for heads in (4, 2, 1) if width % heads == 0)


def _check(**given):
    for name, allowed in (("variant", VARIANTS), ("block", ("mlp", "transformer")), ("activation", tuple(ACTIVATIONS)),
                          ("dtype", ("float32", "float64"))):
        if name in given and given[name] not in allowed:
            raise ValueError(f"deep stack: {name} must be one of {', '.join(allowed)}, got {given[name]!r}")
    for name, least in (("depth", 2), ("width", 2), ("steps", 1)):
        if name in given and not (isinstance(given[name], int) and given[name] >= least):
            raise ValueError(f"deep stack: {name} must be a whole number, at least {least}, got {given[name]!r}")


def _data(width, block, dtype, rng) -> tuple[Tensor, Tensor]:
    """Random inputs; the class of each is the largest of 10 random linear maps of it: there is something to learn."""
    x = rng.normal(size=(SAMPLES, width) if block == "mlp" else (SAMPLES, TOKENS, width))
    flat = x if block == "mlp" else x.mean(1)
    labels = (flat @ rng.normal(size=(width, CLASSES))).argmax(1)
    return from_numpy(x.astype(dtype)), from_numpy(labels)


def _prepared(variant, depth, width, block, activation, seed, dtype) -> tuple[DeepStack, Tensor, Tensor]:
    """A stack, inputs and labels. Every variant gets the same weights in f, and the same data."""
    manual_seed(seed)
    stack = DeepStack(variant, depth, width, block=block, activation=activation)
    if dtype == "float64":
        stack.double()
    return stack, *_data(width, block, dtype, np.random.default_rng(seed))


def _loss(stack, x, labels) -> Tensor:
    return F.cross_entropy(stack(x), labels)


# ---------------------------------------------------------------------------------------------------------------------
# the theory

def expected_gains(variant: str, depth: int, width: int, activation: str = "relu") -> list[float]:
    """By how much each block should scale the gradient's norm on its way back; block 1 comes first.

    For blocks x → W₂ φ(W₁ x + b₁) + b₂ with PyTorch's initialisation and wide layers. Uniform in ±1/√width, the weights
    scale squares by σ² = 1/3, forward and backward. With q the mean square of x and z normal of variance σ² q + 1/(3·width):

    ==========  =======================================  ==========================================
    branch      u = σ² ⟨φ(z)²⟩ + 1/(3·width)             s = σ⁴ ⟨φ′(z)²⟩         ⟨·⟩: mean over z
    plain       q ← u                                    gain² = s
    residual    q ← q + u                                gain² = 1 + s
    post-norm   q ← 1                                    gain² = (1 + s) / (q + u)
    pre-norm    q ← q + u, z of variance as for q = 1    gain² = 1 + s / q
    x = x + x   q ← 4 u                                  gain² = 4 s
    ==========  =======================================  ==========================================

    >>> [round(gain, 2) for gain in minitorch.explain.expected_gains("plain", 3, 64)]
    [0.24, 0.24, 0.24]
    >>> [round(gain, 2) for gain in minitorch.explain.expected_gains("residual", 3, 64)]
    [1.03, 1.03, 1.03]
    """
    _check(variant=variant, depth=depth, width=width, activation=activation)
    bias = VARIANCE / width
    gains, q = [], 1.0                                                             # the input is standard normal
    for _ in range(depth):
        seen = 1.0 if variant == "pre-norm" else q
        square, slope = _moments(activation, VARIANCE * seen + bias)
        u, s = VARIANCE * square + bias, VARIANCE ** 2 * slope
        square, q = {
            "plain": (s, u),
            "residual": (1 + s, q + u),
            "post-norm": ((1 + s) / (q + u), 1.0),
            "pre-norm": (1 + s / q, q + u),
            "x = x + x": (4 * s, 4 * u),
        }[variant]
        gains.append(math.sqrt(square))
    return gains


VARIANCE = 1 / 3  # of the uniform distribution on (−1, 1): the weights' variance, times the width


_nodes = lru_cache(np.polynomial.hermite_e.hermegauss)


@lru_cache(4096)
def _moments(activation, variance) -> tuple[float, float]:
    """⟨φ(z)²⟩ and ⟨φ′(z)²⟩ for normal z, by Gauss's quadrature; φ′ by our own backward."""
    z, weight = _nodes(120)
    at = tensor(z * math.sqrt(variance), requires_grad=True)
    y = ACTIVATIONS[activation](at)
    y.sum().backward()
    slope: Any = at.grad
    return float(weight @ y.data ** 2 / weight.sum()), float(weight @ slope.data ** 2 / weight.sum())


# ---------------------------------------------------------------------------------------------------------------------
# at initialisation

@dataclass(frozen=True)
class Setting:
    """What the stacks are made of."""

    depth: int
    width: int
    block: str
    activation: str
    seed: int
    dtype: str

    def __str__(self):
        blocks, width = f"{self.depth} blocks of ", self.width
        ffn = f"Linear({width}, {width}) → {self.activation} → Linear({width}, {width})"
        if self.block == "mlp":
            return f"{blocks}{ffn}, {self.dtype}, seed {self.seed}"
        heads = f"{_heads(width)} head{'s' * (_heads(width) > 1)}"
        return f"{blocks}self-attention with {heads}, then {ffn}, {self.dtype}, seed {self.seed}"


@dataclass(frozen=True)
class Journey:
    """One gradient's way from the last block back to the first, in orders of magnitude: log₁₀(first / last)."""

    last: float
    first: float
    blocks: int                     # how many it passed: depth − 1
    zeros: int                      # in how many blocks it is exactly 0
    per_block: float                # the factor in each block, the geometric mean as far as the numbers are normal ones
    expected: float | None = None   # orders, by theory

    @property
    def orders(self) -> float:
        """Negative: lost. −inf: nothing arrives. NaN: something was not finite."""
        if not (0 < self.last < math.inf and 0 <= self.first < math.inf):
            return math.nan
        return math.log10(self.first) - math.log10(self.last) if self.first else -math.inf

    @property
    def verdict(self) -> str:
        """What happened, in a word or three."""
        if math.isnan(self.orders):
            return "is not finite"
        bounds = ((-3, "vanishes"), (-1, "fades"), (1, "keeps its size"), (3, "grows"), (math.inf, "explodes"))
        return next(word for bound, word in bounds if self.orders < bound)

    def __str__(self):
        if math.isnan(self.orders):
            return self.verdict
        rate = f"× {_factor(self.per_block)} in each block"
        changed = f"{abs(self.orders):.1f} orders of magnitude {_lost(self.orders)}, {rate}" if self.first else \
            f"{rate}, until it is exactly 0 in the first {self.zeros}"
        theory = "" if self.expected is None else f" (theory: {abs(self.expected):.1f} {_lost(self.expected)})"
        return f"{self.verdict}: {changed}{theory}"


def _factor(times) -> str:
    return f"{times:.3f}" if times >= 0.01 else f"{times:.2g}"


def _lost(orders) -> str:
    return "lost" if orders < 0 else "gained"


@dataclass(frozen=True)
class Comparison:
    """The stacks before training: a `Flow` over the blocks of each, and what theory expects where there is one.

    ``theory`` holds log₁₀ of the expected gradient norm at each block's output, going from the measured one at the last.
    """

    setting: Setting
    flows: dict[str, Flow]
    theory: dict[str, list[float]]

    def journeys(self) -> dict[str, Journey]:
        """What becomes of each gradient on its way from the last block to the first."""
        found = {}
        for name, flow in self.flows.items():
            norms = [math.nan if v is None else v for v in flow.column("out_grad_norm")]
            expected = self.theory[name][0] - self.theory[name][-1] if name in self.theory else None
            found[name] = Journey(norms[-1], norms[0], len(norms) - 1, norms.count(0.0), _rate(norms, flow.dtype), expected)
        return found

    def title(self) -> str:
        """The finding, in one line."""
        return _finding(self.journeys())

    def reading(self) -> str:
        """The finding in words and numbers, each computed from what was measured."""
        lines = [f"{name:<10} {journey}" for name, journey in self.journeys().items()]
        sentences = [*_compared(self.journeys(), self.setting), *_about_theory(self)]
        return "\n".join([*lines, "", *[fill(sentence, 100) for sentence in sentences]])

    def table(self) -> str:
        """The numbers of the reading, aligned."""
        last = f"at block {self.setting.depth}"
        rows = [f"{'':<10} {last:>13} {'at block 1':>11} {'orders':>8} {'theory':>8} {'per block':>10}"]
        for name, j in self.journeys().items():
            theory = "–" if j.expected is None else f"{j.expected:+.1f}"
            orders = f"{j.orders:+.1f}" if math.isfinite(j.orders) else "–∞" if j.first == 0 else "NaN"
            rows.append(f"{name:<10} {j.last:>13.2e} {j.first:>11.2e} {orders:>8} {theory:>8} {_factor(j.per_block):>10}")
        return "\n".join(rows)

    def plot(self, narrow: bool = False) -> Any:
        """Draw it: the gradient at each block's output, with theory, and that of its parameters. Return the Figure."""
        figure, (left, right) = _figure(self.title(), f"{self.setting}; before training, weights start as in PyTorch",
                                        (2, 1) if narrow else (1, 2), narrow)
        theory = {name: [10.0 ** v if v > -300 else 0.0 for v in logs] for name, logs in self.theory.items()}
        plot_gradient_flow(self.flows, ax=left, what="out_grad_norm", theory=theory, label_ends=True,
                           title="at each block's output")
        plot_gradient_flow(self.flows, ax=right, label_ends=True, title="in each block's parameters")
        for ax in (left, right):
            layer_ticks(ax.xaxis, self.setting.depth)
            ax.set_xlabel("block: input at the left, loss at the right; the gradient travels ←")
            ax.set_ylabel("gradient norm")
        return figure

    def to_csv(self, path: str | PathLike) -> None:
        """A line for each variant and block: the fields of `Layer`, and log₁₀ of what theory expects at the output."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["variant", "block", *[field.name for field in fields(Layer)], "theory_log10_out_grad_norm"])
            for name, flow in self.flows.items():
                for i, layer in enumerate(flow):
                    rows.writerow([name, i + 1, *astuple(layer), self.theory[name][i] if name in self.theory else None])


def compare_stacks(depth: int = 48, width: int = 64, *, block: str = "mlp", activation: str = "relu", seed: int = 0,
                   dtype: str = "float32", variants: Iterable[str] = VARIANTS,
                   progress: Callable[[Iterable], Iterable] = iter) -> Comparison:
    """Build each stack with the same weights and data, and measure its gradient flow at initialisation.

    ``progress`` may be ``tqdm``.

    >>> compared = minitorch.explain.compare_stacks(depth=12, width=16)
    >>> compared.journeys()["plain"].orders < -5 < -1 < compared.journeys()["pre-norm"].orders
    True
    """
    _check(depth=depth, width=width, block=block, activation=activation, dtype=dtype)
    flows, theory = {}, {}
    for variant in progress(list(variants)):
        stack, x, labels = _prepared(variant, depth, width, block, activation, seed, dtype)
        flow = gradient_flow(stack, partial(_loss, stack, x, labels), layers=stack.blocks)
        flows[variant] = flow
        top = flow[-1].out_grad_norm
        if block == "mlp" and top is not None and 0 < top < math.inf:
            logs = np.log10(expected_gains(variant, depth, width, activation))
            theory[variant] = [math.log10(top) + float(logs[i + 1:].sum()) for i in range(depth)]
    return Comparison(Setting(depth, width, block, activation, seed, dtype), flows, theory)


def _rate(norms, dtype) -> float:
    """The geometric mean of the factors between neighbours; without those too small to be held with all their digits."""
    smallest = 1e3 * float(np.finfo(dtype or "float64").tiny)
    held = next((i for i in reversed(range(len(norms))) if not smallest < norms[i] < math.inf), -1) + 1
    if held >= len(norms) - 1:
        return math.nan
    return 10.0 ** ((math.log10(norms[held]) - math.log10(norms[-1])) / (len(norms) - 1 - held))


# ---------------------------------------------------------------------------------------------------------------------
# while they learn

@dataclass(frozen=True)
class Training:
    """The stacks during training: gradient norms at each block's output and losses, before each step and at the end.

    ``norms[variant]`` is an array (steps + 1, depth), ``losses[variant]`` one of length steps + 1. ``guess`` is the loss of
    knowing only how frequent each class is: what the classifier's bias can learn without looking at the input.
    """

    setting: Setting
    lr: float
    norms: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    guess: float

    def learnt(self, name: str) -> bool:
        """Has this stack learnt anything about its input? Then its last loss is below that of guessing."""
        return bool(self.losses[name][-1] < 0.9 * self.guess)

    def verdict(self, name: str) -> str:
        """What happened to this stack's loss, in a word or three."""
        if not math.isfinite(self.losses[name][-1]):
            return "diverges"
        return "learns" if self.learnt(name) else "does not learn"

    def title(self) -> str:
        """The finding, in one line."""
        learnt = [name for name in self.losses if self.learnt(name)]
        rest = [name for name in self.losses if name not in learnt]
        steps = len(next(iter(self.losses.values()))) - 1
        return (f"After {steps} steps " + (f"{_list(learnt)} {_have(learnt)} learnt" if learnt else "nothing has learnt")
                + (f", {_list(rest)} {_have(rest)} not" if learnt and rest else ""))

    def reading(self) -> str:
        """Loss and gradient of each at the start and at the end, in words."""
        lines = []
        for name, losses in self.losses.items():
            norms = self.norms[name]
            before, after = (_times(norms[i, 0], norms[i, -1]) for i in (0, -1))
            lines.append(f"{name:<10} {self.verdict(name)}: loss {losses[0]:.3f} → {losses[-1]:.3f}. Gradient at block 1 / "
                         f"at block {self.setting.depth}: {before} at the start, {after} at the end.")
        guessing = (f"Guessing by how frequent each class is has loss {self.guess:.3f}. To learn, here, is to end 10 % "
                    "below that, which cannot be done without looking at the input.")
        return "\n".join([*lines, "", fill(guessing, 100)])

    def plot(self, narrow: bool = False) -> Any:
        """A heat map of each stack, block × step, with its loss below. Return the Figure."""
        count = len(self.norms)
        footnote = f"{self.setting}; plain SGD, learning rate {self.lr:g}; weights start as in PyTorch"
        if any(not ((a > 0) & (a < math.inf)).all() for a in self.norms.values()):
            footnote += "; grey: exactly 0, or not finite"
        figure, axes = _figure(self.title(), footnote, (count, 2) if narrow else (2, count), narrow,
                               **{"width_ratios" if narrow else "height_ratios": [3, 1]})
        axes = axes.reshape(count, 2).T if narrow else axes.reshape(2, count)
        seen = np.concatenate([a[(a > 0) & (a < math.inf)] for a in self.norms.values()])
        low, high = (math.floor(math.log10(seen.min())), math.ceil(math.log10(seen.max()))) if seen.size else (-1, 1)
        for ax, below, (name, norms) in zip(*axes, self.norms.items()):
            ax.set_facecolor("#b0b0b0")
            picture = _heat(ax, norms, low, high)
            ax.set_title(f"{name}: {self.verdict(name)}", fontsize=9.5)
            layer_ticks(ax.yaxis, self.setting.depth)
            below.plot(self.losses[name], color="#0072B2")
            below.axhline(self.guess, color="#555555", linewidth=1, linestyle=(0, (4, 3)))
            below.set_ylim(0, 1.5 * self.guess)
            for each in (ax, below):
                each.set_xlim(-0.5, len(norms) - 0.5)
                each.xaxis.get_major_locator().set_params(integer=True, nbins=4)
            below.set_xlabel("step")
        axes[0, 0].set_ylabel("block (the loss is above)")
        axes[1, 0].set_ylabel("loss (dashed: guessing)")
        bar = figure.colorbar(picture, ax=axes[0].tolist(), location="bottom" if narrow else "right", shrink=0.9)
        bar.set_label("log₁₀ of the gradient norm at the block's output")
        return figure

    def to_csv(self, path: str | PathLike) -> None:
        """A line for each variant, step and block."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["variant", "step", "loss", "block", "out_grad_norm"])
            for name, norms in self.norms.items():
                for step, (loss, its) in enumerate(zip(self.losses[name], norms)):
                    rows.writerows([name, step, loss, i + 1, norm] for i, norm in enumerate(its))


def train_stacks(depth: int = 48, width: int = 64, *, steps: int = 100, lr: float = 0.02, block: str = "mlp",
                 activation: str = "relu", seed: int = 0, dtype: str = "float32", variants: Iterable[str] = VARIANTS,
                 progress: Callable[[Iterable], Iterable] = iter) -> Training:
    """Train each stack on one batch with plain SGD, and note the gradient at every block before every step.

    >>> trained = minitorch.explain.train_stacks(depth=4, width=8, steps=2, variants=["residual"])
    >>> trained.norms["residual"].shape, trained.losses["residual"].shape
    ((3, 4), (3,))
    """
    _check(depth=depth, width=width, block=block, activation=activation, dtype=dtype, steps=steps)
    norms = {variant: np.zeros((steps + 1, depth)) for variant in variants}
    losses = {variant: np.zeros(steps + 1) for variant in norms}
    work = iter(progress([(variant, step) for variant in norms for step in range(steps + 1)]))
    for variant in norms:
        stack, x, labels = _prepared(variant, depth, width, block, activation, seed, dtype)
        optimizer = SGD(stack.parameters(), lr=lr)
        for _, step in islice(work, steps + 1):
            states = list(stack.states(x))
            for h in states:
                h.retain_grad()
            loss = F.cross_entropy(stack.classify(states[-1]), labels)
            optimizer.zero_grad()
            loss.backward()
            losses[variant][step] = loss.item()
            gradients: list[Any] = [h.grad for h in states]
            norms[variant][step] = [norm_of(g.data) for g in gradients]
            if step < steps:
                optimizer.step()
    often = np.bincount(_data(width, block, dtype, np.random.default_rng(seed))[1].data) / SAMPLES
    guess = -float(sum(f * math.log(f) for f in often if f))
    return Training(Setting(depth, width, block, activation, seed, dtype), lr, norms, losses, guess)


def _times(first, last) -> str:
    if not (0 < last < math.inf and 0 <= first < math.inf):
        return "not finite"
    return f"10^{math.log10(first) - math.log10(last):.1f}" if first else "0"


def _list(names) -> str:
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def _have(names) -> str:
    return "has" if len(names) == 1 else "have"


def _heat(ax, norms, low, high):
    with np.errstate(all="ignore"):
        logs = np.where((norms > 0) & (norms < math.inf), np.log10(norms), math.nan)
    steps, depth = norms.shape
    return ax.imshow(logs.T, origin="lower", aspect="auto", cmap="viridis", vmin=low, vmax=high, interpolation="nearest",
                     extent=(-0.5, steps - 0.5, 0.5, depth + 0.5))


# ---------------------------------------------------------------------------------------------------------------------
# the finding, in words

WITH = ("residual", "post-norm", "pre-norm")


def _finding(journeys) -> str:
    """One line: what is lost without residual connections, what with them."""
    plain = journeys.get("plain")
    kept = [journeys[name] for name in WITH if name in journeys]
    if plain is None or not kept or any(math.isnan(j.orders) for j in (plain, *kept)):
        return "The norm of the gradient, from the last block back to the first"
    most = max(abs(j.orders) for j in kept)
    change = f"{'loses' if plain.orders < 0 else 'gains'} {abs(plain.orders):.1f} orders of magnitude"
    lost = "is lost on its way"
    return (f"Without residual connections the gradient {lost if plain.first == 0 else change}; with them it "
            + ("is lost, too" if math.isinf(most) else f"changes by at most {most:.1f}" +
               (" orders of magnitude" if plain.first == 0 else "")))


def _compared(journeys, setting) -> Iterator[str]:
    """Sentences about pairs of variants; each is said only if the numbers say so."""
    plain, residual, doubled = (journeys.get(name) for name in ("plain", "residual", "x = x + x"))
    if plain and residual and not math.isnan(plain.orders + residual.orders):
        if plain.first == 0:
            yield ("Block 1 gets no gradient at all without residual connections: its numbers are too small for "
                   f"{setting.dtype}. With them it gets one of norm {residual.first:.2g}.")
        else:
            times = residual.orders + math.log10(residual.last) - plain.orders - math.log10(plain.last)
            yield (f"Residual connections make the gradient at block 1 larger by a factor of 10^{times:.1f}."
                   if times > 1 else
                   "Here block 1 gets a gradient of about the same size without residual connections, or a larger one.")
    if doubled and residual and plain and not math.isnan(doubled.orders + residual.orders):
        rate = doubled.per_block / plain.per_block
        twice = "its branch counts twice" if setting.block == "mlp" else "its two branches count twice each"
        times = f"In each block it keeps {rate:.2f} times as much as plain: {twice}, and x not at all."
        if doubled.orders < residual.orders - 1:
            lost = "everything" if doubled.first == 0 else f"{-doubled.orders:.1f} orders"
            yield f"x = x + x is no residual connection: it loses {lost}. {times}"
        else:
            yield f"x = x + x loses no more than the residual stack here, by luck, not by a direct path. {times}"


def _about_theory(compared) -> Iterator[str]:
    gains = {name: (logs[-2] - logs[-1]) for name, logs in compared.theory.items()}
    if {"plain", "residual"} <= set(gains):
        plain, residual = (10.0 ** gains[name] for name in ("plain", "residual"))
        yield (f"Theory is the product of the gains that wide blocks should have. In the last block that is {plain:.3f} for "
               f"plain, and √(1 + gain²) = {residual:.3f} with a residual connection, whose direct path counts 1.")
    elif not gains:
        yield "No theory is shown: the gain of attention depends on what it attends to."


# ---------------------------------------------------------------------------------------------------------------------
# what the figures share

def _figure(title, footnote, shape, narrow, **ratios):
    """A figure with the finding above it and the setting below."""
    rows, _ = shape
    size = (6.4, min(4.4, 12 / rows) * rows) if narrow else (12.4, 5.6)
    figure, axes = import_module("matplotlib.pyplot").subplots(
        *shape, figsize=size, layout="constrained", **ratios)
    figure.suptitle(_balanced(title, 56 if narrow else 105), fontweight="bold", fontsize=12 if narrow else 13)
    figure.supxlabel(_balanced(footnote, 84 if narrow else 150), fontsize=8.5, color="#555555")
    return figure, axes


def _balanced(text, width) -> str:
    """In as few lines as fit, of about the same length."""
    lines = math.ceil(len(text) / width)
    return text if lines == 1 else fill(text, min(width, len(text) // lines + 8))

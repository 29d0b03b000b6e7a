"""Inside a BERT: what becomes of one token's vector, from the embedding through every residual connection and LayerNorm.

With this file one can

- watch one sentence go through      ``found = look_inside_bert(bert, ids, at, tokens)``: the real run is watched, once
- read it                            ``print(found)``: tables, and what they say
- see it                             ``found.plot()``: a figure; ``found.to_csv(path)``: the numbers

Nothing is computed a second time by other code: the vectors are the inputs and outputs of the ops LayerNorm, ResidualAdd
and Attention as they ran.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from minitorch import autograd
from minitorch.nn import functional as F
from minitorch.ops.device import on_host
from minitorch.tensor import Tensor

__all__ = ["AddNorm", "InsideBERT", "look_inside_bert"]

COLORS = {"embedding": "#7f7f7f", "attention": "#0072b2", "feed-forward": "#d55e00"}
NORMED = "#009e73"


@dataclass
class AddNorm:
    """One "Add & Norm" at one token: something is added to its vector, then LayerNorm. All arrays have d numbers."""

    kind: str                   # "embedding", "attention" or "feed-forward"
    layer: int                  # from 1; 0 for the embedding
    before: np.ndarray          # the vector that comes in
    added: np.ndarray           # what is added to it
    total: np.ndarray           # the sum, which goes into LayerNorm
    normed: np.ndarray          # (sum − mean) / std: before γ and β
    after: np.ndarray           # normed · γ + β: what goes on

    @property
    def place(self) -> str:
        """Where this is: "3 attention"."""
        return f"{self.layer} {self.kind}" if self.layer else self.kind

    def largest(self, count: int = 3) -> list[int]:
        """The features that are largest, of either sign, after normalising."""
        return np.argsort(-np.abs(self.normed), kind="stable")[:count].tolist()


def look_inside_bert(bert: Any, ids: Any, at: int, tokens: Sequence[str] | None = None) -> InsideBERT:
    """Run bert on one sentence, ids (1, T), and keep what happens to the token at position ``at``.

    ``tokens`` are the names to show; without them, the ids.

    >>> from minitorch.models import BERT, BERTConfig
    >>> found = minitorch.explain.look_inside_bert(BERT(BERTConfig.preset("tiny")), [[2, 17, 40, 3]], at=1)
    >>> [step.place for step in found.steps]
    ['embedding', '1 attention', '1 feed-forward', '2 attention', '2 feed-forward']
    >>> bool(np.abs(found.steps[0].normed.mean()) < 1e-6)
    True
    """
    array = on_host(ids.data if isinstance(ids, Tensor) else ids)
    if array.ndim != 2 or len(array) != 1:
        raise ValueError(f"look_inside_bert: ids should be one sentence, (1, length), got shape {array.shape}")
    if not 0 <= at < array.shape[1]:
        raise IndexError(f"look_inside_bert: at={at}, but the positions are 0 to {array.shape[1] - 1}")
    names = [str(name) for name in (array[0] if tokens is None else tokens)]
    if len(names) != array.shape[1]:
        raise ValueError(f"look_inside_bert: {len(names)} tokens for {array.shape[1]} ids")
    watch = _Watch()
    words: list[np.ndarray] = []
    hook = bert.embeddings.word_embeddings.register_forward_hook(
        lambda module, given, y: words.append(on_host(y.data)[0, at]))
    training = bert.training
    bert.eval()
    try:
        with autograd.no_grad(), _observing(watch):
            bert(array)
    finally:
        hook.remove()
        bert.train(training)
    return InsideBERT(names, at, *_in_order(watch, words[0], at, bert.config.num_hidden_layers))


class _Watch:
    """Keeps the ops of three kinds, in the order in which they run."""

    def __init__(self):
        self.norms, self.sums, self.attentions = [], [], []

    def forward(self, fn, inputs, settings, outputs):
        kind = type(fn).__name__
        if kind == "LayerNorm":
            self.norms.append([on_host(a) for a in (inputs[0].data, fn.mean, fn.rstd, outputs[0].data)])
        elif kind == "ResidualAdd":
            self.sums.append((on_host(inputs[0].data), on_host(inputs[1].data)))
        elif kind == "Attention":
            self.attentions.append((inputs, settings))

    def backward(self, fn, dys, gradients):
        pass


@contextmanager
def _observing(watch):
    autograd.observers.append(watch)
    try:
        yield
    finally:
        autograd.observers.remove(watch)


def _in_order(watch, word, at, layers) -> tuple[list[AddNorm], np.ndarray, np.ndarray]:
    """What ran, as steps; whom the token attends to, (layers, heads, T); how common it is for each feature to stick out."""
    ran, expected = [len(watch.norms), len(watch.sums), len(watch.attentions)], [1 + 2 * layers, 2 * layers, layers]
    if ran != expected:
        raise ValueError(f"look_inside_bert: a BERT of {layers} layers has {expected} LayerNorms, residual connections and "
                         f"attentions, but {ran} ran")
    steps, common = [], np.zeros(len(word))
    for i, (total, mean, rstd, after) in enumerate(watch.norms):
        every = (total[0].astype(np.float64) - mean.reshape(-1, 1)) * rstd.reshape(-1, 1)       # (T, d)
        common += np.bincount(np.argsort(-np.abs(every), 1)[:, :3].ravel(), minlength=len(word)) / len(every)
        x, normed = total[0, at].astype(np.float64), every[at]
        before, added = (word, x - word) if i == 0 else (part[0, at] for part in watch.sums[i - 1])
        kind = "embedding" if i == 0 else "attention" if i % 2 else "feed-forward"
        vectors = (np.array(v, np.float64) for v in (before, added, x, normed, after[0, at]))
        steps.append(AddNorm(kind, (i + 1) // 2, *vectors))
    weights = [on_host(F.attention_weights(q, k, mask, scale=settings["scale"]).data)[0, :, at]
               for (q, k, _, mask), settings in watch.attentions]
    return steps, np.array(weights, np.float64), common / len(steps)


# ---------------------------------------------------------------------------------------------------------------------
# telling

@dataclass
class InsideBERT:
    """What happened to one token's vector; print it, or ``plot()`` it."""

    tokens: list[str]
    at: int
    steps: list[AddNorm]
    attention: np.ndarray = field(repr=False)       # (layers, heads, T): whom the token attends to
    common: np.ndarray = field(repr=False)          # (d,): how often a feature is among the three largest, of all tokens

    @property
    def token(self) -> str:
        """The name of the token that was watched."""
        return self.tokens[self.at]

    @property
    def outliers(self) -> list[tuple[int, int]]:
        """Features that are among this token's three largest in more than half of the LayerNorms: (feature, in how many)."""
        often = Counter(j for step in self.steps for j in step.largest())
        return [(j, n) for j, n in sorted(often.items(), key=lambda item: (-item[1], item[0])) if n > len(self.steps) / 2]

    def rows(self) -> list[dict[str, Any]]:
        """The first table as numbers, one dict a row."""
        first = self.steps[0].after
        return [{"step": s.place, "before": _length(s.before), "adds": _length(s.added), "cos(before, adds)":
                 _cosine(s.before, s.added), "sum": _length(s.total), "mean": s.total.mean(), "std": s.total.std(),
                 "after": _length(s.after), "cos(sum, after)": _cosine(s.total, s.after), "cos(input, after)":
                 _cosine(first, s.after)} for s in self.steps]

    def to_csv(self, path: str | Path) -> None:
        """Write the first table to a file."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows()[0]))
            writer.writeheader()
            writer.writerows(self.rows())

    def __str__(self) -> str:
        return "\n\n".join([self._sentence(), self._path(), self._norms(), self._attention(), self.reading()])

    def _sentence(self) -> str:
        widths = [max(len(token), len(str(i))) for i, token in enumerate(self.tokens)]
        marks = ["▲" if i == self.at else "" for i in range(len(widths))]
        lines = ["".join(f"  {text:^{w}}" for text, w in zip(row, widths))
                 for row in (self.tokens, range(len(self.tokens)), marks)]
        if len(lines[0]) > 110:
            here = slice(max(0, self.at - 5), self.at + 6)
            return f"  … {' '.join(self.tokens[here])} …\n  followed here: {self.token!r}, at position {self.at}"
        lines[2] += f"  the vector of {self.token!r} is followed: {self.steps[0].after.size} numbers"
        return "\n".join(line.rstrip() for line in lines)

    def _path(self) -> str:
        titles = ["step", "before", "adds", "cos", "sum", "mean", "std", "after", "turn", "input"]
        rows = [[r["step"], f"{r['before']:.2f}", f"{r['adds']:.2f}", f"{r['cos(before, adds)']:+.2f}", f"{r['sum']:.2f}",
                 f"{r['mean']:+.3f}", f"{r['std']:.3f}", f"{r['after']:.2f}", f"{r['cos(sum, after)']:+.2f}",
                 f"{r['cos(input, after)']:+.2f}"] for r in self.rows()]
        legend = """\
   before  length of the vector that comes in: the root of the sum of its squares
   adds    length of what the sublayer adds. In the first row: the word's vector, and position and sentence added to it
   cos     direction of what is added: +1 along the vector, 0 across it, −1 against it
   sum     length of the sum, which goes into LayerNorm
   mean    what LayerNorm subtracts        std   what it then divides by
   after   length after LayerNorm with its γ and β
   turn    cosine between the sum and what LayerNorm makes of it: 1 means only the length has changed
   input   cosine with the vector after the embedding: how much of the word itself is left"""
        return "1. Add & Norm, step by step\n\n" + _table(titles, rows) + "\n\n" + legend

    def _norms(self) -> str:
        titles = ["step", "mean", "std", "its largest features, before γ and β", "share"]
        rows = []
        for s in self.steps:
            top = s.largest()
            share = (s.normed[top] ** 2).sum() / max((s.normed ** 2).sum(), 1e-300)
            rows.append([s.place, f"{_clean(s.normed.mean()):.3f}", f"{s.normed.std():.3f}",
                         "   ".join(f"{f'[{j}]':>6} {s.normed[j]:+6.2f}" for j in top), f"{share:.0%}"])
        legend = f"""\
   mean, std   after normalising, before γ and β: 0 and 1 at every step, whatever came in
   features    [number] and value of the three that stick out most; ±1 is usual
   share       of the vector's squared length in these three of {self.steps[0].after.size}; equal shares would give \
{3 / self.steps[0].after.size:.1%}"""
        return "2. What LayerNorm does\n\n" + _table(titles, rows) + "\n\n" + legend

    def _attention(self) -> str:
        rows = []
        for layer, heads in enumerate(self.attention, 1):
            mean = heads.mean(0)
            order = np.argsort(-mean, kind="stable")[:3]
            head, whom = np.unravel_index(heads.argmax(), heads.shape)
            rows.append([str(layer), "   ".join(f"{self._name(i)} {mean[i]:.0%}" for i in order),
                         f"head {head + 1}: {self._name(whom)} {heads[head, whom]:.0%}"])
        legend = f"""\
   most             the mean of the {self.attention.shape[1]} heads
   strongest head   the head that looks most at one token, and which"""
        return f"3. Whom {self.token!r} attends to\n\n" + _table(["layer", "most", "strongest head"], rows) + "\n\n" + legend

    def _name(self, i) -> str:
        return self.tokens[i] if self.tokens.count(self.tokens[i]) == 1 else f"{self.tokens[i]}·{i}"

    def reading(self) -> str:
        """What the numbers say, in sentences."""
        rows, lines = self.rows(), []
        for kind in ("attention", "feed-forward"):
            of = [r for r, s in zip(rows, self.steps) if s.kind == kind]
            low, high = (f(r["adds"] / max(r["before"], 1e-300) for r in of) for f in (min, max))
            cosines = [r["cos(before, adds)"] for r in of]
            lines.append(f"What {kind} adds is {low:.2f} to {high:.2f} times as long as what it is added to, and points "
                         f"{min(cosines):+.2f} to {max(cosines):+.2f} along it (cosine).")
        stds = [r["std"] for r in rows]
        lengths = [r["after"] for r in rows]
        left = rows[-1]["cos(input, after)"]
        lines.append(f"The sums have a std of {min(stds):.3f} to {max(stds):.3f}; LayerNorm makes it 1, then γ and β give "
                     f"the vector a length of {min(lengths):.2f} to {max(lengths):.2f}.")
        lines.append(f"Of the direction after the embedding, {left:+.2f} is left at the end (cosine).")
        lines += [f"Feature {j} is among its three largest in {n} of {len(self.steps)} LayerNorms; over all tokens here, in "
                  f"{self.common[j]:.0%} of them." for j, n in self.outliers[:3]]
        most, share = int(self.common.argmax()), self.common.max()
        lines.append(f"Over all tokens, feature {most} is the outlier: among the three largest in {share:.0%} of all "
                     f"LayerNorms (by chance: {3 / len(self.common):.1%}).")
        return "\n".join(lines)

    # -----------------------------------------------------------------------------------------------------------------
    # drawing

    def plot(self) -> Any:
        """A matplotlib figure: lengths along the way, directions, the vector itself, and attention."""
        plt = import_module("matplotlib.pyplot")
        layers = len(self.attention)
        with plt.rc_context({"font.size": 9, "axes.titlesize": 10.5, "axes.titleweight": "bold",
                             "axes.titlelocation": "left"}):
            figure = plt.figure(figsize=(13, 8.6), layout="constrained")
            figure.suptitle(f"{self.token!r} in “{_shortened(self.tokens)}”, through {layers} layers of BERT", fontsize=14,
                            x=0.01, ha="left")
            grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1), height_ratios=(1, 1))
            self._draw_lengths(figure.add_subplot(grid[0, 0]))
            self._draw_directions(figure.add_subplot(grid[0, 1]))
            self._draw_vectors(figure.add_subplot(grid[1, 0]), figure)
            self._draw_attention(figure.add_subplot(grid[1, 1]))
        return figure

    def _draw_lengths(self, ax):
        """Up with every residual connection, back with every LayerNorm."""
        x = 0.0
        for step in self.steps:
            lengths = [_length(v) for v in (step.before, step.total, step.after)]
            ax.plot([x, x + 1], lengths[:2], color=COLORS[step.kind], lw=2.2, solid_capstyle="round")
            ax.plot([x + 1, x + 2], lengths[1:], color=NORMED, lw=2.2, solid_capstyle="round")
            ax.plot([x + 1], [lengths[1]], "o", color=COLORS[step.kind], ms=4)
            ax.plot([x + 2], [lengths[2]], "o", color=NORMED, ms=4, clip_on=False)
            x += 2
        for text, color in [*((f"+ {name}", c) for name, c in COLORS.items()), ("LayerNorm", NORMED)]:
            ax.plot([], [], color=color, lw=2.2, label=text.replace("+ embedding", "+ position, sentence"))
        ax.set_ylim(0, None)
        self._layer_axis(ax, 2)
        ax.set_title("The vector's length: residual connections add, LayerNorm sets it anew")
        ax.set_ylabel("length of the vector")
        ax.legend(frameon=False, ncols=2, fontsize=8.5)
        _tidy(ax)

    def _layer_axis(self, ax, each):
        """Layers as bands; ``each``: the room that one Add & Norm takes."""
        layers = len(self.attention)
        for layer in range(layers):
            if layer % 2 == 0:
                ax.axvspan(each * (1 + 2 * layer), each * (3 + 2 * layer), color="#f3f3f3", lw=0, zorder=0)
        every = max(1, layers // 12)
        shown = range(1, layers + 1, every)
        names = ["embed-\nding", *map("layer {}".format, shown)] if layers <= 6 else ["\nembedding", *map(str, shown)]
        ax.set_xticks([each / 2, *(each * 2 * layer for layer in shown)], names)
        ax.tick_params(axis="x", length=0)
        ax.set_xlim(0, each * len(self.steps))

    def _draw_directions(self, ax):
        rows = self.rows()
        for kind, color in COLORS.items():
            at = [i for i, s in enumerate(self.steps) if s.kind == kind and i]
            ax.bar([i + 0.5 for i in at], [rows[i]["cos(before, adds)"] for i in at], 0.7, color=color, alpha=0.85,
                   label=f"{kind}: with what it is added to" if at else None)
        ax.plot([i + 0.5 for i in range(len(rows))], [r["cos(input, after)"] for r in rows], "o-", color="black", ms=3.5,
                lw=1.4, label="the vector: with the embedding's")
        ax.axhline(0, color="black", lw=0.7)
        ax.set_ylim(min(-0.5, *(r["cos(before, adds)"] - 0.05 for r in rows)), 1.05)
        self._layer_axis(ax, 1)
        ax.set_title("Directions (cosine)")
        ax.legend(frameon=False, fontsize=8.5)
        _tidy(ax)

    def _draw_vectors(self, ax, figure):
        """The vector itself after each LayerNorm; features that stick out are dark columns."""
        values = np.array([s.normed for s in self.steps])
        limit = min(6.0, float(np.abs(values).max(initial=1)))
        image = ax.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        every = max(1, len(self.steps) // 26)
        ax.set_yticks(range(0, len(self.steps), every), [s.place for s in self.steps][::every], fontsize=8)
        for j, _ in self.outliers[:3]:
            ax.annotate(f"[{j}]", (j, -0.5), (j, -1.0), ha="center", va="bottom", fontsize=8, annotation_clip=False,
                        arrowprops={"arrowstyle": "-", "lw": 0.8})
        ax.set_title("The vector, normalised, before γ and β", pad=24 if self.outliers else 6)
        ax.set_xlabel(f"feature, 0 to {values.shape[1] - 1}")
        figure.colorbar(image, ax=ax, pad=0.01, fraction=0.03)
        ax.spines[:].set_visible(False)

    def _draw_attention(self, ax):
        weights = self.attention.mean(1)
        keep = np.arange(weights.shape[1])
        if len(keep) > 16:                              # those that matter, in their order
            keep = np.sort(np.argsort(-weights.max(0), kind="stable")[:16])
        shown = weights[:, keep]
        ax.imshow(shown, aspect="auto", cmap="Blues", vmin=0, vmax=max(0.3, float(shown.max())))
        for (layer, i), w in np.ndenumerate(shown):
            ax.text(i, layer, f"{w:.0%}", ha="center", va="center", fontsize=8 if len(keep) <= 10 else 6.5,
                    color="white" if w > 0.6 * max(0.3, shown.max()) else "black")
        ax.set_xticks(range(len(keep)), [self._name(i) for i in keep], rotation=40, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(shown)), [f"layer {n + 1}" for n in range(len(shown))])
        for label, i in zip(ax.get_xticklabels(), keep):
            label.set_fontweight("bold" if i == self.at else "normal")
        some = f", {len(keep)} of {weights.shape[1]} tokens" if len(keep) < weights.shape[1] else ""
        ax.set_title(f"Whom {self.token!r} attends to: mean of {self.attention.shape[1]} heads{some}")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _length(v) -> float:
    return float(np.sqrt((v * v).sum()))


def _cosine(a, b) -> float:
    lengths = _length(a) * _length(b)
    return float((a * b).sum() / lengths) if lengths else 0.0


def _clean(x) -> float:
    """No −0.000."""
    return 0.0 if abs(x) < 5e-4 else float(x)


def _table(titles, rows) -> str:
    widths = [max(len(str(row[i])) for row in [titles, *rows]) for i in range(len(titles))]
    left = {"step", "layer", "most", "strongest head"}
    lines = ["   " + "   ".join(f"{text:<{w}}" if title in left or not rows else f"{text:>{w}}"
                                for text, w, title in zip(row, widths, titles)).rstrip() for row in [titles, *rows]]
    return "\n".join([lines[0], "   " + "─" * (max(map(len, lines)) - 3), *lines[1:]])


def _shortened(tokens) -> str:
    words = [t for t in tokens if not (t.startswith("[") and t.endswith("]"))]
    text = " ".join(words).replace(" ##", "")
    return text if len(text) <= 60 else text[:57] + "…"


def _tidy(ax):
    ax.grid(True, axis="y", color="#e4e4e4", lw=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)

"""The residual lab: one stack of Transformer blocks, computed with and without residual connections and LayerNorm.

With this file one can

- compute it         `residual_lab`: gradient norms at every block, for three connections × three places of LayerNorm
- write the page     `save_residual_lab`: one HTML file that switches between them, offline

The weights, the input and the gradient that comes in at the top are the same for every variant. Only the wiring differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import minitorch.nn as nn
from minitorch.creation import tensor
from minitorch.explain.player import fill
from minitorch.nn import init
from minitorch.random import default_generator
from minitorch.tensor import Tensor

__all__ = ["CONNECTIONS", "NORMS", "residual_lab", "save_residual_lab"]

CONNECTIONS = {
    "residual": lambda x, f: x + f,
    "none": lambda x, f: f,
    "doubled": lambda x, f: f + f,              # h = f(x); h = h + h: written for a residual, but the input is gone
}
NORMS = {
    "none": lambda x, f, norm, join: join(x, f(x)),
    "post": lambda x, f, norm, join: norm(join(x, f(x))),
    "pre": lambda x, f, norm, join: join(x, f(norm(x))),
}


class Stack(nn.Module):
    """Blocks of self-attention and a feed-forward network, wired as one asks."""

    def __init__(self, depth: int, width: int, heads: int):
        super().__init__()
        self.attention = nn.ModuleList([nn.MultiheadAttention(width, heads, batch_first=True) for _ in range(depth)])
        self.ffn = nn.ModuleList([nn.FFN(width, activation="gelu") for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * depth)])

    def forward(self, x: Tensor, depth: int, connection: str, norm: str) -> list[Tensor]:
        """What goes into every block, and what comes out of the last."""
        join, wire = CONNECTIONS[connection], NORMS[norm]
        states = [x]
        for k in range(depth):
            x = wire(x, _attend(self.attention[k]), self.norms[2 * k], join)
            x = wire(x, self.ffn[k], self.norms[2 * k + 1], join)
            states.append(x)
        return states


def _attend(attention):
    return lambda x: attention(x, x, x, need_weights=False)[0]


def residual_lab(depths: Sequence[int] = (6, 12, 24, 48), width: int = 16, length: int = 8, heads: int = 2,
                 seed: int = 0, progress: bool = False) -> dict[str, Any]:
    """Norms at every block of every variant.

    Returns a dictionary whose ``"runs"`` are lists under ``runs[connection][norm][str(depth)]``:

    - ``"gradient"``: the norm of ∂loss/∂x in front of each block, and behind the last, where it is 1
    - ``"activation"``: the norm of x there
    - ``"weights"``: the norm of the gradient of each block's attention and feed-forward weights together

    >>> from minitorch import explain
    >>> runs = explain.residual_lab(depths=[3], width=4, length=2)["runs"]
    >>> len(runs["residual"]["pre"]["3"]["gradient"]), len(runs["none"]["none"]["3"]["weights"])
    (4, 3)
    """
    for depth in depths:
        if not isinstance(depth, int) or depth < 1:
            raise ValueError(f"residual_lab: depths are numbers of blocks, 1 or more, got {depth!r}")
    if width % heads:
        raise ValueError(f"residual_lab: width {width} cannot be shared equally by {heads} heads")
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(1, length, width))
    pull = rng.normal(size=(1, length, width))
    stack = _stack(max(depths), width, heads, rng)
    runs: dict[str, Any] = {}
    combinations = [(c, n, d) for c in CONNECTIONS for n in NORMS for d in depths]
    for connection, norm, depth in tqdm(combinations, "residual lab", disable=not progress, leave=False):
        found = _run(stack, depth, start, pull / np.linalg.norm(pull), connection, norm)
        runs.setdefault(connection, {}).setdefault(norm, {})[str(depth)] = found
    return {"depths": list(depths), "width": width, "length": length, "heads": heads, "seed": seed, "runs": runs}


def save_residual_lab(path: str | Path, data: dict[str, Any] | None = None, **settings) -> Path:
    """Write the page; return its path. ``data`` is what `residual_lab` returned; without it, that runs with ``settings``."""
    path = Path(path)
    data = residual_lab(**settings) if data is None else data
    page = fill("lab.html", ("base.css", "lab.css"), ("base.js", "lab.js"), data, "The residual lab")
    path.write_text(page, encoding="utf-8")
    return path


def _stack(depth, width, heads, rng) -> Stack:
    """A stack in float64, its weights as a new layer's would be, but drawn from this generator."""
    before = default_generator.get_state()
    stack = Stack(depth, width, heads)
    stack.double()
    default_generator.set_state(before)         # the program's own random numbers stay as they were
    for name, p in stack.named_parameters():
        if p.ndim > 1:
            bound = np.sqrt(6 / sum(p.shape)) if "attention" in name else 1 / np.sqrt(p.shape[1])
            p.data[...] = rng.uniform(-bound, bound, p.shape)
        elif not name.startswith("norms"):
            init.zeros_(p)
    return stack


def _run(stack, depth, start, pull, connection, norm) -> dict[str, list[float]]:
    stack.zero_grad()
    states = stack(tensor(start, requires_grad=True), depth, connection, norm)
    for state in states:
        state.retain_grad()
    (states[-1] * tensor(pull)).sum().backward()
    blocks = [[*stack.attention[k].parameters(), *stack.ffn[k].parameters()] for k in range(depth)]
    return {"gradient": [_norm(s.grad) for s in states], "activation": [_norm(s) for s in states],
            "weights": [float(np.sqrt(sum(_norm(p.grad) ** 2 for p in block))) for block in blocks]}


def _norm(x) -> float:
    return float(np.linalg.norm(x.data))

"""RotaryEmbedding: positions as rotations of queries and keys, as in Llama."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minitorch.errors import ShapeError
from minitorch.nn import functional as F
from minitorch.nn.module import Module
from minitorch.ops.device import on_host
from minitorch.tensor import Tensor

__all__ = ["RotaryEmbedding"]


class RotaryEmbedding(Module):
    """Turns every query and key by angles that grow with its position; nothing is learnt, nothing is added.

    Pair i of the features turns by position · θ^(−2i / dim): the first pair by one radian a position, the last hardly at
    all. The product of a query at t and a key at s then depends on t − s only: attention sees distances.

    ``scaling`` stretches positions, for texts longer than those learnt from. It has Hugging Face's names:
    ``{"rope_type": "linear", "factor": 2.0}`` turns half as fast; ``"llama3"`` (with ``factor``, ``low_freq_factor``,
    ``high_freq_factor`` and ``original_max_position_embeddings``) slows down only what turns slowly; ``"dynamic"`` (with
    ``factor`` and ``original_max_position_embeddings``) does so only when a text is longer than that.

    Shapes: x, y (…, T, dim).

    >>> rope = minitorch.nn.RotaryEmbedding(4)
    >>> x = minitorch.ones(2, 4)
    >>> rope(x)                                      # position 0 stays, position 1 is turned
    tensor([[ 1.0000,  1.0000,  1.0000,  1.0000],
            [-0.3012,  0.9900,  1.3818,  1.0099]])
    """

    def __init__(self, dim: int, theta: float = 10000.0, scaling: Mapping[str, Any] | None = None):
        super().__init__()
        if dim < 2 or dim % 2:
            raise ValueError(f"RotaryEmbedding: dim must be even, to make pairs, got {dim}")
        if not (theta > 0 and math.isfinite(theta)):
            raise ValueError(f"RotaryEmbedding: theta must be a positive number, got {theta}")
        self.dim, self.theta, self.scaling = dim, theta, dict(scaling or {})
        self.speeds = _scaled(self._speeds(theta), self.scaling)      # radians a position, (dim/2,)
        self.dynamic = _kind(self.scaling) == "dynamic"
        if self.dynamic and dim == 2:
            raise ValueError("RotaryEmbedding: 'dynamic' scaling needs a dim of 4 or more")

    def _speeds(self, theta):
        return theta ** (-np.arange(0, self.dim, 2) / self.dim)

    def tables(self, positions) -> tuple[np.ndarray, np.ndarray]:
        """cos and sin of the angles, (…, T, dim/2), for positions (…, T): what ``F.rotary`` takes."""
        positions, speeds = on_host(positions.data if isinstance(positions, Tensor) else positions), self.speeds
        if self.dynamic and positions.size:
            factor, learnt = self.scaling["factor"], self.scaling["original_max_position_embeddings"]
            longer = factor * max(int(positions.max()) + 1, learnt) / learnt - (factor - 1)         # 1 up to what was learnt
            speeds = self._speeds(self.theta * longer ** (self.dim / (self.dim - 2)))
        angles = positions[..., None] * speeds
        return np.cos(angles), np.sin(angles)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """``start`` is the position of x's first token."""
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ShapeError(f"RotaryEmbedding: x should be (…, length, dim) with dim = {self.dim}, got {x.shape}")
        return F.rotary(x, *self.tables(np.arange(start, start + x.shape[-2])))

    def extra_repr(self) -> str:
        return f"{self.dim}, theta={self.theta:g}" + (f", scaling={self.scaling}" if self.scaling else "")


def _kind(scaling) -> str:
    return scaling.get("rope_type", scaling.get("type", "default"))


def _scaled(speeds, scaling):
    """The speeds after stretching positions, as far as that does not depend on the text."""
    kind = _kind(scaling)
    if kind == "default":
        return speeds
    length = "original_max_position_embeddings"
    needed = {"linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor", length),
              "dynamic": ("factor", length)}
    if kind not in needed:
        raise ValueError(f"RotaryEmbedding: scaling of type {kind!r} is not supported; there are 'default', 'linear', "
                         "'dynamic' and 'llama3'")
    values = [scaling.get(name) for name in needed[kind]]
    for name, value in zip(needed[kind], values):
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not (0 < value < math.inf):
            raise ValueError(f"RotaryEmbedding: scaling {kind!r} needs a positive number {name!r}, got {value!r}")
    if kind == "dynamic":
        return speeds
    if kind == "linear":
        return speeds / values[0]
    factor, low, high, length = values
    if low >= high:
        raise ValueError(f"RotaryEmbedding: low_freq_factor must be below high_freq_factor, got {low} and {high}")
    turns = length * speeds / (2 * np.pi)               # full turns within the length learnt from
    kept = np.clip((turns - low) / (high - low), 0, 1)  # 1: fast ones stay; 0: slow ones are slowed down; between: both
    return speeds * (kept + (1 - kept) / factor)

"""What the first training step of a Transformer needs, for a process that compiles ahead: first what takes longest."""

from functools import partial

import numpy as np

from .. import cpu
from . import _copy, _large, _sums

__all__ = ["steps"]


def steps(dtype):
    """Functions that each use some kernels once, with numbers of this dtype."""
    ones = partial(np.ones, dtype=dtype)
    x, row, ids, heads, large = ones((2, 4)), ones(4), np.zeros(2, np.int64), ones((1, 1, 2, 4)), ones((512, 512))
    first = row[:2]
    return [
        lambda: cpu.attention_forward(heads, heads, heads, None, True, 1.0, 0.0, 0),
        lambda: cpu.attention_backward(heads, heads, heads, heads, None, heads, heads[..., 0], True, 1.0, 0.0, 0),
        lambda: _copy.write(ones((4, 4, 64, 64)), ones((4, 64, 4, 64)).swapaxes(1, 2)),
        lambda: cpu.embedding_backward(x, ids, 3, None),
        lambda: cpu.layernorm_backward(x, x, row, first, first),
        lambda: cpu.cross_entropy_backward(first, x, ids, None, first, first, -100, 0.0),
        lambda: [cpu.adam_step(*ones((4, n)), None, 1, 0.1, 0.9, 0.99, 1e-8, 0.1, True, False) for n in (1, 1 << 16)],
        lambda: cpu.cross_entropy_forward(x, ids, None, -100, 0.0),
        lambda: cpu.linear_backward(large, large, large),
        lambda: cpu.gelu_backward(x, x, "none"),
        lambda: cpu.gelu_forward(x, "none"),
        lambda: _large.add(large, large),
        lambda: _sums.row_sums("copy", ones((1, 2, 4)), np.dtype(dtype)),
        lambda: cpu.layernorm_forward(x, row, row, 1e-5),
    ]

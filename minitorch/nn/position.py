"""Positions: attention alone cannot tell the order of words; a vector per position, added to the embedding, can."""

from __future__ import annotations

import numpy as np

from minitorch.creation import empty, tensor
from minitorch.errors import ShapeError
from minitorch.nn import init
from minitorch.nn.dropout import Dropout
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.ops import as_dtype, get_default_dtype
from minitorch.tensor import Tensor

__all__ = ["LearnedPositionalEncoding", "PositionalEncoding", "SinusoidalEncoding"]


class _Encoding(Module):
    """What both share: adding the rows of a table, one per position."""

    def __init__(self, d_model, max_len, dropout, batch_first):
        super().__init__()
        self.d_model, self.max_len, self.batch_first = d_model, max_len, batch_first
        self.dropout = Dropout(dropout)

    def _add(self, x, table, start):
        axis = x.ndim - 2 if self.batch_first or x.ndim == 2 else 0
        if x.ndim < 2 or x.shape[-1] != self.d_model:
            layout = "(batch, length, d_model)" if self.batch_first else "(length, batch, d_model)"
            raise ShapeError(f"{type(self).__name__}: x should be {layout} with d_model = {self.d_model}, "
                             f"got {x.shape}")
        end = start + x.shape[axis]
        if start < 0 or end > self.max_len:
            raise ShapeError(f"{type(self).__name__}: a sequence of length {x.shape[axis]}"
                             + (f" from position {start} on" if start else "")
                             + f" does not fit: there are positions for max_len = {self.max_len}. Make max_len "
                             "larger, or cut the sequence.")
        rows = table[start:end]
        if axis != x.ndim - 2:
            rows = rows.reshape(end - start, *(1,) * (x.ndim - 2), self.d_model)
        return self.dropout(x + rows)

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, max_len={self.max_len}, batch_first={self.batch_first}"


class SinusoidalEncoding(_Encoding):
    """Adds sines and cosines of the position, from fast waves to slow ones, to every token. Nothing is learnt.

    pe[t, 2i] = sin(t / 10000^(2i / d_model)), pe[t, 2i + 1] = cos of the same. The table is computed,
    so it is not in ``state_dict``. ``start`` is the position of x's first token, for generating token by token.

    Shapes: x, y (B, T, d_model); with ``batch_first=False`` (T, B, d_model).

    >>> encoding = minitorch.nn.SinusoidalEncoding(4, max_len=50)
    >>> encoding(minitorch.zeros(1, 2, 4))
    tensor([[[0.0000, 1.0000, 0.0000, 1.0000],
             [0.8415, 0.5403, 0.0100, 0.9999]]])
    """

    def __init__(self, d_model: int, max_len: int = 5000, dropout: float = 0.0, batch_first: bool = True, device=None,
                 dtype=None):
        super().__init__(d_model, max_len, dropout, batch_first)
        angle = np.arange(max_len)[:, None] / 10000.0 ** (np.arange(0, d_model, 2) / d_model)
        table = np.empty((max_len, d_model))
        table[:, 0::2] = np.sin(angle)
        table[:, 1::2] = np.cos(angle)[:, :d_model // 2]
        self.register_buffer("pe", tensor(table, dtype=get_default_dtype() if dtype is None else as_dtype(dtype),
                                          device=device), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return self._add(x, self.pe, start)


PositionalEncoding = SinusoidalEncoding


class LearnedPositionalEncoding(_Encoding):
    """Adds a learnt vector per position to every token, as GPT-2 and BERT do. It knows no position beyond ``max_len``.

    Shapes: x, y (B, T, d_model), weight (max_len, d_model); with ``batch_first=False`` x is (T, B, d_model). Starts as
    N(0, 0.02²).

    >>> encoding = minitorch.nn.LearnedPositionalEncoding(4, max_len=50)
    >>> encoding(minitorch.zeros(1, 2, 4)).shape
    (1, 2, 4)
    """

    def __init__(self, d_model: int, max_len: int, dropout: float = 0.0, batch_first: bool = True, device=None,
                 dtype=None):
        super().__init__(d_model, max_len, dropout, batch_first)
        self.weight = Parameter(empty(max_len, d_model, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return self._add(x, self.weight, start)

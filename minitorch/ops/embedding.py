"""Embedding: a row of a table for each id."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Scattered, Variable
from minitorch.errors import DTypeError, RangeError, ShapeError, got
from minitorch.ops.device import within

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["embedding"]


class Embedding(Function):
    """Look up a row of the table for each id.

    Forward    y = weight[ids]
    Backward   dweight[i] = Σ dy over the positions where ids = i         (0 for padding_idx)
    Saved      ids
    Shapes     weight (rows, d)    ids (…)    y (…, d)
    Derived in docs/layers/embedding.md
    """

    def forward(self, weight, ids, *, padding_idx=None):
        self.ids, self.rows, self.padding_idx = ids, len(weight), padding_idx
        return self.k.embedding_forward(weight, ids)

    def backward(self, dy):
        write = partial(self.k.embedding_backward, dy, self.ids, self.rows, self.padding_idx)
        return Scattered(write, (self.rows, dy.shape[-1]), dy.dtype), None


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """A row of weight for each id; ``padding_idx`` names a row that gets no gradient.

    >>> table = minitorch.tensor([[0.0, 0.0], [1.0, 1.5], [2.0, 2.5]])
    >>> minitorch.nn.functional.embedding(minitorch.tensor([2, 0]), table)
    tensor([[2.0000, 2.5000],
            [0.0000, 0.0000]])
    """
    for name, wanted in (("max_norm", max_norm is not None), ("scale_grad_by_freq", scale_grad_by_freq),
                         ("sparse", sparse)):
        if wanted:
            raise NotImplementedError(f"embedding: {name} is not supported; leave it out")
    if not isinstance(input, Variable) or not isinstance(weight, Variable):
        wrong = weight if isinstance(input, Variable) else input
        raise TypeError(f"embedding: expected two Tensors, ids and weight, {got(wrong)}")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be (rows, features), got {weight.shape}")
    if input.dtype.kind not in "iu":
        raise DTypeError(f"embedding: ids must be integers, got {input.dtype}. Use ids.long()."
                         + (" Are ids and weight swapped?" if weight.dtype.kind in "iu" else ""))
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise RangeError(f"embedding: padding_idx {padding_idx} is outside [{-rows}, {rows})")
        padding_idx %= rows
    check_ids(input.data, rows)
    return Embedding.apply(weight, input.data, padding_idx=padding_idx)


def check_ids(ids, rows: int) -> None:
    """Raise for the first id outside [0, rows)."""
    if within(ids, 0, rows):
        return
    at = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= rows))[0])
    value = int(ids[at])
    if value < 0:
        raise RangeError(f"embedding: token id {value} at index {at}; negative ids are not wrapped. Valid ids are "
                         f"[0, {rows}). Padding goes through padding_idx or a mask.")
    raise RangeError(f"embedding: token id {value} at index {at} is outside [0, {rows}). The vocabulary has {rows} rows: "
                     "was the text encoded with another tokenizer?")

"""Residual: the input goes round a sublayer and is added to what it computed, with or without LayerNorm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minitorch.nn import functional as F
from minitorch.nn.attention import MultiheadAttention
from minitorch.nn.dropout import Dropout
from minitorch.nn.layernorm import LayerNorm
from minitorch.nn.module import Module, is_plain
from minitorch.tensor import Tensor

__all__ = ["Residual"]


class Residual(Module):
    """A sublayer f with the input added to its output, so that gradients have a direct way back.

    ===========  =============================  =====================================
    norm         y                              known as
    ===========  =============================  =====================================
    ``"pre"``    x + dropout(f(LN(x)))          pre-norm: GPT-2 and most deep models
    ``"post"``   LN(x + dropout(f(x)))          post-norm, Add & Norm: the paper
    ``None``     x + dropout(f(x))              a residual connection alone, as in ResNet
    ===========  =============================  =====================================

    The width that LayerNorm needs is taken from the sublayer, or given as ``d_model``. A MultiheadAttention is called
    for self-attention, or with ``residual(x, memory)`` for cross-attention. Further arguments reach the sublayer.

    >>> block = minitorch.nn.Residual(minitorch.nn.FFN(8), norm="pre")
    >>> block(minitorch.ones(2, 5, 8)).shape
    (2, 5, 8)
    >>> block = minitorch.nn.Residual(minitorch.nn.Identity(), norm=None)
    >>> block(minitorch.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    def __init__(self, sublayer: Callable, norm: str | None = "pre", d_model: int | Sequence[int] | None = None,
                 dropout: float = 0.0, eps: float = 1e-5, bias: bool = True, device=None, dtype=None):
        super().__init__()
        if norm not in ("pre", "post", None):
            raise ValueError(f"Residual: norm must be 'pre', 'post' or None, got {norm!r}")
        self.order = norm
        self.sublayer = sublayer
        if norm is None:
            self.register_module("norm", None)
        else:
            width = _width(sublayer) if d_model is None else d_model
            if width is None:
                raise ValueError(f"Residual: how wide is the input of {type(sublayer).__name__}? Give d_model=.")
            self.norm = LayerNorm(width, eps=eps, bias=bias, device=device, dtype=dtype)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, *others, **settings) -> Tensor:
        h = self.norm(x) if self.order == "pre" else x
        y = add_branch(x, self._branch(h, *others, **settings), self.dropout)
        return self.norm(y) if self.order == "post" else y

    def _branch(self, h, *others, **settings):
        if not isinstance(self.sublayer, MultiheadAttention):
            return self.sublayer(h, *others, **settings)
        memory = others or (h,)
        settings.setdefault("need_weights", False)
        return self.sublayer(h, memory[0], memory[-1], **settings)[0]

    def extra_repr(self) -> str:
        return f"norm={self.order!r}"


def add_branch(x: Tensor, f: Tensor, dropout: Module) -> Tensor:
    """x + dropout(f), in one node where nobody replaced the dropout or looks on."""
    if is_plain(dropout, Dropout) and isinstance(f, Tensor) and f.shape == x.shape and f.dtype == x.dtype:
        return F.residual_add(x, f, dropout_p=dropout.p, training=dropout.training)
    return x + dropout(f)


def _width(sublayer):
    """How many features a sublayer takes: from its attributes, or from the first module in it that says."""
    for name in ("d_model", "embed_dim", "in_features", "normalized_shape"):
        width = getattr(sublayer, name, None)
        if isinstance(width, (int, tuple)):
            return width
    for child in sublayer.children() if isinstance(sublayer, Module) else ():
        width = _width(child)
        if width is not None:
            return width
    return None

"""Scaled dot-product attention: every query takes a weighted mean of the values, weighted by how its keys match.

In a boolean mask, True means *may attend*. (In nn.MultiheadAttention True means *masked*: both are PyTorch's choice.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError, got
from minitorch.ops.dropout import check_probability
from minitorch.ops.shape import expand, reshape
from minitorch.random import draw_seed

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["attention_weights", "scaled_dot_product_attention"]


class Attention(Function):
    """All heads at once; the T×S matrix of weights is never stored.

    Forward    1  s = scale · q kᵀ + mask            −∞ where masked
               2  p = e^(s − lse)                    lse = ln Σ eˢ over the keys
               3  y = dropout(p) v
    Backward   3  dv = dropout(p)ᵀ dy        dp = dropout(dy vᵀ)
               2  ds = p · (dp − Σ dp · p)           Σ over the keys, which is Σ dy · y over the features
               1  dq = scale · ds k       dk = scale · dsᵀ q       dmask = ds
    Saved      q, k, v, mask, y, lse, seed. p is recomputed from lse: it is as large as T×S.
    Shapes     q (B, H, T, D)    k (B, G, S, D)    v (B, G, S, E)    y (B, H, T, E)    lse (B, H, T)    G divides H
    Derived in docs/layers/attention.md
    """

    def forward(self, q, k, v, mask, *, causal=False, scale=1.0, p=0.0, seed=0):
        y, self.lse = self.k.attention_forward(q, k, v, mask, causal, scale, p, seed)
        self.q, self.keys, self.v, self.mask, self.y = q, k, v, mask, y
        self.causal, self.scale, self.p, self.seed = causal, scale, p, seed
        return y

    def backward(self, dy):
        return self.k.attention_backward(dy, self.q, self.keys, self.v, self.mask, self.y, self.lse,
                                         self.causal, self.scale, self.p, self.seed, self.needs)


class AttentionWeights(Function):
    """The weights alone, to look at.

    Forward    w = softmax(scale · q kᵀ + mask)            a row that may attend nowhere is 0
    Backward   ds = w · (dw − Σ dw · w)       dq = scale · ds k       dk = scale · dsᵀ q       dmask = ds
    Saved      q, k, mask, w
    Shapes     q (B, H, T, D)    k (B, G, S, D)    w (B, H, T, S)
    Derived in docs/layers/attention.md
    """

    def forward(self, q, k, mask, *, causal=False, scale=1.0):
        self.w = self.k.attention_weights_forward(q, k, mask, causal, scale)
        self.q, self.keys, self.mask, self.causal, self.scale = q, k, mask, causal, scale
        return self.w

    def backward(self, dw):
        return self.k.attention_weights_backward(dw, self.q, self.keys, self.mask, self.w, self.causal, self.scale,
                                                 self.needs)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:
    """softmax(q kᵀ / √d + mask) v. **In a boolean mask True means may attend**; a float mask is added.

    A query that may attend nowhere gets 0, and gradient 0. With ``enable_gqa`` there may be fewer key heads than query
    heads.

    >>> q = minitorch.tensor([[1.0, 0.0]]); k = minitorch.eye(2); v = minitorch.tensor([[10.0], [20.0]])
    >>> minitorch.nn.functional.scaled_dot_product_attention(q, k, v)
    tensor([[13.3024]])
    """
    op = "scaled_dot_product_attention"
    check_probability(op, dropout_p)
    q, k, v, mask = _heads(op, query, key, value, attn_mask, enable_gqa)
    scale = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else float(scale)
    y = Attention.apply(q, k, v, mask, causal=bool(is_causal), scale=scale, p=float(dropout_p),
                        seed=draw_seed() if dropout_p else 0)
    return reshape(y, *_lead(query, key, value), *y.shape[-2:]) if query.ndim != 4 else y


def attention_weights(query: Tensor, key: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False,
                      scale: float | None = None, enable_gqa: bool = False) -> Tensor:
    """softmax(q kᵀ / √d + mask): who looks at whom. A query that may attend nowhere gets a row of zeros.

    >>> q = minitorch.tensor([[1.0, 0.0]]); k = minitorch.eye(2)
    >>> minitorch.nn.functional.attention_weights(q, k)
    tensor([[0.6698, 0.3302]])
    """
    q, k, _, mask = _heads("attention_weights", query, key, key, attn_mask, enable_gqa)
    scale = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else float(scale)
    w = AttentionWeights.apply(q, k, mask, causal=bool(is_causal), scale=scale)
    return reshape(w, *_lead(query, key, key), *w.shape[-2:]) if query.ndim != 4 else w


def _heads(op, q, k, v, mask, grouped):
    """Check the arguments and bring them to (B, H, T, D)."""
    for name, t in (("query", q), ("key", k), ("value", v)):
        if not isinstance(t, Variable):
            raise TypeError(f"{op}: {name} must be a Tensor, {got(t)}")
        if t.ndim < 2:
            raise ShapeError(f"{op}: {name} must be (…, length, features), got {t.shape}")
        if t.dtype != q.dtype or t.dtype.kind != "f":
            raise DTypeError(f"{op}: query, key and value must share one float dtype, got query {q.dtype}, "
                             f"{name} {t.dtype}. Cast one: {name}.to(query.dtype).")
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"{op}: query {q.shape} has {q.shape[-1]} features, key {k.shape} has {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"{op}: key {k.shape} has {k.shape[-2]} positions, value {v.shape} has {v.shape[-2]}")
    lead = _lead(q, k, v)
    if q.ndim < 4 or q.ndim > 4 or q.shape[:-2] != lead or k.shape[:-2] != lead or v.shape[:-2] != lead:
        if grouped and q.ndim == k.ndim == v.ndim and q.ndim >= 3:
            if k.shape[:-3] != q.shape[:-3] or v.shape[:-2] != k.shape[:-2] or q.shape[-3] % max(k.shape[-3], 1):
                raise ShapeError(f"{op}: with enable_gqa the query's {q.shape[-3]} heads must be a multiple of the "
                                 f"key's, and batches equal: query {q.shape}, key {k.shape}, value {v.shape}")
        else:
            try:
                lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
            except ValueError:
                raise ShapeError(f"{op}: batch and heads do not fit: query {q.shape}, key {k.shape}, value {v.shape}"
                                 + (". Fewer key heads need enable_gqa=True." if q.ndim == k.ndim == 4 else "")) from None
            q, k, v = (t if t.shape[:-2] == lead else expand(t, *lead, *t.shape[-2:]) for t in (q, k, v))
    mask = _mask(op, q, k, mask, lead)
    q, k, v = (t if t.ndim == 4 else reshape(t, math.prod(t.shape[:-3]), t.shape[-3] if t.ndim > 2 else 1, *t.shape[-2:])
               for t in (q, k, v))
    return q, k, v, mask


def _mask(op, q, k, mask, lead):
    if mask is None:
        return None
    if not isinstance(mask, Variable):
        raise TypeError(f"{op}: attn_mask must be a Tensor, {got(mask)}")
    if mask.dtype.kind != "b" and mask.dtype != q.dtype:
        raise DTypeError(f"{op}: attn_mask must be bool (True = may attend) or {q.dtype} like the query (added), got "
                         f"{mask.dtype}. Use mask.bool()" + ("." if mask.dtype.kind != "f" else " or mask.to(q.dtype)."))
    scores = (*lead, q.shape[-2], k.shape[-2])
    padded = (1,) * (len(scores) - mask.ndim) + mask.shape
    if len(padded) > len(scores) or any(m not in (1, s) for m, s in zip(padded, scores)):
        names = {3: "(heads, queries, keys)", 4: "(batch, heads, queries, keys)"}.get(len(scores), "(…, queries, keys)")
        wrong = next((f"{name} are {s}, mask has {m}" for name, m, s in
                      zip(("keys", "queries", "heads", "batches"), reversed(padded), reversed(scores)) if m not in (1, s)),
                     "the mask has too many axes")
        raise ShapeError(f"{op}: mask {mask.shape} does not broadcast to scores {scores} = {names}: {wrong}.")
    if len(scores) == 4:
        return reshape(mask, padded) if mask.ndim != 4 else mask
    if len(scores) > 4 and math.prod(padded[:-3]) != 1:
        padded = (*scores[:-2], *padded[-2:])
        mask = expand(mask, *padded)
    return reshape(mask, math.prod(padded[:-3]), padded[-3] if len(scores) > 2 else 1, *padded[-2:])


def _lead(q, k, v):
    """The axes before (length, features) of the result."""
    if q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        return q.shape[:-2]
    try:
        return np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        return q.shape[:-2]

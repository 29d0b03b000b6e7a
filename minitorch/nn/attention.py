"""MultiheadAttention: several attentions side by side, each on its own part of the features."""

from __future__ import annotations

import numpy as np

from minitorch.creation import empty
from minitorch.errors import DTypeError, ShapeError, got
from minitorch.nn import functional as F
from minitorch.nn import init
from minitorch.nn.linear import Linear
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.ops.device import on_host
from minitorch.tensor import Tensor

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Every position asks (query), is compared with every position (key), and takes a weighted mean of values.

    The features are split between the heads: each attends with embed_dim / num_heads of them. Linear layers come before
    (``in_proj``) and after (``out_proj``).

    Shapes: query (T, B, E), key (S, B, kdim), value (S, B, vdim), output (T, B, E), weights (B, T, S). **With
    ``batch_first=True``** query is (B, T, E), and so on; without it, (B, T, E) input would attend across the batch.
    Inputs without the batch axis work too.

    .. warning:: **In boolean masks here, True means MASKED**: this key may not be attended to. In
       ``scaled_dot_product_attention`` True means *may* attend. Both are PyTorch's choice. Float masks are added.

    >>> attention = minitorch.nn.MultiheadAttention(8, num_heads=2, batch_first=True)
    >>> x = minitorch.ones(3, 5, 8)
    >>> y, weights = attention(x, x, x)
    >>> y.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, device=None, dtype=None):
        super().__init__()
        for option, given in (("add_bias_kv", add_bias_kv), ("add_zero_attn", add_zero_attn)):
            if given:
                raise NotImplementedError(f"MultiheadAttention: {option}=True is not supported")
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError("embed_dim and num_heads must be greater than 0, "
                             f"got embed_dim={embed_dim} and num_heads={num_heads} instead")
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim must be divisible by num_heads: {embed_dim} features cannot be shared equally "
                             f"by {num_heads} heads")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {dropout}")
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads

        def parameter(*shape):
            return Parameter(empty(*shape, device=device, dtype=dtype))

        packed = self._qkv_same_embed_dim
        if packed:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
        self.register_parameter("q_proj_weight", None if packed else parameter(embed_dim, embed_dim))
        self.register_parameter("k_proj_weight", None if packed else parameter(embed_dim, self.kdim))
        self.register_parameter("v_proj_weight", None if packed else parameter(embed_dim, self.vdim))
        if not packed:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k = self.bias_v = None
        self.add_zero_attn = False
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
                need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend; return (output, weights), where weights is None with ``need_weights=False``, which is faster.

        ``key_padding_mask`` (B, S), ``attn_mask`` (T, S) or (B · heads, T, S): boolean, True = masked, or float, added.
        ``is_causal=True`` lets no position see a later one; it needs no mask. Where a mask is given, the mask decides.
        A query whose keys are all masked gets attention 0, and gradient 0. The weights are those before dropout.
        """
        batched, query, key, value = self._batched(query, key, value)
        q, k, v = self._project(query, key, value)                                     # (B, heads, T or S, head_dim)
        may, is_causal = self._masks(q, k, attn_mask, key_padding_mask, is_causal, batched)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=may, is_causal=is_causal,
                                           dropout_p=self.dropout if self.training else 0.0)
        y = y.permute(0, 2, 1, 3) if self.batch_first else y.permute(2, 0, 1, 3)       # the heads side by side again
        y = self.out_proj(y.reshape(*y.shape[:2], self.embed_dim))
        if not need_weights:
            return (y if batched else self._unbatch(y)), None
        weights = F.attention_weights(q, k, attn_mask=may, is_causal=is_causal)
        weights = weights.mean(1) if average_attn_weights else weights
        return (y, weights) if batched else (self._unbatch(y), weights.squeeze(0))

    def _batched(self, query, key, value):
        names = ("query", "key", "value")
        axis = 0 if self.batch_first else 1
        for name, x in zip(names, (query, key, value)):
            if not isinstance(x, Tensor):
                raise TypeError(f"MultiheadAttention: {name} must be a Tensor, {got(x)}")
        if not (query.ndim == key.ndim == value.ndim and query.ndim in (2, 3)):
            raise ShapeError("MultiheadAttention: query, key and value must all have 3 axes, or all 2 (no batch), got "
                             f"{query.shape}, {key.shape}, {value.shape}")
        batched = query.ndim == 3
        if not batched:
            query, key, value = _unsqueeze_all((query, key, value), axis)
        layout = "(batch, length, features)" if self.batch_first else "(length, batch, features)"
        for name, x, width in zip(names, (query, key, value), (self.embed_dim, self.kdim, self.vdim)):
            if x.shape[-1] != width:
                raise ShapeError(f"MultiheadAttention: {name} should be {layout} with {width} features, got {x.shape}")
            if x.shape[axis] != query.shape[axis]:
                raise ShapeError(f"MultiheadAttention: {name} {x.shape} and query {query.shape} are {layout}, and "
                                 f"their batches differ: {x.shape[axis]} and {query.shape[axis]}. "
                                 f"batch_first is {self.batch_first}.")
        if key.shape[1 - axis] != value.shape[1 - axis]:
            raise ShapeError(f"MultiheadAttention: key {key.shape} and value {value.shape} are {layout}, and their "
                             f"lengths differ: {key.shape[1 - axis]} and {value.shape[1 - axis]}")
        return batched, query, key, value

    def _unbatch(self, y):
        return y.squeeze(0 if self.batch_first else 1)

    def _project(self, query, key, value):
        """q, k and v of each head, in as few matrix products as the arguments allow."""
        e, bias = self.embed_dim, self.in_proj_bias
        if not self._qkv_same_embed_dim:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
            biases = [None] * 3 if bias is None else bias.chunk(3)
            projected = [F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases)]
        elif query is key and key is value:
            projected = F.linear(query, self.in_proj_weight, bias).chunk(3, -1)
        elif key is value:
            w_q, w_kv = self.in_proj_weight.split([e, 2 * e])
            b_q, b_kv = (None, None) if bias is None else bias.split([e, 2 * e])
            projected = [F.linear(query, w_q, b_q), *F.linear(key, w_kv, b_kv).chunk(2, -1)]
        else:
            biases = [None] * 3 if bias is None else bias.chunk(3)
            projected = [F.linear(x, w, b)
                         for x, w, b in zip((query, key, value), self.in_proj_weight.chunk(3), biases)]
        return [self._heads(x) for x in projected]

    def _heads(self, x):
        """(B, T, E) or (T, B, E) → (B, heads, T, head_dim); a view."""
        x = x.reshape(*x.shape[:2], self.num_heads, self.head_dim)
        return x.permute(0, 2, 1, 3) if self.batch_first else x.permute(1, 2, 0, 3)

    def _masks(self, q, k, attn_mask, key_padding_mask, is_causal, batched):
        """Both masks as one for scaled_dot_product_attention, where True means *may attend*."""
        (b, h, t, _), s = q.shape, k.shape[2]
        if attn_mask is not None:
            attn_mask = _checked("attn_mask", attn_mask)
            if attn_mask.shape == (t, s):
                attn_mask, only_causal = attn_mask.reshape(1, 1, t, s), is_causal and is_causal_mask(attn_mask)
            elif attn_mask.shape == (b * h, t, s):
                attn_mask, only_causal = attn_mask.reshape(b, h, t, s), False
            else:
                raise ShapeError(f"MultiheadAttention: attn_mask should be (queries, keys) = {(t, s)} or "
                                 f"(batch · heads, queries, keys) = {(b * h, t, s)}, got {attn_mask.shape}")
            if only_causal and key_padding_mask is None:
                attn_mask = None
            else:
                is_causal = False
        if key_padding_mask is not None:
            key_padding_mask = _checked("key_padding_mask", key_padding_mask)
            expected, names = ((b, s), "(batch, keys)") if batched else ((s,), "(keys,)")
            if key_padding_mask.shape != expected:
                raise ShapeError(f"MultiheadAttention: key_padding_mask should be {names} = {expected}, "
                                 f"got {key_padding_mask.shape}")
            key_padding_mask = key_padding_mask.reshape(b, 1, 1, s)
        masks = [mask for mask in (attn_mask, key_padding_mask) if mask is not None]
        if all(mask.dtype.kind == "b" for mask in masks):
            masks = [~mask for mask in masks]
            return (masks[0] & masks[1] if len(masks) == 2 else masks[0] if masks else None), is_causal
        masks = [_additive(mask, q) for mask in masks]
        return (masks[0] + masks[1] if len(masks) == 2 else masks[0]), is_causal


def is_causal_mask(mask: Tensor | None) -> bool:
    """True if this 2-D mask hides exactly the later positions: boolean (True = masked), or float with 0 and −∞."""
    if mask is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1] or mask.requires_grad:
        return False
    later = np.triu(np.ones(mask.shape, bool), 1)
    expected = later if mask.dtype.kind == "b" else np.where(later, -np.inf, 0.0)
    return bool((on_host(mask.data) == expected).all())


def _checked(name, mask):
    if not isinstance(mask, Tensor):
        raise TypeError(f"MultiheadAttention: {name} must be a Tensor, {got(mask)}")
    if mask.dtype.kind not in "bf":
        raise DTypeError(f"MultiheadAttention: {name} must be bool (True = masked) or float (added), got {mask.dtype}. "
                         "Use mask.bool().")
    return mask


def _additive(mask, like):
    """A boolean mask as 0 and −∞."""
    if mask.dtype.kind == "b":
        return like.like(np.where(mask.data, -np.inf, 0.0).astype(like.dtype))
    return mask.to(like.dtype)


def _unsqueeze_all(tensors, axis):
    """A batch axis for each; what was one tensor stays one, so that it is projected once."""
    made = {id(x): x.unsqueeze(axis) for x in tensors}
    return [made[id(x)] for x in tensors]

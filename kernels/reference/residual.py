"""The residual connection y = x + dropout(f + bias). Its gradient to x is dy itself: the direct path."""

import numpy as np

from .dropout import dropout_backward, dropout_forward

__all__ = ["residual_backward", "residual_forward"]


def residual_forward(x, f, bias, p, seed):
    """x, f (…, c), bias (c,) or None → y (…, c)."""
    f = f if bias is None else f + bias
    return x + (dropout_forward(f, p, seed) if p else f)


def residual_backward(dy, p, seed, needs=(True, True, True)):
    """dy (…, c) → dx (…, c), df (…, c), dbias (c,)."""
    df = dropout_backward(dy, p, seed) if p and (needs[1] or needs[2]) else dy
    dbias = np.ascontiguousarray(df).reshape(-1, dy.shape[-1]).sum(0) if needs[2] else None
    return dy if needs[0] else None, df if needs[1] else None, dbias

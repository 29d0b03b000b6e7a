"""The residual connection: y = x + dropout(f + bias), in one pass.

dx = dy      df = dropout's mask · dy / (1 − p)      dbias = Σ df over every row
"""

from .dropout import dropout_backward, dropout_forward

__all__ = ["residual_backward", "residual_forward"]


def residual_forward(x, f, bias, p, seed):
    """x and f (…, c), bias (c,) or None → y (…, c)."""
    f = f if bias is None else f + bias
    return x + (dropout_forward(f, p, seed) if p else f)


def residual_backward(dy, p, seed, needs=(True, True, True)):
    """dy (…, c) → dx (dy itself), df (…, c), dbias (c,)."""
    df = dbias = None
    if needs[1] or needs[2]:
        df = dropout_backward(dy, p, seed) if p else dy
    if needs[2]:
        dbias = df.reshape(-1, df.shape[-1]).sum(0) if df.size else df.sum(tuple(range(df.ndim - 1)))
    return dy if needs[0] else None, df if needs[1] else None, dbias

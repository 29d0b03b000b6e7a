"""Padding: more positions at the ends of some axes, or, with negative counts, fewer."""

import numpy as np

__all__ = ["pad_backward", "pad_forward"]

_NUMPY_MODE = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad_forward(x, widths, mode, value):
    """x, widths [(before, after)] per axis → y."""
    x = x[_kept(x.shape, widths)]
    more = [(max(a, 0), max(b, 0)) for a, b in widths]
    settings = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, more, _NUMPY_MODE[mode], **settings)


def pad_backward(dy, shape, widths, mode):
    """dy → dx: every copy of an element sends its gradient back to it."""
    dx = np.zeros(shape, dy.dtype)
    inner = dx[_kept(shape, widths)]
    if mode == "constant":
        inner += dy[_inside(dy.shape, widths)]
        return dx
    for axis, (a, b) in enumerate(widths):
        if a > 0 or b > 0:
            source = np.pad(np.arange(inner.shape[axis]), (max(a, 0), max(b, 0)), _NUMPY_MODE[mode])
            folded = np.zeros(dy.shape[:axis] + (inner.shape[axis],) + dy.shape[axis + 1:], dy.dtype)
            np.add.at(np.moveaxis(folded, axis, 0), source, np.moveaxis(dy, axis, 0))
            dy = folded
    inner += dy
    return dx


def _kept(shape, widths):
    return tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, widths))


def _inside(shape, widths):
    """Where y holds x."""
    return tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, widths))

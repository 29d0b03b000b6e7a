"""Padding: more positions at the ends of some axes, or, with negative counts, fewer."""

import numpy as np

from ..reference import pad as _reference
from ._array import copy_into, full, packed, to_device, zeros
from .index import index_add_forward, index_select_forward

__all__ = _reference.__all__


def pad_forward(x, widths, mode, value):
    x = x[_reference._kept(x.shape, widths)]
    more = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        y = full([n + a + b for n, (a, b) in zip(x.shape, more)], value, x.dtype)
        copy_into(y[tuple([slice(a, a + n) for n, (a, b) in zip(x.shape, more)])], x)
        return y
    for axis, width in enumerate(more):
        if width != (0, 0):
            x = index_select_forward(x, axis, _sources(x.shape[axis], width, mode))
    return packed(x)


def pad_backward(dy, shape, widths, mode):
    dx = zeros(shape, dy.dtype)
    inner = dx[_reference._kept(shape, widths)]
    more = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        copy_into(inner, dy[tuple([slice(a, a + n) for n, (a, b) in zip(inner.shape, more)])])
        return dx
    for axis, width in enumerate(more):
        if width != (0, 0):
            folded = zeros((*dy.shape[:axis], inner.shape[axis], *dy.shape[axis + 1:]), dy.dtype)
            dy = index_add_forward(folded, axis, _sources(inner.shape[axis], width, mode), dy)
    copy_into(inner, dy)
    return dx


def _sources(n, width, mode):
    """Which entry of an axis stands at each position after padding."""
    return to_device(np.pad(np.arange(n), width, _reference._NUMPY_MODE[mode]))

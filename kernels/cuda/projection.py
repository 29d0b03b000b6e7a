"""Linear, softmax and cross-entropy in one: the loss of a language model from its last hidden states.

Forward    z = x weightᵀ + bias      lse = log Σ exp(z) = top + log(1 + others), in these two parts
           loss = (1 − ε) (lse − z_label) + ε ⟨lse − z⟩                    ε: label smoothing
Backward   dz = dy · (p − ε/V)       p = exp(z − lse)          at the label: dy · (ε − ε/V − Σ of the other p)
           dx = dz weight            dweight = dzᵀ x                       dbias = Σ dz

Rows go through in chunks, so that the logits z (N, V) never exist as a whole. Ignored rows count as 0 all the way.
"""

import numpy as np

from ..reference import projection as _reference
from ._array import accumulator, empty, view, zeros
from ._map import each, into
from .arithmetic import _add, _where
from .cross_entropy import losses_of, slopes_of
from .matmul import product
from .reduce import sum_forward

__all__ = _reference.__all__


def projection_forward(x, weight, bias, labels, ignore_index, smoothing):
    n, v = len(x), len(weight)
    dtype = np.result_type(x.dtype, weight.dtype)
    results = empty((n,), dtype), empty((n,), accumulator(dtype)), empty((n,), accumulator(dtype))
    for start, stop in _chunks(n, v, dtype):
        # pass 1: logits
        z = product(x[start:stop], weight.T, bias=bias)
        # passes 2 and 3: log-sum-exp, loss
        losses_of(z, labels[start:stop], None, ignore_index, smoothing, [y[start:stop] for y in results], quiet=True)
    return results


def projection_backward(dy, x, weight, bias, labels, top, others, ignore_index, smoothing, needs=(True, True, True)):
    n, v = len(x), len(weight)
    dx = zeros(x.shape, x.dtype) if needs[0] else None
    dweight = zeros(weight.shape, weight.dtype) if needs[1] else None
    dbias = zeros((v,), x.dtype) if needs[2] and bias is not None else None
    for start, stop in _chunks(n, v, x.dtype):
        # passes 1 and 2 again, pass 3 backward: the logits' gradient, over the logits
        z = product(x[start:stop], weight.T, bias=bias)
        part = slice(start, stop)
        dz = slopes_of(dy[part], z, labels[part], None, top[part], others[part], ignore_index, smoothing, z)
        # pass 1 backward
        if needs[0]:
            product(dz, weight, dx[start:stop])
        if needs[1]:
            ignored = view(np.expand_dims, labels[start:stop] == ignore_index, 1)
            seen = each(_where, ignored, 0.0, x[start:stop], dtype=x.dtype)
            into(dweight, _add, dweight, product(dz.T, seen))
        if dbias is not None:
            into(dbias, _add, dbias, sum_forward(dz, (0,), False))
    return dx, dweight, dbias


def _chunks(n, v, dtype):
    """Where the rows' pieces begin and end."""
    step = max(1, _reference.CHUNK_BYTES // max(1, v * dtype.itemsize))
    return [(i, min(i + step, n)) for i in range(0, n, step)]


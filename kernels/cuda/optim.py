"""One step of an optimizer, in one pass over memory, where the parameters stand. The formulas: see the reference."""

import math

from ..reference import optim as _reference
from ._array import copy_into, ready
from ._launch import blocks_for, cuda, kernel

__all__ = _reference.__all__


@kernel
def _sgd(grad, lr, momentum, fresh, weight_decay, sign, has_buffer, nesterov, first, n, param, buffer):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        g = sign * grad[i] + weight_decay * param[i]
        if has_buffer:
            b = g if first else momentum * buffer[i] + fresh * g
            buffer[i] = b
            g = g + momentum * b if nesterov else b
        param[i] -= lr * g


@kernel
def _adam(grad, rate, fresh1, beta2, fresh2, root, eps, shrink, weight_decay, sign, amsgrad, n, param, m, v, vmax):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        p = param[i]
        g = sign * grad[i] + weight_decay * p
        first = m[i] + fresh1 * (g - m[i])
        m[i] = first
        largest = beta2 * v[i] + fresh2 * g * g
        v[i] = largest
        if amsgrad:
            largest = vmax[i] if vmax[i] > largest else largest
            vmax[i] = largest
        param[i] = shrink * p - rate * first / (math.sqrt(largest) / root + eps)


def sgd_step(param, grad, buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    p, b = ready(param), ready(param if buffer is None else buffer)
    if p.size:
        _sgd[blocks_for(p.size)](ready(grad, param.dtype), float(lr), float(momentum), float(1 - dampening),
                                 float(weight_decay), -1.0 if maximize else 1.0, buffer is not None, bool(nesterov),
                                 bool(first), p.size, p, b)
    _store((param, p), (buffer, b))


def adam_step(param, grad, m, v, vmax, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    p, m_, v_, vmax_ = ready(param), ready(m), ready(v), ready(v if vmax is None else vmax)
    shrink, add = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    if p.size:
        _adam[blocks_for(p.size)](ready(grad, param.dtype), float(lr / (1 - beta1**step)), float(1 - beta1), float(beta2),
                                  float(1 - beta2), math.sqrt(1 - beta2**step), float(eps), float(shrink), float(add),
                                  -1.0 if maximize else 1.0, vmax is not None, p.size, p, m_, v_, vmax_)
    _store((param, p), (m, m_), (v, v_), (vmax, vmax_))


def _store(*pairs):
    """Write back what was computed on a copy, because the array is not contiguous."""
    for array, computed in pairs:
        if array is not None and computed is not array:
            copy_into(array, computed)

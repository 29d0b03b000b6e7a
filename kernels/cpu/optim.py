"""One step of an optimizer, in one pass over memory. The formulas stand in the reference."""

import math
from functools import lru_cache

import numpy as np

from ..reference import optim as _reference
from ._jit import CHUNKS, inline, jit, ready, spread
from ._shared import compiled

__all__ = _reference.__all__

LARGE = 1 << 15  # elements: from here on, several threads share the work


def sgd_step(param, grad, buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    """buffer: the moving sum of gradients, None without momentum; first: it holds nothing yet."""
    number = param.dtype.type
    if buffer is None and not weight_decay and param.size < LARGE:  # done before a compiled loop would have been called
        param -= number(-lr if maximize else lr) * grad
        return
    p, g, b = _flat(param), _flat(grad, param.dtype), _flat(param if buffer is None else buffer)
    settings = (number(lr), number(momentum), number(1 - dampening), number(weight_decay), number(-1 if maximize else 1),
                buffer is not None, nesterov, first)
    if p.size < LARGE:
        _sgd_piece(p, g, b, *settings)
    else:
        _sgd(CHUNKS, p, g, b, *settings)
    _store(param, p)
    if buffer is not None:
        _store(buffer, b)


def adam_step(param, grad, m, v, vmax, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """step counts from 1; vmax: the largest v so far, None without AMSGrad."""
    arrays = [_flat(param), _flat(grad, param.dtype), _flat(m), _flat(v), _flat(v if vmax is None else vmax)]
    settings = _adam_settings(param.dtype.type, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize)
    if param.size < LARGE:
        _adam_piece(*arrays, *settings, vmax is not None)
    else:
        _adam(CHUNKS, *arrays, *settings, vmax is not None)
    for array, flat in zip((param, None, m, v, vmax), arrays, strict=True):
        if array is not None:
            _store(array, flat)


@lru_cache(maxsize=16)
def _adam_settings(number, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """What all parameters of a step share, as the loop takes it."""
    shrink, add = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    return tuple(map(number, (lr / (1 - beta1**step), 1 - beta1, beta2, 1 - beta2, math.sqrt(1 - beta2**step), eps, shrink,
                              add, -1 if maximize else 1)))


def power_sum(grad, p):
    if p != 2 or not grad.size:
        return _reference.power_sum(grad, p)
    if grad.size < LARGE:
        wide = grad.astype(np.float64)
        return np.multiply(wide, wide, out=wide).sum()      # a dot product's bits would depend on BLAS's threads
    return compiled("_sums").row_sums("square", _flat(grad).reshape(1, -1, 1), np.dtype(np.float64))[0, 0]


def scale_step(grad, factor):
    if grad.size < LARGE or not grad.flags.carray:
        return _reference.scale_step(grad, factor)
    _scale(CHUNKS, grad.reshape(-1), grad.dtype.type(factor))


def _flat(x, dtype=None):
    return ready(x, dtype).reshape(-1)


def _store(array, flat):
    """Write back what was computed on a copy, because the array is not contiguous."""
    if not array.flags.carray:
        array[...] = flat.reshape(array.shape)


@spread
def _sgd(piece, param, grad, buffer, lr, momentum, fresh, weight_decay, sign, has_buffer, nesterov, first):
    at = _part(piece, CHUNKS, len(param))
    _sgd_piece(param[at], grad[at], buffer[at], lr, momentum, fresh, weight_decay, sign, has_buffer, nesterov,
               first)


@jit
def _sgd_piece(param, grad, buffer, lr, momentum, fresh, weight_decay, sign, has_buffer, nesterov, first):
    for i in range(len(param)):
        g = sign * grad[i] + weight_decay * param[i]
        if has_buffer:
            b = g if first else momentum * buffer[i] + fresh * g
            buffer[i] = b
            g = g + momentum * b if nesterov else b
        param[i] -= lr * g


@spread
def _adam(piece, param, grad, m, v, vmax, rate, fresh1, beta2, fresh2, root, eps, shrink, weight_decay, sign, amsgrad):
    at = _part(piece, CHUNKS, len(param))
    _adam_piece(param[at], grad[at], m[at], v[at], vmax[at], rate, fresh1, beta2, fresh2, root, eps, shrink,
                weight_decay, sign, amsgrad)


@jit
def _adam_piece(param, grad, m, v, vmax, rate, fresh1, beta2, fresh2, root, eps, shrink, weight_decay, sign, amsgrad):
    for i in range(len(param)):
        g = sign * grad[i] + weight_decay * param[i]
        m[i] += fresh1 * (g - m[i])
        largest = beta2 * v[i] + fresh2 * g * g
        v[i] = largest
        if amsgrad:
            largest = vmax[i] if vmax[i] > largest else largest
            vmax[i] = largest
        param[i] = shrink * param[i] - rate * m[i] / (np.sqrt(largest) / root + eps)


@spread
def _scale(piece, grad, factor):
    part = grad[_part(piece, CHUNKS, len(grad))]
    for i in range(len(part)):
        part[i] *= factor


@inline
def _part(piece, pieces, n):
    return slice(piece * n // pieces, (piece + 1) * n // pieces)

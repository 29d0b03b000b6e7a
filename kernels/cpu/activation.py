"""Activations, compiled: NumPy has no loop that does one in a single pass. Formulas: kernels/scalar.py."""

import math

import numpy as np

from ..reference import activation as _reference
from ..reference.activation import *
from ..scalar import ROOT_2_OVER_PI
from ._exp import error, exp_below, exp_less_1, gelu, gelu_slope, log_beside, sigma
from ._jit import chunk, pieces, ready, scalars, spread
from ._large import cut
from ._memory import empty
from ._shared import shared

__all__ = _reference.__all__

_erfc = scalars.erfc

# the tanh form is x · σ(u), u = C1 x + C3 x³; beyond ±END σ is 0 or 1, and u might overflow
C1, C3, END = 2 * ROOT_2_OVER_PI, 2 * ROOT_2_OVER_PI * 0.044715, 20.0
ROOT_PI = math.sqrt(math.pi)


def relu_forward(x):
    return np.asarray(np.maximum(x, x.dtype.type(0)))


relu_forward = shared("relu", relu_forward)
relu_backward = shared("relu_slope", relu_backward, slow=True)
leaky_relu_forward = shared("leaky_relu", leaky_relu_forward, slow=True)
leaky_relu_backward = shared("leaky_relu_slope", leaky_relu_backward, slow=True)
sigmoid_backward = shared("sigmoid_slope", sigmoid_backward)


def erf_forward(x):
    return _map(_erf_forward, x)


def erf_backward(dy, x):
    return _map(_erf_backward, x, dy)


def erfc_forward(x):
    return _map(_erfc_forward, x)


def sigmoid_forward(x):
    return _map(_sigmoid_forward, x)


def silu_forward(x):
    return _map(_silu_forward, x)


def silu_backward(dy, x):
    return _map(_silu_backward, x, dy)


def glu_forward(x, dim):
    y = empty((*x.shape[:dim], x.shape[dim] // 2, *x.shape[dim + 1:]), x.dtype)
    rows = _halves(x, dim)
    size, n = cut(len(rows), rows.shape[2])
    _glu_forward(n, size, rows, y.reshape(len(rows), rows.shape[2]))
    return y


def glu_backward(dy, x, dim):
    dx, rows = empty(x.shape, x.dtype), _halves(x, dim)
    size, n = cut(len(rows), rows.shape[2])
    _glu_backward(n, size, ready(dy, x.dtype).reshape(len(rows), rows.shape[2]), rows, dx.reshape(rows.shape))
    return dx


def _halves(x, dim):
    """(…, 2 n, …) → (rows, 2, numbers side by side)"""
    return ready(x).reshape(math.prod(x.shape[:dim]), 2, math.prod(x.shape[dim:]) // 2)


def gelu_forward(x, approximate):
    return _map(_gelu_tanh_forward if approximate == "tanh" else _gelu_forward, x)


def gelu_backward(dy, x, approximate):
    return _map(_gelu_tanh_backward if approximate == "tanh" else _gelu_backward, x, dy)


def softplus_forward(x, beta, threshold):
    return _map(_softplus_forward, x, float(beta), float(threshold))


def softplus_backward(dy, x, beta, threshold):
    return _map(_softplus_backward, x, dy, float(beta), float(threshold))


def elu_forward(x, alpha):
    return _map(_elu_forward, x, float(alpha))


def elu_backward(dy, x, alpha):
    return _map(_elu_backward, x, dy, float(alpha))


def _map(loop, x, *others):
    """Run a loop over all elements, whatever the shape. dy, where there is one, comes in the dtype of x."""
    y = empty(x.shape, x.dtype)
    others = [ready(a, x.dtype).reshape(-1) if isinstance(a, np.ndarray) else a for a in others]
    size = chunk(x.size)
    loop(pieces(x.size, size), ready(x).reshape(-1), *others, size, y.reshape(-1))
    return y


@spread
def _erf_forward(piece, x, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        v[i] = error(u[i])


@spread
def _erf_backward(piece, x, dy, size, y):
    c = x.dtype.type(2 / ROOT_PI)
    part = slice(piece * size, (piece + 1) * size)
    u, v, du = x[part], y[part], dy[part]
    for i in range(len(u)):
        v[i] = du[i] * (c * exp_below(-u[i] * u[i]))


@spread
def _erfc_forward(piece, x, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        v[i] = _erfc(np.float64(u[i]))


@spread
def _sigmoid_forward(piece, x, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        v[i] = sigma(u[i])[0]


@spread
def _silu_forward(piece, x, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        v[i] = u[i] * sigma(u[i])[0]


@spread
def _silu_backward(piece, x, dy, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v, du = x[part], y[part], dy[part]
    for i in range(len(u)):
        s, rest = sigma(u[i])
        v[i] = du[i] * (s + u[i] * s * rest)


@spread
def _glu_forward(piece, size, x, y):
    n = len(x)
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, n)):
        u, gate, v = x[i, 0, left:left + wide], x[i, 1, left:left + wide], y[i, left:left + wide]
        for j in range(len(v)):
            v[j] = u[j] * sigma(gate[j])[0]


@spread
def _glu_backward(piece, size, dy, x, dx):
    n = len(x)
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, n)):
        u, gate, dv = x[i, 0, left:left + wide], x[i, 1, left:left + wide], dy[i, left:left + wide]
        du, dgate = dx[i, 0, left:left + wide], dx[i, 1, left:left + wide]
        for j in range(len(dv)):
            s, rest = sigma(gate[j])
            du[j] = dv[j] * s
            dgate[j] = dv[j] * u[j] * s * rest


@spread
def _gelu_forward(piece, x, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        v[i] = gelu(u[i])


@spread
def _gelu_backward(piece, x, dy, size, y):
    part = slice(piece * size, (piece + 1) * size)
    u, v, du = x[part], y[part], dy[part]
    for i in range(len(u)):
        v[i] = du[i] * gelu_slope(u[i])


@spread
def _gelu_tanh_forward(piece, x, size, y):
    c1, c3, end = x.dtype.type(C1), x.dtype.type(C3), x.dtype.type(END)
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        z = max(min(u[i], end), -end)
        v[i] = u[i] * sigma(z * (c1 + c3 * z * z))[0]


@spread
def _gelu_tanh_backward(piece, x, dy, size, y):
    c1, c3, end = x.dtype.type(C1), x.dtype.type(C3), x.dtype.type(END)
    part = slice(piece * size, (piece + 1) * size)
    u, v, du = x[part], y[part], dy[part]
    for i in range(len(u)):
        z = max(min(u[i], end), -end)
        s, rest = sigma(z * (c1 + c3 * z * z))
        v[i] = du[i] * (s + u[i] * s * rest * (c1 + (c3 + c3 + c3) * z * z))


@spread
def _softplus_forward(piece, x, beta, threshold, size, y):
    b = x.dtype.type(beta)
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        z = u[i] * b
        v[i] = u[i] if z > threshold else (max(z, x.dtype.type(0)) + log_beside(abs(z))) / b


@spread
def _softplus_backward(piece, x, dy, beta, threshold, size, y):
    b = x.dtype.type(beta)
    part = slice(piece * size, (piece + 1) * size)
    u, v, du = x[part], y[part], dy[part]
    for i in range(len(u)):
        z = u[i] * b
        v[i] = du[i] if z > threshold else du[i] * sigma(z)[0]


@spread
def _elu_forward(piece, x, alpha, size, y):
    a = x.dtype.type(alpha)
    part = slice(piece * size, (piece + 1) * size)
    u, v = x[part], y[part]
    for i in range(len(u)):
        v[i] = u[i] if u[i] > 0 else a * exp_less_1(u[i])


@spread
def _elu_backward(piece, x, dy, alpha, size, y):
    a = x.dtype.type(alpha)
    part = slice(piece * size, (piece + 1) * size)
    u, v, du = x[part], y[part], dy[part]
    for i in range(len(u)):
        v[i] = du[i] * (a * exp_below(u[i])) if u[i] <= 0 else du[i]

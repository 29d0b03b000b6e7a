"""Activations: one number in, one number out, bent.

y = f(x)       dx = dy · f′      from the saved x, or from y where f′ is a formula in y (sigmoid′ = y (1 − y)); relu′(0) = 0

Forwards accept complex numbers for the tests' complex step: comparisons look at the real part.
"""

import math

import numpy as np

from .. import scalar

__all__ = [
    "elu_backward", "elu_forward", "erf_backward", "erf_forward", "erfc_backward", "erfc_forward", "gelu_backward",
    "gelu_forward", "glu_backward", "glu_forward", "leaky_relu_backward", "leaky_relu_forward", "relu_backward",
    "relu_forward", "sigmoid_backward", "sigmoid_forward", "silu_backward", "silu_forward", "softplus_backward",
    "softplus_forward",
]


def erf_forward(x):
    return np.asarray(_erf(x))


def erf_backward(dy, x):
    return np.asarray(dy * (2 / math.sqrt(math.pi) * np.exp(-x * x)))


def erfc_forward(x):
    return np.asarray(_erfc(x))


def erfc_backward(dy, x):
    return np.asarray(-dy * (2 / math.sqrt(math.pi) * np.exp(-x * x)))


def sigmoid_forward(x):
    return np.asarray(_sigmoid(x))


def sigmoid_backward(dy, y):
    return np.asarray(dy * y * (1 - y))


def silu_forward(x):
    return np.asarray(x * _sigmoid(x))


def silu_backward(dy, x):
    return np.asarray(dy * (_sigmoid(x) * (1 + x * _sigmoid(-x))))


def glu_forward(x, dim):
    """x (…, 2 n, …), along one axis first u, then the gates → y (…, n, …), u · σ(gate)"""
    u, gate = np.split(x, 2, dim)
    return u * _sigmoid(gate)


def glu_backward(dy, x, dim):
    u, gate = np.split(x, 2, dim)
    s = _sigmoid(gate)
    return np.concatenate([dy * s, dy * u * s * _sigmoid(-gate)], dim)


def relu_forward(x):
    return np.where(x.real <= 0, x.dtype.type(0), x)


def relu_backward(dy, y):
    return np.where(y <= 0, dy.dtype.type(0), dy)


def gelu_forward(x, approximate):
    """x · Φ(x); "tanh" stands for the approximation ½ x (1 + tanh u), which is x · σ(2u)."""
    if approximate == "tanh":
        y = x * _sigmoid(2 * _tanh_argument(x))
    else:
        y = 0.5 * x * _erfc(_wide(x) * -scalar.ROOT_HALF)
    return np.asarray(y).astype(x.dtype, copy=False)


def gelu_backward(dy, x, approximate):
    x = _wide(x)
    if approximate == "tanh":
        v = 2 * _tanh_argument(x)
        dv = 2 * scalar.ROOT_2_OVER_PI * (1 + 3 * 0.044715 * x * x)
        slope = _sigmoid(v) * (1 + x * _sigmoid(-v) * dv)
    else:
        slope = 0.5 * _erfc(-x * scalar.ROOT_HALF) + x * (scalar.INV_ROOT_2PI * np.exp(-0.5 * x * x))
    return np.asarray(dy * slope).astype(dy.dtype, copy=False)


def softplus_forward(x, beta, threshold):
    """log(1 + e^(βx)) / β; x itself where βx is above the threshold."""
    v = x * beta
    up, down = np.where(v.real > 0, v, v.dtype.type(0)), np.where(v.real > 0, -v, v)
    return np.where(v.real > threshold, x, (up + np.log1p(np.exp(down))) / beta)


def softplus_backward(dy, x, beta, threshold):
    return np.where(x * beta > threshold, dy, dy * _sigmoid(x * beta))


def elu_forward(x, alpha):
    return np.where(x.real > 0, x, alpha * np.expm1(x))


def elu_backward(dy, x, alpha):
    return np.where(x <= 0, dy * (alpha * np.exp(x)), dy)


def leaky_relu_forward(x, slope):
    return np.where(x.real > 0, x, x * slope)


def leaky_relu_backward(dy, x, slope):
    return np.where(x > 0, dy, dy * slope)


def _erf(x):
    """math.erf of every element. For a complex step x + ih: erf(x) + ih · erf′(x); what is left out is of order h³."""
    if x.dtype.kind == "c":
        return _erf(x.real) + 1j * x.imag * (2 / math.sqrt(math.pi) * np.exp(-x.real * x.real))
    return _each(math.erf, x)


def _erfc(x):
    if x.dtype.kind == "c":
        return _erfc(x.real) - 1j * x.imag * (2 / math.sqrt(math.pi) * np.exp(-x.real * x.real))
    return _each(math.erfc, x)


def _each(function, x):
    return np.array([function(v) for v in x.ravel().tolist()], x.dtype).reshape(x.shape)


def _sigmoid(x):
    """1 / (1 + e⁻ˣ), from e^−|x|, which cannot overflow."""
    t = np.exp(np.where(x.real >= 0, -x, x))
    return np.where(x.real >= 0, 1 / (1 + t), t / (1 + t))


def _tanh_argument(x):
    return scalar.ROOT_2_OVER_PI * (x + 0.044715 * x * x * x)


def _wide(x):
    return x.astype(np.float64) if x.dtype == np.float32 else x

"""Activations: y = f(x), dx = dy · f′. Formulas: here and in kernels/scalar.py; the kernel is in ``_map.py``."""

import math

from ..reference import activation as _reference
from ..scalar import INV_ROOT_2PI, ROOT_2_OVER_PI, ROOT_HALF, TAIL_D, TAIL_END, TAIL_P
from ._array import Array, empty
from ._launch import cuda, scalars
from ._map import each, formula, into

__all__ = _reference.__all__

TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
C1, C3 = 2 * ROOT_2_OVER_PI, 2 * ROOT_2_OVER_PI * 0.044715      # tanh form of GELU: x · σ(C1 x + C3 x³)
(_P0, _P1, _P2, _P3, _P4), (_D0, _D1, _D2, _D3, _D4) = TAIL_P, TAIL_D       # of a tuple's numbers, Numba makes float64 here

_erf, _erfc, _sigmoid = scalars.erf, scalars.erfc, scalars.sigmoid
_softplus_slope, _elu, _elu_slope = scalars.softplus_slope, scalars.elu, scalars.elu_slope

_erf_slope_ = formula(lambda dy, x: dy * (TWO_OVER_ROOT_PI * math.exp(-x * x)))
_erfc_slope_ = formula(lambda dy, x: -dy * (TWO_OVER_ROOT_PI * math.exp(-x * x)))
_sigmoid_slope = formula(lambda dy, y: dy * y * (1.0 - y))
_silu = formula(lambda x: x * _sigmoid(x))
_silu_slope = formula(lambda dy, x: dy * (_sigmoid(x) * (1.0 + x * _sigmoid(-x))))
_glu = formula(lambda x, gate: x * _sigmoid(gate))
_glu_slope = formula(lambda dy, gate: dy * _sigmoid(gate))
_gate_slope = formula(lambda dy, x, gate: dy * x * _sigmoid(gate) * _sigmoid(-gate))
_relu = formula(lambda x: x if x > 0 or x != x else 0.0)
_relu_slope = formula(lambda dy, y: 0.0 if y <= 0 else dy)
_normal = formula(lambda x: 0.5 * _erfc(-x * ROOT_HALF))


@formula
def _tail(x):
    """a = |x|, q, and the bell e^(−a²/2): Φ(−a) is their product."""
    a = abs(x)
    a = TAIL_END if a > TAIL_END else a
    p = (((_P4 * a + _P3) * a + _P2) * a + _P1) * a + _P0
    d = ((((a + _D4) * a + _D3) * a + _D2) * a + _D1) * a + _D0
    square = a * a
    bell = math.exp(-0.5 * square)
    # what rounding a² lost
    return a, p / d, bell - bell * (0.5 * cuda.fma(a, a, -square))


@formula
def _gelu_single(x):
    _, q, bell = _tail(x)
    tail = q * bell
    return x * (1.0 - tail if x > 0 else tail)


@formula
def _gelu_slope_single(dy, x):
    a, q, bell = _tail(x)
    slope = bell * (q - INV_ROOT_2PI * a)
    return dy * (1.0 - slope if x > 0 else slope)


_gelu = formula(lambda x: x * _normal(x), _gelu_single)
_gelu_slope = formula(lambda dy, x: dy * (_normal(x) + x * (INV_ROOT_2PI * math.exp(-0.5 * x * x))), _gelu_slope_single)
_bent = formula(lambda x: x * (C1 + C3 * x * x) if abs(x) < 20.0 else x * 20.0)     # beyond ±20, x³ might overflow
_gelu_tanh = formula(lambda x: x * _sigmoid(_bent(x)))
_gelu_tanh_slope = formula(lambda dy, x: dy * _sigmoid(_bent(x)) * (1.0 + x * _sigmoid(-_bent(x)) * (
    C1 + 3.0 * C3 * x * x if abs(x) < 20.0 else 0.0)))
_softplus = formula(lambda x, beta, threshold: x if x * beta > threshold else ( 
    (x * beta if x * beta > 0.0 else 0.0) + math.log1p(math.exp(-abs(x * beta)))) / beta)
_softplus_times = formula(lambda dy, x, beta, threshold: dy * _softplus_slope(x, beta, threshold))
_elu_times = formula(lambda dy, x, alpha: dy * _elu_slope(x, alpha))
_leaky = formula(lambda x, slope: x if x > 0 else x * slope)
_leaky_slope = formula(lambda dy, x, slope: dy if x > 0 else dy * slope)


def erf_forward(x):
    return each(_erf, x)


def erf_backward(dy, x):
    return each(_erf_slope_, dy, x)


def erfc_forward(x):
    return each(_erfc, x)


def erfc_backward(dy, x):
    return each(_erfc_slope_, dy, x)


def sigmoid_forward(x):
    return each(_sigmoid, x)


def sigmoid_backward(dy, y):
    return each(_sigmoid_slope, dy, y)


def silu_forward(x):
    return each(_silu, x)


def silu_backward(dy, x):
    return each(_silu_slope, dy, x)


def glu_forward(x, dim):
    return each(_glu, *_halves(x, dim))


def glu_backward(dy, x, dim):
    dx = empty(x.shape, x.dtype)
    (u, gate), (du, dgate) = _halves(x, dim), _halves(dx, dim)
    into(du, _glu_slope, dy, gate)
    into(dgate, _gate_slope, dy, u, gate)
    return dx


def _halves(x, dim):
    n = x.shape[dim] // 2
    return Array.kernels.split_forward(x, [n, n], dim)


def relu_forward(x):
    return each(_relu, x, dtype=x.dtype)


def relu_backward(dy, y):
    return each(_relu_slope, dy, y, dtype=dy.dtype)


def gelu_forward(x, approximate):
    return each(_gelu_tanh if approximate == "tanh" else _gelu, x)


def gelu_backward(dy, x, approximate):
    return each(_gelu_tanh_slope if approximate == "tanh" else _gelu_slope, dy, x)


def softplus_forward(x, beta, threshold):
    return each(_softplus, x, float(beta), float(threshold))


def softplus_backward(dy, x, beta, threshold):
    return each(_softplus_times, dy, x, float(beta), float(threshold))


def elu_forward(x, alpha):
    return each(_elu, x, float(alpha))


def elu_backward(dy, x, alpha):
    return each(_elu_times, dy, x, float(alpha))


def leaky_relu_forward(x, slope):
    return each(_leaky, x, float(slope))


def leaky_relu_backward(dy, x, slope):
    return each(_leaky_slope, dy, x, float(slope))

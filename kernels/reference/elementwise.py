"""One number in, one number out, at every position. Two operands are broadcast; gradients are summed back to their shapes."""

import math

import numpy as np

__all__ = [
    "abs_backward", "abs_forward", "add_backward", "add_forward", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "cast_backward", "cast_forward", "ceil_backward", "ceil_forward", "clamp_backward", "clamp_forward",
    "cos_backward", "cos_forward", "div_backward", "div_forward", "elu_backward", "elu_forward", "eq", "erf_backward",
    "erf_forward", "erfc_backward", "erfc_forward", "exp_backward", "exp_forward", "expm1_backward", "expm1_forward",
    "floor_backward", "floor_divide", "floor_forward", "ge", "gelu_backward", "gelu_forward", "gt", "isfinite", "isinf",
    "isnan", "le", "leaky_relu_backward", "leaky_relu_forward", "lerp_backward", "lerp_forward", "log10_backward",
    "log10_forward", "log1p_backward", "log1p_forward", "log2_backward", "log2_forward", "log_backward", "log_forward",
    "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "maximum_backward", "maximum_forward",
    "minimum_backward", "minimum_forward", "mul_backward", "mul_forward", "nan_to_num_backward", "nan_to_num_forward",
    "ne", "neg_backward", "neg_forward", "pow_backward", "pow_forward", "reciprocal_backward", "reciprocal_forward",
    "relu_backward", "relu_forward", "remainder_backward", "remainder_forward", "round_backward", "round_forward",
    "rsqrt_backward", "rsqrt_forward", "sigmoid_backward", "sigmoid_forward", "sign_backward", "sign_forward",
    "silu_backward", "silu_forward", "sin_backward", "sin_forward", "softplus_backward", "softplus_forward",
    "sqrt_backward", "sqrt_forward", "square_backward", "square_forward", "sub_backward", "sub_forward", "sum_to",
    "tan_backward", "tan_forward", "tanh_backward", "tanh_forward", "trunc_backward", "trunc_forward", "where_backward",
    "where_forward",
]


def sum_to(x, shape):
    """Undo broadcasting: add up along the axes that were stretched to get from ``shape`` to x."""
    if x.shape == shape:
        return x
    extra = x.ndim - len(shape)
    stretched = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    return np.ascontiguousarray(x).sum(stretched).reshape(shape)


# ---------------------------------------------------------------------------------------------------------------------
# one operand

def neg_forward(x): return -x
def neg_backward(dy): return -dy


def abs_forward(x): return np.abs(x) if x.dtype.kind != "c" else np.where(x.real < 0, -x, x)
def abs_backward(dy, x): return dy * np.sign(x)


def exp_forward(x): return np.exp(x)
def exp_backward(dy, y): return dy * y


def expm1_forward(x): return np.expm1(x)
def expm1_backward(dy, y): return dy * (y + 1)


def log_forward(x): return np.log(x)
def log_backward(dy, x): return dy / x


def log2_forward(x): return np.log2(x)
def log2_backward(dy, x): return dy / (x * math.log(2))


def log10_forward(x): return np.log10(x)
def log10_backward(dy, x): return dy / (x * math.log(10))


def log1p_forward(x): return np.log1p(x)
def log1p_backward(dy, x): return dy / (1 + x)


def sqrt_forward(x): return np.sqrt(x)
def sqrt_backward(dy, y): return dy / (2 * y)


def rsqrt_forward(x): return 1 / np.sqrt(x)
def rsqrt_backward(dy, y): return dy * y * y * y * -0.5


def square_forward(x): return x * x
def square_backward(dy, x): return dy * 2 * x


def reciprocal_forward(x): return 1 / x
def reciprocal_backward(dy, y): return -dy * y * y


def sin_forward(x): return np.sin(x)
def sin_backward(dy, x): return dy * np.cos(x)


def cos_forward(x): return np.cos(x)
def cos_backward(dy, x): return -dy * np.sin(x)


def tan_forward(x): return np.tan(x)
def tan_backward(dy, y): return dy * (1 + y * y)


def tanh_forward(x): return np.tanh(x)
def tanh_backward(dy, y): return dy * (1 - y * y)


def sigmoid_forward(x):
    e = np.exp(-np.abs(x) if x.dtype.kind != "c" else np.where(x.real < 0, x, -x))
    return np.where(x.real >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_backward(dy, y): return dy * y * (1 - y)


def relu_forward(x): return np.maximum(x, 0) if x.dtype.kind != "c" else np.where(x.real > 0, x, 0)
def relu_backward(dy, y): return dy * (y > 0)


def silu_forward(x): return x * sigmoid_forward(x)


def silu_backward(dy, x):
    s = sigmoid_forward(x)
    return dy * s * (1 + x * (1 - s))


def softplus_forward(x, beta, threshold):
    z = x * beta
    smooth = np.where(z.real > 0, z, 0) + np.log1p(np.exp(np.where(z.real > 0, -z, z)))
    return np.where(z.real > threshold, x, smooth / beta)


def softplus_backward(dy, x, beta, threshold):
    z = x * beta
    return dy * np.where(z > threshold, np.ones_like(x), sigmoid_forward(z))


def elu_forward(x, alpha): return np.where(x.real > 0, x, alpha * np.expm1(np.where(x.real > 0, 0, x)))
def elu_backward(dy, x, alpha): return dy * np.where(x > 0, np.ones_like(x), alpha * np.exp(np.minimum(x, 0)))


def leaky_relu_forward(x, slope): return np.where(x.real > 0, x, slope * x)
def leaky_relu_backward(dy, x, slope): return np.where(x > 0, dy, slope * dy)


def gelu_forward(x, approximate):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(_gelu_argument(x)))
    return 0.5 * x * erfc_forward(-x * math.sqrt(0.5))


def gelu_backward(dy, x, approximate):
    if approximate == "tanh":
        t = np.tanh(_gelu_argument(x))
        du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du)
    return dy * (0.5 * erfc_forward(-x * math.sqrt(0.5)) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


def _gelu_argument(x): return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def erf_forward(x): return _error_function(math.erf, x, 2 / math.sqrt(math.pi))
def erf_backward(dy, x): return dy * np.exp(-x * x) * (2 / math.sqrt(math.pi))


def erfc_forward(x): return _error_function(math.erfc, x, -2 / math.sqrt(math.pi))
def erfc_backward(dy, x): return dy * np.exp(-x * x) * (-2 / math.sqrt(math.pi))


def _error_function(f, x, slope):
    """f at every real part, from the standard library. An imaginary part h is carried by f(a + ih) = f(a) + ih f'(a),
    which leaves out h², and a complex step's h² is below 10⁻⁵⁰."""
    real = np.array([f(v) for v in x.real.ravel().tolist()], np.float64).reshape(x.shape).astype(x.real.dtype)
    return real if x.dtype.kind != "c" else real + 1j * x.imag * slope * np.exp(-x.real * x.real)


def sign_forward(x): return np.sign(x)
def sign_backward(dy): return np.zeros_like(dy)


def floor_forward(x): return np.floor(x)
def floor_backward(dy): return np.zeros_like(dy)


def ceil_forward(x): return np.ceil(x)
def ceil_backward(dy): return np.zeros_like(dy)


def trunc_forward(x): return np.trunc(x)
def trunc_backward(dy): return np.zeros_like(dy)


def round_forward(x, decimals): return np.round(x, decimals)
def round_backward(dy): return np.zeros_like(dy)


def nan_to_num_forward(x, nan, posinf, neginf): return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)
def nan_to_num_backward(dy, x): return dy * np.isfinite(x)


def cast_forward(x, dtype): return x.astype(dtype)
def cast_backward(dy, dtype): return dy.astype(dtype)


# ---------------------------------------------------------------------------------------------------------------------
# two operands; either may be a Python number, which has no gradient

def add_forward(x, y): return x + y
def add_backward(dz, x, y, needs=(True, True)): return _each(needs, (x, y), lambda: dz, lambda: dz)


def sub_forward(x, y): return x - y
def sub_backward(dz, x, y, needs=(True, True)): return _each(needs, (x, y), lambda: dz, lambda: -dz)


def mul_forward(x, y): return x * y
def mul_backward(dz, x, y, needs=(True, True)): return _each(needs, (x, y), lambda: dz * y, lambda: dz * x)


def div_forward(x, y): return x / y
def div_backward(dz, x, y, needs=(True, True)): return _each(needs, (x, y), lambda: dz / y, lambda: -dz * x / y / y)


def pow_forward(x, y): return x ** y


def pow_backward(dz, x, y, needs=(True, True)):
    def dx():
        return np.where(np.equal(y, 0), 0, dz * y * x ** np.where(np.equal(y, 0), 1, np.subtract(y, 1, dtype=dz.dtype)))

    def dy():
        settled = np.equal(x, 0) & np.greater_equal(y, 0)
        return np.where(settled, 0, dz * x ** y * np.log(np.where(settled, 1, x)))

    return _each(needs, (x, y), dx, dy)


def remainder_forward(x, y): return np.remainder(x, y)
def remainder_backward(dz, x, y, needs=(True, True)):
    return _each(needs, (x, y), lambda: dz, lambda: -dz * np.floor(np.divide(x, y)))


def maximum_forward(x, y): return np.maximum(x, y)
def maximum_backward(dz, x, y, needs=(True, True)):
    return _each(needs, (x, y), lambda: _share(dz, x > y, x == y), lambda: _share(dz, y > x, x == y))


def minimum_forward(x, y): return np.minimum(x, y)
def minimum_backward(dz, x, y, needs=(True, True)):
    return _each(needs, (x, y), lambda: _share(dz, x < y, x == y), lambda: _share(dz, y < x, x == y))


# ---------------------------------------------------------------------------------------------------------------------
# three operands

def clamp_forward(x, low, high):
    y = x if low is None else np.maximum(x, low)
    return y if high is None else np.minimum(y, high)


def clamp_backward(dy, x, low, high, needs=(True, True, True)):
    below = np.False_ if low is None else x < low
    above = np.False_ if high is None else np.minimum(np.maximum(x, x if low is None else low), x) > high
    above = np.False_ if high is None else x > high
    crossed = np.False_ if low is None or high is None else np.greater(low, high)
    inside = ~(below | above)
    return _each(needs, (x, low, high), lambda: dy * inside, lambda: dy * (below & ~crossed), lambda: dy * (above | crossed))


def lerp_forward(x, y, w): return x + w * (y - x)
def lerp_backward(dz, x, y, w, needs=(True, True, True)):
    return _each(needs, (x, y, w), lambda: dz * (1 - w), lambda: dz * w, lambda: dz * (y - x))


def where_forward(condition, x, y): return np.where(condition, x, y)
def where_backward(dz, condition, x, y, needs=(True, True)):
    return _each(needs, (x, y), lambda: np.where(condition, dz, 0), lambda: np.where(condition, 0, dz))


# ---------------------------------------------------------------------------------------------------------------------
# no derivative

def eq(x, y): return np.equal(x, y)
def ne(x, y): return np.not_equal(x, y)
def lt(x, y): return np.less(x, y)
def le(x, y): return np.less_equal(x, y)
def gt(x, y): return np.greater(x, y)
def ge(x, y): return np.greater_equal(x, y)
def logical_and(x, y): return np.logical_and(x, y)
def logical_or(x, y): return np.logical_or(x, y)
def logical_xor(x, y): return np.logical_xor(x, y)
def logical_not(x): return np.logical_not(x)
def bitwise_and(x, y): return np.bitwise_and(x, y)
def bitwise_or(x, y): return np.bitwise_or(x, y)
def bitwise_xor(x, y): return np.bitwise_xor(x, y)
def bitwise_not(x): return np.invert(x)
def isnan(x): return np.isnan(x)
def isinf(x): return np.isinf(x)
def isfinite(x): return np.isfinite(x)
def floor_divide(x, y): return np.floor_divide(x, y)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _each(needs, operands, *gradients):
    """The wanted gradients, each summed back to its operand's shape."""
    return tuple(sum_to(g(), x.shape) if need else None for need, x, g in zip(needs, operands, gradients))


def _share(dz, wins, ties):
    """All of the gradient where this operand won, half of it where both are equal."""
    return dz * wins + 0.5 * dz * ties

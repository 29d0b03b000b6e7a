"""One number in, one number out, at every position; two operands are broadcast against each other.

Each class is a node of the tape; the function under it is what people call. The arithmetic is in the kernels.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.dtype import promote, result_type, to_dtype, to_floating

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "abs", "absolute", "add", "addcdiv", "addcmul", "allclose", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "cos", "div", "divide", "elu", "eq", "equal",
    "erf", "erfc", "exp", "exp2", "expm1", "floor", "floor_divide", "fmod", "frac", "ge", "gelu", "greater",
    "greater_equal", "gt", "hardtanh", "hypot", "isclose", "isfinite", "isinf", "isnan", "le", "leaky_relu", "lerp",
    "less", "less_equal", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or",
    "logical_xor", "logit", "lt", "maximum", "minimum", "mish", "mul", "multiply", "nan_to_num", "ne", "neg",
    "negative", "not_equal", "pow", "prelu", "reciprocal", "relu", "relu6", "remainder", "round", "rsqrt", "rsub",
    "selu", "sigmoid", "sign", "silu", "sin", "softplus", "softsign", "sqrt", "square", "sub", "subtract", "tan",
    "tanh", "true_divide", "trunc", "where",
]


# ---------------------------------------------------------------------------------------------------------------------
# one operand

class Neg(Function):
    """The sign turned round.

    Forward    y = −x
    Backward   dx = −dy
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        return self.k.neg_forward(x)

    def backward(self, dy):
        return self.k.neg_backward(dy)


def neg(input: Tensor) -> Tensor:
    """The sign turned round.

    >>> minitorch.neg(minitorch.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    _refuse_bools("neg", input)
    return Neg.apply(input)


class Abs(Function):
    """The distance from zero; its derivative at 0 is taken as 0.

    Forward    y = |x|
    Backward   dx = dy · sign(x)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.abs_forward(x)

    def backward(self, dy):
        return self.k.abs_backward(dy, self.x)


def abs(input: Tensor) -> Tensor:
    """The distance from zero; its derivative at 0 is taken as 0.

    >>> minitorch.abs(minitorch.tensor([1.0, -2.0]))
    tensor([1., 2.])
    """
    _refuse_bools("abs", input)
    return Abs.apply(input)


class Exp(Function):
    """e to the power of x.

    Forward    y = eˣ
    Backward   dx = dy · y
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.exp_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.exp_backward(dy, self.y)


def exp(input: Tensor) -> Tensor:
    """e to the power of x.

    >>> minitorch.exp(minitorch.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return Exp.apply(to_floating(input))


class Exp2(Function):
    """2 to the power of x.

    Forward    y = 2ˣ
    Backward   dx = dy · y · ln 2
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.exp2_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.exp2_backward(dy, self.y)


def exp2(input: Tensor) -> Tensor:
    """2 to the power of x.

    >>> minitorch.exp2(minitorch.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """
    return Exp2.apply(to_floating(input))


class Expm1(Function):
    """eˣ − 1, exact for small x.

    Forward    y = eˣ − 1
    Backward   dx = dy · (y + 1)
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.expm1_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.expm1_backward(dy, self.y)


def expm1(input: Tensor) -> Tensor:
    """eˣ − 1, exact for small x.

    >>> minitorch.expm1(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 1.7183])
    """
    return Expm1.apply(to_floating(input))


class Log(Function):
    """The natural logarithm.

    Forward    y = ln x
    Backward   dx = dy / x
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.log_forward(x)

    def backward(self, dy):
        return self.k.log_backward(dy, self.x)


def log(input: Tensor) -> Tensor:
    """The natural logarithm.

    >>> minitorch.log(minitorch.tensor([1.0, 2.0]))
    tensor([0.0000, 0.6931])
    """
    return Log.apply(to_floating(input))


class Log2(Function):
    """The logarithm to base 2.

    Forward    y = log₂ x
    Backward   dx = dy / (x · ln 2)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.log2_forward(x)

    def backward(self, dy):
        return self.k.log2_backward(dy, self.x)


def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2.

    >>> minitorch.log2(minitorch.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """
    return Log2.apply(to_floating(input))


class Log10(Function):
    """The logarithm to base 10.

    Forward    y = log₁₀ x
    Backward   dx = dy / (x · ln 10)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.log10_forward(x)

    def backward(self, dy):
        return self.k.log10_backward(dy, self.x)


def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10.

    >>> minitorch.log10(minitorch.tensor([1.0, 50.0]))
    tensor([0.0000, 1.6990])
    """
    return Log10.apply(to_floating(input))


class Log1p(Function):
    """ln(1 + x), exact for small x.

    Forward    y = ln(1 + x)
    Backward   dx = dy / (1 + x)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.log1p_forward(x)

    def backward(self, dy):
        return self.k.log1p_backward(dy, self.x)


def log1p(input: Tensor) -> Tensor:
    """ln(1 + x), exact for small x.

    >>> minitorch.log1p(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.6931])
    """
    return Log1p.apply(to_floating(input))


class Sqrt(Function):
    """The square root.

    Forward    y = √x
    Backward   dx = dy / (2 · y)
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.sqrt_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.sqrt_backward(dy, self.y)


def sqrt(input: Tensor) -> Tensor:
    """The square root.

    >>> minitorch.sqrt(minitorch.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """
    return Sqrt.apply(to_floating(input))


class Rsqrt(Function):
    """One over the square root.

    Forward    y = 1 / √x
    Backward   dx = −dy · y³ / 2
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.rsqrt_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.rsqrt_backward(dy, self.y)


def rsqrt(input: Tensor) -> Tensor:
    """One over the square root.

    >>> minitorch.rsqrt(minitorch.tensor([4.0, 16.0]))
    tensor([0.5000, 0.2500])
    """
    return Rsqrt.apply(to_floating(input))


class Square(Function):
    """x times itself.

    Forward    y = x²
    Backward   dx = dy · 2x
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.square_forward(x)

    def backward(self, dy):
        return self.k.square_backward(dy, self.x)


def square(input: Tensor) -> Tensor:
    """x times itself.

    >>> minitorch.square(minitorch.tensor([3.0, -2.0]))
    tensor([9., 4.])
    """
    return Square.apply(to_dtype(input, np.int64) if _kind_of(input) == "b" else input)


class Reciprocal(Function):
    """One over x.

    Forward    y = 1 / x
    Backward   dx = −dy · y²
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.reciprocal_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.reciprocal_backward(dy, self.y)


def reciprocal(input: Tensor) -> Tensor:
    """One over x.

    >>> minitorch.reciprocal(minitorch.tensor([2.0, 4.0]))
    tensor([0.5000, 0.2500])
    """
    return Reciprocal.apply(to_floating(input))


class Sin(Function):
    """The sine of an angle in radians.

    Forward    y = sin x
    Backward   dx = dy · cos x
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.sin_forward(x)

    def backward(self, dy):
        return self.k.sin_backward(dy, self.x)


def sin(input: Tensor) -> Tensor:
    """The sine of an angle in radians.

    >>> minitorch.sin(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8415])
    """
    return Sin.apply(to_floating(input))


class Cos(Function):
    """The cosine of an angle in radians.

    Forward    y = cos x
    Backward   dx = −dy · sin x
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.cos_forward(x)

    def backward(self, dy):
        return self.k.cos_backward(dy, self.x)


def cos(input: Tensor) -> Tensor:
    """The cosine of an angle in radians.

    >>> minitorch.cos(minitorch.tensor([0.0, 1.0]))
    tensor([1.0000, 0.5403])
    """
    return Cos.apply(to_floating(input))


class Tan(Function):
    """The tangent of an angle in radians.

    Forward    y = tan x
    Backward   dx = dy · (1 + y²)
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.tan_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.tan_backward(dy, self.y)


def tan(input: Tensor) -> Tensor:
    """The tangent of an angle in radians.

    >>> minitorch.tan(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5574])
    """
    return Tan.apply(to_floating(input))


class Tanh(Function):
    """The hyperbolic tangent: squashes to (−1, 1).

    Forward    y = tanh x
    Backward   dx = dy · (1 − y²)
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.tanh_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.tanh_backward(dy, self.y)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent: squashes to (−1, 1).

    >>> minitorch.tanh(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7616])
    """
    return Tanh.apply(to_floating(input))


class Sigmoid(Function):
    """Squashes to (0, 1).

    Forward    y = 1 / (1 + e⁻ˣ)
    Backward   dx = dy · y · (1 − y)
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.sigmoid_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.sigmoid_backward(dy, self.y)


def sigmoid(input: Tensor) -> Tensor:
    """Squashes to (0, 1).

    >>> minitorch.sigmoid(minitorch.tensor([0.0, 2.0]))
    tensor([0.5000, 0.8808])
    """
    return Sigmoid.apply(to_floating(input))


class ReLU(Function):
    """Negative values become 0; the derivative at 0 is taken as 0.

    Forward    y = max(x, 0)
    Backward   dx = dy where y > 0, else 0
    Saved      y
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.y = self.k.relu_forward(x)
        return self.y

    def backward(self, dy):
        return self.k.relu_backward(dy, self.y)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Negative values become 0; the derivative at 0 is taken as 0.

    >>> minitorch.relu(minitorch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    _refuse_bools("relu", input)
    return ReLU.apply(input)


class SiLU(Function):
    """x weighed by its own sigmoid (also called swish).

    Forward    y = x · σ(x)
    Backward   dx = dy · σ(x) · (1 + x · (1 − σ(x)))
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.silu_forward(x)

    def backward(self, dy):
        return self.k.silu_backward(dy, self.x)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x weighed by its own sigmoid (also called swish).

    >>> minitorch.silu(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """
    return SiLU.apply(to_floating(input))


class Erf(Function):
    """The error function.

    Forward    y = 2/√π ∫₀ˣ exp(−t²) dt
    Backward   dx = dy · 2/√π · exp(−x²)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.erf_forward(x)

    def backward(self, dy):
        return self.k.erf_backward(dy, self.x)


def erf(input: Tensor) -> Tensor:
    """The error function.

    >>> minitorch.erf(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    return Erf.apply(to_floating(input))


class Erfc(Function):
    """1 − erf(x), exact where erf is nearly 1.

    Forward    y = 1 − erf x
    Backward   dx = −dy · 2/√π · exp(−x²)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.erfc_forward(x)

    def backward(self, dy):
        return self.k.erfc_backward(dy, self.x)


def erfc(input: Tensor) -> Tensor:
    """1 − erf(x), exact where erf is nearly 1.

    >>> minitorch.erfc(minitorch.tensor([0.0, 1.0]))
    tensor([1.0000, 0.1573])
    """
    return Erfc.apply(to_floating(input))


class Sign(Function):
    """−1, 0 or 1; flat, so its derivative is 0.

    Forward    y = sign x
    Backward   dx = 0
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        return self.k.sign_forward(x)

    def backward(self, dy):
        return self.k.sign_backward(dy)


def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1; flat, so its derivative is 0.

    >>> minitorch.sign(minitorch.tensor([-3.0, 2.0]))
    tensor([-1.,  1.])
    """
    return input if _kind_of(input) == "b" else Sign.apply(input)


class Floor(Function):
    """The next integer below; flat, so its derivative is 0.

    Forward    y = ⌊x⌋
    Backward   dx = 0
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        return self.k.floor_forward(x)

    def backward(self, dy):
        return self.k.floor_backward(dy)


def floor(input: Tensor) -> Tensor:
    """The next integer below; flat, so its derivative is 0.

    >>> minitorch.floor(minitorch.tensor([1.7, -1.2]))
    tensor([ 1., -2.])
    """
    _refuse_bools("floor", input)
    return Floor.apply(input)


class Ceil(Function):
    """The next integer above; flat, so its derivative is 0.

    Forward    y = ⌈x⌉
    Backward   dx = 0
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        return self.k.ceil_forward(x)

    def backward(self, dy):
        return self.k.ceil_backward(dy)


def ceil(input: Tensor) -> Tensor:
    """The next integer above; flat, so its derivative is 0.

    >>> minitorch.ceil(minitorch.tensor([1.2, -1.7]))
    tensor([ 2., -1.])
    """
    _refuse_bools("ceil", input)
    return Ceil.apply(input)


class Trunc(Function):
    """The integer part; flat, so its derivative is 0.

    Forward    y = x without its fraction
    Backward   dx = 0
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        return self.k.trunc_forward(x)

    def backward(self, dy):
        return self.k.trunc_backward(dy)


def trunc(input: Tensor) -> Tensor:
    """The integer part; flat, so its derivative is 0.

    >>> minitorch.trunc(minitorch.tensor([1.7, -1.7]))
    tensor([ 1., -1.])
    """
    _refuse_bools("trunc", input)
    return Trunc.apply(input)


class Round(Function):
    """The nearest integer, halves to even; flat, so its derivative is 0.

    Forward    y = round(x · 10ᵈ) / 10ᵈ
    Backward   dx = 0
    Saved      nothing
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, decimals=0):
        return self.k.round_forward(x, decimals)

    def backward(self, dy):
        return self.k.round_backward(dy)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, halves to even; flat, so its derivative is 0.

    >>> minitorch.round(minitorch.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    """
    _refuse_bools("round", input)
    return Round.apply(input, decimals=decimals)


class GELU(Function):
    """x weighed by the chance that a standard normal number is smaller.

    Forward    y = x · Φ(x) = x · ½ erfc(−x/√2)
               tanh form: y = ½ x (1 + tanh u), u = √(2/π) · (x + 0.044715 x³)
    Backward   dx = dy · (Φ(x) + x · φ(x)), φ(x) = exp(−x²/2) / √(2π)
               tanh form: dx = dy · ½ (1 + tanh u + x · (1 − tanh² u) · √(2/π) · (1 + 3 · 0.044715 x²))
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, approximate="none"):
        self.x, self.approximate = x, approximate
        return self.k.gelu_forward(x, approximate)

    def backward(self, dy):
        return self.k.gelu_backward(dy, self.x, self.approximate)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x weighed by the chance that a standard normal number is smaller. GPT-2 uses ``approximate="tanh"``.

    >>> minitorch.gelu(minitorch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return GELU.apply(to_floating(input), approximate=approximate)


class Softplus(Function):
    """A smooth ReLU.

    Forward    y = ln(1 + e^(βx)) / β, and x itself where βx > threshold
    Backward   dx = dy · σ(βx)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, beta=1.0, threshold=20.0):
        self.x, self.beta, self.threshold = x, beta, threshold
        return self.k.softplus_forward(x, beta, threshold)

    def backward(self, dy):
        return self.k.softplus_backward(dy, self.x, self.beta, self.threshold)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """A smooth ReLU.

    >>> minitorch.nn.functional.softplus(minitorch.tensor([0.0, 1.0]))
    tensor([0.6931, 1.3133])
    """
    return Softplus.apply(to_floating(input), beta=float(beta), threshold=float(threshold))


class ELU(Function):
    """Like ReLU, but below 0 it bends towards −α.

    Forward    y = x where x > 0, else α (eˣ − 1)
    Backward   dx = dy where x > 0, else dy · α eˣ
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, alpha=1.0):
        self.x, self.alpha = x, alpha
        return self.k.elu_forward(x, alpha)

    def backward(self, dy):
        return self.k.elu_backward(dy, self.x, self.alpha)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Like ReLU, but below 0 it bends towards −α.

    >>> minitorch.nn.functional.elu(minitorch.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.0000])
    """
    return ELU.apply(to_floating(input), alpha=float(alpha))


class LeakyReLU(Function):
    """Like ReLU, but a little of the negative side comes through.

    Forward    y = x where x > 0, else slope · x
    Backward   dx = dy where x > 0, else slope · dy
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, slope=0.01):
        self.x, self.slope = x, slope
        return self.k.leaky_relu_forward(x, slope)

    def backward(self, dy):
        return self.k.leaky_relu_backward(dy, self.x, self.slope)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Like ReLU, but a little of the negative side comes through.

    >>> minitorch.nn.functional.leaky_relu(minitorch.tensor([-1.0, 1.0]))
    tensor([-0.0100,  1.0000])
    """
    return LeakyReLU.apply(to_floating(input), slope=float(negative_slope))


class Clamp(Function):
    """Values held between two bounds. At a bound itself the gradient passes.

    Forward    y = min(max(x, low), high)
    Backward   dx = dy where low ≤ x ≤ high, else 0
               dlow = dy where x < low      dhigh = dy where x > high
    Saved      x, low, high
    Shapes     x, low, high broadcast to y
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, low, high):
        self.x, self.low, self.high = x, low, high
        return self.k.clamp_forward(x, low, high)

    def backward(self, dy):
        return self.k.clamp_backward(dy, self.x, self.low, self.high, self.needs)


def clamp(input: Tensor, min=None, max=None) -> Tensor:
    """Values held between two bounds, numbers or tensors; at a bound itself the gradient passes.

    >>> minitorch.clamp(minitorch.tensor([-3.0, 0.5, 3.0]), -1, 1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    given = [b for b in (min, max) if b is not None]
    promoted = list(promote(input, *given, op="clamp"))
    input = promoted.pop(0)
    low = promoted.pop(0) if min is not None else None
    high = promoted.pop(0) if max is not None else None
    _check_broadcast("clamp", input, *[b for b in (low, high) if b is not None])
    return Clamp.apply(input, low, high)


clip = clamp


def clamp_min(input: Tensor, min) -> Tensor:
    """Nothing below ``min``."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max) -> Tensor:
    """Nothing above ``max``."""
    return clamp(input, max=max)


class Hardtanh(Function):
    """Values held between two numbers; unlike clamp's, its gradient is 0 at the bounds too.

    Forward    y = min(max(x, low), high)
    Backward   dx = dy where low < x < high, else 0
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, low=-1.0, high=1.0):
        self.x, self.low, self.high = x, low, high
        return self.k.hardtanh_forward(x, low, high)

    def backward(self, dy):
        return self.k.hardtanh_backward(dy, self.x, self.low, self.high)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Values held between two numbers; the gradient is 0 at the bounds.

    >>> minitorch.nn.functional.hardtanh(minitorch.tensor([-3.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is larger than max_val {max_val}")
    _refuse_bools("hardtanh", input)
    kind = int if _kind_of(input) in "iu" else float
    return Hardtanh.apply(input, low=kind(min_val), high=kind(max_val))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """ReLU that stops at 6."""
    return hardtanh(input, 0, 6)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """ELU with the two numbers that keep mean 0 and variance 1 from layer to layer."""
    return mul(elu(input, 1.6732632423543772), 1.0507009873554805)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(ln(1 + eˣ))."""
    return mul(input, tanh(softplus(input)))


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|): like tanh, but slower to level off."""
    return div(input, add(abs(input), 1))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight · x; one weight in all, or one per channel (axis 1)."""
    if weight.data.ndim and weight.data.size > 1:
        channels = input.data.shape[1] if input.data.ndim > 1 else 1
        if weight.data.shape != (channels,):
            raise ShapeError(f"prelu: weight has shape {weight.data.shape}, expected ({channels},): one per channel")
        weight = weight.reshape(-1, *[1] * (input.data.ndim - 2))
    return where(gt(input, 0), input, mul(weight, input))


def frac(input: Tensor) -> Tensor:
    """What stands behind the decimal point."""
    return sub(input, trunc(input))


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """ln(x / (1 − x)), the inverse of sigmoid; with ``eps``, x is first held between eps and 1 − eps."""
    x = to_floating(input)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return log(div(x, rsub(x, 1)))


class NanToNum(Function):
    """NaN and the infinities replaced by numbers.

    Forward    y = x, or the replacement where x is NaN, inf or −inf
    Backward   dx = dy where x is finite, else 0
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, nan=0.0, posinf=None, neginf=None):
        self.x = x
        return self.k.nan_to_num_forward(x, nan, posinf, neginf)

    def backward(self, dy):
        return self.k.nan_to_num_backward(dy, self.x)


def nan_to_num(input: Tensor, nan=0.0, posinf=None, neginf=None) -> Tensor:
    """NaN and the infinities replaced by numbers: by default 0 and the dtype's largest and smallest.

    >>> minitorch.nan_to_num(minitorch.tensor([float("nan"), 1.0]))
    tensor([0., 1.])
    """
    nan = 0.0 if nan is None else nan
    return NanToNum.apply(input, nan=nan, posinf=posinf, neginf=neginf)


# ---------------------------------------------------------------------------------------------------------------------
# two operands

class Add(Function):
    """x + y.

    Forward    z = x + y
    Backward   dx = dz      dy = dz      each summed over the axes along which it was broadcast
    Saved      the shapes of x and y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x_shape, self.y_shape = np.shape(x), np.shape(y)
        return self.k.add_forward(x, y)

    def backward(self, dz):
        return self.k.add_backward(dz, self.x_shape, self.y_shape, self.needs)


def add(input: Tensor, other, *, alpha=1) -> Tensor:
    """x + alpha · y.

    >>> minitorch.add(minitorch.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return _binary("add", Add, *((input, other) if alpha == 1 else _scaled("add", input, other, alpha)))


class Sub(Function):
    """x − y.

    Forward    z = x − y
    Backward   dx = dz      dy = −dz      each summed over the axes along which it was broadcast
    Saved      the shapes of x and y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x_shape, self.y_shape = np.shape(x), np.shape(y)
        return self.k.sub_forward(x, y)

    def backward(self, dz):
        return self.k.sub_backward(dz, self.x_shape, self.y_shape, self.needs)


def sub(input: Tensor, other, *, alpha=1) -> Tensor:
    """x − alpha · y.

    >>> minitorch.sub(minitorch.tensor([1.0, 2.0]), 10)
    tensor([-9., -8.])
    """
    if "b" in (_kind_of(input), _kind_of(other)):
        raise RuntimeError("sub: bool tensors cannot be subtracted. Use ~mask, or logical_xor(a, b).")
    return _binary("sub", Sub, *((input, other) if alpha == 1 else _scaled("sub", input, other, alpha)))


def rsub(input: Tensor, other, *, alpha=1) -> Tensor:
    """y − alpha · x."""
    return sub(other, input, alpha=alpha)


class Mul(Function):
    """x · y.

    Forward    z = x · y
    Backward   dx = dz · y      dy = dz · x      each summed over the axes along which it was broadcast
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.mul_forward(x, y)

    def backward(self, dz):
        return self.k.mul_backward(dz, self.x, self.y, self.needs)


def mul(input: Tensor, other) -> Tensor:
    """x · y.

    >>> minitorch.mul(minitorch.tensor([1.0, 2.0]), 10)
    tensor([10., 20.])
    """
    return _binary("mul", Mul, input, other)


class Div(Function):
    """x / y.

    Forward    z = x / y
    Backward   dx = dz / y      dy = −dz · x / y²      each summed over the axes along which it was broadcast
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.div_forward(x, y)

    def backward(self, dz):
        return self.k.div_backward(dz, self.x, self.y, self.needs)


def div(input: Tensor, other, *, rounding_mode: str | None = None) -> Tensor:
    """x / y; ``rounding_mode`` "floor" or "trunc" rounds the result. Integers divide to floats.

    >>> minitorch.div(minitorch.tensor([7, -7]), 2)
    tensor([ 3.5000, -3.5000])
    """
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode not in (None, "trunc"):
        raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    integer = result_type(*_operands(input, other)).kind != "f"
    if rounding_mode == "trunc" and integer:
        input, other = promote(input, other)
        return floor_divide(sub(input, fmod(input, other)), other)
    z = _binary("div", Div, *[to_floating(v) if integer and isinstance(v, Variable) else v for v in (input, other)])
    return z if rounding_mode is None else trunc(z)


class Pow(Function):
    """x to the power of y.

    Forward    z = xʸ
    Backward   dx = dz · y · xʸ⁻¹ (0 where y = 0)      dy = dz · z · ln x (0 where x = 0 and y ≥ 0)
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.pow_forward(x, y)

    def backward(self, dz):
        return self.k.pow_backward(dz, self.x, self.y, self.needs)


def pow(input: Tensor, exponent) -> Tensor:
    """x to the power of exponent; either may be a number.

    >>> minitorch.pow(minitorch.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    if result_type(*_operands(input, exponent)).kind != "f" and np.any(np.less(_array(exponent), 0)):
        raise RuntimeError("pow: integers to negative integer powers are not allowed. Use x.float() ** exponent.")
    return _binary("pow", Pow, input, exponent)


class Remainder(Function):
    """What is left of x after taking away whole multiples of y; it has y's sign, as in Python.

    Forward    z = x − y · ⌊x / y⌋
    Backward   dx = dz      dy = −dz · ⌊x / y⌋
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.remainder_forward(x, y)

    def backward(self, dz):
        return self.k.remainder_backward(dz, self.x, self.y, self.needs)


def remainder(input: Tensor, other) -> Tensor:
    """What is left of x after taking away whole multiples of y; it has y's sign, as in Python.

    >>> minitorch.remainder(minitorch.tensor([7.0, -7.0]), 3)
    tensor([1., 2.])
    """
    _refuse_integer_zero("remainder", input, other)
    return _binary("remainder", Remainder, input, other)


class FMod(Function):
    """What is left of x after taking away whole multiples of y; it has x's sign, as in C.

    Forward    z = x − y · trunc(x / y)
    Backward   dx = dz      dy = −dz · trunc(x / y)
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.fmod_forward(x, y)

    def backward(self, dz):
        return self.k.fmod_backward(dz, self.x, self.y, self.needs)


def fmod(input: Tensor, other) -> Tensor:
    """What is left of x after taking away whole multiples of y; it has x's sign, as in C.

    >>> minitorch.fmod(minitorch.tensor([7.0, -7.0]), 3)
    tensor([ 1., -1.])
    """
    _refuse_integer_zero("fmod", input, other)
    return _binary("fmod", FMod, input, other)


class Hypot(Function):
    """The length of the hypotenuse; nothing overflows on the way.

    Forward    z = √(x² + y²)
    Backward   dx = dz · x / z      dy = dz · y / z
    Saved      x, y, z
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y, self.z = x, y, self.k.hypot_forward(x, y)
        return self.z

    def backward(self, dz):
        return self.k.hypot_backward(dz, self.x, self.y, self.z, self.needs)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """The length of the hypotenuse: √(x² + y²).

    >>> minitorch.hypot(minitorch.tensor([3.0]), minitorch.tensor([4.0]))
    tensor([5.])
    """
    return _binary("hypot", Hypot, input, other)


class LogAddExp(Function):
    """Two numbers added, given and returned as their logarithms.

    Forward    z = ln(eˣ + eʸ)
    Backward   dx = dz · σ(x − y)      dy = dz · σ(y − x)
    Saved      x, y, z
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y, self.z = x, y, self.k.logaddexp_forward(x, y)
        return self.z

    def backward(self, dz):
        return self.k.logaddexp_backward(dz, self.x, self.y, self.z, self.needs)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """ln(eˣ + eʸ), without overflow on the way.

    >>> minitorch.logaddexp(minitorch.tensor([1000.0]), minitorch.tensor([1000.0]))
    tensor([1000.6932])
    """
    return _binary("logaddexp", LogAddExp, input, other)


class Maximum(Function):
    """The larger of two.

    Forward    z = max(x, y)
    Backward   dz goes to the larger; where both are equal, half to each
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.maximum_forward(x, y)

    def backward(self, dz):
        return self.k.maximum_backward(dz, self.x, self.y, self.needs)


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two; NaN if either is.

    >>> minitorch.maximum(minitorch.tensor([1.0, 5.0]), minitorch.tensor([3.0, 2.0]))
    tensor([3., 5.])
    """
    return _binary("maximum", Maximum, input, other)


class Minimum(Function):
    """The smaller of two.

    Forward    z = min(x, y)
    Backward   dz goes to the smaller; where both are equal, half to each
    Saved      x, y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.minimum_forward(x, y)

    def backward(self, dz):
        return self.k.minimum_backward(dz, self.x, self.y, self.needs)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two; NaN if either is.

    >>> minitorch.minimum(minitorch.tensor([1.0, 5.0]), minitorch.tensor([3.0, 2.0]))
    tensor([1., 2.])
    """
    return _binary("minimum", Minimum, input, other)


# ---------------------------------------------------------------------------------------------------------------------
# three operands

class Lerp(Function):
    """A point on the way from x to y.

    Forward    z = x + w · (y − x)
    Backward   dx = dz · (1 − w)      dy = dz · w      dw = dz · (y − x)
    Saved      x, y, w
    Shapes     x, y, w broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y, w):
        self.x, self.y, self.w = x, y, w
        return self.k.lerp_forward(x, y, w)

    def backward(self, dz):
        return self.k.lerp_backward(dz, self.x, self.y, self.w, self.needs)


def lerp(input: Tensor, end: Tensor, weight) -> Tensor:
    """A point on the way from x (weight 0) to end (weight 1).

    >>> minitorch.lerp(minitorch.tensor([0.0, 0.0]), minitorch.tensor([10.0, 20.0]), 0.1)
    tensor([1., 2.])
    """
    if input.data.dtype.kind != "f":
        raise DTypeError(f"lerp: expected float tensors, got {input.data.dtype}. Use x.float().")
    if isinstance(weight, Variable) and not weight.data.ndim:
        weight = to_dtype(weight, input.data.dtype)
    for name, other in (("end", end), ("weight", weight)):
        if isinstance(other, Variable) and other.data.dtype != input.data.dtype:
            raise DTypeError(f"lerp: {name} is {other.data.dtype}, input is {input.data.dtype}. Cast one: "
                             f"{name}.to(input.dtype).")
    _check_broadcast("lerp", input, end, weight)
    return Lerp.apply(input, end, weight if isinstance(weight, Variable) else builtins.float(weight))


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value=1) -> Tensor:
    """x + value · tensor1 · tensor2."""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value=1) -> Tensor:
    """x + value · tensor1 / tensor2."""
    return add(input, div(tensor1, tensor2), alpha=value)


class Where(Function):
    """Here from x, there from y.

    Forward    z = x where condition, else y
    Backward   dx = dz where condition, else 0      dy = dz where not condition, else 0
    Saved      condition, the shapes of x and y
    Shapes     condition, x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y, condition):
        self.condition, self.x_shape, self.y_shape = condition, np.shape(x), np.shape(y)
        return self.k.where_forward(condition, x, y)

    def backward(self, dz):
        return *self.k.where_backward(dz, self.condition, self.x_shape, self.y_shape, self.needs[:2]), None


def where(condition: Tensor, input=None, other=None):
    """``input`` where condition holds, else ``other``. With condition alone: the indices of its true elements.

    >>> x = minitorch.tensor([1.0, -2.0])
    >>> minitorch.where(x > 0, x, 0.0)
    tensor([1., 0.])
    """
    if not isinstance(condition, Variable):
        raise TypeError(f"where: condition must be a bool Tensor, got {type(condition).__name__}")
    if condition.data.dtype.kind != "b":
        raise DTypeError(f"where: condition must be bool, got {condition.data.dtype}. Use condition != 0.")
    if input is None and other is None:
        return tuple(condition.like(i) for i in np.nonzero(condition.data))
    if not isinstance(input, Variable) and not isinstance(other, Variable):
        dtype = result_type(*_operands(condition, input, other)[1:])
        input = condition.like(np.asarray(input, dtype))
    input, other = promote(input, other, op="where")
    _check_broadcast("where", condition, input, other)
    return Where.apply(input, other, condition)


# ---------------------------------------------------------------------------------------------------------------------
# no derivative: comparisons, logic, tests

class Plain(Function):
    """A question with a yes-or-no or whole-number answer: no gradient passes.

    Forward    y = the kernel named ``op``, element by element
    Backward   none: the answer is a step function
    Saved      nothing
    Shapes     the inputs broadcast to y
    Derived in docs/ops/elementwise.md
    """

    def forward(self, *inputs, op):
        return getattr(self.k, op)(*inputs)

    def backward(self, dy):
        return (None,) * len(self.needs)


def eq(input: Tensor, other) -> Tensor:
    """x == y, element by element: is it equal?"""
    return _plain("eq", input, other)


def ne(input: Tensor, other) -> Tensor:
    """x != y, element by element: is it different?"""
    return _plain("ne", input, other)


def lt(input: Tensor, other) -> Tensor:
    """x < y, element by element: is it less?"""
    return _plain("lt", input, other)


def le(input: Tensor, other) -> Tensor:
    """x <= y, element by element: is it less or equal?"""
    return _plain("le", input, other)


def gt(input: Tensor, other) -> Tensor:
    """x > y, element by element: is it greater?"""
    return _plain("gt", input, other)


def ge(input: Tensor, other) -> Tensor:
    """x >= y, element by element: is it greater or equal?"""
    return _plain("ge", input, other)


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """True where both are true; any number but 0 counts as true."""
    return _plain("logical_and", input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """True where at least one is true; any number but 0 counts as true."""
    return _plain("logical_or", input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """True where exactly one is true; any number but 0 counts as true."""
    return _plain("logical_xor", input, other)


def logical_not(input: Tensor) -> Tensor:
    """True where x is 0 or False."""
    return _plain("logical_not", input)


def bitwise_and(input: Tensor, other) -> Tensor:
    """x & y: and, bit by bit; for masks, element by element."""
    _refuse_floats("bitwise_and", input, other)
    return _plain("bitwise_and", input, other)


def bitwise_or(input: Tensor, other) -> Tensor:
    """x | y: or, bit by bit; for masks, element by element."""
    _refuse_floats("bitwise_or", input, other)
    return _plain("bitwise_or", input, other)


def bitwise_xor(input: Tensor, other) -> Tensor:
    """x ^ y: exclusive or, bit by bit; for masks, element by element."""
    _refuse_floats("bitwise_xor", input, other)
    return _plain("bitwise_xor", input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """~x: every bit turned round; for masks, not."""
    _refuse_floats("bitwise_not", input)
    return _plain("bitwise_not", input)


def isnan(input: Tensor) -> Tensor:
    """True where x is not a number."""
    return _plain("isnan", input)


def isinf(input: Tensor) -> Tensor:
    """True where x is inf or −inf."""
    return _plain("isinf", input)


def isfinite(input: Tensor) -> Tensor:
    """True where x is neither NaN nor infinite."""
    return _plain("isfinite", input)


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """True where |x − y| ≤ atol + rtol · |y|; with ``equal_nan`` also where both are NaN.

    >>> minitorch.isclose(minitorch.tensor([1.0, 2.0]), minitorch.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if not isinstance(other, Variable):
        raise TypeError(f"isclose: expected a Tensor, got {type(other).__name__}. Wrap it: minitorch.tensor(...)")
    if input.data.dtype != other.data.dtype:
        raise DTypeError(f"isclose: {input.data.dtype} and {other.data.dtype}. Cast one: y.to(x.dtype).")
    _check_broadcast("isclose", input, other)
    return Plain.apply(input, other, rtol, atol, equal_nan, op="isclose")


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True if |x − y| ≤ atol + rtol · |y| everywhere: a Python bool."""
    return builtins.bool(isclose(input, other, rtol, atol, equal_nan).data.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """True if both have one shape and the same values: a Python bool."""
    return input.data.shape == other.data.shape and builtins.bool((input.data == other.data).all())


def floor_divide(input: Tensor, other) -> Tensor:
    """x / y rounded down. It has no derivative.

    >>> minitorch.floor_divide(minitorch.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    _refuse_integer_zero("floor_divide", input, other)
    return _plain("floor_divide", input, other)


# PyTorch's second names
absolute, negative, multiply, subtract, divide, true_divide = abs, neg, mul, sub, div, div
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _binary(op, function, x, y):
    if not (isinstance(x, Variable) and isinstance(y, Variable) and x.data.dtype == y.data.dtype):
        x, y = promote(x, y, op=op)
    try:
        return function.apply(x, y)
    except ValueError:
        _check_broadcast(op, x, y)
        raise


def _scaled(op, x, y, alpha):
    """x and alpha · y, in the dtype in which x and y meet."""
    x, y = promote(x, y)
    if isinstance(alpha, float) and "f" not in (_kind_of(x), _kind_of(y)):
        raise RuntimeError(f"{op}: alpha={alpha} is a float, the tensors are integers. Use x.float().")
    return x, to_dtype(mul(y, alpha), y.data.dtype) if isinstance(y, Variable) else type(y)(y * alpha)


def _plain(op, *inputs):
    inputs = promote(*inputs, op=op)
    _check_broadcast(op, *inputs)
    return Plain.apply(*inputs, op=op)


def _check_broadcast(op, *inputs):
    """Say which dimension of which shapes does not fit."""
    shapes = [x.data.shape for x in inputs if isinstance(x, Variable)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        rank = builtins.max(map(len, shapes))
        padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
        axis = next(i for i in reversed(range(rank)) if len({shape[i] for shape in padded} - {1}) > 1)
        sizes = " vs ".join(str(shape[axis]) for shape in padded)
        given = " and ".join(map(str, shapes))
        raise ShapeError(f"{op}: shapes {given} do not broadcast: dimension {axis} is {sizes}. "
                         "Sizes must be equal, or one of them 1; shapes are lined up from the right.") from None


def _operands(*inputs):
    return [x.item() if isinstance(x, (np.ndarray, np.generic)) and x.ndim == 0 else x for x in inputs]


def _array(x):
    return x.data if isinstance(x, Variable) else x


def _kind_of(x):
    return x.data.dtype.kind if isinstance(x, Variable) else "b" if isinstance(x, (bool, np.bool_)) else ""


def _refuse_floats(op, *inputs):
    for x in inputs:
        if isinstance(x, Variable) and x.data.dtype.kind == "f" or isinstance(x, float):
            raise DTypeError(f"{op}: for integers and bools only, got {getattr(_array(x), 'dtype', 'a float')}. "
                             "Compare first: mask = x > 0.")


def _refuse_bools(op, x):
    if _kind_of(x) == "b":
        raise DTypeError(f"{op}: bool tensors are not numbers. Use x.int(); to turn a mask round, ~x.")


def _refuse_integer_zero(op, x, y):
    if result_type(*_operands(x, y)).kind != "f" and np.any(np.equal(_array(y), 0)):
        raise RuntimeError(f"{op}: integer division by zero")

"""One number in, one number out, at every position.

Each class is a node of the tape; the function under it is what people call. The arithmetic is in the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function
from minitorch.ops.dtype import promote, to_dtype, to_floating
from minitorch.ops.operands import check_broadcast, kind_of, refuse_bools

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "abs", "absolute", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "exp", "exp2", "expm1", "floor", "hardtanh",
    "log", "log10", "log1p", "log2", "nan_to_num", "neg", "negative", "reciprocal", "round", "rsqrt", "sign", "sqrt",
    "square", "trunc",
]


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
    refuse_bools("neg", input)
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
    refuse_bools("abs", input)
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
    return Square.apply(to_dtype(input, np.int64) if kind_of(input) == "b" else input)


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
    return input if kind_of(input) == "b" else Sign.apply(input)


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
    refuse_bools("floor", input)
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
    refuse_bools("ceil", input)
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
    refuse_bools("trunc", input)
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
    refuse_bools("round", input)
    return Round.apply(input, decimals=decimals)


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
    check_broadcast("clamp", input, *[b for b in (low, high) if b is not None])
    return Clamp.apply(input, low, high)


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
    refuse_bools("hardtanh", input)
    kind = int if kind_of(input) in "iu" else float
    return Hardtanh.apply(input, low=kind(min_val), high=kind(max_val))


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


absolute, negative = abs, neg  # PyTorch's second names
clip = clamp

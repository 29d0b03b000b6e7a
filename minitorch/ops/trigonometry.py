"""Angles: sine, cosine, tangent, their hyperbolic relatives, and the ways back.

Each class is a node of the tape; the function under it is what people call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.ops.dtype import promote, result_type, to_floating
from minitorch.ops.operands import binary

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "acos", "acosh", "arccos", "arcsin", "arctan", "arctan2", "asin", "asinh", "atan", "atan2", "atanh", "cos",
    "cosh", "sin", "sinh", "tan", "tanh",
]


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


class Sinh(Function):
    """The hyperbolic sine.

    Forward    y = (eˣ − e⁻ˣ) / 2
    Backward   dx = dy · cosh x
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.sinh_forward(x)

    def backward(self, dy):
        return self.k.sinh_backward(dy, self.x)


def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine.

    >>> minitorch.sinh(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 1.1752])
    """
    return Sinh.apply(to_floating(input))


class Cosh(Function):
    """The hyperbolic cosine: a hanging chain.

    Forward    y = (eˣ + e⁻ˣ) / 2
    Backward   dx = dy · sinh x
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.cosh_forward(x)

    def backward(self, dy):
        return self.k.cosh_backward(dy, self.x)


def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine: a hanging chain.

    >>> minitorch.cosh(minitorch.tensor([0.0, 1.0]))
    tensor([1.0000, 1.5431])
    """
    return Cosh.apply(to_floating(input))


class ASin(Function):
    """The angle, from −π/2 to π/2, whose sine is x.

    Forward    y = arcsin x
    Backward   dx = dy / √(1 − x²)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.asin_forward(x)

    def backward(self, dy):
        return self.k.asin_backward(dy, self.x)


def asin(input: Tensor) -> Tensor:
    """The angle, from −π/2 to π/2, whose sine is x.

    >>> minitorch.asin(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 1.5708])
    """
    return ASin.apply(to_floating(input))


class ACos(Function):
    """The angle, from 0 to π, whose cosine is x.

    Forward    y = arccos x
    Backward   dx = −dy / √(1 − x²)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.acos_forward(x)

    def backward(self, dy):
        return self.k.acos_backward(dy, self.x)


def acos(input: Tensor) -> Tensor:
    """The angle, from 0 to π, whose cosine is x.

    >>> minitorch.acos(minitorch.tensor([0.0, 1.0]))
    tensor([1.5708, 0.0000])
    """
    return ACos.apply(to_floating(input))


class ATan(Function):
    """The angle, from −π/2 to π/2, whose tangent is x.

    Forward    y = arctan x
    Backward   dx = dy / (1 + x²)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.atan_forward(x)

    def backward(self, dy):
        return self.k.atan_backward(dy, self.x)


def atan(input: Tensor) -> Tensor:
    """The angle, from −π/2 to π/2, whose tangent is x.

    >>> minitorch.atan(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7854])
    """
    return ATan.apply(to_floating(input))


class ASinh(Function):
    """The number whose hyperbolic sine is x.

    Forward    y = arsinh x = ln(x + √(x² + 1))
    Backward   dx = dy / √(x² + 1)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.asinh_forward(x)

    def backward(self, dy):
        return self.k.asinh_backward(dy, self.x)


def asinh(input: Tensor) -> Tensor:
    """The number whose hyperbolic sine is x.

    >>> minitorch.asinh(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8814])
    """
    return ASinh.apply(to_floating(input))


class ACosh(Function):
    """The number, not negative, whose hyperbolic cosine is x.

    Forward    y = arcosh x = ln(x + √(x² − 1))
    Backward   dx = dy / √(x² − 1)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.acosh_forward(x)

    def backward(self, dy):
        return self.k.acosh_backward(dy, self.x)


def acosh(input: Tensor) -> Tensor:
    """The number, not negative, whose hyperbolic cosine is x.

    >>> minitorch.acosh(minitorch.tensor([1.0, 2.0]))
    tensor([0.0000, 1.3170])
    """
    return ACosh.apply(to_floating(input))


class ATanh(Function):
    """The number whose hyperbolic tangent is x.

    Forward    y = artanh x = ½ ln((1 + x) / (1 − x))
    Backward   dx = dy / (1 − x²)
    Saved      x
    Shapes     x, y (…)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x):
        self.x = x
        return self.k.atanh_forward(x)

    def backward(self, dy):
        return self.k.atanh_backward(dy, self.x)


def atanh(input: Tensor) -> Tensor:
    """The number whose hyperbolic tangent is x.

    >>> minitorch.atanh(minitorch.tensor([0.0, 0.5]))
    tensor([0.0000, 0.5493])
    """
    return ATanh.apply(to_floating(input))


class ATan2(Function):
    """The angle of the point (x, y), from −π to π.

    Forward    z = the angle whose tangent is y / x, in the quadrant of the point
    Backward   dy = dz · x / (x² + y²)      dx = −dz · y / (x² + y²)      0 at the origin
    Saved      y, x
    Shapes     y, x broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, y, x):
        self.y, self.x = y, x
        return self.k.atan2_forward(y, x)

    def backward(self, dz):
        return self.k.atan2_backward(dz, self.y, self.x, self.needs)


def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input), from −π to π.

    >>> minitorch.atan2(minitorch.tensor([1.0, -1.0]), minitorch.tensor([-1.0, 0.0]))
    tensor([ 2.3562, -1.5708])
    """
    if result_type(input, other).kind != "f":
        input, other = (to_floating(v) for v in promote(input, other))
    return binary("atan2", ATan2, input, other)


arcsin, arccos, arctan, arctan2 = asin, acos, atan, atan2  # PyTorch's second names

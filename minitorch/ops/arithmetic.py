"""Two operands, or three, broadcast against each other."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError
from minitorch.ops.dtype import promote, result_type, to_dtype, to_floating
from minitorch.ops.elementwise import trunc
from minitorch.ops.operands import array_of, as_numbers, binary, check_broadcast, kind_of, plain, refuse_integer_zero

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "add", "addcdiv", "addcmul", "div", "divide", "floor_divide", "fmod", "frac", "hypot", "lerp", "logaddexp",
    "maximum", "minimum", "mul", "multiply", "pow", "remainder", "rsub", "sub", "subtract", "true_divide", "where",
]


def frac(input: Tensor) -> Tensor:
    """What stands behind the decimal point."""
    return sub(input, trunc(input))


class Add(Function):
    """x + y.

    Forward    z = x + y
    Backward   dx = dz      dy = dz      each summed over the axes along which it was broadcast
    Saved      the shapes of x and y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x_shape, self.y_shape = getattr(x, "shape", ()), getattr(y, "shape", ())
        return self.k.add_forward(x, y)

    def backward(self, dz):
        return self.k.add_backward(dz, self.x_shape, self.y_shape, self.needs)


def add(input: Tensor, other, *, alpha=1) -> Tensor:
    """x + alpha · y.

    >>> minitorch.add(minitorch.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return binary("add", Add, *((input, other) if alpha == 1 else _scaled("add", input, other, alpha)))


class Sub(Function):
    """x − y.

    Forward    z = x − y
    Backward   dx = dz      dy = −dz      each summed over the axes along which it was broadcast
    Saved      the shapes of x and y
    Shapes     x, y broadcast to z
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, y):
        self.x_shape, self.y_shape = getattr(x, "shape", ()), getattr(y, "shape", ())
        return self.k.sub_forward(x, y)

    def backward(self, dz):
        return self.k.sub_backward(dz, self.x_shape, self.y_shape, self.needs)


def sub(input: Tensor, other, *, alpha=1) -> Tensor:
    """x − alpha · y.

    >>> minitorch.sub(minitorch.tensor([1.0, 2.0]), 10)
    tensor([-9., -8.])
    """
    if "b" in (kind_of(input), kind_of(other)):
        raise RuntimeError("sub: bool tensors cannot be subtracted. Use ~mask, or logical_xor(a, b).")
    return binary("sub", Sub, *((input, other) if alpha == 1 else _scaled("sub", input, other, alpha)))


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
    return binary("mul", Mul, input, other)


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
    integer = kind_of(input) != "f" and kind_of(other) != "f" and result_type(*as_numbers(input, other)).kind != "f"
    if rounding_mode == "trunc" and integer:
        input, other = promote(input, other)
        return floor_divide(sub(input, fmod(input, other)), other)
    z = binary("div", Div, *[to_floating(v) if integer and isinstance(v, Variable) else v for v in (input, other)])
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
    whole = kind_of(input) != "f" and result_type(*as_numbers(input, exponent)).kind != "f"
    if whole and np.any(np.less(array_of(exponent), 0)):
        raise RuntimeError("pow: integers to negative integer powers are not allowed. Use x.float() ** exponent.")
    return binary("pow", Pow, input, exponent)


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
    refuse_integer_zero("remainder", input, other)
    return binary("remainder", Remainder, input, other)


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
    refuse_integer_zero("fmod", input, other)
    return binary("fmod", FMod, input, other)


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
    return binary("hypot", Hypot, input, other)


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
    return binary("logaddexp", LogAddExp, input, other)


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
    return binary("maximum", Maximum, input, other)


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
    return binary("minimum", Minimum, input, other)


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
    check_broadcast("lerp", input, end, weight)
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
        self.condition, self.x_shape, self.y_shape = condition, getattr(x, "shape", ()), getattr(y, "shape", ())
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
        dtype = result_type(*as_numbers(condition, input, other)[1:])
        input = condition.like(np.asarray(input, dtype))
    input, other = promote(input, other, op="where")
    check_broadcast("where", condition, input, other)
    return Where.apply(input, other, condition)


def floor_divide(input: Tensor, other) -> Tensor:
    """x / y rounded down. It has no derivative.

    >>> minitorch.floor_divide(minitorch.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    refuse_integer_zero("floor_divide", input, other)
    return plain("floor_divide", input, other)


def _scaled(op, x, y, alpha):
    """x and alpha · y, in the dtype in which x and y meet."""
    x, y = promote(x, y)
    if isinstance(alpha, float) and "f" not in (kind_of(x), kind_of(y)):
        raise RuntimeError(f"{op}: alpha={alpha} is a float, the tensors are integers. Use x.float().")
    return x, to_dtype(mul(y, alpha), y.data.dtype) if isinstance(y, Variable) else type(y)(y * alpha)


multiply, subtract, divide, true_divide = mul, sub, div, div  # PyTorch's second names

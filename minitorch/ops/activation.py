"""Activations: one number in, one number out, bent, so that two linear layers are more than one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import ShapeError
from minitorch.ops.arguments import as_dim, refuse_scalar
from minitorch.ops.arithmetic import add, div, mul, rsub, where
from minitorch.ops.compare import gt
from minitorch.ops.dtype import to_floating
from minitorch.ops.elementwise import abs, clamp, hardtanh, log
from minitorch.ops.operands import refuse_bools
from minitorch.ops.trigonometry import tanh

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "elu", "erf", "erfc", "gelu", "glu", "leaky_relu", "logit", "mish", "prelu", "relu", "relu6", "selu", "sigmoid",
    "silu", "softplus", "softsign",
]


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
    refuse_bools("relu", input)
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


class GLU(Function):
    """The gated linear unit: half of the input, weighed by the sigmoids of the other half.

    Forward    u, gate = halves of x        y = u · σ(gate)
    Backward   du = dy · σ(gate)            dgate = dy · u · σ(gate) · (1 − σ(gate))
    Saved      x
    Shapes     x (…, 2 n, …)    y (…, n, …)
    Derived in docs/ops/elementwise.md
    """

    def forward(self, x, *, dim):
        self.x, self.dim = x, dim
        return self.k.glu_forward(x, dim)

    def backward(self, dy):
        return self.k.glu_backward(dy, self.x, self.dim)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Half of the input, weighed by the sigmoids of the other half.

    >>> minitorch.nn.functional.glu(minitorch.tensor([2.0, 0.0]), 0)
    tensor([1.])
    """
    refuse_scalar("glu", input)
    dim = as_dim("glu", dim, input.ndim)
    if input.shape[dim] % 2:
        raise ShapeError(f"glu: axis {dim} of {input.shape} must have an even size, to be halved")
    return GLU.apply(to_floating(input), dim=dim)


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


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """ln(x / (1 − x)), the inverse of sigmoid; with ``eps``, x is first held between eps and 1 − eps."""
    x = to_floating(input)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return log(div(x, rsub(x, 1)))

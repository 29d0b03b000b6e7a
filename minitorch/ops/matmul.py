"""Products: matrices, batches of matrices, vectors, the linear layer, and Einstein's notation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError, casts, got
from minitorch.ops.arithmetic import add, mul
from minitorch.ops.shape import reshape

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "addmm", "addmv", "baddbmm", "bmm", "dot", "einsum", "inner", "linear", "matmul", "matrix_power", "mm", "mv",
    "outer", "tensordot",
]


class Matmul(Function):
    """The matrix product over the last two axes; axes before them are a batch and are broadcast.

    Forward    z = x y              zᵢⱼ = Σₖ xᵢₖ yₖⱼ
    Backward   dx = dz yᵀ           dy = xᵀ dz           each summed over the axes along which it was broadcast
    Saved      x, y
    Shapes     x (…, n, k)    y (…, k, m)    z (…, n, m)    a vector counts as a row on the left, a column on the right
    Derived in docs/ops/matmul.md
    """

    def forward(self, x, y):
        self.x, self.y = x, y
        return self.k.matmul_forward(x, y)

    def backward(self, dz):
        return self.k.matmul_backward(dz, self.x, self.y, self.needs)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product, as in ``x @ other``; axes before the last two are a batch and are broadcast.

    >>> minitorch.matmul(minitorch.tensor([[1.0, 2.0]]), minitorch.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    try:
        x, y = input._data, other._data
        usual = (x.ndim > 1 < y.ndim and x.shape[-1] == y.shape[-2] and x.dtype == y.dtype
                 and (y.ndim == 2 or x.shape[:-2] == y.shape[:-2]))
    except AttributeError:
        usual = False
    return Matmul.apply(input, other) if usual else _unusual_matmul(input, other)


def _unusual_matmul(input, other):
    """Vectors, batches that broadcast, and mistakes to explain."""
    input, other = _pair("matmul", input, other)
    if not input.ndim or not other.ndim:
        raise ShapeError(f"matmul: both must have at least one axis, got {input.shape} and {other.shape}. "
                         "For a number times a tensor use *.")
    if input.shape[-1] != other.shape[-2 if other.ndim > 1 else 0]:
        raise ShapeError(_inner_sizes("matmul", input, other))
    _check_batch(input, other)
    return Matmul.apply(input, other)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices; nothing is broadcast."""
    _need_axes("mm", input, 2, mat2, 2)
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two equally long batches of matrices."""
    _need_axes("bmm", input, 3, mat2, 3)
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(f"bmm: batches differ: {input.shape[0]} and {mat2.shape[0]} matrices. matmul would broadcast.")
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _need_axes("mv", input, 2, vec, 1)
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The product of two vectors: a number.

    >>> minitorch.dot(minitorch.tensor([1.0, 2.0]), minitorch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    _need_axes("dot", input, 1, tensor, 1)
    return matmul(input, tensor)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Products of the last axes of both: every row of x with every row of other."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    rows = matmul(reshape(input, -1, input.shape[-1]), reshape(other, -1, other.shape[-1]).t())
    return reshape(rows, *input.shape[:-1], *other.shape[:-1])


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Every element of one vector times every element of another: a matrix."""
    _need_axes("outer", input, 1, vec2, 1)
    return mul(reshape(input, -1, 1), reshape(vec2, 1, -1))


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta · x + alpha · (mat1 @ mat2)."""
    return _plus_product(input, mm(mat1, mat2), beta, alpha)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta · x + alpha · (mat @ vec)."""
    return _plus_product(input, mv(mat, vec), beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta · x + alpha · (batch1 @ batch2), for batches of matrices."""
    return _plus_product(input, bmm(batch1, batch2), beta, alpha)


def tensordot(a: Tensor, b: Tensor, dims=2) -> Tensor:
    """Products summed over several axes: the last ``dims`` of a with the first of b, or the two lists of axes in dims."""
    if isinstance(dims, int):
        dims = range(a.ndim - dims, a.ndim), range(dims)
    ours, theirs = ([d % t.ndim for d in axes] for t, axes in zip((a, b), dims))
    if [a.shape[d] for d in ours] != [b.shape[d] for d in theirs]:
        raise ShapeError(f"tensordot: axes {ours} of {a.shape} and {theirs} of {b.shape} must have equal sizes")
    rows, columns = ([d for d in range(t.ndim) if d not in axes] for t, axes in ((a, ours), (b, theirs)))
    size = math.prod(a.shape[d] for d in ours)
    shape = [a.shape[d] for d in rows], [b.shape[d] for d in columns]
    product = mm(reshape(a.permute(*rows, *ours), math.prod(shape[0]), size),
                 reshape(b.permute(*theirs, *columns), size, math.prod(shape[1])))
    return reshape(product, *shape[0], *shape[1])


def matrix_power(input: Tensor, n: int) -> Tensor:
    """A square matrix times itself, n times; n = 0 gives the identity.

    >>> minitorch.matrix_power(minitorch.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got {input.shape}")
    if n < 0:
        raise NotImplementedError("matrix_power: negative powers need an inverse, which is not there")
    if n < 2:
        one = np.broadcast_to(np.eye(input.shape[-1], dtype=input.dtype), input.shape).copy()
        return input if n else input.like(one)
    half = matrix_power(input, n // 2)
    return matmul(matmul(half, half), input) if n % 2 else matmul(half, half)


class Linear(Function):
    """A linear layer with its bias, one node.

    Forward    y = x wᵀ + b
    Backward   dx = dy w        dw = dyᵀ x        db = Σ dy           Σ: over every row
    Saved      x, w
    Shapes     x (…, in)    w (out, in)    b (out,)    y (…, out)
    Derived in docs/layers/linear.md
    """

    def forward(self, x, weight, bias):
        self.x, self.weight = x, weight
        return self.k.linear_forward(x, weight, bias)

    def backward(self, dy):
        return self.k.linear_backward(dy, self.x, self.weight, self.needs)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x wᵀ + b over the last axis; weight is (out, in), as in PyTorch.

    >>> w = minitorch.tensor([[1.0, 1.0], [1.0, -1.0]])
    >>> minitorch.nn.functional.linear(minitorch.tensor([3.0, 2.0]), w)
    tensor([5., 1.])
    """
    try:
        x, w, b = input._data, weight._data, None if bias is None else bias._data
        usual = w.ndim == 2 and x.shape[-1] == w.shape[1] and x.dtype == w.dtype and \
            (b is None or b.shape == w.shape[:1] and b.dtype == x.dtype)
    except (AttributeError, IndexError):
        usual = False
    return Linear.apply(input, weight, bias) if usual else _unusual_linear(input, weight, bias)


def _unusual_linear(input, weight, bias):
    """PyTorch takes a weight with one axis, too, and a bias that broadcasts; everything else is a mistake to explain."""
    for name, t in (("input", input), ("weight", weight), ("bias", bias)):
        if not (isinstance(t, Variable) or name == "bias" and t is None):
            raise TypeError(f"linear: {name} must be a Tensor, {got(t)}")
        if t is not None and t.dtype != input.dtype:
            raise DTypeError(f"linear: input is {input.dtype}, {name} is {t.dtype}. {casts(input.dtype)}")
    if weight.ndim == 1:
        y = matmul(input, weight)
        return y if bias is None else add(y, bias)
    if weight.ndim != 2 or not input.ndim:
        raise ShapeError(f"linear: input {input.shape} and weight {weight.shape}: expected (…, in) and (out, in)")
    if input.shape[-1] != weight.shape[1]:
        raise ShapeError(f"linear: input {input.shape} has {input.shape[-1]} features, weight {weight.shape} expects "
                         f"{weight.shape[1]}. The layer was built as Linear({weight.shape[1]}, {weight.shape[0]}).")
    if bias.ndim > 1 or bias.shape not in ((), (1,)):
        raise ShapeError(f"linear: bias has shape {bias.shape}, expected ({weight.shape[0]},): weight is {weight.shape}")
    return add(Linear.apply(input, weight, None), bias)


class Einsum(Function):
    """Einstein's notation: letters name axes; a letter missing from the output is summed over.

    Forward    y = Σ over letters not in the output, of the product of the operands
    Backward   d(operand) = the same notation with dy in that operand's place
    Saved      the operands
    Shapes     as the equation says
    Derived in docs/ops/matmul.md
    """

    def forward(self, equation, *operands):
        self.equation, self.operands = equation, operands
        return self.k.einsum_forward(equation, *operands)

    def backward(self, dy):
        return None, *self.k.einsum_backward(dy, self.equation, *self.operands, needs=self.needs[1:])


def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Einstein's notation: ``einsum("bij,bjk->bik", x, y)``.

    >>> x = minitorch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> minitorch.einsum("ij->j", x)
    tensor([4., 6.])
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise NotImplementedError("einsum: give the equation as a string, such as 'ij,jk->ik'")
    for i, t in enumerate(operands):
        if not isinstance(t, Variable):
            raise TypeError(f"einsum: operand {i} must be a Tensor, {got(t)}")
        if t.dtype != operands[0].dtype:
            raise DTypeError(f"einsum: operand {i} is {t.dtype}, operand 0 is {operands[0].dtype}. Cast one.")
    try:
        return Einsum.apply(equation.replace(" ", ""), *operands)
    except ValueError as error:
        shapes = ", ".join(str(t.shape) for t in operands)
        raise ShapeError(f"einsum: {equation!r} does not fit operands of shapes {shapes}: {error}") from None


def _plus_product(x, product, beta, alpha):
    product = product if alpha == 1 else mul(product, alpha)
    if beta == 0:
        return product
    return add(x if beta == 1 else mul(x, beta), product)


def _pair(op, x, y):
    for side, t, other in (("left", x, y), ("right", y, x)):
        if not isinstance(t, Variable):
            if not hasattr(t, "dtype") or not isinstance(other, Variable):
                raise TypeError(f"{op}: the {side} operand must be a Tensor, {got(t)}")
    x, y = (t if isinstance(t, Variable) else other.like(t) for t, other in ((x, y), (y, x)))
    if x.dtype != y.dtype:
        raise DTypeError(f"{op}: {x.dtype} @ {y.dtype}. Cast one: x.to(y.dtype). (NumPy makes float64 unasked: "
                         "from_numpy(a).float().)")
    return x, y


def _need_axes(op, x, n, y, m):
    for name, t, axes in (("the first", x, n), ("the second", y, m)):
        if not isinstance(t, Variable):
            raise TypeError(f"{op}: {name} argument must be a Tensor, {got(t)}")
        if t.ndim != axes:
            raise ShapeError(f"{op}: {name} argument must have {axes} axes, got {t.ndim}: {t.shape}. "
                             "matmul takes any number of axes.")
    if op != "outer" and x.shape[-1] != y.shape[-2 if m > 1 else 0]:
        raise ShapeError(_inner_sizes(op, x, y))


def _inner_sizes(op, x, y):
    axis = -2 if y.ndim > 1 else 0
    text = (f"{op}: inner sizes differ: left {x.shape} ends in {x.shape[-1]}, right {y.shape} starts in "
            f"{y.shape[axis]}.")
    if y.ndim > 1 and x.shape[-1] == y.shape[-1]:
        return text + " Did you mean right.T (right.mT for batches)?"
    if x.ndim > 1 and x.shape[-2] == y.shape[axis]:
        return text + " Did you mean left.T (left.mT for batches)?"
    return text + " The left's last axis and the right's last axis but one must be equal."


def _check_batch(x, y):
    if x.ndim > 2 and y.ndim > 2:
        for a, b in zip(reversed(x.shape[:-2]), reversed(y.shape[:-2])):
            if a != b and 1 not in (a, b):
                raise ShapeError(f"matmul: batches {x.shape[:-2]} and {y.shape[:-2]} of {x.shape} and {y.shape} do not "
                                 f"broadcast: {a} vs {b}")

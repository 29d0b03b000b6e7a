"""Many numbers in, fewer out: sums, means, products, norms, counts; and running sums, which keep them all.

Each class is a node of the tape; the function under it is what people call. ``dim`` names the axes that go: one, some,
or None for all. NumPy's names ``axis`` and ``keepdims`` are understood too, so that ``np.mean(tensor)`` works.
"""

from __future__ import annotations

import builtins
import numbers
import warnings
from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import DTypeError, RangeError
from minitorch.ops.arguments import as_dim, as_dims, numpy_names, reduced_dims, refuse_empty
from minitorch.ops.arithmetic import sub
from minitorch.ops.compare import logical_xor
from minitorch.ops.dtype import to_dtype, to_floating
from minitorch.ops.operands import Plain
from minitorch.ops.shape import narrow

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = [
    "all", "any", "count_nonzero", "cumprod", "cumsum", "diff", "logsumexp", "mean", "norm", "prod", "std",
    "std_mean", "sum", "var", "var_mean", "vector_norm",
]


# ---------------------------------------------------------------------------------------------------------------------
# sums and means

class Sum(Function):
    """Everything along some axes, added up.

    Forward    y = Σ x over the axes dim
    Backward   dx = dy, at every element that was added
    Saved      x's shape
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim, self.keepdim = x.shape, dim, keepdim
        return self.k.sum_forward(x, dim, keepdim)

    def backward(self, dy):
        return self.k.sum_backward(dy, self.shape, self.dim, self.keepdim)


@numpy_names
def sum(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """Everything along the axes dim, added up. Integers and bools add up to int64.

    >>> minitorch.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=1)
    tensor([3., 7.])
    """
    return Sum.apply(_cast(input, dtype), dim=reduced_dims("sum", dim, input), keepdim=keepdim)


class Mean(Function):
    """The average along some axes.

    Forward    y = Σ x / n over the axes dim, n elements
    Backward   dx = dy / n
    Saved      x's shape
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.shape, self.dim, self.keepdim = x.shape, dim, keepdim
        return self.k.mean_forward(x, dim, keepdim)

    def backward(self, dy):
        return self.k.mean_backward(dy, self.shape, self.dim, self.keepdim)


@numpy_names
def mean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The average along the axes dim.

    >>> minitorch.tensor([1.0, 2.0, 6.0]).mean()
    tensor(3.)
    """
    input = _cast(input, dtype)
    _refuse_integers("mean", input)
    return Mean.apply(input, dim=reduced_dims("mean", dim, input), keepdim=keepdim)


class Var(Function):
    """The variance: how far from their mean the elements are, squared, on average.

    Forward    y = Σ (x − mean)² / (n − correction)
    Backward   dx = dy · 2 (x − mean) / (n − correction)
    Saved      x, mean
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, correction, keepdim):
        self.x, self.dim, self.correction, self.keepdim = x, dim, correction, keepdim
        y, self.mean = self.k.var_forward(x, dim, correction, keepdim)
        return y

    def backward(self, dy):
        return self.k.var_backward(dy, self.x, self.mean, self.dim, self.correction, self.keepdim)


@numpy_names
def var(input: Tensor, dim=None, unbiased=None, keepdim: bool = False, *, correction=None) -> Tensor:
    """The variance along the axes dim, divided by n − correction; ``unbiased=False`` means correction 0, else it is 1.

    >>> minitorch.tensor([1.0, 2.0, 6.0]).var()
    tensor(7.)
    """
    return Var.apply(input, **_spread("var", input, dim, unbiased, keepdim, correction))


class Std(Function):
    """The standard deviation: the root of the variance.

    Forward    y = (Σ (x − mean)² / (n − correction))^½
    Backward   dx = dy · (x − mean) / ((n − correction) · y); 0 where y = 0
    Saved      x, y, mean
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, correction, keepdim):
        self.x, self.dim, self.correction, self.keepdim = x, dim, correction, keepdim
        self.y, self.mean = self.k.std_forward(x, dim, correction, keepdim)
        return self.y

    def backward(self, dy):
        return self.k.std_backward(dy, self.x, self.y, self.mean, self.dim, self.correction, self.keepdim)


@numpy_names
def std(input: Tensor, dim=None, unbiased=None, keepdim: bool = False, *, correction=None) -> Tensor:
    """The standard deviation along the axes dim, dividing by n − correction (1 unless ``unbiased=False``).

    >>> minitorch.tensor([1.0, 3.0]).std(correction=0)
    tensor(1.)
    """
    return Std.apply(input, **_spread("std", input, dim, unbiased, keepdim, correction))


@numpy_names
def var_mean(input: Tensor, dim=None, unbiased=None, keepdim: bool = False, *,
             correction=None) -> tuple[Tensor, Tensor]:
    """The variance and the mean."""
    dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


@numpy_names
def std_mean(input: Tensor, dim=None, unbiased=None, keepdim: bool = False, *,
             correction=None) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean."""
    dim, unbiased = (None, dim) if isinstance(dim, bool) else (dim, unbiased)
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


# ---------------------------------------------------------------------------------------------------------------------
# products

class Prod(Function):
    """Everything along some axes, multiplied.

    Forward    y = Π x over the axes dim
    Backward   dx = dy · Π of the other elements, taken without dividing, so zeros are no matter
    Saved      x
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.x, self.dim, self.keepdim = x, dim, keepdim
        return self.k.prod_forward(x, dim, keepdim)

    def backward(self, dy):
        return self.k.prod_backward(dy, self.x, self.dim, self.keepdim)


@numpy_names
def prod(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """Everything along the axes dim, multiplied. Integers and bools multiply to int64.

    >>> minitorch.tensor([2.0, 3.0, 4.0]).prod()
    tensor(24.)
    """
    return Prod.apply(_cast(input, dtype), dim=reduced_dims("prod", dim, input), keepdim=keepdim)


class LogSumExp(Function):
    """The logarithm of the sum of exponentials: a soft maximum.

    Forward    y = log Σ eˣ, computed as m + log Σ eˣ⁻ᵐ with m the largest
    Backward   dx = dy · eˣ⁻ʸ, which is softmax
    Saved      x, y
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim, keepdim):
        self.x, self.dim, self.keepdim = x, dim, keepdim
        self.y = self.k.logsumexp_forward(x, dim, keepdim)
        return self.y

    def backward(self, dy):
        return self.k.logsumexp_backward(dy, self.x, self.y, self.dim, self.keepdim)


@numpy_names
def logsumexp(input: Tensor, dim, keepdim: bool = False) -> Tensor:
    """The logarithm of the sum of exponentials along the axes dim; nothing overflows on the way.

    >>> minitorch.tensor([1000.0, 1000.0]).logsumexp(0)
    tensor(1000.6932)
    """
    return LogSumExp.apply(to_floating(input), dim=reduced_dims("logsumexp", dim, input), keepdim=keepdim)


# ---------------------------------------------------------------------------------------------------------------------
# yes or no, and how many

class Count(Plain):
    """A question whose answer is a place, a number of elements, or yes or no: no gradient passes.

    Forward    y = the kernel named ``op``, along the axes dim
    Backward   none: the answer is a step function
    Saved      nothing
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """


@numpy_names
def all(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """True where every element along the axes dim is true; any number but 0 counts as true.

    >>> minitorch.tensor([True, False]).all()
    tensor(False)
    """
    return Count.apply(input, op="all", dim=as_dims("all", dim, input.data.ndim), keepdim=keepdim)


@numpy_names
def any(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """True where at least one element along the axes dim is true; any number but 0 counts as true.

    >>> minitorch.tensor([True, False]).any()
    tensor(True)
    """
    return Count.apply(input, op="any", dim=as_dims("any", dim, input.data.ndim), keepdim=keepdim)


@numpy_names
def count_nonzero(input: Tensor, dim=None) -> Tensor:
    """How many elements along the axes dim are not 0.

    >>> minitorch.tensor([1.0, 0.0, 2.0]).count_nonzero()
    tensor(2)
    """
    return Count.apply(input, op="count_nonzero", dim=reduced_dims("count_nonzero", dim, input))


# ---------------------------------------------------------------------------------------------------------------------
# running sums and products

class CumSum(Function):
    """Every element with all before it, added up.

    Forward    y[i] = Σ x[j] for j ≤ i
    Backward   dx[j] = Σ dy[i] for i ≥ j
    Saved      nothing but dim
    Shapes     x, y (…)
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim):
        self.dim = dim
        return self.k.cumsum_forward(x, dim)

    def backward(self, dy):
        return self.k.cumsum_backward(dy, self.dim)


@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """Every element with all before it along one axis, added up.

    >>> minitorch.tensor([1.0, 2.0, 3.0]).cumsum(0)
    tensor([1., 3., 6.])
    """
    return CumSum.apply(_cast(input, dtype), dim=as_dim("cumsum", dim, input.data.ndim))


class CumProd(Function):
    """Every element with all before it, multiplied.

    Forward    y[i] = Π x[j] for j ≤ i
    Backward   dx[j] = Σ dy[i] · y[i] / x[j] for i ≥ j; the first zero is left out of its products instead
    Saved      x, y
    Shapes     x, y (…)
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, dim):
        self.x, self.dim = x, dim
        self.y = self.k.cumprod_forward(x, dim)
        return self.y

    def backward(self, dy):
        return self.k.cumprod_backward(dy, self.x, self.y, self.dim)


@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """Every element with all before it along one axis, multiplied.

    >>> minitorch.tensor([1.0, 2.0, 3.0]).cumprod(0)
    tensor([1., 2., 6.])
    """
    return CumProd.apply(_cast(input, dtype), dim=as_dim("cumprod", dim, input.data.ndim))


@numpy_names
def diff(input: Tensor, n: int = 1, dim: int = -1) -> Tensor:
    """Every element minus the one before it along one axis; n times over.

    >>> minitorch.tensor([1.0, 4.0, 9.0]).diff()
    tensor([3., 5.])
    """
    if not input.data.ndim:
        raise RuntimeError("diff: a 0-d tensor has no axis. Use x.reshape(1) first.")
    dim = as_dim("diff", dim, input.data.ndim)
    for _ in range(n):
        size = builtins.max(input.data.shape[dim] - 1, 0)
        later, earlier = narrow(input, dim, input.data.shape[dim] - size, size), narrow(input, dim, 0, size)
        input = logical_xor(later, earlier) if input.data.dtype.kind == "b" else sub(later, earlier)
    return input


# ---------------------------------------------------------------------------------------------------------------------
# norms

class Norm(Function):
    """The length of a vector, in one of many senses.

    Forward    y = (Σ |x|ᵖ)^(1/p); for p = ∞ the largest |x|, for −∞ the smallest, for 0 how many are not 0
    Backward   dx = dy · sign(x) · |x / y|ᵖ⁻¹; 0 where x or y is 0; for ±∞ elements that tie share evenly
    Saved      x, y
    Shapes     x (…)    y: x without dim, or with size 1 there if keepdim
    Derived in docs/ops/reduce.md
    """

    def forward(self, x, *, p, dim, keepdim):
        self.x, self.p, self.dim, self.keepdim = x, p, dim, keepdim
        self.y = self.k.norm_forward(x, p, dim, keepdim)
        return self.y

    def backward(self, dy):
        return self.k.norm_backward(dy, self.x, self.y, self.p, self.dim, self.keepdim)


@numpy_names
def norm(input: Tensor, p="fro", dim=None, keepdim: bool = False, dtype=None) -> Tensor:
    """The p-norm over the axes dim; "fro" and None mean 2.

    >>> minitorch.tensor([3.0, -4.0]).norm()
    tensor(5.)
    """
    if p == "nuc" or not (p in ("fro", None) or isinstance(p, numbers.Real)):
        raise RangeError(f"norm: p must be a number, inf, -inf or 'fro', got {p!r}")
    return _norm("norm", input, 2 if p in ("fro", None) else p, dim, keepdim, dtype)


@numpy_names
def vector_norm(x: Tensor, ord=2, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The norm of order ord over the axes dim, taken as one vector.

    >>> minitorch.linalg.vector_norm(minitorch.tensor([3.0, -4.0]), 1)
    tensor(7.)
    """
    return _norm("vector_norm", x, ord, dim, keepdim, dtype)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _cast(x, dtype):
    return x if dtype is None else to_dtype(x, dtype)


def _refuse_integers(op, x):
    if x.data.dtype.kind != "f":
        raise DTypeError(f"{op}: expected a float tensor, got {x.data.dtype}. Use x.float().")


def _spread(op, x, dim, unbiased, keepdim, correction):
    """The settings of var and std; var(False) means unbiased=False."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    _refuse_integers(op, x)
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op}: give unbiased or correction, not both")
    correction = (1 if unbiased is not False else 0) if correction is None else correction
    dims = reduced_dims(op, dim, x)
    count = 1
    for axis in dims:
        count *= x.data.shape[axis]
    if count <= correction and x.data.size:
        warnings.warn(f"{op}: {count} elements leave no degrees of freedom after correction {correction}; the result "
                      "is not finite. Use correction=0.", UserWarning, stacklevel=4)
    return {"dim": dims, "correction": correction, "keepdim": keepdim}


def _norm(op, x, p, dim, keepdim, dtype):
    x = _cast(x, dtype)
    _refuse_integers(op, x)
    dims = reduced_dims(op, dim, x)
    if builtins.abs(p) == builtins.float("inf") and not x.data.size:
        refuse_empty(op, dims, x)
    return Norm.apply(x, p=builtins.float(p), dim=dims, keepdim=keepdim)

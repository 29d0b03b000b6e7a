"""What the operands of an op must agree on: dtype, shape, kind of number."""

from __future__ import annotations

import builtins

import numpy as np

from minitorch.autograd import Function, Variable
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.dtype import promote, result_type

__all__ = [
    "Plain", "array_of", "as_numbers", "binary", "check_broadcast", "kind_of", "plain", "refuse_bools", "refuse_floats",
    "refuse_integer_zero",
]


class Plain(Function):
    """A question with a yes-or-no or whole-number answer: no gradient passes.

    Forward    y = the kernel named ``op``, element by element
    Backward   none: the answer is a step function
    Saved      nothing
    Shapes     the inputs broadcast to y
    Derived in docs/ops/elementwise.md
    """

    def forward(self, *inputs, op, **settings):
        return getattr(self.k, op)(*inputs, **settings)

    def backward(self, dy):
        return (None,) * len(self.needs)


def binary(op, function, x, y):
    """Bring two operands to one dtype and run an op on them; say which sizes do not fit."""
    if not (isinstance(x, Variable) and (x._data.dtype == y._data.dtype if isinstance(y, Variable) else
                                         type(y) is float and x._data.dtype.char in "fd")):
        x, y = promote(x, y, op=op)
    try:
        return function.apply(x, y)
    except ValueError:
        check_broadcast(op, x, y)
        raise


def plain(op, *inputs):
    """Bring operands to one dtype and run a kernel that has no derivative."""
    inputs = promote(*inputs, op=op)
    try:
        return Plain.apply(*inputs, op=op)
    except ValueError:
        check_broadcast(op, *inputs)
        raise


def check_broadcast(op, *inputs):
    """Raise unless the shapes broadcast, naming the dimension that does not fit."""
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


def as_numbers(*inputs):
    """NumPy scalars as Python numbers; everything else as it is."""
    return [x.item() if isinstance(x, (np.ndarray, np.generic)) and x.ndim == 0 else x for x in inputs]


def array_of(x):
    """A tensor's array; a number as it is."""
    return x.data if isinstance(x, Variable) else x


def kind_of(x):
    """The kind of a tensor's dtype, as NumPy's letters; "b" for a bool, "" for other numbers."""
    return x._data.dtype.kind if isinstance(x, Variable) else "b" if isinstance(x, (bool, np.bool_)) else ""


def refuse_floats(op, *inputs):
    """Raise if an operand is a float."""
    for x in inputs:
        if isinstance(x, Variable) and x.data.dtype.kind == "f" or isinstance(x, float):
            raise DTypeError(f"{op}: for integers and bools only, got {getattr(array_of(x), 'dtype', 'a float')}. "
                             "Compare first: mask = x > 0.")


def refuse_bools(op, x):
    """Raise if the operand is a bool."""
    if kind_of(x) == "b":
        raise DTypeError(f"{op}: bool tensors are not numbers. Use x.int(); to turn a mask round, ~x.")


def refuse_integer_zero(op, x, y):
    """Raise if integers are divided by a zero."""
    if result_type(*as_numbers(x, y)).kind != "f" and np.any(np.equal(array_of(y), 0)):
        raise RuntimeError(f"{op}: integer division by zero")

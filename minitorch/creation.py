"""Making tensors: from data, from a pattern, from chance."""

from __future__ import annotations

import math
import operator

import numpy as np

from minitorch import kernels, random
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops import as_dtype, get_default_dtype
from minitorch.ops.arguments import also_by_name
from minitorch.ops.device import on_host
from minitorch.random import Generator, numpy_generator
from minitorch.tensor import Tensor, _sizes, _wrap, placed

__all__ = [
    "BoolTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "arange", "as_tensor",
    "bernoulli", "empty", "empty_like", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace", "logspace",
    "normal", "ones", "ones_like", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
    "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like",
]


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data: numbers, nested lists, a NumPy array or another tensor's values.

    Python floats become float32 and ints int64; a NumPy array keeps its dtype.

    >>> minitorch.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    array = _array_of("tensor", data, dtype)
    if isinstance(data, Tensor) and data.is_cuda:
        array = array.copy()
    elif isinstance(data, (np.ndarray, Tensor)) or array.base is not None:
        plain = type(array) is np.ndarray and array.flags.c_contiguous
        array = kernels.backend(array).copy(array) if plain else array.copy(order="C")
    return _leaf(array, device, requires_grad)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """A tensor of the data, without copying where that is possible.

    >>> minitorch.as_tensor([1.5, 2.5])
    tensor([1.5000, 2.5000])
    """
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return _wrap(placed(_array_of("as_tensor", data, dtype), device))


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory: writing to one shows in the other.

    >>> minitorch.from_numpy(np.arange(3.0))
    tensor([0., 1., 2.], dtype=float64)
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}. Use minitorch.tensor(...).")
    return _wrap(_array_of("from_numpy", array, None))


def from_dlpack(source) -> Tensor:
    """A tensor that shares memory with another library's array, by the DLPack protocol."""
    return _wrap(_array_of("from_dlpack", np.from_dlpack(source), None))


class _TensorType:
    """PyTorch's old names: ``LongTensor([1, 2])`` is ``tensor([1, 2], dtype=minitorch.int64)``."""

    def __init__(self, dtype):
        self.dtype = as_dtype(dtype)  # .type(LongTensor) asks for it

    def __call__(self, *data) -> Tensor:
        return Tensor(*data, dtype=self.dtype)


FloatTensor, DoubleTensor, HalfTensor = _TensorType("float32"), _TensorType("float64"), _TensorType("float16")
LongTensor, IntTensor, BoolTensor = _TensorType("int64"), _TensorType("int32"), _TensorType("bool")


def scalar_tensor(value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor."""
    return full((), value, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


# ---------------------------------------------------------------------------------------------------------------------
# from a pattern

@also_by_name("size")
def zeros(*size, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Zeros.

    >>> minitorch.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return _leaf(np.zeros(_shape("zeros", size), _float_or(dtype)), device, requires_grad)


@also_by_name("size")
def ones(*size, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Ones.

    >>> minitorch.ones(3)
    tensor([1., 1., 1.])
    """
    return _leaf(np.ones(_shape("ones", size), _float_or(dtype)), device, requires_grad)


@also_by_name("size")
def empty(*size, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Memory with whatever was in it. Fill it before you read it."""
    return _leaf(np.empty(_shape("empty", size), _float_or(dtype)), device, requires_grad)


def full(size, fill_value, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """One value throughout; its dtype comes from the value.

    >>> minitorch.full((2,), 7)
    tensor([7, 7])
    """
    fill_value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if dtype is None:
        dtype = bool if isinstance(fill_value, (bool, np.bool_)) else np.int64 \
            if isinstance(fill_value, (int, np.integer)) else get_default_dtype()
    return _leaf(np.full(_shape("full", (size,)), fill_value, as_dtype(dtype)), device, requires_grad)


def zeros_like(input: Tensor, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Zeros of x's shape and dtype, where x is."""
    return zeros(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Ones of x's shape and dtype, where x is."""
    return ones(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Memory of x's shape and dtype, where x is, with whatever was in it."""
    return empty(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def full_like(input: Tensor, fill_value, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """One value throughout, in x's shape and dtype, where x is."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, device=device or input.device,
                requires_grad=requires_grad)


def eye(n: int, m: int | None = None, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere.

    >>> minitorch.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    _shape("eye", (n, n if m is None else m))
    return _leaf(np.eye(n, m, dtype=_float_or(dtype)), device, requires_grad)


def arange(start=0, end=None, step=1, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Numbers from start up to, but without, end, in steps; a single number is the end, and 0 the start.

    >>> minitorch.arange(5)
    tensor([0, 1, 2, 3, 4])
    """
    start, end = (0, start) if end is None else (start, end)
    start, end, step = (v.item() if isinstance(v, (Tensor, np.generic)) else v for v in (start, end, step))
    if step == 0:
        raise RuntimeError("arange: step must not be zero")
    if (end - start) * step < 0:
        raise RuntimeError(f"arange: a step of {step} never leads from {start} to {end}")
    if dtype is None:
        dtype = np.int64 if all(isinstance(v, int) for v in (start, end, step)) else get_default_dtype()
    count = math.ceil((end - start) / step)
    exact = np.int64 if all(isinstance(v, int) for v in (start, end, step)) else np.float64
    return _leaf((start + step * np.arange(count, dtype=exact)).astype(as_dtype(dtype)), device, requires_grad)


def linspace(start, end, steps: int, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Evenly spaced numbers from start to end, both included.

    >>> minitorch.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    _shape("linspace", (steps,))
    return _leaf(np.linspace(float(start), float(end), steps).astype(_float_or(dtype)), device, requires_grad)


def logspace(start, end, steps: int, base: float = 10.0, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """base to the power of evenly spaced numbers from start to end."""
    exponents = np.linspace(float(start), float(end), steps)
    return _leaf((base ** exponents).astype(_float_or(dtype)), device, requires_grad)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype=None, device=None) -> Tensor:
    """Where the lower triangle of a (row, col) matrix is: row numbers and column numbers.

    >>> minitorch.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _leaf(np.stack(np.tril_indices(row, offset, col)).astype(as_dtype(dtype or np.int64)), device, False)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype=None, device=None) -> Tensor:
    """Where the upper triangle of a (row, col) matrix is: row numbers and column numbers."""
    return _leaf(np.stack(np.triu_indices(row, offset, col)).astype(as_dtype(dtype or np.int64)), device, False)


# ---------------------------------------------------------------------------------------------------------------------
# from chance

@also_by_name("size")
def rand(*size, generator: Generator | None = None, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers from 0 up to 1."""
    array = random.uniform(0, 1, _shape("rand", size), _float_or(dtype), generator)
    np.minimum(array, np.nextafter(array.dtype.type(1), array.dtype.type(0)), out=array)     # 1 − 1e-9 was rounded to 1
    return _leaf(array, device, requires_grad)


@also_by_name("size")
def randn(*size, generator: Generator | None = None, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Normal random numbers: mean 0, variance 1."""
    return _leaf(random.normal(0, 1, _shape("randn", size), _float_or(dtype), generator), device, requires_grad)


def randint(low=0, high=None, size=None, *, generator: Generator | None = None, dtype=None, device=None,
            requires_grad: bool = False) -> Tensor:
    """Random integers from low (0) up to, but without, high: ``randint(10, (3,))`` or ``randint(5, 10, (3,))``."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if high <= low:
        raise RuntimeError(f"randint: from {low} up to {high} there is no integer")
    array = numpy_generator(generator).integers(low, high, _shape("randint", (size,)))
    return _leaf(array.astype(as_dtype(dtype or np.int64), copy=False), device, requires_grad)


def randperm(n: int, *, generator: Generator | None = None, dtype=None, device=None) -> Tensor:
    """The numbers 0 … n − 1 in random order."""
    _shape("randperm", (n,))
    return _leaf(numpy_generator(generator).permutation(n).astype(as_dtype(dtype or np.int64)), device, False)


def normal(mean=0.0, std=1.0, size=None, *, generator: Generator | None = None, dtype=None, device=None) -> Tensor:
    """Normal random numbers of a given mean and standard deviation, numbers or tensors."""
    mean, std = (v.cpu().data if isinstance(v, Tensor) else v for v in (mean, std))
    shape = np.broadcast_shapes(np.shape(mean), np.shape(std)) if size is None else _shape("normal", (size,))
    return _leaf(random.normal(mean, std, shape, _float_or(dtype), generator), device, False)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that stands there, else 0, element by element."""
    if input.data.size and not ((input.data >= 0) & (input.data <= 1)).all():
        raise RuntimeError("bernoulli: every probability must be in [0, 1]")
    drawn = random.uniform(0, 1, input.shape, np.float64, generator) < input.cpu().data
    return _wrap(placed(drawn.astype(input.dtype), input.device))


def rand_like(input: Tensor, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers of x's shape and dtype, where x is."""
    return rand(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def randn_like(input: Tensor, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Normal random numbers of x's shape and dtype, where x is."""
    return randn(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)


def randint_like(input: Tensor, low, high=None, *, dtype=None, device=None) -> Tensor:
    """Random integers of x's shape and dtype, where x is."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.shape, dtype=dtype or input.dtype, device=device or input.device)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _array_of(op, data, dtype) -> np.ndarray:
    """Data as an array of a supported dtype, in native byte order, whatever its strides."""
    if isinstance(data, Tensor):
        array = data.data
    elif hasattr(data, "__cuda_array_interface__"):     # of CuPy, PyTorch or Numba: on the GPU, and not copied
        array = kernels.cuda.to_device(data)
    elif isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__array__"):
        array = np.asarray(data)
    else:
        holds_numpy = _holds_numpy(data)
        data = _without_tensors(data)
        try:
            array = np.asarray(data)
        except ValueError:
            raise ShapeError(f"{op}: nested lists must have equal lengths at every depth") from None
        if array.size == 0 and dtype is None:
            array = array.astype(get_default_dtype())
        if array.dtype == np.float64 and dtype is None and not holds_numpy:
            array = array.astype(get_default_dtype())
    if array.dtype.kind not in "buif":
        kind = "complex numbers are" if array.dtype.kind == "c" else f"{array.dtype} data is"
        raise DTypeError(f"{op}: {kind} not supported; there are floats, integers and bools")
    if dtype is not None:
        return array.astype(as_dtype(dtype), copy=False)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _without_tensors(data):
    """Nested lists with each tensor replaced by its values."""
    if isinstance(data, (list, tuple)):
        return [_without_tensors(v) for v in data]
    return on_host(data.data) if isinstance(data, Tensor) else data


def _holds_numpy(data) -> bool:
    while isinstance(data, list) and data:
        data = data[0]
    return isinstance(data, (np.generic, np.ndarray))


def _shape(op, size) -> tuple[int, ...]:
    try:
        shape = tuple(map(operator.index, _sizes(size)))
    except TypeError:
        given = ", ".join(map(repr, _sizes(size)))
        raise TypeError(f"{op}: sizes must be integers, got {given}. To divide sizes, use //.") from None
    if min(shape, default=0) < 0:
        raise RuntimeError(f"{op}: sizes must not be negative, got {shape}")
    return shape


def _float_or(dtype):
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def _leaf(array, device, requires_grad) -> Tensor:
    """A tensor of an array that nobody else holds."""
    return _wrap(kernels.aligned(placed(array, device))).requires_grad_(requires_grad)

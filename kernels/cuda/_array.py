"""An array in the GPU's memory that looks like NumPy's, as far as ops look.

Shape, strides and views are NumPy's own arithmetic, done on a "ghost": a NumPy array of the same shape and strides whose
numbers nobody reads. So a transpose or a slice costs nothing on the GPU either. What needs the numbers is a kernel.

Nothing is copied to the host unless somebody asks: ``to_host``, ``item``, ``tolist``. ``np.asarray(x)`` is refused.
"""

import math
import sys
from functools import lru_cache, wraps
from importlib import import_module
from typing import NamedTuple

import numpy as np

from ._launch import address_of, allocate, blocks_for, cuda, device, kernel, synchronize

__all__ = [
    "Array", "Known", "accumulator", "broadcast_steps", "cast", "collapsed", "constant", "copy_into", "counting",
    "empty", "empty_like", "fill", "full", "in_float32", "like_ghost", "packed", "place", "ready", "to_device", "view",
    "zeros",
]


class Array:
    """Numbers on the GPU: a piece of memory, where in it they begin, and a shape with strides (in elements)."""

    __slots__ = ("memory", "offset", "shape", "steps", "dtype", "base", "writeable", "_linear", "__weakref__")
    kernels = sys.modules[__package__]      # who computes on it

    def __init__(self, memory, offset, shape, steps, dtype, base=None, writeable=True):
        self.memory, self.offset, self.shape, self.steps, self.dtype = memory, offset, shape, steps, dtype
        self.base, self.writeable, self._linear = base, writeable, None

    # ---- what it is

    size = property(lambda self: math.prod(self.shape))
    ndim = property(lambda self: len(self.shape))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    strides = property(lambda self: tuple([s * self.dtype.itemsize for s in self.steps]))
    flags = property(lambda self: Flags(self))
    T = property(lambda self: self.transpose())
    known = property(lambda self: self.memory.known)
    real = property(lambda self: self)

    @property
    def contiguous(self):
        """Do the numbers lie one after the other, in reading order?"""
        expected = 1
        for n, step in zip(reversed(self.shape), reversed(self.steps)):
            if n != 1 and step != expected and self.size:
                return False
            expected *= n
        return True

    @property
    def linear(self):
        """The numbers as kernels take them: numba's flat array. Only a contiguous array has it."""
        if self._linear is None:
            self._linear = self.memory.part(self.dtype, self.offset, self.size)
        return self._linear

    @property
    def whole(self):
        """All of the memory that the array is a view of; element i, j is at offset + i · steps[0] + j · steps[1]."""
        return Whole(self.memory.typed(self.dtype), self.dtype)

    @property
    def address(self):
        """Where in the GPU's memory the numbers begin."""
        return self.memory.address + self.offset * self.itemsize

    @property
    def in_fours(self):
        """Do the numbers begin at a multiple of four? Only then may kernels read a contiguous array four by four."""
        return self.offset % 4 == 0 and self.memory.aligned

    @property
    def ghost(self):
        """A NumPy array of this shape and these strides. Its numbers do not exist: never read them."""
        return np.asarray(_Ghost({"data": (_NOWHERE + self.offset * self.itemsize, False), "shape": self.shape,
                                  "strides": self.strides, "typestr": self.dtype.str, "version": 3}))

    @property
    def __cuda_array_interface__(self):
        """For CuPy, PyTorch and Numba: where the numbers are. They share memory, nothing is copied."""
        synchronize()
        self.memory.known = None        # from now on others may write here
        pointer = self.memory.typed(self.dtype).__cuda_array_interface__["data"][0]
        return {"data": (pointer + self.offset * self.itemsize, not self.writeable), "shape": self.shape,
                "strides": None if self.contiguous else self.strides, "typestr": self.dtype.str, "version": 3}

    # ---- to the host

    def to_host(self):
        """A NumPy array with the same numbers. This waits for the GPU."""
        if not self.size:
            return np.empty(self.shape, self.dtype)
        return packed(self).linear.copy_to_host().reshape(self.shape)

    def item(self, *index):
        return (self[index] if index else self).to_host().item()

    def tolist(self):
        return self.to_host().tolist()

    def __array__(self, dtype=None, copy=None):
        raise TypeError("this array is on the GPU, and NumPy would need its numbers here. Copy it: tensor.cpu().")

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        """``np.less(x, 0)`` and the like, which ops write for arrays of either kind."""
        if any([type(x) is np.ndarray and x.ndim for x in inputs]):
            raise RuntimeError(f"{ufunc.__name__}: one array is on the GPU, another on the CPU. Move one: tensor.to('cuda') "
                               "or tensor.cpu().")
        kernel = _UFUNCS.get(ufunc.__name__)
        if kernel is None or method != "__call__" or settings:
            return NotImplemented
        inputs = [x.item() if isinstance(x, (np.ndarray, np.generic)) else x for x in inputs]
        return getattr(self.kernels, kernel)(*inputs)

    def __array_function__(self, function, types, args, settings):
        ours = _FUNCTIONS.get(function.__name__)
        if ours is None:
            raise TypeError(f"np.{function.__name__} does not know arrays on the GPU. Copy them first: tensor.cpu().")
        return ours(*args, **settings)

    def __bool__(self):
        return bool(self.to_host())

    def __int__(self):
        return int(self.item())

    __index__ = __int__

    def __float__(self):
        return float(self.item())

    def __len__(self):
        return len(self.ghost)

    def __repr__(self):
        return f"cuda.Array({self.to_host()!r})"

    # ---- views

    def reshape(self, *shape):
        return self.kernels.reshape_forward(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def transpose(self, *dims):
        return view(np.transpose, self, dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims or None)

    def swapaxes(self, a, b):
        return view(np.swapaxes, self, a, b)

    def squeeze(self, axis=None):
        return view(np.squeeze, self, axis)

    def ravel(self):
        return self.reshape(-1)

    def view(self):
        return view(np.asarray, self)

    def __getitem__(self, index):
        return self.kernels.getitem_forward(self, index)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # ---- copies

    def copy(self):
        return cast(self, self.dtype)

    def astype(self, dtype, copy=True):
        return cast(self, np.dtype(dtype)) if copy or self.dtype != dtype else self

    def fill(self, value):
        self[...] = value

    def __setitem__(self, index, value):
        _index().put(self, index, value)

    # ---- arithmetic: what ops write as operators

    def __add__(self, y): return self.kernels.add_forward(self, y)
    def __radd__(self, y): return self.kernels.add_forward(y, self)
    def __sub__(self, y): return self.kernels.sub_forward(self, y)
    def __rsub__(self, y): return self.kernels.sub_forward(y, self)
    def __mul__(self, y): return self.kernels.mul_forward(self, y)
    def __rmul__(self, y): return self.kernels.mul_forward(y, self)
    def __truediv__(self, y): return self.kernels.div_forward(self, y)
    def __rtruediv__(self, y): return self.kernels.div_forward(y, self)
    def __pow__(self, y): return self.kernels.pow_forward(self, y)
    def __neg__(self): return self.kernels.neg_forward(self)
    def __matmul__(self, y): return self.kernels.matmul_forward(self, y)
    def __invert__(self): return self.kernels.bitwise_not(self)
    def __and__(self, y): return self.kernels.bitwise_and(self, y)
    def __or__(self, y): return self.kernels.bitwise_or(self, y)
    def __eq__(self, y): return self.kernels.eq(self, y)
    def __ne__(self, y): return self.kernels.ne(self, y)
    def __lt__(self, y): return self.kernels.lt(self, y)
    def __le__(self, y): return self.kernels.le(self, y)
    def __gt__(self, y): return self.kernels.gt(self, y)
    def __ge__(self, y): return self.kernels.ge(self, y)
    __hash__ = object.__hash__

    def __iadd__(self, y):
        """Add in place, as the walk back through the tape does."""
        copy_into(self, self.kernels.add_forward(self, y))
        return self

    def _reduced(self, kernel, axis, keepdims):
        dims = tuple(range(self.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        return getattr(self.kernels, kernel)(self, tuple([d % max(1, self.ndim) for d in dims]), keepdims)

    def sum(self, axis=None, dtype=None, keepdims=False): return self._reduced("sum_forward", axis, keepdims)
    def mean(self, axis=None, keepdims=False): return self._reduced("mean_forward", axis, keepdims)
    def max(self, axis=None, keepdims=False): return self._reduced("amax_forward", axis, keepdims)
    def min(self, axis=None, keepdims=False): return self._reduced("amin_forward", axis, keepdims)
    def all(self, axis=None, keepdims=False): return self._reduced("all", axis, keepdims)
    def any(self, axis=None, keepdims=False): return self._reduced("any", axis, keepdims)


_UFUNCS = {
    "add": "add_forward", "subtract": "sub_forward", "multiply": "mul_forward", "divide": "div_forward",
    "true_divide": "div_forward", "power": "pow_forward", "maximum": "maximum_forward", "minimum": "minimum_forward",
    "negative": "neg_forward", "absolute": "abs_forward", "sqrt": "sqrt_forward", "exp": "exp_forward", "log": "log_forward",
    "floor_divide": "floor_divide", "remainder": "remainder_forward", "matmul": "matmul_forward", "equal": "eq",
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "isnan": "isnan",
    "isfinite": "isfinite", "isinf": "isinf", "logical_not": "logical_not", "invert": "bitwise_not",
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "logical_and": "logical_and", "logical_or": "logical_or",
    "arctan2": "atan2_forward", "fmod": "fmod_forward", "hypot": "hypot_forward", "logaddexp": "logaddexp_forward",
    **{name: f"{name}_forward" for name in (
        "sin", "cos", "tan", "sinh", "cosh", "tanh", "expm1", "exp2", "log1p", "log2", "log10", "sign", "floor", "ceil",
        "trunc", "square", "reciprocal")},
    **{f"arc{name}": f"a{name}_forward" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}


def _where(condition, x=None, y=None):
    return _index().nonzero(condition) if x is None else Array.kernels.where_forward(condition, x, y)


def _argwhere(x):
    return Array.kernels.stack_forward(_index().nonzero(x), 1)


def _index():
    return import_module(f"{__package__}.index")


_FUNCTIONS = {      # what ops call NumPy for
    "all": lambda x, axis=None: x.all(axis), "any": lambda x, axis=None: x.any(axis), "argwhere": _argwhere,
    "broadcast_to": lambda x, shape: view(np.broadcast_to, x, shape),
    "clip": lambda x, low, high: x.kernels.clamp_forward(x, low, high),
    "concatenate": lambda xs, axis=0: Array.kernels.cat_forward(list(xs), axis),
    "count_nonzero": lambda x: int(x.kernels.count_nonzero(x, tuple(range(x.ndim)))), "ndim": lambda x: x.ndim,
    "nonzero": lambda x: tuple(_index().nonzero(x)), "shape": lambda x: x.shape, "size": lambda x: x.size,
    "sum": lambda x, axis=None, **_: x.sum(axis), "where": _where,
    "ones_like": lambda x, dtype=None: full(x.shape, 1, dtype or x.dtype),
    "zeros_like": lambda x, dtype=None: zeros(x.shape, dtype or x.dtype),
    "empty_like": lambda x, dtype=None: empty(x.shape, dtype or x.dtype),
}


class Flags:
    """What NumPy's ``x.flags`` says."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array

    c_contiguous = property(lambda self: self.array.contiguous)
    carray = property(lambda self: self.array.contiguous and self.array.writeable)

    @property
    def writeable(self):
        return self.array.writeable

    @writeable.setter
    def writeable(self, may):
        self.array.writeable = may


class Whole:
    """A piece of memory as a kernel's argument."""

    __slots__ = ("linear", "dtype")

    def __init__(self, linear, dtype):
        self.linear, self.dtype = linear, dtype


class _Ghost:
    def __init__(self, interface):
        self.__array_interface__ = interface


_NOWHERE = 1 << 20      # the ghosts' address: a multiple of every item's size, and nobody's


# ---------------------------------------------------------------------------------------------------------------------
# making arrays

def empty(shape, dtype):
    """An array with whatever was in its memory."""
    shape, dtype = tuple(shape), np.dtype(dtype)
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= max(n, 1)
    return Array(allocate(math.prod(shape) * dtype.itemsize), 0, shape, tuple(reversed(steps)), dtype)


def accumulator(dtype):
    """The dtype in which kernels calculate with numbers of this one: float32 for float16."""
    return np.dtype("float32") if dtype == np.float16 else dtype


def empty_like(x):
    """An array of x's shape and dtype, contiguous."""
    return empty(x.shape, x.dtype)


def full(shape, value, dtype):
    """One number throughout."""
    x = empty(shape, dtype)
    fill(x, value)
    return x


def zeros(shape, dtype):
    return full(shape, 0, dtype)


@lru_cache(64)
def constant(n, value, dtype):
    """One number n times, kept for the next time: never write to it."""
    return full((n,), value, dtype)


def counting(n):
    """0, 1, … n − 1."""
    x = empty((n,), np.int64)
    if n:
        _count[blocks_for(n)](n, x)
    return x


def to_device(x):
    """A NumPy array, or anything with ``__cuda_array_interface__``, on the GPU. The latter shares its memory."""
    if isinstance(x, Array):
        return x
    interface = getattr(x, "__cuda_array_interface__", None)
    if interface is not None:
        if np.dtype(interface["typestr"]).kind not in "biuf":
            raise TypeError(f"numbers of type {interface['typestr']!r} came; known are bool, whole numbers, float16, "
                            "float32 and float64. bfloat16 and complex numbers are not: convert them first, with .float() "
                            "or .half().")
        return _shared(cuda.as_cuda_array(x), np.dtype(interface["typestr"]))
    x = np.asarray(x)
    y = empty(x.shape, x.dtype)
    if x.size:
        y.linear.copy_to_device(np.ascontiguousarray(x).reshape(-1))
        y.memory.known = Known.of(x) if x.dtype.kind in "iu" else None
    return y


class Known(NamedTuple):
    """What was seen of whole numbers on the CPU, before they went to the GPU: so nobody has to wait for the GPU to say
    whether ids and labels are in range. Forgotten when something is written over them."""

    size: int
    low: int        # the smallest: often the label that does not count
    lows: int       # how often it occurs, where it is negative
    above: int      # the smallest of the others, or the largest where there are none
    high: int

    @classmethod
    def of(cls, x):
        low, high = int(x.min()), int(x.max())
        others = x[x != low] if low < 0 else x
        return cls(x.size, low, x.size - others.size, int(others.min(initial=high)), high)


def _shared(theirs, dtype):
    """Another library's array; it is held as long as ours lives."""
    steps = tuple([s // dtype.itemsize for s in theirs.strides])
    if any([step < 0 for step in steps]):
        raise ValueError("an array with negative strides cannot be shared; make it contiguous first")
    size = 1 + sum((n - 1) * step for n, step in zip(theirs.shape, steps)) if theirs.size else 0
    flat = cuda.cudadrv.devicearray.DeviceNDArray((size,), (dtype.itemsize,), dtype, gpu_data=theirs.gpu_data)
    aligned = theirs.device_ctypes_pointer.value % 16 == 0
    return Array(_Theirs(flat, aligned), 0, tuple(theirs.shape), steps, dtype, base=theirs)


class _Theirs:
    """Memory that another library looks after."""

    known = property(lambda self: None, lambda self, value: None)      # others may write there at any time

    def __init__(self, linear, aligned):
        self.linear, self.aligned = linear, aligned

    @property
    def address(self):
        return address_of(self.linear)

    def typed(self, dtype):
        return self.linear if dtype == self.linear.dtype else self.linear.view(dtype)

    def part(self, dtype, offset, size):
        return self.typed(dtype)[offset:offset + size]


def view(function, x, *settings):
    """What a NumPy function that only makes views makes of x."""
    return like_ghost(x, function(x.ghost, *settings))


def like_ghost(x, ghost):
    """The view of x's memory that a ghost, made from x's, describes."""
    itemsize = x.dtype.itemsize
    offset = (ghost.__array_interface__["data"][0] - _NOWHERE) // itemsize
    return Array(x.memory, offset if ghost.size else 0, ghost.shape, tuple([s // itemsize for s in ghost.strides]), x.dtype,
                 base=x if x.base is None else x.base, writeable=x.writeable and ghost.flags.writeable)


# ---------------------------------------------------------------------------------------------------------------------
# copies, from any strides and dtype to any other

def packed(x):
    """x itself if it is contiguous, else a copy that is."""
    return x if x.contiguous else cast(x, x.dtype)


def ready(x, dtype=None):
    """The array as kernels take it: contiguous, of this dtype. None stays None."""
    if x is None or dtype is None or x.dtype == dtype:
        return x if x is None else packed(x)
    return cast(x, dtype)


def cast(x, dtype):
    """A contiguous copy in this dtype."""
    return copy_into(empty(x.shape, dtype), x)


def in_float32(function):
    """Let a function of the backend calculate with float32 where it gets float16, and round what it returns."""
    @wraps(function)
    def rounded(*args, **settings):
        if not any([isinstance(a, Array) and a.dtype == np.float16 for a in args]):
            return function(*args, **settings)
        results = function(*[cast(a, _FLOAT32) if isinstance(a, Array) and a.dtype == np.float16 else a for a in args],
                           **settings)
        if not isinstance(results, tuple):
            return cast(results, _FLOAT16)
        first_only = function.__name__.endswith("_forward")     # the others are for backward
        return tuple([y if y is None or first_only and i else cast(y, _FLOAT16) for i, y in enumerate(results)])

    return rounded


_FLOAT16, _FLOAT32 = np.dtype("float16"), np.dtype("float32")


def copy_into(y, x):
    """Write the numbers of x, broadcast, over those of y; → y."""
    y.memory.known = None
    if x.dtype == _FLOAT16 and y.dtype.kind != "f":
        x = cast(x, _FLOAT32)       # Numba would round float16 to the nearest whole number, and cannot make a bool of it
    if y.size:
        shape, y_steps, x_steps = collapsed(y.shape, y.steps, broadcast_steps(x, y.shape))
        _copy[blocks_for(y.size)](x.whole, x.offset, x_steps, shape, y.size, y.offset, y_steps, y.whole)
    return y


def fill(y, value):
    """Write one number over all of y."""
    y.memory.known = None
    if y.size:
        shape, steps = collapsed(y.shape, y.steps)
        value = bool(value) if y.dtype.kind == "b" else y.dtype.type(value)
        _fill[blocks_for(y.size)](value, shape, y.size, y.offset, steps, y.whole)


@kernel
def _copy(x, x_offset, x_steps, shape, n, y_offset, y_steps, y):
    i = cuda.grid(1)
    while i < n:
        y[y_offset + place(i, shape, y_steps)] = x[x_offset + place(i, shape, x_steps)]
        i += cuda.gridsize(1)


@kernel
def _fill(value, shape, n, y_offset, y_steps, y):
    i = cuda.grid(1)
    while i < n:
        y[y_offset + place(i, shape, y_steps)] = value
        i += cuda.gridsize(1)


@kernel
def _count(n, y):
    i = cuda.grid(1)
    while i < n:
        y[i] = i
        i += cuda.gridsize(1)


@device
def place(i, shape, steps):
    """Where in memory element i, counted in reading order, stands."""
    at = 0
    for d in range(len(shape) - 1, 0, -1):
        at += i % shape[d] * steps[d]
        i //= shape[d]
    return at + i * steps[0]


def broadcast_steps(x, shape):
    """The steps of x, repeated to this shape: 0 along the axes that it lacks."""
    new = len(shape) - x.ndim
    if new < 0 or any([n != 1 and n != m for n, m in zip(x.shape, shape[new:])]):
        raise ValueError(f"an array of shape {x.shape} cannot be broadcast to {shape}")
    return (0,) * new + tuple([0 if n == 1 else step for n, step in zip(x.shape, x.steps)])


def collapsed(shape, *steps):
    """The same walk over memory with as few axes as it takes, at least one: neighbours that run on are one axis."""
    axes: list = []
    for n, *step in zip(shape, *steps):
        if n == 1:
            continue
        if axes and all([before == n * s for before, s in zip(axes[-1][1:], step)]):
            axes[-1] = [axes[-1][0] * n, *step]
        else:
            axes.append([n, *step])
    return tuple(zip(*axes)) if axes else ((1,), *[(0,)] * len(steps))

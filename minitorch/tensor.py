"""The tensor: an array, its gradient, and the op it came from.

Methods are the functions of ``minitorch.ops``; operators call them too. Nothing is computed here.
"""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import numpy as np

from minitorch import _html, _printing, autograd, kernels, ops, random
from minitorch.autograd import Variable, is_grad_enabled
from minitorch.errors import ShapeError

__all__ = [
    "RemovableHandle", "Size", "Tensor", "device", "get_default_device", "is_tensor", "numel", "set_default_device",
]

Size = tuple  # the type of `shape`


class device:  # noqa: N801  (PyTorch's name)
    """Where a tensor lives: "cpu", or "cuda" for the GPU. In a ``with`` block, new tensors are made there.

    >>> minitorch.device("cpu")
    device(type='cpu')
    >>> with minitorch.device("cpu"):
    ...     minitorch.ones(2).device
    device(type='cpu')
    """

    def __init__(self, type: Any = "cpu", index=None):
        name, _, number = str(getattr(type, "type", type)).partition(":")
        if name not in ("cpu", "cuda") or number not in ("", "0") or index not in (None, 0):
            raise RuntimeError(f"device: there are 'cpu' and 'cuda', one GPU, got {type!r}")
        self.type, self.index = name, 0 if name == "cuda" else None

    def __eq__(self, other):
        return str(getattr(other, "type", other)).partition(":")[0] == self.type

    def __hash__(self):
        return hash(self.type)

    def __repr__(self):
        return f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __enter__(self):
        _defaults.append(_defaults[-1])
        set_default_device(self)
        return self

    def __exit__(self, *_):
        _defaults.pop()


CPU, CUDA = device("cpu"), device("cuda")
_defaults = [CPU]       # where new tensors are made; a `with` block adds its own


def set_default_device(device) -> None:
    """Make new tensors, and with them the parameters of new modules, on this device from now on."""
    _defaults[-1] = CPU if device is None else _device(device)


def get_default_device() -> device:
    """Where new tensors are made.

    >>> minitorch.get_default_device()
    device(type='cpu')
    """
    return _defaults[-1]


class Tensor(Variable):
    """A multi-dimensional array that remembers how it was computed.

    >>> x = minitorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])

    ``data`` is the NumPy array, ``grad`` the gradient (a tensor, or None), ``fn`` the op that made it (None for a leaf).
    """

    def __init__(self, *data, dtype=None, requires_grad: bool = False, device=None):
        if data and all(isinstance(size, int) for size in data):
            array = np.zeros(data)                              # Tensor(2, 3) names sizes, Tensor([2, 3]) values
        elif len(data) > 1:
            raise TypeError(f"Tensor: expected sizes or one list of values, got {len(data)} arguments. Write Tensor([...]).")
        else:
            values = data[0] if data else ()
            array = np.array(values.data if isinstance(values, Variable) else values, order="C")
        dtype = ops.as_dtype(dtype) if dtype is not None else ops.get_default_dtype()
        self._data = placed(array.astype(dtype, copy=False), device)
        self.requires_grad_(requires_grad)

    @staticmethod
    def like(array) -> Tensor:
        """Wrap an array, without copying it."""
        y = _new(Tensor)
        y._data = array if type(array) is np.ndarray or hasattr(array, "kernels") else np.asarray(array)
        return y

    # -----------------------------------------------------------------------------------------------------------------
    # what it is

    @property
    def data(self) -> np.ndarray:
        """The NumPy array with the values."""
        return self._data

    @data.setter
    def data(self, array):
        array = array._data if isinstance(array, Tensor) else array if hasattr(array, "kernels") else np.asarray(array)
        ops.as_dtype(array.dtype)
        if self._requires_grad and array.dtype.kind != "f":
            raise RuntimeError(f"data: this tensor requires a gradient; only float data can, got {array.dtype}")
        autograd.note_write(self._data)
        self._data = array

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() added up here; assign None to forget it."""
        if self._grad is None and self.fn is not None and self._requires_grad and not self.retains_grad:
            warnings.warn(f"grad: this tensor is no leaf but the result of {type(self.fn).__name__}, so backward() leaves "
                          "no gradient here. Call t.retain_grad() before backward(), or look at the leaf it came from.",
                          UserWarning, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, gradient):
        if gradient is not None:
            if not isinstance(gradient, Tensor):
                raise TypeError(f"grad: expected a Tensor or None, got {type(gradient).__name__}")
            if gradient.shape != self.shape:
                raise RuntimeError(f"grad: a gradient has its tensor's shape {self.shape}, got {gradient.shape}")
            if gradient.dtype != self.dtype:
                raise RuntimeError(f"grad: a gradient has its tensor's dtype {self.dtype}, got {gradient.dtype}")
            if gradient is self:
                raise RuntimeError("grad: a tensor cannot be its own gradient")
        self._grad = gradient

    @property
    def requires_grad(self) -> bool:
        """True if a gradient for this tensor is wanted."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted):
        if wanted and self._data.dtype.kind != "f":
            raise RuntimeError(f"requires_grad: only float tensors can require gradients, got {self._data.dtype}. "
                               "Use x.float().")
        if not wanted and self.fn is not None:
            raise RuntimeError("requires_grad: only a leaf can stop requiring its gradient. Use x.detach().")
        self._requires_grad = bool(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or stop asking; returns self."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """True if no op made it, so that backward() leaves its gradient here."""
        return self.fn is None

    @property
    def grad_fn(self):
        """The op that made this tensor, the tape's node; None for a leaf."""
        return self.fn

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self._data.dtype

    @property
    def device(self) -> device:
        """Where the values are."""
        return CPU if type(self._data) is np.ndarray else CUDA

    @property
    def is_cuda(self) -> bool:
        """Are the values on a GPU?"""
        return type(self._data) is not np.ndarray

    _stays = False  # is it a parameter, which `+=` updates where it stands, frozen or not?
    is_sparse = False

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def itemsize(self) -> int:
        """Bytes per value."""
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self._data.nbytes

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        if self.ndim < 2:
            raise ShapeError(f"mT: expected a matrix or a batch of them, got shape {self.shape}")
        return ops.transpose(self, -2, -1)

    def dim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    ndimension = dim

    def size(self, dim: int | None = None):
        """Sizes of the axes, or of one of them."""
        if dim is not None and not -self.ndim <= dim < self.ndim:
            raise IndexError(f"size: dimension out of range [{-self.ndim}, {self.ndim - 1}], got {dim}")
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Number of values."""
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes per value."""
        return self._data.itemsize

    def stride(self, dim: int | None = None):
        """Steps, in values, from one element to the next along each axis."""
        strides = tuple(s // self.itemsize for s in self._data.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """True if the values lie in memory in reading order."""
        return self._data.flags.c_contiguous

    is_floating_point = ops.is_floating_point

    def is_complex(self) -> bool:
        """Never: there are no complex tensors here."""
        return False

    # -----------------------------------------------------------------------------------------------------------------
    # gradients

    def backward(self, gradient=None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Compute d(self)/d(leaf) for every leaf behind this tensor, and add it to the leaf's ``grad``.

        A tensor with more than one value needs ``gradient``, d(result)/d(self), of its own shape. The graph is freed on
        the way, unless ``retain_graph`` is true.
        """
        if create_graph:
            raise NotImplementedError("backward: create_graph=True (second derivatives) is not supported: backward "
                                      "passes run in kernels that the tape does not see.")
        autograd.backward([self], [gradient], bool(retain_graph))

    def detach(self) -> Tensor:
        """The same values, cut from the graph: no gradient flows through."""
        return self.like(self._data)

    def retain_grad(self) -> None:
        """Keep ``grad`` for this tensor although it is not a leaf."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this tensor does not require a gradient. Make its inputs with "
                               "requires_grad=True.")
        if self.fn is None or "retain" in (self._hooks or {}):
            return
        me = weakref.ref(self)

        def keep(gradient):
            tensor = me()
            if tensor is not None:
                before = tensor._grad
                tensor._grad = _wrap(gradient.copy() if before is None else before.data + gradient)

        self._hooks = {"retain": keep}
        self._hooks_of_place()["retain"] = keep

    @property
    def retains_grad(self) -> bool:
        """True if retain_grad() was called on a tensor that is not a leaf."""
        return self.fn is not None and "retain" in (self._hooks or {})

    def register_hook(self, hook):
        """Call ``hook(gradient)`` whenever this tensor's gradient is known; it may return another one to use instead.

        Returns a handle; ``handle.remove()`` takes the hook away.
        """
        if not self._requires_grad:
            raise RuntimeError("register_hook: this tensor does not require a gradient, so none will come. Make its "
                               "inputs with requires_grad=True.")

        def on_arrays(gradient):  # must not hold self: a node that holds its own output would never be freed
            replacement = hook(_wrap(gradient))
            if replacement is None:
                return None
            if not isinstance(replacement, Tensor) or replacement.shape != gradient.shape:
                given = f"shape {replacement.shape}" if isinstance(replacement, Tensor) else type(replacement).__name__
                raise RuntimeError(f"register_hook: the hook returned {given}; it should return None, or a Tensor of the "
                                   f"gradient's shape {gradient.shape}")
            return replacement._data.astype(gradient.dtype, copy=False)

        hooks = self._hooks_of_place()
        retain = hooks.pop("retain", None)
        key = object()
        hooks[key] = on_arrays
        if retain is not None:
            hooks["retain"] = retain  # keeps what the hooks made of it, so it stays last
        return RemovableHandle(hooks, key)

    def _hooks_of_place(self) -> dict:
        if self.fn is None:
            self._hooks = {} if self._hooks is None else self._hooks
            return self._hooks
        self.fn.hooks = {} if self.fn.hooks is None else self.fn.hooks
        return self.fn.hooks.setdefault(self.slot, {})

    # -----------------------------------------------------------------------------------------------------------------
    # to Python and NumPy, and back

    def item(self) -> bool | int | float:
        """The value of a tensor that has just one, as a Python number."""
        if self._data.size != 1:
            raise ShapeError(f"item: a tensor of shape {self.shape} has {self._data.size} values, not one. "
                               "Use .tolist(), or reduce it first.")
        return self._data.item()

    def tolist(self):
        """The values as nested Python lists."""
        return self._data.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares memory with the tensor; with ``force``, of one on the GPU, a copy."""
        if self._requires_grad and not force and is_grad_enabled():
            raise RuntimeError("numpy: this tensor requires a gradient, and NumPy would not carry it on. "
                               "Use x.detach().numpy().")
        if type(self._data) is not np.ndarray:
            if force:
                return self._data.to_host()
            raise TypeError("numpy: this tensor is on the GPU. Copy it first: x.cpu().numpy().")
        return self._data

    def __array__(self, dtype=None, copy=None):
        # Plotting and np.testing need the values of any tensor; read-only, so that no graph is damaged unseen.
        if type(self._data) is not np.ndarray:
            raise TypeError("numpy: this tensor is on the GPU. Copy it first: x.cpu().")
        if self._requires_grad or self.fn is not None:
            view = self._data.view()
            view.flags.writeable = False
        else:
            view = self._data
        if dtype is not None and np.dtype(dtype) != view.dtype:
            if copy is False:
                raise ValueError(f"__array__: {view.dtype} cannot become {np.dtype(dtype)} without a copy")
            return view.astype(dtype)
        return view.copy() if copy else view

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **settings):
        """``ndarray * tensor`` gives a tensor; ``ndarray -= tensor`` writes into the array; np.exp(tensor) says no."""
        name = _UFUNCS.get(ufunc.__name__)
        if name is None or method != "__call__" or settings:
            ours = f"minitorch.{ufunc.__name__}" if hasattr(ops, ufunc.__name__) else "a minitorch function"
            raise TypeError(f"np.{ufunc.__name__} would lose the gradient of a Tensor. Use {ours}, or, if no gradient "
                            "is needed, x.detach().numpy().")
        if out is not None:
            arrays = []
            for x in inputs:
                ours = isinstance(x, Tensor)
                if ours and x._requires_grad and is_grad_enabled():
                    raise RuntimeError(f"np.{ufunc.__name__} into an array would lose the gradient of a Tensor. "
                                       "Use .detach(), or do it inside no_grad().")
                arrays.append(x._data if ours else x)
            autograd.note_write(out[0])
            return ufunc(*arrays, out=out)
        return getattr(ops, name)(*inputs)

    def __dlpack__(self, *, stream=None, **settings):
        if self._requires_grad:
            raise BufferError("__dlpack__: this tensor requires a gradient, and DLPack would not carry it on. "
                              "Use x.detach().")
        if self.is_cuda:
            raise BufferError("__dlpack__: this tensor is on the GPU. CuPy and PyTorch share its memory without DLPack: "
                              "cupy.asarray(x), torch.as_tensor(x, device='cuda').")
        return self._data.__dlpack__(stream=stream, **settings)

    @property
    def __cuda_array_interface__(self):
        if type(self._data) is np.ndarray:
            raise AttributeError("__cuda_array_interface__: this tensor is on the CPU")
        if self._requires_grad:
            raise RuntimeError("__cuda_array_interface__: this tensor requires a gradient, and the other library would not "
                               "carry it on. Use x.detach().")
        return self._data.__cuda_array_interface__

    def __dlpack_device__(self):
        return self._data.__dlpack_device__()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self._data.dtype.kind not in "iu" or self._data.size != 1:
            raise TypeError(f"only an integer tensor with one value can be an index, got {self.dtype} {self.shape}")
        return int(self._data.item())

    def __bool__(self):
        if self._data.size != 1:
            raise RuntimeError(f"bool: a tensor of shape {self.shape} is neither true nor false. "
                               "Use .any(), .all() or .item().")
        return bool(self._data.item())

    def __len__(self):
        if not self._data.ndim:
            raise TypeError("len: a 0-d tensor has no length")
        return len(self._data)

    def __iter__(self):
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, value):
        return bool((self._data == (value._data if isinstance(value, Tensor) else value)).any())

    __hash__ = object.__hash__  # by identity, although == compares elements

    def __repr__(self, *, tensor_contents=None):
        return _printing.tensor(self)

    def _repr_html_(self):
        return _html.tensor(self)

    def __format__(self, spec):
        if spec and self._data.size != 1:
            raise TypeError(f"format: {spec!r} formats one number, the tensor has shape {self.shape}. Reduce it first, or "
                            "use set_printoptions(precision=...).")
        return format(self.item(), spec) if spec else repr(self)

    def __deepcopy__(self, memo):
        if self.fn is not None:
            raise RuntimeError("deepcopy: only leaves can be copied together with their history. Use x.detach().clone().")
        copy = type(self).__new__(type(self))
        memo[id(self)] = copy
        copy._data, copy._requires_grad = kernels.aligned(self._data.copy()), self._requires_grad
        if self._grad is not None:
            copy._grad = self.like(self._grad._data.copy())
        return copy

    # -----------------------------------------------------------------------------------------------------------------
    # copies and casts

    def to(self, *args, dtype=None, device=None, copy: bool = False, non_blocking: bool = False) -> Tensor:
        """Another dtype or device: ``x.to(minitorch.float64)``, ``x.to("cpu")``, ``x.to(other)``."""
        for arg in args:
            if isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif _is_device(arg):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        y = self if dtype is None else ops.to_dtype(self, dtype)
        if device is not None and _device(device) != y.device:
            y = ops.to_device(y, _device(device).type)
        return y.clone() if copy and y is self else y

    def type(self, dtype=None):
        """The dtype's name; or, given a dtype, the tensor cast to it."""
        return str(self.dtype) if dtype is None else ops.to_dtype(self, dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """This tensor with other's dtype."""
        return ops.to_dtype(self, other.dtype)

    def float(self) -> Tensor:
        """As float32."""
        return ops.to_dtype(self, np.float32)

    def double(self) -> Tensor:
        """As float64."""
        return ops.to_dtype(self, np.float64)

    def half(self) -> Tensor:
        """As float16."""
        return ops.to_dtype(self, np.float16)

    def long(self) -> Tensor:
        """As int64."""
        return ops.to_dtype(self, np.int64)

    def int(self) -> Tensor:
        """As int32."""
        return ops.to_dtype(self, np.int32)

    def bool(self) -> Tensor:
        """As bool: False where 0."""
        return ops.to_dtype(self, np.bool_)

    def cpu(self) -> Tensor:
        """On the CPU: itself, or a copy from the GPU. Gradients flow back to where it was."""
        return self.to(CPU)

    def cuda(self, device=None, non_blocking: bool = False) -> Tensor:
        """On the GPU: itself, or a copy from the CPU. Gradients flow back to where it was."""
        return self.to(CUDA if device is None or isinstance(device, int) else device)

    def new_tensor(self, data, dtype=None, requires_grad=False) -> Tensor:
        """A new leaf with this tensor's dtype."""
        array = np.array(data.cpu().data if isinstance(data, Tensor) else data)
        return self._leaf(array.astype(self.dtype if dtype is None else ops.as_dtype(dtype)), requires_grad)

    def _leaf(self, array, requires_grad) -> Tensor:
        """A leaf with these values, on this tensor's device."""
        return self.like(placed(array, self.device)).requires_grad_(requires_grad)

    def new_zeros(self, *size, dtype=None, requires_grad=False) -> Tensor:
        """Zeros of this tensor's dtype."""
        return self.new_full(*_sizes(size), fill_value=0, dtype=dtype, requires_grad=requires_grad)

    def new_ones(self, *size, dtype=None, requires_grad=False) -> Tensor:
        """Ones of this tensor's dtype."""
        return self.new_full(*_sizes(size), fill_value=1, dtype=dtype, requires_grad=requires_grad)

    def new_empty(self, *size, dtype=None, requires_grad=False) -> Tensor:
        """Memory with whatever was in it, of this tensor's dtype."""
        return self._leaf(np.empty(_sizes(size), self.dtype if dtype is None else ops.as_dtype(dtype)), requires_grad)

    def new_full(self, *size, fill_value=None, dtype=None, requires_grad=False) -> Tensor:
        """One value throughout, in this tensor's dtype."""
        if fill_value is None:
            size, fill_value = size[:-1], size[-1]
        array = np.full(_sizes(size), fill_value, self.dtype if dtype is None else ops.as_dtype(dtype))
        return self._leaf(array, requires_grad)

    # -----------------------------------------------------------------------------------------------------------------
    # writing in place: only what does not damage a graph

    def __setitem__(self, index, value):
        self._check_writable("t[...] = v")
        if isinstance(value, Tensor) and value._requires_grad and is_grad_enabled():
            raise RuntimeError("t[...] = v: v requires a gradient, and writing it into t would lose it. Build the result "
                               "with cat, stack or where instead, or write v.detach().")
        value = value._data if isinstance(value, Tensor) else value
        try:
            self._data[ops.plain_index(self, index)] = value
        except ValueError as error:
            place = np.shape(self._data[ops.plain_index(self, index)])
            raise ShapeError(f"t[...] = v: in t {self.shape} the place has shape {place}, v has {np.shape(value)}: "
                             f"{error}") from None
        autograd.note_write(self._data)

    def fill_(self, value) -> Tensor:
        """Write one value everywhere."""
        self[...] = value
        return self

    def zero_(self) -> Tensor:
        """Write zeros everywhere, as in ``w.grad.zero_()``."""
        return self.fill_(0)

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator=None) -> Tensor:
        """Write normal random numbers everywhere."""
        return self.copy_(random.normal(mean, std, self.shape, self.dtype, generator))

    def uniform_(self, low: float = 0.0, high: float = 1.0, *, generator=None) -> Tensor:
        """Write uniform random numbers everywhere, from low up to high."""
        return self.copy_(random.uniform(low, high, self.shape, self.dtype, generator))

    def copy_(self, source) -> Tensor:
        """Write another tensor's values into this one."""
        self[...] = source
        return self

    def _check_writable(self, op):
        if not is_grad_enabled():
            pass
        elif self.fn is not None:
            raise RuntimeError(f"{op}: t is part of a graph, and backward would use overwritten values. Build a new tensor "
                               "instead: where, masked_fill, cat; or write into t.detach().clone().")
        elif self._requires_grad:
            raise RuntimeError(f"{op}: t is a leaf that requires a gradient; writing into it would lose it. Do it inside "
                               "no_grad().")
        if not self._data.flags.writeable:
            raise RuntimeError(f"{op}: t shares memory that must not be written (expand, broadcast or a read-only array). "
                               "Write into t.clone().")

    def __dir__(self):
        return [name for name in super().__dir__() if not isinstance(vars(Tensor).get(name), _InPlace)]

    # -----------------------------------------------------------------------------------------------------------------
    # operators. `x += y` makes a new tensor, except for a parameter inside no_grad(), which is updated where it stands.

    __neg__ = ops.neg
    __pos__ = lambda self: self
    __abs__ = ops.abs
    __invert__ = ops.bitwise_not
    __add__ = __radd__ = ops.add
    __sub__ = ops.sub
    __rsub__ = ops.rsub
    __mul__ = __rmul__ = ops.mul
    __truediv__ = ops.div
    __rtruediv__ = lambda self, other: ops.div(other, self)
    __floordiv__ = ops.floor_divide
    __rfloordiv__ = lambda self, other: ops.floor_divide(other, self)
    __mod__ = ops.remainder
    __rmod__ = lambda self, other: ops.remainder(other, self)
    __pow__ = ops.pow
    __rpow__ = lambda self, other: ops.pow(other, self)
    __matmul__ = ops.matmul
    __rmatmul__ = lambda self, other: ops.matmul(other, self)
    __and__ = __rand__ = ops.bitwise_and
    __or__ = __ror__ = ops.bitwise_or
    __xor__ = __rxor__ = ops.bitwise_xor
    __eq__ = lambda self, other: ops.eq(self, other) if _is_operand(other) else NotImplemented  # type: ignore
    __ne__ = lambda self, other: ops.ne(self, other) if _is_operand(other) else NotImplemented  # type: ignore
    __lt__ = ops.lt
    __le__ = ops.le
    __gt__ = ops.gt
    __ge__ = ops.ge
    __getitem__ = ops.getitem
    __iadd__ = lambda self, other: self._update("+=", ops.add(self, other))
    __isub__ = lambda self, other: self._update("-=", ops.sub(self, other))
    __imul__ = lambda self, other: self._update("*=", ops.mul(self, other))
    __itruediv__ = lambda self, other: self._update("/=", ops.div(self, other))

    def _update(self, op, result):
        if self.fn is not None or not (self._requires_grad or self._stays):
            return result
        self._check_writable(f"t {op} v")
        if result._requires_grad:  # a frozen parameter plus something that learns
            return result
        if result.shape != self.shape:
            raise ShapeError(f"t {op} v: the result has shape {result.shape}, t has {self.shape}")
        self._data[...] = result._data
        autograd.note_write(self._data)
        return self

    # -----------------------------------------------------------------------------------------------------------------
    # methods: the functions of minitorch.ops under the same names

    # element by element
    neg = ops.neg
    negative = ops.negative
    abs = ops.abs
    absolute = ops.absolute
    exp = ops.exp
    expm1 = ops.expm1
    log = ops.log
    log2 = ops.log2
    log10 = ops.log10
    log1p = ops.log1p
    sqrt = ops.sqrt
    rsqrt = ops.rsqrt
    square = ops.square
    reciprocal = ops.reciprocal
    sin = ops.sin
    cos = ops.cos
    tan = ops.tan
    tanh = ops.tanh
    sigmoid = ops.sigmoid
    relu = ops.relu
    silu = ops.silu
    erf = ops.erf
    erfc = ops.erfc
    sign = ops.sign
    floor = ops.floor
    ceil = ops.ceil
    trunc = ops.trunc
    round = ops.round
    clamp = ops.clamp
    clip = ops.clip
    clamp_min = ops.clamp_min
    clamp_max = ops.clamp_max
    isnan = ops.isnan
    isinf = ops.isinf
    isfinite = ops.isfinite
    nan_to_num = ops.nan_to_num
    add = ops.add
    sub = ops.sub
    subtract = ops.subtract
    mul = ops.mul
    multiply = ops.multiply
    div = ops.div
    divide = ops.divide
    true_divide = ops.true_divide
    floor_divide = ops.floor_divide
    remainder = ops.remainder
    pow = ops.pow
    maximum = ops.maximum
    minimum = ops.minimum
    lerp = ops.lerp
    eq = ops.eq
    ne = ops.ne
    lt = ops.lt
    le = ops.le
    gt = ops.gt
    ge = ops.ge
    logical_and = ops.logical_and
    logical_or = ops.logical_or
    logical_xor = ops.logical_xor
    logical_not = ops.logical_not
    bitwise_and = ops.bitwise_and
    bitwise_or = ops.bitwise_or
    bitwise_xor = ops.bitwise_xor
    bitwise_not = ops.bitwise_not
    exp2 = ops.exp2
    sinh = ops.sinh
    cosh = ops.cosh
    asin = ops.asin
    arcsin = ops.arcsin
    acos = ops.acos
    arccos = ops.arccos
    atan = ops.atan
    arctan = ops.arctan
    atan2 = ops.atan2
    arctan2 = ops.arctan2
    asinh = ops.asinh
    acosh = ops.acosh
    atanh = ops.atanh
    logit = ops.logit
    frac = ops.frac
    fmod = ops.fmod
    hypot = ops.hypot
    logaddexp = ops.logaddexp
    addcmul = ops.addcmul
    addcdiv = ops.addcdiv
    isclose = ops.isclose
    allclose = ops.allclose
    equal = ops.equal
    greater = ops.greater
    greater_equal = ops.greater_equal
    less = ops.less
    less_equal = ops.less_equal
    not_equal = ops.not_equal
    # reductions
    sum = ops.sum
    mean = ops.mean
    var = ops.var
    std = ops.std
    prod = ops.prod
    amax = ops.amax
    amin = ops.amin
    max = ops.max
    min = ops.min
    aminmax = ops.aminmax
    argmax = ops.argmax
    argmin = ops.argmin
    all = ops.all
    any = ops.any
    logsumexp = ops.logsumexp
    cumsum = ops.cumsum
    cumprod = ops.cumprod
    diff = ops.diff
    norm = ops.norm
    median = ops.median
    count_nonzero = ops.count_nonzero
    # products
    matmul = ops.matmul
    mm = ops.mm
    bmm = ops.bmm
    mv = ops.mv
    dot = ops.dot
    inner = ops.inner
    outer = ops.outer
    addmm = ops.addmm
    addmv = ops.addmv
    baddbmm = ops.baddbmm
    matrix_power = ops.matrix_power
    # shape
    reshape = ops.reshape
    reshape_as = ops.reshape_as
    view = ops.view
    view_as = ops.view_as
    permute = ops.permute
    transpose = ops.transpose
    swapaxes = ops.swapaxes
    swapdims = ops.swapdims
    t = ops.t
    squeeze = ops.squeeze
    unsqueeze = ops.unsqueeze
    expand = ops.expand
    expand_as = ops.expand_as
    broadcast_to = ops.broadcast_to
    flatten = ops.flatten
    ravel = ops.ravel
    unflatten = ops.unflatten
    split = lambda self, split_size, dim=0: ops.split(self, split_size, dim)
    chunk = ops.chunk
    tensor_split = ops.tensor_split
    unbind = ops.unbind
    repeat = ops.repeat
    repeat_interleave = ops.repeat_interleave
    tile = ops.tile
    flip = ops.flip
    fliplr = ops.fliplr
    flipud = ops.flipud
    roll = ops.roll
    movedim = ops.movedim
    moveaxis = ops.moveaxis
    narrow = ops.narrow
    select = ops.select
    unfold = ops.unfold
    contiguous = ops.contiguous
    clone = ops.clone
    tril = ops.tril
    triu = ops.triu
    diagonal = ops.diagonal
    diag = ops.diag
    trace = ops.trace
    # indexing
    index_select = ops.index_select
    gather = ops.gather
    scatter = ops.scatter
    scatter_add = ops.scatter_add
    index_add = ops.index_add
    index_fill = ops.index_fill
    take_along_dim = ops.take_along_dim
    masked_fill = ops.masked_fill
    masked_select = ops.masked_select
    topk = ops.topk
    sort = ops.sort
    argsort = ops.argsort
    multinomial = ops.multinomial
    nonzero = ops.nonzero
    argwhere = ops.argwhere
    unique = ops.unique
    bincount = ops.bincount
    # layers
    softmax = ops.softmax
    log_softmax = ops.log_softmax

    def where(self, condition, other) -> Tensor:
        """Here from self where condition holds, there from other."""
        return ops.where(condition, self, other)


_new, _wrap = object.__new__, Tensor.like


class _InPlace:
    """``x.add_``, ``x.relu_``, …: an error that says what to write. (A ``__getattr__`` would slow every attribute down.)"""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, tensor, owner=None):
        raise AttributeError(f"{self.name}_: there is no in-place arithmetic here. Use x = x.{self.name}(...); it gives the "
                             "same values, and gradients stay right.")


for _name in set(dir(Tensor)):
    if not (_name.startswith("_") or _name.endswith("_") or hasattr(Tensor, _name + "_")):
        setattr(Tensor, _name + "_", _InPlace(_name))


def _is_operand(x) -> bool:
    """False for None, strings and other things that no element can be equal to."""
    return isinstance(x, (Tensor, bool, int, float, np.ndarray, np.generic))


def is_tensor(obj) -> bool:
    """True for a tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """Number of values."""
    return input.numel()


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away again, also at the end of a ``with`` block."""

    def __init__(self, hooks: dict, key):
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


_UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "power": "pow",
    "floor_divide": "floor_divide", "remainder": "remainder", "matmul": "matmul", "maximum": "maximum",
    "minimum": "minimum", "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
}


def _sizes(size) -> tuple:
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else tuple(size)


def _is_device(x) -> bool:
    return isinstance(x, device) or isinstance(x, str) and x.partition(":")[0] in ("cpu", "cuda", "mps")


def _device(x) -> device:
    return x if isinstance(x, device) else CUDA if isinstance(x, int) else device(x)


def placed(array, x):
    """The array on this device; None means on the default one, and an array on the GPU stays there."""
    if x is None:
        return array if _defaults[-1].type == "cpu" or type(array) is not np.ndarray else kernels.cuda.to_device(array)
    if _device(x) == CPU:
        return array if type(array) is np.ndarray else array.to_host()
    return kernels.cuda.to_device(array)

"""All that minitorch knows of numba.cuda: compiling, launching, memory, and what is missing where there is no GPU.

A kernel is a Python function that every thread of the GPU runs. Its file writes it once, for any float dtype:

    @kernel
    def _scale(x, factor, y):
        i = cuda.grid(1)
        if i < y.size:
            y[i] = factor * x[i] + 0.5

    _scale[blocks_for(y.size)](x, 2.0, y)

The number in square brackets is how many blocks of ``THREADS`` threads run, or (across, down) for a grid of blocks, or
(blocks, (threads across, threads down)). Before a kernel
is compiled for a dtype, its float literals and the name ``number`` take that dtype, so nothing in a float32 kernel becomes
float64 by accident. It is compiled once for each list of argument types, with an explicit signature, and held ready.

With NUMBA_ENABLE_CUDASIM=1, set before Python starts, Numba's simulator runs the same kernels without a GPU: a Python thread
for each of theirs. Blocks and tiles are tiny there; ``TINY`` says so. MINITORCH_CUDA_REAL_SIZES=1 makes them a GPU's.
"""

import math
import os
from contextlib import contextmanager
from types import CodeType, FunctionType, SimpleNamespace

import numba
import numpy as np
from llvmlite import ir
from numba import cuda

from .. import scalar

__all__ = [
    "Kernel", "SIMULATED", "THREADS", "TINY", "WARP", "about", "address_of", "allocate", "between", "blocks_for", "count",
    "cuda", "device", "intrinsic", "ir", "kernel", "kernels", "launches", "memory_stats", "number", "on_stream",
    "release_cached", "scalars", "stream_number", "synchronize", "trouble",
]

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
TINY = SIMULATED and os.environ.get("MINITORCH_CUDA_REAL_SIZES") != "1"
THREADS = 4 if TINY else 256    # in a block; a power of two
WARP = 2 if TINY else 32        # threads that run in step, and can look at each other's registers
MOST_BLOCKS = 2 if TINY else 2048   # loops step by the whole grid, so more would only mean shorter loops
numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0    # a small array fills no GPU, and that is no mistake


def trouble():
    """What keeps kernels from running here, and what to do about it; None if nothing does."""
    if SIMULATED or cuda.is_available():
        return None
    reason = " ".join(str(cuda.cuda_error() or "no GPU was found").split())
    return (f"Numba finds no usable NVIDIA GPU: {reason} Needed are an NVIDIA GPU with its driver (nvidia-smi shows both) "
            "and the CUDA packages: pip install 'numba-cuda[cu13]' (cu12 for a driver older than 580).")


def about():
    """The GPU's name, its compute capability and its multiprocessors, and the version of Numba, as texts."""
    if SIMULATED:
        return {"gpu": "none: simulated by Numba"}
    gpu = cuda.get_current_device()
    name = gpu.name.decode() if isinstance(gpu.name, bytes) else str(gpu.name)
    return {"gpu": name, "compute capability": ".".join(map(str, gpu.compute_capability)),
            "multiprocessors": str(gpu.MULTIPROCESSOR_COUNT),
            "numba": numba.__version__}


# ---------------------------------------------------------------------------------------------------------------------
# writing kernels

number = np.float32     # in a kernel: the float type that it is being compiled for


def kernel(function):
    """Make a function into a kernel, to be launched as ``name[blocks](arrays and numbers)``."""
    return Kernel(function)


def device(function, single=None, **within):
    """Make a function into one that kernels can call. ``within`` gives names in it a meaning of their own.

    ``single``: another function, which takes its place where numbers are float32.
    """
    return _Source(function, single, **within)


def intrinsic(function):
    """Make a function that writes LLVM code into one that kernels can call. The simulator has none: it compiles nothing."""
    return None if SIMULATED else cuda.extending.intrinsic(function)


class _Source:
    """A function for the GPU, not yet compiled. ``within`` gives names that it uses a meaning, beside its module's."""

    def __init__(self, function, single=None, **within):
        self.function, self.single, self.within = function, single, within
        self.versions = {}

    @property
    def name(self):
        """"family._name", for messages: of the variable, where the function is a lambda."""
        f = self.function
        names = [name for name, value in f.__globals__.items() if value is self]
        return f"{f.__module__.rpartition('.')[2]}.{(names or [f.__name__])[0]}"

    def version(self, number):
        """The compiled function for this float type, as other functions call it."""
        if self.single is not None and number is np.float32:
            return self.single.version(number)
        if number not in self.versions:
            self.versions[number] = cuda.jit(device=True)(self.copy(number))
        return self.versions[number]

    def copy(self, number):
        """The plain function, in which literals, ``number`` and the functions that it calls are of this float type."""
        f = self.function
        used = _names(f.__code__)
        space = {name: value for name, value in {**f.__globals__, **self.within}.items() if name in used}
        for name, value in space.items():
            if isinstance(value, _Source):
                space[name] = value.version(number)
            elif type(value) is float:
                space[name] = number(value)
        space.update(number=number, cuda=cuda, __name__=f.__module__, __builtins__=__builtins__)
        if SIMULATED and "math" in space:
            space["math"] = _quiet_math
        code = f.__code__.replace(co_consts=tuple([number(c) if type(c) is float else c for c in f.__code__.co_consts]))
        copy = FunctionType(code, space, f.__name__, f.__defaults__, f.__closure__)
        copy.__qualname__, copy.__module__ = f.__qualname__, f.__module__
        return _Quiet(copy) if SIMULATED else copy


class Kernel(_Source):
    """A function that a grid of threads runs. What it is compiled for is held, by grid and argument types."""

    def __init__(self, function, name="", number_like=None, registers=None, **within):
        super().__init__(function, **within)
        self.number_like = number_like      # the argument whose dtype `number` is; None: the first float array's
        self.registers = registers          # at most so many a thread, so that more blocks run at a time; None: any number
        self.called = name or f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.compiled, self.held = {}, {}
        kernels[self.called] = self

    def __getitem__(self, grid):
        blocks, threads = grid if isinstance(grid, tuple) and isinstance(grid[-1], tuple) else (grid, THREADS)

        def launch(*args):
            key = blocks, threads, _stream, *[_type_of(a) for a in args]
            try:
                run = self.held.get(key) or self._hold(key, blocks, threads)
                run(*[getattr(a, "linear", a) for a in args])
            except Exception as error:
                types = ", ".join(map(str, key[3:]))
                raise RuntimeError(f"CUDA kernel {self.called}({types}), {blocks} blocks of {threads} threads: "
                                   f"{type(error).__name__}: {error}") from error
            count(self.called)

        return launch

    def _hold(self, key, blocks, threads):
        signature = key[3:]
        if signature not in self.compiled:
            plain = self.copy(self.number_for(signature))
            self.compiled[signature] = cuda.jit(plain) if SIMULATED else cuda.jit(
                self.types(signature), max_registers=self.registers)(plain)
        launcher = self.compiled[signature][blocks, threads, _stream]
        if not SIMULATED:       # there, all launchers of a kernel are one object
            self.held[key] = launcher
        return launcher

    def ptx(self, signature, cc=(9, 0)):
        """What the compiler makes of it for these argument types: PTX. No GPU is needed."""
        return cuda.compile_ptx(self.copy(self.number_for(signature)), self.types(signature), cc=cc)[0]

    def number_for(self, signature):
        """What ``number`` stands for, given the types of the arguments. Nobody calculates with float16: float32 does."""
        if self.number_like is not None:
            like = signature[self.number_like].strip("[]")
            return np.dtype("f4" if like == "f2" else like).type
        floats = [t.strip("[]") for t in signature if t.strip("[]") in ("f4", "f8")]
        return np.dtype(floats[0]).type if floats else np.float32

    def types(self, signature):
        """Numba's types for what ``_type_of`` wrote."""
        def one(t):
            if t.startswith("["):
                return numba.types.Array(numba.from_dtype(np.dtype(t[1:-1])), 1, "C")
            if t.endswith("i8") and t != "i8":
                return numba.types.UniTuple(numba.int64, int(t[:-2]))
            return numba.from_dtype(np.dtype(self.number_for(signature) if t == "float" else t))

        return tuple([one(t) for t in signature])


kernels: dict[str, Kernel] = {}     # every kernel, by "family._name"
launches: dict[str, int] = {}       # how often each was launched


def count(name):
    """Note that a kernel, or a library's, was launched."""
    launches[name] = launches.get(name, 0) + 1


def blocks_for(n, threads=THREADS):
    """How many blocks share n elements, when threads step over the array by the size of the grid."""
    return max(1, min(-(-n // threads), MOST_BLOCKS))


def _type_of(a):
    """An argument's type, as text: "[f4]" is a flat array of float32, "i8" a whole number, "4i8" four, "float" a float."""
    kind = type(a)
    if kind is int:
        return "i8"
    if kind is tuple:
        return f"{len(a)}i8"
    if kind is bool or kind is float:
        return kind.__name__
    return f"[{a.dtype.str[1:]}]" if hasattr(a, "linear") else a.dtype.str[1:]


def _names(code):
    """Every global that this code, or a function inside it, may look up."""
    return set(code.co_names).union(*[_names(c) for c in code.co_consts if isinstance(c, CodeType)])


class _Quiet:
    """In the simulator: a kernel's function, run without NumPy's warnings. On a GPU 1/0 is inf, and nobody warns."""

    def __init__(self, function):
        self.function, self.__globals__, self.__name__ = function, function.__globals__, function.__name__

    def __call__(self, *args):
        with np.errstate(all="ignore"):
            return self.function(*args)


# In the simulator `math` must not raise either: exp(1000) is inf and log(0) is −inf.
_quiet_math = SimpleNamespace(**{name: getattr(math, name) for name in dir(math)})
_NUMPY = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh",
          "atanh": "arctanh", "pow": "power", "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2",
          "log10": "log10", "log1p": "log1p", "sqrt": "sqrt", "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh",
          "cosh": "cosh", "tanh": "tanh", "hypot": "hypot", "fmod": "fmod", "floor": "floor", "ceil": "ceil",
          "trunc": "trunc"}
vars(_quiet_math).update({name: getattr(np, ours) for name, ours in _NUMPY.items()})


# ---------------------------------------------------------------------------------------------------------------------
# kernels/scalar.py, for kernels to call

def _scalars():
    """Every formula of kernels/scalar.py. They call each other; exp is the GPU's own, which has one in hardware."""
    names = [name for name in scalar.__all__ if name not in ("compiled", "exp", "seed_keys")]
    sources = {name: _Source(getattr(scalar, name)) for name in names}
    sources["exp"] = _Source(_exp)
    for name, source in sources.items():
        source.within = {other: sources[other] for other in sources if other != name}   # `erf` in math.erf is not ours
    return SimpleNamespace(**sources)


def _exp(x):
    return math.exp(x)


scalars = _scalars()


# ---------------------------------------------------------------------------------------------------------------------
# streams: work in one stream is done in the order it was given

_stream = 0     # the default stream


@contextmanager
def on_stream(stream):
    """Launch on this stream inside the block."""
    global _stream
    before, _stream = _stream, stream
    try:
        yield stream
    finally:
        _stream = before


def stream_number():
    """The stream as other libraries know it; 0 is the default stream."""
    protocol = getattr(_stream, "__cuda_stream__", lambda: None)()      # (version, stream)
    if protocol:
        return int(protocol[1])
    handle = getattr(_stream, "handle", 0)
    return int(getattr(handle, "value", handle) or 0)


def synchronize():
    """Wait until the GPU has done all that it was told."""
    cuda.synchronize()


# ---------------------------------------------------------------------------------------------------------------------
# memory: asking the driver for some takes long and may wait for the GPU, so what is given back is kept for the next array

EXACT = os.environ.get("MINITORCH_CUDA_EXACT_MEMORY") == "1"     # no pool: for tools that look at every access


class Memory:
    """A piece of the GPU's memory; it goes back to the pool when nobody holds it. Work is ordered, so it is free at once."""

    __slots__ = ("array", "bytes", "known", "views")
    aligned = True      # the driver's pieces begin at a multiple of 256 bytes

    def __init__(self, nbytes):
        # sizes are rounded up to 2ⁿ or 3 · 2ⁿ⁻¹, so that a later array is likely to fit: at most a third is wasted
        power = 1 << max(9, (max(nbytes, 1) - 1).bit_length())
        self.bytes = max(nbytes, 1) if EXACT else power * 3 // 4 if nbytes <= power * 3 // 4 else power
        kept = _pool.get(self.bytes)
        if kept:
            self.array, self.views = kept.pop()
        else:
            self.array, self.views = _ask_driver(self.bytes), {}
            memory_stats["reserved"] += self.bytes
        if SIMULATED:
            self.array.copy_to_device(np.full(self.bytes, 0xFF, np.uint8))  # NaN as a float: what is not written shows
        self.known = None       # what was seen of its numbers when they came: _array.Known
        memory_stats["allocated"] += self.bytes
        memory_stats["most_allocated"] = max(memory_stats["most_allocated"], memory_stats["allocated"])

    @property
    def address(self):
        """Where it begins: a number of bytes."""
        return address_of(self.array)

    def typed(self, dtype):
        """All of it, as a flat array of this dtype."""
        if dtype not in self.views:
            self.views[dtype] = self.array.view(dtype)
        return self.views[dtype]

    def part(self, dtype, offset, size):
        """A part of it. Numba makes an object with a shape and strides of it, so parts are kept, also while the piece is in
        the pool: a training step asks for the same ones as the step before."""
        key = dtype, offset, size
        if key not in self.views:
            if len(self.views) >= MOST_VIEWS:
                self.views.clear()
            self.views[key] = self.typed(dtype)[offset:offset + size]
        return self.views[key]

    def __del__(self):
        if hasattr(self, "known"):
            memory_stats["allocated"] -= self.bytes
            if EXACT:
                memory_stats["reserved"] -= self.bytes
            else:
                _pool.setdefault(self.bytes, []).append((self.array, self.views))


MOST_VIEWS = 32
memory_stats = {"allocated": 0, "reserved": 0, "most_allocated": 0}     # bytes
_pool: dict[int, list] = {}     # size -> pieces that nobody holds


def allocate(nbytes):
    """A piece of the GPU's memory, with whatever was in it."""
    return Memory(nbytes)


def release_cached():
    """Give what the pool holds back to the driver."""
    memory_stats["reserved"] -= sum(size * len(pieces) for size, pieces in _pool.items())
    _pool.clear()


def address_of(array):
    """Where the numbers of one of numba's arrays begin."""
    return array._ary.ctypes.data if SIMULATED else array.device_ctypes_pointer.value


def between(low, high, dtype):
    """All memory from one address to another, as a flat array of this dtype. Some of it may be nobody's: do not go there."""
    kind = "__array_interface__" if SIMULATED else "__cuda_array_interface__"
    described = type("Between", (), {kind: {"data": (low, False), "shape": ((high - low) // dtype.itemsize,),
                                            "strides": None, "typestr": dtype.str, "version": 3}})()
    return cuda.devicearray.FakeCUDAArray(np.asarray(described)) if SIMULATED else cuda.as_cuda_array(described)


def _ask_driver(nbytes):
    try:
        return cuda.device_array(nbytes, np.uint8)
    except Exception as error:
        if not any(_pool.values()):
            raise MemoryError(f"the GPU has no {nbytes:,} bytes left; {memory_stats['allocated']:,} are in use. Use a "
                              f"smaller batch, or free what is no longer needed. ({error})") from error
        release_cached()
        return _ask_driver(nbytes)

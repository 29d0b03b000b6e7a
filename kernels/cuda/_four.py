"""Four neighbours at once: one access of 128 bits to memory instead of four of 32.

    a, b, c, d = load_four(x, i)            x[i], x[i + 1], x[i + 2], x[i + 3]
    store_four(y, i, (a, b, c, d))
    a = load_one(x, i)
    store_one(y, i, a)

A GPU moves memory as fast as it can only while enough of it is on its way, and a thread that asks for four numbers at once
has four times as much on its way. The first of four must stand at a multiple of four numbers: ``Array.in_fours`` says
whether an array can be read so. float16 is read as float32, and rounded when it is written: nobody calculates with it.

Numba knows no such accesses. But it lets one say what a call means in LLVM's language, and there four numbers are a type
like any other: ``intrinsic`` below.
"""

import numpy as np
from numba import types
from numba.core import cgutils

from ._array import Array
from ._launch import SIMULATED, Kernel, blocks_for, device, intrinsic, ir

__all__ = ["FourKernel", "WIDTH", "begin_at_16", "fetch", "load_four", "load_one", "put", "store_four", "store_one"]


def _accessors(n):
    """The functions that load and store n neighbours."""

    @intrinsic
    def load(typing, x, i):
        wide = types.float32 if x.dtype == types.float16 else x.dtype

        def code(context, builder, signature, args):
            place = _place(context, builder, signature.args, args, n)
            found = builder.load(place)
            found.align = _alignment(place, n, context)
            numbers = [builder.extract_element(found, _lane(k)) for k in range(n)]
            if x.dtype == types.float16:
                numbers = [context.cast(builder, v, x.dtype, wide) for v in numbers]
            if x.dtype == types.boolean:
                numbers = [builder.icmp_unsigned("!=", v, v.type(0)) for v in numbers]
            return numbers[0] if n == 1 else context.make_tuple(builder, signature.return_type, numbers)

        return (wide if n == 1 else types.UniTuple(wide, n))(x, i), code

    @intrinsic
    def store(typing, y, i, numbers):
        def code(context, builder, signature, args):
            place = _place(context, builder, signature.args, args, n)
            vector = ir.Constant(place.type.pointee, ir.Undefined)
            parts = cgutils.unpack_tuple(builder, args[2]) if n > 1 else [args[2]]
            for k, v in enumerate(parts):
                v = context.cast(builder, v, numbers[k] if n > 1 else numbers, y.dtype)
                if y.dtype == types.boolean:
                    v = builder.zext(v, ir.IntType(8))
                vector = builder.insert_element(vector, v, _lane(k))
            builder.store(vector, place).align = _alignment(place, n, context)
            return context.get_dummy_value()

        return types.void(y, i, numbers), code

    return load, store


@intrinsic
def begin_at_16(typing, shared):
    """Let this kernel's shared arrays begin at a multiple of 16 bytes, so that they can be read in fours."""
    def code(context, builder, signature, args):
        for variable in builder.module.global_values:
            if getattr(variable, "addrspace", 0) == SHARED_MEMORY:
                variable.align = 16
        return context.get_dummy_value()

    return types.void(shared), code


SHARED_MEMORY = 3       # LLVM's number for it


def _place(context, builder, kinds, args, n):
    """The address of element i of an array, as that of a vector of n."""
    array = context.make_array(kinds[0])(context, builder, args[0])
    number = ir.IntType(8) if kinds[0].dtype == types.boolean else context.get_value_type(kinds[0].dtype)
    i = context.cast(builder, args[1], kinds[1], types.int64)
    return builder.bitcast(builder.gep(builder.bitcast(array.data, number.as_pointer()), [i]),
                           ir.VectorType(number, n).as_pointer())


def _alignment(place, n, context):
    return min(16, n * context.get_abi_sizeof(place.type.pointee.element))


def _lane(k):
    return ir.Constant(ir.IntType(32), k)


if SIMULATED:
    def load_one(x, i):
        return np.float32(x[i]) if x.dtype == np.float16 else x[i]

    def store_one(y, i, a):
        y[i] = a

    def load_four(x, i):
        return tuple([load_one(x, j) for j in _fours(x, i)])

    def store_four(y, i, numbers):
        for j, v in zip(_fours(y, i), numbers):
            y[j] = v

    def begin_at_16(shared):
        pass

    def _fours(x, i):
        x = getattr(getattr(x, "_item", x), "_ary", x)      # NumPy's array, without what the simulator wraps around it
        if (x.ctypes.data + i * x.itemsize) % min(16, 4 * x.itemsize):
            raise IndexError(f"four numbers that begin at {i}, which a GPU could not read at once")
        return range(i, i + 4)

else:
    (load_one, store_one), (load_four, store_four) = _accessors(1), _accessors(4)


# ---------------------------------------------------------------------------------------------------------------------
# kernels over arrays of one length

WIDTH = 1       # in a kernel: how many numbers a thread takes at a time, 4 or 1


@device
def fetch(x, i, held):
    """Numbers i, i + 1 … of an array, WIDTH of them."""
    if WIDTH == 4:
        held[0], held[1], held[2], held[3] = load_four(x, i)
    else:
        held[0] = load_one(x, i)


@device
def put(held, y, i):
    """Write WIDTH numbers from i on."""
    if WIDTH == 4:
        store_four(y, i, (held[0], held[1], held[2], held[3]))
    else:
        store_one(y, i, held[0])


class FourKernel:
    """A kernel that goes through arrays four numbers at a time where they allow it, else one by one. It is written once:

        def _double(x, n, y):
            held = cuda.local.array(WIDTH, number)
            i = WIDTH * cuda.grid(1)
            while i < n:        # range() would divide to find out how often; division of whole numbers is slow on a GPU
                fetch(x, i, held)
                for k in range(WIDTH):
                    held[k] *= 2.0
                put(held, y, i)
                i += WIDTH * cuda.gridsize(1)

        FourKernel(_double)(y.size, x, y.size, y)
    """

    def __init__(self, function, name="", number_like=None, **within):
        self.widths = {width: Kernel(function, name, number_like, WIDTH=width, fetch=device(fetch.function, WIDTH=width),
                                     put=device(put.function, WIDTH=width), **within) for width in (4, 1)}

    def __call__(self, n, *args):
        """Launch it for n numbers."""
        fours = all([a.size % 4 == 0 and a.in_fours for a in args if isinstance(a, Array)])
        width = 4 if fours and n % 4 == 0 else 1
        self.widths[width][blocks_for(n // width)](*args)

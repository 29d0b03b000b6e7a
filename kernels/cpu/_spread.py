"""Calls of one function, spread over threads: it is compiled by itself, and called where it lies.

Numba takes what stands under ``prange`` for a function, puts it into three more, one around the other, and the last into
the function with the loop; LLVM goes through all of it each time. Here, only a call through an address stands there,
compiled once for all kernels.
"""

from functools import cache

from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["address", "each", "launch"]

INTP = ir.IntType(types.intp.bitwidth)
ENTRY = ir.FunctionType(ir.VoidType(), [INTP, INTP])    # given the number of a call, and where its arguments lie


@cache
def address(compiled, *kinds):
    """Where the machine code of a compiled function lies, for arguments of these types."""
    compiled.compile(kinds)
    found = compiled.overloads[kinds]
    return found.library.get_pointer_to_function(found.fndesc.llvm_func_name)


def each(n, entry, given):
    """Enter with 0 … n − 1, from all threads."""
    for i in prange(n):
        _enter(entry, i, given)


def launch(each, function, n, args):
    """Have ``each`` call a function of i, *args. False: a call had no memory."""
    entry, given = _give(function, args)
    _call_each(each, n, entry, given)
    return not _has_failed(given)


def _call(context, builder, function, kinds, values):
    """Machine code that calls what lies at an address, as Numba's functions call each other."""
    convention = context.call_conv
    pointer = convention.get_function_type(types.none, kinds).as_pointer()
    status, _ = convention.call_function(builder, builder.inttoptr(function, pointer), types.none, kinds, values)
    return status


@intrinsic
def _give(typing, function, args):
    """An entry for threads, and where the arguments lie that it calls the function with; before them, whether one failed."""
    def give(context, builder, signature, values):
        given = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, [ir.IntType(8)(0), *values]))
        entry = ir.Function(builder.module, ENTRY, f"{builder.function.name}.entry")
        entry.linkage = "internal"
        inside = ir.IRBuilder(entry.append_basic_block())
        number, place = entry.args
        place = inside.inttoptr(place, given.type)
        _, function, args = cgutils.unpack_tuple(inside, inside.load(place))
        status = _call(context, inside, function, (types.intp, *signature.args[1]),
                       [number, *cgutils.unpack_tuple(inside, args)])
        with cgutils.if_unlikely(inside, status.is_error):
            inside.store(ir.IntType(8)(1), cgutils.gep_inbounds(inside, place, 0, 0))
        inside.ret_void()
        return cgutils.pack_array(builder, [builder.ptrtoint(entry, INTP), builder.ptrtoint(given, INTP)])

    return types.UniTuple(types.intp, 2)(function, args), give


@intrinsic
def _enter(typing, entry, i, given):
    def enter(context, builder, signature, values):
        entry, i, given = values
        builder.call(builder.inttoptr(entry, ENTRY.as_pointer()), [i, given])
        return context.get_dummy_value()

    return types.none(*(types.intp,) * 3), enter


@intrinsic
def _call_each(typing, each, n, entry, given):
    def call(context, builder, signature, values):
        _call(context, builder, values[0], signature.args[1:], values[1:])
        return context.get_dummy_value()

    return types.none(*(types.intp,) * 4), call


@intrinsic
def _has_failed(typing, given):
    def load(context, builder, signature, values):
        byte = builder.load(builder.inttoptr(values[0], ir.IntType(8).as_pointer()))
        return builder.icmp_signed("!=", byte, ir.IntType(8)(0))

    return types.boolean(types.intp), load

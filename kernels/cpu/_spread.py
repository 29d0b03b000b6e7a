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

from ._compiler import kept

__all__ = ["address", "in_turn", "launcher", "on_threads"]

INTP = ir.IntType(types.intp.bitwidth)
ENTRY = ir.FunctionType(ir.VoidType(), [INTP, INTP])    # given the number of a call, and where its arguments lie


def address(compiled, *kinds):
    """Where the machine code of a compiled function lies, for arguments of these types."""
    found = _compiled_for(compiled, kinds)
    return found.library.get_pointer_to_function(found.fndesc.llvm_func_name)


def _compiled_for(compiled, kinds):
    compiled.compile(kinds)
    return compiled.overloads[kinds]


@cache
def launcher(kinds):
    """A function of the addresses of ``on_threads`` or ``in_turn`` and of a piece, of how many pieces there are, and of a
    tuple of these types. It returns False if a piece had no memory."""
    return _compiled_for(_launch, (types.intp,) * 3 + (kinds,)).entry_point


def _launch(each, piece, n, args):
    entry, given = _give(piece, args)
    _call_each(each, n, entry, given)
    return not _has_failed(given)


@cache
def on_threads():
    """The address of the loop over all pieces."""
    return address(_on_threads, *[types.intp] * 3)


@cache
def in_turn():
    """The same for one thread."""
    return address(_in_turn, *[types.intp] * 3)


def _each(n, entry, given):
    for i in prange(n):
        _enter(entry, i, given)


_launch = kept(_launch, nogil=True)
_in_turn, _on_threads = kept(_each, "serial", nogil=True), kept(_each, parallel=True, nogil=True)


def _call(context, builder, function, kinds, values):
    """Machine code that calls what lies at an address, as Numba's functions call each other."""
    convention = context.call_conv
    pointer = convention.get_function_type(types.none, kinds).as_pointer()
    status, _ = convention.call_function(builder, builder.inttoptr(function, pointer), types.none, kinds, values)
    return status


def _lent(context, builder, kind, value):
    """An array without its owner: else threads would count who uses it, each time one takes a row, in the same place."""
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, builder, value)
    for owner in "meminfo", "parent":
        setattr(array, owner, cgutils.get_null_value(getattr(array, owner).type))
    return array._getvalue()


@intrinsic
def _give(typing, function, args):
    """An entry for threads, and where the arguments lie that it calls the function with; before them, whether one failed."""
    def give(context, builder, signature, values):
        function, args = values
        args = context.make_tuple(builder, signature.args[1], [
            _lent(context, builder, kind, value)
            for kind, value in zip(signature.args[1], cgutils.unpack_tuple(builder, args), strict=True)])
        given = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, [ir.IntType(8)(0), function, args]))
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

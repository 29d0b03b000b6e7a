"""A GPU on paper for the CUDA backend: kernels are compiled for it, to PTX, and a machine in NumPy runs what came out.

    with running():
        y = on_device().softmax_forward(x, 1)

Blocks, warps and tiles have a GPU's own sizes. Memory is asked for exactly, so that every access beyond an array is seen.
Numba's compiler is needed, as for ghost_gpu; a GPU or driver is not.
"""

import os
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest

import ptx_machine

__all__ = ["long", "missing", "running"]

long = pytest.mark.skipif(os.environ.get("MINITORCH_CUDA_ON_PAPER") != "1", reason="takes time: MINITORCH_CUDA_ON_PAPER=1")

programs: dict[tuple, ptx_machine.Program] = {}     # (kernel, argument types) -> what it was compiled to


def missing():
    """What keeps kernels from being compiled here; None if nothing does."""
    try:
        launch = import_module("minitorch.kernels.cuda._launch")
        if launch.SIMULATED:
            return "Numba's simulator compiles nothing"
        with running(), patch.dict(launch.kernels):
            launch.Kernel(lambda y: None, "nothing").ptx(("[f4]",))
    except Exception as error:
        return f"no CUDA compiler: {type(error).__name__}"


@contextmanager
def running(compute_capability=(9, 0), change=None, apart=False, count=False):
    """Launches inside run on paper → the memory. change: what to do to the PTX of a kernel before, to see that it is
    noticed. apart: warps do not keep step, but each goes as far as it can before the next one begins. count: let
    memory.counts tell what each launch did."""
    launch, array, mapped, optim = [import_module(f"minitorch.kernels.cuda.{name}") for name in (
        "_launch", "_array", "_map", "optim")]
    memory, gpu = ptx_machine.Memory([] if count else None), SimpleNamespace(compute_capability=compute_capability)
    compiled = {} if change else programs

    def hold(kernel, key, blocks, threads):
        signature = key[3:]
        if (kernel, signature) not in compiled:
            ptx = kernel.ptx(signature, compute_capability)
            compiled[kernel, signature] = ptx_machine.Program(change(ptx) if change else ptx)
        program, types = compiled[kernel, signature], kernel.types(signature)
        return lambda *args: program.run(memory, blocks, threads, list(flat(args, types)), apart)

    class Piece(launch.Memory):
        """It goes nowhere when nobody holds it: the next launches may run on a real GPU."""

        __slots__ = ()

        def __del__(self):
            for what in "allocated", "reserved":
                launch.memory_stats[what] -= self.bytes

    caches = [array.constant, mapped._number, optim._table, optim._pieces]     # of arrays on a GPU
    with (patch("numba.cuda.dispatcher.get_current_device", lambda: gpu), patch.object(launch, "EXACT", True),
          patch.object(launch, "Memory", Piece), patch.object(launch, "_pool", {}),
          patch.object(launch.cuda, "device_array", lambda n, dtype: Flat(memory.allocate(n), 0, n, dtype)),    # of bytes
          patch.object(launch, "address_of", lambda flat: flat.address), patch.object(launch.Kernel, "_hold", hold),
          patch.object(launch.cuda, "synchronize", lambda: None),
          patch.object(optim, "between", lambda low, high, dtype: Between(low, high, dtype))):
        try:
            for cache in caches:
                cache.cache_clear()
            yield memory
        finally:
            for cache in caches:
                cache.cache_clear()


def flat(args, types):
    """A launch's arguments one by one, as numba hands them over: of an array its owners, which nobody looks at, how many
    numbers it has and of how many bytes each, where they begin, its shape and its strides."""
    for value, kind in zip(args, types):
        if hasattr(value, "address"):
            itemsize = value.dtype.itemsize
            yield from [0, 0, value.size, itemsize, value.address, value.size, itemsize]
        elif isinstance(value, tuple):
            yield from value
        else:
            yield np.bool_(value) if kind.name == "bool" else getattr(np, kind.name)(value)


class Flat:
    """A part of a piece of memory, as one of numba's flat arrays."""

    def __init__(self, piece, start, size, dtype):
        self.piece, self.start, self.size, self.dtype = piece, start, size, np.dtype(dtype)
        self.address = piece.start + start

    @property
    def numbers(self):
        return self.piece.room.bytes[self.start:self.start + self.size * self.dtype.itemsize].view(self.dtype)

    def view(self, dtype):
        return Flat(self.piece, self.start, self.size * self.dtype.itemsize // np.dtype(dtype).itemsize, dtype)

    def __getitem__(self, part):
        places = range(*part.indices(self.size))
        return Flat(self.piece, self.start + places.start * self.dtype.itemsize, len(places), self.dtype)

    def copy_to_host(self):
        return self.numbers.copy()

    def copy_to_device(self, array):
        self.numbers[...] = array


class Between:
    """All memory from one address to another; some of it is nobody's."""

    def __init__(self, low, high, dtype):
        self.address, self.size, self.dtype = low, (high - low) // dtype.itemsize, dtype

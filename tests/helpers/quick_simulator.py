"""Numba's CUDA simulator with another clock: threads take turns instead of racing.

The simulator polls its threads while they fight for Python's lock, which takes 60 ms for a softmax of one row. Here a
block's threads run one at a time from barrier to barrier, first to last, then last to first, so that a kernel that forgot
a barrier is likely to read what is not there yet, on every run the same (watch_cuda.py looks for what this misses). A thread
that ends while others wait at a barrier is an error.
Kernels without barriers need no threads at all: they are called once for each.

Arrays are plain NumPy arrays in a kernel, and functions that it calls plain functions; the simulator wraps both.
"""

import sys
import threading
from functools import cache
from importlib import import_module
from types import FunctionType

import numpy as np

__all__ = ["install"]


def install():
    """Let the simulator of this process run blocks this way."""
    simulator = import_module("numba.cuda.simulator.kernel")
    launch = import_module("minitorch.kernels.cuda._launch")
    shared = import_module("numba.cuda.simulator.kernelapi").FakeCUDAShared
    simulator.BlockManager = Block
    shared.array = _shared_array
    simulator.FakeWithinKernelCUDAArray = lambda array: array._ary
    here = Here(simulator)

    def version(self, number):
        if number not in self.versions:
            self.versions[number] = self.copy(number).function
            self.versions[number].__globals__["cuda"] = here
        return self.versions[number]

    launch._Source.version = version


class Here:
    """``cuda`` as functions see it that kernels call: the launch that is going on."""

    def __init__(self, simulator):
        self.simulator = simulator

    def __getattr__(self, name):
        return getattr(self.simulator._kernel_context, name)


class Block:
    """One block of threads; numba makes one for every block of the grid."""

    def __init__(self, function, grid, block, debug):
        self.function, self.grid, self.block = function, grid, block
        self._grid_dim, self._block_dim = grid, block

    def run(self, place, *args):
        if not _waits(self.function.function):
            return self.without_threads(place, args)
        threads = self.threads = [Thread(self, place, at, args) for at in np.ndindex(*self.block)]
        try:
            while threads:
                for thread in threads:
                    thread.run_to_barrier()
                waiting = [thread for thread in reversed(threads) if not thread.done]
                if waiting and len(waiting) < len(threads):
                    raise RuntimeError(f"block {place}: {len(threads) - len(waiting)} threads ended while {len(waiting)} "
                                       "wait at syncthreads; all of a block must reach it")
                threads = waiting
        finally:
            for thread in threads:
                thread.stop()

    def without_threads(self, place, args):
        me, dim3 = threading.current_thread(), import_module("numba.cuda.simulator.kernelapi").Dim3
        me.blockIdx = dim3(*place)
        for at in np.ndindex(*self.block):
            me.threadIdx = dim3(*at)
            self.function(*args)


@cache
def _waits(function):
    """Do threads wait for each other, in this function or in one that it calls?"""
    names = function.__code__.co_names
    called = [f for f in map(function.__globals__.get, names) if isinstance(f, FunctionType) and f is not function]
    return not {"syncthreads", "syncthreads_and", "syncwarp", "shared"}.isdisjoint(names) or any(map(_waits, called))


class Thread(threading.Thread):
    """One thread of a block, with the places that kernels ask for."""

    def __init__(self, block, place, at, args):
        super().__init__(daemon=True)
        dim3 = import_module("numba.cuda.simulator.kernelapi").Dim3
        self.blockIdx, self.threadIdx = dim3(*place), dim3(*at)
        self._manager, self.call = block, (block.function, args)
        self.go, self.back = threading.Lock(), threading.Lock()     # held until somebody may go on
        self.go.acquire(), self.back.acquire()
        self.done = self.stopped = False
        self.error = None

    def run_to_barrier(self):
        self.go.release() if self.is_alive() else self.start()
        self.back.acquire()
        if self.error is not None:
            raise self.error

    def stop(self):
        if self.is_alive():
            self.stopped = True
            self.go.release()

    def run(self):
        function, args = self.call
        try:
            function(*args)
        except Exception as error:
            self.error = error
        except SystemExit:
            pass
        self.done = True
        self.back.release()

    def syncthreads(self):
        self.back.release()
        self.go.acquire()
        if self.stopped:
            raise SystemExit

    def syncthreads_and(self, value):
        self.vote = bool(value)
        self.syncthreads()
        all_agree = all(thread.vote for thread in self._manager.threads)
        self.syncthreads()      # nobody votes again before all have counted
        return all_agree


def _shared_array(self, shape, dtype, frame=None):
    """One array for each line that asks for one, as in the simulator, found without reading source files."""
    frame = frame or sys._getframe(1)
    key = frame.f_code.co_filename, frame.f_lineno
    if key not in self._allocations:
        self._allocations[key] = np.empty(shape, dtype)
        self._allocations[key].view(np.uint8).fill(0xFF)
    return self._allocations[key]

"""Numba's CUDA simulator with another clock: threads take turns instead of racing.

The simulator polls its threads while they fight for Python's lock, which takes 60 ms for a softmax of one row. Here a
block's threads run one at a time from barrier to barrier, first to last, then last to first, so that a kernel that forgot
a barrier is likely to read what is not there yet, on every run the same (watch_cuda.py looks for what this misses). A thread
that ends while others wait at a barrier is an error.
Kernels without barriers need no threads at all: they are called once for each.

Arrays are plain NumPy arrays in a kernel, and functions that it calls plain functions; the simulator wraps both.
"""

import math
import os
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

    idle: list = []     # threads that have no block: to make one takes longer than to wake it

    def __init__(self, function, grid, block, debug):
        self.function, self.grid, self.block = function, grid, block
        self._grid_dim, self._block_dim = grid, block
        self.over, self.error = threading.Lock(), None      # held while the threads run

    def run(self, place, *args):
        if not _waits(self.function.function):
            return self.without_threads(place, args)
        self.threads = [self.idle.pop() if self.idle else Thread() for _ in range(math.prod(self.block))]
        for thread, at in zip(self.threads, np.ndindex(*self.block)):
            thread.join_block(self, place, at, args)
        self.round, self.turns = list(self.threads), iter(self.threads)
        self.over.acquire()
        try:
            next(self.turns).go.release()
            self.over.acquire()
            for thread in self.threads:
                if not thread.done:         # because another one failed
                    thread.stopped = True
                    thread.go.release()
                    self.over.acquire()
        finally:
            self.idle += self.threads
        if self.error is not None:
            raise self.error

    def next(self):
        """Whose turn it is now; None if all have ended, or one has failed."""
        thread = next(self.turns, None)
        if thread is None and self.error is None:       # all were at the barrier, or are done
            waiting = [thread for thread in reversed(self.round) if not thread.done]
            ended = len(self.round) - len(waiting)
            if waiting and ended:
                self.error = RuntimeError(f"block {tuple(waiting[0].blockIdx)}: {ended} threads ended while {len(waiting)} "
                                          "wait at syncthreads; all of a block must reach it")
            self.round, self.turns = waiting, iter(waiting)
            thread = next(self.turns, None)
        return thread if self.error is None else None

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
    """One thread of a block, with the places that kernels ask for. Whoever comes to a barrier wakes the next one."""

    def __init__(self):
        super().__init__(daemon=True)
        self.go = threading.Lock()      # held until it is this thread's turn
        self.go.acquire()
        self.start()

    def join_block(self, block, place, at, args):
        dim3 = import_module("numba.cuda.simulator.kernelapi").Dim3
        self.blockIdx, self.threadIdx = dim3(*place), dim3(*at)
        self._manager, self.args = block, args
        self.done = self.stopped = False
        self.passed, self.stretch = -1, 0       # barriers, as watch_cuda.py counts them

    def run(self):
        while True:
            self.go.acquire()
            block = self._manager
            try:
                if not self.stopped:
                    block.function(*self.args)
            except Exception as error:
                block.error = block.error or error
            except SystemExit:
                pass
            self.done = True
            following = block.next()
            (block.over if following is None else following.go).release()

    def syncthreads(self):
        following = self._manager.next()
        if following is not self:
            (self._manager.over if following is None else following.go).release()
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Block.idle.clear)        # a fork has none of these threads

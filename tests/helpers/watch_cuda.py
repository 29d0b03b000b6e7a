"""What compute-sanitizer's racecheck looks for on a GPU, looked for in the simulator: every access of every thread is noted.

    with watched() as faults:
        kernels.softmax_forward(x, 1)
    assert not faults

Threads take turns in the simulator, so that most races change no result there. Here the accesses themselves are compared.
Between two barriers the threads of a block may run in any order, and a launch's blocks run in any order altogether. So it is
a fault

- that two threads of a block are at one number between two barriers, and one of them writes;
- that two blocks are at one number, and one of them writes;
- to read a number of shared memory that no thread of the block has written;
- that threads of a block wait at different barriers.

Threads of a warp that look into each other's registers wait for nobody else: the barriers that stand in for this in the
simulator do not count.
"""

import sys
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import current_thread

import numpy as np

import quick_simulator

__all__ = ["watched"]

IN_FOR_OTHERS = ("_four.py", "_row.py")                 # their accesses stand for the line that calls them
SIMULATOR = ("quick_simulator", "numba", "threading")   # modules that are not the kernel's


@contextmanager
def watched(without=None):
    """Watch the kernels that are launched inside → {fault: an example}; empty where there is none.

    without: a barrier, as "file:line"; threads pass it as if it were not there.
    """
    simulator = import_module("numba.cuda.simulator.kernel")
    shared = import_module("numba.cuda.simulator.kernelapi").FakeCUDAShared
    before = simulator.FakeWithinKernelCUDAArray, shared.array, quick_simulator.Thread.syncthreads
    plain, shared_array, wait = before
    faults: dict = {}
    log = Log(simulator, faults)

    def array_in_kernel(array):
        return watch(plain(array), False)

    def array_of_block(self, shape, dtype):
        frame = sys._getframe(1)
        array = shared_array(self, shape, dtype, frame)
        return array if frame.f_code.co_name == "exchanged" else watch(array, True)

    def watch(array, shared):
        array = array.view(Watched)
        array.log, array.shared = log, shared
        return array

    def syncthreads(self):
        where, function = log.barrier(self)
        if where != without:
            wait(self)
            self.stretch += function != "exchanged"
            log.at = None

    simulator.FakeWithinKernelCUDAArray, shared.array, quick_simulator.Thread.syncthreads = (
        array_in_kernel, array_of_block, syncthreads)
    try:
        yield faults
    finally:
        simulator.FakeWithinKernelCUDAArray, shared.array, quick_simulator.Thread.syncthreads = before


class Watched(np.ndarray):
    """An array that tells a log who reads and who writes its numbers."""

    log, shared, start, axes = None, False, None, []

    def __array_finalize__(self, other):
        self.log, self.shared = getattr(other, "log", None), getattr(other, "shared", False)

    def __getitem__(self, index):
        found = super().__getitem__(index)
        if not isinstance(found, np.ndarray):
            self.log.access(self, self.place(index), False)
        return found

    def __setitem__(self, index, value):
        self.log.access(self, self.place(index), True)
        super().__setitem__(index, value)

    def place(self, index):
        """The address of one number."""
        if self.start is None:
            self.start, self.axes = self.ctypes.data, list(zip(self.shape, self.strides))
        if type(index) is not tuple:
            return self.start + int(index) % self.size * self.axes[0][1]
        return self.start + sum([int(i) % n * step for i, (n, step) in zip(index, self.axes, strict=True)])


SEVERAL = object()


class Log:
    """Who was where: at each number, and at each barrier."""

    def __init__(self, simulator, faults):
        self.simulator, self.faults = simulator, faults
        self.launch = self.block = self.at = self.thread = None
        self.stretch = 0                # how many barriers the thread has passed
        self.numbers: dict = {}         # address -> who has read it and who has written it: {block: {stretch: thread}}
        self.barriers: dict = {}        # how many a thread has passed -> where the first one waits that has passed so many

    def access(self, array, address, writes):
        running = current_thread()
        if running.threadIdx is not self.at:
            self.enter(running)
        block, stretch, me = self.block, self.stretch, self.thread
        number = self.numbers.get(address)
        if number is None:
            number = self.numbers[address] = {}, {}
        read, written = number
        for others, did in ((written, "wrote"), (read, "read")) if writes else ((written, "wrote"),):
            if not others:
                continue
            mine = others.get(block)
            if not array.shared and (mine is None or len(others) > 1):  # else it was another block's shared memory then
                self.fault(f"{'writes' if writes else 'reads'} what another block {did}", array.shared, others)
            if mine is not None and mine.get(stretch, me) != me:
                self.fault(f"{'writes' if writes else 'reads'} what another thread {did}", array.shared, mine[stretch])
        if array.shared and not writes and block not in written:
            self.fault("reads what nobody wrote", True, "")
        threads = (written if writes else read).setdefault(block, {})
        threads[stretch] = me if threads.get(stretch, me) == me else SEVERAL

    def barrier(self, thread):
        """A thread waits: where? "file:line" and the function's name."""
        self.enter(thread)
        frame, lines = sys._getframe(2), []
        while frame is not None:
            if not frame.f_globals["__name__"].startswith(SIMULATOR):
                lines.append((frame.f_code, frame.f_lineno))
            frame = frame.f_back
        thread.passed += 1
        first = self.barriers.setdefault(thread.passed, lines)
        if lines != first:
            here, there = ([_line(*line) for line in some] for some in (lines, first))
            self.faults.setdefault(f"{here[0]}: waits while another thread waits in {there[0]}", f"{here}, {there}")
        return _line(*lines[0]).split()

    def enter(self, running):
        """Whose turn it is. A launch or a block that is new has nothing in common with those before."""
        if self.launch is not self.simulator._kernel_context:
            self.launch, self.block = self.simulator._kernel_context, None
            self.numbers.clear()
        block = tuple(running.blockIdx)
        if block != self.block:
            self.block = block
            self.barriers.clear()
        self.at, self.thread, self.stretch = running.threadIdx, tuple(running.threadIdx), getattr(running, "stretch", 0)

    def fault(self, what, shared, others):
        frame = sys._getframe(3)
        while frame.f_code.co_filename.endswith(IN_FOR_OTHERS):
            frame = frame.f_back
        where = f"{_line(frame.f_code, frame.f_lineno)}: {what}, in {'shared' if shared else 'global'} memory"
        self.faults.setdefault(where, f"thread {self.thread} of block {self.block}; {others}")


@cache
def _line(code, number):
    return f"{Path(code.co_filename).name}:{number} {code.co_name}"

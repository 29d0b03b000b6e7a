"""The watch over the simulator's threads finds what it looks for; and finds out that each barrier of our kernels is needed.

A launch has four threads in a block here, and two of them make a warp.
"""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from minitorch.kernels import quiet

from cuda_cases import cases, on_device, to_device
from on_cuda import HERE, SIMULATED, in_the_simulator

here = pytest.mark.skipif(not SIMULATED, reason="the simulator's own")
if SIMULATED:
    from watch_cuda import watched
    launch = import_module("minitorch.kernels.cuda._launch")
    cuda, exchanged = launch.cuda, import_module("minitorch.kernels.cuda._block").exchanged


@pytest.mark.skipif(HERE, reason="kernels run in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


def turned(y, wait, across):
    """Neighbours exchange numbers through shared memory."""
    shared, t = cuda.shared.array(4, np.float32), cuda.threadIdx.x
    shared[t] = t
    if wait:
        cuda.syncthreads()
    y[t] = shared[t ^ across]


def to_one_place(y):
    y[cuda.blockIdx.x] = 1
    if cuda.threadIdx.x == 0:
        y[4 + cuda.blockIdx.x % 1] = 2


def from_another_block(y):
    t = cuda.grid(1)
    y[t] = t
    if t == 4:
        y[t] = y[0]


def half_filled(y):
    shared, t = cuda.shared.array(4, np.float32), cuda.threadIdx.x
    if t < 2:
        shared[t] = t
    cuda.syncthreads()
    y[cuda.grid(1)] = shared[t]


def two_barriers(y):
    if cuda.threadIdx.x == 0:
        cuda.syncthreads()
    else:
        cuda.syncthreads()


def in_a_warp(y):
    """Threads of a warp look into each other's registers: that orders nothing in memory."""
    t = cuda.threadIdx.x
    y[t] = t
    y[t + 4] = exchanged(y[t], 1) + y[t ^ 1]


FAULTS = [
    (turned, (True, 1), 1, []),
    (turned, (True, 0), 1, []),
    (turned, (False, 0), 1, []),        # each its own
    (turned, (False, 1), 1, ["reads what nobody wrote, in shared", "reads what another thread wrote, in shared",
                                "writes what another thread read, in shared"]),
    (to_one_place, (), 2, ["writes what another block wrote, in global", "writes what another thread wrote, in global"]),
    (from_another_block, (), 2, ["reads what another block wrote, in global"]),
    (half_filled, (), 1, ["reads what nobody wrote, in shared"]),
    (half_filled, (), 2, ["reads what nobody wrote, in shared"]),       # the block before wrote it, but that is another's
    (two_barriers, (), 1, ["waits while another thread waits in test_watch.py"]),
    (in_a_warp, (), 1, ["reads what another thread wrote, in global"]),
]


@here
@pytest.mark.parametrize("function, settings, blocks, expected", FAULTS)
def test_faults_are_found_and_nothing_else(function, settings, blocks, expected):
    with watched() as faults:
        launch.Kernel(function, "test.kernel")[blocks](to_device(np.zeros(8, np.float32)), *settings)
    for words in expected:
        assert any(words in fault for fault in faults), faults
    for fault in faults:
        assert any(words in fault for words in expected), fault


FOLDER = Path(__file__).parents[3] / "kernels" / "cuda"
BARRIERS = [(path.name, number) for path in sorted(FOLDER.glob("*.py"))
            for number, line in enumerate(path.read_text(encoding="utf-8").partition("\nif SIMULATED:")[0].splitlines(), 1)
            if line.strip().startswith("cuda.syncthreads()")]
LAUNCHED_BY = {"_block.py": "softmax_forward", "attention.py": "attention", "layernorm.py": "layernorm_backward",
               "matmul.py": "matmul", "reduce.py": ("max_forward", "cumsum_forward")}


@here
@pytest.mark.parametrize("file, line", BARRIERS)
def test_without_any_of_its_barriers_a_kernel_races(file, line):
    """So the watch sees all that barriers are for here, and none of them is waited at for nothing."""
    with watched(without=f"{file}:{line}") as faults:
        for name, *args in FLOAT32:
            if name.startswith(LAUNCHED_BY[file]) and not faults:
                _try(getattr(on_device("strided"), name), *args)
        if file == "matmul.py":
            x, y = to_device(np.ones((20, 8))), to_device(np.ones((8, 12)))
            for rung in "tiled", "registers":
                _try(import_module("minitorch.kernels.cuda.matmul").ladder[rung], x, y)
    assert faults


def _try(function, *args):
    """Numbers that came too early may be places that do not exist."""
    with quiet():
        try:
            function(*args)
        except (RuntimeError, IndexError):
            pass


FLOAT32 = list(cases("float32")) if SIMULATED else []

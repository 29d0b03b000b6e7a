"""A GPU that is not there: kernels are compiled for it, to PTX, and not run.

``install()`` replaces the memory by nothing and every launch by a compilation for the launch's own argument types. So any
call of the CUDA backend compiles what it would have run; ``compiled`` holds the PTX. Numba's compiler is needed (libNVVM,
from the CUDA toolkit or the wheel nvidia-nvvm), a GPU or driver is not.
"""

import re
from importlib import import_module
from types import SimpleNamespace

import numpy as np

__all__ = ["compiled", "install"]

compiled: dict[tuple, str] = {}     # (kernel, argument types) -> PTX


def install(compute_capability=(9, 0)):
    """Let launches of this process compile for this GPU."""
    launch = import_module("minitorch.kernels.cuda._launch")
    # functions that kernels call ask the current GPU what it is
    gpu = SimpleNamespace(compute_capability=compute_capability)
    import_module("numba.cuda.dispatcher").get_current_device = lambda: gpu
    launch.cuda.device_array = lambda n, dtype: Memory(n, np.dtype(dtype))
    launch.address_of = lambda memory: 1 << 20
    import_module("minitorch.kernels.cuda.optim").between = lambda low, high, dtype: Memory(1, dtype)

    def hold(self, key, blocks, threads):
        signature = key[3:]
        like = self.called, tuple([re.sub(r"\d+i8", "steps", t) for t in signature])     # however many axes
        if like not in compiled:
            compiled[like] = self.ptx(signature, compute_capability)
        return lambda *args: None

    launch.Kernel._hold = hold


class Memory:
    """A flat array without numbers; those that are asked for are ones."""

    def __init__(self, size, dtype):
        self.size, self.dtype = size, dtype

    def view(self, dtype):
        return Memory(self.size * self.dtype.itemsize // np.dtype(dtype).itemsize, np.dtype(dtype))

    def __getitem__(self, part):
        return Memory(len(range(*part.indices(self.size))), self.dtype)

    def copy_to_host(self):
        return np.ones(self.size, self.dtype)

    def copy_to_device(self, array):
        pass

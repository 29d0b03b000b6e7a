"""``pytest --device cuda``: the ordinary tests once more, with everything on the GPU. No test is written twice.

- New tensors are made there, and with them the modules' parameters; so every op, layer and model of a test runs there.
- Kernel tests, which take NumPy arrays, get a backend that carries them there and back in the place of ``kernels.cpu``.
- A test may look at numbers: ``x.data`` and ``np.asarray(x)`` are copies here. To minitorch itself nothing is copied; a line
  of it that asked for numbers unseen would be an error, as it is for users.

What only makes sense on a CPU, or compares with the reference alone, is left out: ``LEFT_OUT`` says what and why. Without a
GPU, and with NUMBA_ENABLE_CUDASIM=1, Numba's simulator computes; ``SLOW`` is left out there, too.
"""

import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

__all__ = ["HERE", "SIMULATED", "in_the_simulator", "install", "select"]

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
HERE = SIMULATED or os.path.exists("/dev/nvidiactl")        # can this process compute on a GPU, be it a simulated one?
RUN = ("kernels", "minitorch/ops", "minitorch/nn", "minitorch/models", "minitorch/optim", "minitorch/test_autograd.py")
LEFT_OUT = {       # part of a test's place or name -> why
    "kernels/cuda/": "kernels for the GPU alone, which have tests of their own",
    "test_jit.py": "the CPU's compiler", "test_hazards.py": "the CPU's threads and caches",
    "complex_step": "the reference alone, with complex numbers",
    "[reference-": "the same once more: arrays on the GPU have one backend",
    "test_on_cuda.py": "both devices are in it already",
    "test_function_gets_arrays_and_settings_and_needs": "an op of NumPy's arrays",
    "test_an_array_that_a_backward_keeps_is_not_added_to": "an op of NumPy's arrays",
    "test_names_and_signatures_agree": "a test in kernels/cuda does it",
    "test_repr": "the device is printed, too",
    "test_view_is_possible_exactly_where_pytorch_says": "given strides; what goes to the GPU is packed",
}
SLOW = ("layouts-", "filled-", "100_000", "10_000", "test_float32_sums_are_accurate")    # four threads add less exactly


def in_the_simulator(*arguments, **environment):
    """Run pytest with these arguments in the simulator: in a process of its own, as it is chosen before Numba is loaded."""
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], text=True,
                         env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", **environment}, capture_output=True)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    return run.stdout


def install():
    """Let the tests of this process run on the GPU; without one, say what is missing."""
    minitorch = import_module("minitorch")
    missing = minitorch.cuda.why_not()
    if missing:
        raise pytest.UsageError(f"--device cuda: {missing} Without a GPU the simulator can run small tests: "
                                "NUMBA_ENABLE_CUDASIM=1 pytest --device cuda tests/kernels/test_softmax.py")
    minitorch.set_default_device("cuda")
    minitorch.kernels.cpu = CudaForNumPy()      # before a test, or one of its helpers, imports it
    _let_tests_look()


def select(items, config):
    """Leave out what needs a GPU where there is none; with --device cuda, what is not about what a GPU computes."""
    chosen, others = [], []
    for item in items:
        gpu = item.get_closest_marker("gpu")
        runs = gpu is None or HERE and not (SIMULATED and gpu.kwargs.get("real"))
        if config.getoption("device") == "cuda":
            path, name = str(item.path.relative_to(config.rootpath / "tests")), f"{item.path.name}::{item.name}"
            runs = path.startswith(RUN) and not any(part in f"{path} {name}" for part in LEFT_OUT)
            runs = runs and not (SIMULATED and any(part in name for part in SLOW))
        (chosen if runs else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = chosen


class CudaForNumPy:
    """The CUDA backend for NumPy arrays: its kernels get copies on the GPU, and results come back."""

    __name__ = "minitorch.kernels.cuda"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        kernel = getattr(import_module("minitorch.kernels.cuda"), name)
        return lambda *args, **settings: self.call(kernel, args, settings)

    def call(self, kernel, args, settings):
        cuda_cases = import_module("cuda_cases")
        there = [cuda_cases.to_device(a) for a in args], {k: cuda_cases.to_device(a) for k, a in settings.items()}
        found = kernel(*there[0], **there[1])
        result = cuda_cases.to_host(found)
        for mine, theirs in zip([*args, *settings.values()], [*there[0], *there[1].values()]):
            if isinstance(mine, np.ndarray) and mine.flags.writeable:       # optimiser steps work in place
                mine[...] = theirs.to_host()
                result = mine if theirs is found else result
        return result


def _let_tests_look():
    """Numbers on the GPU, copied for whoever is not minitorch."""
    tensor = import_module("minitorch.tensor").Tensor
    array = import_module("minitorch.kernels.cuda._array").Array
    data, refuse, kernels = tensor.data, array.__array__, array.kernels

    def looked_at(self):
        found = data.fget(self)
        return found.to_host().view(Copy).of(found) if _from_a_test() and isinstance(found, array) else found

    def as_numpy(self, dtype=None, copy=None):
        return np.asarray(self.to_host(), dtype) if _from_a_test() else refuse(self)

    tensor.data = property(looked_at, lambda self, values: data.fset(
        self, kernels.to_device(values) if isinstance(values, np.ndarray) and _from_a_test() else values))
    tensor.__array__ = lambda self, dtype=None, copy=None: np.asarray(on_host(self), dtype)
    tensor.numpy = lambda self, *, force=False: on_host(self)
    array.__array__ = as_numpy
    shares = np.shares_memory

    def shares_memory(a, b, *settings):
        there = [x.array.memory for x in (a, b) if getattr(x, "array", None) is not None]
        return there[0] is there[1] if len(there) == 2 else shares(a, b, *settings)

    np.shares_memory = shares_memory

    def on_host(self):
        found = self._data
        return found if isinstance(found, np.ndarray) else found.to_host()


class Copy(np.ndarray):
    """A copy of numbers on the GPU; what a test writes to it is written there, too."""

    def of(self, array):
        self.array = array
        return self

    def __setitem__(self, index, value):
        super().__setitem__(index, value)
        if getattr(self, "array", None) is not None:
            self.array[index] = value

    def __array_finalize__(self, other):
        self.array = None


def _from_a_test():
    """Is it a test that asks, perhaps through NumPy?"""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__", "").partition(".")[0] in ("numpy", "on_cuda"):
        frame = frame.f_back
    return not frame.f_globals.get("__name__", "").startswith("minitorch")

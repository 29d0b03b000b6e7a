"""Kernels are called here without the engine, which silences NumPy's warnings about log(0) and the like around them; and
on all threads, however few the numbers: the tests of ops and layers run the version that few numbers get."""

import pytest

from minitorch.kernels import quiet
from minitorch.kernels.cpu._jit import all_large


@pytest.fixture(autouse=True)
def _quiet_and_on_all_threads():
    with quiet(), all_large():
        yield

"""Results of kernels: large ones begin with a cache line, and are the walk's own although they lie in a larger array."""

import numpy as np
import pytest

import minitorch
from minitorch import autograd
from minitorch.kernels import cpu
from minitorch.kernels.cpu._memory import LARGE, LINE, empty


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("shape", [(), (0, 7), (3, 5), (300, 1001), (1 << 19,), (1 << 20,)], ids=str)
def test_empty(shape, dtype):
    dtype = np.dtype(dtype)
    a = empty(shape, dtype)
    assert (a.shape, a.dtype) == (shape, dtype) and a.flags.carray and a.flags.writeable
    assert a.ctypes.data % LINE == 0 or a.nbytes < LARGE
    a[...] = 1      # all of it can be written


def test_large_results_begin_with_a_line():
    x = minitorch.tensor(np.ones((512, 600), "f"))
    results = [x.data, *cpu.layernorm_forward(x.data, None, None, 1e-5)[:1], cpu.softmax_forward(x.data, 1),
               cpu.add_forward(x.data, x.data), cpu.gelu_forward(x.data, "none"), cpu.matmul_forward(x.data, x.data.T)]
    assert all(a.ctypes.data % LINE == 0 for a in results)


def test_a_gradient_in_a_larger_array_is_kept_without_a_copy():
    x = minitorch.tensor(np.ones((512, 600), "f"), requires_grad=True)
    minitorch.softmax(x, 1).backward(x.detach())
    assert x.grad.data.base is not None
    small = minitorch.tensor(np.ones((5, 6), "f"), requires_grad=True)
    held = np.ones((7, 6), "f")

    class Part(autograd.Function):      # a view of what somebody else holds must be copied
        def forward(self, x):
            return x + 0

        def backward(self, dy):
            return held[:5]

    Part.apply(small).backward(small.detach())
    assert not np.shares_memory(small.grad.data, held)

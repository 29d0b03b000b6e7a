"""Results of kernels: large ones begin with a cache line, and are the walk's own although they lie in a larger array."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minitorch
from minitorch import autograd
from minitorch.kernels import cpu
from minitorch.kernels.cpu import _memory
from minitorch.kernels.cpu._memory import COPIED, LARGE, LINE, aligned, empty


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


def test_what_stays_begins_with_a_line():
    layers = minitorch.nn.TransformerEncoder(minitorch.nn.TransformerEncoderLayer(80, 4, 96), 3)    # copies of the first
    x = np.ones((40, 12), "f")
    for t in (*layers.parameters(), minitorch.tensor(x.tolist()), minitorch.tensor(x), minitorch.rand(90, 91)):
        assert t.data.ctypes.data % LINE == 0 and t.data.flags.carray
    assert np.shares_memory(minitorch.from_numpy(x).data, x) and np.shares_memory(minitorch.as_tensor(x).data, x)


def start_of(array):
    return array.ctypes.data % LINE


@pytest.mark.parametrize("array", [np.arange(999.0), np.arange(9.0), np.ones((30, 40), "f").T, np.arange(900),
                                   np.arange(1.0 * (1 << 20))], ids=["float", "small", "transposed", "whole", "large"])
def test_aligned_keeps_what_stands_there(array):
    placed = [np.frombuffer(b"-" * start + array.tobytes("A"), array.dtype, array.size, start) for start in range(0, 64, 8)]
    for there in (p.reshape(array.T.shape).T if array.flags.f_contiguous else p.reshape(array.shape) for p in placed):
        found = aligned(there)
        np.testing.assert_array_equal(found, array)
        assert found.strides == there.strides
        assert found is there or start_of(found) == 0 and found.flags.writeable
        worth = there.dtype.kind == "f" and there.flags.c_contiguous and there.nbytes in COPIED
        assert (found is not there) == (worth and start_of(there) != 0)


@pytest.fixture
def huge(monkeypatch):
    monkeypatch.setattr(_memory, "HUGE", LARGE)
    _memory._spare.clear()
    yield np.dtype("f")
    _memory._spare.clear()


def test_a_huge_array_lies_where_one_was(huge):
    a = empty((1024, 512), huge)
    place = a.ctypes.data
    part = a[7:].T
    del a
    assert empty((1024, 512), huge).ctypes.data != place        # a view still reads it
    del part
    first, second = empty((1000, 512), huge), empty((1024, 512), huge)
    assert place in (first.ctypes.data, second.ctypes.data) and not np.shares_memory(first, second)
    assert first.flags.carray and first.ctypes.data % LINE == 0


def test_what_does_not_fit_is_given_back(huge):
    sizes = [1 << 19, 1 << 20, 1 << 21]
    for size in sizes * 3:
        a = empty((size,), huge)
        del a
        assert [len(block) for block in _memory._spare.values()] == [4 * size]
    held = [empty((size,), huge) for size in sizes]
    held.clear()
    found = [empty((size,), huge) for size in reversed(sizes)]
    assert not _memory._spare and len({a.ctypes.data for a in found}) == 3


def test_too_huge_says_how_much(huge, monkeypatch):
    with pytest.raises(MemoryError, match="Unable to allocate"):
        empty((1 << 60,), huge)

    def full(*_):
        raise OSError("no memory")

    monkeypatch.setattr(_memory.mmap, "mmap", full)
    a = empty((LARGE,), huge)
    assert a.shape == (LARGE,) and a.ctypes.data % LINE == 0 and not _memory._spare


@pytest.mark.parametrize("array", [np.ones((7, 5)), np.ones((600, 500), "f"), np.ones((500, 600)).T, np.ones(1 << 18, "d")],
                         ids=["small", "large", "transposed", "line"])
def test_what_is_made_to_stay_is_zero(array, monkeypatch):
    held = [minitorch.kernels.staying(array) for _ in range(2)]
    for a in held:
        assert (a.shape, a.dtype, a.strides) == (array.shape, array.dtype, array.strides) and not a.any()
        a[...] = 1
    apart = _memory._keeping and array.nbytes >= LARGE and array.flags.c_contiguous
    assert isinstance(held[0].base, _memory.mmap.mmap) == apart and not np.shares_memory(*held)

    def full(*_):
        raise OSError("no memory")

    monkeypatch.setattr(_memory.mmap, "mmap", full)
    assert not minitorch.kernels.staying(array).any()


def test_threads_never_get_the_same_memory(huge):
    def work(number):
        for _ in range(200):
            a = empty((LARGE // 4,), huge)
            a[:] = number
            if not (a == number).all():
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))


def test_gradients_of_a_huge_weight_do_not_mix(huge):
    w = minitorch.tensor(np.ones((1024, 512), "f"), requires_grad=True)
    seen = []
    for scale in (1.0, 2.0, 3.0):
        w.grad = None
        minitorch.nn.functional.linear(minitorch.full((4, 512), scale), w).sum().backward()
        seen.append(w.grad)
    assert [float(g.data.max()) for g in seen] == [float(g.data.min()) for g in seen] == [4.0, 8.0, 12.0]


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

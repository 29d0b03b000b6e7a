"""Gradients of square brackets: the compiled backend's shortcuts for rows of a table, against the reference."""

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

RNG = np.random.default_rng(0)


def ids(n, *shape):
    return RNG.integers(-n, n, shape)


CASES = {
    "table[ids]": ((27, 10), (ids(27, 32, 8),)),
    "without a tuple": ((27, 10), ids(27, 5)),
    "narrow ids": ((70, 4), (ids(70, 900).astype(np.int32),)),
    "a large table": ((500, 60), (ids(500, 64, 32),)),
    "x[range(n), labels]": ((40, 30), (np.arange(40), ids(30, 40))),
    "broadcast ids": ((40, 30), (np.arange(40)[:, None], ids(30, 1, 7))),
    "many single numbers": ((500, 600), (ids(500, 20_000), ids(600, 20_000))),
    "ids and a number": ((5, 6, 7), (ids(5, 9), -2)),
    "a number and ids": ((5, 6, 7), (3, ids(6, 9))),
    "numbers around ids": ((5, 6, 7), (3, ids(6, 9), -1)),
    "an id without axes": ((5, 6), (np.array(-3),)),
    "numbers": ((5, 6), (2, 3)),
    "no ids": ((5, 6), (ids(5, 0),)),
    "an empty table": ((5, 0), (ids(5, 3),)),
    "ids after a slice": ((5, 6), (slice(None), ids(6, 4))),
    "ids before a slice": ((5, 6, 7), (ids(5, 3), slice(1, 3))),
    "ids and the rest": ((5, 6, 7), (ids(5, 3), Ellipsis)),
    "ids and a new axis": ((5, 6), (ids(5, 3), None)),
    "a mask": ((5, 6), (RNG.random(5) > 0.5,)),
    "a mask and ids": ((5, 6), (np.array([True, False, True, True, False]), ids(6, 3))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_picked_twice_is_added_twice(name, dtype):
    shape, index = CASES[name]
    # whole numbers: exact in any order
    dy = np.asarray(RNG.integers(-9, 10, np.zeros(shape)[index].shape)).astype(dtype)
    got, want = cpu.getitem_backward(dy, shape, index), reference.getitem_backward(dy, shape, index)
    assert got.shape == shape and got.dtype == dtype
    np.testing.assert_array_equal(got, want)
    before = RNG.integers(-9, 10, shape).astype(dtype)
    for backend in cpu, reference:      # added to what is there
        out = before.copy()
        assert np.shares_memory(backend.getitem_backward(dy, shape, index, out), out) or not out.size
        np.testing.assert_array_equal(out, before + want)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("largest", [True, False])
def test_topk_is_what_sorting_gives(largest, dtype):
    """Equals keep their order, also those at the edge; NaN counts as the largest."""
    for shape, dim in ((40, 500), 1), ((500, 40), 0), ((3, 400, 20), 1), ((20_000,), 0):
        x = RNG.permutation(np.prod(shape)).reshape(shape).astype(dtype)
        tied = x // 7
        holes = np.where(x % 11, x, np.nan) if dtype != "int64" else -x
        for values in x, tied, holes, np.zeros_like(x):
            for k in 1, 3, 10, min(200, shape[dim]), shape[dim]:
                same(*(backend.topk_forward(values, k, dim, largest) for backend in (cpu, reference)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_large_arrays_in_order(dtype):
    """Sorted, and the middle: equals keep their order, −0 is 0, NaN of either sign counts as the largest."""
    for shape, dim in ((40, 500), 1), ((500, 40), 0), ((3, 400, 20), 1), ((20_000,), 0):
        x = (3 * RNG.standard_normal(shape)).astype(dtype) if dtype not in ("uint8", "bool") else \
            RNG.integers(0, 200, shape).astype(dtype)
        wild = x.copy()
        if wild.dtype.kind == "f":
            for i, value in enumerate([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0]):
                wild.reshape(-1)[i::17] = value
        for values in x, wild, np.zeros_like(x), x[..., ::-1]:
            for descending in False, True:
                same(cpu.sort_forward(values, dim, descending), reference.sort_forward(values, dim, descending))
                same([cpu.argsort(values, dim, descending)], [reference.argsort(values, dim, descending)])
            same(cpu.median_forward(values, dim, True), reference.median_forward(values, dim, True))


def same(ours, theirs):
    for got, want in zip(ours, theirs, strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_array_equal(got, want)


GATHERED = [((40, 30), (40, 1), 1), ((40, 30), (25, 50), 1), ((40, 30), (70, 30), 0),
            ((5, 6, 7), (5, 9, 2), 1), ((8,), (20,), 0), ((), (), 0), ((4, 5), (0, 5), 0)]


@pytest.mark.parametrize("shape, sizes, dim", GATHERED)
def test_gathers_gradient(shape, sizes, dim):
    index = RNG.integers(0, shape[dim] if shape else 1, sizes)
    dy = RNG.integers(-9, 10, sizes).astype("float32") if sizes else np.asarray(3.0, "float32")
    want = np.zeros(shape, "float32")
    for place in np.ndindex(sizes):
        want[tuple(index[place] if axis == dim else i for axis, i in enumerate(place))] += dy[place]
    for backend in cpu, reference:
        got = backend.gather_backward(dy, shape, dim, index)
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_array_equal(got, want)

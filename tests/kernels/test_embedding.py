"""Embedding: ids that repeat, padding, and no race."""

import numba
import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, normal


@pytest.mark.parametrize("rows, width, ids_shape", [
    (1, 1, (1,)), (5, 3, (2, 4)), (3, 7, ()), (4, 2, (0,)), (7, 0, (3,)),
    (33, 5, (65,)), (2, 31, (3, 4, 5)),
])
@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("check", CHECKS)
def test_embedding(check, padding, rows, width, ids_shape):
    ids = np.random.default_rng(7).integers(0 if padding is None else min(1, rows - 1), rows, ids_shape)
    if padding is not None and rows == 1:
        padding = None
    check(lambda k, weight, ids: k.embedding_forward(weight, np.asarray(ids)),
          lambda k, dy, outs, weight, ids: (k.embedding_backward(dy, np.asarray(ids), rows, padding), None),
          [normal(rows, width), np.asarray(ids)])


def test_padding_learns_nothing():
    for k in (reference, cpu):
        dweight = k.embedding_backward(np.ones((3, 2)), np.array([0, 1, 1]), 3, 1)
        assert dweight.tolist() == [[1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("rows", [1, 3, 97])
def test_many_writers_lose_nothing(rows):
    rng = np.random.default_rng(1)
    ids, dy = rng.integers(0, rows, 20_000), rng.integers(-8, 9, (20_000, 5)).astype("float32")
    want = reference.embedding_backward(dy.astype("float64"), ids, rows, None)
    before = numba.get_num_threads()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            for _ in range(10):
                np.testing.assert_array_equal(cpu.embedding_backward(dy, ids, rows, None), want)
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("padding", [None, 2])
def test_the_rows_are_added_to_an_array(padding):
    rng = np.random.default_rng(2)
    ids, dy, before = rng.integers(0, 7, (3, 5)), rng.standard_normal((3, 5, 4)), rng.standard_normal((7, 4))
    want = before + reference.embedding_backward(dy, ids, 7, padding)
    for k in (reference, cpu):
        out = before.copy()
        assert k.embedding_backward(dy, ids, 7, padding, out) is out
        np.testing.assert_allclose(out, want, rtol=1e-14)
        if padding is not None:
            assert (out[padding] == before[padding]).all()

"""Dropout and the residual connection: the same elements in forward and backward, on every backend."""

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, layouts_of, normal

SHAPES = [(1,), (7,), (0,), (3, 5), (2, 3, 5), (33, 31), (64, 65), (0, 3), (2, 0)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("check", CHECKS)
def test_dropout(check, p, shape):
    check(lambda k, x: k.dropout_forward(x, p, 5), lambda k, dy, outs, x: (k.dropout_backward(dy, p, 5),),
          [normal(*shape)])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("check", CHECKS)
def test_residual(check, bias, p, shape):
    check(lambda k, x, f, bias: k.residual_forward(x, f, bias, p, 2**64 - 1),
          lambda k, dy, outs, x, f, bias: k.residual_backward(dy, p, 2**64 - 1, (True, True, bias is not None)),
          [normal(*shape), normal(*shape, seed=1), normal(shape[-1], seed=2) if bias else None])


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_everywhere(dtype, seed):
    x = normal(31, 33, dtype=dtype)
    want = reference.dropout_forward(x, 0.3, seed)
    np.testing.assert_array_equal(reference.keep(x.shape, 0.3, seed), cpu.keep(x.shape, 0.3, seed))
    for name, variant in layouts_of(x):
        got = cpu.dropout_forward(variant, 0.3, seed)
        np.testing.assert_array_equal(got != 0, want != 0, name)
        if name != "broadcast":
            assert got.tobytes() == want.tobytes()


def test_the_bits_look_random():
    masks = np.array([cpu.keep((1000, 100), 0.25, seed) for seed in [*range(20), 2**32, 2**40]], float).reshape(22, -1)
    np.testing.assert_allclose(masks.mean(1), 0.75, atol=0.006)
    correlations = np.corrcoef(masks) - np.eye(22)
    assert np.abs(correlations).max() < 0.017
    for lag in (1, 2, 3, 64, 100, 1024):
        assert abs(np.corrcoef(masks[0, lag:], masks[0, :-lag])[0, 1]) < 0.017

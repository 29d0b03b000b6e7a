"""Softmax and log-softmax over any axis."""

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, normal

AXES = [((1,), 0), ((7,), -1), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), 1), ((2, 1, 3), -2), ((0, 3), 1), ((3, 0), 0),
        ((65, 33), 1), ((31, 64), 0), ((), 0), ((5, 3, 20), 1), ((90, 4, 17), 1), ((3, 300), 0), ((300, 70), 0),
        ((0, 64), 0), ((2, 0, 16), 1), ((1, 20), 0)]


@pytest.mark.parametrize("shape, axis", AXES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("scale", [1, 30])
@pytest.mark.parametrize("check", CHECKS)
def test_softmax(check, scale, name, shape, axis):
    check(lambda k, x: getattr(k, name + "_forward")(x, axis),
          lambda k, dy, outs, x: (getattr(k, name + "_backward")(dy, outs[0], axis),),
          [normal(*shape, scale=scale)])


@pytest.mark.parametrize("k", [reference, cpu])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_and_columns_with_infinities_are_those_of_pytorch(name, k):
    torch = pytest.importorskip("torch")
    inf, nan = np.inf, np.nan
    x = np.array([[-inf] * 5, [-inf, 0, 1, 2, 3], [inf, 0, 1, 2, 3], [nan, 0, 1, 2, 3], [0, 1, 2, 3, nan],
                  [1e4, -1e4, 0, 9999, 1], [3, nan, -inf, -inf, -inf]])
    want = getattr(torch, name)(torch.tensor(x), 1).numpy()
    np.testing.assert_allclose(getattr(k, name + "_forward")(x, 1), want, rtol=1e-12, atol=4e-12)
    columns = np.repeat(x.T, 3, 1)
    np.testing.assert_allclose(getattr(k, name + "_forward")(columns, 0), np.repeat(want.T, 3, 1), rtol=1e-12, atol=4e-12)

"""Binary cross-entropy: complex step, the stop at −100, PyTorch's gradient at the ends."""

import numpy as np
import pytest

from minitorch.kernels import reference

from kernel_checks import complex_step, normal


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5)])
def test_gradient(shape):
    x, t = (np.asarray(1 / (1 + np.exp(-normal(*shape, seed=s)))) for s in (1, 2))
    complex_step(lambda k, x, t: k.binary_cross_entropy_forward(x, t),
                 lambda k, dy, outs, x, t: k.binary_cross_entropy_backward(dy, x, t), [x, t])


def test_the_ends():
    x, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    assert reference.binary_cross_entropy_forward(x, t).tolist() == [100, 100, 0, 0]
    dx, dt = reference.binary_cross_entropy_backward(np.ones(4), x, t, (True, False))
    assert dx.tolist() == [-1e12, 1e12, 0, 0] and dt is None

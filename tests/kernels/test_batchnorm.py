"""BatchNorm: derivative, agreement, layouts, unwritten memory, in training and afterwards; numbers far from zero."""

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, normal

SHAPES = [(2, 1), (5, 3), (7, 70), (33, 31), (3, 2, 5), (4, 3, 1), (1, 3, 7), (4, 3, 2, 3), (2, 5, 3, 3), (3, 33, 5, 7),
          (0, 3), (0, 2, 9), (3, 0)]


@pytest.mark.parametrize("affine", ["γβ", "γ", "β", ""])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("check", CHECKS)
def test_batchnorm(check, training, shape, affine):
    c = shape[1]
    mean, var = (None, None) if training else (normal(c, seed=4), normal(c, seed=5) ** 2)

    def forward(k, x, gamma, beta):
        return k.batchnorm_forward(x, gamma, beta, mean, var, 1e-5)

    def backward(k, dy, outs, x, gamma, beta):
        return k.batchnorm_backward(dy, x, gamma, *outs[1:], 1e-5, training, (True, gamma is not None, beta is not None))

    check(forward, backward, [normal(*shape), normal(c, seed=1) if "γ" in affine else None,
                              normal(c, seed=2) if "β" in affine else None])


def error(got, want):
    return float(np.abs(got.astype("d") - want).max() / np.abs(want).max())


@pytest.mark.parametrize("k", [reference, cpu])
@pytest.mark.parametrize("mean", [0, 1e4, 1e6])
@pytest.mark.parametrize("shape", [(64, 5), (8, 5, 7, 9)], ids=str)
def test_far_from_zero(k, mean, shape):
    x, dy = (normal(*shape) + mean).astype("f"), normal(*shape, seed=3, dtype="f")
    gamma, beta = normal(5, seed=1, dtype="f"), normal(5, seed=2, dtype="f")
    truth, *saved = reference.batchnorm_forward(x.astype("d"), gamma.astype("d"), beta.astype("d"), None, None, 1e-5)
    truths = reference.batchnorm_backward(dy.astype("d"), x.astype("d"), gamma.astype("d"), *saved, 1e-5, True)
    y, *saved = k.batchnorm_forward(x, gamma, beta, None, None, 1e-5)
    gradients = k.batchnorm_backward(dy, x, gamma, *saved, 1e-5, True)
    assert error(y, truth) <= 1e-6
    assert max(error(a, b) for a, b in zip(gradients, truths, strict=True)) <= 2e-6
    torch = pytest.importorskip("torch")
    args = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    theirs = torch.nn.functional.batch_norm(args[0], None, None, *args[1:], training=True)
    theirs.backward(torch.tensor(dy))
    assert error(y, truth) <= error(theirs.detach().numpy(), truth) + 4 * 2.0**-23
    for a, b, t in zip(gradients, truths, args, strict=True):
        assert error(a, b) <= error(t.grad.numpy(), b) + 4 * 2.0**-23


@pytest.mark.parametrize("k", [reference, cpu])
@pytest.mark.parametrize("value", [0.1, 10000.1, 123456.7])
def test_constant_channels_are_exact(k, value):
    x, beta = np.full((3, 2, 7, 7), value, "f"), normal(2, dtype="f")
    y, mean, var = k.batchnorm_forward(x, None, beta, None, None, 1e-5)
    assert (y == beta[:, None, None]).all() and not var.any()


@pytest.mark.parametrize("k", [reference, cpu])
def test_a_channel_sees_itself_alone(k):
    x = normal(4, 3, 3, 3)
    x[1, 1, 2, 0] = np.nan
    y, mean, var = k.batchnorm_forward(x, None, None, None, None, 1e-5)
    assert np.isnan([mean, var]).tolist() == [[False, True, False]] * 2
    assert np.isnan(y[:, 1]).all() and np.isfinite(y[:, ::2]).all()

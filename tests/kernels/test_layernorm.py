"""LayerNorm and RMSNorm: derivative, agreement, layouts, unwritten memory."""

import pytest

from kernel_checks import CHECKS, normal

SHAPES = [(1, 1), (1, 7), (5, 1), (2, 3, 5), (7,), (33, 31), (65, 64), (1, 0), (0, 4), (2, 0, 3), (3, 129)]


def forward(k, x, gamma, beta):
    return k.layernorm_forward(x, gamma, beta, 1e-5)


def backward(k, dy, outs, x, gamma, beta):
    needs = True, gamma is not None, beta is not None
    return k.layernorm_backward(dy, x, gamma, *outs[1:], needs)


def rms_forward(k, x, gamma):
    return k.rmsnorm_forward(x, gamma, 1e-5)


def rms_backward(k, dy, outs, x, gamma):
    return k.rmsnorm_backward(dy, x, gamma, *outs[1:], (True, gamma is not None))


@pytest.mark.parametrize("affine", ["γβ", "γ", "β", ""])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("check", CHECKS)
def test_layernorm(check, shape, affine):
    gamma = normal(shape[-1], seed=1) if "γ" in affine else None
    beta = normal(shape[-1], seed=2) if "β" in affine else None
    check(forward, backward, [normal(*shape), gamma, beta])


@pytest.mark.parametrize("affine", ["γ", ""])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("check", CHECKS)
def test_rmsnorm(check, shape, affine):
    check(rms_forward, rms_backward, [normal(*shape), normal(shape[-1], seed=1) if affine else None])

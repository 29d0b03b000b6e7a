"""Rotary positions: derivative, agreement, layouts, unwritten memory."""

import pytest

from kernel_checks import CHECKS, normal

SHAPES = [(1, 2), (5, 6), (2, 3, 7, 4), (3, 1, 8), (2, 0, 4), (0, 3, 2), (2, 3, 33, 10)]


@pytest.mark.parametrize("per_batch", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("check", CHECKS)
def test_rotary(check, shape, per_batch):
    lead = (shape[0], *[1] * (len(shape) - 3)) if per_batch and len(shape) > 2 else ()
    cos, sin = (normal(*lead, shape[-2], shape[-1] // 2, seed=s) for s in (1, 2))       # no rotation, to be strict

    def forward(k, x):
        return k.rotary_forward(x, cos.astype(x.real.dtype), sin.astype(x.real.dtype))

    def backward(k, dy, outs, x):
        return k.rotary_backward(dy, cos.astype(dy.dtype), sin.astype(dy.dtype))

    check(forward, backward, [normal(*shape)])

"""Convolution: derivative, agreement, layouts, unwritten memory, over strides, paddings, dilations and groups."""

import numba
import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, check_same, normal

ONE, NONE = (1, 1), ((0, 0), (0, 0))
CASES = [  # x, weight, stride, padding, dilation, groups
    ((1, 1, 1, 1), (1, 1, 1, 1), ONE, NONE, ONE, 1),
    ((2, 3, 5, 7), (4, 3, 3, 3), ONE, ((1, 1), (1, 1)), ONE, 1),
    ((3, 2, 7, 5), (3, 2, 2, 3), (2, 3), ((0, 1), (2, 1)), ONE, 1),
    ((1, 2, 9, 8), (2, 2, 3, 2), (1, 2), ((2, 2), (0, 3)), (2, 3), 1),
    ((2, 4, 5, 5), (6, 2, 3, 3), ONE, ((1, 1), (1, 1)), ONE, 2),
    ((2, 3, 4, 4), (6, 1, 3, 1), (2, 1), ((1, 0), (0, 0)), ONE, 3),
    ((2, 5, 4, 3), (3, 5, 1, 1), ONE, NONE, ONE, 1),
    ((2, 5, 5, 5), (3, 5, 1, 1), (2, 2), NONE, ONE, 1),
    ((1, 1, 1, 11), (2, 1, 1, 4), ONE, ((0, 0), (3, 3)), ONE, 1),
    ((2, 2, 3, 3), (2, 2, 3, 3), (5, 5), ((1, 1), (1, 1)), ONE, 1),
    ((0, 2, 4, 4), (3, 2, 3, 3), ONE, NONE, ONE, 1),
    ((2, 0, 4, 4), (3, 0, 3, 3), ONE, NONE, ONE, 1),
]
LARGE = [  # cut into blocks, pieces, slices and channels in every way
    ((5, 9, 17, 19), (7, 9, 3, 3), ONE, ((1, 1), (1, 1)), ONE, 1),
    ((67, 3, 4, 4), (5, 3, 3, 3), (2, 2), ((1, 1), (1, 1)), ONE, 1),
    ((1, 8, 41, 43), (130, 8, 3, 3), ONE, ((1, 1), (1, 1)), ONE, 1),
    ((3, 260, 6, 6), (136, 130, 3, 3), ONE, ((1, 1), (1, 1)), (2, 1), 2),
    ((1, 1, 1, 5003), (3, 1, 1, 5), (1, 3), ((0, 0), (2, 2)), ONE, 1),
    ((3, 2, 90, 70), (6, 1, 3, 5), ONE, ((2, 0), (1, 3)), (2, 1), 2),       # the last three: slid, not gathered
    ((35, 9, 12, 31), (2, 9, 4, 3), ONE, ((1, 2), (1, 1)), ONE, 1),
    ((1, 1, 1, 5003), (3, 1, 1, 5), ONE, ((0, 0), (2, 2)), (1, 2), 1),
]


def functions(stride, padding, dilation, groups):
    def forward(k, x, weight, bias):
        return k.conv2d_forward(x, weight, bias, stride, padding, dilation, groups)

    def backward(k, dy, outs, x, weight, bias):
        return k.conv2d_backward(dy, x, weight, stride, padding, dilation, groups, (True, True, bias is not None))

    return forward, backward


def arrays(shape, size, bias=True, dtype="d"):
    return [normal(*shape, seed=1, dtype=dtype), normal(*size, seed=2, dtype=dtype),
            normal(size[0], seed=3, dtype=dtype) if bias else None]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("shape, size, stride, padding, dilation, groups", CASES, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_conv(check, shape, size, stride, padding, dilation, groups, bias):
    check(*functions(stride, padding, dilation, groups), arrays(shape, size, bias))


@pytest.mark.parametrize("check", CHECKS[1:2] + CHECKS[3:])
@pytest.mark.parametrize("shape, size, stride, padding, dilation, groups", LARGE, ids=str)
def test_large(check, shape, size, stride, padding, dilation, groups):
    check(*functions(stride, padding, dilation, groups), arrays(shape, size))


@pytest.mark.parametrize("needs", list(np.ndindex(2, 2, 2)), ids=str)
def test_needs(needs):
    shape, size, *settings = CASES[4]
    x, weight, _ = arrays(shape, size)
    dy = normal(2, 6, 5, 5, seed=4)
    for k in reference, cpu:
        whole = k.conv2d_backward(dy, x, weight, *settings)
        want = tuple(g if need else None for g, need in zip(whole, needs, strict=True))
        check_same(k.conv2d_backward(dy, x, weight, *settings, needs), want, 0)


@pytest.mark.parametrize("shape, size, stride, padding, dilation, groups", CASES[1:6] + LARGE, ids=str)
def test_same_bits_on_any_number_of_threads(shape, size, stride, padding, dilation, groups):
    forward, backward = functions(stride, padding, dilation, groups)
    inputs, before, seen = arrays(shape, size, dtype="f"), numba.get_num_threads(), set()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            y = forward(cpu, *inputs)
            dy = normal(*y.shape, seed=11, dtype="f")
            seen.add(b"".join(a.tobytes() for a in (y, *backward(cpu, dy, y, *inputs))))
    finally:
        numba.set_num_threads(before)
    assert len(seen) == 1


def test_nothing_leaks_from_a_window_into_others():
    """NaN and infinity reach the outputs whose windows hold them, and no others."""
    x, weight, _ = arrays((1, 2, 6, 7), (3, 2, 3, 3))
    x[0, 1, 2, 3] = np.nan
    for k in reference, cpu:
        bad = np.isnan(k.conv2d_forward(x, weight, None, ONE, NONE, ONE, 1))
        want = np.zeros(bad.shape, bool)
        want[:, :, 0:3, 1:4] = True
        assert (bad == want).all()


def test_an_infinity_meets_the_weights_that_were_over_it_and_no_others():
    x, weight, _ = arrays((2, 2, 6, 7), (3, 2, 3, 3), dtype="f")
    x[0, 1, 2, 6] = np.inf
    settings = ONE, ((1, 1), (1, 1)), ONE, 1
    dy = np.abs(normal(2, 3, 6, 7, seed=4, dtype="f")) + 1
    got, want = (k.conv2d_backward(dy, x, weight, *settings) for k in (cpu, reference))
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    assert 0 < np.isinf(got[1]).sum() < got[1].size

"""Pooling: derivative, agreement, layouts, unwritten memory; equal numbers, NaN, windows that overlap or hang over."""

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, check_same, normal

MAX = [  # x, kernel, stride, padding, dilation, size
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), (1, 1)),
    ((2, 3, 4, 6), (2, 2), (2, 2), (0, 0), (1, 1), (2, 3)),
    ((3, 2, 7, 5), (3, 2), (2, 1), (1, 1), (1, 1), (4, 6)),
    ((1, 2, 9, 8), (2, 3), (1, 2), (1, 1), (3, 2), (8, 3)),
    ((2, 1, 5, 5), (2, 2), (2, 2), (0, 0), (1, 1), (3, 3)),          # ceil_mode: the last windows hang over
    ((1, 1, 1, 1), (2, 2), (1, 1), (2, 2), (3, 3), (2, 2)),          # windows of padding alone
    ((0, 2, 4, 4), (2, 2), (2, 2), (0, 0), (1, 1), (2, 2)),
    ((37, 3, 8, 8), (3, 3), (2, 2), (1, 1), (1, 1), (4, 4)),
]
AVG = [  # x, rows, columns: each begins, ends, counts
    ((1, 1, 1, 1), [(0, 1, 1)], [(0, 1, 1)]),
    ((2, 3, 4, 6), [(0, 2, 2), (2, 4, 2)], [(0, 3, 3), (1, 4, 3), (3, 6, 3)]),
    ((2, 2, 5, 7), [(0, 1, 3), (1, 4, 3), (4, 5, 2)], [(0, 7, 7)]),
    ((1, 2, 7, 5), [(0, 3, 3), (2, 5, 3), (4, 7, 3)], [(0, 2, 2), (1, 4, 3), (3, 5, 2)]),
    ((0, 2, 3, 3), [(0, 3, 3)], [(0, 3, 3)]),
    ((1, 2, 3, 3), [], []),
    ((41, 3, 8, 8), [(0, 8, 8)], [(0, 8, 8)]),
]


def windows(listed):
    return np.array(listed, np.int64).reshape(-1, 3).T


@pytest.mark.parametrize("shape, kernel, stride, padding, dilation, size", MAX, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_max(check, shape, kernel, stride, padding, dilation, size):
    check(lambda k, x: k.max_pool2d_forward(x, kernel, stride, padding, dilation, size),
          lambda k, dy, outs, x: (k.max_pool2d_backward(dy, outs[1], x.shape),), [normal(*shape)])


@pytest.mark.parametrize("shape, rows, columns", AVG, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_avg(check, shape, rows, columns):
    rows, columns = windows(rows), windows(columns)
    check(lambda k, x: k.avg_pool2d_forward(x, rows, columns),
          lambda k, dy, outs, x: (k.avg_pool2d_backward(dy, rows, columns, x.shape),), [normal(*shape)])


@pytest.mark.parametrize("k", [reference, cpu])
def test_first_of_equals_last_nan_and_minus_infinity(k):
    nan, inf = np.nan, np.inf
    x = np.array([[[[1, 1, nan, 5], [0, 1, nan, 7], [-inf, -inf, 3, 3], [-inf, -inf, 3, nan]]]])
    y, at = k.max_pool2d_forward(x, (2, 2), (2, 2), (0, 0), (1, 1), (2, 2))
    check_same(y, np.array([[[[1, nan], [-inf, nan]]]]))
    assert at.tolist() == [[[[0, 6], [8, 15]]]]
    dx = k.max_pool2d_backward(np.array([[[[1.0, 2], [3, 4]]]]), at, x.shape)
    assert dx.ravel().nonzero()[0].tolist() == [0, 6, 8, 15]


@pytest.mark.parametrize("k", [reference, cpu])
def test_a_mean_sees_its_window_alone(k):
    x = np.ones((1, 1, 2, 4))
    x[0, 0, 0, 3] = np.nan
    y = k.avg_pool2d_forward(x, windows([(0, 2, 2)]), windows([(0, 2, 2), (2, 4, 2)]))
    check_same(y, np.array([[[[1.0, np.nan]]]]))

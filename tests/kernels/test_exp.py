"""The functions that loops share, in float32 over their whole range, against the truth in float64."""

import math

import numba
import numpy as np
import pytest

from minitorch.kernels.cpu import _exp
from minitorch.kernels.cpu._jit import OPTIONS

ULP = 2.0**-23
pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="then they are NumPy's")


def _loop(function):
    @numba.njit(**OPTIONS)
    def loop(x, y):
        for i in range(len(x)):
            y[i] = function(x[i])

    return loop


_exps, _logs, _logs_of, _exps_less_1, _errors, _gelus, _gelu_slopes = map(_loop, (
    _exp.exp_below, _exp.log_above, _exp.log, _exp.exp_less_1, _exp.error, _exp.gelu, _exp.gelu_slope))


def run(loop, x):
    y = np.empty_like(x)
    loop(x, y)
    return y.astype("d")


def far(got, truth):
    """The largest relative error, where float32 has all its digits."""
    fine = np.abs(truth) > 2.0**-126
    assert np.abs(got - truth)[~fine].max(initial=0) <= 2.0**-126
    return (np.abs(got - truth)[fine] / np.abs(truth)[fine]).max()


def test_exp_below():
    x = np.linspace(-110, 40, 300_001, dtype="f")
    assert far(run(_exps, x), np.exp(x.astype("d"))) <= 1.5 * ULP
    assert run(_exps, np.array([-np.inf, 0, np.nan], "f")).tolist()[:2] == [0, 1]
    assert np.isnan(run(_exps, np.array([np.nan], "f")))


def test_exp_less_1():
    x = np.r_[np.linspace(-110, 40, 300_001), -(10.0 ** np.linspace(-44, 2, 300_001)), 10.0 ** np.linspace(-44, 1, 99)]
    x = x.astype("f")
    assert far(run(_exps_less_1, x), np.expm1(x.astype("d"))) <= 2 * ULP
    assert run(_exps_less_1, np.array([-np.inf, 0], "f")).tolist() == [-1, 0]
    assert np.isnan(run(_exps_less_1, np.array([np.nan], "f")))


def test_log():
    x = np.r_[10.0 ** np.linspace(-44, 38, 300_001), np.linspace(0.3, 3, 300_001), 1 + np.linspace(-1e-4, 1e-4, 9999)]
    x = x.astype("f")
    assert far(run(_logs_of, x), np.log(x.astype("d"))) <= ULP
    got = run(_logs_of, np.array([0, -0.0, 1, np.inf, -1, -np.inf, np.nan], "f"))
    np.testing.assert_array_equal(got, [-np.inf, -np.inf, 0, np.inf, np.nan, np.nan, np.nan])


def test_error():
    x = np.r_[np.linspace(-6, 6, 300_001), 10.0 ** np.linspace(-37, 1, 100_001)].astype("f")
    assert far(run(_errors, x), np.array([math.erf(v) for v in x.tolist()])) <= ULP
    np.testing.assert_array_equal(run(_errors, np.array([0, np.inf, -np.inf, np.nan], "f")), [0, 1, -1, np.nan])


def test_log_above():
    x = np.r_[0, 10.0 ** np.linspace(-44, 30, 300_001), np.linspace(0, 5, 300_001)].astype("f")
    assert far(run(_logs, x), np.log1p(x.astype("d"))) <= 2 * ULP
    assert run(_logs, np.zeros(1, "f"))[0] == 0 and np.isnan(run(_logs, np.array([np.nan], "f")))
    wide = np.array([0, 1e-300, 0.3, 1e300])
    np.testing.assert_allclose(run(_logs, wide), np.log1p(wide), rtol=1e-15)


def test_gelu():
    x = np.linspace(-13, 9, 40_001, dtype="f")
    below = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.astype("d").tolist()])
    assert far(run(_gelus, x), x * below) <= 4 * ULP
    # the slope is a sum that is 0 at −0.75: its error is a share of what is added
    bell = np.exp(-(x.astype("d") ** 2) / 2) / math.sqrt(2 * math.pi)
    error = np.abs(run(_gelu_slopes, x) - (below + x * bell))
    assert np.max(error / (below + np.abs(x) * bell)) <= 4 * ULP


def test_gelu_of_what_is_no_number():
    """As PyTorch has it: −∞ · 0 is NaN; but the slope, forward's limit, is 0 there and 1 at ∞."""
    x = np.array([0, -0.0, 1e30, np.inf, -1e30, np.nan, 1e-40], "f")
    np.testing.assert_array_equal(run(_gelus, x), x * [1, 1, 1, 1, 0, 1, 0.5])
    assert np.isnan(run(_gelus, np.array([-np.inf], "f")))
    assert run(_gelu_slopes, np.array([-np.inf, np.inf], "f")).tolist() == [0, 1]
    np.testing.assert_array_equal(run(_gelu_slopes, x), [0.5, 0.5, 1, 1, 0, np.nan, 0.5])

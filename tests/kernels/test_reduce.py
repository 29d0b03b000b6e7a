"""The reference's backward agrees with a complex step of its forward: no truncation error, so 1e-12."""

import numpy as np
import pytest

from minitorch.kernels import reference as k

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5, 2))
DIM = (0, 2)


def complex_step(forward, x, cotangent):
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = x.astype(np.complex128)
        moved[place] += 1e-30j
        dx[place] = (forward(moved) * cotangent).sum().imag / 1e-30
    return dx


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("op", ["sum", "mean", "var", "std", "prod", "logsumexp", "amax", "amin", "norm 2", "norm 3",
                                "norm 1", "norm inf", "norm 0.5"])
def test_complex_step(op, keepdim):
    name, _, p = op.partition(" ")
    settings = ((float(p),) if p else ()) + (DIM,) + ((1,) if name in ("var", "std") else ()) + (keepdim,)
    forward, backward = getattr(k, f"{name}_forward"), getattr(k, f"{name}_backward")
    result = forward(X, *settings)
    y, *mean = result if isinstance(result, tuple) else (result,)
    dy = RNG.standard_normal(y.shape)
    saved = {"sum": (X.shape,), "mean": (X.shape,), "var": (X, *mean), "std": (X, y, *mean), "prod": (X,)}
    saved = saved.get(name, (X, y))
    got = backward(dy, *saved, *settings)

    def value(x):
        result = forward(x, *settings)
        return result[0] if isinstance(result, tuple) else result

    np.testing.assert_allclose(got, complex_step(value, X, dy), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("op", ["cumsum", "cumprod"])
def test_running(op):
    dy, y = RNG.standard_normal(X.shape), getattr(k, f"{op}_forward")(X, 1)
    got = k.cumsum_backward(dy, 1) if op == "cumsum" else k.cumprod_backward(dy, X, y, 1)
    expected = complex_step(lambda x: getattr(k, f"{op}_forward")(x, 1), X, dy)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)

"""Every elementwise op: its derivative by complex step, broadcasting, layouts, kinks and ties as PyTorch has them."""

import inspect
from itertools import product

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, agree, check_same, complex_step, filled, layouts, normal

FROM_X = ["abs", "log", "log2", "log10", "log1p", "square", "sin", "cos", "silu", "erf", "erfc", "sinh", "cosh",
          "asin", "acos", "atan", "asinh", "acosh", "atanh"]
FROM_Y = ["exp", "expm1", "sqrt", "rsqrt", "reciprocal", "tan", "tanh", "sigmoid", "relu", "exp2"]
STEPS = ["sign", "floor", "ceil", "trunc"]
POSITIVE = {"log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"}
COMPILED = ["erf", "erfc", "silu", "sigmoid"]
SHAPES = [(), (1,), (0,), (7,), (3, 5), (2, 1, 3), (31, 33)]
SETTINGS = [("gelu", ("none",)), ("gelu", ("tanh",)), ("softplus", (1.0, 20.0)), ("softplus", (2.5, 0.7)),
            ("elu", (1.0,)), ("elu", (0.3,)), ("leaky_relu", (0.01,))]
BINARY = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "remainder"]
BROADCASTS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), (5, 1)), ((0, 3), (3,)),
              ((1,), (1,)), ((1, 1), (7,))]


def unary(name):
    def forward(k, x):
        return getattr(k, name + "_forward")(x)

    def backward(k, dy, outs, x):
        saved = [x] if name in FROM_X else [outs[0]] if name in FROM_Y else []
        return (getattr(k, name + "_backward")(dy, *saved),)

    return forward, backward


def with_settings(name, settings):
    return (lambda k, x: getattr(k, name + "_forward")(x, *settings),
            lambda k, dy, outs, x: (getattr(k, name + "_backward")(dy, x, *settings),))


def binary(name):
    saved = np.shape if name in ("add", "sub") else lambda x: x
    return (lambda k, x, y: getattr(k, name + "_forward")(x, y),
            lambda k, dy, outs, x, y: getattr(k, name + "_backward")(
                dy, saved(x), saved(y), (isinstance(x, np.ndarray), isinstance(y, np.ndarray))))


def sample(name, shape):
    x = normal(*shape)
    if name in ("asin", "acos", "atanh"):
        return np.asarray(0.9 * np.tanh(x))
    if name == "acosh":
        return np.asarray(np.abs(x) + 1.1)
    return np.asarray(np.abs(x) + 0.1) if name in POSITIVE else x


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["neg", *FROM_X, *FROM_Y])
def test_unary_derivative(name, shape):
    complex_step(*unary(name), [sample(name, shape)])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [*COMPILED, "exp", "relu", *STEPS])
@pytest.mark.parametrize("check", [agree, layouts, filled])
def test_unary_kernel(check, name, shape):
    check(*unary(name), [sample(name, shape)])


@pytest.mark.parametrize("name", STEPS)
def test_steps_have_zero_gradient(name):
    dy = normal(3, 4)
    assert not getattr(reference, name + "_backward")(dy).any()
    assert reference.round_forward(np.array([0.5, 1.5, 2.5, -0.5]), 0).tolist() == [0, 2, 2, 0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name, settings", SETTINGS)
@pytest.mark.parametrize("check", CHECKS)
def test_settings(check, name, settings, shape):
    check(*with_settings(name, settings), [normal(*shape, scale=2)])


@pytest.mark.parametrize("shapes", BROADCASTS)
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("check", [complex_step, layouts])
def test_binary(check, name, shapes):
    x, y = normal(*shapes[0], seed=1), normal(*shapes[1], seed=2)
    if name in ("pow", "div", "remainder"):
        x, y = np.asarray(np.abs(x) + 0.3), np.asarray(y + np.sign(y))
    check(*binary(name), [x, y])


@pytest.mark.parametrize("shapes", BROADCASTS)
@pytest.mark.parametrize("name", ["atan2", "fmod", "hypot", "logaddexp"])
@pytest.mark.parametrize("check", [complex_step, layouts])
def test_binary_with_saved_result(check, name, shapes):
    saved = 1 if name in ("hypot", "logaddexp") else 0
    check(lambda k, *a: getattr(k, name + "_forward")(*a),
          lambda k, dy, outs, *a: getattr(k, name + "_backward")(dy, *a, *outs[:saved]),
          [normal(*shapes[0], seed=1), np.asarray(normal(*shapes[1], seed=2) * 2 + 0.1)])


@pytest.mark.parametrize("shape", [(), (3, 5)])
@pytest.mark.parametrize("check", CHECKS)
def test_hardtanh(check, shape):
    check(*with_settings("hardtanh", (-0.5, 0.7)), [normal(*shape)])


@pytest.mark.parametrize("shape, dim", [((6,), 0), ((3, 4), 1), ((4, 3), 0), ((2, 6, 5), 1), ((0, 2), 1), ((2, 0), 1)])
@pytest.mark.parametrize("check", CHECKS)
def test_glu(check, shape, dim):
    check(lambda k, x: k.glu_forward(x, dim), lambda k, dy, outs, x: (k.glu_backward(dy, x, dim),), [normal(*shape)])


@pytest.mark.parametrize("shape, dim", [((2, 3 * 4096), 0), ((100, 130), 1), ((40, 6, 50), 1)])
def test_glu_of_large_arrays(shape, dim):
    for dtype, tolerance in ("float32", 1e-6), ("float64", 1e-14):
        x = normal(*shape, dtype=dtype, scale=30)
        y = reference.glu_forward(x, dim)
        check_same(cpu.glu_forward(x, dim), y, tolerance)
        dy = normal(*y.shape, seed=1, dtype=dtype)
        check_same(cpu.glu_backward(dy, x, dim), reference.glu_backward(dy, x, dim), tolerance)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("scalar", [2, 1.5])
def test_scalars_promote_nothing(name, scalar):
    x = np.abs(normal(3, 4, dtype="float32")) + np.float32(0.5)
    for a, b in [(x, scalar), (scalar, x)]:
        y = getattr(reference, name + "_forward")(a, b)
        assert y.dtype == np.float32
        gradients = binary(name)[1](reference, y, (y,), a, b)
        assert [g is None or g.dtype == np.float32 for g in gradients] == [True, True]
        complex_step(*binary(name), [v.astype("float64") if isinstance(v, np.ndarray) else v for v in (a, b)])


@pytest.mark.parametrize("low, high", [(-0.5, 0.7), (None, 0.3), (-0.1, None), ("row", "row"), ("row", None)])
@pytest.mark.parametrize("check", [complex_step, layouts])
def test_clamp(check, low, high):
    low = normal(5, seed=4) - 0.5 if low == "row" else low
    high = normal(5, seed=5) + 0.5 if high == "row" else high
    check(lambda k, *a: k.clamp_forward(*a),
          lambda k, dy, outs, *a: k.clamp_backward(dy, *a, tuple(isinstance(v, np.ndarray) for v in a)),
          [normal(3, 5), low, high])


@pytest.mark.parametrize("shapes", BROADCASTS)
@pytest.mark.parametrize("check", [complex_step, layouts])
def test_where_and_lerp(check, shapes):
    x, y = normal(*shapes[0], seed=1), normal(*shapes[1], seed=2)
    condition = normal(*np.broadcast_shapes(*shapes), seed=3) > 0
    check(lambda k, *a: k.where_forward(*a),
          lambda k, dy, outs, c, a, b: (None, *k.where_backward(dy, c, a.shape, b.shape)), [condition, x, y])
    check(lambda k, *a: k.lerp_forward(*a), lambda k, dy, outs, *a: k.lerp_backward(dy, *a), [x, y, normal(1, seed=6)])


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 1), (4,)), ((), ())])
@pytest.mark.parametrize("check", CHECKS)
def test_huber(check, shapes):
    check(lambda k, *a: k.huber_forward(*a, 0.7), lambda k, dy, outs, *a: k.huber_backward(dy, *a, 0.7),
          [np.asarray(normal(*shape, seed=i)) for i, shape in enumerate(shapes)])


def test_kinks_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    values = [-np.inf, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, np.inf, np.nan]
    x, y = (np.array(v) for v in zip(*product(values, values), strict=True))
    dy = normal(x.size)
    seen = 0
    for name in BINARY:
        if name == "remainder":
            continue
        a, b = torch.tensor(x, requires_grad=True), torch.tensor(y, requires_grad=True)
        z = getattr(torch, name)(a, b)
        z.backward(torch.tensor(dy))
        check_same(getattr(reference, name + "_forward")(x, y), z.detach().numpy(), where=name)
        for got, want in zip(binary(name)[1](reference, dy, (), x, y), (a.grad, b.grad), strict=True):
            bad = [(p, q, g, w) for p, q, g, w in zip(x, y, got, want.numpy(), strict=True)
                   if not np.isclose(g, w, rtol=1e-12, equal_nan=True)]
            assert not bad, (name, bad[:5])
            seen += x.size
    assert seen == 14 * 121


@pytest.mark.parametrize("name", ["neg", *FROM_X, *FROM_Y, "gelu", "softplus", "elu"])
def test_special_values_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    x = np.array([-np.inf, -800.0, -30.0, -1.0, -0.0, 0.0, 1.0, 30.0, 800.0, np.inf, np.nan])
    function = getattr(torch.nn.functional, name, None) if name in ("silu", "gelu", "softplus", "elu") else None
    a = torch.tensor(x, requires_grad=True)
    z = (function or getattr(torch, name))(a)
    z.backward(torch.ones_like(z))
    settings = dict(SETTINGS[::-1]).get(name)
    if name == "gelu":
        settings = ("none",)
    if name == "softplus":
        settings = (1.0, 20.0)
    forward, backward = with_settings(name, settings) if settings else unary(name)
    for k in (reference, cpu):
        y = forward(k, x)
        dx = backward(k, np.ones_like(x), (y,), x)[0]
        np.testing.assert_allclose(y, z.detach().numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(dx, a.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_sum_to():
    x = normal(4, 3, 5)
    for shape in [(4, 3, 5), (3, 5), (5,), (1,), (), (4, 1, 5), (1, 1, 1), (3, 1)]:
        ones = np.ones(shape)
        check_same(reference.sum_to(x, shape), complexless_vjp(x, ones))
    assert abs(reference.sum_to(np.full((100_003, 2), 0.1, "float32"), (2,)) / np.float32(0.1) - 100_003).max() < 0.05


def complexless_vjp(x, ones):
    """Σ over the repeated axes, the slow way: add every element where it came from."""
    total = np.zeros(ones.shape)
    where = np.broadcast_to(np.arange(ones.size).reshape(ones.shape), x.shape)
    for index, value in zip(where.ravel(), x.ravel(), strict=True):
        total.reshape(-1)[index] += value
    return total


def test_names_and_signatures_agree():
    for name in dir(reference):
        if callable(getattr(reference, name)) and not name.startswith("_"):
            assert inspect.signature(getattr(cpu, name)) == inspect.signature(getattr(reference, name)), name

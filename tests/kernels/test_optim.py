"""SGD and Adam: the same numbers as PyTorch's, in every configuration."""

import itertools

import numba
import numpy as np
import pytest

from minitorch.kernels import cpu, reference
from minitorch.kernels.cpu._blas import one_thread

SGD = [
    dict(lr=0.1, momentum=momentum, dampening=dampening, weight_decay=decay, nesterov=nesterov, maximize=maximize)
    for momentum, dampening, decay, nesterov, maximize in itertools.product(
        (0, 0.9), (0, 0.3), (0, 0.05), (False, True), (False, True))
    if not (nesterov and (momentum == 0 or dampening)) and not (dampening and not momentum)
]
ADAM = [
    dict(lr=0.01, betas=betas, eps=eps, weight_decay=decay, amsgrad=amsgrad, decoupled=decoupled, maximize=maximize)
    for betas, eps, decay, amsgrad, decoupled, maximize in itertools.product(
        ((0.9, 0.999), (0.5, 0.7)), (1e-8, 1e-2), (0, 0.1), (False, True), (False, True), (False, True))
]
BACKENDS = [cpu, reference]


def name(value):
    return value.__name__.rpartition(".")[2] if hasattr(value, "__name__") else None


def run_sgd(k, param, grads, lr, momentum, dampening, weight_decay, nesterov, maximize):
    buffer = np.full_like(param, np.nan) if momentum else None
    for step, grad in enumerate(grads):
        k.sgd_step(param, grad, buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, step == 0)
    return param


def run_adam(k, param, grads, lr, betas, eps, weight_decay, amsgrad, decoupled, maximize):
    m, v, vmax = np.zeros_like(param), np.zeros_like(param), np.zeros_like(param) if amsgrad else None
    for step, grad in enumerate(grads, 1):
        k.adam_step(param, grad, m, v, vmax, step, lr, *betas, eps, weight_decay, decoupled, maximize)
    return param


def run_torch(optimizer, param, grads, **settings):
    torch = pytest.importorskip("torch")
    p = torch.nn.Parameter(torch.from_numpy(param.copy()))
    opt = getattr(torch.optim, optimizer)([p], **settings)
    for grad in grads:
        p.grad = torch.from_numpy(grad.copy())
        opt.step()
    return p.detach().numpy()


def problem(dtype, n=37, steps=6):
    r = np.random.default_rng(n)
    # gradients of very different sizes
    grads = [(r.standard_normal(n) * 10.0 ** r.integers(-6, 3, n)).astype(dtype) for _ in range(steps)]
    for grad in grads:
        grad.flags.writeable = False
    return r.standard_normal(n).astype(dtype), grads


@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-13), ("f", 1e-6)])
@pytest.mark.parametrize("settings", SGD, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("k", BACKENDS, ids=name)
def test_sgd_against_torch(k, settings, dtype, tolerance):
    param, grads = problem(dtype)
    want = run_torch("SGD", param, grads, **settings)
    got = run_sgd(k, param, grads, **settings)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, tolerance, tolerance)


@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-13), ("f", 1e-6)])
@pytest.mark.parametrize("settings", ADAM, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("k", BACKENDS, ids=name)
def test_adam_against_torch(k, settings, dtype, tolerance):
    param, grads = problem(dtype)
    passed = {key: value for key, value in settings.items() if key != "decoupled"}
    want = run_torch("AdamW" if settings["decoupled"] else "Adam", param, grads, **passed)
    got = run_adam(k, param, grads, **settings)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, tolerance, tolerance)


@pytest.mark.parametrize("shape", [(0,), (), (1,), (3, 0), (40001,), (257, 129)], ids=str)
@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-13), ("f", 1e-6)])
def test_cpu_against_reference_over_shapes(shape, dtype, tolerance):
    r = np.random.default_rng(1)
    param, *grads = (r.standard_normal(shape).astype(dtype) for _ in range(4))
    param = np.asarray(param)
    for run, settings in (run_sgd, SGD[-1]), (run_adam, ADAM[-1]):
        want, got = run(reference, param.copy(), grads, **settings), run(cpu, param.copy(), grads, **settings)
        np.testing.assert_allclose(got, want, tolerance, tolerance)


@pytest.mark.parametrize("k", BACKENDS, ids=name)
@pytest.mark.parametrize("lay", [
    np.asfortranarray, lambda x: np.repeat(x, 2, 1)[:, ::2], lambda x: x[::-1].copy()[::-1]])
def test_arrays_of_any_layout_are_updated_in_place(lay, k):
    r = np.random.default_rng(2)
    param, grad, m, v, vmax = (abs(r.standard_normal((5, 7))) for _ in range(5))
    for optimizer in "sgd", "adam":
        plain, laid = ([x.copy() for x in (param, grad, m, v, vmax)] for _ in range(2))
        laid = [lay(x) for x in laid]
        for p, g, a, b, c in plain, laid:
            if optimizer == "sgd":
                k.sgd_step(p, g, a, 0.1, 0.9, 0.1, 0.1, False, False, False)
            else:
                k.adam_step(p, g, a, b, c, 3, 0.1, 0.9, 0.99, 1e-8, 0.1, True, False)
        for x, y in zip(plain, laid, strict=True):
            np.testing.assert_allclose(x, y, 1e-14)
        assert (laid[1] == grad).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (), (7,), (300, 70), (2**15 - 1,), (2**16 + 3,), (40, 1001)])
def test_power_sum_and_scale(dtype, shape):
    """Sums in float64, whatever the gradient is; of one size below and above what several threads share."""
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    for array in (x, x.T, np.repeat(x.reshape(-1), 2)[::2]):
        before = array.copy()
        for p in (2.0, 1.0, 3.0, np.inf):
            exact = np.abs(array.astype("d"))
            exact = exact.max(initial=0) if p == np.inf else (exact**p).sum()
            np.testing.assert_allclose(cpu.power_sum(array, p), exact, rtol=1e-12)
        np.testing.assert_array_equal(array, before)
        want = before * array.dtype.type(0.3)
        cpu.scale_step(array, np.float64(0.3))
        np.testing.assert_array_equal(array, want)


@pytest.mark.parametrize("size", [300, 20_000, 2**16])
def test_power_sum_has_the_same_bits_on_any_number_of_threads(size):
    x = np.random.default_rng(0).normal(size=size).astype("f")
    several, before = cpu.power_sum(x, 2.0), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with one_thread():
            assert cpu.power_sum(x, 2.0) == several
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("size", [5, 2**16])
@pytest.mark.parametrize("number", [np.nan, np.inf, 1e30])
def test_power_sum_of_what_is_not_finite_or_large(size, number):
    x = np.ones(size, "f")
    x[3] = number
    np.testing.assert_allclose(cpu.power_sum(x, 2.0), float(x[3]) ** 2)
    np.testing.assert_equal(float(cpu.power_sum(x, np.inf)), float(x[3]))

"""float32 on hard inputs, against the truth in float64; no worse than PyTorch where PyTorch is at hand."""

import math

import numba
import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import normal

BACKENDS = [reference, cpu]
ULP = 2.0**-23


def error(got, want):
    """The largest error, relative to the largest true value."""
    return float(np.abs(got.astype("float64") - want).max() / np.abs(want).max())


@pytest.mark.parametrize("k", BACKENDS)
@pytest.mark.parametrize("mean", [0, 1e4, 1e6])
@pytest.mark.parametrize("width", [7, 768])
def test_layernorm_far_from_zero(k, mean, width):
    x = (normal(40, width) + mean).astype("float32")
    gamma, beta = normal(width, seed=1, dtype="float32"), normal(width, seed=2, dtype="float32")
    dy = normal(40, width, seed=3, dtype="float32")
    wide = [a.astype("float64") for a in (x, gamma, beta)]
    truth, m, r = reference.layernorm_forward(*wide, 1e-5)
    truths = reference.layernorm_backward(dy.astype("float64"), wide[0], wide[1], m, r)
    y, mean32, rstd = k.layernorm_forward(x, gamma, beta, 1e-5)
    gradients = k.layernorm_backward(dy, x, gamma, mean32, rstd)
    assert error(y, truth) <= 1e-6
    assert max(error(a, b) for a, b in zip(gradients, truths, strict=True)) <= 2e-6
    torch = pytest.importorskip("torch")
    args = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    theirs = torch.nn.functional.layer_norm(args[0], (width,), *args[1:])
    theirs.backward(torch.tensor(dy))
    assert error(y, truth) <= error(theirs.detach().numpy(), truth) + 4 * ULP
    for a, b, t in zip(gradients, truths, args, strict=True):
        assert error(a, b) <= error(t.grad.numpy(), b) + 4 * ULP


@pytest.mark.parametrize("k", BACKENDS)
@pytest.mark.parametrize("value", [0.1, 10000.1, 123456.7])
@pytest.mark.parametrize("width", [1, 768])
def test_constant_rows_are_exact(k, value, width):
    x, beta = np.full((3, width), value, "float32"), normal(width, dtype="float32")
    gamma, dy = normal(width, seed=1, dtype="float32"), normal(3, width, seed=2, dtype="float32")
    y, mean, rstd = k.layernorm_forward(x, gamma, beta, 1e-5)
    assert (y == beta).all()
    assert not k.layernorm_backward(dy, x, gamma, mean, rstd)[1].any()


@pytest.mark.parametrize("k", BACKENDS)
@pytest.mark.parametrize("scale", [1, 1e4, 1e19, 1e25])
def test_rmsnorm_does_not_overflow(k, scale):
    x = (normal(5, 33) * scale).astype("float32")
    truth = reference.rmsnorm_forward(x.astype("float64"), None, 1e-6)[0]
    assert error(k.rmsnorm_forward(x, None, 1e-6)[0], truth) <= 1e-6


@pytest.mark.parametrize("k", BACKENDS)
@pytest.mark.parametrize("gap", [5, 15, 20, 25])
def test_confident_rows_keep_their_loss_and_gradient(k, gap):
    logits = normal(6, 11, dtype="float32")
    labels = np.arange(6)
    logits[labels, labels] = gap
    losses, *sums = k.cross_entropy_forward(logits, labels, None, -100, 0.0)
    got = k.cross_entropy_backward(np.ones(6, "float32"), logits, labels, None, *sums, -100, 0.0)
    e = np.exp(logits.astype("float64") - gap)
    e[labels, labels] = 0
    assert np.abs(losses / np.log1p(e.sum(1)) - 1).max() <= 6e-7
    truth = -e.sum(1) / (1 + e.sum(1))
    assert np.abs(got[labels, labels] / truth - 1).max() <= 6e-7


@pytest.mark.parametrize("k", BACKENDS)
def test_large_logits(k):
    logits, labels = (normal(6, 11) * 1e4).astype("float32"), np.arange(6)
    losses, *_ = k.cross_entropy_forward(logits, labels, None, -100, 0.0)
    truth, *_ = reference.cross_entropy_forward(logits.astype("float64"), labels, None, -100, 0.0)
    np.testing.assert_allclose(losses, truth.astype("float32"), rtol=4 * ULP)
    close = (normal(6, 11) + 1e4).astype("float32")
    _, *sums = k.cross_entropy_forward(close, labels, None, -100, 0.0)
    got = k.cross_entropy_backward(np.ones(6, "float32"), close, labels, None, *sums, -100, 0.0)
    want = reference.cross_entropy_backward(np.ones(6), close.astype("float64"), labels, None, *sums, -100, 0.0)
    assert error(got, want) <= 4 * ULP


@pytest.mark.parametrize("k", BACKENDS)
def test_gelu_tails(k):
    x = np.linspace(-12, 6, 2001).astype("float32")
    truth = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    fine = np.abs(truth) > 1e-37
    got = k.gelu_forward(x, "none")
    assert np.abs(got[fine] / truth[fine] - 1).max() <= 1e-6
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.gelu(torch.tensor(x)).numpy()
    assert error(got, truth) <= error(theirs, truth) + 4 * ULP


def test_gammas_gradient_has_no_race():
    rng = np.random.default_rng(0)
    dy = rng.integers(-8, 9, (5_000, 7)).astype("float64")
    x = rng.integers(-8, 9, (5_000, 7)).astype("float64")
    ones, zeros = np.ones(5_000), np.zeros(5_000)
    before = numba.get_num_threads()
    try:
        seen = set()
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            for _ in range(10):
                np.testing.assert_array_equal(cpu.rmsnorm_backward(dy, x, None, ones)[1], (dy * x).sum(0))
                gradients = cpu.layernorm_backward(dy, x, None, zeros, ones)
                np.testing.assert_array_equal(gradients[2], dy.sum(0))
                seen.add(b"".join(g.tobytes() for g in gradients))
        assert len(seen) == 1
    finally:
        numba.set_num_threads(before)

"""Pooling: hand values, PyTorch's results and gradients over every setting, errors that help."""

import itertools

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn.functional as F


def both(torch, name, x, *settings):
    """The same outputs, places and gradient."""
    t, m = torch.tensor(x, requires_grad=True), mt.tensor(x, requires_grad=True)
    expected, got = getattr(torch.nn.functional, name)(t, *settings), getattr(F, name)(m, *settings)
    if isinstance(expected, tuple):
        assert got[1].dtype == "int64"
        np.testing.assert_array_equal(got[1].numpy(), expected[1].numpy())
        expected, got = expected[0], got[0]
    assert got.shape == tuple(expected.shape)
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    dy = np.random.default_rng(1).normal(size=got.shape)
    expected.backward(torch.tensor(dy))
    got.backward(mt.tensor(dy))
    np.testing.assert_allclose(m.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-12)


def pictures(*shape, ties=False):
    rng = np.random.default_rng(shape)
    return rng.integers(-2, 3, shape).astype("d") if ties else rng.normal(size=shape)


@pytest.mark.parity
@pytest.mark.parametrize("kernel", [1, 2, (3, 2), (4, 5)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (2, 9, 5)], ids=str)
def test_max_is_pytorchs(shape, kernel):
    torch = pytest.importorskip("torch")
    tried = 0
    for stride, padding, dilation, ceil, ties in itertools.product(
            (None, 1, (2, 3)), (0, 1, (1, 0)), (1, (2, 1)), (False, True), (False, True)):
        span = [(k - 1) * d + 1 for k, d in zip(np.broadcast_to(kernel, 2), np.broadcast_to(dilation, 2))]
        if (np.broadcast_to(padding, 2) > np.array(span) // 2).any() or (np.array(shape[-2:]) < span).any():
            continue
        both(torch, "max_pool2d", pictures(*shape, ties=ties), kernel, stride, padding, dilation, ceil, True)
        tried += 1
    assert tried >= 24 or kernel == 1


@pytest.mark.parity
@pytest.mark.parametrize("kernel", [1, 2, (3, 2), (4, 5)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (2, 9, 5)], ids=str)
def test_avg_is_pytorchs(shape, kernel):
    torch = pytest.importorskip("torch")
    for stride, padding, ceil, count, divisor in itertools.product(
            (None, 1, (2, 3)), (0, 1, (1, 0)), (False, True), (False, True), (None, 3, -2)):
        if (np.broadcast_to(padding, 2) > np.broadcast_to(kernel, 2) // 2).any():
            continue
        both(torch, "avg_pool2d", pictures(*shape), kernel, stride, padding, ceil, count, divisor)


@pytest.mark.parity
@pytest.mark.parametrize("size", [1, 3, (5, 4), (None, 2), (3, None), (9, 11), 7], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (2, 9, 5), (0, 2, 3, 3)], ids=str)
def test_adaptive_is_pytorchs(shape, size):
    torch = pytest.importorskip("torch")
    both(torch, "adaptive_avg_pool2d", pictures(*shape), size)


@pytest.mark.parity
def test_nan_and_infinity_are_pytorchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for dtype in "fd":
        x = rng.choice([np.nan, -np.inf, np.inf, 0, 1], (3, 5, 9, 9)).astype(dtype)
        expected, at = torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)
        got, where = F.max_pool2d(mt.tensor(x), 3, 2, 1, return_indices=True)
        np.testing.assert_array_equal(got.numpy(), expected.numpy())
        np.testing.assert_array_equal(where.numpy(), at.numpy())


def test_by_hand():
    x = mt.tensor([[[1.0, 2, 5, 0], [3, 4, 0, 0]]], requires_grad=True)
    y = F.max_pool2d(x, 2)
    y.backward(mt.tensor([[[10.0, 20]]]))
    assert y.tolist() == [[[4, 5]]] and x.grad.tolist() == [[[0, 0, 20, 0], [0, 10, 0, 0]]]
    x.grad = None
    y = F.avg_pool2d(x, 2)
    y.backward(mt.tensor([[[4.0, 8]]]))
    assert y.tolist() == [[[2.5, 1.25]]] and x.grad.tolist() == [[[1, 1, 2, 2], [1, 1, 2, 2]]]


@pytest.mark.parametrize("call, kind, words", [
    (lambda: F.max_pool2d(mt.ones(4, 4), 2), RuntimeError, "(n, channels, height, width)"),
    (lambda: F.max_pool2d(mt.ones(1, 1, 4, 4), 2, padding=2), RuntimeError, "at most half of the window, got padding 2"),
    (lambda: F.max_pool2d(mt.ones(1, 1, 1, 1), 2), RuntimeError, "window is larger than its input"),
    (lambda: F.max_pool2d(mt.ones(1, 1, 4, 4), 2, dilation=0), ValueError, "dilation must be at least 1"),
    (lambda: F.max_pool2d(mt.ones(1, 1, 4, 4).long(), 2), TypeError, "x.float()"),
    (lambda: F.avg_pool2d(mt.ones(1, 1, 4, 4), 2, divisor_override=0), ValueError, "divisor_override"),
    (lambda: F.avg_pool2d(mt.ones(1, 1, 4, 4), 0), ValueError, "kernel_size must be at least 1"),
    (lambda: F.avg_pool2d(mt.ones(1, 1, 0, 4), 1), RuntimeError, "empty"),
    (lambda: F.adaptive_avg_pool2d(mt.ones(1, 1, 4, 4), (1, 2, 3)), TypeError, "two of them"),
    (lambda: F.adaptive_avg_pool2d([1], 1), TypeError, "must be a Tensor"),
])
def test_errors_help(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    assert words in str(error.value)

"""Gradient clipping and parameters as a vector."""

import math
import tracemalloc

import numpy as np
import pytest

import minitorch
from minitorch import nn


def parameters(dtype=minitorch.float32):
    result = []
    for values in ([3.0, 0.0], [[4.0]], None):
        p = nn.Parameter(minitorch.zeros(2) if values is None else minitorch.tensor(values, dtype=dtype))
        if values is not None:
            p.grad = minitorch.tensor(values, dtype=dtype)
        result.append(p)
    return result


@pytest.mark.parametrize("norm_type, total", [(2.0, 5.0), (1.0, 7.0), (math.inf, 4.0)])
def test_clip_grad_norm(norm_type, total):
    ps = parameters()
    assert nn.utils.clip_grad_norm_(ps, 100.0, norm_type).item() == total
    assert ps[0].grad.tolist() == [3.0, 0.0]
    assert nn.utils.clip_grad_norm_(iter(ps), 1.0, norm_type).item() == total
    np.testing.assert_allclose(ps[0].grad.tolist(), [3 / total, 0], rtol=1e-5)
    np.testing.assert_allclose(ps[1].grad.tolist(), [[4 / total]], rtol=1e-5)
    assert ps[2].grad is None


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_clip_grad_norm_same_as_pytorch(norm_type):
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(0).normal(size=s) for s in ((3, 2), (5,))]
    ours, theirs = ([lib.nn.Parameter(lib.tensor(a * 0)) for a in arrays] for lib in (minitorch, torch))
    for p, q, a in zip(ours, theirs, arrays, strict=True):
        p.grad, q.grad = minitorch.tensor(a), torch.tensor(a)
    a = nn.utils.clip_grad_norm_(ours, 0.5, norm_type)
    b = torch.nn.utils.clip_grad_norm_(theirs, 0.5, norm_type)
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-14)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-13)


def test_clip_grad_norm_of_what_is_not_finite():
    ps = parameters()
    ps[0].grad = minitorch.tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert math.isnan(nn.utils.clip_grad_norm_(ps, 1.0, math.inf).item())
    assert nn.utils.clip_grad_norm_([ps[2]], 1.0).item() == 0
    big = nn.Parameter(minitorch.zeros(2))
    big.grad = minitorch.tensor([3e30, 4e30])  # squares overflow in float32
    assert abs(nn.utils.clip_grad_norm_(big, 1.0).item() / 5e30 - 1) < 1e-6


def test_clip_grad_norm_of_large_gradients_takes_no_memory():
    """Copies in float64 of all gradients would take two to four times what the gradients take."""
    ps = [nn.Parameter(minitorch.zeros(2**20)) for _ in range(4)]
    for p in ps:
        p.grad = minitorch.full((2**20,), 0.5)
    nn.utils.clip_grad_norm_(ps, 1e9)       # whatever is compiled, is compiled now
    tracemalloc.start()
    try:
        assert nn.utils.clip_grad_norm_(ps, 1.0).item() == 1024
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    for p in ps:
        np.testing.assert_allclose(p.grad.numpy(), np.full(2**20, 0.5 / 1024), rtol=1e-6)


def test_clip_grad_value():
    ps = parameters()
    nn.utils.clip_grad_value_(ps, 3.5)
    assert ps[0].grad.tolist() == [3.0, 0.0] and ps[1].grad.tolist() == [[3.5]]


def test_vectors():
    net = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.tolist() == net.weight.data.ravel().tolist() + net.bias.data.tolist()
    vector.sum().backward()
    assert (net.weight.grad.data == 1).all()
    nn.utils.vector_to_parameters(minitorch.arange(8).float(), net.parameters())
    assert net.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and net.bias.tolist() == [6, 7]
    with pytest.raises(RuntimeError, match="8 values"):
        nn.utils.vector_to_parameters(minitorch.zeros(9), net.parameters())

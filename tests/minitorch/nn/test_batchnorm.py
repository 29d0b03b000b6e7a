"""BatchNorm1d and BatchNorm2d: PyTorch's outputs, gradients and running statistics over steps of training; errors."""

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn.functional as F
from minitorch import autograd, nn

SHAPES = [("BatchNorm2d", (3, 4, 5, 2)), ("BatchNorm2d", (1, 4, 3, 3)), ("BatchNorm1d", (6, 4)), ("BatchNorm1d", (2, 4, 7))]


@pytest.mark.parity
@pytest.mark.parametrize("kind, shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
def test_is_pytorchs(kind, shape, dtype, tolerance):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for momentum, affine, track, eps in [(0.1, True, True, 1e-5), (None, False, True, 1e-5), (1.0, True, True, 0.5),
                                         (0.1, True, False, 1e-5), (0.3, False, False, 0.5)]:
        settings = {"momentum": momentum, "affine": affine, "track_running_stats": track, "eps": eps}
        theirs = getattr(torch.nn, kind)(4, **settings, dtype=getattr(torch, dtype))
        ours = getattr(nn, kind)(4, **settings, dtype=getattr(mt, dtype))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        for p in theirs.parameters():
            torch.nn.init.normal_(p)
        ours.load_state_dict(theirs.state_dict())
        for training in (True, True, False, True):
            theirs.train(training)
            ours.train(training)
            x, dy = rng.normal(2, 3, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
            a, b = torch.tensor(x, requires_grad=True), mt.tensor(x, requires_grad=True)
            expected, got = theirs(a), ours(b)
            theirs.zero_grad()
            ours.zero_grad()
            expected.backward(torch.tensor(dy))
            got.backward(mt.tensor(dy))
            pairs = [(expected, got), (a.grad, b.grad)]
            pairs += [(p.grad, q.grad) for p, q in zip(theirs.parameters(), ours.parameters(), strict=True)]
            pairs += [(p, q) for p, q in zip(theirs.buffers(), ours.buffers(), strict=True)]
            for e, g in pairs:
                assert g.dtype == str(e.dtype).removeprefix("torch.") and g.shape == tuple(e.shape)
                np.testing.assert_allclose(g.detach().numpy(), e.detach().numpy(), rtol=tolerance, atol=10 * tolerance)


def test_names_and_start_values():
    layer = nn.BatchNorm2d(2)
    assert {name: t.tolist() for name, t in layer.state_dict().items()} == {
        "weight": [1, 1], "bias": [0, 0], "running_mean": [0, 0], "running_var": [1, 1], "num_batches_tracked": 0}
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer.num_batches_tracked.dtype == "int64" and layer.double().num_batches_tracked.dtype == "int64"
    assert repr(layer) == ("BatchNorm2d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)")
    assert nn.BatchNorm1d(2, bias=False).bias is None
    layer(mt.ones(2, 2, 3, 3).double())
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0, 0] and layer.num_batches_tracked.item() == 0


def test_without_a_tape_the_same_is_kept():
    x = mt.tensor(np.random.default_rng(0).normal(size=(5, 3, 2, 2)))
    kept = []
    for mode in (autograd.enable_grad, autograd.no_grad):
        layer = nn.BatchNorm2d(3, dtype=mt.float64)
        with mode():
            layer(x)
        kept.append([b.numpy() for b in layer.buffers()])
    for a, b in zip(*kept, strict=True):
        np.testing.assert_array_equal(a, b)
    assert kept[0][2] == 1


def test_what_is_remembered_may_move_before_backward():
    """A graph made in evaluation keeps its own copy of the running statistics."""
    layer = nn.BatchNorm1d(2)
    x = mt.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    y = layer.eval()(x)
    layer.train()(x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 / np.sqrt(1 + 1e-5) * np.ones((2, 2)), rtol=1e-6)


@pytest.mark.parametrize("call, kind, words", [
    (lambda: nn.BatchNorm2d(3)(mt.ones(2, 3)), ValueError, "expected 4D input (n, channels, height, width), got 2D"),
    (lambda: nn.BatchNorm1d(3)(mt.ones(3)), ValueError, "expected 2D or 3D input"),
    (lambda: nn.BatchNorm2d(3)(mt.ones(2, 4, 1, 2)), RuntimeError, "has 4 channels (axis 1), the layer was built for 3"),
    (lambda: nn.BatchNorm2d(3)(mt.ones(2, 5, 5, 3)), RuntimeError, "x.permute(0, 3, 1, 2)"),
    (lambda: nn.BatchNorm1d(3)(mt.ones(1, 3)), ValueError, "expected more than 1 value per channel when training"),
    (lambda: nn.BatchNorm2d(3)(mt.ones(1, 3, 1, 1)), ValueError, "got input size (1, 3, 1, 1)"),
    (lambda: nn.BatchNorm2d(3)(mt.ones(2, 3, 1, 1).double()), TypeError, "weight is float32"),
    (lambda: F.batch_norm(mt.ones(2, 3), None, None), ValueError, "running_mean and running_var are needed"),
    (lambda: F.batch_norm(mt.ones(2, 3), mt.ones(2), mt.ones(3)), RuntimeError, "running_mean has shape (2,)"),
    (lambda: F.batch_norm(mt.ones(2, 3).long(), mt.ones(3), mt.ones(3)), TypeError, "x.float()"),
    (lambda: F.batch_norm(np.ones((2, 3)), None, None), TypeError, "must be a Tensor"),
])
def test_errors_help(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    assert words in str(error.value)

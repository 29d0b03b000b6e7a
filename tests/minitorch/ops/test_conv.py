"""conv1d and conv2d: hand values, PyTorch's results and gradients over every setting, errors that help."""

import itertools

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn.functional as F


def normal(*shape, seed=0, dtype="d"):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def both(torch, name, arrays, *settings, tolerance=1e-12):
    """The same shapes, outputs and gradients."""
    theirs, ours = getattr(torch.nn.functional, name), getattr(F, name)
    t, m = ([make(a, requires_grad=True) for a in arrays] for make in (torch.tensor, mt.tensor))
    expected, got = theirs(*t, *settings), ours(*m, *settings)
    assert got.shape == tuple(expected.shape)
    dy = normal(*got.shape, seed=9, dtype=arrays[0].dtype)
    expected.backward(torch.tensor(dy))
    got.backward(mt.tensor(dy))
    for e, g in [(expected, got), *((a.grad, b.grad) for a, b in zip(t, m))]:
        np.testing.assert_allclose(g.detach().numpy(), e.detach().numpy(), rtol=0,
                                   atol=tolerance * max(1, float(e.detach().abs().max()) if e.numel() else 1))


def test_by_hand():
    x = mt.tensor([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]], requires_grad=True)
    w = mt.tensor([[[[1.0, 0], [0, -1]]]], requires_grad=True)
    b = mt.tensor([0.5], requires_grad=True)
    y = F.conv2d(x, w, b)
    assert y.tolist() == [[[[-3.5, -3.5], [-3.5, -3.5]]]]
    y.backward(mt.tensor([[[[1.0, 2], [3, 4]]]]))
    assert x.grad.tolist() == [[[[1, 2, 0], [3, 3, -2], [0, -3, -4]]]]
    assert w.grad.tolist() == [[[[37, 47], [67, 77]]]]
    assert b.grad.tolist() == [10]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("padding", [0, 1, (2, 1), "same", "valid"], ids=str)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3), (4, 1)], ids=str)
def test_conv2d_is_pytorchs(kernel, padding):
    torch = pytest.importorskip("torch")
    for stride, dilation, groups in itertools.product((1, 2, (3, 1)), (1, (1, 2)), (1, 2, 4)):
        if padding == "same" and stride != 1:
            continue
        arrays = [normal(2, 4, 7, 8), normal(8, 4 // groups, *kernel), normal(8)]
        both(torch, "conv2d", arrays, stride, padding, dilation, groups)


@pytest.mark.parity
@pytest.mark.parametrize("padding", [0, 2, "same"])
def test_conv1d_is_pytorchs(padding):
    torch = pytest.importorskip("torch")
    for stride, dilation, groups, shape in itertools.product((1, 2), (1, 3), (1, 3), ((2, 3, 11), (3, 11))):
        if padding == "same" and stride != 1:
            continue
        both(torch, "conv1d", [normal(*shape), normal(6, 3 // groups, 3), normal(6)], stride, padding, dilation, groups)


@pytest.mark.parity
@pytest.mark.parametrize("shape, size", [((3, 9, 8), (5, 3, 3, 3)), ((0, 3, 9, 8), (5, 3, 3, 3))], ids=str)
def test_one_picture_and_none(shape, size):
    torch = pytest.importorskip("torch")
    both(torch, "conv2d", [normal(*shape), normal(*size), normal(size[0])])
    both(torch, "conv2d", [normal(*shape), normal(*size)])


@pytest.mark.parity
@pytest.mark.parametrize("shape, size", [((3, 16, 12, 13), (32, 16, 3, 3)), ((2, 300, 5, 5), (64, 300, 3, 3))], ids=str)
@pytest.mark.parametrize("offset", [0, 1000])
def test_float32_is_no_worse_than_pytorchs(shape, size, offset):
    torch = pytest.importorskip("torch")
    arrays = [(normal(*shape) + offset).astype("f"), normal(*size, dtype="f"), normal(size[0], dtype="f")]
    dy = None
    found = []
    for library, functional, dtype in ((torch, torch.nn.functional, "d"), (torch, torch.nn.functional, "f"), (mt, F, "f")):
        inputs = [library.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        y = functional.conv2d(*inputs, padding=1)
        dy = normal(*y.shape, dtype="f") if dy is None else dy
        y.backward(library.tensor(dy.astype(dtype)))
        found.append([t.detach().numpy() for t in (y, *(i.grad for i in inputs))])
    for truth, theirs, ours in zip(*found, strict=True):
        scale = np.abs(truth).max()
        assert np.abs(ours - truth).max() / scale <= 2 * np.abs(theirs - truth).max() / scale + 4 * 2.0**-23


PICTURE, KERNEL = mt.ones(1, 3, 4, 4), mt.ones(1, 3, 3, 3)


@pytest.mark.parametrize("call, kind, words", [
    (lambda: F.conv2d(mt.ones(4, 4), mt.ones(1, 1, 3, 3)), ValueError, "channels missing? x.unsqueeze(-3)"),
    (lambda: F.conv2d(mt.ones(1, 2, 4, 4), KERNEL), RuntimeError, "has 2 channels, weight (1, 3, 3, 3) expects 3"),
    (lambda: F.conv2d(mt.ones(1, 4, 4, 3), KERNEL), RuntimeError, "x.permute(0, 3, 1, 2)"),
    (lambda: F.conv2d(mt.ones(1, 3, 2, 4), KERNEL), RuntimeError, "larger than its input: height 2"),
    (lambda: F.conv2d(mt.ones(1, 4, 4, 4), mt.ones(3, 2, 3, 3), groups=2), RuntimeError, "3 outputs cannot be dealt out"),
    (lambda: F.conv2d(PICTURE, mt.ones(1, 3, 3)), RuntimeError, "weight must be (outputs, channels / groups"),
    (lambda: F.conv2d(PICTURE, KERNEL, mt.ones(2)), RuntimeError, "bias has shape (2,), expected (1,)"),
    (lambda: F.conv2d(PICTURE.double(), KERNEL), TypeError, "weight is float32"),
    (lambda: F.conv2d(PICTURE.long(), KERNEL), TypeError, "x.float()"),
    (lambda: F.conv2d(PICTURE.data, KERNEL), TypeError, "input must be a Tensor"),
    (lambda: F.conv2d(PICTURE, KERNEL, stride=0), ValueError, "stride must be at least 1, got 0"),
    (lambda: F.conv2d(PICTURE, KERNEL, padding=-1), ValueError, "padding must be at least 0"),
    (lambda: F.conv2d(PICTURE, KERNEL, dilation=(1, 2, 3)), TypeError, "a whole number or 2 of them"),
    (lambda: F.conv2d(PICTURE, KERNEL, stride=1.5), TypeError, "got 1.5"),
    (lambda: F.conv2d(PICTURE, KERNEL, padding="full"), ValueError, "'same' or 'valid', got 'full'"),
    (lambda: F.conv2d(PICTURE, KERNEL, stride=2, padding="same"), ValueError, "for stride 1"),
    (lambda: F.conv2d(PICTURE, KERNEL, groups=0), ValueError, "groups"),
    (lambda: F.conv1d(PICTURE, mt.ones(1, 3, 3)), RuntimeError, "(n, channels, length)"),
    (lambda: F.conv2d(PICTURE, mt.ones(1, 3, 0, 3)), RuntimeError, "kernel is empty"),
])
def test_errors_help(call, kind, words):
    with pytest.raises(kind) as error:
        call()
    assert words in str(error.value)

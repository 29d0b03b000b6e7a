"""Conv1d, Conv2d and the pooling layers as modules: names, printing, start values, PyTorch's results, errors."""

import numpy as np
import pytest

import minitorch as mt
from minitorch import nn

LAYERS = {
    "Conv2d": (lambda nn: nn.Conv2d(4, 6, 3), (2, 4, 7, 8)),
    "Conv2d with everything": (lambda nn: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2,
                                                    bias=False), (2, 4, 7, 8)),
    "Conv2d same": (lambda nn: nn.Conv2d(4, 4, 5, padding="same", dilation=2), (1, 4, 9, 8)),
    "Conv2d valid, one picture": (lambda nn: nn.Conv2d(4, 1, 1, 2, padding="valid"), (4, 9, 8)),
    "Conv1d": (lambda nn: nn.Conv1d(4, 6, 3, 2, 1), (2, 4, 9)),
    "Conv1d one sequence": (lambda nn: nn.Conv1d(4, 6, (3,), padding="same", groups=2), (4, 9)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(2, padding=1, dilation=(2, 1)), (2, 3, 7, 8)),
    "MaxPool2d ceil": (lambda nn: nn.MaxPool2d((3, 2), stride=2, ceil_mode=True), (3, 7, 8)),
    "AvgPool2d": (lambda nn: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 3, 7, 8)),
    "AvgPool2d divisor": (lambda nn: nn.AvgPool2d((2, 3), divisor_override=5), (2, 3, 7, 8)),
    "AdaptiveAvgPool2d": (lambda nn: nn.AdaptiveAvgPool2d((3, None)), (2, 3, 7, 8)),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", LAYERS)
def test_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    make, shape = LAYERS[name]
    theirs, ours = make(torch.nn), make(nn)
    assert repr(ours) == repr(theirs)
    assert {k: tuple(v.shape) for k, v in theirs.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).normal(size=shape).astype("f")
    a, b = torch.tensor(x, requires_grad=True), mt.tensor(x, requires_grad=True)
    expected, got = theirs(a), ours(b)
    dy = np.random.default_rng(1).normal(size=got.shape).astype("f")
    expected.backward(torch.tensor(dy))
    got.backward(mt.tensor(dy))
    pairs = [(expected, got), (a.grad, b.grad), *((p.grad, q.grad) for p, q in zip(theirs.parameters(), ours.parameters()))]
    for e, g in pairs:
        np.testing.assert_allclose(g.detach().numpy(), e.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make, fan_in", [
    (lambda: nn.Conv2d(64, 96, 5, groups=2), 800), (lambda: nn.Conv1d(90, 70, 7), 630)])
def test_start_values(make, fan_in):
    mt.manual_seed(0)
    layer = make()
    for p in layer.parameters():
        assert 0.9 / fan_in**0.5 < np.abs(p.data).max() <= 1 / fan_in**0.5
    assert abs(layer.weight.std().item() * (3 * fan_in) ** 0.5 - 1) < 0.02


@pytest.mark.parametrize("make, kind, words", [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible by groups, got 3 channels and 2"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, "out_channels must be divisible by groups"),
    (lambda: nn.Conv2d(4, 4, 3, padding_mode="reflect"), NotImplementedError, "F.pad(x, …, mode='reflect')"),
    (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), ValueError, "padding_mode must be 'zeros', got 'mirror'"),
    (lambda: nn.Conv2d(4, 4, 3, padding="sme"), ValueError, "'same' or 'valid', got 'sme'"),
    (lambda: nn.Conv2d(4, 4, 3, stride=2, padding="same"), ValueError, "strided"),
    (lambda: nn.Conv2d(4, 4, (3, 3, 3)), TypeError, "kernel_size must be a whole number or 2 of them"),
    (lambda: nn.Conv2d(4, 4, 0), ValueError, "kernel_size must be at least 1"),
    (lambda: nn.Conv1d(4, 4, 3, padding=-1), ValueError, "padding must be at least 0"),
])
def test_errors_help(make, kind, words):
    with pytest.raises(kind) as error:
        make()
    assert words in str(error.value)

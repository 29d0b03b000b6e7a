"""Cross-entropy: weights, smoothing, ignored rows; the same numbers as PyTorch."""

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, normal

SHAPES = [(1, 1), (1, 5), (7, 3), (0, 4), (33, 31), (65, 64)]


def labels_for(n, v, ignored):
    labels = np.random.default_rng(n).integers(0, v, n)
    if ignored:
        labels[::2] = -100
    return labels


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("check", CHECKS)
def test_cross_entropy(check, weighted, smoothing, ignored, shape):
    n, v = shape
    weight = np.abs(normal(v, seed=3)) + 0.1 if weighted else None

    def forward(k, logits, labels):
        return k.cross_entropy_forward(logits, labels, weight, -100, smoothing)

    def backward(k, dy, outs, logits, labels):
        return k.cross_entropy_backward(dy, logits, labels, weight, *outs[1:], -100, smoothing), None

    check(forward, backward, [normal(n, v, scale=3), labels_for(n, v, ignored)])


@pytest.mark.parametrize("k", [reference, cpu])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_pytorch(k, weighted, smoothing):
    torch = pytest.importorskip("torch")
    logits, labels, weight = normal(9, 7, scale=4), labels_for(9, 7, True), np.abs(normal(7, seed=3))
    dy = normal(9, seed=1)
    z = torch.tensor(logits, requires_grad=True)
    w = torch.tensor(weight) if weighted else None
    losses = torch.nn.functional.cross_entropy(z, torch.tensor(labels), w, reduction="none", label_smoothing=smoothing)
    losses.backward(torch.tensor(dy))
    weight = weight if weighted else None
    got, *sums = k.cross_entropy_forward(logits, labels, weight, -100, smoothing)
    np.testing.assert_allclose(got, losses.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(k.cross_entropy_backward(dy, logits, labels, weight, *sums, -100, smoothing),
                               z.grad.numpy(), rtol=1e-12, atol=1e-14)

"""Rotary positions: distances only, scaling as Hugging Face does it, bad arguments."""

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.nn import functional as F

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}


def random(*shape, seed=0):
    return minitorch.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def test_scores_depend_on_the_distance_only():
    rope = nn.RotaryEmbedding(10)
    q, k = random(1, 10), random(1, 10, seed=1)
    scores = [(rope(q, start=t) * rope(k, start=t - 3)).sum().item() for t in (3, 4, 50, 1000)]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-10)
    assert abs((rope(q, start=9) * rope(k, start=2)).sum().item() - scores[0]) > 1e-3
    np.testing.assert_allclose((rope(q, 77) ** 2).sum().item(), (q ** 2).sum().item(), rtol=1e-12)      # lengths stay


def test_start_continues():
    rope, x = nn.RotaryEmbedding(6, theta=50.0), random(2, 3, 7, 6)
    whole, parts = rope(x), [rope(x[..., :4, :]), rope(x[..., 4:, :], start=4)]
    np.testing.assert_array_equal(whole.detach().numpy(), np.concatenate([p.detach().numpy() for p in parts], -2))
    assert rope(x.float()).dtype == np.float32
    assert not rope.state_dict() and "theta=50" in repr(rope)


def test_gradient_is_turned_back():
    rope, x = nn.RotaryEmbedding(8), random(2, 5, 8)
    y = rope(x)
    dy = random(2, 5, 8, seed=2)
    y.backward(dy)
    minitorch.autograd.gradcheck(lambda x: rope(x), (x,))
    again = x.grad
    np.testing.assert_allclose(rope(again).detach().numpy(), dy.detach().numpy(), atol=1e-12)


def test_by_hand():
    """(1, 0) at position 2 with one pair: turned by 2 radians."""
    y = nn.RotaryEmbedding(2)(minitorch.tensor([[1.0, 0.0]], dtype=np.float64), start=2)
    np.testing.assert_allclose(y.numpy(), [[np.cos(2), np.sin(2)]])


@pytest.mark.parity
@pytest.mark.parametrize("scaling", [{}, {"rope_type": "linear", "factor": 2.5}, LLAMA3])
@pytest.mark.parametrize("dim, theta", [(2, 10000.0), (6, 500.0), (64, 100000.0)])
def test_as_in_transformers(scaling, dim, theta):
    pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(hidden_size=dim, num_attention_heads=1, head_dim=dim,
                         rope_parameters={"rope_type": "default", "rope_theta": theta, **scaling})
    cos, sin = LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(100)[None])
    ours = nn.RotaryEmbedding(dim, theta, scaling).tables(np.arange(100))
    np.testing.assert_allclose(ours[0], cos[0, :, :dim // 2].numpy(), atol=1e-5)        # theirs is float32
    np.testing.assert_allclose(ours[1], sin[0, :, :dim // 2].numpy(), atol=1e-5)


@pytest.mark.parametrize("make, message", [
    (lambda: nn.RotaryEmbedding(5), "dim must be even"),
    (lambda: nn.RotaryEmbedding(4, theta=-1), "theta must be a positive number"),
    (lambda: nn.RotaryEmbedding(4, scaling={"rope_type": "yarn", "factor": 2}), "'yarn' is not supported"),
    (lambda: nn.RotaryEmbedding(4, scaling={"type": "linear"}), "needs a positive number 'factor', got None"),
    (lambda: nn.RotaryEmbedding(4, scaling={**LLAMA3, "factor": float("inf")}), "needs a positive number 'factor'"),
    (lambda: nn.RotaryEmbedding(4, scaling={**LLAMA3, "low_freq_factor": 4}), "must be below high_freq_factor"),
    (lambda: nn.RotaryEmbedding(4)(minitorch.ones(3, 6)), "dim = 4, got"),
    (lambda: F.rotary(minitorch.ones(3, 5), 1, 1), "even number of features"),
    (lambda: F.rotary(minitorch.ones(3, 4), np.ones((2, 2)), np.ones((2, 2))), "does not fit x"),
    (lambda: F.rotary(minitorch.ones(3, 4), minitorch.ones(3, 2, requires_grad=True), np.ones((3, 2))), "constants"),
    (lambda: F.rotary(np.ones((3, 4)), 1, 1), "x must be a Tensor, got ndarray"),
    (lambda: F.rotary(minitorch.ones(3, 4).long(), 1, 1), "must be of floats"),
])
def test_bad_arguments(make, message):
    with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
        make()

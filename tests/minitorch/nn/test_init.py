"""nn.init: the distributions, by their moments; errors; the generator."""

import math

import numpy as np
import pytest

import minitorch
from minitorch.nn import init

W = (300, 200)


@pytest.fixture(autouse=True)
def seeded():
    minitorch.manual_seed(0)


@pytest.mark.parametrize("fill, std, bound", [
    (lambda w: init.uniform_(w, -2, 2), 2 / math.sqrt(3), 2),
    (lambda w: init.normal_(w, 0, 0.5), 0.5, None),
    (lambda w: init.xavier_uniform_(w, 2.0), 2 * math.sqrt(2 / 500), 2 * math.sqrt(6 / 500)),
    (lambda w: init.xavier_normal_(w), math.sqrt(2 / 500), None),
    (lambda w: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 200), math.sqrt(6 / 200)),
    (lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)), 1 / math.sqrt(600), 1 / math.sqrt(200)),
    (lambda w: init.kaiming_normal_(w, mode="fan_out"), math.sqrt(2 / 300), None),
    (lambda w: init.trunc_normal_(w, std=0.02), 0.02, 2),
    (lambda w: init.trunc_normal_(w), 0.8796, 2),
])
def test_moments(fill, std, bound):
    w = minitorch.empty(W)
    assert fill(w) is w
    assert abs(w.data.std() - std) < 0.02 * std and abs(w.data.mean()) < 0.02 * std
    assert bound is None or np.abs(w.data).max() <= bound
    again = minitorch.empty(W)
    minitorch.manual_seed(0)
    fill(again)
    assert (again.data == w.data).all()


def test_trunc_normal_in_the_tail_and_in_a_sliver():
    tail = init.trunc_normal_(minitorch.empty(2000), a=5.0, b=9.0).numpy()
    assert tail.min() >= 5 and abs(tail.mean() - 5.1865) < 0.02
    sliver = init.trunc_normal_(minitorch.empty(2000), a=0.1, b=0.11).numpy()
    assert sliver.min() >= 0.1 and sliver.max() <= 0.11
    with pytest.raises(ValueError, match="a < b"):
        init.trunc_normal_(minitorch.empty(2), a=1, b=0)


def test_constants():
    assert (init.constant_(minitorch.empty(3), 0.3).data == np.float32(0.3)).all()
    assert (init.ones_(minitorch.empty(3)).data == 1).all() and (init.zeros_(minitorch.empty(3)).data == 0).all()
    np.testing.assert_array_equal(init.eye_(minitorch.empty(2, 3)).numpy(), np.eye(2, 3))
    with pytest.raises(ValueError, match="2 dimensions"):
        init.eye_(minitorch.empty(3))


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3)])
def test_orthogonal(shape):
    w = init.orthogonal_(minitorch.empty(*shape, dtype=minitorch.float64), gain=2.0).numpy().reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(min(w.shape)), atol=1e-12)
    with pytest.raises(ValueError):
        init.orthogonal_(minitorch.empty(3))


def test_gains_and_errors():
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("linear") == 1
    assert init.calculate_gain("leaky_relu", 1) == 1 and init.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        init.calculate_gain("swash")
    with pytest.raises(ValueError, match="Mode"):
        init.kaiming_uniform_(minitorch.empty(2, 2), mode="fan")
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_uniform_(minitorch.empty(2))
    g = minitorch.Generator().manual_seed(5)
    a = init.normal_(minitorch.empty(4), generator=g)
    b = init.normal_(minitorch.empty(4), generator=minitorch.Generator().manual_seed(5))
    assert (a.data == b.data).all()


def test_writing_inside_a_graph_is_noticed():
    w = minitorch.nn.Parameter(minitorch.ones(2))
    y = (w * w).sum()
    init.zeros_(w)
    with pytest.raises(RuntimeError, match="changed in"):
        y.backward()

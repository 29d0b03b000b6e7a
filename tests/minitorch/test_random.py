"""Random numbers: what is drawn, from which seed, and on how many threads."""

import math

import numpy as np
import pytest

import minitorch as torch
from minitorch.random import LARGE, PIECE


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("draw", [
    lambda: torch.rand(1031, 1033), lambda: torch.randn(1031, 1033, dtype=torch.float64),
    lambda: torch.nn.init.kaiming_uniform_(torch.empty(1031, 1033)), lambda: torch.empty(1031, 1033).normal_(2, 3),
    lambda: torch.normal(2.0, 3.0, (1031, 1033)), lambda: torch.bernoulli(torch.full((1031, 1033), 0.3)),
])
def test_large_draws_are_the_same_on_any_number_of_threads(draw):
    drawn = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(5)
        drawn.append((draw().numpy(), torch.rand(3).numpy()))
    (a, after), (b, after_too) = drawn
    assert a.size > LARGE and (a == b).all() and (after == after_too).all()
    again = draw().numpy()
    assert (a != again).any() and a.dtype == again.dtype == b.dtype


@pytest.mark.parametrize("draw, mean, std", [
    (lambda: torch.rand(3, 1 << 20), 0.5, math.sqrt(1 / 12)), (lambda: torch.randn(3, 1 << 20), 0, 1),
    (lambda: torch.nn.init.normal_(torch.empty(3, 1 << 20), 4, 0.02), 4, 0.02),
    (lambda: torch.empty(3, 1 << 20).uniform_(-3, 5), 1, 8 * math.sqrt(1 / 12)),
])
def test_large_draws_have_their_distribution(draw, mean, std):
    torch.manual_seed(0)
    x = draw().numpy().astype(np.float64).ravel()
    error = std / math.sqrt(x.size)
    assert abs(x.mean() - mean) < 4 * error and abs(x.std() - std) < 4 * error
    pieces = x[:x.size // PIECE * PIECE].reshape(-1, PIECE) - mean              # each from a stream of its own
    assert np.abs(np.corrcoef(pieces) - np.eye(len(pieces))).max() < 6 / math.sqrt(PIECE)
    assert len(np.unique(x)) > 0.05 * x.size


def test_what_cannot_be_drawn():
    init = torch.nn.init
    for call in (lambda x: x.uniform_(1, 0), lambda x: x.uniform_(0, math.inf), lambda x: init.uniform_(x, 0, math.nan)):
        with pytest.raises(RuntimeError, match="uniform: needs low ≤ high, both finite, got low="):
            call(torch.zeros(3))
    for call in (lambda x: x.normal_(0, -1), lambda x: torch.normal(0.0, -1.0, (3,)), lambda x: init.normal_(x, 0, -2)):
        with pytest.raises(RuntimeError, match="normal: std must not be negative"):
            call(torch.zeros(3))


def test_threads_can_be_counted_and_set():
    most = torch.get_num_threads()
    torch.set_num_threads(1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(np.int64(1000))       # as many as there are
    assert torch.get_num_threads() == most
    for wrong in (0, -1, 2.0, "2", True, None):
        with pytest.raises(RuntimeError, match="set_num_threads: a positive whole number is needed, got"):
            torch.set_num_threads(wrong)
    assert torch.get_num_threads() == most

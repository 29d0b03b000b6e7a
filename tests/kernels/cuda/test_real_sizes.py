"""Blocks of 256 threads, warps of 32 and tiles of 128 × 128, as a GPU runs them, in the simulator: right, and without races.

It is slow, so there is one call for each way in which threads share their work: rows that fit into a warp, into a block, or
into none; tiles that are full and tiles that are not; sums over rows, columns and all.
"""

import os
from importlib import import_module

import numpy as np
import pytest

from minitorch.kernels import quiet, reference

from cuda_cases import on_device
from kernel_checks import check_same, normal
from on_cuda import HERE, SIMULATED, in_the_simulator

pytestmark = pytest.mark.usefixtures("no_races")
REAL = HERE and (not SIMULATED or os.environ.get("MINITORCH_CUDA_REAL_SIZES") == "1")


@pytest.mark.skipif(HERE, reason="kernels run in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__, MINITORCH_CUDA_REAL_SIZES="1")


def cases():
    for shape in (3, 33), (2, 700), (2, 9000):
        x, dy = normal(*shape), normal(*shape, seed=1)
        yield "softmax_forward", x, 1
        yield "softmax_backward", dy, reference.softmax_forward(x, 1), 1
        targets = np.arange(len(x)) % x.shape[1]
        yield "cross_entropy_forward", x, targets, None, -100, 0.1
    x, dy, gamma, beta = normal(18, 130), normal(18, 130, seed=1), normal(130, seed=2), normal(130, seed=3)
    y, mean, rstd = reference.layernorm_forward(x, gamma, beta, 1e-5)
    yield "layernorm_forward", x, gamma, beta, 1e-5
    yield "layernorm_backward", dy, x, gamma, mean, rstd
    for m, k, n in (129, 17, 130), (64, 33, 20):
        yield "matmul_forward", normal(m, k), normal(k, n)
    yield "matmul_backward", normal(65, 130), normal(65, 17), normal(17, 130)
    yield "sum_forward", normal(300, 70), (0,), False
    yield "sum_forward", normal(2, 7000), (1,), False
    yield "max_forward", normal(2, 3000), 1, False
    yield "cumsum_forward", normal(2, 300), 1
    for T, S, K, causal in (33, 20, 8, True), (20, 33, 66, False):
        q, k, v, dy = [normal(1, 1, length, K, seed=seed) for seed, length in enumerate((T, S, S, T))]
        y, lse = reference.attention_forward(q, k, v, None, causal, 0.5, 0.1, 3)
        yield "attention_forward", q, k, v, None, causal, 0.5, 0.1, 3
        yield "attention_backward", dy, q, k, v, None, y, lse, causal, 0.5, 0.1, 3


CASES = list(cases())


@pytest.mark.skipif(not REAL, reason="runs in the simulator, with a GPU's sizes")
@pytest.mark.parametrize("name, args", [case[:1] + (case[1:],) for case in CASES], ids=[
    f"{name}-{'x'.join(map(str, args[0].shape))}" for name, *args in CASES])
def test_equal_to_the_reference(name, args):
    with quiet():
        want = getattr(reference, name)(*args)
    check_same(getattr(on_device(), name)(*args), want)


@pytest.mark.skipif(not REAL, reason="runs in the simulator, with a GPU's sizes")
def test_how_products_are_cut():
    """Small tiles, and shares: enough for 132 multiprocessors; none where there are tiles enough, or many matrices."""
    cut = import_module("minitorch.kernels.cuda.matmul")._cut
    assert cut(8192, 3072, 768, 1) == cut(2048, 50304, 768, 1) == cut(768, 50304, 2048, 1) == (False, 1)
    small, shares = cut(768, 768, 8192, 1)
    assert not small and shares * 36 >= 2 * 132
    small, shares = cut(256, 256, 2048, 1)
    assert small and 100 <= shares * 16 <= 132
    assert cut(3, 5, 600, 1) == (True, 2) and cut(3, 5, 511, 1) == (True, 1)
    assert cut(64, 64, 4096, 12) == (True, 1)

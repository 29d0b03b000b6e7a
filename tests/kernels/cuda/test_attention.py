"""Attention on the GPU: tiles that are not full, several of them, more columns than a block adds up; what large scores cost.

In the simulator a tile is 4 × 4 up to eight features, 8 × 8 beyond, and a block adds up 8 or 16 columns.
"""

from importlib import import_module

import numpy as np
import pytest

from minitorch.kernels import quiet, reference

from cuda_cases import on_device, to_device, to_host
from kernel_checks import check_same, normal
from on_cuda import HERE, SIMULATED, in_the_simulator

here = pytest.mark.skipif(not HERE, reason="runs in the simulator")


@pytest.mark.skipif(HERE, reason="kernels run in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


def both(arrays, mask, causal, scale=0.5, p=0.0, needs=(True, True, True, True), backend=reference):
    """y, lse and the gradients."""
    q, k, v, dy = arrays
    with quiet():
        y, lse = backend.attention_forward(q, k, v, mask, causal, scale, p, 3)
        return y, lse, *backend.attention_backward(dy, q, k, v, mask, y, lse, causal, scale, p, 3, needs)


def make(B, H, G, T, S, K, E, dtype="float64"):
    return [normal(*shape, seed=i, dtype=dtype) for i, shape in enumerate(
        [(B, H, T, K), (B, G, S, K), (B, G, S, E), (B, H, T, E)])]


MASKS = {"none": lambda T, S: None, "bool": lambda T, S: normal(T, S, seed=7) > -0.3,
         "keys": lambda T, S: normal(1, 1, 1, S, seed=7) > -0.5,
         "float": lambda T, S: np.where(normal(2, T, S, seed=7) > 1, -np.inf, normal(2, T, S, seed=8)),
         "row": lambda T, S: normal(T, 1, seed=7)}
# T and S one below, at and above a tile or two; K and E one number, four, a slice, more than a slice, each other's opposite
SHAPES = [(1, 2, 1, 3, 4, 4, 4), (1, 2, 2, 4, 5, 8, 8), (2, 2, 1, 9, 3, 1, 7), (1, 2, 1, 5, 8, 6, 3), (1, 2, 2, 7, 9, 9, 9),
          (1, 2, 1, 8, 16, 12, 12), (1, 2, 1, 17, 8, 16, 5), (1, 2, 1, 9, 15, 3, 33), (1, 2, 2, 1, 17, 20, 20),
          (1, 2, 1, 16, 1, 17, 16)]
if not SIMULATED:       # on a GPU tiles have 64 rows, or 32
    SHAPES += [(2, 2, 1, 63, 130, 64, 64), (1, 2, 2, 65, 64, 128, 80), (1, 2, 1, 129, 33, 18, 300),
               (1, 2, 1, 200, 190, 260, 7)]


CAUSAL_DROPOUT_LAYOUT = [(False, 0.0, "packed"), (True, 0.0, "packed"), (False, 0.3, "packed"), (True, 0.3, "strided")]
CASES = [(shape, mask, *CAUSAL_DROPOUT_LAYOUT[(i + j) % 4]) for i, shape in enumerate(SHAPES) for j, mask in enumerate(MASKS)
         if (i + 2 * j) % 5 < 3]


@here
@pytest.mark.parametrize("shape, mask, causal, p, layout", CASES, ids=str)
def test_tiles_of_any_size(shape, mask, causal, p, layout):
    arrays, m = make(*shape), MASKS[mask](*shape[3:5])
    check_same(both(arrays, m, causal, p=p, backend=on_device(layout)), both(arrays, m, causal, p=p))


@here
@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("K", [4, 12])
def test_what_one_query_of_a_tile_may_see_does_not_reach_another(K, poison):
    """A poisoned key reaches the queries after it; a poisoned query that may attend nothing, nobody."""
    arrays = make(1, 2, 1, 11, 11, K, K)
    q, k, v, dy = arrays
    k[:, :, 6] = v[:, :, 6] = poison
    got, want = [both(arrays, None, True, backend=b) for b in (on_device(), reference)]
    for a, b in zip(got[:2], want[:2]):
        assert np.isfinite(a[:, :, :6]).all() and not np.isfinite(a[:, :, 6:]).any()
        check_same(a[:, :, :6].copy(), b[:, :, :6].copy())
    assert np.isfinite(got[2][:, :, :6]).all()
    k[:, :, 6] = v[:, :, 6] = 1
    q[:, :, 6] = dy[:, :, 6] = poison
    mask = np.arange(11)[:, None] != np.full((11, 11), 6)
    check_same(both(arrays, mask, False, backend=on_device()), both(arrays, mask, False))


@here
def test_an_infinite_value_is_forgotten_when_its_probability_becomes_0():
    q, k, v, dy = arrays = make(1, 1, 1, 3, 12, 4, 4)
    q[:], k[:] = 1, 0
    v[:, :, 2], k[:, :, 11] = np.inf, 1000
    check_same(both(arrays, None, False, backend=on_device())[:2], both(arrays, None, False)[:2])
    assert (both(arrays, None, False)[0] == v[:, :, 11:]).all()


@here
@pytest.mark.parametrize("D", [5, 8])
def test_views_are_read_where_they_lie(D):
    """Heads that are slices of one array, as layers make them, and a gradient that comes the same way: nothing is copied."""
    launch, kernels = [import_module(f"minitorch.kernels.cuda.{name}") for name in ("_launch", "attention")]
    flat = [normal(2, 6, 2 * D, seed=i) for i in range(4)]
    heads = [x.reshape(2, 6, 2, D).swapaxes(1, 2) for x in flat]
    there = [to_device(x).reshape(2, 6, 2, D).swapaxes(1, 2) for x in flat]
    cuda = import_module("minitorch.kernels.cuda")
    launch.launches.clear()
    got = both(there, None, True, backend=cuda)
    variant = f"{kernels._columns(D)} columns{' in fours' if D == 8 else ''}"
    assert launch.launches == {f"attention._forward {variant}": 1, f"attention._backward_queries {variant}": 1,
                               f"attention._backward_keys {variant}": 1}
    check_same(to_host(got), both([x.copy() for x in heads], None, True))


@here
def test_one_key_above_all_others_gives_no_slope():
    """P is 1 there, and dP − D the difference of two equal numbers: summed in the same order, they are equal."""
    q, k, v, dy = make(1, 1, 1, 9, 9, 12, 12, "float32")
    q, k = [np.eye(9, 12, dtype="float32")[None, None] * size for size in (100, 10)]
    y, _, dq, dk, dv, _ = both((q, k, v, dy), None, False, 1.0, backend=on_device())
    assert (y == v).all() and not dq.any() and not dk.any() and (dv == dy).all()


@here
def test_lse_may_be_rounded():
    """Two keys whose score is 1000 get half each, but exp(1000 − lse) is off by 10⁻⁵: lse is a multiple of 2⁻¹⁴."""
    q, k, v, dy = make(1, 1, 1, 5, 2, 1, 3, "float32")
    q[:], k[:] = 1000, 1
    y, lse, dq, dk, dv, _ = both((q, k, v, dy), None, False, 1.0, backend=on_device())
    assert abs(np.exp(1000 - lse.astype("f8")) - 0.5).max() > 5e-6
    np.testing.assert_allclose(dv[0, 0], [dy[0, 0].astype("f8").sum(0) / 2] * 2, rtol=1e-6)
    np.testing.assert_allclose(y[0, 0], [v[0, 0].astype("f8").sum(0) / 2] * 5, rtol=1e-6)


@here
@pytest.mark.parametrize("size", [1, 30])
def test_float32_is_about_as_accurate_as_the_reference(size):
    arrays = make(1, 2, 1, 12, 13, 12, 12, "float32")
    arrays[0] *= size / 3
    truth = both([x.astype("f8") for x in arrays], None, False, 1.0)
    ours, theirs = both(arrays, None, False, 1.0, backend=on_device()), both(arrays, None, False, 1.0)
    for a, b, t in zip(ours[:5], theirs, truth):
        assert abs(a - t).max() <= 2 * abs(b - t).max() + 4 * np.spacing(np.float32(abs(t).max()))

"""Attention: every kind of mask, grouped heads, odd sizes, poison where nobody may look."""

import json
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, layouts

# B, H, G, T, S, D, E: small enough for a complex step at every number
TINY = [
    (1, 1, 1, 1, 1, 1, 1), (1, 2, 1, 3, 4, 2, 3), (2, 2, 2, 2, 3, 3, 1), (1, 4, 2, 2, 2, 1, 2), (1, 1, 1, 5, 2, 3, 2),
]
# one below, at and above a strip of queries; T ≠ S, G < H, E ≠ D; nothing at all
SHAPES = [
    *TINY, (1, 2, 1, 31, 33, 8, 8), (2, 1, 1, 32, 32, 5, 7), (1, 3, 1, 33, 31, 4, 4), (1, 2, 2, 191, 64, 3, 3),
    (1, 1, 1, 192, 193, 8, 2), (1, 2, 1, 257, 255, 5, 6), (3, 4, 2, 65, 130, 7, 5), (1, 1, 1, 1, 300, 16, 16),
    (1, 1, 1, 300, 1, 16, 16), (2, 2, 1, 0, 3, 2, 2), (2, 2, 1, 3, 0, 2, 2), (0, 2, 1, 3, 3, 2, 2),
    (1, 0, 1, 3, 3, 2, 2),
    (1, 2, 1, 3, 3, 0, 2), (1, 2, 1, 3, 3, 2, 0),
]
MASKS = ["none", "bool-TS", "bool-keys", "bool-full", "float-TS", "float-HTS", "float-full", "float-keys", "float-rows",
         "float-scalar", "float-inf"]


def rng(*key):
    return np.random.default_rng(zlib.crc32(repr(key).encode()))


def make(shape, mask, dtype="d"):
    """q, k, v, mask and a random dy."""
    B, H, G, T, S, D, E = shape
    r = rng(shape, mask)
    q, k, v, dy = (r.standard_normal(s).astype(dtype) for s in ((B, H, T, D), (B, G, S, D), (B, G, S, E), (B, H, T, E)))
    normal = lambda *s: r.standard_normal(s).astype(dtype)
    some = lambda *s: r.random(s) < 0.6
    made = {
        "none": lambda: None, "bool-TS": lambda: some(T, S), "bool-keys": lambda: some(B, 1, 1, S),
        "bool-full": lambda: some(B, H, T, S), "float-TS": lambda: normal(T, S), "float-HTS": lambda: normal(H, T, S),
        "float-full": lambda: normal(B, H, T, S), "float-keys": lambda: normal(B, 1, 1, S),
        "float-rows": lambda: normal(H, T, 1), "float-scalar": lambda: normal(),
        "float-inf": lambda: np.where(some(1, H, T, S), normal(1, H, T, S), np.array(-np.inf, dtype)),
    }[mask]()
    return q, k, v, made if made is None else np.asarray(made), dy


def agree(got, want, tolerance=1e-12):
    """Every pair within tolerance · max(1, |want|): a mask that moves whole rows has a gradient of 0 and rounding."""
    for a, b in zip(got, want, strict=True):
        if b is None:
            assert a is None
            continue
        assert a.shape == b.shape and a.dtype == b.dtype
        fine = np.isfinite(b)
        assert (a[~fine] == b[~fine]).all()
        assert np.abs(a[fine] - b[fine]).max(initial=0) <= tolerance * np.abs(b[fine]).max(initial=1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", TINY, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_attention(check, shape, mask, causal):
    def forward(k, q, key, v, m):
        return k.attention_forward(q, key, v, m, causal, 0.7, 0.0, 0)

    def backward(k, dy, outs, q, key, v, m):
        return k.attention_backward(dy, q, key, v, m, *outs, causal, 0.7, 0.0, 0)

    inputs = list(make(shape, mask)[:4])
    if check is layouts and mask == "float-scalar":
        inputs[3] = inputs[3].reshape(1)
    check(forward, backward, inputs)


@pytest.mark.parametrize("p", [0.3, 1.0])
@pytest.mark.parametrize("mask", ["none", "bool-full", "float-inf"])
@pytest.mark.parametrize("shape", [*TINY, (2, 4, 2, 33, 35, 6, 5), (1, 2, 1, 200, 70, 4, 4)], ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_dropout(check, shape, mask, p):
    """Backward drops the same probabilities as forward, in both backends."""
    def forward(k, q, key, v, m):
        return k.attention_forward(q, key, v, m, True, 0.7, p, 5)

    def backward(k, dy, outs, q, key, v, m):
        return k.attention_backward(dy, q, key, v, m, *outs, True, 0.7, p, 5)

    check(forward, backward, list(make(shape, mask)[:4]))


@pytest.mark.parametrize("k", [cpu, reference], ids=["cpu", "reference"])
def test_share_of_dropped_probabilities(k):
    """With values that pick out single keys, y is the matrix of probabilities itself."""
    q = np.zeros((1, 2, 60, 3))
    v = np.broadcast_to(np.eye(50), (1, 2, 50, 50))
    y, _ = k.attention_forward(q, np.zeros((1, 2, 50, 3)), v, None, False, 1.0, 0.25, 8)
    assert abs((y == 0).mean() - 0.25) < 0.03
    np.testing.assert_allclose(y[y != 0], 0.02 / 0.75, 1e-14)
    assert (y != k.attention_forward(q, np.zeros((1, 2, 50, 3)), v, None, False, 1.0, 0.25, 9)[0]).any()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", TINY, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_attention_weights(check, shape, mask, causal):
    def forward(k, q, key, m):
        return k.attention_weights_forward(q, key, m, causal, 0.7)

    def backward(k, dy, outs, q, key, m):
        return k.attention_weights_backward(dy, q, key, m, *outs, causal, 0.7)

    q, key, _, m, _ = make(shape, mask)
    if check is layouts and mask == "float-scalar":
        m = m.reshape(1)
    check(forward, backward, [q, key, m])


@pytest.mark.parametrize("mask", ["none", "bool-full", "float-inf"])
@pytest.mark.parametrize("shape", [(2, 4, 2, 33, 35, 6, 5), (1, 2, 1, 200, 70, 4, 4)], ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_strips(check, shape, mask):
    test_attention(check, shape, mask, True)


@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-12), ("f", 4e-5)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cpu_against_reference(shape, mask, causal, dtype, tolerance):
    q, k, v, m, dy = make(shape, mask, dtype)
    settings = causal, shape[5] ** -0.5 if shape[5] else 1.0
    y, lse = reference.attention_forward(q, k, v, m, *settings, 0.0, 0)
    agree(cpu.attention_forward(q, k, v, m, *settings, 0.0, 0), (y, lse), tolerance)
    agree(cpu.attention_backward(dy, q, k, v, m, y, lse, *settings, 0.0, 0),
          reference.attention_backward(dy, q, k, v, m, y, lse, *settings, 0.0, 0), tolerance)
    probs = reference.attention_weights_forward(q, k, m, *settings)
    agree([cpu.attention_weights_forward(q, k, m, *settings)], [probs], tolerance)
    dprobs = rng(shape).standard_normal(probs.shape).astype(dtype)
    agree(cpu.attention_weights_backward(dprobs, q, k, m, probs, *settings),
          reference.attention_weights_backward(dprobs, q, k, m, probs, *settings), tolerance)


@pytest.mark.parametrize("needs", list(np.ndindex(2, 2, 2, 2)), ids=str)
@pytest.mark.parametrize("k_", [cpu, reference], ids=["cpu", "reference"])
def test_only_the_gradients_that_are_needed(needs, k_):
    q, k, v, m, dy = make((1, 2, 1, 5, 6, 3, 2), "float-inf")
    y, lse = reference.attention_forward(q, k, v, m, True, 0.5, 0.0, 0)
    whole = reference.attention_backward(dy, q, k, v, m, y, lse, True, 0.5, 0.0, 0)
    agree(k_.attention_backward(dy, q, k, v, m, y, lse, True, 0.5, 0.0, 0, needs),
          [g if need else None for g, need in zip(whole, needs, strict=True)])
    probs = reference.attention_weights_forward(q, k, m, True, 0.5)
    whole = reference.attention_weights_backward(probs * probs, q, k, m, probs, True, 0.5)
    agree(k_.attention_weights_backward(probs * probs, q, k, m, probs, True, 0.5, needs[:3]),
          [g if need else None for g, need in zip(whole, needs, strict=False)])


@pytest.mark.parametrize("kind", ["bool", "float"])
@pytest.mark.parametrize("T", [7, 40, 200])
@pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
def test_fully_masked_rows_give_zero_and_get_zero(backend, T, kind):
    q, k, v, _, dy = make((2, 2, 1, T, T, 4, 3), "none")
    allowed = rng(T).random((2, 1, T, T)) < 0.5
    allowed[:, :, ::3] = False
    mask = allowed if kind == "bool" else np.where(allowed, 0.5, -np.inf)
    y, lse = backend.attention_forward(q, k, v, mask, False, 0.5, 0.0, 0)
    assert not y[:, :, ::3].any() and (lse[:, :, ::3] == -np.inf).all()
    dq, dk, dv, dmask = backend.attention_backward(dy, q, k, v, mask, y, lse, False, 0.5, 0.0, 0)
    assert not dq[:, :, ::3].any()
    assert all(np.isfinite(g).all() for g in (dq, dk, dv))
    assert dmask is None if kind == "bool" else not dmask[~allowed].any()
    # the other rows are what they are without these
    keep = np.arange(T) % 3 != 0
    y2, lse2 = backend.attention_forward(q[:, :, keep], k, v, mask[:, :, keep], False, 0.5, 0.0, 0)
    agree([y[:, :, keep], lse[:, :, keep]], [y2, lse2])
    agree(backend.attention_backward(dy[:, :, keep], q[:, :, keep], k, v, mask[:, :, keep], y2, lse2, False, 0.5, 0.0,
                                     0, (True, True, True, False)), [dq[:, :, keep], dk, dv, None])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["causal", "bool", "float", "queries"])
@pytest.mark.parametrize("T", [5, 70])
@pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
def test_poison_in_masked_positions_does_not_leak(backend, T, where, poison):
    """Replace what nobody may see by NaN or infinity: no other number changes, and its own gradient is 0."""
    S = T + 3
    q, k, v, _, dy = make((1, 2, 1, T, S, 4, 3), "none")
    bad_q, bad_k = np.zeros(T, bool), np.zeros(S, bool)
    mask, causal = None, where == "causal"
    if where == "causal":
        bad_k[T:] = True  # keys after the last query
    elif where == "queries":
        bad_q[[1, 3]] = True
        mask = np.broadcast_to(~bad_q[:, None], (T, S))
    else:
        bad_k[[0, 2, S - 1]] = True
        mask = np.broadcast_to(~bad_k if where == "bool" else np.where(bad_k, -np.inf, 0.3), (T, S))

    def run(q, k, v, dy):
        y, lse = backend.attention_forward(q, k, v, mask, causal, 0.5, 0.0, 0)
        return y, lse, *backend.attention_backward(dy, q, k, v, mask, y, lse, causal, 0.5, 0.0, 0)

    clean = run(q, k, v, dy)
    q, k, v, dy = q.copy(), k.copy(), v.copy(), dy.copy()
    q[:, :, bad_q] = dy[:, :, bad_q] = poison
    k[:, :, bad_k] = v[:, :, bad_k] = poison
    agree(run(q, k, v, dy), clean)
    probs = backend.attention_weights_forward(q, k, mask, causal, 0.5)
    dprobs = np.where(probs == 0, poison, 1.5 * probs)
    for g in (probs, *backend.attention_weights_backward(dprobs, q, k, mask, probs, causal, 0.5)):
        assert g is None or np.isfinite(g).all()


def test_causal_poison_reaches_only_the_queries_that_see_it():
    q, k, v, _, dy = make((1, 1, 1, 80, 80, 4, 4), "none")
    clean, _ = cpu.attention_forward(q, k, v, None, True, 0.5, 0.0, 0)
    v[0, 0, 50] = np.nan
    for backend in cpu, reference:
        y, _ = backend.attention_forward(q, k, v, None, True, 0.5, 0.0, 0)
        assert np.isnan(y[0, 0, 50:]).all()
        agree([y[:, :, :50]], [clean[:, :, :50]])


def test_nan_where_one_may_look_stays_nan():
    for which in range(3):
        arrays = list(make((1, 1, 1, 5, 5, 4, 4), "none")[:3])
        arrays[which][0, 0, 0] = np.nan
        for backend in cpu, reference:
            y, lse = backend.attention_forward(*arrays, None, False, 0.5, 0.0, 0)
            assert np.isnan(y[0, 0, 0]).all()


@pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
def test_large_scores(backend):
    """A query that sees one key far above the rest copies its value, and lse is that score."""
    q = np.array([[[[1e4], [-1e4]]]], "f")
    k, v = np.array([[[[1.0], [0.0], [-1.0]]]], "f"), np.array([[[[1.0], [2.0], [3.0]]]], "f")
    y, lse = backend.attention_forward(q, k, v, None, False, 1.0, 0.0, 0)
    assert y.ravel().tolist() == [1, 3] and lse.ravel().tolist() == [1e4, 1e4]
    dq, dk, dv, _ = backend.attention_backward(np.ones_like(y), q, k, v, None, y, lse, False, 1.0, 0.0, 0)
    assert not dq.any() and not dk.any() and dv.ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize("shape", [(2, 4, 2, 33, 31, 4, 6), (1, 1, 1, 70, 70, 8, 8), (2, 3, 1, 1, 5, 4, 4)], ids=str)
def test_the_gradient_may_lie_either_way(shape):
    """By head, or by word, as the layer behind attention leaves it: the same bits, and each its own writer."""
    for mask in MASKS:
        q, k, v, m, dy = make(shape, mask)
        y, lse = cpu.attention_forward(q, k, v, m, False, 0.5, 0.0, 0)
        by_word = np.ascontiguousarray(dy.swapaxes(1, 2)).swapaxes(1, 2)
        settings = q, k, v, m, y, lse, False, 0.5, 0.0, 0
        first, second = cpu.attention_backward(dy, *settings), cpu.attention_backward(by_word, *settings)
        for got, want in zip(second, first, strict=True):
            assert (got is None) == (want is None)
            assert got is None or np.array_equal(got, want, equal_nan=True)
        agree(second, reference.attention_backward(dy, q, k, v, m, y, lse, False, 0.5, 0.0, 0), 1e-12)


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def _unaligned(x):
    room = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    room[...] = x
    return room


def _in(room, x, *place):
    """x, as a part of a larger array."""
    part = room[place]
    part[...] = x
    return part


ALL = slice(None)
LAYOUTS = {
    "part of one product": lambda x: _in(np.full((*x.shape[:-1], 3 * x.shape[-1]), np.nan, x.dtype), x,
                                         ..., slice(x.shape[-1], 2 * x.shape[-1])),
    "a longer cache": lambda x: _in(np.full((*x.shape[:2], x.shape[2] + 7, x.shape[3]), np.nan, x.dtype), x,
                                    ALL, ALL, slice(0, x.shape[2])),
    "every second row": lambda x: _in(np.full((*x.shape[:2], 2 * x.shape[2], x.shape[3]), np.nan, x.dtype), x,
                                      ALL, ALL, slice(None, None, 2)),
    "by word": lambda x: x.swapaxes(1, 2).copy().swapaxes(1, 2),
    "by feature": lambda x: x.swapaxes(2, 3).copy().swapaxes(2, 3),
    "backwards": lambda x: x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "features backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "read-only": _read_only, "unaligned": _unaligned,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 4, 2, 101, 99, 16, 8), (2, 3, 1, 1, 50, 16, 16), (1, 2, 2, 9, 1, 8, 8)], ids=str)
@pytest.mark.parametrize("dtype", "fd")
def test_inputs_may_lie_in_any_way(shape, layout, dtype):
    q, k, v, _, dy = (x if x is None else x.astype(dtype) for x in make(shape, "none"))
    settings = True, 0.5, 0.1, 3
    y, lse = cpu.attention_forward(q, k, v, None, *settings)
    want = cpu.attention_backward(dy, q, k, v, None, y, lse, *settings)
    q, k, v, dy = map(LAYOUTS[layout], (q, k, v, dy))
    for got, wanted in zip((*cpu.attention_forward(q, k, v, None, *settings),
                            *cpu.attention_backward(dy, q, k, v, None, y, lse, *settings)[:3]), (y, lse, *want[:3])):
        assert np.array_equal(got, wanted)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_head_or_one_word_may_stand_for_all(axis):
    """What ``expand`` gives: steps of 0."""
    q, k, v, _, dy = make((2, 3, 3, 70, 70, 8, 8), "none")
    same = [np.broadcast_to(x[(slice(None),) * axis + (slice(1),)], x.shape) for x in (q, k, v, dy)]
    q, k, v, dy = same
    y, lse = cpu.attention_forward(q, k, v, None, True, 0.5, 0.0, 0)
    got = cpu.attention_backward(dy, q, k, v, None, y, lse, True, 0.5, 0.0, 0)
    q, k, v, dy = (x.copy() for x in same)
    assert np.array_equal(y, cpu.attention_forward(q, k, v, None, True, 0.5, 0.0, 0)[0])
    for a, b in zip(got[:3], cpu.attention_backward(dy, q, k, v, None, y, lse, True, 0.5, 0.0, 0)[:3]):
        assert np.array_equal(a, b)


def test_inputs_are_not_written_to():
    for mask in MASKS:
        arrays = make((1, 2, 1, 33, 31, 4, 4), mask)
        q, k, v, m, dy = arrays
        before = [None if x is None else x.tobytes() for x in arrays]
        y, lse = cpu.attention_forward(q, k, v, m, True, 0.5, 0.0, 0)
        saved = y.tobytes(), lse.tobytes()
        cpu.attention_backward(dy, q, k, v, m, y, lse, True, 0.5, 0.0, 0)
        probs = cpu.attention_weights_forward(q, k, m, True, 0.5)
        kept = probs.tobytes()
        cpu.attention_weights_backward(probs, q, k, m, probs, True, 0.5)
        assert before == [None if x is None else x.tobytes() for x in arrays]
        assert saved == (y.tobytes(), lse.tobytes()) and kept == probs.tobytes()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [1.0, 5.0])
@pytest.mark.parametrize("shape", [
    (2, 2, 2, 64, 64, 16, 16), (1, 2, 2, 257, 257, 64, 64), (1, 4, 2, 130, 130, 32, 32)], ids=str)
def test_float32_is_no_less_accurate_than_torch(shape, size, causal):
    torch = pytest.importorskip("torch")
    q, k, v, _, dy = make(shape, "none", "f")
    q *= size
    y, lse = cpu.attention_forward(q, k, v, None, causal, shape[5] ** -0.5, 0.0, 0)
    ours = y, *cpu.attention_backward(dy, q, k, v, None, y, lse, causal, shape[5] ** -0.5, 0.0, 0)[:3]
    q, k, v, dy = (x.astype("d") for x in (q, k, v, dy))
    y, lse = reference.attention_forward(q, k, v, None, causal, shape[5] ** -0.5, 0.0, 0)
    truth = y, *reference.attention_backward(dy, q, k, v, None, y, lse, causal, shape[5] ** -0.5, 0.0, 0)[:3]
    tq, tk, tv = (torch.tensor(x, dtype=torch.float32, requires_grad=True) for x in (q, k, v))
    ty = torch.nn.functional.scaled_dot_product_attention(tq, tk, tv, is_causal=causal, enable_gqa=True)
    theirs = ty, *torch.autograd.grad(ty, (tq, tk, tv), torch.tensor(dy, dtype=torch.float32))
    for a, b, t in zip(ours, theirs, truth, strict=True):
        error, torch_error = np.abs(a - t).max(), np.abs(b.detach().numpy() - t).max()
        assert error <= torch_error + 4 * np.spacing(np.float32(np.abs(t).max()))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [False, True])
def test_float64_against_torch(causal, mask):
    torch = pytest.importorskip("torch")
    q, k, v, m, dy = make((2, 4, 2, 7, 9, 5, 5), mask)
    leaves = [torch.tensor(x, requires_grad=x.dtype != bool) for x in (q, k, v, *([] if m is None else [m]))]
    s = leaves[0] @ leaves[1].repeat_interleave(2, 1).mT * 0.5
    if m is not None:
        s = s.masked_fill(~leaves[3], -torch.inf) if m.dtype == bool else s + leaves[3]
    if causal:
        s = s.masked_fill(~torch.ones(7, 9, dtype=torch.bool).tril(), -torch.inf)
    none = (s == -torch.inf).all(-1, keepdim=True)
    want = s.masked_fill(none, 0).softmax(-1).masked_fill(none, 0) @ leaves[2].repeat_interleave(2, 1)
    grads = torch.autograd.grad(want, [x for x in leaves if x.requires_grad], torch.tensor(dy))
    y, lse = cpu.attention_forward(q, k, v, m, causal, 0.5, 0.0, 0)
    got = cpu.attention_backward(dy, q, k, v, m, y, lse, causal, 0.5, 0.0, 0)
    agree([y, *(g for g in got if g is not None)], [want.detach().numpy(), *(g.numpy() for g in grads)])


BITS = """
import hashlib, json, numpy as np
from minitorch.kernels import cpu
r, bits = np.random.default_rng(0), {}
for dtype in "fd":
    for shape in [(1, 1, 1, 300, 300, 64, 64), (2, 6, 2, 200, 130, 32, 16), (3, 5, 1, 65, 65, 8, 8),
                  (1, 4, 4, 1000, 1000, 16, 16), (1, 5, 5, 333, 333, 64, 64)]:
        B, H, G, T, S, D, E = shape
        q, k, v, dy = (r.standard_normal(s).astype(dtype) for s in (
            (B, H, T, D), (B, G, S, D), (B, G, S, E), (B, H, T, E)))
        for mask in None, r.standard_normal((T, S)).astype(dtype), r.standard_normal((H, 1, S)).astype(dtype):
            for p in (0.0, 0.2):
                y, lse = cpu.attention_forward(q, k, v, mask, True, 0.3, p, 5)
                probs = cpu.attention_weights_forward(q, k, mask, True, 0.3)
                found = [y, lse, *cpu.attention_backward(dy, q, k, v, mask, y, lse, True, 0.3, p, 5),
                         probs, *cpu.attention_weights_backward(probs, q, k, mask, probs, True, 0.3)]
                bits[f"{dtype} {shape} {None if mask is None else mask.shape} {p}"] = [
                    None if x is None else hashlib.sha1(np.ascontiguousarray(x)).hexdigest() for x in found]
print(json.dumps(bits))
"""


def test_same_bits_on_any_number_of_threads():
    def run(threads):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        return json.loads(subprocess.run([sys.executable, "-c", BITS], env=env, check=True,
                                         capture_output=True).stdout)

    one = run("1")
    assert one == run("2") == run("3")

"""Linear, softmax and cross-entropy in one: ignored rows, label smoothing, chunks of rows, confident predictions."""

import importlib
import json
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from minitorch.kernels import cpu, reference

from kernel_checks import CHECKS, check_same

# N, d, V
SHAPES = [(1, 1, 1), (3, 2, 4), (5, 3, 2), (4, 1, 7), (0, 3, 4), (3, 0, 4), (7, 13, 11), (31, 17, 129), (130, 33, 257)]


def make(shape, dtype="d", ignore=-100, share=0.3):
    """x, weight, bias, labels and a random dy; a share of the labels is ignored."""
    N, d, V = shape
    r = np.random.default_rng(zlib.crc32(repr(shape).encode()))
    labels = np.where(r.random(N) < share, ignore, r.integers(0, V, N))
    x, w, b, dy = (r.standard_normal(s).astype(dtype) for s in ((N, d), (V, d), (V,), (N,)))
    return x, w, b, labels, dy


@pytest.fixture(params=[1, 1 << 12, 1 << 25], ids=["one row a chunk", "4 kB", "32 MB"])
def chunk(request, monkeypatch):
    """How many logits there are at a time: the reference takes some rows of them, cpu some classes."""
    monkeypatch.setattr(importlib.import_module("minitorch.kernels.reference.projection"), "CHUNK_BYTES", request.param)
    compiled = importlib.import_module("minitorch.kernels.cpu.projection")
    monkeypatch.setattr(compiled, "SPACE", request.param)
    monkeypatch.setattr(compiled, "FEWEST", 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ignore", [-100, 0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_projection(check, shape, ignore, bias, smoothing):
    x, w, b, labels, _ = make(shape, ignore=ignore)

    def forward(k, x, w, b):
        return k.projection_forward(x, w, b, labels, ignore, smoothing)

    def backward(k, dy, outs, x, w, b):
        return k.projection_backward(dy, x, w, b, labels, *outs[1:], ignore, smoothing)

    assert not forward(cpu, x, w, b)[0][labels == ignore].any()
    check(forward, backward, [x, w, b if bias else None])


@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-12), ("f", 1e-5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chunks_and_float32(shape, smoothing, dtype, tolerance, chunk):
    x, w, b, labels, dy = make(shape, dtype)
    for bias in b, None:
        losses, *sums = reference.projection_forward(x, w, bias, labels, -100, smoothing)
        check_same(cpu.projection_forward(x, w, bias, labels, -100, smoothing), (losses, *sums), tolerance)
        check_same(cpu.projection_backward(dy, x, w, bias, labels, *sums, -100, smoothing),
              reference.projection_backward(dy, x, w, bias, labels, *sums, -100, smoothing), tolerance)


@pytest.mark.parametrize("needs", list(np.ndindex(2, 2, 2)), ids=str)
@pytest.mark.parametrize("k", [cpu, reference], ids=["cpu", "reference"])
def test_only_the_gradients_that_are_needed(needs, k, chunk):
    x, w, b, labels, dy = make((7, 5, 6))
    _, *sums = reference.projection_forward(x, w, b, labels, -100, 0.1)
    whole = reference.projection_backward(dy, x, w, b, labels, *sums, -100, 0.1)
    check_same(k.projection_backward(dy, x, w, b, labels, *sums, -100, 0.1, needs),
               tuple(g if need else None for g, need in zip(whole, needs, strict=True)))


@pytest.mark.parametrize("k", [cpu, reference], ids=["cpu", "reference"])
def test_nobody_sees_an_ignored_row(k):
    x, w, b, labels, dy = make((40, 5, 6))
    losses, *sums = k.projection_forward(x, w, b, labels, -100, 0.1)
    clean = losses, *sums, *k.projection_backward(dy, x, w, b, labels, *sums, -100, 0.1)
    ignored = labels == -100
    assert 0 < ignored.sum() < 40 and not clean[2][ignored].any()
    x, dy = x.copy(), dy.copy()
    x[ignored] = dy[ignored] = np.nan
    losses, *sums = k.projection_forward(x, w, b, labels, -100, 0.1)
    check_same((losses, *sums, *k.projection_backward(dy, x, w, b, labels, *sums, -100, 0.1)), clean)
    nothing = np.full(40, -100)
    losses, *sums = k.projection_forward(x, w, b, nothing, -100, 0.1)
    assert not losses.any() and not any(g.any() for g in k.projection_backward(dy, x, w, b, nothing, *sums, -100, 0.1))


@pytest.mark.parametrize("gap", [5, 15, 20, 25, 60, 80])
def test_confident_predictions_keep_their_digits(gap):
    """Two classes, the right one ahead by a gap: loss and gradient are e^−gap, not a rounding error of 1."""
    x, w = np.array([[1.0]], "f"), np.array([[gap], [0.0]], "f")
    label = np.array([0])
    loss, *sums = cpu.projection_forward(x, w, None, label, -100, 0.0)
    dx, dw, _ = cpu.projection_backward(np.ones(1, "f"), x, w, None, label, *sums, -100, 0.0)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-float(gap))), 1e-5)
    np.testing.assert_allclose(dw.ravel(), [-1 / (1 + np.exp(float(gap))), 1 / (1 + np.exp(float(gap)))], 1e-5)


@pytest.mark.parametrize("ulps", [-8, 8])
@pytest.mark.parametrize("gap", [5, 15, 25, 60])
def test_backward_may_round_the_logits_otherwise(gap, ulps):
    """The sums may come from another backend, whose product is rounded otherwise: the largest logit has other bits here."""
    x, w = np.array([[1.0]], "f"), np.array([[gap + 1.0], [1.0]], "f")
    _, top, others = cpu.projection_forward(x, w, None, np.array([0]), -100, 0.0)
    top += ulps * np.spacing(top)
    _, dw, _ = cpu.projection_backward(np.ones(1, "f"), x, w, None, np.array([0]), top, others, -100, 0.0)
    np.testing.assert_allclose(dw[0], -1 / (1 + np.exp(float(gap))), 1e-5)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits(size):
    x, w = np.ones((2, 1), "f"), np.array([[size], [size], [0]], "f")
    loss, *sums = cpu.projection_forward(x, w, None, np.array([0, 2]), -100, 0.0)
    want = [np.log(2), 1e4] if size > 0 else [1e4, 0]
    np.testing.assert_allclose(loss, want, 1e-4)
    assert np.isfinite(cpu.projection_backward(np.ones(2, "f"), x, w, None, np.array([0, 2]), *sums, -100, 0.0)[1]).all()


@pytest.mark.parametrize("classes", [512, 50])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("size", [1, 10])
def test_float32_is_no_less_accurate_than_torch(size, smoothing, classes, monkeypatch):
    torch = pytest.importorskip("torch")
    compiled = importlib.import_module("minitorch.kernels.cpu.projection")
    monkeypatch.setattr(compiled, "SPACE", 1)
    monkeypatch.setattr(compiled, "FEWEST", classes)
    x, w, b, labels, dy = make((60, 48, 301), "f")
    x *= size
    losses, *sums = cpu.projection_forward(x, w, b, labels, -100, smoothing)
    ours = losses, *cpu.projection_backward(dy, x, w, b, labels, *sums, -100, smoothing)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    out = torch.nn.functional.cross_entropy(torch.nn.functional.linear(*leaves), torch.tensor(labels), reduction="none",
                                            label_smoothing=smoothing)
    theirs = [out, *torch.autograd.grad(out, leaves, torch.tensor(dy))]
    x, w, b, dy = (a.astype("d") for a in (x, w, b, dy))
    losses, *sums = reference.projection_forward(x, w, b, labels, -100, smoothing)
    truth = losses, *reference.projection_backward(dy, x, w, b, labels, *sums, -100, smoothing)
    for a, o, t in zip(ours, theirs, truth, strict=True):
        error, torch_error = np.abs(a - t).max(), np.abs(o.detach().numpy() - t).max()
        assert error <= 1.5 * torch_error + 4 * np.spacing(np.float32(np.abs(t).max()))


BITS = """
import hashlib, importlib, json, numpy as np
from minitorch.kernels import cpu
r, bits = np.random.default_rng(0), {}
for size in 1 << 16, 1 << 25:
    importlib.import_module("minitorch.kernels.reference.projection").CHUNK_BYTES = size
    importlib.import_module("minitorch.kernels.cpu.projection").SPACE = size
    for dtype in "fd":
        for N, d, V in (7, 5, 3), (300, 64, 65), (200, 96, 5003):
            x, w, b, dy = (r.standard_normal(s).astype(dtype) for s in ((N, d), (V, d), (V,), (N,)))
            labels = r.integers(0, V, N)
            losses, *sums = cpu.projection_forward(x, w, b, labels, -100, 0.1)
            found = [losses, *sums, *cpu.projection_backward(dy, x, w, b, labels, *sums, -100, 0.1)]
            bits[f"{size} {dtype} {N}"] = [hashlib.sha1(np.ascontiguousarray(x)).hexdigest() for x in found]
print(json.dumps(bits))
"""


def test_same_bits_on_one_and_two_threads():
    def run(threads):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        return json.loads(subprocess.run([sys.executable, "-c", BITS], env=env, check=True, capture_output=True).stdout)

    one, two = run("1"), run("2")
    assert one == two

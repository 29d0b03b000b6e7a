"""The feed-forward layer: every activation, with and without biases and dropout."""

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

ACTIVATIONS = ["relu", "gelu", "gelu_tanh", "silu"]
# the axes before the last, c, h, o
SHAPES = [
    ((3,), 2, 4, 3), ((2, 2), 1, 1, 1), ((1,), 5, 3, 2), ((), 3, 4, 2), ((0,), 3, 4, 2), ((2, 0), 3, 4, 2),
    ((3,), 0, 2, 2),
    ((3,), 2, 0, 2), ((3,), 2, 2, 0), ((7, 11), 13, 29, 13), ((127,), 31, 131, 33), ((4, 65), 64, 256, 64),
]


def make(shape, dtype="d"):
    """x, w1, b1, w2, b2 and a random dy."""
    rows, c, h, o = shape
    r = np.random.default_rng(zlib.crc32(repr(shape).encode()))
    return [r.standard_normal(s).astype(dtype) for s in ((*rows, c), (h, c), (h,), (o, h), (o,), (*rows, o))]


@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_ffn(check, shape, activation, bias, p):
    def forward(k, x, w1, b1, w2, b2):
        return k.ffn_forward(x, w1, b1, w2, b2, activation, p, 3)

    def backward(k, dy, outs, x, w1, b1, w2, b2):
        return k.ffn_backward(dy, x, w1, w2, outs[1], activation, p, 3, (True, True, bias, True, bias))

    x, w1, b1, w2, b2, _ = make(shape)
    check(forward, backward, [x, w1, b1 if bias else None, w2, b2 if bias else None])


@pytest.mark.parametrize("at_a_time", [3, 640], ids="rows {}".format)
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-12), ("f", 1e-5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cpu_against_reference(shape, activation, dtype, tolerance, p, at_a_time, monkeypatch):
    monkeypatch.setattr(importlib.import_module("minitorch.kernels.cpu.ffn"), "ROWS", at_a_time)
    x, w1, b1, w2, b2, dy = make(shape, dtype)
    for c1, c2 in (b1, b2), (None, None):
        y, pre = reference.ffn_forward(x, w1, c1, w2, c2, activation, p, 7)
        check_same(cpu.ffn_forward(x, w1, c1, w2, c2, activation, p, 7), (y, pre), tolerance)
    want = reference.ffn_backward(dy, x, w1, w2, pre, activation, p, 7)
    check_same(cpu.ffn_backward(dy, x, w1, w2, pre, activation, p, 7), want, tolerance)


@pytest.mark.parametrize("needs", list(np.ndindex(2, 2, 2, 2, 2)), ids=str)
@pytest.mark.parametrize("k", [cpu, reference], ids=["cpu", "reference"])
def test_only_the_gradients_that_are_needed(needs, k):
    x, w1, b1, w2, b2, dy = make(((3,), 4, 5, 2))
    _, pre = reference.ffn_forward(x, w1, b1, w2, b2, "silu", 0.0, 0)
    whole = reference.ffn_backward(dy, x, w1, w2, pre, "silu", 0.0, 0)
    check_same(k.ffn_backward(dy, x, w1, w2, pre, "silu", 0.0, 0, needs),
               tuple(g if need else None for g, need in zip(whole, needs, strict=True)))


@pytest.mark.parametrize("k", [cpu, reference], ids=["cpu", "reference"])
def test_dropout_is_replayed(k):
    """With identity-like weights, what forward drops is what backward drops, and another seed drops other numbers."""
    x, eye = np.full((50, 40), 2.0), np.eye(40)
    y, pre = k.ffn_forward(x, eye, None, eye, None, "relu", 0.25, 11)
    assert set(np.unique(y)) == {0.0, 2 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.05
    dx = k.ffn_backward(np.ones_like(y), x, eye, eye, pre, "relu", 0.25, 11)[0]
    assert (dx == y / 2).all()
    assert (k.ffn_forward(x, eye, None, eye, None, "relu", 0.25, 12)[0] != y).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_is_no_less_accurate_than_torch(activation):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    tanh = lambda x: F.gelu(x, approximate="tanh")
    act = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": tanh, "silu": F.silu}[activation]
    *inputs, dy = make(((60,), 48, 96, 24), "f")
    x, w1, b1, w2, b2 = inputs
    y, pre = cpu.ffn_forward(*inputs, activation, 0.0, 0)
    ours = y, *cpu.ffn_backward(dy, x, w1, w2, pre, activation, 0.0, 0)
    leaves = [torch.tensor(a, requires_grad=True) for a in inputs]
    ty = F.linear(act(F.linear(*leaves[:3])), *leaves[3:])
    theirs = [ty, *torch.autograd.grad(ty, leaves, torch.tensor(dy))]
    x, w1, b1, w2, b2, dy = (a.astype("d") for a in (*inputs, dy))
    y, pre = reference.ffn_forward(x, w1, b1, w2, b2, activation, 0.0, 0)
    truth = y, *reference.ffn_backward(dy, x, w1, w2, pre, activation, 0.0, 0)
    for a, b, t in zip(ours, theirs, truth, strict=True):
        error, torch_error = np.abs(a - t).max(), np.abs(b.detach().numpy() - t).max()
        assert error <= 1.5 * torch_error + 4 * np.spacing(np.float32(np.abs(t).max()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-14), ("f", 4e-7)])
def test_extreme_inputs(activation, dtype, tolerance):
    """One hidden unit and weights of 1: y is the activation of x, dx its slope."""
    x = np.array([-1e4, -100, -88, -40, -12, -5, -1e-30, 0, 1e-30, 5, 40, 88, 100, 1e4], dtype)[:, None]
    one = np.ones((1, 1), dtype)
    y, pre = cpu.ffn_forward(x, one, None, one, None, activation, 0.0, 0)
    dx = cpu.ffn_backward(np.ones_like(x), x, one, one, pre, activation, 0.0, 0)[0]
    x, one = x.astype("d"), one.astype("d")
    truth, pre = reference.ffn_forward(x, one, None, one, None, activation, 0.0, 0)
    slope = reference.ffn_backward(np.ones(x.shape), x, one, one, pre, activation, 0.0, 0)[0]
    assert np.isfinite(y).all() and np.isfinite(dx).all()
    np.testing.assert_allclose(y, truth, 0 if activation == "relu" else 3e-5 if dtype == "f" else 1e-12, 1e-37)
    np.testing.assert_allclose(dx, slope, tolerance, tolerance)


BITS = """
import hashlib, json, numpy as np
from minitorch.kernels import cpu
r, bits = np.random.default_rng(0), {}
for dtype in "fd":
    for rows, c, h, o in (7, 5, 3, 2), (300, 64, 256, 64), (1030, 96, 384, 96):
        x, w1, b1, w2, b2, dy = (r.standard_normal(s).astype(dtype) for s in (
            (rows, c), (h, c), (h,), (o, h), (o,), (rows, o)))
        for activation in "relu", "gelu", "gelu_tanh", "silu":
            y, pre = cpu.ffn_forward(x, w1, b1, w2, b2, activation, 0.1, 5)
            found = [y, pre, *cpu.ffn_backward(dy, x, w1, w2, pre, activation, 0.1, 5)]
            bits[f"{dtype} {rows} {activation}"] = [hashlib.sha1(np.ascontiguousarray(x)).hexdigest() for x in found]
print(json.dumps(bits))
"""


def test_same_bits_on_one_and_two_threads():
    def run(threads):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        return json.loads(subprocess.run([sys.executable, "-c", BITS], env=env, check=True, capture_output=True).stdout)

    one, two = run("1"), run("2")
    assert one == two

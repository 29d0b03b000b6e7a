"""matmul and linear: shapes of every kind, and the same bits on any number of threads."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from minitorch.kernels import cpu, reference
from minitorch.kernels.cpu import _blas, _product, attention

from kernel_checks import CHECKS, check_same, layouts, normal

# left, right: 1-D, 2-D, batched, broadcast, empty, and large enough to be cut into pieces
SHAPES = [
    ((3,), (3,)), ((1,), (1,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((2, 3), (3, 4)),
    ((1, 1), (1, 1)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 2, 3), (1, 3, 4)),
    ((2, 1, 2, 3), (4, 3, 5)), ((2, 1, 7, 3), (1, 4, 3, 5)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 0, 3), (3, 4)),
    ((0, 2, 3), (3, 4)), ((0, 2, 3), (0, 3, 4)), ((2, 3), (3, 0)), ((0,), (0,)), ((127, 129), (129, 131)),
    ((6, 130, 70), (70, 130)), ((6, 130, 70), (6, 70, 131)), ((3, 1, 65, 64), (2, 64, 300)), ((257, 300), (300, 129)),
    ((3, 4001), (4001, 257)), ((2000,), (2000, 700)), ((1100, 1000), (1000,)), ((1, 70), (70, 20011)),
]
LINEAR = [  # rows, in, out
    ((3,), 4, 5), ((), 4, 5), ((2, 3), 1, 1), ((0,), 4, 5), ((2, 0), 3, 2), ((2,), 0, 3), ((2,), 3, 0),
    ((7, 11), 13, 17),
    ((3, 129), 127, 131), ((4, 64), 64, 256), ((1,), 1031, 1021),
]


def rng(*key):
    return np.random.default_rng([len(str(key)), *map(ord, str(key))])


def matmul_forward(k, x, y):
    return k.matmul_forward(x, y)


def matmul_backward(k, dy, outs, x, y):
    return k.matmul_backward(dy, x, y)


def linear_forward(k, x, weight, bias):
    return k.linear_forward(x, weight, bias)


def linear_backward(k, dy, outs, x, weight, bias):
    return k.linear_backward(dy, x, weight, (True, True, bias is not None))


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("check", CHECKS)
def test_matmul(check, shapes):
    if check is layouts and len(shapes[0]) == len(shapes[1]) == 1:
        pytest.skip("one number has one layout")
    check(matmul_forward, matmul_backward, [normal(*shapes[0], seed=1), normal(*shapes[1], seed=2)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows, n, m", LINEAR)
@pytest.mark.parametrize("check", CHECKS)
def test_linear(check, rows, n, m, bias):
    check(linear_forward, linear_backward, [
        normal(*rows, n, seed=1), normal(m, n, seed=2), normal(m, seed=3) if bias else None])


@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-12), ("f", 2e-5)])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_matmul_float32_and_needs(shapes, dtype, tolerance):
    r = rng(shapes)
    x, y = (r.standard_normal(s).astype(dtype) for s in shapes)
    out = reference.matmul_forward(x, y)
    dy = r.standard_normal(out.shape).astype(dtype)
    check_same(cpu.matmul_forward(x, y), out, tolerance)
    check_same(cpu.matmul_backward(dy, x, y), reference.matmul_backward(dy, x, y), tolerance)
    for needs in (True, False), (False, True):
        want = reference.matmul_backward(dy, x, y)
        want = tuple(g if need else None for g, need in zip(want, needs, strict=True))
        check_same(cpu.matmul_backward(dy, x, y, needs), want, tolerance)


@pytest.mark.parametrize("needs", list(np.ndindex(2, 2, 2)), ids=str)
@pytest.mark.parametrize("rows, n, m", LINEAR)
def test_linear_float32_and_needs(rows, n, m, needs):
    x, w, dy = normal(*rows, n, dtype="f"), normal(m, n, dtype="f"), normal(*rows, m, dtype="f")
    b = normal(m, dtype="f")
    check_same(cpu.linear_forward(x, w, b), reference.linear_forward(x, w, b), 2e-5)
    want = tuple(g if need else None for g, need in zip(reference.linear_backward(dy, x, w), needs, strict=True))
    for k in cpu, reference:
        check_same(k.linear_backward(dy, x, w, needs), want, 2e-5)


def test_column_sums_of_many_rows():
    dy = rng(1).integers(-8, 8, (70001, 3)).astype("f")
    x = np.ones((70001, 2), "f")
    assert (cpu.linear_backward(dy, x, np.ones((3, 2), "f"))[2] == dy.sum(0, dtype="d")).all()


@pytest.fixture(params=["tiles", "wholes"])
def tile(request, monkeypatch):
    """Products made of tiles, and products of whole pieces, whatever this processor would have."""
    tile = (48, 64, 320) if request.param == "tiles" else _blas.WHOLE
    monkeypatch.setattr(_product, "TILE", tile)
    monkeypatch.setattr(attention, "TILE", tile)
    _product._plan.cache_clear()
    yield tile
    _product._plan.cache_clear()


EDGES = [  # at, below and above what a tile, and what a part of the result, holds; m, k, n
    (96, 320, 128), (97, 321, 129), (95, 641, 127), (32, 1025, 32), (33, 1025, 33), (31, 1200, 64), (200, 100, 1100),
    (1100, 100, 200), (145, 30, 513), (513, 30, 129), (700, 700, 33), (90, 513, 90), (257, 16, 257), (130, 1000, 65),
]


@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-11), ("f", 5e-5)])
@pytest.mark.parametrize("size", EDGES, ids=str)
def test_tiles(tile, size, dtype, tolerance):
    (m, k, n), r = size, rng(size)
    a, b, bias = (r.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (n,)))
    want = a.astype("d") @ b.astype("d")
    for x in a, np.asfortranarray(a):
        for y in b, np.asfortranarray(b):
            check_same(_product.product(x, y), want.astype(dtype), tolerance)
            check_same(_product.product(x, y, bias), (want + bias).astype(dtype), tolerance)
            out = np.full((m, n), 3, dtype)
            assert _product.product(x, y, out=out, add=True) is out
            check_same(out, (want + 3).astype(dtype), tolerance)
    out = np.full((m, n), np.nan, dtype)        # what was there is not read
    check_same(_product.product(a, b, out=out), want.astype(dtype), tolerance)
    both = np.stack([want, 2 * want]).astype(dtype)
    for y in b, np.asfortranarray(b), np.stack([b, b]), np.stack([b.T, b.T]).swapaxes(1, 2):
        check_same(_product.product(np.stack([a, 2 * a]), y), both, tolerance)


@pytest.mark.parametrize("m, k, n", [(70, 1000, 70), (1100, 300, 90), (90, 300, 1100)])
def test_a_number_that_is_not_finite_stays_in_its_row_and_column(tile, m, k, n):
    a, b = np.ones((m, k), "f"), np.ones((k, n), "f")
    a[5, 250 % k], b[7, 66 % n] = np.nan, np.inf
    y = _product.product(a, b)
    assert np.isnan(y[5]).all() and np.isinf(np.delete(y[:, 66 % n], 5)).all()
    assert (np.delete(np.delete(y, 5, 0), 66 % n, 1) == k).all()


@pytest.mark.parametrize("shape", [(1, 2, 1, 70, 300, 66, 65), (2, 2, 2, 99, 99, 8, 8), (1, 1, 1, 8, 500, 250, 3)])
@pytest.mark.parametrize("dtype, tolerance", [("d", 1e-11), ("f", 5e-5)])
def test_attention_in_tiles(tile, shape, dtype, tolerance):
    B, H, G, T, S, D, E = shape
    q, k, v = normal(B, H, T, D, dtype=dtype), normal(B, G, S, D, dtype=dtype), normal(B, G, S, E, dtype=dtype)
    for causal in (True, False):
        args = None, causal, D ** -0.5, 0.1, 7
        y, lse = reference.attention_forward(q, k, v, *args)
        check_same(cpu.attention_forward(q, k, v, *args), (y, lse), tolerance)
        dy = normal(*y.shape, seed=3, dtype=dtype)
        want = reference.attention_backward(dy, q, k, v, None, y, lse, *args[1:])
        check_same(cpu.attention_backward(dy, q, k, v, None, y, lse, *args[1:]), want, tolerance)


@pytest.mark.parametrize("sizes", [(768, 128, 1), (768, 128, 2), (100, 5000, 7), (64, 64, 3), (5000, 65, 16)], ids=str)
def test_pieces_have_nearly_the_same_size(tile, sizes):
    m, n, threads = sizes
    (tall, wide, _), rows, columns, _ = _product._plan(1, m, n, 512, False, True, threads)
    if tile == _blas.WHOLE:
        assert (rows, columns) == _product._plan(1, m, n, 512, False, True, 99)[1:3]     # the shape alone decides
        return
    assert rows * columns <= threads
    largest = _product._longest(m, tall, rows) * _product._longest(n, wide, columns)
    assert largest <= m * n / threads * 1.3 + tall * wide


BITS = """
import hashlib, json, numpy as np
from minitorch.kernels import cpu
r, bits = np.random.default_rng(0), {}
for dtype in "fd":
    for m, k, n in [(1, 768, 3072), (7, 13, 5), (64, 64, 64), (129, 257, 65), (3, 10000, 3), (1, 100000, 1),
                    (17, 50000, 1), (1, 50000, 17), (256, 384, 1536), (384, 2048, 65), (65, 2048, 384), (16, 8, 50304),
                    (5000, 1, 500), (300, 500, 1100), (1100, 500, 300), (700, 33, 700), (64, 3000, 64),
                    (1, 1000, 5000), (5000, 1000, 1), (127, 128, 129), (33, 4097, 31), (1024, 384, 384)]:
        a, b = r.standard_normal((m, k)).astype(dtype), r.standard_normal((k, n)).astype(dtype)
        y = r.standard_normal((m, n)).astype(dtype)
        found = [cpu.matmul_forward(a, b), cpu.matmul_forward(np.asfortranarray(a), np.asfortranarray(b)),
                 cpu.matmul_forward(a, b[:, 0]), cpu.matmul_forward(a[0], b), cpu.matmul_forward(a[0], b[:, 0]),
                 *cpu.matmul_backward(y, a, b), *cpu.linear_backward(y, a, np.ascontiguousarray(b.T))]
        bits[f"{dtype} {m} {k} {n}"] = [hashlib.sha1(np.ascontiguousarray(x)).hexdigest() for x in found]
    a, b = r.standard_normal((6, 130, 70)).astype(dtype), r.standard_normal((6, 70, 90)).astype(dtype)
    bits[dtype] = [hashlib.sha1(np.ascontiguousarray(x)).hexdigest() for x in
                   (cpu.matmul_forward(a, b), *cpu.matmul_backward(a[:, :, :1] + b[:, :1], a, b),
                    cpu.matmul_forward(a, b[0]))]
print(json.dumps(bits))
"""


def test_same_bits_on_any_number_of_threads():
    def run(threads):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        return json.loads(subprocess.run([sys.executable, "-c", BITS], env=env, check=True, capture_output=True).stdout)

    one = run("1")
    assert one == run("2") == run("3")


def test_threads_of_openblas_are_given_back():
    if not _blas.AVAILABLE:
        pytest.skip("this NumPy brings no OpenBLAS")
    before = _blas._get_threads()
    with _blas.one_thread(), _blas.one_thread():
        assert _blas._get_threads() == 1
    assert _blas._get_threads() == before
    with pytest.raises(ZeroDivisionError), _blas.one_thread():
        raise ZeroDivisionError
    assert _blas._get_threads() == before


def test_another_processor_has_no_tiles():
    """Told of an older processor, OpenBLAS has no loops for small products, and no product is made of them."""
    script = """
import numpy as np
from minitorch.kernels.cpu import _blas, _product
assert _blas.TILE == _blas.WHOLE, _blas._processor()
x, y = np.random.default_rng(0).normal(size=(2, 300, 300))
np.testing.assert_allclose(_product.product(x, y.T), x @ y.T, rtol=1e-10, atol=1e-10)
"""
    if not _blas.AVAILABLE or platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("its processors have other names")
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "OPENBLAS_CORETYPE": "Haswell"})


def test_without_numpys_openblas(tmp_path):
    """Where NumPy has another BLAS the same kernels run on np.matmul and plain loops, and agree."""
    script = """
import ctypes
import numba                                     # it needs the real one
import numpy as np

class Blind:
    def __getattr__(self, name):
        raise AttributeError(name)

ctypes.CDLL = lambda *a, **k: Blind()
from minitorch.kernels import cpu, reference
from minitorch.kernels.cpu import _blas
assert not _blas.AVAILABLE
rng = np.random.default_rng(0)
x, w, dy = rng.normal(size=(300, 70)), rng.normal(size=(90, 70)), rng.normal(size=(300, 90))
for a, b in zip(cpu.linear_backward(dy, x, w), reference.linear_backward(dy, x, w)):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
q, k, v = (rng.normal(size=(2, 3, 37, 8)) for _ in range(3))
y, lse = cpu.attention_forward(q, k, v, None, True, 0.3, 0.0, 0)
np.testing.assert_allclose(y, reference.attention_forward(q, k, v, None, True, 0.3, 0.0, 0)[0], rtol=1e-10, atol=1e-12)
mine = cpu.attention_backward(y, q, k, v, None, y, lse, True, 0.3, 0.0, 0)
want = reference.attention_backward(y, q, k, v, None, y, lse, True, 0.3, 0.0, 0)
for a, b in zip(mine[:3], want[:3]):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
print("agree")
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300,
                            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert result.stdout.strip() == "agree", result.stderr

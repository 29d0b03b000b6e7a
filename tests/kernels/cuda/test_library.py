"""What cuBLAS is asked for: a library that is not there computes it on the CPU, from the addresses that it gets."""

import ctypes
import sys
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from cuda_cases import to_device, to_host
from kernel_checks import check_same
from on_cuda import SIMULATED, in_the_simulator

simulated = pytest.mark.skipif(not SIMULATED, reason="runs in the simulator, where the GPU's addresses are the CPU's")
DTYPES = {0: np.dtype("float32"), 1: np.dtype("float64"), 2: np.dtype("float16")}


@pytest.mark.skipif(SIMULATED, reason="this is the simulator")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


def gemm(calls, kind, handle, a_turned, b_turned, m, n, k, alpha, *rest):
    """C = alpha · op(A) · op(B) + beta · C, all counted columns first, as cuBLAS's gemmStridedBatched."""
    if kind is None:        # the Ex function: a type behind every address, and at the end how to compute
        a, a_type, lda, a_step, b, b_type, ldb, b_step, beta, c, c_type, ldc, c_step, batch, compute, algorithm = rest
        assert a_type == b_type == c_type and (compute, algorithm) == (68, -1)
        kind, wide = a_type, np.dtype("float32")
    else:
        a, lda, a_step, b, ldb, b_step, beta, c, ldc, c_step, batch = rest
        wide = DTYPES[kind]
    calls.append((handle, DTYPES[kind], a_turned, b_turned, batch))
    alpha, beta = [np.frombuffer(ctypes.string_at(p, wide.itemsize), wide)[0] for p in (alpha, beta)]
    assert lda >= max(1, k if a_turned else m) and ldb >= max(1, n if b_turned else k) and ldc >= m

    def matrix(address, rows, columns, step):
        size = (columns - 1) * step + rows
        flat = np.frombuffer((ctypes.c_char * (size * DTYPES[kind].itemsize)).from_address(address), DTYPES[kind])
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (flat.itemsize, step * flat.itemsize))

    for i in range(batch):
        x = matrix(a + i * a_step * DTYPES[kind].itemsize, *((k, m) if a_turned else (m, k)), lda).astype(wide)
        y = matrix(b + i * b_step * DTYPES[kind].itemsize, *((n, k) if b_turned else (k, n)), ldb).astype(wide)
        z = matrix(c + i * c_step * DTYPES[kind].itemsize, m, n, ldc)
        before = beta * z if beta else 0        # cuBLAS does not read C then, which may be NaN
        z[...] = alpha * (x.T if a_turned else x) @ (y.T if b_turned else y) + before


@pytest.fixture(params=["cupy", "nvmath"])
def calls(request, monkeypatch):
    """The calls of a library that stands where CuPy, or nvmath, would stand."""
    found: list = []
    library = import_module("minitorch.kernels.cuda._library")
    doors = {name: lambda *args, kind=kind: gemm(found, kind, *args) for kind, name in [
        (0, "sgemmStridedBatched"), (1, "dgemmStridedBatched"), (None, "gemmStridedBatchedEx"),
        (0, "sgemm_strided_batched"), (1, "dgemm_strided_batched"), (None, "gemm_strided_batched_ex")]}
    cublas = SimpleNamespace(**doors, set_stream=lambda *args: found.append(args), create=lambda: 77)

    @contextmanager
    def on_stream(stream):
        found.append((77, stream))
        yield
        found.append((77, 0))

    cupy = SimpleNamespace(cuda=SimpleNamespace(device=SimpleNamespace(get_cublas_handle=lambda: 77),
                                                ExternalStream=on_stream))
    if request.param == "cupy":
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs.cublas", cublas)
    else:
        monkeypatch.setitem(sys.modules, "nvmath.bindings.cublas", cublas)
    library.library.cache_clear()
    library.choose(request.param)
    yield found
    library.choose(None)
    library.library.cache_clear()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@simulated
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-6), ("float16", 1e-3)])
def test_the_library_multiplies_without_copies(calls, dtype, tolerance):
    matmul, launch = import_module("minitorch.kernels.cuda.matmul"), import_module("minitorch.kernels.cuda._launch")
    x, y = normal(5, 3).astype(dtype), normal(3, 7, seed=1).astype(dtype)
    launch.launches.clear()
    for a, b, turned in [
            (to_device(x), to_device(y), (0, 0)), (to_device(x.T.copy()).T, to_device(y), (0, 1)),
            (to_device(x), to_device(y.T.copy()).T, (1, 0)), (to_device(x.T.copy()).T, to_device(y.T.copy()).T, (1, 1)),
            (to_device(np.tile(x, 2))[:, :3], to_device(np.tile(y, 2))[:, 7:], (0, 0))]:
        z = to_host(matmul.product(a, b))
        assert calls.pop() == (77, np.dtype(dtype), *turned, 1)
        check_same(z, (x.astype("f8") @ y.astype("f8")).astype(dtype), tolerance)
    assert not calls and set(launch.launches) == {"matmul by " + matmul.multiply.__globals__["chosen"]()}


@simulated
@pytest.mark.parametrize("stream", [SimpleNamespace(handle=SimpleNamespace(value=5)), SimpleNamespace(handle=5)])
def test_the_library_works_on_our_stream(calls, stream, monkeypatch):
    matmul, launch = import_module("minitorch.kernels.cuda.matmul"), import_module("minitorch.kernels.cuda._launch")
    x = to_device(np.eye(2))
    monkeypatch.setattr(launch, "_stream", stream)
    matmul.product(x, x)
    assert calls == [(77, 5), (77, np.dtype("float64"), 0, 0, 1), (77, 0)]


@simulated
@pytest.mark.parametrize("a, b, batch", [
    ((4, 2, 3), (4, 3, 5), 4), ((4, 2, 3), (3, 5), 4), ((2, 1, 2, 3), (5, 3, 4), 10), ((1, 3), (3, 1), 1),
    ((1, 1), (1, 1), 1), ((5, 1), (1, 4), 1)])
def test_batches_and_thin_matrices(calls, a, b, batch):
    matmul = import_module("minitorch.kernels.cuda.matmul")
    x, y = normal(*a), normal(*b, seed=1)
    check_same(to_host(matmul.matmul_forward(to_device(x), to_device(y))), x @ y)
    assert [call[-1] for call in calls] == [batch]


@simulated
def test_layers_with_a_bias_and_what_the_library_cannot_do(calls):
    matmul = import_module("minitorch.kernels.cuda.matmul")
    x, weight, bias = normal(4, 3), normal(5, 3, seed=1), normal(5, seed=2)
    check_same(to_host(matmul.linear_forward(*map(to_device, (x, weight, bias)))), x @ weight.T + bias)
    assert len(calls) == 1
    wide = np.repeat(x, 2, axis=1)      # neither rows nor columns are neighbours in memory
    check_same(to_host(matmul.product(to_device(wide)[:, ::2], to_device(weight).T)), x @ weight.T)
    whole = np.arange(12).reshape(4, 3)
    check_same(to_host(matmul.product(to_device(whole), to_device(whole.T.copy()))), whole @ whole.T)
    check_same(to_host(matmul.product(to_device(np.ones((2, 0))), to_device(np.ones((0, 3))))), np.zeros((2, 3)))
    assert len(calls) == 1              # our own kernel computed these


def test_who_multiplies_can_be_asked_and_chosen(monkeypatch):
    cuda, library = import_module("minitorch.kernels.cuda"), import_module("minitorch.kernels.cuda._library")
    monkeypatch.setattr(library, "library", lambda name: "there" if name == "nvmath" else None)
    assert cuda.product_by() == ("own" if SIMULATED else "nvmath")
    monkeypatch.setenv("MINITORCH_CUDA_PRODUCT", "own")
    assert cuda.product_by() == "own"
    monkeypatch.setenv("MINITORCH_CUDA_PRODUCT", "mkl")
    with pytest.raises(ValueError, match="MINITORCH_CUDA_PRODUCT is 'mkl'; it may be cupy, nvmath, own"):
        cuda.product_by()
    with pytest.raises(ValueError, match="no product by 'mkl'"):
        cuda.choose_product("mkl")
    cuda.choose_product("cupy")
    assert cuda.product_by() == "cupy"
    cuda.choose_product()


def test_without_a_library_our_own_kernel_multiplies():
    library = import_module("minitorch.kernels.cuda._library")
    assert library.library("nvmath") is None or not SIMULATED
    assert library.orientation(3, 4, 4, 1) == (False, 4) and library.orientation(3, 4, 1, 3) == (True, 3)
    assert library.orientation(3, 4, 8, 2) is None and library.orientation(3, 4, 0, 1) is None

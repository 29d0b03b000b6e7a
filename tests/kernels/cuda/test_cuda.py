"""The CUDA kernels compute what the reference computes.

On a machine with a GPU they run there. Elsewhere Numba's simulator runs them, in a process of its own: it must be chosen
before Numba is imported. It is slow, so everything is tiny.
"""

import importlib
import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

from minitorch.kernels import cuda, quiet, reference

from cuda_cases import cases, on_device, to_device, to_host
from kernel_checks import check_same
from on_cuda import HERE, SIMULATED, in_the_simulator

pytestmark = pytest.mark.usefixtures("no_races")
_seen: dict = {}
CASES = []
for name, *args in cases("float64") if HERE else ():
    _seen[name] = _seen.get(name, 0) + 1
    for layout in ("packed", "strided") if _seen[name] <= 2 else ("strided",):      # what goes strided goes packed
        CASES.append(pytest.param(name, args, layout, id=f"{name}-{_seen[name]}-{layout}"))


@pytest.mark.skipif(HERE, reason="kernels run in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


@pytest.mark.parametrize("name, args, layout", CASES)
def test_equal_to_the_reference(name, args, layout):
    settings = {"needs": (True,) * (len(args) - 2)} if name == "einsum_backward" else {}
    mine = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    with quiet():
        want = getattr(reference, name)(*mine, **settings)
    if name.endswith("_step"):      # they work in place
        arrays = on_device(layout)
        getattr(arrays, name)(*args)
        written = [(a, b) for a, b in zip(arrays.arguments, mine) if isinstance(b, np.ndarray)]
        return check_same(*[tuple(side) for side in zip(*written)])
    got = getattr(on_device(layout), name)(*args, **settings)
    check_same(got, tuple(want) if isinstance(want, list) else np.asarray(want) if isinstance(want, np.generic) else want)


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
@pytest.mark.parametrize("name", ["naive", "coalesced", "tiled", "registers", "vector"])
@pytest.mark.parametrize("m, n, k", [(5, 3, 4), (1, 1, 1), (4, 4, 2), (3, 7, 9), (20, 12, 8)])
def test_every_rung_of_the_ladder_of_products(name, m, n, k):
    matmul = importlib.import_module("minitorch.kernels.cuda.matmul")
    x, y = np.random.default_rng(0).normal(size=(m, k)), np.random.default_rng(1).normal(size=(k, n))
    check_same(to_host(matmul.ladder[name](to_device(x), to_device(y))), x @ y)


IN_HALF = ("softmax", "log_softmax", "layernorm", "rmsnorm", "residual", "dropout", "gelu", "relu", "silu", "sigmoid",
           "tanh", "exp", "add", "sub", "mul", "div", "matmul", "linear", "ffn", "cross_entropy", "embedding", "attention",
           "sum", "mean")


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
@pytest.mark.parametrize("name", IN_HALF)
def test_float16_is_stored_and_float32_calculates(name):
    """As good as the reference in float32 with the last rounding to float16, forward and backward."""
    tried = 0
    for case, *args in cases("float32"):
        small = not any(isinstance(a, np.ndarray) and not (abs(a[np.isfinite(a)]) < 100).all() for a in args)
        if case not in (name + "_forward", name + "_backward") or not small or tried > 7:
            continue
        args = [half(a) for a in args]
        with quiet():
            want = getattr(reference, case)(*[a.astype("f4") if is_float(a) else a for a in args])
        got = getattr(on_device(), case)(*args)
        for i, (g, w) in enumerate(zip(*[x if isinstance(x, tuple) else (x,) for x in (got, want)], strict=True)):
            if w is not None:
                assert g.dtype == (np.float32 if case.endswith("forward") and i and "ffn" not in case else np.float16), case
                np.testing.assert_allclose(g, w.astype("f2"), rtol=4e-3, atol=4e-3 * np.nanmax(abs(w), initial=1e-3))
        tried += 1
    assert tried


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
def test_gelu_has_a_formula_of_its_own_in_float32():
    """With the digits of small results, and what is no number."""
    x = np.concatenate([np.linspace(-13, 9, 60), [0, -0.0, 1e30, -1e30, np.nan, -14.5, 1e-30]]).astype("f4")
    with quiet():
        want = [reference.gelu_forward(x.astype("f8"), "none"), reference.gelu_backward(np.ones(67), x.astype("f8"), "none")]
    got = to_host(cuda.gelu_forward(to_device(x), "none")), to_host(
        cuda.gelu_backward(to_device(np.ones(67, "f4")), to_device(x), "none"))
    for g, w in zip(got, want):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-40)


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
def test_bfloat16_is_refused_in_words():
    class Theirs:
        __cuda_array_interface__ = {"data": (0, False), "shape": (3,), "typestr": "|V2", "version": 3}

    with pytest.raises(TypeError, match=r"numbers of type '\|V2' came; .*bfloat16 .* convert them first"):
        cuda.to_device(Theirs())


def half(a):
    return a.astype("f2") if is_float(a) else a


def is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_optimizer_steps_all_parameters_in_one_launch(dtype):
    """Two launches where some parameters cannot be read in fours. A parameter that is a view of another's memory, too."""
    launch, rng = importlib.import_module("minitorch.kernels.cuda._launch"), np.random.default_rng(0)
    shapes = [(3, 4), (2, 8, 2), (7,), (5, 5), (1,), (40,), (0, 3)]
    for name, settings in [("adam_step", (3, 0.01, 0.9, 0.99, 1e-8, 0.1, True, False)), ("sgd_step", (
            0.1, 0.9, 0.1, 0.01, True, True, False))]:
        columns = [[abs(rng.normal(size=s)).astype(dtype) for s in shapes] for _ in range(5 if name == "adam_step" else 3)]
        there = [[to_device(a.copy()) for a in column] for column in columns]
        for column, arrays in zip(columns, there):      # a view that begins in the middle, and one that runs backwards
            column[5], arrays[5] = column[5][7:19], arrays[5][7:19]
            column[6], arrays[6] = column[1][::-1, 1:2], arrays[1][::-1, 1:2]
            column[1], arrays[1] = column[1][:, 4:], arrays[1][:, 4:]
        launch.launches.clear()
        getattr(cuda, name)(*there, *settings)
        assert launch.launches[f"optim._{name[:-5]}"] == 2
        for row in zip(*columns):
            getattr(reference, name)(*row, *settings)
        for column, arrays in zip(columns, there):
            check_same(tuple(to_host(arrays)), tuple(column))


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
def test_a_kernel_that_fails_is_named():
    layernorm = importlib.import_module("minitorch.kernels.cuda.layernorm")
    with pytest.raises(RuntimeError, match=r"CUDA kernel layernorm\._add_shares\(\[f8\], i8, i8, i8, \[f8\], \[f8\]\), 2 b"):
        layernorm._add_shares[2, (2, 2)](to_device(np.ones(4)), 3, 1, 4, *[to_device(np.ones(4))] * 2)      # 12 are read


@pytest.mark.skipif(not SIMULATED, reason="the simulator's own")
def test_the_simulator_finds_a_barrier_that_not_all_threads_reach():
    launch = importlib.import_module("minitorch.kernels.cuda._launch")

    def lopsided(y):
        if gpu.threadIdx.x == 0:  # noqa: F821
            gpu.syncthreads()  # noqa: F821

    with pytest.raises(RuntimeError, match="3 threads ended while 1 wait at syncthreads"):
        launch.Kernel(lopsided, gpu=launch.cuda)[1](to_device(np.ones(1)))


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
@pytest.mark.parametrize("name", sorted({name for name, *_ in cases("float32")} if HERE else ()))
def test_equal_bits_on_repeated_runs(name):
    """Every kernel, and on a GPU many times: what depends on which thread is first differs sooner or later."""
    case, *args = next(case for case in FLOAT32 if case[0] == name)
    settings = {"needs": (True,) * (len(args) - 2)} if name == "einsum_backward" else {}
    bits = set()
    for _ in range(2 if SIMULATED else 20):
        arrays = on_device()
        results = getattr(arrays, name)(*args, **settings)
        bits.add(b"".join([x.tobytes() for x in leaves((results, arrays.arguments))]))
    assert len(bits) == 1


FLOAT32 = list(cases("float32")) if HERE else []


def leaves(x):
    """The arrays in tuples and lists."""
    if isinstance(x, (tuple, list)):
        return [leaf for part in x for leaf in leaves(part)]
    return [x] if isinstance(x, np.ndarray) else []


def test_names_and_signatures_are_those_of_the_reference():
    for name in dir(cuda):
        expected, got = [inspect.signature(getattr(k, name)) for k in (reference, cuda)]
        assert list(expected.parameters) == list(got.parameters), f"{name}: {expected} and {got}"
        assert [p.default for p in expected.parameters.values()] == [p.default for p in got.parameters.values()], name


def test_every_kernel_has_a_case():
    tried = {name for name, *_ in cases("float64")}
    assert sorted(set(dir(cuda)) - tried) == []


def test_what_is_missing_without_a_gpu_is_said_and_breaks_nothing():
    code = ("import minitorch, sys; assert 'numba' not in sys.modules; x = minitorch.ones(2) + 1; "
            "from minitorch.kernels.cuda import _launch; print(_launch.trouble())")
    env = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "CUDA_VISIBLE_DEVICES": "-1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    for word in ("NVIDIA GPU", "driver", "pip install", "numba-cuda"):
        assert word in run.stdout

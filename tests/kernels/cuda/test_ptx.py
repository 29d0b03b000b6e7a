"""Every kernel compiles for an H200, where there is a compiler; and what comes out is what was meant.

The simulator does not look at types: whether a float32 kernel computes in float64 by accident only the compiler tells. It
runs in a process of its own, in which launches compile and do nothing.
"""

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

COMPILE = """
import json, sys
from importlib import import_module
sys.path[:0] = sys.argv[1:]
import numpy as np
import cuda_cases, ghost_gpu
from minitorch.kernels import cuda
from minitorch.kernels.cuda import _launch

try:
    ghost_gpu.install()
    _launch.kernel(lambda y: None).ptx(("[f4]",))
except Exception as error:
    print(json.dumps(f"no CUDA compiler: {type(error).__name__}"))
    sys.exit()
"""
CASES = """
for name, *args in cuda_cases.cases("float32"):
    if "getitem_backward" in name or "masked_select" in name:
        continue        # how much they pick depends on numbers, and there are none
    if name.startswith("attention") and args[1].shape[-1] != 3:
        continue        # the kernels for other numbers of features are the same
    settings = {"needs": (True,) * (len(args) - 2)} if name == "einsum_backward" else {}
    getattr(cuda, name)(*[cuda_cases.to_device(a) for a in args], **settings)
print(json.dumps([[name, types, ptx] for (name, types), ptx in ghost_gpu.compiled.items()]))
"""


FOURS_TOO = """
found = {}
for dtype in "f4", "f8", "f2":
    ghost_gpu.compiled.clear()
    x, c = np.ones((4, 512), dtype), np.ones(512, dtype)
    for name, *args in [
            ("softmax_forward", x, 1), ("softmax_backward", x, x, 1), ("log_softmax_forward", x, 1),
            ("log_softmax_backward", x, x, 1), ("layernorm_forward", x, c, c, 1e-5), ("rmsnorm_forward", x, c, 1e-5),
            ("gelu_forward", x, "none"), ("gelu_backward", x, x, "tanh"), ("residual_forward", x, x, c, 0.1, 1),
            ("dropout_forward", x, 0.1, 1), ("add_forward", x, c), ("cross_entropy_backward", x[:, 0], x, np.arange(4), c,
             x[:, 0].astype("f4"), x[:, 0].astype("f4"), -100, 0.1),
            ("sgd_step", x, x, x, 0.1, 0.9, 0.0, 0.0, False, False, True),
            ("rmsnorm_backward", x, x, c, x[:, 0].astype("f4")),
            ("adam_step", x, x, x, x, None, 3, 0.01, 0.9, 0.99, 1e-8, 0.1, True, False),
            ("layernorm_backward", x, x, c, x[:, 0].astype("f4"), x[:, 0].astype("f4")),
            ("ffn_forward", x, np.ones((128, 512), dtype), c[:128], np.ones((256, 128), dtype), c[:256], "gelu", 0.1, 1)]:
        getattr(cuda, name)(*[cuda_cases.to_device(a) for a in args])
    found[dtype] = [[name, ptx] for (name, _), ptx in ghost_gpu.compiled.items() if not name.endswith("_add_shares")]
ghost_gpu.compiled.clear()
square = cuda_cases.to_device(np.ones((2048, 2048), "f4"))
for rung in import_module("minitorch.kernels.cuda.matmul").ladder.values():
    rung(square, square)
found["ladder"] = [[name, ptx] for (name, _), ptx in ghost_gpu.compiled.items()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def compiled():
    """[(kernel, argument types, PTX)]"""
    return outcome(CASES)


@pytest.fixture(scope="module")
def fours():
    """dtype → [(kernel, PTX)] for arrays that can be read in fours"""
    return outcome(FOURS_TOO)


def outcome(program):
    """What a program prints that compiles kernels."""
    helpers = Path(import_module("ghost_gpu").__file__).parent
    run = subprocess.run([sys.executable, "-c", COMPILE + program, str(helpers)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    return pytest.skip(found) if isinstance(found, str) else found


def test_every_kernel_compiles(compiled):
    families = {name.partition(".")[0] for name, _, _ in compiled}
    assert {"softmax", "layernorm", "attention", "matmul", "reduce", "optim", "conv", "ffn", "index"} <= families
    assert all(".visible .entry" in ptx and ".target sm_90" in ptx for _, _, ptx in compiled)


# The library's own: for arguments beyond 10⁵ they fall back to exact arithmetic with a table of the digits of 2/π
LIBRARY = {f"trigonometry.{name}" for name in ("_sin", "_cos", "_tan", "_sin_slope", "_cos_slope")}


def test_float32_kernels_do_not_compute_in_float64(compiled):
    single = [(name, ptx) for name, types, ptx in compiled if "[f8]" not in types and name not in LIBRARY]
    assert len(single) > 150
    assert [name for name, ptx in single if ".f64" in ptx] == []


FOURS = {"f4": ("ld.global.v4.f32", "st.global.v4.f32"), "f8": ("ld.global.v2.f64", "st.global.v2.f64"),
         "f2": ("ld.global.v4.u16", "st.global.v4.u16")}


@pytest.mark.parametrize("dtype", FOURS)
def test_four_numbers_are_read_and_written_at_once(fours, dtype):
    """Where memory decides: softmax, norms, losses, activations, the residual connection, optimisers, the product."""
    missing = [name for name, ptx in fours[dtype] if not all(access in ptx for access in FOURS[dtype])]
    assert len(fours[dtype]) > 15 and missing == []


def test_float16_is_never_calculated_with(fours):
    assert [name for name, ptx in fours["f2"] if re.search(r"\b(add|sub|mul|fma)\S*\.f16|\.f64", ptx)] == []


def test_what_a_thread_keeps_of_a_row_stays_in_registers(fours):
    """One read of every row: with four fours a thread, four loads for each array, and none in local memory."""
    assert [name for dtype in FOURS for name, ptx in fours[dtype] if ".local" in ptx] == []
    softmax = {name: ptx.count("ld.global.v4.f32") for name, ptx in fours["f4"] if "softmax" in name}
    assert set(softmax) >= {"softmax._softmax_forward", "softmax._softmax_backward"}
    assert softmax["softmax._softmax_forward"] == 4 and softmax["softmax._softmax_backward"] == 8


def test_no_array_falls_out_of_the_registers(compiled):
    """A local array with an index that is not known when compiling lives in memory: slow."""
    assert [name for name, _, ptx in compiled if ".local" in ptx and name not in LIBRARY] == []


def test_the_ladder_of_products_climbs(fours):
    """How many products for how many fetches from shared memory, on the last three rungs."""
    rungs = {name: (ptx.count("fma.rn.f32"), len(re.findall(r"ld\.shared", ptx))) for name, ptx in fours["ladder"]}
    assert rungs["matmul._tiled"] == (16, 32)
    assert rungs["matmul._registers"] == (64, 16)
    vector = dict(fours["ladder"])["matmul._vector"]
    assert rungs["matmul._vector"] == (64, 4) and vector.count("ld.shared.v4.f32") == 4 and ".shared .align 16" in vector
    assert vector.count("ld.global.v4.f32") == 2 * (2 + 2)      # a part of both tiles: the first ones, and the next ones

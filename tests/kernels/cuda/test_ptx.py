"""Every kernel compiles for an H200, where there is a compiler; and what comes out is what was meant.

The simulator does not look at types: whether a float32 kernel computes in float64 by accident only the compiler tells. It
runs in a process of its own, in which launches compile and do nothing.
"""

import json
import re
import shutil
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
        continue        # those for more features are compiled below
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

ATTENTION = """
for dtype, features in ("f4", (16, 32, 64, 80, 128)), ("f8", (64,)):
    for D in features:
        x, lse = cuda_cases.to_device(np.ones((1, 2, 3, D), dtype)), cuda_cases.to_device(np.ones((1, 2, 3), dtype))
        cuda.attention_forward(x, x, x, None, True, 0.1, 0.1, 1)
        cuda.attention_backward(x, x, x, x, None, x, lse, True, 0.1, 0.1, 1)
print(json.dumps([[*name.split()[:2], types[0], _launch.kernels[name].registers, ptx]
                  for (name, types), ptx in ghost_gpu.compiled.items() if name.startswith("attention")]))
"""


@pytest.fixture(scope="module")
def compiled():
    """[(kernel, argument types, PTX)]"""
    return outcome(CASES)


@pytest.fixture(scope="module")
def fours():
    """dtype → [(kernel, PTX)] for arrays that can be read in fours"""
    return outcome(FOURS_TOO)


@pytest.fixture(scope="module")
def attention():
    """[(kernel, columns that a block adds up, type of its first argument, registers that a thread may take, PTX)]"""
    return outcome(ATTENTION)


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
         "f2": ("ld.global.v4.(u16|f32)", "st.global.v4.(u16|f32)")}      # the shares of a product are float32


@pytest.mark.parametrize("dtype", FOURS)
def test_four_numbers_are_read_and_written_at_once(fours, dtype):
    """Where memory decides: softmax, norms, losses, activations, the residual connection, optimisers, the product."""
    missing = [name for name, ptx in fours[dtype] if not all(re.search(access, ptx) for access in FOURS[dtype])]
    assert len(fours[dtype]) > 15 and missing == []


def test_float16_is_never_calculated_with(fours):
    assert [name for name, ptx in fours["f2"] if re.search(r"\b(add|sub|mul|fma)\S*\.f16|\.f64", ptx)] == []


def test_what_a_thread_keeps_of_a_row_stays_in_registers(fours):
    """One read of every row: with four fours a thread, four loads for each array, and none in local memory."""
    assert [name for dtype in FOURS for name, ptx in fours[dtype] if ".local" in ptx] == []
    softmax = {name: ptx.count("ld.global.v4.f32") for name, ptx in fours["f4"] if "softmax" in name}
    assert set(softmax) >= {"softmax._softmax_forward", "softmax._softmax_backward"}
    assert softmax["softmax._softmax_forward"] == 4 and softmax["softmax._softmax_backward"] == 8
    exponentials = [ptx.count("ex2.approx") for name, ptx in fours["f4"] if name == "softmax._softmax_forward"]
    assert exponentials == [16]     # one a number: they are kept, too


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


KERNELS = ("attention._forward", "attention._backward_queries", "attention._backward_keys")


def test_attention_compiles_for_the_usual_numbers_of_features(attention):
    assert {(kernel, columns, dtype) for kernel, columns, dtype, *_ in attention} == {
        (kernel, *variant) for kernel in KERNELS
        for variant in [("32", "[f4]"), ("64", "[f4]"), ("128", "[f4]"), ("64", "[f8]")]}
    assert [kernel for kernel, *_, ptx in attention if ".local" in ptx or ".target sm_90" not in ptx] == []
    assert [kernel for kernel, _, dtype, _, ptx in attention if dtype == "[f4]" and ".f64" in ptx] == []
    rooms = [sum(map(int, re.findall(r"\.shared \.align 16 \.b8 \S+\[(\d+)\]", ptx))) for *_, ptx in attention]
    assert set(rooms) == {2 * 64 * 68 * 4, 2 * 32 * 34 * 8}      # bytes; 49,152 would be possible


# columns → (products, loads of four numbers from shared memory) in the loop that makes scores, and in that which adds sums
LOOPS = {"32": ((128, 12), (64, 8)), "64": ((128, 12), (128, 12)), "128": ((64, 8), (128, 12))}


def test_attention_uses_what_it_fetched(attention):
    """8 or 10⅔ products for a load of four numbers. A thread a number would make one for two loads of one."""
    for kernel, columns, _, _, ptx in [found for found in attention if found[2] == "[f4]"]:
        scores, sums = LOOPS[columns]
        want = dict(zip(KERNELS, [(scores, sums), (scores, scores, sums), (scores, scores, sums, sums)]))[kernel]
        blocks = [(block.count("fma.rn.f32"), block.count("ld.shared.v4.f32")) for block in re.split(r"\n\$L\w+:", ptx)]
        assert tuple([block for block in blocks if block[0] >= 64 and block[1]]) == want, kernel
        assert ptx.count("ld.global.v4.f32") >= 4 * len(want) and "st.global.v4.f32" in ptx, kernel


assembles = pytest.mark.skipif(not shutil.which("ptxas"), reason="needs NVIDIA's assembler, ptxas")


def assembled(ptx, folder, *options):
    """What the assembler says of a kernel: a thread's registers, how many bytes found no place there, and shared memory."""
    (folder / "kernel.ptx").write_text(ptx)
    run = subprocess.run(["ptxas", "-arch=sm_90", "-v", *options, "-o", folder / "kernel.cubin", folder / "kernel.ptx"],
                         capture_output=True, text=True)
    if "Unsupported .version" in run.stderr:
        pytest.skip("this ptxas is older than the compiler")
    assert run.returncode == 0, run.stderr
    found = [re.search(rf"(\d+) {what}", run.stderr) for what in ("registers", "bytes spill stores", "bytes smem")]
    return [int(number[1]) if number else 0 for number in found]


@assembles
def test_every_kernel_fits_on_a_multiprocessor(compiled, tmp_path):
    """A block's threads share 65,536 registers and 48 KiB; a kernel that wants more cannot be launched at all."""
    for name, types, ptx in compiled:
        registers, spilled, shared = assembled(ptx, tmp_path)
        threads = 1024 if name == "layernorm._add_shares" else 256
        assert registers * threads <= 65536 and shared <= 49152, (name, types, registers, shared)
        assert spilled <= 16, (name, types, spilled)


@assembles
def test_attention_fits_into_the_registers(attention, tmp_path):
    """What does not are a few addresses and numbers of a query."""
    for kernel, columns, dtype, most, ptx in attention:
        registers, spilled, _ = assembled(ptx, tmp_path, f"-maxrregcount={most}")
        assert registers <= most and spilled <= 160, (kernel, columns, dtype, registers, spilled)

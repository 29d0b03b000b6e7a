"""Every kernel compiles for an H200, where there is a compiler; and what comes out is what was meant.

The simulator does not look at types: whether a float32 kernel computes in float64 by accident only the compiler tells. It
runs in a process of its own, in which launches compile and do nothing.
"""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

COMPILE = """
import json, sys
sys.path[:0] = sys.argv[1:]
import cuda_cases, ghost_gpu
from minitorch.kernels import cuda
from minitorch.kernels.cuda import _launch

try:
    ghost_gpu.install()
    _launch.kernel(lambda y: None).ptx(("[f4]",))
except Exception as error:
    print(json.dumps(f"no CUDA compiler: {type(error).__name__}"))
    sys.exit()
for name, *args in cuda_cases.cases("float32"):
    if "getitem_backward" in name or "masked_select" in name:
        continue        # how much they pick depends on numbers, and there are none
    settings = {"needs": (True,) * (len(args) - 2)} if name == "einsum_backward" else {}
    getattr(cuda, name)(*[cuda_cases.to_device(a) for a in args], **settings)
print(json.dumps([[name, types, ptx] for (name, types), ptx in ghost_gpu.compiled.items()]))
"""


@pytest.fixture(scope="module")
def compiled():
    """[(kernel, argument types, PTX)]"""
    helpers = Path(import_module("ghost_gpu").__file__).parent
    run = subprocess.run([sys.executable, "-c", COMPILE, str(helpers)], capture_output=True, text=True)
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


def test_no_array_falls_out_of_the_registers(compiled):
    """A local array with an index that is not known when compiling lives in memory: slow."""
    assert [name for name, _, ptx in compiled if ".local" in ptx and name not in LIBRARY] == []
    products = [ptx for name, types, ptx in compiled if name == "matmul._registers" and "[f4]" in types]
    assert products and all(ptx.count("fma.rn.f32") >= 64 for ptx in products)      # 8 × 8 at a time

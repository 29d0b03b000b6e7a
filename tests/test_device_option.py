"""``pytest --device cuda``: some of the ordinary tests once more, in the simulator. docs/gpu.md says how to run them all."""

import subprocess
import sys
from pathlib import Path

import pytest

from on_cuda import HERE, in_the_simulator

HOME = Path(__file__).parent
SOME = ["kernels/test_softmax.py", "kernels/test_rotary.py", "kernels/test_cross_entropy.py",
        "minitorch/ops/test_embedding.py", "minitorch/nn/test_containers.py", "minitorch/nn/test_module.py",
        "minitorch/nn/test_rotary.py",
        "minitorch/optim/test_swa_utils.py"]


@pytest.mark.skipif(HERE, reason="there is a GPU")
def test_some_tests_in_the_simulator():
    said = in_the_simulator("--device", "cuda", *[str(HOME / path) for path in SOME])
    assert " passed" in said


@pytest.mark.skipif(HERE, reason="there is a GPU")
def test_without_a_gpu_it_says_what_is_missing():
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "--device", "cuda", str(HOME / SOME[0])],
                         capture_output=True, text=True)
    assert run.returncode == 4 and "--device cuda: Numba finds no usable NVIDIA GPU" in run.stderr
    assert "NUMBA_ENABLE_CUDASIM=1 pytest --device cuda" in run.stderr

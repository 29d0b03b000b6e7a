"""``import minitorch`` is quick: what is heavy loads when it is first needed."""

import subprocess
import sys
import time


def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def test_import_takes_less_than_half_a_second():
    seconds("import minitorch")                                  # fill the file system's cache
    pairs = [(seconds("import minitorch"), seconds("pass")) for _ in range(5)]
    assert min(whole - bare for whole, bare in pairs) < 0.5


def test_import_leaves_heavy_libraries_alone():
    heavy = ("numba", "matplotlib", "tqdm", "torch", "kernels")
    code = f"import sys, minitorch; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"


def test_tiny_arithmetic_needs_no_compiler():
    code = "import sys, minitorch as t; x = t.ones(3, requires_grad=True); (x * x + 1).sum().backward(); " \
           "print('numba' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "False"

"""The option ``--device``, the mark ``parity`` on tests that compare with PyTorch, and the count of planted mistakes."""

import inspect
import os

import pytest

import on_cuda
import quick_simulator

# Tests run side by side: a thread that waits for work must not keep a core busy, as OpenMP's do. Read when Numba loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Files that take long begin first, so that at the end no process is left alone with one of them. The very first compiles all
# of the CPU's kernels, those after it, in another process, need none of these: neither waits for what the other compiles.
LONG = ("test_warmup.py", "test_ptx.py", "test_real_sizes.py", "test_emulated.py", "test_cuda.py", "test_watch.py",
        "test_device_option.py", "test_gpu.py", "test_on_cuda.py", "test_compiler.py", "test_hazards.py", "test_examples.py",
        "test_docs.py", "test_large.py", "test_bench.py", "test_train.py", "test_attention.py", "test_matmul.py",
        "test_teaching_code.py")


def pytest_addoption(parser):
    parser.addoption("--device", choices=["cpu", "cuda"], default="cpu", help="where tensors are made: with cuda, the tests "
                     "of kernels, ops, layers and models run on the GPU (or, with NUMBA_ENABLE_CUDASIM=1, in the simulator)")


def pytest_configure(config):
    config.addinivalue_line("markers", "parity: compares with PyTorch; skipped where that is not installed")
    config.addinivalue_line("markers", "gpu: computes on a GPU, or in its simulator, "
                            "but with real=True not in that; left out where there is neither")
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False      # pytest-xdist would begin with the files of the most tests
    if on_cuda.SIMULATED:
        quick_simulator.install()
    if config.getoption("device") == "cuda":
        on_cuda.install()


@pytest.fixture(scope="session")
def torch():
    """PyTorch, to compare with; the test is skipped where it is not installed."""
    return pytest.importorskip("torch")


def pytest_collection_modifyitems(config, items):
    on_cuda.select(items, config)
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
    for item in items:
        source = inspect.getsource(item.function) if hasattr(item, "function") else ""
        if "torch" in getattr(item, "fixturenames", ()) or 'importorskip("torch")' in source:
            item.add_marker(pytest.mark.parity)


def pytest_terminal_summary(terminalreporter):
    """How many planted mistakes did the gradient checks catch? Said at the end of every run that plants them."""
    planted = {outcome: [r for r in terminalreporter.stats.get(outcome, []) if "test_zoo.py::test_caught" in r.nodeid]
               for outcome in ("passed", "failed")}
    if any(planted.values()):
        caught = len(planted["passed"])
        terminalreporter.write_line(f"planted wrong backward passes caught: {caught} of {caught + len(planted['failed'])}")

"""Kernels are compiled in other processes, and kept in a private folder: whatever happens to either, numbers come out."""

import os
import signal
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path
from types import FunctionType

import pytest
from numba import njit, types

from minitorch.kernels.cpu import _compiler


def start(script, **environment):
    return subprocess.Popen([sys.executable, "-W", "default", "-c", script], env={**os.environ, **environment},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(script, **environment):
    process = start(script, **environment)
    process.stdout, process.stderr = map(str.strip, process.communicate(timeout=300))
    return process


KERNEL = """
import numpy as np
from minitorch.kernels import cpu
print(cpu.layernorm_forward(np.arange(6.0).reshape(2, 3), None, None, 1e-5)[0].round(3).tolist())
"""
RESULT = "[[-1.225, 0.0, 1.225], [-1.225, 0.0, 1.225]]"


@pytest.mark.parametrize("variable, place", [("NUMBA_CACHE_DIR", "{}"), ("XDG_CACHE_HOME", "{}/minitorch")])
def test_the_cache_is_private_and_goes_where_it_is_told(tmp_path, variable, place):
    environment = {name: "" for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")} | {variable: str(tmp_path)}
    assert run(KERNEL, **environment).stdout == RESULT
    folders = list((tmp_path / place.format(tmp_path).removeprefix(str(tmp_path)).lstrip("/")).glob("kernels-*"))
    assert len(folders) == 1 and stat.S_IMODE(folders[0].stat().st_mode) == 0o700
    assert list(folders[0].rglob("*.nbi"))


def test_a_cache_that_others_can_write_to_is_not_used(tmp_path):
    run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    folder = next(tmp_path.glob("kernels-*"))
    folder.chmod(0o777)
    again = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert again.stdout == RESULT
    assert "can be written by others" in again.stderr and "Set NUMBA_CACHE_DIR" in again.stderr


def test_a_cache_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    result = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert result.stdout == RESULT and "compiled kernels are not kept" in result.stderr


def test_without_a_compiler():
    assert run(KERNEL, NUMBA_DISABLE_JIT="1").stdout == RESULT


def test_who_loads_a_kernel_does_not_load_what_numba_compiles_with():
    script = KERNEL + "import sys; print('numba.np.linalg' in sys.modules)"
    assert run(script).stdout.split("\n") == [RESULT, "False"]


BITS = """
import hashlib
import numpy as np
from minitorch.kernels import cpu
x = np.random.default_rng(0).standard_normal((200, 384)).astype("f4")
results = cpu.softmax_forward(5 * x, 1), cpu.layernorm_forward(x, None, None, 1e-5)[0]
print(*[hashlib.sha256(y.tobytes()).hexdigest() for y in results])
"""


def test_the_first_start_gets_the_bits_of_every_later_one(tmp_path):
    """A kernel is another one, in the last digit, where it was compiled: Numba links its parts otherwise there."""
    first, second = (run(BITS, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.stdout == second.stdout != ""


@pytest.mark.parametrize("program", ["", "/does/not/exist", "/bin/false"])
def test_where_no_process_can_be_started_this_one_compiles(tmp_path, program):
    result = run(f"import sys; sys.executable = {program!r}" + KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
    assert (result.stdout, result.returncode) == (RESULT, 0)
    assert len(list(tmp_path.rglob("layernorm._layernorm_forward-*.nbc"))) == 1


def test_a_python_that_greets_is_not_understood_and_not_needed(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('good morning')")
    result = run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert result.stdout.splitlines() == ["good morning", RESULT]


def test_a_process_that_is_gone_is_replaced(tmp_path):
    result = run(KERNEL + """
from minitorch.kernels.cpu import _compiler
helpers = _compiler._helpers()
before = helpers.answering
before.kill()
print(cpu.softmax_forward(np.zeros((2, 2)), 1).tolist(), helpers.answering is not before)
""", NUMBA_CACHE_DIR=str(tmp_path))
    assert result.stdout.splitlines() == [RESULT, "[[0.5, 0.5], [0.5, 0.5]] True"]


WATCHED = """
from minitorch.kernels.cpu import _compiler
start = _compiler._process
def process(*does, **streams):
    process = start(*does, **streams)
    print(process.pid, flush=True)
    return process
_compiler._process = process
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_whoever_waited_is_gone_and_so_are_those_that_compiled(tmp_path, how):
    waiting = start("import signal; signal.signal(signal.SIGINT, signal.default_int_handler)" + WATCHED + KERNEL,
                    NUMBA_CACHE_DIR=str(tmp_path), NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2")
    helpers = [int(waiting.stdout.readline()) for _ in range(2)]
    assert all(map(runs, helpers))
    waiting.send_signal(how)
    _, message = waiting.communicate(timeout=60)
    assert waiting.returncode and ("KeyboardInterrupt" in message) == (how == signal.SIGINT)
    end = time.monotonic() + 60
    while any(map(runs, helpers)):
        assert time.monotonic() < end, "they go on compiling for nobody"
        time.sleep(0.05)


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_nobody_compiles_what_another_process_is_at(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    run("from minitorch.kernels.cpu import _compiler; _compiler.take_turns()", NUMBA_CACHE_DIR=str(tmp_path))
    name = "minitorch.kernels.cpu.layernorm", "_layernorm_forward", ""
    with open(next(tmp_path.rglob("turns")), "r+b") as turns:
        fcntl.lockf(turns, fcntl.LOCK_EX, 1, zlib.crc32(repr(name).encode()))
        waiting = start(KERNEL, NUMBA_CACHE_DIR=str(tmp_path))
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=5)
        assert not list(tmp_path.rglob("layernorm*.nbc"))
    assert waiting.communicate(timeout=120)[0].strip() == RESULT      # closed: the byte is free


def test_functions_that_belong_to_no_module_compile_as_before():
    double = FunctionType((lambda x: 2 * x).__code__, {})       # as exec makes them
    assert double.__module__ is None and njit(double)(21) == 42


def test_types_travel_as_text():
    sig = (types.Array(types.float32, 2, "C"), types.float64, types.boolean, types.UniTuple(types.int64, 4),
           types.Tuple((types.float32, types.UniTuple(types.int64, 2))))
    words = _compiler._words(sig)
    assert words == ["float32[2]", "float64", "bool", ["int64"] * 4, ["float32", ["int64"] * 2]]
    assert tuple(map(_compiler._type, words)) == sig
    for other in (types.Array(types.float32, 2, "F"), types.none, types.unicode_type, types.Array(types.int8, 1, "C", True),
                  types.Tuple((types.int64, types.none)), types.Omitted(1)):
        assert _compiler._words((other,)) is None


AHEAD = """
import numpy as np
from minitorch.bench import train, worker
from minitorch.kernels.cpu import _ahead, _compiler
for use in _ahead.steps(np.dtype("f4")):
    use()
before = {name: list(kernel.overloads) for name, kernel in _compiler._kernels.items()}
train.prepare(worker.load("minitorch", 2), {**train.case((65, 64, 1, 4, 256, 8), weights="own"), "steps": 1})
for name, kernel in _compiler._kernels.items():
    if list(kernel.overloads) != before.get(name, []):
        print(name, [sig for sig in kernel.overloads if sig not in before.get(name, [])])
"""


def test_a_training_step_needs_what_is_compiled_ahead():
    result = run(AHEAD)
    assert (result.stdout, result.returncode) == ("", 0), result.stderr

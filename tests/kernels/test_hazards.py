"""What goes wrong around compiled, parallel code: forks, threads, changed files, lost updates. Each is provoked here."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from minitorch import kernels
from minitorch.kernels.cpu import _compiler, layernorm, softmax


def run(program, **environment):
    """What a program of its own process prints; it must end well, and in time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program.py")
        path.write_text(dedent(program))
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=240,
                              env={**os.environ, **environment})
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    return done.stdout


BIG = """
    import os, threading
    import numpy as np
    from minitorch.kernels import cpu
    x = np.linspace(-3, 3, 40000).reshape(200, 200).astype(np.float32)
    w = np.cos(np.arange(40000, dtype=np.float32)).reshape(200, 200)
    def work():
        return np.stack([cpu.softmax_forward(x, -1), cpu.linear_forward(x, w, None)])
    def close(a, b):        # what a fork runs is compiled apart: it may round otherwise
        return np.allclose(a, b, rtol=1e-6, atol=2e-5)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_computes_on_and_gets_the_same_numbers():
    assert run(BIG + """
    before = work()
    child = os.fork()
    if child == 0:
        mine = work()
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if (work() == mine).all() else 3)
        code = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
        os._exit(code if close(mine, before) else 4)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, (work() == before).all())
    """) == "0 True\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_another_thread_computes_does_not_hang():
    assert run(BIG + """
    before, on = work(), [True]
    def go_on():
        while on[0]:
            work()
    thread = threading.Thread(target=go_on)
    thread.start()
    codes = []
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if close(work(), before) else 3)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    on[0] = False
    thread.join()
    print(codes)
    """) == "[0, 0, 0, 0, 0]\n"


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_may_compute_at_once(layer):
    assert run(BIG + """
    expected = []
    def go_on():
        for _ in range(20):
            expected.append(work().tobytes())
    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(expected), len(set(expected)))
    """, NUMBA_THREADING_LAYER=layer) == "80 1\n"


def test_a_changed_helper_is_never_met_by_an_old_compilation(tmp_path, monkeypatch):
    """Numba's own cache looks at the file of the loop alone; ours is named after all files."""
    here = Path(_compiler.__file__).parent.parent
    shutil.copytree(here, tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    before = _compiler._fingerprint()
    monkeypatch.setattr(_compiler, "__file__", str(tmp_path / "kernels" / "cpu" / "_compiler.py"))
    assert _compiler._fingerprint() == before
    with open(tmp_path / "kernels" / "cpu" / "_exp.py", "a") as helper:
        helper.write("# changed\n")
    assert _compiler._fingerprint() != before


@pytest.mark.parametrize("words", [1, 3, 17])
def test_under_contention_no_update_is_lost(words):
    """Whole numbers add up exactly in float32, so one lost or doubled addition is seen."""
    random = np.random.default_rng(words)
    ids = random.integers(0, words, 20_000)
    dy = random.integers(-3, 4, (20_000, 8)).astype(np.float32)
    expected = np.zeros((words, 8), np.int64)
    np.add.at(expected, ids, dy.astype(np.int64))
    for _ in range(5):
        assert np.array_equal(kernels.cpu.embedding_backward(dy, ids, words, None), expected)


def test_sums_over_rows_under_contention():
    """β's gradient and a bias's: every row adds to the same few numbers."""
    random = np.random.default_rng(0)
    dy = random.integers(-3, 4, (30_000, 8)).astype(np.float32)
    expected = dy.astype(np.int64).sum(0)
    x, ones = random.normal(size=(30_000, 8)).astype(np.float32), np.ones(8, np.float32)
    _, mean, rstd = kernels.cpu.layernorm_forward(x, ones, ones, 1e-5)
    weight = np.eye(8, dtype=np.float32)
    for _ in range(5):
        assert np.array_equal(kernels.cpu.layernorm_backward(dy, x, ones, mean, rstd)[2], expected)
        assert np.array_equal(kernels.cpu.linear_backward(dy, x, weight)[2], expected)


EVERY_LAYER = """
    from minitorch.layer_checks import LAYERS, against_reference
    for layer in LAYERS:
        report = against_reference(layer)
        assert report.ok, report
    print(len(LAYERS))
"""


def test_every_layer_without_a_compiler():
    """As plain Python, where an index out of bounds raises and nothing is vectorised."""
    assert int(run(EVERY_LAYER, NUMBA_DISABLE_JIT="1")) > 40


def test_every_layer_with_bounds_checked(tmp_path):
    assert int(run(EVERY_LAYER, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))) > 40


def test_the_bounds_check_sees_what_it_should():
    assert run("""
    import numpy as np
    from minitorch.kernels.cpu._jit import spread

    @spread
    def beyond(i, x):
        x[i] = i

    try:
        beyond(4, np.zeros(3))
    except IndexError:
        print("seen")
    """, NUMBA_BOUNDSCHECK="1") == "seen\n"


@pytest.mark.parametrize("columns", [12, 65])
@pytest.mark.parametrize("dtype", "fd")
def test_bits_do_not_depend_on_where_arrays_lie(dtype, columns):
    """A loop that both adds up and writes is made of vectors only where its arrays lie apart: another order of its sum."""
    rows, random = 48, np.random.default_rng(0)
    given = {"x": random.standard_normal((rows, columns)).astype(dtype) * 3 + 1, "gamma": np.ones(columns, dtype),
             "beta": np.zeros(columns, dtype)}
    made = {"y": (rows, columns), "mean": (rows,), "rstd": (rows,)}
    memory, found = np.zeros(20000, dtype), set()
    for _ in range(300):
        at, place = int(random.integers(0, 16)), {}
        for name in random.permutation([*given, *made]):
            shape = given[name].shape if name in given else made[name]
            size = int(np.prod(shape))
            place[name] = memory[at:at + size].reshape(shape)
            place[name][...] = given.get(name, 0)
            at += size + int(random.choice([0, 4, 8, 16, 100]))
        x, gamma, beta, y, mean, rstd = (place[name] for name in (*given, *made))
        layernorm._layernorm_forward(rows // 2, x, gamma, beta, 1e-5, 2, y, mean, rstd)
        bits = y.tobytes(), mean.tobytes(), rstd.tobytes()
        softmax._softmax_forward(rows // 2, x, 2, y)
        found.add((*bits, y.tobytes()))
    assert len(found) == 1

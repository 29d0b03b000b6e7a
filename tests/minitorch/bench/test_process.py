"""Workers: they answer line by line, end when they should, and say what went wrong when they should not have."""

import io
import json
import os
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from minitorch.bench import process
from minitorch.bench import worker as bench_worker
from minitorch.bench.process import Worker, WorkerDied, environment, left_out, whole_process
from minitorch.kernels.cpu import _compiler

COPY = {"do": "prepare", "module": "floor", "case": {"copy": 4096}}


def test_a_worker_answers_in_turn():
    with Worker("numpy", threads=1) as worker:
        assert worker.hello["peak"] > 1e6 and worker.hello["version"]
        worker.ask(**COPY)
        first, second = worker.ask(do="round"), worker.ask(do="round")
        assert 0 < first["fastest"] <= first["median"] < 0.1 and second["calls"] > 10


def test_it_gets_its_threads_before_anything_is_loaded():
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        assert environment(3)[name] == "3"


def test_a_worker_that_dies_is_reported_with_what_it_printed():
    with Worker("numpy", threads=1) as worker:
        with pytest.raises(WorkerDied, match=r"measures numpy ended with exit code 1(.|\n)*KeyError"):
            worker.ask(do="prepare", module="floor", case={})


def test_a_worker_that_cannot_start_is_reported_too(tmp_path):
    (tmp_path / "torch.py").write_text("import no_such_library")
    with pytest.raises(WorkerDied, match="no_such_library"):
        Worker("torch", threads=1, PYTHONPATH=str(tmp_path))


@pytest.mark.parametrize("error", [KeyboardInterrupt, None])
def test_no_worker_outlives_its_block(error):
    try:
        with Worker("numpy", threads=1) as worker:
            worker.ask(**COPY)
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert worker.process.poll() is not None


def test_a_worker_ends_with_its_input():
    with Worker("numpy", threads=1) as worker:
        worker.process.stdin.close()
        assert worker.process.wait(20) == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_an_idle_worker_does_not_spin():
    def ticks():
        with open(f"/proc/{worker.process.pid}/stat") as stat:
            return sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))

    with Worker("minitorch", threads=2) as worker:
        worker.ask(do="prepare", module="ops", case={"name": "add"})
        worker.ask(do="round")
        time.sleep(0.2)
        before = ticks()
        time.sleep(0.5)
        assert ticks() - before <= 2


def test_a_whole_process_that_fails_is_reported():
    with pytest.raises(WorkerDied, match="exit code 3(.|\n)*so it goes"):
        whole_process([sys.executable, "-c", "import sys; print('so it goes', file=sys.stderr); sys.exit(3)"])


def test_no_library_is_held_back(monkeypatch):
    for name in process.INSTRUCTION_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "SSE41")
    assert not {"OPENBLAS_CORETYPE", "DNNL_MAX_CPU_ISA"} & set(environment(1))
    assert left_out() == ["OPENBLAS_CORETYPE=Haswell", "DNNL_MAX_CPU_ISA=SSE41"]


def test_a_round_is_over_when_nothing_is_compiled_any_more(monkeypatch):
    """What one side compiles ahead would be measured on all others."""
    done = []
    library = SimpleNamespace(name="minitorch", version="", about={}, finish=None, settle=lambda: done.append("settled"))
    monkeypatch.setattr(bench_worker, "load", lambda *_: library)
    file = SimpleNamespace(prepare=lambda *_: (lambda: done.append("run"), {}))
    monkeypatch.setattr(bench_worker, "_file", lambda _: file)
    asked = [{"library": "minitorch", "threads": 1}, {"do": "prepare", "module": "", "case": {}}, {"do": "round"}]
    bench_worker.main(map(json.dumps, asked), io.StringIO())
    assert done[0] == "run" and done.count("settled") == 1 and done[-1] == "settled"


def test_to_settle_is_to_wait_for_who_compiles_ahead(monkeypatch):
    ends, order = threading.Event(), []
    thread = threading.Thread(target=lambda: (ends.wait(), order.append("ended")))
    monkeypatch.setattr(_compiler._helpers(), "lending", [thread])
    thread.start()
    threading.Timer(0.1, ends.set).start()
    _compiler.settle()
    assert order == ["ended"]

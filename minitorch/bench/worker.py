"""One side of a benchmark, in a process of its own. Every message and every reply is one line of JSON.

=======================================================  ==============================================================
``{"library": "torch", "threads": 2}``                   the first message: import this library ("device": "cuda")
``{"do": "prepare", "module": "ops", "case": {...}}``    build a case of a file of this folder, run it, say what came out
``{"do": "round"}``                                      run it for a while; how long one call took
=======================================================  ==============================================================

Every reply holds ``peak``, the most memory this process has used so far, in bytes; on a GPU that of its arrays there. A
GPU does its work while Python goes on: there, calls are timed in rows, from a moment when it has nothing to do to one when
all is done. Between messages the process sleeps, and
it ends when its standard input does. What libraries print goes to standard error.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

__all__ = ["LIBRARIES", "load", "main", "peak", "timed", "timed_in_rows"]

LIBRARIES = ("minitorch", "torch", "torch.compile", "reference", "numpy")
LEAST = 0.1         # seconds that a round of short calls lasts
HERE = Path(__file__).resolve().parent


def main(messages, replies) -> None:
    """Answer each line of ``messages`` with a line of ``replies``.

    >>> import io
    >>> replies = io.StringIO()
    >>> main(['{"library": "numpy", "threads": 1}'], replies)
    >>> sorted(json.loads(replies.getvalue()))
    ['peak', 'version']
    """
    library: Any = None
    run: Any = None
    for line in messages:
        message = json.loads(line)
        if library is None:
            library = load(message["library"], message["threads"], message.get("device", "cpu"))
            reply = {"version": library.version, **library.about}
        elif message["do"] == "prepare":
            run = None
            gc.collect()                # what the last case held is free before the next is built
            run, reply = _file(message["module"]).prepare(library, message["case"])
            reply.update(_launches(library, run))
        else:
            reply = timed(run) if library.finish is None else timed_in_rows(run, library)
            library.settle()            # the first round is not counted, and may have begun to compile
        replies.write(json.dumps({**reply, "peak": peak() if library.finish is None else library.peak()}) + "\n")
        replies.flush()


def load(name: str, threads: int, device: str = "cpu") -> SimpleNamespace:
    """Import a library. Cases are written once; ``torch``, ``nn`` and ``F`` are this library's.

    >>> load("minitorch", threads=1).nn.Linear(2, 3)
    Linear(in_features=2, out_features=3, bias=True)
    """
    if name == "numpy":
        return SimpleNamespace(name=name, threads=threads, version=import_module("numpy").__version__, about={}, finish=None,
                               settle=lambda: None)
    backend, settle = None, lambda: None
    if name.startswith("torch"):
        torch = import_module("torch")
        torch.set_num_threads(threads)
    else:
        torch = import_module("minitorch")
        settle = import_module("minitorch.kernels.cpu._compiler").settle
        backend = torch.kernels.use("reference" if name == "reference" else "cpu")
        backend.__enter__()             # for as long as the result lives
    about: dict = {}
    if device == "cuda":
        about = _on_gpu(name, torch)
    wrap = torch.compile if name == "torch.compile" else lambda function: function
    return SimpleNamespace(name=name, threads=threads, version=torch.__version__, torch=torch, nn=torch.nn,
                           F=torch.nn.functional, compiled=wrap, backend=backend, device=device, about=about,
                           finish=torch.cuda.synchronize if device == "cuda" else None, settle=settle,
                           peak=torch.cuda.max_memory_allocated)


def _on_gpu(name, torch) -> dict:
    """Let a library make its tensors on the GPU; which one it is."""
    if name.startswith("torch"):
        if not torch.cuda.is_available():
            raise RuntimeError("this PyTorch was built without CUDA, or finds no GPU")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        about = {"gpu": torch.cuda.get_device_name()}
    else:
        about = import_module("minitorch.kernels.cuda").about()
    torch.set_default_device("cuda")
    return about


def _launches(library, run) -> dict:
    """How many kernels one call launches; known of minitorch."""
    if library.finish is None or library.name != "minitorch":
        return {}
    launches = import_module("minitorch.kernels.cuda._launch").launches
    before = sum(launches.values())
    run()
    return {"launches": sum(launches.values()) - before}


def timed(run: Callable[[], object]) -> dict:
    """One round: the fastest and the median call. Short calls are made many times, the first of them uncounted.

    >>> timed(lambda: None)["calls"] > 1000
    True
    """
    times = [_seconds(run)]
    if times[0] < LEAST:
        times, end = [], perf_counter() + LEAST
        while not times or perf_counter() < end:
            times.append(_seconds(run))
    return {"fastest": min(times), "median": median(times), "calls": len(times)}


def timed_in_rows(run: Callable[[], object], library) -> dict:
    """One round on a GPU: so many calls in a row that waiting for the last of them is little beside them."""
    run()
    calls, times = 1, []
    while True:
        library.finish()
        start = perf_counter()
        for _ in range(calls):
            run()
        library.finish()
        took = perf_counter() - start
        if took < LEAST / 10:
            calls *= 2
            continue
        times.append(took / calls)
        if sum(times) * calls >= LEAST:
            return {"fastest": min(times), "median": median(times), "calls": calls * len(times)}


def _seconds(run) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def peak() -> int:
    """The most memory that this process has used so far, in bytes; 0 where the system does not say.

    Linux keeps it in /proc. Its getrusage would count what the parent used before it started this process.

    >>> peak() > 1e6
    True
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        resource = import_module("resource")
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _file(name):
    """A file of this folder, without the package around it."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", HERE / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C is the parent's business
    sys.path[0] = str(HERE.parent.parent)               # this minitorch, and no file of this folder by its bare name
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    main(sys.stdin, lines)

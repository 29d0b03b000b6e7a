"""Compile every kernel ahead, so that nothing waits for the compiler later.

Kernels are compiled when they are first used, once per dtype, and kept on disk. Warming up is using each of them once: the
hand-written layers, forward and backward, and what stands outside of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np

from minitorch import kernels, optim
from minitorch.layer_checks import LAYERS
from minitorch.nn import functional as F
from minitorch.nn.parameter import Parameter
from minitorch.nn.utils import clip_grad_norm_
from minitorch.tensor import Tensor

__all__ = ["DTYPES", "compile_all", "tasks"]

DTYPES = ("float32", "float64")


def tasks(dtypes=DTYPES, layers=False) -> list[tuple[str, Callable[[], None]]]:
    """What there is to do, for the layers alone or for everything: a name, and a function that uses some kernels once."""
    return [(f"{name}, {dtype}", partial(use, np.dtype(dtype)))
            for dtype in dtypes for name, use in [*map(_layer, LAYERS), *([] if layers else [*_OTHERS, *_loops()])]]


def compile_all(workers: int, dtypes=DTYPES, layers=False) -> Iterator[str]:
    """Do all tasks in as many processes as asked for; yield the name of each one that is done."""
    command = [sys.executable, "-m", "minitorch", "warmup", *["--layers"] * layers, "--dtype", *dtypes, "--part"]
    here = Path(__file__).parent.parent         # Python looks in the current folder first, and a checkout may lie there
    running: list = [subprocess.Popen([*command, f"{i}/{workers}"], stdout=subprocess.PIPE, text=True, encoding="utf-8",
                                      cwd=here) for i in range(workers)]
    lines: Queue = Queue()

    def read(process):
        for line in process.stdout:
            lines.put(line.strip())
        lines.put(process)

    readers = [Thread(target=read, args=(process,), daemon=True) for process in running]
    try:
        for reader in readers:
            reader.start()
        while any(reader.is_alive() for reader in readers) or not lines.empty():
            line = lines.get()
            if isinstance(line, str):
                yield line
            elif line.wait():
                raise RuntimeError(f"warmup: a process ended with exit code {line.returncode}; its message stands above")
    finally:
        for process, reader in zip(running, readers):
            process.kill()
            process.wait()
            reader.join()
            process.stdout.close()


def _layer(layer):
    def use(dtype):
        inputs = [x.like(x.data.astype(dtype)) if isinstance(x, Tensor) and x.data.dtype.kind == "f" else x
                  for x in layer.arguments()]
        for x in inputs:
            if isinstance(x, Tensor) and x.data.dtype.kind == "f":
                x.requires_grad = True
        _run(layer.function, inputs)
    return layer.name, use


def _run(function, inputs):
    with kernels.use("cpu"):
        y = function(*inputs)
        y.backward(y.like(np.ones_like(y.data)))


def _of(function, *shape):
    numbers = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    return lambda dtype: _run(function, [Tensor(numbers, dtype=dtype, requires_grad=True)])


def _with_gradients(step):
    def use(dtype):
        parameters = [Parameter(Tensor(np.ones(n), dtype=dtype)) for n in (5, 2**16)]   # for one thread, and for several
        for p in parameters:
            p.grad = Tensor(np.ones(p.numel()), dtype=dtype)
        with kernels.use("cpu"):
            step(parameters)
    return use


def _loops():
    """The loops for large arrays, element by element."""
    large = import_module("minitorch.kernels.cpu._large")
    for name, formula in large.FORMULAS.items():
        def use(dtype, name=name, operands=formula.__code__.co_argcount):
            x = np.ones(2**14, dtype)
            first, others, bounds = x > 0 if name == "where" else x, min(operands, 3) - 1, [1.0] * (operands - 3)
            large.each(name, first, *[x] * others, *bounds)
            large.each(name, first[::2], *[x[::2]] * others, *bounds)       # not in one piece: another loop
        yield "large arrays, " + name, use


_OTHERS = [
    ("sigmoid", _of(F.sigmoid, 3, 4)), ("softplus", _of(F.softplus, 3, 4)), ("elu", _of(F.elu, 3, 4)),
    ("erf", _of(lambda x: x.erf(), 3, 4)), ("erfc", _of(lambda x: x.erfc(), 3, 4)),
    ("glu", _of(F.glu, 4, 4)),
    ("dropout mask", lambda dtype: kernels.cpu.keep((3,), 0.5, 1)),
    ("large sum", _of(lambda x: x.sum(), 512, 512)), ("large sum, rows", _of(lambda x: x.sum(1), 512, 512)),
    ("large sum, columns", _of(lambda x: x.sum(0), 512, 512)), ("large sums, groups", _of(lambda x: x.sum(1), 64, 16, 256)),
    ("large norms, groups", _of(lambda x: x.norm(dim=1), 64, 16, 256)), ("large norm", _of(lambda x: x.norm(), 512, 512)),
    ("logsumexp", _of(lambda x: x.logsumexp(1), 512, 512)), ("large maxima", _of(lambda x: x.amax(1), 512, 512)),
    ("large variance", _of(lambda x: x.var(), 512, 512)), ("large variance, rows", _of(lambda x: x.var(1), 512, 512)),
    ("large variance, columns", _of(lambda x: x.var(0), 512, 512)),
    ("large variances, groups", _of(lambda x: x.var(1), 64, 16, 256)),
    ("large triangles", _of(lambda x: x.tril(), 512, 512)),
    ("large running sums", _of(lambda x: x.cumsum(1), 512, 512)),
    ("large running products", _of(lambda x: x.cumprod(1), 512, 512)),
    ("large products", _of(lambda x: x.prod(1), 512, 512)),
    ("large norm, rows", _of(lambda x: x.norm(dim=1), 512, 512)),
    ("large norm, columns", _of(lambda x: x.norm(dim=0), 512, 512)),
    ("large gather, along rows", _of(lambda x: x.gather(1, x.new_zeros(512, 512, dtype=np.int64)), 512, 512)),
    ("large topk", _of(lambda x: x.topk(4).values, 64, 512)),
    ("large gather, across rows", _of(lambda x: x.gather(0, x.new_zeros(512, 512, dtype=np.int64)), 512, 512)),
    ("large copy, rows", _of(lambda x: x[:, 1:].contiguous(), 512, 512)),
    ("large gradients of parts, rows", _of(lambda x: x[:, 1:] + x[:, :-1], 512, 512)),
    ("large gradients of parts, turned", _of(lambda x: x[1:].T.contiguous() + x[:-1].T.contiguous(), 512, 512)),
    ("large copy, turned", _of(lambda x: x.T.contiguous(), 512, 512)),
    ("linear, many rows", _of(lambda x: F.linear(x, x[:16], x[:16, 0]), 4096, 16)),
    ("SGD", _with_gradients(lambda p: optim.SGD(p, lr=0.1, momentum=0.9).step())),
    ("AdamW", _with_gradients(lambda p: optim.AdamW(p, lr=0.1).step())),
    ("gradient clipping", _with_gradients(lambda p: clip_grad_norm_(p, 1.0))),
]

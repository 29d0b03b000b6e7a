"""One formula at every position: the kernel that all elementwise ops share.

    _square = formula(lambda x: x * x)
    y = each(_square, x)

Inputs broadcast, whatever their strides; a number stands for an array of one number. Formulas are compiled per dtype. Where
four neighbours of the result are neighbours in memory, and in the inputs, too, or one number for all four, a thread takes
four at a time: the same kernel, with other ways to read and write (``_four.py``).
"""

from functools import lru_cache

import numpy as np

from ._array import Array, broadcast_steps, collapsed, empty, full, place
from ._four import load_four, load_one, store_four, store_one
from ._launch import Kernel, blocks_for, cuda, device

__all__ = ["each", "formula", "into", "meeting"]


def formula(function, single=None):
    """A function of numbers, for ``each``; ``single`` takes its place where they are float32."""
    return device(function, single)


def each(f, *inputs, dtype=None):
    """y = f(inputs) at every position; y has this dtype, or the one in which the inputs meet."""
    arrays = [x for x in inputs if isinstance(x, Array)]
    shape = arrays[0].shape if len(arrays) == 1 else np.broadcast_shapes(*[x.shape for x in arrays])
    return into(empty(shape, meeting(*inputs) if dtype is None else dtype), f, *inputs)


def into(y, f, *inputs):
    """Write f(inputs) over y, which may be one of the inputs."""
    if not y.size:
        return y
    common = meeting(*inputs)
    inputs = [x if isinstance(x, Array) else _number(type(x), x.item() if type(x) is np.ndarray else x, common)
              for x in inputs]
    shape, y_steps, *steps = collapsed(y.shape, y.steps, *[broadcast_steps(x, y.shape) for x in inputs])
    places = [part for x, step in zip(inputs, steps) for part in (x.whole, x.offset, step)]
    width = 4 if shape[-1] % 4 == 0 and y_steps[-1] == 1 and all(map(_in_fours, (y, *inputs), (y_steps, *steps))) else 1
    _kernel(f, len(inputs), width)[blocks_for(y.size // width)](*places, shape, y.size, y.offset, y_steps, y.whole)
    return y


def meeting(*inputs):
    """The dtype in which arrays and Python's numbers meet: a number does not widen an array."""
    for x in inputs:
        if type(x) is np.ndarray and x.ndim:
            raise RuntimeError(f"an array {x.shape} on the CPU meets one on the GPU. Move one: tensor.to('cuda') or "
                               "tensor.cpu().")
    return np.result_type(*[x.dtype if isinstance(x, Array) else x for x in inputs])


@lru_cache(1024)
def _number(kind, value, dtype):
    """A number as an array, kept for the next time. (1 and True are equal, so their type is part of the key.)"""
    return full((), value, np.float32 if dtype == np.float16 else dtype)


def _in_fours(x, steps):
    """Can four neighbours along the last axis be read at once: are they neighbours in memory, or one number all four?"""
    return steps[-1] == 0 or steps[-1] == 1 and x.in_fours and all([step % 4 == 0 for step in steps[:-1]])


@lru_cache(None)
def _kernel(f, inputs, width):
    if width == 1:
        return Kernel(_MAPS[inputs - 1], f.name, f=f)
    four_times = device(_FOUR_TIMES[inputs - 1], f=f)
    return Kernel(_MAPS[inputs - 1], f.name, f=four_times, read=_read_four, write=_write_four, WIDTH=4)


f = formula(lambda x: x)    # in the kernels below: the formula that they are being compiled for
WIDTH = 1                   # and how many numbers a thread takes at a time: 4, where they are neighbours in memory


@device
def read(x, at, steps):
    return load_one(x, at)


@device
def write(y, at, value):
    store_one(y, at, value)


@device
def _read_four(x, at, steps):
    if steps[-1] == 1:
        return load_four(x, at)
    v = load_one(x, at)
    return v, v, v, v


@device
def _write_four(y, at, values):
    store_four(y, at, values)


_FOUR_TIMES = (
    lambda a: (f(a[0]), f(a[1]), f(a[2]), f(a[3])),
    lambda a, b: (f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])),
    lambda a, b, c: (f(a[0], b[0], c[0]), f(a[1], b[1], c[1]), f(a[2], b[2], c[2]), f(a[3], b[3], c[3])),
    lambda a, b, c, d: (f(a[0], b[0], c[0], d[0]), f(a[1], b[1], c[1], d[1]), f(a[2], b[2], c[2], d[2]),
                        f(a[3], b[3], c[3], d[3])),
)


def _map1(a, a_offset, a_steps, shape, n, y_offset, y_steps, y):
    i = WIDTH * cuda.grid(1)
    while i < n:
        write(y, y_offset + place(i, shape, y_steps), f(read(a, a_offset + place(i, shape, a_steps), a_steps)))
        i += WIDTH * cuda.gridsize(1)


def _map2(a, a_offset, a_steps, b, b_offset, b_steps, shape, n, y_offset, y_steps, y):
    i = WIDTH * cuda.grid(1)
    while i < n:
        write(y, y_offset + place(i, shape, y_steps), f(
            read(a, a_offset + place(i, shape, a_steps), a_steps), read(b, b_offset + place(i, shape, b_steps), b_steps)))
        i += WIDTH * cuda.gridsize(1)


def _map3(a, a_offset, a_steps, b, b_offset, b_steps, c, c_offset, c_steps, shape, n, y_offset, y_steps, y):
    i = WIDTH * cuda.grid(1)
    while i < n:
        write(y, y_offset + place(i, shape, y_steps), f(
            read(a, a_offset + place(i, shape, a_steps), a_steps), read(b, b_offset + place(i, shape, b_steps), b_steps),
            read(c, c_offset + place(i, shape, c_steps), c_steps)))
        i += WIDTH * cuda.gridsize(1)


def _map4(a, a_offset, a_steps, b, b_offset, b_steps, c, c_offset, c_steps, d, d_offset, d_steps, shape, n, y_offset,
          y_steps, y):
    i = WIDTH * cuda.grid(1)
    while i < n:
        write(y, y_offset + place(i, shape, y_steps), f(
            read(a, a_offset + place(i, shape, a_steps), a_steps), read(b, b_offset + place(i, shape, b_steps), b_steps),
            read(c, c_offset + place(i, shape, c_steps), c_steps), read(d, d_offset + place(i, shape, d_steps), d_steps)))
        i += WIDTH * cuda.gridsize(1)


_MAPS = _map1, _map2, _map3, _map4

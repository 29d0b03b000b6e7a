"""One formula at every position: the kernel that all elementwise ops share.

    _square = formula(lambda x: x * x)
    y = each(_square, x)

Inputs broadcast, whatever their strides; a number stands for an array of one number. Formulas are compiled per dtype.
"""

from functools import lru_cache

import numpy as np

from ._array import Array, broadcast_steps, collapsed, empty, full, place
from ._launch import Kernel, blocks_for, cuda, device

__all__ = ["each", "formula", "into", "meeting"]


def formula(function):
    """A function of numbers, for ``each``."""
    return device(function)


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
    _kernel(f, len(inputs))[blocks_for(y.size)](*places, shape, y.size, y.offset, y_steps, y.whole)
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
    return full((), value, dtype)


@lru_cache(None)
def _kernel(f, inputs):
    return Kernel((_map1, _map2, _map3, _map4)[inputs - 1], f.name, f=f)


f = formula(lambda x: x)    # in the kernels below: the formula that they are being compiled for


def _map1(a, a_offset, a_steps, shape, n, y_offset, y_steps, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[y_offset + place(i, shape, y_steps)] = f(a[a_offset + place(i, shape, a_steps)])


def _map2(a, a_offset, a_steps, b, b_offset, b_steps, shape, n, y_offset, y_steps, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[y_offset + place(i, shape, y_steps)] = f(
            a[a_offset + place(i, shape, a_steps)], b[b_offset + place(i, shape, b_steps)])


def _map3(a, a_offset, a_steps, b, b_offset, b_steps, c, c_offset, c_steps, shape, n, y_offset, y_steps, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[y_offset + place(i, shape, y_steps)] = f(
            a[a_offset + place(i, shape, a_steps)], b[b_offset + place(i, shape, b_steps)],
            c[c_offset + place(i, shape, c_steps)])


def _map4(a, a_offset, a_steps, b, b_offset, b_steps, c, c_offset, c_steps, d, d_offset, d_steps, shape, n, y_offset,
          y_steps, y):
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        y[y_offset + place(i, shape, y_steps)] = f(
            a[a_offset + place(i, shape, a_steps)], b[b_offset + place(i, shape, b_steps)],
            c[c_offset + place(i, shape, c_steps)], d[d_offset + place(i, shape, d_steps)])

"""One step of an optimizer, in one pass over memory, where the parameters stand. The formulas: see the reference.

Each array may be one, or a list of them: all parameters of a model then go in one launch. A launch takes a few millionths of
a second whatever it does, and a model has a hundred small parameters.

How a kernel reaches a hundred arrays: it gets one array that begins at the lowest of their addresses and reaches to the
highest, and a table of where in it each begins. The table stays on the GPU as long as the addresses stay the same.
"""

import math
from functools import lru_cache

import numpy as np

from ..reference import optim as _reference
from ._array import Whole, copy_into, ready, to_device
from ._four import WIDTH, FourKernel, fetch, put
from ._launch import TINY, between, cuda, number

__all__ = _reference.__all__

PIECE = 8 if TINY else 16384       # numbers that a block takes
COLUMNS = 6                             # of the table: how many numbers an array has, and where up to five arrays begin


def _sgd(memory, table, pieces, lr, momentum, fresh, weight_decay, sign, has_buffer, nesterov, first):
    params, grads = cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number)
    buffers = cuda.local.array(WIDTH, number)
    row, start = pieces[2 * cuda.blockIdx.x], pieces[2 * cuda.blockIdx.x + 1]
    n, param, grad, buffer = table[row], table[row + 1], table[row + 2], table[row + 3]
    stop = start + PIECE if start + PIECE < n else n
    i = start + WIDTH * cuda.threadIdx.x
    while i < stop:
        fetch(memory, param + i, params)
        fetch(memory, grad + i, grads)
        if has_buffer:
            fetch(memory, buffer + i, buffers)
        for k in range(WIDTH):
            g = sign * grads[k] + weight_decay * params[k]
            if has_buffer:
                buffers[k] = g if first else momentum * buffers[k] + fresh * g
                g = g + momentum * buffers[k] if nesterov else buffers[k]
            params[k] -= lr * g
        put(params, memory, param + i)
        if has_buffer:
            put(buffers, memory, buffer + i)
        i += WIDTH * cuda.blockDim.x


def _adam(memory, table, pieces, rate, fresh1, beta2, fresh2, root, eps, shrink, weight_decay, sign, amsgrad):
    params, grads = cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number)
    largest = cuda.local.array(WIDTH, number)
    ms, vs = cuda.local.array(WIDTH, number), cuda.local.array(WIDTH, number)
    row, start = pieces[2 * cuda.blockIdx.x], pieces[2 * cuda.blockIdx.x + 1]
    n, param, grad, m, v, vmax = table[row], table[row + 1], table[row + 2], table[row + 3], table[row + 4], table[row + 5]
    stop = start + PIECE if start + PIECE < n else n
    i = start + WIDTH * cuda.threadIdx.x
    while i < stop:
        fetch(memory, param + i, params)
        fetch(memory, grad + i, grads)
        fetch(memory, m + i, ms)
        fetch(memory, v + i, vs)
        if amsgrad:
            fetch(memory, vmax + i, largest)
        for k in range(WIDTH):
            g = sign * grads[k] + weight_decay * params[k]
            ms[k] += fresh1 * (g - ms[k])
            vs[k] = beta2 * vs[k] + fresh2 * g * g
            largest[k] = largest[k] if amsgrad and largest[k] > vs[k] else vs[k]
            params[k] = shrink * params[k] - rate * ms[k] / (math.sqrt(largest[k]) / root + eps)
        put(params, memory, param + i)
        put(ms, memory, m + i)
        put(vs, memory, v + i)
        if amsgrad:
            put(largest, memory, vmax + i)
        i += WIDTH * cuda.blockDim.x


_sgd, _adam = FourKernel(_sgd), FourKernel(_adam)


def sgd_step(param, grad, buffer, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    """buffer: None, or a list if param is one."""
    _step(_sgd, (float(lr), float(momentum), float(1 - dampening), float(weight_decay), -1.0 if maximize else 1.0,
                 buffer is not None, bool(nesterov), bool(first)), param, grad, param if buffer is None else buffer)


def adam_step(param, grad, m, v, vmax, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """vmax: None, or a list if param is one."""
    shrink, add = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    _step(_adam, (float(lr / (1 - beta1**step)), float(1 - beta1), float(beta2), float(1 - beta2),
                  math.sqrt(1 - beta2**step), float(eps), float(shrink), float(add), -1.0 if maximize else 1.0,
                  vmax is not None),
          param, grad, m, v, v if vmax is None else vmax)


def power_sum(grad, p):
    if p == math.inf:
        return np.abs(grad).max() if grad.size else to_device(np.zeros((), grad.dtype))
    return (np.abs(grad.astype(np.float64)) ** p).sum()


def scale_step(grad, factor):
    """factor: a number, or one on the GPU, which nobody waits for."""
    grad[...] = grad * factor.astype(grad.dtype)


def _step(kernel, settings, *columns):
    """Launch a kernel for all parameters of a dtype at once; those that cannot be read in fours have a launch of theirs."""
    rows = list(zip(*columns)) if isinstance(columns[0], (list, tuple)) else [columns]
    together: dict = {}
    for arrays in rows:
        if arrays[0].size:
            ready_ones = {id(x): ready(x, arrays[0].dtype) for x in arrays}     # they themselves, if they are contiguous
            copies = [ready_ones[id(x)] for x in arrays]
            fours = copies[0].size % 4 == 0 and all([x.in_fours for x in copies])
            together.setdefault((copies[0].dtype, 4 if fours else 1), []).append((arrays, copies))
    for (dtype, width), pairs in together.items():
        low = min([x.address for _, copies in pairs for x in copies])
        high = max([x.address + x.nbytes for _, copies in pairs for x in copies])
        table = _table(tuple([n for _, copies in pairs for n in _row(copies, low)]))
        pieces = _pieces(tuple([copies[0].size for _, copies in pairs]))
        kernel.widths[width][pieces.size // 2](Whole(between(low, high, dtype), dtype), table, pieces, *settings)
        for arrays, copies in pairs:
            for array, copy in zip(arrays, copies):
                if copy is not array and array is not arrays[1]:        # the gradient
                    copy_into(array, copy)


def _row(arrays, low):
    places = [(x.address - low) // x.itemsize for x in arrays]
    return [arrays[0].size, *places, *[0] * (COLUMNS - 1 - len(places))]


@lru_cache(16)
def _table(numbers):
    return to_device(np.array(numbers))


@lru_cache(16)
def _pieces(sizes):
    """For each block, which parameter it works on, by where the table's row begins, and from which number on."""
    pieces = [(COLUMNS * i, start) for i, n in enumerate(sizes) for start in range(0, n, PIECE)]
    return to_device(np.array(pieces).reshape(-1))

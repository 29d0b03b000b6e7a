"""Convolution with few products for each window: the picture, read as it lies, is slid under every weight.

Padded rows follow each other in memory, so what one weight meets is one run of numbers, rows and all; of those that begin
in one row and end in the next, nothing is kept. Nothing is gathered: of a window of nine numbers, that takes longer than to
multiply them. A run is cut so that it stays in the first cache.
"""

import math

import numpy as np

from ._jit import CHUNKS, ready, spread

__all__ = ["is_narrow", "slide", "slide_weights"]

FEW = 32        # numbers of a window: for more, it pays to gather them
SIZE, MOST = 25, 75     # for few outputs it never does: this many numbers of kernels, each counted as of this size or more
RUN = 2048      # numbers that are slid at a time


def is_narrow(shape, stride, groups, padded_width, width):
    """By the weights' shape: are there few products for each window, windows side by side, and is most of a row kept?"""
    if tuple(stride) != (1, 1) or 2 * width <= padded_width:
        return False
    (o, c), size = shape[:2], math.prod(shape[2:])
    return c * size <= FEW or o // groups * max(SIZE, size) <= MOST


def slide(x, weight, bias, padding, dilation, y):
    """y[n, o] = bias[o] + Σ weight[o, c, i, j] · x[n, c], moved by (i, j)."""
    x = _padded(x, padding)
    shifts = _shifts(weight, dilation, x.shape[3])
    n, o, rows, _ = y.shape
    high = max(1, RUN // x.shape[3])
    tasks = n * o * -(-rows // high)
    pieces = min(tasks, CHUNKS)
    _slide(pieces, _flat(x), ready(weight).reshape(*weight.shape[:2], -1), bias, shifts, x.shape[3], high, tasks, pieces, y)


def slide_weights(x, dy, weight, padding, dilation):
    """dweight[o, c, i, j] = Σ dy[n, o] · x[n, c], moved by (i, j); dbias[o] = Σ dy[n, o]."""
    x = _padded(x, padding)
    shifts, chunks = _shifts(weight, dilation, x.shape[3]), min(len(x), CHUNKS)
    parts, bias_parts = np.zeros((chunks, *weight.shape[:2], len(shifts))), np.zeros((chunks, len(weight)))
    _slide_weights(chunks * len(weight), _flat(x), ready(dy), shifts, x.shape[3], parts, bias_parts)
    return parts.sum(0).reshape(weight.shape).astype(weight.dtype), bias_parts.sum(0).astype(weight.dtype)


def _padded(x, padding):
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return ready(x)
    n, c, h, w = x.shape
    padded = np.zeros((n, c, h + top + bottom, w + left + right), x.dtype)
    _place(n * c, ready(x), top, left, padded)
    return padded


def _shifts(weight, dilation, width):
    """By how many numbers of a padded picture each weight is moved."""
    rows, columns = (np.arange(k) * d for k, d in zip(weight.shape[2:], dilation))
    return (rows[:, None] * width + columns).reshape(-1)


def _flat(x):
    return x.reshape(*x.shape[:2], -1)


@spread
def _place(task, x, top, left, padded):
    n, c, h, w = x.shape
    for r in range(h):
        source, target = x[task // c, task % c, r], padded[task // c, task % c, r + top, left:left + w]
        for j in range(len(source)):
            target[j] = source[j]


@spread
def _slide(piece, x, weight, bias, shifts, width, high, tasks, pieces, y):
    n, o, rows, columns = y.shape
    c = weight.shape[1]
    groups, blocks = x.shape[1] // c, tasks // (n * o)
    sums = np.empty(high * width, y.dtype)
    for task in range(piece * tasks // pieces, (piece + 1) * tasks // pieces):
        picture, out, top = task // (o * blocks), task // blocks % o, task % blocks * high
        count = min(high, rows - top)
        run = (count - 1) * width + columns
        for j in range(run):
            sums[j] = bias[out]
        # passes 1 and 2: four weights at a time
        for k in range(c):
            numbers, w, t = x[picture, out // (o // groups) * c + k, top * width:], weight[out, k], 0
            while t + 4 <= len(shifts):
                x0, x1 = numbers[shifts[t]:shifts[t] + run], numbers[shifts[t + 1]:shifts[t + 1] + run]
                x2, x3 = numbers[shifts[t + 2]:shifts[t + 2] + run], numbers[shifts[t + 3]:shifts[t + 3] + run]
                w0, w1, w2, w3 = w[t], w[t + 1], w[t + 2], w[t + 3]
                for j in range(run):
                    sums[j] += w0 * x0[j] + w1 * x1[j] + w2 * x2[j] + w3 * x3[j]
                t += 4
            while t < len(shifts):
                x0, w0 = numbers[shifts[t]:shifts[t] + run], w[t]
                for j in range(run):
                    sums[j] += w0 * x0[j]
                t += 1
        for r in range(count):
            source, target = sums[r * width:r * width + columns], y[picture, out, top + r]
            for j in range(columns):
                target[j] = source[j]


@spread
def _slide_weights(task, x, dy, shifts, width, parts, bias_parts):
    n, o, rows, columns = dy.shape
    chunks, c = len(parts), parts.shape[2]
    groups, high = x.shape[1] // c, max(1, RUN // width)
    chunk, out = task // o, task % o
    sums, zero = parts[chunk, out], dy.dtype.type(0)
    held = np.zeros(high * width, dy.dtype)     # 0 where a run goes on to the next row
    for picture in range(chunk * n // chunks, (chunk + 1) * n // chunks):
        for top in range(0, rows, high):
            count = min(high, rows - top)
            run = (count - 1) * width + columns
            # pass 3 backward: the bias was added everywhere
            for r in range(count):
                source, target, total = dy[picture, out, top + r], held[r * width:r * width + columns], 0.0
                for j in range(columns):
                    target[j] = source[j]
                    total += np.float64(source[j])
                bias_parts[chunk, out] += total
            # pass 2 backward: a weight met what it was slid over
            for k in range(c):
                numbers, t = x[picture, out // (o // groups) * c + k, top * width:], 0
                while t + 4 <= len(shifts):
                    x0, x1 = numbers[shifts[t]:shifts[t] + run], numbers[shifts[t + 1]:shifts[t + 1] + run]
                    x2, x3 = numbers[shifts[t + 2]:shifts[t + 2] + run], numbers[shifts[t + 3]:shifts[t + 3] + run]
                    s0, s1, s2, s3 = zero, zero, zero, zero
                    for j in range(run):
                        s0 += held[j] * x0[j]
                        s1 += held[j] * x1[j]
                        s2 += held[j] * x2[j]
                        s3 += held[j] * x3[j]
                    sums[k, t] += s0
                    sums[k, t + 1] += s1
                    sums[k, t + 2] += s2
                    sums[k, t + 3] += s3
                    t += 4
                while t < len(shifts):
                    x0, s0 = numbers[shifts[t]:shifts[t] + run], zero
                    for j in range(run):
                        s0 += held[j] * x0[j]
                    sums[k, t] += s0
                    t += 1

"""Large arrays, element by element, and their sums: what NumPy does on one thread, shared by all.

A file of its own, imported when the first large array comes: small arithmetic must not wait for the compiler. The two
tables at the end are what there is; each formula becomes a loop of its own, compiled when first needed.
"""

from functools import cache
from types import FunctionType

import numpy as np
from numba import njit

from ._jit import CHUNKS, parallel, prange
from ._memory import empty

__all__ = ["copy", "each", "row_sums"]

WIDTH = 16      # numbers: pieces of a row begin where a cache line does


def each(name, *operands):
    """The formula of this name, of operands that broadcast; None where that is NumPy's: see ``_tables``."""
    shape, dtype, tables = _tables(operands)
    if tables is None:
        return None
    y = empty(shape, dtype)
    rows, columns, *tables = tables
    _loop(name)(*[part for table in tables for part in table], y.reshape(rows, columns))
    return y


def copy(x):
    """x, which is in C order, in memory of its own."""
    return each("copy", x)


def row_sums(x):
    """x (a, rows, b) in C order → (a, b), summed over the rows, in float64: pieces of the rows first, then the pieces."""
    a, rows, b = x.shape
    if b == 1 and a >= CHUNKS:
        y = np.empty(a)
        _sums_along(x.reshape(a, rows), y)
        return y.reshape(a, 1)
    parts = np.zeros((a, CHUNKS, b))
    if b == 1:
        _sums_of_pieces(x.reshape(a, rows), parts.reshape(a, CHUNKS))
    else:
        _sums_down(x, parts)
    return parts.sum(1)


def _tables(operands):
    """The result's shape and dtype; and rows, columns, and for every operand (numbers, step from row to row, whole rows?).

    Equal shapes, a number, a row for all rows (step 0), a column for all columns, a part of each row of something wider:
    what does not fit into such tables, has no float array in it or two dtypes of them, is None.
    """
    shape, padded = np.broadcast_shapes(*[np.shape(x) for x in operands]), []
    dtype = next((x.dtype for x in operands if type(x) is np.ndarray and x.dtype.kind == "f" and x.ndim), None)
    for x in operands:
        if dtype is not None and (type(x) in (int, float, bool) or isinstance(x, np.floating) and x.dtype == dtype):
            x = np.asarray(x, dtype)
        if dtype is None or type(x) is not np.ndarray or x.dtype != dtype and x.dtype != np.bool_:
            return shape, dtype, None
        if 0 in x.strides:      # repeated already, as the gradient of a sum is
            x = x[tuple([slice(0, 1) if not step else slice(None) for step in x.strides])]
        if not x.flags.writeable or not x.flags.aligned:
            x = np.require(x, None, ["A", "W"])
        padded.append(x.reshape((1,) * (len(shape) - x.ndim) + x.shape))
    # neighbouring axes are one if every operand is repeated along both or neither, and steps from one row right to the next
    groups = []
    for axis, size in enumerate(shape):
        steps = [x.strides[axis] if x.shape[axis] == size else 0 for x in padded]
        if size != 1 and groups and all(before == step * size for before, step in zip(groups[-1][1], steps)):
            groups[-1] = [groups[-1][0] * size, steps]
        elif size != 1:
            groups.append([size, steps])
    itemsizes = [x.itemsize for x in padded]
    if not groups or any(step not in (0, size) for step, size in zip(groups[-1][1], itemsizes)):
        groups.append([1, [0] * len(padded)])      # one column
    if len(groups) > 2:
        return shape, dtype, None
    (rows, down), (columns, along) = ([1, [0] * len(padded)], *groups)[-2:]
    if any(step < 0 or step % size for step, size in zip(down, itemsizes)):
        return shape, dtype, None
    tables = [rows, columns]
    for x, step, within in zip(padded, down, along):
        step //= x.itemsize
        span = (rows - 1) * step + (columns if within else 1)
        flat = x.ravel() if x.flags.c_contiguous else np.lib.stride_tricks.as_strided(x, (span,), (x.itemsize,))
        tables.append((flat, step, within > 0 or columns == 1))
    return shape, dtype, tables


@cache
def _loop(name):
    """The loop over this formula. A name of its own, because Numba keeps compiled loops by their name."""
    formula = FORMULAS[name]
    operands = formula.__code__.co_argcount
    loop = (_loop1, _loop2, _loop3, _loop4)[operands - 1]
    compiled = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)(formula)
    named = FunctionType(loop.__code__, {**globals(), "formula": compiled}, f"_{name}")
    named.__qualname__ = f"_{name}"
    return parallel(named)


# ---------------------------------------------------------------------------------------------------------------------
# the loops. Pieces are groups of rows; of few rows, parts of them

def formula(*numbers):
    raise NotImplementedError("each loop gets its own")


def _loop1(x, dx, whole, z):
    n, c = z.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, n)):
            out = z[i, left:left + wide]
            u = _part(x, i * dx, whole, left, len(out))
            if whole:
                for j in range(len(out)):
                    out[j] = formula(u[j])
            else:
                out[:] = formula(u[0])


def _loop2(x, dx, whole_x, y, dy, whole_y, z):
    n, c = z.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, n)):
            out = z[i, left:left + wide]
            u, v = _part(x, i * dx, whole_x, left, len(out)), _part(y, i * dy, whole_y, left, len(out))
            if whole_x and whole_y:
                for j in range(len(out)):
                    out[j] = formula(u[j], v[j])
            elif whole_x:
                b = v[0]
                for j in range(len(out)):
                    out[j] = formula(u[j], b)
            elif whole_y:
                a = u[0]
                for j in range(len(out)):
                    out[j] = formula(a, v[j])
            else:
                out[:] = formula(u[0], v[0])


def _loop3(x, dx, whole_x, y, dy, whole_y, w, dw, whole_w, z):
    n, c = z.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, n)):
            out = z[i, left:left + wide]
            u, v = _part(x, i * dx, whole_x, left, len(out)), _part(y, i * dy, whole_y, left, len(out))
            t = _part(w, i * dw, whole_w, left, len(out))
            if whole_x and whole_y and whole_w:
                for j in range(len(out)):
                    out[j] = formula(u[j], v[j], t[j])
            elif whole_x and whole_y:
                b = t[0]
                for j in range(len(out)):
                    out[j] = formula(u[j], v[j], b)
            elif whole_x and whole_w:
                b = v[0]
                for j in range(len(out)):
                    out[j] = formula(u[j], b, t[j])
            elif whole_x and not whole_y and not whole_w:
                a, b = v[0], t[0]
                for j in range(len(out)):
                    out[j] = formula(u[j], a, b)
            else:
                for j in range(len(out)):
                    out[j] = formula(u[j if whole_x else 0], v[j if whole_y else 0], t[j if whole_w else 0])


def _loop4(x, dx, whole_x, y, dy, whole_y, w, dw, whole_w, q, dq, whole_q, z):
    n, c = z.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, n)):
            out = z[i, left:left + wide]
            u, v = _part(x, i * dx, whole_x, left, len(out)), _part(y, i * dy, whole_y, left, len(out))
            t, s = _part(w, i * dw, whole_w, left, len(out)), _part(q, i * dq, whole_q, left, len(out))
            if whole_x and whole_y and not whole_w and not whole_q:
                a, b = t[0], s[0]
                for j in range(len(out)):
                    out[j] = formula(u[j], v[j], a, b)
            else:
                for j in range(len(out)):
                    out[j] = formula(u[j if whole_x else 0], v[j if whole_y else 0], t[j if whole_w else 0],
                                     s[j if whole_q else 0])


@njit(forceinline=True)
def _part(x, start, whole, left, size):
    """This part of the row that begins at ``start``; if rows are not whole, the one number it has."""
    return x[start + left:start + left + size] if whole else x[start:start + 1]


@njit(forceinline=True)
def _piece(n, c):
    """How many rows and columns a piece has, and how many pieces stand side by side."""
    if n >= CHUNKS:
        return (n + CHUNKS - 1) // CHUNKS, c, 1
    wide = (c * n // CHUNKS + WIDTH) // WIDTH * WIDTH
    return 1, wide, (c + wide - 1) // wide


@parallel
def _sums_along(x, y):
    n = len(y)
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, total = x[i], 0.0
            for j in range(len(row)):
                total += np.float64(row[j])
            y[i] = total


@parallel
def _sums_of_pieces(x, parts):
    n, c = x.shape
    wide = (c // CHUNKS + WIDTH) // WIDTH * WIDTH
    for piece in prange(n * CHUNKS):
        i, k = np.int64(piece) // CHUNKS, np.int64(piece) % CHUNKS
        row, total = x[i, k * wide:(k + 1) * wide], 0.0
        for j in range(len(row)):
            total += np.float64(row[j])
        parts[i, k] = total


@parallel
def _sums_down(x, parts):
    n, rows, c = x.shape
    tall = (rows + CHUNKS - 1) // CHUNKS
    for piece in prange(n * CHUNKS):
        i, k = np.int64(piece) // CHUNKS, np.int64(piece) % CHUNKS
        totals = parts[i, k]
        for r in range(k * tall, min((k + 1) * tall, rows)):
            row = x[i, r]
            for j in range(c):
                totals[j] += np.float64(row[j])


# ---------------------------------------------------------------------------------------------------------------------
# the formulas

FORMULAS = {
    "copy": lambda x: x,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x: -x,
    "square": lambda x: x * x,
    "square_slope": lambda dy, x: (dy + dy) * x,
    "cube": lambda x: x * x * x,
    "abs": lambda x: abs(x),
    "abs_slope": lambda dy, x: dy if x > 0 else -dy if x < 0 else dy * 0,
    "sqrt": lambda x: np.sqrt(x),
    "sqrt_slope": lambda dy, y: dy / (y + y),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rsqrt_slope": lambda dy, y: -0.5 * dy * y * y * y,
    "cube_slope": lambda dy, x: 3 * dy * x * x,
    "maximum": lambda x, y: x if x > y or x != x else y,
    "minimum": lambda x, y: x if x < y or x != x else y,
    "maximum_slope": lambda dy, x, y: 0.0 if x < y else 0.5 * dy if x == y else dy,
    "clamp": lambda x, low, high: min(low if x < low else x, high) if x == x else x,
    "where": lambda condition, x, y: x if condition else y,
    "clamp_slope": lambda dy, x, low, high: dy if low <= x <= high else 0.0,
    "hardtanh_slope": lambda dy, x, low, high: 0.0 if x <= low or x >= high else dy,
    "relu": lambda x: 0.0 if x <= 0 else x,
    "relu_slope": lambda dy, y: 0.0 if y <= 0 else dy,
    "leaky_relu": lambda x, slope: x if x > 0 else x * slope,
    "leaky_relu_slope": lambda dy, x, slope: dy if x > 0 else dy * slope,
    "sigmoid_slope": lambda dy, y: dy * y * (1 - y),
    "tanh_slope": lambda dy, y: dy * (1 - y * y),
}

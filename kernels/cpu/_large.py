"""Large arrays, element by element: what NumPy does on one thread, shared by all. Their sums are in ``_sums``.

A file of its own, imported when the first large array comes: small arithmetic must not wait for the compiler. The table
at the end is what there is; each formula becomes a loop of its own, compiled when first needed.
"""

from functools import cache, lru_cache

import numpy as np
from numba import njit

from ._exp import log
from ._jit import CHUNKS, chunk, formula, pieces, with_formulas
from ._memory import empty

__all__ = ["add", "copy", "cut", "each", "wide"]

WIDTH = 16      # numbers: pieces of a row begin where a cache line does


def each(name, first, *others):
    """The formula of this name, of arrays and numbers that broadcast; None where that is NumPy's: see ``_plan``."""
    if type(first) is not np.ndarray or not first.flags.carray or len(others) > 2:
        return _each_in_tables(name, (first, *others))
    shape, dtype = first.shape, first.dtype
    for x in others:
        if type(x) is not np.ndarray or x.shape != shape or x.dtype != dtype or not x.flags.carray:
            return _each_in_tables(name, (first, *others))
    y = empty(shape, dtype)
    _loop(name, True)(*_strips(y.size), first.ravel(), *map(np.ndarray.ravel, others), y.ravel())
    return y


def _each_in_tables(name, operands):
    tables = _tables(operands)
    if tables is None:
        return None
    shape, dtype, rows, columns, *tables = tables
    y = empty(shape, dtype)
    size, n = cut(rows, columns)
    _loop(name, False)(n, size, *tables, y.reshape(rows, columns))
    return y


def add(x, y):
    """x + y, of one shape and dtype, in C order. Residuals and gradients: for a small array, ``each`` asks for too long."""
    z = empty(x.shape, x.dtype)
    _loop("add", True)(*_strips(z.size), x.ravel(), y.ravel(), z.ravel())
    return z


def copy(x):
    """x, which is in C order, in memory of its own. Every leaf's gradient comes by here."""
    y = empty(x.shape, x.dtype)
    _loop("copy", True)(*_strips(y.size), x.ravel(), y.ravel())
    return y


def _tables(operands):
    """The result's shape and dtype, rows and columns; and of every operand: numbers, step from row to row, whole rows?"""
    dtype = None
    for x in operands:
        if type(x) is np.ndarray and x.ndim and x.dtype.kind == "f":
            dtype = x.dtype
            break
    keys, arrays = [], []
    for x in operands:
        if dtype is not None and (type(x) in (int, float, bool) or isinstance(x, np.floating) and x.dtype == dtype):
            x = np.asarray(x, dtype)
        if dtype is None or type(x) is not np.ndarray or x.dtype != dtype and x.dtype != np.bool_:
            return None
        keys.append((x.shape, x.strides, x.itemsize))
        if 0 in x.strides:      # repeated already, as the gradient of a sum is: what is repeated, once
            x = x[tuple([slice(0, 1) if not step else slice(None) for step in x.strides])]
            if not x.flags.c_contiguous:
                return None
        arrays.append(x if x.flags.behaved else np.require(x, None, ["A", "W"]))
        if arrays[-1] is not x and not x.flags.c_contiguous:
            return None     # copied, it has other strides
    plan = _plan(*keys)
    if plan is None:
        return None
    tables = [plan[0], dtype, plan[1], plan[2]]
    for x, (step, span, whole) in zip(arrays, plan[3]):
        flat = x.ravel() if x.flags.c_contiguous else np.lib.stride_tricks.as_strided(x, (span,), (x.itemsize,))
        tables += flat, step, whole
    return tables


@lru_cache(maxsize=256)
def _plan(*operands):
    """How operands of these shapes, strides and item sizes are tables: rows, columns, (step, numbers spanned, whole rows?).

    Equal shapes, a number, a row for all rows (step 0), a column for all columns, a part of each row of something wider.
    None for whatever does not fit into such tables.
    """
    shape = np.broadcast_shapes(*[sizes for sizes, _, _ in operands])
    # neighbouring axes are one if every operand is repeated along both or neither, and steps from one row right to the next
    groups = []
    for axis, size in enumerate(shape):
        steps = []
        for sizes, strides, _ in operands:
            own = axis - len(shape) + len(sizes)
            steps.append(strides[own] if own >= 0 and sizes[own] == size else 0)
        if size != 1 and groups and all(before == step * size for before, step in zip(groups[-1][1], steps)):
            groups[-1] = [groups[-1][0] * size, steps]
        elif size != 1:
            groups.append([size, steps])
    itemsizes = [itemsize for _, _, itemsize in operands]
    if not groups or any(step not in (0, itemsize) for step, itemsize in zip(groups[-1][1], itemsizes)):
        groups.append([1, [0] * len(operands)])      # one column
    if len(groups) > 2:
        return None
    (rows, down), (columns, along) = ([1, [0] * len(operands)], *groups)[-2:]
    if any(step < 0 or step % itemsize for step, itemsize in zip(down, itemsizes)):
        return None
    steps = [(step // itemsize, (rows - 1) * (step // itemsize) + (columns if within else 1), within > 0 or columns == 1)
             for step, within, itemsize in zip(down, along, itemsizes)]
    return shape, rows, columns, steps


def cut(n, c):
    """A table's pieces: how many rows and columns one has, how many stand side by side; and how many there are."""
    if n >= CHUNKS:
        tall = chunk(n)
        return (tall, c, 1), pieces(n, tall)
    columns = max(1, min(c, wide(c * n)))
    across = pieces(c, columns)
    return (1, columns, max(1, across)), n * across


def wide(size):
    """How many numbers a piece of so many has; it begins where a cache line does."""
    return -(-size // (CHUNKS * WIDTH)) * WIDTH


@lru_cache(maxsize=256)
def _strips(size):
    """Into how many pieces so many numbers are cut, and how many one has."""
    return pieces(size, wide(size)), wide(size)


@cache
def _loop(name, equal):
    """The loop over this formula, for operands in C order and of one shape, or for tables."""
    loops = (_flat1, _flat2, _flat3) if equal else (_loop1, _loop2, _loop3, _loop4)
    return _named(loops[FORMULAS[name].__code__.co_argcount - 1], name)


# ---------------------------------------------------------------------------------------------------------------------
# the loops. Pieces are groups of rows; of few rows, parts of them

def _flat1(piece, size, x, z):
    part = slice(piece * size, (piece + 1) * size)
    u, out = x[part], z[part]
    for i in range(len(out)):
        out[i] = formula(u[i])


def _flat2(piece, size, x, y, z):
    part = slice(piece * size, (piece + 1) * size)
    u, v, out = x[part], y[part], z[part]
    for i in range(len(out)):
        out[i] = formula(u[i], v[i])


def _flat3(piece, size, x, y, w, z):
    part = slice(piece * size, (piece + 1) * size)
    u, v, t, out = x[part], y[part], w[part], z[part]
    for i in range(len(out)):
        out[i] = formula(u[i], v[i], t[i])


def _loop1(piece, size, x, dx, whole, z):
    n, c = z.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, n)):
        out = z[i, left:left + wide]
        u = _part(x, i * dx, whole, left, len(out))
        if whole:
            for j in range(len(out)):
                out[j] = formula(u[j])
        else:
            out[:] = formula(u[0])


def _loop2(piece, size, x, dx, whole_x, y, dy, whole_y, z):
    n, c = z.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
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


def _loop3(piece, size, x, dx, whole_x, y, dy, whole_y, w, dw, whole_w, z):
    n, c = z.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
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


def _loop4(piece, size, x, dx, whole_x, y, dy, whole_y, w, dw, whole_w, q, dq, whole_q, z):
    n, c = z.shape
    tall, wide, across = size
    first, left = piece // across * tall, piece % across * wide
    for i in range(first, min(first + tall, n)):
        out = z[i, left:left + wide]
        u, v = _part(x, i * dx, whole_x, left, len(out)), _part(y, i * dy, whole_y, left, len(out))
        t, s = _part(w, i * dw, whole_w, left, len(out)), _part(q, i * dq, whole_q, left, len(out))
        if whole_x and whole_y and not whole_w and not whole_q:
            a, b = t[0], s[0]
            for j in range(len(out)):
                out[j] = formula(u[j], v[j], a, b)
        elif whole_x and whole_y and whole_w and not whole_q:
            b = s[0]
            for j in range(len(out)):
                out[j] = formula(u[j], v[j], t[j], b)
        else:
            for j in range(len(out)):
                out[j] = formula(u[j if whole_x else 0], v[j if whole_y else 0], t[j if whole_w else 0],
                                 s[j if whole_q else 0])


@njit(forceinline=True)
def _part(x, start, whole, left, size):
    """This part of the row that begins at ``start``; if rows are not whole, the one number it has."""
    return x[start + left:start + left + size] if whole else x[start:start + 1]


# ---------------------------------------------------------------------------------------------------------------------
# the formulas

@njit(forceinline=True)
def _near(d, edge):
    return min(-edge if d < -edge else d, edge) if d == d else d


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
    "log": lambda x: log(x),
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
    "huber": lambda x, y, edge, half: _near(x - y, edge) * (x - y - half * _near(x - y, edge)),
    "huber_slope": lambda x, y, dy, edge: dy * _near(x - y, edge),
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

_named, __getattr__ = with_formulas(globals(), FORMULAS)

"""Large arrays, element by element, and their sums: what NumPy does on one thread, shared by all.

A file of its own, imported when the first large array comes: small arithmetic must not wait for the compiler. The table
at the end is what there is; each formula becomes a loop of its own, compiled when first needed.
"""

from functools import cache, lru_cache
from types import FunctionType

import numpy as np
from numba import njit

from ._exp import exp_below, largest, log
from ._jit import CHUNKS, block, minus, parallel, prange, ready
from ._memory import empty

__all__ = ["add", "centred", "copy", "each", "equal_shares", "log_sums", "log_sums_backward", "row_sums", "running_sums"]

WIDTH = 16      # numbers: pieces of a row begin where a cache line does
FEW = 128       # rows to sum that are not cut into pieces: each would have a line of sums of its own


def each(name, first, *others):
    """The formula of this name, of arrays and numbers that broadcast; None where that is NumPy's: see ``_plan``."""
    if type(first) is not np.ndarray or not first.flags.carray or len(others) > 2:
        return _each_in_tables(name, (first, *others))
    shape, dtype = first.shape, first.dtype
    for x in others:
        if type(x) is not np.ndarray or x.shape != shape or x.dtype != dtype or not x.flags.carray:
            return _each_in_tables(name, (first, *others))
    y = empty(shape, dtype)
    _loop(name, True)(first.ravel(), *map(np.ndarray.ravel, others), y.ravel())
    return y


def _each_in_tables(name, operands):
    tables = _tables(operands)
    if tables is None:
        return None
    shape, dtype, rows, columns, *tables = tables
    y = empty(shape, dtype)
    _loop(name, False)(*tables, y.reshape(rows, columns))
    return y


def add(x, y):
    """x + y, of one shape and dtype, in C order. Residuals and gradients: for a small array, ``each`` asks for too long."""
    z = empty(x.shape, x.dtype)
    _loop("add", True)(x.ravel(), y.ravel(), z.ravel())
    return z


def copy(x):
    """x, which is in C order, in memory of its own. Every leaf's gradient comes by here."""
    y = empty(x.shape, x.dtype)
    _loop("copy", True)(x.ravel(), y.ravel())
    return y


def row_sums(name, x, dtype, mean=None):
    """x (a, rows, b) in C order → (a, b), its formula of this name ("copy": x itself) summed over the rows, in float64.

    Of few groups of many rows first pieces, then the pieces. mean (a, b) in float64: what the formula measures from.
    """
    a, rows, b = x.shape
    if mean is None:
        mean = np.zeros((1, b))
    if b == 1 and a >= CHUNKS:
        y = np.empty(a)
        _named(_sums_along, name)(x.reshape(a, rows), mean.ravel(), y)
        return y.reshape(a, 1)
    if b > 1 and (a >= CHUNKS or rows < FEW):
        y = empty((a, b), dtype)
        _named(_sums_across, name)(x, mean, y)
        return y
    parts = np.zeros((a, CHUNKS, b))
    if b == 1:
        _named(_sums_of_pieces, name)(x.reshape(a, rows), mean.ravel(), parts.reshape(a, CHUNKS))
    else:
        _named(_sums_down, name)(x, mean, parts)
    return parts.sum(1)


def centred(x, mean, factor):
    """x (a, rows, b) in C order → (x − mean) · factor; mean and factor (a, b), in float64."""
    y = empty(x.shape, x.dtype)
    if x.shape[2] == 1:
        _centred_along(x[..., 0], mean.ravel(), factor.ravel(), y[..., 0])
    else:
        _centred_across(x, mean, factor, y)
    return y


def running_sums(x, from_end):
    """x (rows, n) in C order → y (rows, n): of each number the sum up to and with it, or from it to the end."""
    y = empty(x.shape, x.dtype)
    _running_sums(x, from_end, y)
    return y


def log_sums(x):
    """x (rows, n) → y (rows,), the logarithm of each row's sum of exponentials."""
    y = np.empty(len(x), x.dtype)
    _log_sums(x, block(*x.shape), y)
    return y


def log_sums_backward(dy, x, y):
    """dy, a number for each row of x (rows, n) → dx (rows, n)."""
    dx = empty(x.shape, x.dtype)
    _log_sums_backward(ready(dy).reshape(-1), x, ready(y).reshape(-1), block(*x.shape), dx)
    return dx


def equal_shares(dy, x, y):
    """dy, a number for each row of x (rows, n) → dx (rows, n): elements that equal their row's y share its dy evenly."""
    dx = empty(x.shape, x.dtype)
    _equal_shares(ready(dy).reshape(-1), x, ready(y).reshape(-1), dx)
    return dx


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


@cache
def _loop(name, equal):
    """The loop over this formula, for operands in C order and of one shape, or for tables."""
    loops = (_flat1, _flat2, _flat3) if equal else (_loop1, _loop2, _loop3, _loop4)
    return _named(loops[FORMULAS[name].__code__.co_argcount - 1], name)


def __getattr__(name):
    """A loop with a formula, by its name: for processes that compile it."""
    loop, _, formula = name.rpartition("_of_")
    if formula not in FORMULAS and formula not in SUMMED:
        raise AttributeError(f"no loop is named {name!r}")
    return _named(globals()[loop], formula)


@cache
def _named(loop, name):
    """A loop with the formula of this name. A name of its own, because Numba keeps compiled loops by their name."""
    table = SUMMED if loop.__name__.startswith("_sums") else FORMULAS
    compiled = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)(table[name])
    named = FunctionType(loop.__code__, {**globals(), "formula": compiled}, f"{loop.__name__}_of_{name}")
    named.__qualname__ = named.__name__
    return parallel(named)


# ---------------------------------------------------------------------------------------------------------------------
# the loops. Pieces are groups of rows; of few rows, parts of them

def formula(*numbers):
    raise NotImplementedError("each loop gets its own")


def _flat1(x, z):
    size = _wide(x.size)
    for piece in prange((x.size + size - 1) // size):
        part = slice(np.int64(piece) * size, np.int64(piece) * size + size)
        u, out = x[part], z[part]
        for i in range(len(out)):
            out[i] = formula(u[i])


def _flat2(x, y, z):
    size = _wide(x.size)
    for piece in prange((x.size + size - 1) // size):
        part = slice(np.int64(piece) * size, np.int64(piece) * size + size)
        u, v, out = x[part], y[part], z[part]
        for i in range(len(out)):
            out[i] = formula(u[i], v[i])


def _flat3(x, y, w, z):
    size = _wide(x.size)
    for piece in prange((x.size + size - 1) // size):
        part = slice(np.int64(piece) * size, np.int64(piece) * size + size)
        u, v, t, out = x[part], y[part], w[part], z[part]
        for i in range(len(out)):
            out[i] = formula(u[i], v[i], t[i])


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
    wide = min(c, _wide(c * n))
    return 1, wide, (c + wide - 1) // wide


@njit(forceinline=True)
def _wide(size):
    """How many numbers a piece of so many has; it begins where a cache line does."""
    return (size + CHUNKS * WIDTH - 1) // (CHUNKS * WIDTH) * WIDTH


def _sums_along(x, mean, y):
    n = len(y)
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, m, total = x[i], mean[i if len(mean) > 1 else 0], 0.0
            for j in range(len(row)):
                total += formula(np.float64(row[j]), m)
            y[i] = total


def _sums_of_pieces(x, mean, parts):
    n, c = x.shape
    wide = _wide(c)
    for piece in prange(n * CHUNKS):
        i, k = np.int64(piece) // CHUNKS, np.int64(piece) % CHUNKS
        row, m, total = x[i, k * wide:(k + 1) * wide], mean[i if len(mean) > 1 else 0], 0.0
        for j in range(len(row)):
            total += formula(np.float64(row[j]), m)
        parts[i, k] = total


def _sums_across(x, mean, y):
    n, rows, c = x.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        totals = np.empty(min(wide, c - left))
        for i in range(first, min(first + tall, n)):
            totals[:] = 0
            m = mean[i if len(mean) > 1 else 0, left:left + len(totals)]
            for r in range(rows):
                row = x[i, r, left:left + len(totals)]
                for j in range(len(totals)):
                    totals[j] += formula(np.float64(row[j]), m[j])
            y[i, left:left + len(totals)] = totals


def _sums_down(x, mean, parts):
    n, rows, c = x.shape
    tall = (rows + CHUNKS - 1) // CHUNKS
    for piece in prange(n * CHUNKS):
        i, k = np.int64(piece) // CHUNKS, np.int64(piece) % CHUNKS
        totals, m = parts[i, k], mean[i if len(mean) > 1 else 0]
        for r in range(k * tall, min((k + 1) * tall, rows)):
            row = x[i, r]
            for j in range(c):
                totals[j] += formula(np.float64(row[j]), m[j])


@parallel
def _centred_along(x, mean, factor, y):
    n, c = x.shape
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for i in range(first, min(first + tall, n)):
            row, out, m, f = x[i, left:left + wide], y[i, left:left + wide], mean[i], factor[i]
            for j in range(len(row)):
                out[j] = (np.float64(row[j]) - m) * f


@parallel
def _centred_across(x, mean, factor, y):
    groups, rows, c = x.shape
    n = groups * rows
    tall, wide, across = _piece(n, c)
    for piece in prange((n + tall - 1) // tall * across):
        first, left = np.int64(piece) // across * tall, np.int64(piece) % across * wide
        for r in range(first, min(first + tall, n)):
            group = r // rows
            row, out = x[group, r % rows, left:left + wide], y[group, r % rows, left:left + wide]
            m, f = mean[group, left:left + wide], factor[group, left:left + wide]
            for j in range(len(row)):
                out[j] = (np.float64(row[j]) - m[j]) * f[j]


@parallel
def _running_sums(x, from_end, y):
    n, c = x.shape
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, out, total = x[i], y[i], 0.0
            for k in range(c):
                j = c - 1 - k if from_end else k
                total += np.float64(row[j])
                out[j] = total


@parallel
def _log_sums(x, size, y):
    n, c = x.shape
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        exps = np.empty(c, x.dtype)
        for i in range(first, min(first + size, n)):
            row, top, total = x[i], largest(x[i]), 0.0
            if top == np.inf:       # so is the sum, or NaN
                for j in range(c):
                    total += abs(row[j])
                y[i] = total
                continue
            if top == -np.inf:
                top = x.dtype.type(0)
            for j in range(c):
                exps[j] = exp_below(row[j] - top)
            for j in range(c):
                total += np.float64(exps[j])
            y[i] = np.log(total) + top


@parallel
def _log_sums_backward(dy, x, y, size, dx):
    n = len(x)
    for piece in prange((n + size - 1) // size):
        first = np.int64(piece) * size
        for i in range(first, min(first + size, n)):
            row, out, share, top = x[i], dx[i], dy[i], y[i]
            for j in range(len(row)):
                out[j] = exp_below(row[j] - top) * share


@parallel
def _equal_shares(dy, x, y, dx):
    n, c = x.shape
    tall = (n + CHUNKS - 1) // CHUNKS
    for piece in prange((n + tall - 1) // tall):
        first = np.int64(piece) * tall
        for i in range(first, min(first + tall, n)):
            row, out, wanted, equals = x[i], dx[i], y[i], 0
            nan = wanted != wanted
            for j in range(c):
                equals += row[j] != row[j] if nan else row[j] == wanted
            share = x.dtype.type(dy[i] / x.dtype.type(equals))
            for j in range(c):
                out[j] = share if (row[j] != row[j] if nan else row[j] == wanted) else x.dtype.type(0)


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

# of a number and the mean of its group
SUMMED = {
    "copy": lambda x, mean: x,
    "square": lambda x, mean: x * x,
    "square_from_mean": lambda x, mean: minus(x, mean) * minus(x, mean),
}

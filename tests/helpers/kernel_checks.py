"""The checks that every kernel goes through.

A family describes itself with two small functions that take the backend's module first:

    def forward(k, x, gamma, beta):              # → the output, then whatever backward needs
        return k.layernorm_forward(x, gamma, beta, 1e-5)

    def backward(k, dy, outs, x, gamma, beta):   # → one gradient (or None) per input; outs is what forward returned
        return k.layernorm_backward(dy, x, gamma, *outs[1:])

and every function in `CHECKS` can be run on them: ``check(forward, backward, [x, gamma, beta])``. Float arrays in the
list are differentiated; integer and bool arrays, None and scalars only travel along. Cotangents are random, never ones.
"""

from contextlib import contextmanager

import numpy as np

from minitorch.kernels import cpu, reference

__all__ = ["CHECKS", "agree", "check_same", "complex_step", "filled", "frozen", "layouts", "layouts_of", "normal",
           "poisoned"]

H = 1e-30  # the complex step: so small that h² is nothing beside 1, so there is no truncation error


def normal(*shape, seed=0, dtype="float64", scale=1.0):
    """Random numbers that two calls with the same shape and seed agree on."""
    return np.asarray(np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(dtype)


# ---- 1. the reference's backward is the derivative of its forward -------------------------------------------------

def complex_step(forward, backward, inputs, tolerance=1e-12, k=reference):
    """⟨backward(v), u⟩ = Im⟨v, forward(x + i·h·u)⟩ / h for random v and u; element by element where there are few."""
    outs = _tuple(forward(k, *inputs))
    v = normal(*outs[0].shape, seed=11)
    gradients = backward(k, v, outs, *inputs)
    assert isinstance(gradients, tuple) and len(gradients) == len(inputs)
    for i, (x, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        if not _is_float(x):
            assert gradient is None, f"input {i} has no derivative"
            continue
        assert gradient.shape == x.shape, f"gradient {i}: {gradient.shape} for an input of {x.shape}"
        assert gradient.dtype == x.dtype
        directions = [normal(*x.shape, seed=13 + i), normal(*x.shape, seed=29 + i)]
        if 0 < x.size <= 24:
            directions += list(np.eye(x.size).reshape(x.size, *x.shape))
        for u in directions:
            moved = [np.asarray(x + 1j * H * u) if j == i else other for j, other in enumerate(inputs)]
            moves = v * _tuple(forward(k, *moved))[0].imag / H
            slopes = gradient * u
            scale = np.abs(moves).sum() + np.abs(slopes).sum() + np.abs(gradient).max(initial=0)
            error = abs(slopes.sum() - moves.sum())
            assert error <= tolerance * (scale + 0.01), f"gradient {i} is off by {error / scale:.1e}"


# ---- 2. the compiled kernel computes what the reference computes --------------------------------------------------

def agree(forward, backward, inputs, tolerance=1e-12, k=cpu):
    """Forward and backward equal the reference's; so do gradients through the kernel's own saved values."""
    want, got = _tuple(forward(reference, *inputs)), _tuple(forward(k, *inputs))
    check_same(got, want, tolerance)
    dy = normal(*want[0].shape, seed=11).astype(want[0].dtype)
    check_same(backward(k, dy, got, *inputs), backward(reference, dy, want, *inputs), tolerance)


def check_same(got, want, tolerance=1e-12, where="result"):
    """Same structure, shapes, dtypes, NaN and inf; values within tolerance · max|want|."""
    if isinstance(want, tuple):
        assert isinstance(got, tuple) and len(got) == len(want), where
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            check_same(a, b, tolerance, f"{where}[{i}]")
    elif want is None:
        assert got is None, where
    else:
        assert isinstance(got, np.ndarray), f"{where} is a {type(got).__name__}"
        assert (got.shape, got.dtype) == (want.shape, want.dtype), f"{where}: {got.shape} {got.dtype}"
        if want.dtype.kind != "f":
            return np.testing.assert_array_equal(got, want, where)
        fine = np.isfinite(want)
        np.testing.assert_array_equal(got[~fine], want[~fine], where)
        error = np.abs(got[fine] - want[fine]).max(initial=0)
        assert error <= tolerance * np.abs(want[fine]).max(initial=0) + tolerance / 100, f"{where}: off by {error:.1e}"


# ---- 3. any memory layout, and nothing written to -----------------------------------------------------------------

def layouts_of(x):
    """(name, array) pairs: the values of x, laid out in memory in many ways. `broadcast` repeats the first entry."""
    yield "C", np.array(x, order="C")
    yield "F", np.array(x, order="F")
    if x.ndim:
        wide = np.repeat(x, 2, axis=-1)
        yield "step 2", wide[..., ::2]
        yield "reversed", np.ascontiguousarray(x[::-1, ...])[::-1, ...]
        yield "reversed last", np.ascontiguousarray(x[..., ::-1])[..., ::-1]
        yield "transposed", np.ascontiguousarray(x.T).T
        if x.shape[0]:
            yield "broadcast", np.broadcast_to(x[:1], x.shape)
    aside = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype) if x.size else np.zeros(0, x.dtype)
    aside[:] = x.ravel()
    yield "unaligned", aside.reshape(x.shape)
    padded = np.zeros(tuple(n + 3 for n in x.shape), x.dtype)
    inner = padded[(..., *(slice(2, 2 + n) for n in x.shape))]
    inner[...] = x
    yield "offset", inner


@contextmanager
def frozen(*arrays):
    """Inputs are read-only inside, and the same bytes afterwards."""
    arrays = [x for x in arrays if isinstance(x, np.ndarray)]
    before = [(x.tobytes(), x.flags.writeable) for x in arrays]
    for x in arrays:
        x.flags.writeable = False
    yield
    for x, (data, writeable) in zip(arrays, before, strict=True):
        assert x.tobytes() == data, "an input was written to"
        if writeable:
            x.flags.writeable = True


def layouts(forward, backward, inputs, tolerance=1e-12, k=cpu):
    """Every input and dy in every layout, one at a time, read-only: the same result as for contiguous copies."""
    for i, x in enumerate(inputs):
        if isinstance(x, np.ndarray):
            for _name, variant in layouts_of(x):
                _strided(forward, backward, inputs, i, variant, tolerance, k)
    dy = normal(*_tuple(forward(k, *inputs))[0].shape, seed=11)
    for _name, variant in layouts_of(dy):
        outs = _tuple(forward(k, *inputs))
        with frozen(variant, *inputs, *outs):
            got = backward(k, variant, outs, *inputs)
        check_same(got, backward(k, variant.copy(), outs, *inputs), tolerance, f"dy {_name}")


def _strided(forward, backward, inputs, i, variant, tolerance, k):
    strided, plain = list(inputs), list(inputs)
    strided[i], plain[i] = variant, variant.copy()
    with frozen(*strided):
        got = _tuple(forward(k, *strided))
        check_same(got, _tuple(forward(k, *plain)), tolerance)
        dy = normal(*got[0].shape, seed=11).astype(got[0].dtype)
        with frozen(dy, *got):
            gradients = backward(k, dy, got, *strided)
        check_same(gradients, backward(k, dy, got, *plain), tolerance)


# ---- 4. every element of an output is written ---------------------------------------------------------------------

@contextmanager
def poisoned():
    """np.empty and np.empty_like give NaN, so that an element which a kernel forgets shows."""
    empty, empty_like = np.empty, np.empty_like

    def poison(x):
        x.fill({"f": np.nan, "c": np.nan, "b": True}.get(x.dtype.kind, 77))
        return x

    np.empty = lambda *args, **kwargs: poison(empty(*args, **kwargs))
    np.empty_like = lambda *args, **kwargs: poison(empty_like(*args, **kwargs))
    try:
        yield
    finally:
        np.empty, np.empty_like = empty, empty_like


def filled(forward, backward, inputs, tolerance=1e-12, k=cpu):
    """With poisoned memory the kernel computes the same bits."""
    want = _tuple(forward(k, *inputs))  # compiles, too: Numba may use np.empty
    dy = normal(*want[0].shape, seed=11).astype(want[0].dtype)
    want_gradients = backward(k, dy, want, *inputs)
    with poisoned():
        got = _tuple(forward(k, *inputs))
        gradients = backward(k, dy, want, *inputs)
    check_same(got, want, 0)
    check_same(gradients, want_gradients, 0)


CHECKS = [complex_step, agree, layouts, filled]


def _tuple(result):
    return result if isinstance(result, tuple) else (result,)


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"

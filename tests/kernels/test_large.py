"""Loops for large arrays: the same numbers as NumPy's, whatever is repeated, cut or turned, on however many threads."""

from itertools import combinations, permutations

import numba
import numpy as np
import pytest

from minitorch import kernels
from minitorch.kernels import cpu, reference
from minitorch.kernels.cpu import _large, _shared, _sums

from kernel_checks import check_same, normal

HARD = [0.0, -0.0, 1.5, -2.5, 30.0, -30.0, 1e3, -1e3, np.inf, -np.inf, np.nan]
FROM_X = {"neg": None, "square": "x", "abs": "x", "relu": "y", "sqrt": "y", "rsqrt": "y", "log": "x", "exp": "y",
          "sigmoid": "y", "tanh": "y"}          # and what their backward needs
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
SHAPES = [(1000,), (3, 400), (70, 33), (7, 1, 111), (4, 5, 6, 7)]


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    for name, size in {"LARGE": 1, "MIDDLE": 1, "TURNED": 2, "ROWS": 2}.items():
        monkeypatch.setattr(_shared, name, size)


def same(name, *operands, tolerance=None):
    dtypes = [x.dtype for x in operands if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    with kernels.quiet():
        got, want = (getattr(k, name)(*operands) for k in (cpu, reference))
    want = np.asarray(want) if isinstance(want, np.generic) else want
    check_same(got, want, tolerance or (1e-6 if np.dtype("float32") in dtypes else 1e-14), name)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


def hard(shape, dtype):
    x = normal(*shape, seed=3, dtype=dtype)
    x.ravel()[:len(HARD)] = HARD
    return x


def forms(shape, dtype):
    """Arrays that broadcast with this shape: equal, a row, a column, both, a number; cut, turned, repeated, read-only."""
    n = lambda *sizes: normal(*sizes, seed=7, dtype=dtype)
    wide = n(*shape[:-1], 2 * shape[-1] + 1)
    locked = n(*shape)
    locked.flags.writeable = False
    return [n(*shape), n(shape[-1]), n(*shape[:-1], 1), n(*[1] * len(shape)), n(), n(*shape[:1], *[1] * (len(shape) - 1)),
            n(*[size if i % 2 else 1 for i, size in enumerate(shape)]), n(3, *shape), wide[..., :shape[-1]],
            wide[..., 1::2], wide[..., -shape[-1]:], n(*shape[::-1]).T, n(*shape)[::-1], n(*shape)[..., ::-1],
            np.broadcast_to(n(shape[-1]), shape), np.broadcast_to(n(*shape[:-1], 1), shape), np.broadcast_to(n(), shape),
            locked]


def test_one_operand(shape, dtype):
    x, dy = hard(shape, dtype), normal(*shape, seed=5, dtype=dtype)
    for name, saved in FROM_X.items():
        if name in _large.FORMULAS:
            same(name + "_forward", x)
        at = abs(x[np.isfinite(x)]) + 0.1
        if saved != "x":
            same(name + "_backward", dy.ravel()[:at.size], *[at][:saved is not None])
        else:
            same(name + "_backward", dy, x)
    same("relu_backward", dy, x)
    for slope in 0.01, 0.0, 2.0:
        same("leaky_relu_forward", x, slope)
        same("leaky_relu_backward", dy, x, slope)
    for low, high in (-0.5, 0.5), (None, 0.5), (-0.5, None), (1, 0):
        same("clamp_forward", x, low, high)
        same("clamp_backward", dy, x, low, high, (True, False, False))
    same("hardtanh_forward", x, -1.0, 1.0)
    same("hardtanh_backward", dy, x, -1.0, 1.0)
    for y in 2, 3, 3.0, 2.5, -1, 0:
        same("pow_forward", x, y)
        same("pow_backward", dy, abs(normal(*shape, dtype=dtype)) + 0.1, y, (True, False))


def test_two_operands(shape, dtype):
    x = hard(shape, dtype)
    for name in BINARY:
        for other in [*forms(shape, dtype), 2, -2.5, True, 0]:
            same(name + "_forward", x, other)
            same(name + "_forward", other, x)


def test_gradients_of_two_operands(shape, dtype):
    x = normal(*shape, dtype=dtype)
    for name in BINARY:
        for other in forms(shape, dtype):
            if name == "div":
                other = np.where(other < 0, other - 1, other + 1)
            dy = normal(*np.broadcast_shapes(shape, other.shape), seed=5, dtype=dtype)
            saved = (x.shape, other.shape) if name in ("add", "sub") else (x, other)
            same(name + "_backward", dy, *saved, tolerance=1e-5 if dtype == "float32" else 1e-12)
            same(name + "_backward", dy, *saved[::-1], (False, True), tolerance=1e-5 if dtype == "float32" else 1e-12)
    tied = np.where(np.arange(x.size).reshape(shape) % 3, x, 2 * x)
    same("maximum_backward", dy.reshape(-1)[:x.size].reshape(shape), x, tied)
    same("minimum_backward", dy.reshape(-1)[:x.size].reshape(shape), x, tied)


def test_huber(shape, dtype):
    x, tolerance = hard(shape, dtype), 1e-5 if dtype == "float32" else 1e-12
    for other in forms(shape, dtype):
        dy = normal(*np.broadcast_shapes(shape, other.shape), seed=5, dtype=dtype)
        same("huber_forward", x, other, 0.7)
        same("huber_backward", dy, x, other, 0.7, tolerance=tolerance)
        same("huber_backward", np.broadcast_to(dy[..., :1], dy.shape), x, other, 0.7, (True, False), tolerance=tolerance)


def test_where_and_masked_fill(shape, dtype):
    x, y = hard(shape, dtype), normal(*shape, seed=5, dtype=dtype)
    every = np.random.default_rng(0).random(shape) < 0.4
    for mask in every, every[..., :1].copy(), every[:1].copy(), every[..., ::-1], np.asarray(True):
        for pair in (x, y), (x, 0.0), (-np.inf, x), (x, y[..., :1].copy()), (y[-1:], x), (x[..., ::-1], y):
            same("where_forward", mask, *pair)
        if mask.ndim:
            for first, second in (shape, shape), (shape[-1:], shape), (shape[:-1] + (1,), ()):
                same("where_backward", y, mask, first, second, tolerance=1e-5 if dtype == "float32" else 1e-12)
        same("masked_fill_forward", x, mask, -np.inf)
        same("masked_fill_forward", x, mask, np.asarray(1.5, dtype))
        same("masked_fill_backward", y, shape, np.broadcast_to(mask, shape), (True, True), tolerance=1e-5)
    same("where_forward", every, 1.0, 0.0)          # no array to take the dtype from


def test_copies(shape, dtype):
    for x in forms(shape, dtype):
        copied = cpu.copy(x)
        check_same(copied, x.copy())
        assert not np.shares_memory(copied, x)
        check_same(cpu.contiguous_forward(x), reference.contiguous_forward(x))
        assert cpu.contiguous_forward(x).flags.c_contiguous


@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "int32", "bool"])
def test_copies_of_any_layout(kind):
    """Rows, steps and turned matrices, from axes in every order, cut, reversed and repeated; NaNs keep their bits."""
    x = np.random.default_rng(0).integers(0, 2**8, (5, 20, 18, 4, 8), np.uint8).view(kind if kind != "bool" else np.uint8)
    x = x[..., 0] if kind != "bool" else x[..., 0] > 99
    for order in permutations(range(x.ndim)):
        for cut in np.s_[:], np.s_[::2], np.s_[..., ::-1], np.s_[:, 1:, ::-3], np.s_[:, None, :, :1]:
            view = x.transpose(order)[cut]
            view = np.broadcast_to(view, (2, *view.shape)) if cut == np.s_[::2] else view
            check_same(cpu.copy(view).view(np.uint8), view.copy().view(np.uint8))


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_what_is_added_may_lie_as_it_likes(kind):
    x = np.random.default_rng(0).integers(-9, 9, (5, 20, 18, 4)).astype(kind)
    for order in permutations(range(x.ndim)):
        for cut in np.s_[:], np.s_[::2], np.s_[..., ::-1], np.s_[:, 1:, ::-3], np.s_[:, None, :, :1]:
            view = x.transpose(order)[cut]
            every_other = np.ones((*view.shape, 2), kind)[..., 1]
            for held in np.ones(view.shape, kind), np.ones(view.shape[::-1], kind).T, every_other:
                _shared.add_to(held, view)
                np.testing.assert_array_equal(held, view + 1)


@pytest.mark.parametrize("axis", range(3))
def test_a_number_that_is_repeated_is_no_turned_matrix(axis):
    x = np.broadcast_to(np.arange(6 * 7 * 8 // (6, 7, 8)[axis], dtype="f").reshape(
        [1 if i == axis else n for i, n in enumerate((6, 7, 8))]), (6, 7, 8))
    y = np.zeros(x.shape, "f")
    plan = _shared.compiled("_copy")._plan(x.shape, x.strides, y.strides, 4)
    assert plan[0].__name__ == "_rows" and _shared.compiled("_copy").write(y, x)
    np.testing.assert_array_equal(y, x)


def test_pieces(shape, dtype):
    x, y = hard(shape, dtype), normal(*shape, seed=4, dtype=dtype)
    for dim in range(len(shape)):
        cut = [slice(None)] * dim + [slice(1, None)]
        for xs in (x, y), (x, y[tuple(cut)], x), (y[tuple(cut)],), (x[::-1], y):
            same("cat_forward", xs, dim)
        sizes = (1, shape[dim] - 1)
        first, second = reference.split_forward(y, sizes, dim)
        for dys in (first, second), (None, second), (first, None):
            same("split_backward", dys, shape, y.dtype, sizes, dim)
        entries = list(reference.unbind_forward(y, dim))
        same("unbind_backward", entries, shape, y.dtype, dim)
        same("unbind_backward", [None, *entries[1:]], shape, y.dtype, dim)
        same("flip_forward", x, (dim,))
        same("repeat_forward", x, (1,) * dim + (3,) + (1,) * (len(shape) - dim - 1))
        index = (slice(None),) * dim + (slice(1, None),)
        same("getitem_backward", y[index], shape, index)
    same("getitem_backward", y[None, ..., 1:], shape, (None, ..., slice(1, None)))
    indices = [np.s_[:], np.s_[..., 1:], np.s_[None, ..., ::2], np.s_[1::2], np.s_[::-1]]
    for index in indices + [0, np.s_[..., -1]] * (len(shape) > 1):
        part = y[index]
        for dy in part, np.broadcast_to(part[..., :1], part.shape), part.T.copy().T:
            out = x.copy()
            with kernels.quiet():
                assert cpu.getitem_backward(dy, shape, index, out) is out
                want = reference.getitem_backward(dy, shape, index, x.copy())
            np.testing.assert_array_equal(out, want)
    for dim in range(len(shape) + 1):
        for xs in (x, y), (x, y[::-1], x), (y,):
            same("stack_forward", xs, dim)
    same("repeat_forward", x, (2, *[2] * len(shape)))


def test_sums(shape, dtype):
    x = normal(*shape, dtype=dtype)
    for count in range(1, len(shape) + 1):
        for dim in combinations(range(len(shape)), count):
            for keepdim in False, True:
                same("sum_forward", x, dim, keepdim, tolerance=1e-6 if dtype == "float32" else 1e-13)
                same("sum_of_squares", x, dim, keepdim, tolerance=1e-6 if dtype == "float32" else 1e-13)
                same("mean_forward", x, dim, keepdim, tolerance=1e-6 if dtype == "float32" else 1e-13)


def test_running_sums(shape, dtype):
    """In the order of NumPy's, so to the same bits."""
    for x in hard(shape, dtype), normal(*shape, dtype=dtype), normal(*shape, dtype=dtype)[::-1]:
        for dim in range(len(shape)):
            for name in "cumsum_forward", "cumsum_backward":
                with kernels.quiet():
                    got, want = [getattr(k, name)(x, dim) for k in (cpu, reference)]
                np.testing.assert_array_equal(got, want, name)


def test_products(shape, dtype):
    """Without zeros, with one in a row, with several; infinite; and past what float64 can say."""
    plain, far = 1 + 0.3 * normal(*shape, dtype=dtype), np.array(1e200 if dtype == "float64" else 1e30, dtype)
    one, several = plain.copy(), plain.copy()
    one[..., shape[-1] // 2] = 0
    several[..., ::3] = 0
    falls, rises = plain / far, plain * far
    for x in plain, one, several, hard(shape, dtype), falls, rises, one[::-1]:
        dy = normal(*x.shape, seed=5, dtype=dtype)
        tolerance = 2e-6 if dtype == "float32" else 2e-13
        for dim in range(len(shape)):
            with kernels.quiet():
                y = reference.cumprod_forward(x, dim)
            same("cumprod_forward", x, dim, tolerance=tolerance)
            same("cumprod_backward", dy, x, y, dim, tolerance=tolerance)
            for keepdim in False, True:
                dims = tuple(range(dim, len(shape)))
                same("prod_forward", x, dims, keepdim, tolerance=tolerance)
                same("prod_backward", normal(*x.sum(dims, keepdims=keepdim).shape, dtype=dtype), x, dims, keepdim,
                     tolerance=tolerance)
    both = np.concatenate([falls, rises], -1)       # side by side their products are 0 and infinite
    for dims in {(len(shape) - 1,), tuple(range(len(shape)))}:
        with kernels.quiet():
            assert not np.isnan(cpu.prod_forward(both, dims, False)).any()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_an_index_picks_along_an_axis(shape, dtype, threads):
    """Longer or shorter than the axis, cut, turned and repeated; where it covers not all, the reference does it."""
    rng, before = np.random.default_rng(0), numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        for dim, n in enumerate(shape):
            for m in {n, 2 * n + 1, max(1, n // 3), 0}:
                sizes = (*shape[:dim], m, *shape[dim + 1:])
                ids = rng.integers(0, n, sizes)
                for index in ids, ids.astype(np.int32), np.asfortranarray(ids), ids[..., ::-1], ids[:1], np.broadcast_to(
                        ids[..., :1], sizes):
                    x, dy = normal(*shape, dtype=dtype), normal(*index.shape, seed=2, dtype=dtype)
                    same("gather_forward", x[::-1], dim, index)
                    same("gather_backward", dy, shape, dim, index)
                    same("scatter_add_forward", x.T.copy().T, dim, index, dy)
                    wider = normal(*[size + 1 for size in index.shape], seed=2, dtype=dtype)
                    same("scatter_add_forward", x, dim, index, wider)
                    for needs in (True, True), (False, True), (True, False):
                        same("scatter_add_backward", x, index.shape, dim, index, needs)
                        same("scatter_add_backward", x, wider.shape, dim, index, needs)
    finally:
        numba.set_num_threads(before)


def test_what_is_added_at_one_place_is_rounded_once():
    ids, values = np.zeros((3, 100_000), np.int64), np.full((3, 100_000), 0.1, np.float32)
    for dim, index, dy in (1, ids, values), (0, ids.T, values.T):
        got = cpu.gather_backward(dy, (3, 2) if dim else (2, 3), dim, index)
        assert (got.max(dim) == np.float32(100_000 * np.float64(np.float32(0.1)))).all() and (got.min(dim) == 0).all()


def test_norms(shape, dtype):
    """With rows of zeros, of infinities and of numbers whose squares are out of float32's range."""
    x = normal(*shape, dtype=dtype)
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    for scale in (1, 0, 1e25, 1e-25, 1e-44, np.inf, np.nan) if dtype == "float32" else (1, 0, 1e200, 1e-200, np.inf):
        z = x.copy()
        with kernels.quiet():
            z[0] = z[0] * z.dtype.type(scale)
        for dim in (0,), (len(shape) - 1,), tuple(range(len(shape))):
            for keepdim in False, True:
                same("norm_forward", z, 2.0, dim, keepdim, tolerance=tolerance)
                with kernels.quiet():
                    y = reference.norm_forward(z, 2.0, dim, keepdim)
                same("norm_backward", normal(*y.shape, seed=1, dtype=dtype), z, y, 2.0, dim, keepdim, tolerance=tolerance)


def some_axes(shape):
    return [(0,), (len(shape) - 1,), tuple(range(len(shape))), tuple(range(len(shape)))[-2:]]


def test_logarithms_of_sums(shape, dtype):
    row = np.full(shape, -np.inf, dtype)
    row[..., -1] = [0, -np.inf][len(shape) % 2]
    far = normal(*shape, dtype=dtype) - np.array(1e35, dtype)
    for x in hard(shape, dtype), 30 * normal(*shape, dtype=dtype), row, far, normal(*shape, dtype=dtype)[::-1]:
        for dim in some_axes(shape):
            for keepdim in False, True:
                same("logsumexp_forward", x, dim, keepdim)
                with kernels.quiet():
                    y = np.asarray(reference.logsumexp_forward(x, dim, keepdim))
                same("logsumexp_backward", normal(*y.shape, seed=9, dtype=dtype), x, y, dim, keepdim,
                     tolerance=1e-5 if dtype == "float32" else 1e-14)


def test_shares_of_extremes(shape, dtype):
    """Where several are the largest, or NaN."""
    for x in hard(shape, dtype), np.round(normal(*shape, dtype=dtype)), normal(*shape, dtype=dtype)[..., ::-1]:
        for dim in some_axes(shape):
            for keepdim in False, True:
                for name in "amax", "amin":
                    with kernels.quiet():
                        y = np.asarray(getattr(reference, name + "_forward")(x, dim, keepdim))
                    same(name + "_backward", normal(*y.shape, seed=9, dtype=dtype), x, y, dim, keepdim)


def test_padding(shape, dtype):
    x = normal(*shape, dtype=dtype)
    for around in [(1, 2)], [(3, 0)], [(-1, 2)], [(0, -1)], [(1, 1)] * len(shape), [(0, 0)]:
        widths = [(0, 0)] * (len(shape) - len(around)) + around
        for z in x, x[::-1]:
            same("pad_forward", z, widths, "constant", 0.5)
            dy = normal(*[n + a + b for n, (a, b) in zip(shape, widths)], seed=9, dtype=dtype)
            same("pad_backward", dy, shape, widths, "constant")


@pytest.mark.parametrize("shape", [(1, 70001, 1), (40, 999, 1), (3, 999, 1), (1, 999, 40), (2, 130, 300),
                                   (40, 200, 30), (1, 3, 5001), (3, 2, 700)], ids=str)
@pytest.mark.parametrize("name", ["copy", "square", "square_from_mean"])
def test_sums_are_exact_and_the_same_on_any_number_of_threads(name, shape):
    x, float64 = normal(*shape, dtype="float32"), np.dtype(np.float64)
    wide = x.astype(np.float64)
    mean = wide.mean(1) if name == "square_from_mean" else None
    before, several = numba.get_num_threads(), _sums.row_sums(name, x, float64, mean)
    exact = {"copy": wide, "square": wide**2, "square_from_mean": (wide - wide.mean(1, keepdims=True))**2}[name].sum(1)
    np.testing.assert_allclose(several, exact, rtol=0, atol=1e-12 * x.shape[1])
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(_sums.row_sums(name, x, float64, mean), several)
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("far", [0, 1e4], ids=["near 0", "far from 0"])
@pytest.mark.parametrize("correction", [0, 1, 1 << 20])
def test_variances(shape, dtype, far, correction):
    """Against the reference in float64; the last correction leaves no degree of freedom."""
    x = (normal(*shape, dtype="float64") + far).astype(dtype)
    eps, wide = np.finfo(dtype).eps, x.astype("float64")
    for dim in some_axes(shape):
        for name, keepdim in ("var", False), ("std", True):
            with kernels.quiet():
                y, mean = getattr(cpu, name + "_forward")(x, dim, correction, keepdim)
                exact, there = getattr(reference, name + "_forward")(wide, dim, correction, keepdim)
                assert (y.shape, mean.shape, y.dtype, mean.dtype) == (exact.shape, there.shape, dtype, dtype)
                np.testing.assert_allclose(y, exact, rtol=4 * eps + 1e-12 * far)
                np.testing.assert_allclose(mean, there, rtol=4 * eps, atol=1e-12)
                dy = normal(*y.shape, seed=9, dtype=dtype)
                if name == "var":
                    dx, right = cpu.var_backward(dy, x, mean, dim, correction, keepdim), reference.var_backward(
                        dy.astype("float64"), wide, there, dim, correction, keepdim)
                else:
                    dx, right = cpu.std_backward(dy, x, y, mean, dim, correction, keepdim), reference.std_backward(
                        dy.astype("float64"), wide, exact, there, dim, correction, keepdim)
            assert dx.shape == shape and dx.dtype == dtype
            if correction < 2:
                np.testing.assert_allclose(dx, right, rtol=8 * eps, atol=(eps + 1e-15 * far) * np.abs(right).max())
            else:
                np.testing.assert_array_equal(np.isnan(dx), np.isnan(right))


def test_a_deviation_is_finite_where_the_variance_is_not():
    for n in 9, 70001:
        x = np.full(n, 3e30, np.float32)
        x[0] = -3e30
        y, _ = cpu.std_forward(x, (0,), 0, False)
        np.testing.assert_allclose(y, x.astype("float64").std(), rtol=1e-6)


def test_results_of_large_sums_are_rounded_once():
    x = np.full((1 << 21,), 0.1, np.float32)       # added up in float32, the sum would drift by thousands of units
    assert cpu.sum_forward(x, (0,), False) == np.float32(np.float64(np.float32(0.1)) * (1 << 21))
    few = np.full((100, 1024), 0.1, np.float32)
    assert (cpu.sum_forward(few, (0,), False) == np.float32(np.float64(np.float32(0.1)) * 100)).all()


@pytest.mark.parametrize("shape", [(300, 300), (3, 130, 200), (65, 1100), (1100, 65)], ids=str)
@pytest.mark.parametrize("diagonal", [-1200, -66, -64, -1, 0, 1, 63, 64, 70, 1200])
def test_triangles(shape, diagonal):
    for dtype in "float32", "float64", "int64", "bool":
        x = (normal(*shape, dtype="float64") * 9).astype(dtype)
        for z in x, x[..., ::-1], x.swapaxes(-1, -2):
            same("tril_forward", z, diagonal)
            same("triu_forward", z, diagonal)
            same("tril_backward", z, diagonal)
            same("triu_backward", z, diagonal)


@pytest.mark.parametrize("shape, repeats", [((300, 200), (2, 1)), ((300, 200), (1, 3)), ((100, 70), (2, 1, 5)),
                                            ((3, 4), (100, 90))], ids=str)
def test_what_is_repeated_collects(shape, repeats, dtype):
    y = reference.repeat_forward(normal(*shape, dtype=dtype), repeats)
    dy = normal(*y.shape, seed=3, dtype=dtype)
    wide = reference.repeat_backward(dy.astype("float64"), shape, repeats)
    dx = cpu.repeat_backward(dy, shape, repeats)
    assert dx.dtype == dtype and dx.shape == shape
    np.testing.assert_allclose(dx, wide, rtol=2 * np.finfo(dtype).eps, atol=1e-12)      # float32, too, adds up in float64


@pytest.mark.parametrize("shape", [(), (1,), (700,), (300, 1), (1, 300), (5, 1, 300)], ids=str)
def test_what_is_repeated_is_copied(shape, dtype):
    x = np.broadcast_to(normal(*shape, dtype=dtype), (5, 300, 300) if shape != (700,) else (300, 700))
    np.testing.assert_array_equal(cpu.copy(x), x)


def test_no_tables():
    x = np.ones((4, 5, 6), np.float32)
    for operands in [(x, np.ones((4, 5, 6))), (x.astype(int), 2), (x.transpose(2, 0, 1), np.ones((6, 4, 5), np.float32)),
                     (x[:, ::2, :3],), (x, "2"), (x, np.ones((5, 1), np.float32))]:
        assert _large.each("copy" if len(operands) == 1 else "add", *operands) is None


def test_empty_arrays(dtype):
    x = np.ones((0, 3), dtype)
    same("add_forward", x, np.ones(3, dtype))
    same("mul_backward", x, x, np.ones(3, dtype))
    same("sum_forward", x, (0,), False)
    same("where_forward", x > 0, x, 0.0)

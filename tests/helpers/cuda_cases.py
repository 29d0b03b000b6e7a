"""Calls of kernels that are small enough for the simulator: (name, arguments), for every kernel of the reference.

``cases(dtype)`` gives them all, ``cases(dtype, "softmax", "losses")`` those of two families. What a backward needs is what
the reference's forward returned.
"""

from importlib import import_module

import numpy as np

from minitorch.kernels import cuda, quiet, reference

from kernel_checks import normal

__all__ = ["FAMILIES", "cases", "on_device", "on_rows", "to_device", "to_host"]


FAMILIES = ("softmax", "norms", "shape", "unary", "binary", "compare", "reduce", "index", "small_layers", "products",
            "attention", "losses", "pictures", "steps")


def cases(dtype, *families):
    """Every call, with floats of this dtype."""
    with quiet():
        for family in [globals()[f"_{name}"] for name in families or FAMILIES]:
            for case in family(lambda *shape, seed=0, scale=1.0: normal(*shape, seed=seed, scale=scale).astype(dtype)):
                yield [np.asarray(a) if isinstance(a, np.generic) else a for a in case]


def on_rows(x, dy, gamma, beta):
    """What a model does with rows of numbers, at any size."""
    for name in "softmax", "log_softmax":
        yield f"{name}_forward", x, 1
        yield f"{name}_backward", dy, getattr(reference, f"{name}_forward")(x, 1), 1
    yield from _norm(x, dy, gamma, beta)
    yield "gelu_forward", x, "none"
    yield "gelu_backward", dy, x, "none"
    yield "residual_forward", x, dy, gamma, 0.1, 7
    yield "residual_backward", dy, 0.1, 7


def _softmax(n):
    # what a block keeps of a row in the simulator: 8 numbers, 16 or 32, and of longer rows pieces; in fours or one by one
    for name in "softmax", "log_softmax":
        for shape, axis in [((3, 11), 1), ((2, 12), 1), ((2, 33), 1), ((2, 68), 1), ((5, 3), 0), ((2, 3, 2), 1), ((1,), 0),
                            ((), 0), ((0, 3), 1)]:
            x = n(*shape, scale=30)
            y = getattr(reference, name + "_forward")(x, axis)
            yield name + "_forward", x, axis
            yield name + "_backward", n(*shape, seed=1), y, axis
        hard = np.array([[-np.inf, 0, 3, 1], [np.nan, 1, 2, 0], [1, 2, np.nan, 5], [-np.inf] * 4, [np.inf, 0, 1, 2],
                         [1e4, -1e4, 9999, 0]], x.dtype)
        yield name + "_forward", hard, 1


def _norm(x, dy, gamma, beta):
    _, mean, rstd = reference.layernorm_forward(x, gamma, beta, 1e-5)
    yield "layernorm_forward", x, gamma, beta, 1e-5
    yield "layernorm_backward", dy, x, gamma, mean, rstd
    _, rrms = reference.rmsnorm_forward(x, gamma, 1e-5)
    yield "rmsnorm_forward", x, gamma, 1e-5
    yield "rmsnorm_backward", dy, x, gamma, rrms


def _norms(n):
    for shape in [(5, 7), (2, 2, 3), (2, 40), (2, 37), (3, 32), (1, 1), (3, 1), (0, 4), (9, 2)]:
        x, c = n(*shape, scale=3) + n(1)[0], shape[-1]
        dy = n(*shape, seed=1)
        for gamma, beta in [(n(c, seed=2), n(c, seed=3)), (None, None)]:
            yield from _norm(x, dy, gamma, beta)
        yield "layernorm_backward", dy, x, None, *reference.layernorm_forward(x, None, None, 1e-5)[1:], (False, True, False)
        yield "rmsnorm_backward", dy, x, None, reference.rmsnorm_forward(x, None, 1e-5)[1], (False, False)
    yield "rmsnorm_forward", n(2, 6) * x.dtype.type(1e30), None, 1e-5


def _shape(n):
    x, dy = n(2, 3, 4), n(2, 3, 4, seed=1)
    for shape in [(6, 4), (24,), (4, 3, 2, 1)]:
        yield "reshape_forward", x, shape
        yield "reshape_forward", x.transpose(1, 2, 0), shape
        yield "reshape_backward", x.reshape(shape), (2, 3, 4)
    yield "expand_backward", x, (3, 1)
    yield "repeat_forward", n(3, 2), (2, 1, 3)
    yield "repeat_backward", n(2, 3, 6), (3, 2), (2, 1, 3)
    yield "repeat_interleave_forward", x, np.array([1, 0, 2]), 1
    yield "repeat_interleave_backward", x, (2, 3, 4), np.array([1, 0, 2]), 1
    for diagonal in -1, 0, 2:
        for name in "tril_forward", "tril_backward", "triu_forward", "triu_backward":
            yield name, x, diagonal
    yield "permute_forward", x, (2, 0, 1)
    yield "permute_backward", x, (2, 0, 1)
    yield "expand_forward", n(3, 1), (2, 3, 4)
    yield "narrow_forward", x, 1, 1, 2
    yield "narrow_backward", n(2, 2, 4), (2, 3, 4), 1, 1, 2
    yield "diagonal_forward", x, 1, 0, 2
    yield "diagonal_backward", n(3, 2), (2, 3, 4), 1, 0, 2
    yield "split_forward", x, [1, 3], 2
    yield "split_backward", (n(2, 3, 1), None), (2, 3, 4), x.dtype, [1, 3], 2
    yield "unbind_forward", x, 1
    yield "unbind_backward", (n(2, 4), None, n(2, 4, seed=2)), (2, 3, 4), x.dtype, 1
    yield "cat_forward", (x, n(2, 1, 4), n(2, 0, 4)), 1
    yield "cat_backward", x, [1, 2], 1, (True, False)
    yield "stack_forward", (x, dy), 1
    yield "stack_backward", x, 1, (True, False, True)
    yield "contiguous_forward", x.transpose(1, 2, 0)
    yield "contiguous_backward", dy
    yield "copy", x.transpose(2, 0, 1)
    yield "flip_forward", x, (0, 2)
    yield "flip_backward", x, (0, 2)
    for shifts, dims in [((1,), (0,)), ((-1, 5), (1, 2)), (3, None)]:
        yield "roll_forward", x, shifts, dims
    yield "roll_backward", x, (-1, 5), (1, 2)
    yield "diag_forward", n(3), 1
    yield "diag_backward", n(4, 4), 1


FROM_X = ["abs", "log", "log2", "log10", "log1p", "square", "sin", "cos", "silu", "erf", "erfc", "sinh", "cosh", "asin",
          "acos", "atan", "asinh", "acosh", "atanh"]
FROM_Y = ["exp", "expm1", "sqrt", "rsqrt", "reciprocal", "tan", "tanh", "sigmoid", "relu", "exp2"]
FROM_NOTHING = ["neg", "sign", "floor", "ceil", "trunc"]
HARD = [0.0, -0.0, 1.5, -2.5, 30.0, -30.0, 1e3, -1e3, np.inf, -np.inf, np.nan]


def _unary(n):
    for name in [*FROM_X, *FROM_Y, *FROM_NOTHING]:
        x, dy = n(2, 5), n(2, 5, seed=1)
        x = 0.9 * np.tanh(x) if name in ("asin", "acos", "atanh") else abs(x) + 1.1 if name == "acosh" else x
        x = (abs(x) + 0.1 if name.startswith(("log", "sqrt", "rsqrt")) else x).astype(dy.dtype)
        y = getattr(reference, name + "_forward")(x)
        yield name + "_forward", x
        yield name + "_backward", dy, *([x] if name in FROM_X else [y] if name in FROM_Y else [])
        if name not in ("sin", "cos", "tan"):     # their arguments of 1000 are another matter
            yield name + "_forward", np.array(HARD, dy.dtype)
        yield name + "_forward", n(0, 3)
    x, dy = np.concatenate([n(7), HARD]).astype(dy.dtype), n(18, seed=1)
    for name, settings in [("gelu", ("none",)), ("gelu", ("tanh",)), ("softplus", (1.0, 20.0)), ("softplus", (2.5, 0.7)),
                           ("elu", (0.3,)), ("leaky_relu", (0.01,)), ("hardtanh", (-1.0, 1.5)), ("clamp", (-1.5, 0.5)),
                           ("clamp", (None, 0.5)), ("clamp", (0.5, None))]:
        yield name + "_forward", x, *settings
        if name != "gelu":
            yield name + "_backward", dy, x, *settings, *([(True, False, False)] if name == "clamp" else [])
        yield name + "_backward", n(7), n(7, seed=4), *settings, *([(True, False, False)] if name == "clamp" else [])
    yield "clamp_backward", n(2, 3), n(2, 3, seed=1), n(3, seed=2), n(2, 1, seed=3)
    for decimals in 0, 2, -1:
        yield "round_forward", x * 7, decimals
    yield "round_forward", np.array([0.5, 1.5, 2.5, -0.5, -1.5], dy.dtype), 0
    yield "round_backward", dy
    near = np.float32(1) + np.arange(12, dtype="f") / 512       # ties, and what lies beside them
    for scale in 1, -3e-39, 1.6e38, 1.7e38:
        yield "round_bfloat16", np.concatenate([near, np.nextafter(near, np.float32(9))]) * np.float32(scale)
    yield "round_bfloat16", x
    yield "nan_to_num_forward", x, None, None, None
    yield "nan_to_num_forward", x, 1.0, 2.0, 3.0
    yield "nan_to_num_backward", dy, x
    for dtype in "float32", "float64", "int64", "bool":
        yield "cast_forward", n(3, 4) * 5, dtype
        yield "cast_backward", n(3, 4) * 5, dtype
    yield "cast_forward", np.arange(3), "float32"
    for shape, dim in ((3, 4), 1), ((4, 3), 0), ((2, 6, 5), 1):
        half = [size // 2 if axis == dim else size for axis, size in enumerate(shape)]
        yield "glu_forward", n(*shape), dim
        yield "glu_backward", n(*half, seed=1), n(*shape), dim
    x, t, dy = abs(n(9)) % 1, abs(n(9, seed=1)) % 1, n(9, seed=2)
    x[:2] = 0, 1
    yield "binary_cross_entropy_forward", x, t
    yield "binary_cross_entropy_backward", dy, x, t
    yield "binary_cross_entropy_backward", dy, x, t, (True, False)


def _binary(n):
    for a, b in [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 3), (5, 1)), ((0, 3), (3,))]:
        x, y = n(*a, seed=1), n(*b, seed=2)
        for name in ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "remainder", "fmod", "hypot", "logaddexp",
                     "atan2"):
            x, y = (abs(x), abs(y)) if name == "pow" else (x, y)
            z = getattr(reference, name + "_forward")(x, y)
            saved = {"add": (a, b), "sub": (a, b), "hypot": (x, y, z), "logaddexp": (x, y, z)}.get(name, (x, y))
            yield name + "_forward", x, y
            yield name + "_backward", n(*z.shape, seed=3), *saved
            if a == b and name not in ("atan2", "add", "sub", "hypot", "logaddexp"):
                yield name + "_backward", n(*z.shape, seed=3), x, x
                yield name + "_backward", n(*z.shape, seed=3), x, 1.5, (True, False)
        yield "lerp_forward", x, y, 0.25
        yield "lerp_forward", x, y, n(*z.shape, seed=6)
        yield "lerp_backward", n(*z.shape, seed=3), x, y, n(*b, seed=6)
        yield "huber_forward", x, y, 0.7
        yield "huber_backward", n(*z.shape, seed=3), x, y, 0.7
        yield "huber_backward", n(*z.shape, seed=3), x, y, 0.7, (True, False)
        condition = n(*b, seed=5) > 0
        yield "where_forward", condition, x, y
        yield "where_backward", n(*z.shape, seed=3), condition, a, b
        yield "floor_divide", x, y
        yield "sum_to", n(*z.shape, seed=3), a
    x, whole = n(2, 3), np.arange(-4, 5).reshape(3, 3)
    hard = np.array(HARD, x.dtype)
    for name in ("add", "sub", "mul", "div", "pow", "maximum", "minimum"):
        yield name + "_forward", x * x, 2.0
        yield name + "_forward", 2.0, x
        yield name + "_forward", hard[:, None], hard
    for name in "add", "sub", "mul", "maximum", "remainder", "fmod":
        yield name + "_forward", whole, 3
        yield name + "_forward", whole, np.array([5, -3, 2])
    yield "floor_divide", whole, 3
    yield "logaddexp_forward", hard[:, None], hard
    yield "huber_forward", hard, x[0, :1], 0.7
    yield "huber_backward", n(*hard.shape, seed=3), hard, x[0, :1], 0.7
    yield "where_forward", x > 0, x, 0.0
    yield "where_forward", x > 0, 1, whole[:1] * np.ones((2, 1), np.int64)


def _compare(n):
    x, y, whole = np.array([*HARD, 1, 2]), np.array([*HARD[::-1], 1, 3]), np.arange(6).reshape(2, 3)
    x, y = x.astype(n(1).dtype), y.astype(n(1).dtype)
    for name in "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor":
        yield name, x, y
        yield name, x, 1.5
        yield name, whole, whole[:, ::-1]
        yield name, whole > 2, whole[:1] > 0
    for name in "bitwise_and", "bitwise_or", "bitwise_xor":
        yield name, whole, whole[:, ::-1]
        yield name, whole > 2, whole[:1] > 0
    for name in "logical_not", "isnan", "isinf", "isfinite":
        yield name, x
        yield name, whole
    yield "bitwise_not", whole
    yield "bitwise_not", whole > 2
    for equal_nan in True, False:
        yield "isclose", x, x * x.dtype.type(1 + 1e-6), 1e-5, 1e-8, equal_nan


def _reduce(n):
    whole = np.arange(12).reshape(3, 4) - 5
    for shape, dims in [((3, 4), [(0,), (1,), (0, 1)]), ((2, 3, 5), [(1,), (0, 2), (2,), (0, 1)]), ((7,), [(0,)]),
                        ((), [()])]:
        x = n(*shape)
        for dim in dims:
            for keepdim in (False, True) if dim == dims[0] else (False,):
                for name in "sum", "mean", "prod", "amax", "amin", "logsumexp", "var", "std":
                    settings = (dim, 1, keepdim) if name in ("var", "std") else (dim, keepdim)
                    if shape == () and name in ("var", "std"):
                        continue
                    out = getattr(reference, name + "_forward")(x, *settings)
                    y, mean = out if type(out) is tuple else (out, None)
                    saved = {"sum": (shape,), "mean": (shape,), "prod": (x,), "var": (x, mean), "std": (x, y, mean)}
                    yield name + "_forward", x, *settings
                    yield name + "_backward", n(*np.shape(y), seed=1), *saved.get(name, (x, y)), *settings
                for p in 1.0, 2.0, 3.5, 0.0, np.inf, -np.inf:
                    y = reference.norm_forward(x, p, dim, keepdim)
                    yield "norm_forward", x, p, dim, keepdim
                    yield "norm_backward", n(*np.shape(y), seed=1), x, y, p, dim, keepdim
                for name in "all", "any":
                    yield name, x > -0.5, dim, keepdim
                if len(dim) == 1:
                    for name in "max", "min", "median":
                        y, at = getattr(reference, name + "_forward")(x, dim[0], keepdim)
                        yield name + "_forward", x, dim[0], keepdim
                        yield name + "_backward", n(*y.shape, seed=1), at, shape, dim[0], keepdim
                    yield "argmax", x, dim[0], keepdim
                    yield "argmin", x, dim[0], keepdim
            yield "count_nonzero", x > 0, dim
            if len(dim) == 1:
                zeros = np.where(abs(x) < 0.7, 0, x).astype(x.dtype)
                for given in x, zeros:
                    yield "cumsum_forward", given, dim[0]
                    yield "cumsum_backward", given, dim[0]
                    yield "cumprod_forward", given, dim[0]
                    y = reference.cumprod_forward(given, dim[0])
                    yield "cumprod_backward", n(*shape, seed=1), given, y, dim[0]
                yield "prod_backward", n(*[m for i, m in enumerate(shape) if i not in dim]), zeros, dim, False
        yield "argmax", x, None, False
    for name in "sum_forward", "sum_of_squares", "prod_forward", "amax_forward", "amin_forward":
        yield name, whole, (0,), False
        yield name, whole, (1,), True
    ties = np.array([[1, 2, 2, np.nan], [3, 1, 3, 0], [np.nan, 5, np.nan, 1], [0, 0, 0, 0], [-np.inf] * 4], x.dtype)
    for name in "argmax", "argmin", "max_forward", "min_forward", "median_forward":
        yield name, ties, 1, False
        yield name, whole, 0, False
    for name in "amax_forward", "logsumexp_forward", "sum_forward":
        yield name, ties, (1,), False
    yield "sum_forward", n(0, 3), (0,), False
    yield "sum_forward", n(3, 0), (1,), True
    yield "mean_forward", n(3, 0), (1,), False
    yield "amax_backward", n(3), np.ones((3, 4), x.dtype), np.ones(3, x.dtype), (1,), False
    yield "cumsum_forward", whole, 1
    yield "cumsum_forward", n(2, 9), 1
    yield "cumsum_forward", whole > 0, 0


def _index(n):
    x, i, j = n(4, 5, 3), np.array([[0, 3, 1], [2, 0, 0]]), np.array([1, -1, 4])
    for index in [2, (slice(None, None, 2), 1), (Ellipsis, None, -1), i, (i[:, :2], j[:2]), (slice(1, 3), j),
                  (j % 4, slice(None), np.array(1)), (0, i, slice(2)), (i[0], slice(0, 5, 2), j % 3), x[:, 0, 0] > 0,
                  x > 0.3, (1, 2, 0), (slice(None), x[0, :, 0] > 0, 1),
                  (slice(None, None, -1), np.zeros(0, np.int64)), (None, j % 4)]:
        y = reference.getitem_forward(x, index)
        yield "getitem_forward", x, index
        yield "getitem_backward", n(*np.shape(y), seed=1), x.shape, index
        yield "getitem_backward", n(*np.shape(y), seed=1), x.shape, index, n(*x.shape, seed=2)
    ids = np.array([3, 0, 0, 2, 3])
    for dim in 0, 1:
        size = (*x.shape[:dim], 5, *x.shape[dim + 1:])
        yield "index_select_forward", x, dim, ids
        yield "index_select_backward", n(*size), x.shape, dim, ids
        yield "index_add_forward", x, dim, ids, n(*size, seed=1)
        yield "index_add_backward", x, dim, ids
        at = np.random.default_rng(0).integers(0, 3, (3, 5, 3))
        yield "gather_forward", x, dim, at
        yield "gather_backward", n(3, 5, 3), x.shape, dim, at
        yield "scatter_add_forward", x, dim, at, n(4, 5, 3, seed=1)
        yield "scatter_add_backward", x, (4, 5, 4), dim, at
        once = np.argsort(n(4, 5, 3, seed=9), axis=dim)[:3]
        yield "scatter_forward", x, dim, once, n(4, 5, 3, seed=1)
        yield "scatter_forward", x, dim, once, 2.5
        yield "scatter_backward", x, (4, 5, 3), dim, once
    mask = n(5, 3, seed=4) > 0
    yield "masked_fill_forward", x, mask, -1.5
    yield "masked_fill_backward", x, (4, 1, 3), mask
    yield "masked_select_forward", x, x > 0
    yield "masked_select_backward", n(int((x > 0).sum()), seed=1), x > 0
    yield "masked_select_forward", x, x > 100
    ties = np.array([[2, 1, 2, np.nan, 0, 1], [np.nan, 5, -1, np.nan, 1, 1]], x.dtype)
    for given in ties, np.array([[3, 1, 2, 1]]), n(3, 9) > 0, n(5, 7):
        for dim in 0, 1:
            for descending in False, True:
                yield "argsort", given, dim, descending
                yield "sort_forward", given, dim, descending
    yield "sort_backward", n(3, 4), np.argsort(n(3, 4, seed=1), 1), (3, 4), 1
    for largest in False, True:
        y, at = reference.topk_forward(x, 2, 1, largest)
        yield "topk_forward", x, 2, 1, largest
        yield "topk_backward", n(*y.shape, seed=1), at, x.shape, 1
    yield "one_hot", i, 5
    yield "bincount", ids, None, 6
    yield "bincount", ids, n(5), 0
    for mode in "constant", "reflect", "replicate", "circular":
        for widths in [[(0, 0), (2, 1), (1, 2)], [(1, 0), (-1, 2), (0, -1)]]:
            y = reference.pad_forward(x, widths, mode, 0.5)
            yield "pad_forward", x, widths, mode, 0.5
            yield "pad_backward", n(*y.shape, seed=1), x.shape, widths, mode
    weight, ids = n(5, 3), np.array([[1, 4, 1], [0, 1, 4]])
    yield "embedding_forward", weight, ids
    for padding_idx in None, 1:
        yield "embedding_backward", n(2, 3, 3), ids, 5, padding_idx
        yield "embedding_backward", n(2, 3, 3), ids, 5, padding_idx, n(5, 3, seed=1)


def _small_layers(n):
    for p in 0.3, 1.0:
        yield "keep", (3, 7), p, 5**20
        yield "dropout_forward", n(3, 7), p, 12
        yield "dropout_backward", n(3, 7), p, 12
    for p, bias in [(0.0, n(5, seed=2)), (0.4, n(5, seed=2)), (0.4, None)]:
        yield "residual_forward", n(2, 3, 5), n(2, 3, 5, seed=1), bias, p, 77
        yield "residual_backward", n(2, 3, 5), p, 77
    yield "residual_backward", n(2, 3, 5), 0.5, 77, (True, True, False)
    angle = n(4, 3, seed=1)
    yield "rotary_forward", n(2, 4, 6), np.cos(angle), np.sin(angle)
    yield "rotary_backward", n(2, 4, 6), np.cos(angle), np.sin(angle)


def _products(n):
    for a, b in [((5, 3), (3, 6)), ((3,), (3,)), ((5, 3), (3,)), ((3,), (3, 6)), ((2, 5, 3), (3, 4)),
                 ((2, 1, 2, 3), (5, 3, 4)), ((2, 2, 3), (2, 3, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((9, 7), (7, 10)),
                 ((12, 8), (8, 20)), ((3, 40), (40, 5)), ((2, 64), (64, 4)), ((3, 41), (41, 5))]:      # long sums at the end
        x, y = n(*a, seed=1), n(*b, seed=2)
        z = reference.matmul_forward(x, y)
        yield "matmul_forward", x, y
        yield "matmul_backward", n(*z.shape, seed=3), x, y
    yield "matmul_forward", np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2) + 10**9
    yield "matmul_forward", n(5, 3).T, n(4, 5).T
    x, weight, bias = n(2, 3, 5), n(7, 5, seed=1), n(7, seed=2)
    yield "linear_forward", x, weight, bias
    yield "linear_forward", x, weight, None
    yield "linear_forward", n(3, 24), n(6, 24, seed=1), n(6, seed=2)
    yield "linear_backward", n(2, 3, 7), x, weight
    yield "linear_backward", n(2, 3, 7), x, weight, (False, True, False)
    yield "linear_backward", n(24, 7), n(24, 5, seed=1), n(7, 5, seed=2)
    w1, b1, w2, b2 = n(6, 5, seed=3), n(6, seed=4), n(4, 6, seed=5), n(4, seed=6)
    for activation in "relu", "gelu", "gelu_tanh", "silu":
        for p, biases in [(0.0, (b1, b2)), (0.3, (None, None))]:
            _, pre = reference.ffn_forward(x, w1, biases[0], w2, biases[1], activation, p, 9)
            yield "ffn_forward", x, w1, biases[0], w2, biases[1], activation, p, 9
            yield "ffn_backward", n(2, 3, 4), x, w1, w2, pre, activation, p, 9
    for equation, shapes in [
            ("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bki", [(2, 3, 4), (2, 4, 2)]), ("ii->i", [(3, 3)]),
            ("ij->", [(2, 3)]), ("i,j->ji", [(2,), (3,)]), ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 4)]),
            ("...ij,j->...i", [(2, 3, 4), (4,)]), ("iij,j->i", [(3, 3, 2), (2,)]), ("ij,ij", [(2, 3), (2, 3)])]:
        operands = [n(*shape, seed=i) for i, shape in enumerate(shapes)]
        y = np.asarray(reference.einsum_forward(equation, *operands))
        yield "einsum_forward", equation, *operands
        yield "einsum_backward", n(*y.shape, seed=8), equation, *operands


def _attention(n):
    for B, H, G, T, S, D, E in [(1, 2, 1, 5, 5, 3, 3), (2, 2, 2, 3, 4, 2, 5), (1, 1, 1, 1, 1, 1, 1)]:
        q, k, v, dy = n(B, H, T, D), n(B, G, S, D, seed=1), n(B, G, S, E, seed=2), n(B, H, T, E, seed=3)
        keys = n(B, 1, 1, S, seed=4) > -0.5
        added = np.where(n(H, T, S, seed=5) > 1, -np.inf, n(H, T, S, seed=6)).astype(q.dtype)
        nobody = np.array(n(T, S, seed=7) > 0)
        nobody[0] = False
        for mask, causal, p in [(None, False, 0.0), (None, True, 0.0), (keys, True, 0.3), (added, False, 0.3),
                                (nobody, False, 0.0), (n(1, S), True, 0.0)]:
            y, lse = reference.attention_forward(q, k, v, mask, causal, 0.7, p, 4)
            yield "attention_forward", q, k, v, mask, causal, 0.7, p, 4
            yield "attention_backward", dy, q, k, v, mask, y, lse, causal, 0.7, p, 4
            probs = reference.attention_weights_forward(q, k, mask, causal, 0.7)
            yield "attention_weights_forward", q, k, mask, causal, 0.7
            yield "attention_weights_backward", n(B, H, T, S, seed=8), q, k, mask, probs, causal, 0.7
        k, v = k.copy(), v.copy()
        k[:, :, -1] = v[:, :, -1] = np.nan      # what is masked is not looked at
        mask = np.arange(S) < S - 1
        y, lse = reference.attention_forward(q, k, v, mask, False, 0.7, 0.0, 4)
        yield "attention_forward", q, k, v, mask, False, 0.7, 0.0, 4
        yield "attention_backward", dy, q, k, v, mask, y, lse, False, 0.7, 0.0, 4, (True, False, True, False)


def _losses(n):
    z, labels, weight = n(6, 5, scale=3), np.array([0, 4, -100, 2, 2, 1]), abs(n(5, seed=1))
    z[5] = [30, 100, -5, 2, 1]
    for w, smoothing in [(None, 0.0), (weight, 0.0), (weight, 0.2), (None, 0.1)]:
        _, *sums = reference.cross_entropy_forward(z, labels, w, -100, smoothing)
        yield "cross_entropy_forward", z, labels, w, -100, smoothing
        yield "cross_entropy_backward", n(6, seed=2), z, labels, w, *sums, -100, smoothing
    for v in 36, 35:
        z, last, weight = n(2, v, scale=9), np.array([v - 1, 3]), abs(n(v, seed=1))
        _, *sums = reference.cross_entropy_forward(z, last, weight, -100, 0.1)
        yield "cross_entropy_forward", z, last, weight, -100, 0.1
        yield "cross_entropy_backward", n(2, seed=2), z, last, weight, *sums, -100, 0.1
    x, weight = n(6, 3), n(5, 3, seed=1)
    x[2] = np.nan       # an ignored row
    for bias, smoothing in [(n(5, seed=2), 0.0), (None, 0.15)]:
        _, *sums = reference.projection_forward(x, weight, bias, labels, -100, smoothing)
        yield "projection_forward", x, weight, bias, labels, -100, smoothing
        backward = n(6, seed=3), x, weight, bias, labels, *sums, -100, smoothing
        yield "projection_backward", *backward, (False, True, True)
        x0 = np.where(np.isnan(x), 0, x).astype(x.dtype)
        yield "projection_backward", backward[0], x0, *backward[2:]


def _pictures(n):
    x = n(2, 4, 5, 6)
    for groups, stride, padding, dilation in [
            (1, (1, 1), ((0, 0), (0, 0)), (1, 1)), (2, (2, 1), ((1, 1), (0, 2)), (1, 2)),
            (4, (1, 2), ((1, 0), (1, 1)), (2, 1))]:
        weight, bias = n(4, 4 // groups, 2, 3, seed=1), n(4, seed=2)
        y = reference.conv2d_forward(x, weight, bias, stride, padding, dilation, groups)
        yield "conv2d_forward", x, weight, bias, stride, padding, dilation, groups
        yield "conv2d_backward", n(*y.shape, seed=3), x, weight, stride, padding, dilation, groups
    for settings in [((2, 2), (2, 2), (0, 0), (1, 1), (2, 3)), ((3, 2), (1, 2), (1, 1), (1, 2), (5, 3))]:
        y, at = reference.max_pool2d_forward(x, *settings)
        yield "max_pool2d_forward", x, *settings
        yield "max_pool2d_backward", n(*y.shape, seed=1), at, x.shape
    rows, columns = np.array([[0, 1, 3], [2, 4, 5], [2, 3, 3]]), np.array([[0, 3], [3, 6], [3, 3]])
    yield "avg_pool2d_forward", x, rows, columns
    yield "avg_pool2d_backward", n(2, 4, 3, 2), rows, columns, x.shape
    for shape in [(3, 2, 2, 3), (4, 3)]:
        x, c = n(*shape) + 3, shape[1]
        gamma, beta = n(c, seed=1), n(c, seed=2)
        _, mean, var = reference.batchnorm_forward(x, gamma, beta, None, None, 1e-5)
        for g, b in [(gamma, beta), (None, None)]:
            yield "batchnorm_forward", x, g, b, None, None, 1e-5
            yield "batchnorm_forward", x, g, b, mean + 1, var * 2, 1e-5
            for training in True, False:
                yield "batchnorm_backward", n(*shape, seed=3), x, g, mean, var, 1e-5, training


def _steps(n):
    p, g, b = n(3, 4), n(3, 4, seed=1), n(3, 4, seed=2)
    yield "sgd_step", p, g, None, 0.1, 0.0, 0.0, 0.01, False, False, True
    yield "sgd_step", p, g, b, 0.1, 0.9, 0.1, 0.01, True, True, False
    yield "sgd_step", p, g, b, 0.1, 0.9, 0.0, 0.0, False, False, True
    m, v = n(3, 4, seed=3), abs(n(3, 4, seed=4))
    yield "adam_step", p, g, m, v, None, 3, 0.01, 0.9, 0.99, 1e-8, 0.1, True, False
    yield "adam_step", p, g, m, v, v / 2, 1, 0.01, 0.9, 0.99, 1e-8, 0.1, False, True
    for power in 2.0, 1.0, 3.5, np.inf:
        yield "power_sum", g, power
    yield "power_sum", n(0, 3), np.inf
    yield "scale_step", g, np.float64(0.3)
    yield "scale_step", g, np.array(0.3)


# ---------------------------------------------------------------------------------------------------------------------
# to the GPU and back

class on_device:  # noqa: N801  (stands for a backend's module)
    """The CUDA backend for NumPy arrays: its kernels get copies on the GPU, and results come back.

    ``layout`` changes how the copies lie in memory: "packed", or "strided": every second element, read backwards.
    """

    def __init__(self, layout="packed"):
        self.layout, self.arguments = layout, ()

    def __getattr__(self, name):
        def call(*args, **settings):
            args = [to_device(a, self.layout) for a in args]
            result = to_host(getattr(cuda, name)(*args, **settings))
            self.arguments = to_host(args)      # as they are afterwards
            return result

        return call


def to_device(x, layout="packed"):
    """Arrays, also those in tuples and lists, on the GPU; everything else as it is."""
    _array = import_module("minitorch.kernels.cuda._array")     # loads Numba
    if isinstance(x, (tuple, list)):
        return type(x)([to_device(a, layout) for a in x])
    if not isinstance(x, np.ndarray):
        return x
    if layout == "packed" or not x.ndim:
        return _array.to_device(x)
    wide = np.repeat(np.flip(x, -1), 2, axis=-1)
    return _array.view(lambda ghost: ghost[..., ::-2], _array.to_device(wide))


def to_host(x):
    """The other way round."""
    if isinstance(x, (tuple, list)):
        return tuple([to_host(a) for a in x])
    return x.to_host() if hasattr(x, "to_host") else x

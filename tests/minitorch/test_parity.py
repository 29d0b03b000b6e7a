"""The interface side by side with PyTorch's: one expression, run by both, forward and backward.

A case is a name, a function of the library `m` and its tensors, and what the tensors are. Every case runs in float32 and
float64 and on arrays that lie in memory in several ways. In float32 the measure is PyTorch's own error against float64.
"""

import itertools
import warnings

import numpy as np
import pytest

import minitorch as mt


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# ---------------------------------------------------------------------------------------------------------------------
# what a case's inputs are: a shape of normal numbers, or one of these

class Of:
    """An array made by `make(rng, shape)`; `grad` says whether a gradient is compared."""

    def __init__(self, make, *shape, grad=True):
        self.make, self.shape, self.grad = make, shape, grad


def positive(*shape):
    return Of(lambda r, s: r.uniform(0.2, 3, s), *shape)


def unit(*shape):
    return Of(lambda r, s: r.uniform(-0.9, 0.9, s), *shape)


def chance(*shape):
    return Of(lambda r, s: r.uniform(0.05, 0.95, s), *shape)


def fixed(*shape):
    return Of(lambda r, s: r.normal(size=s), *shape, grad=False)


def ties(*shape):
    return Of(lambda r, s: r.integers(-2, 3, s).astype(float), *shape)


def zeros(*shape):
    return Of(lambda r, s: r.normal(size=s) * (r.random(s) > 0.5), *shape)


def ints(*shape, low=-4, high=5):
    return Of(lambda r, s: r.integers(low, high, s), *shape, grad=False)


def weights(*shape):
    return Of(lambda r, s: r.uniform(0.2, 3, s), *shape, grad=False)


def ids(n, *shape):
    return ints(*shape, low=0, high=n)


def bools(*shape):
    return Of(lambda r, s: r.random(s) > 0.5, *shape, grad=False)


def large(*shape):
    return Of(lambda r, s: r.normal(size=s) * 1e4, *shape)


def layouts(a):
    """The same numbers, lying in memory in several ways."""
    yield "contiguous", np.ascontiguousarray(a).reshape(a.shape)
    if a.ndim > 1:
        yield "transposed", np.ascontiguousarray(a.T).T
    if a.ndim:
        wide = np.empty((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        yield "every other", wide[..., ::2]
        flipped = tuple(slice(None, None, -1) for _ in a.shape)
        yield "reversed", np.ascontiguousarray(a[flipped])[flipped]


LAYOUTS = ["contiguous", "transposed", "every other", "reversed"]


def arrays_of(case, dtype, layout):
    rng = np.random.default_rng([len(case), *map(ord, case[:8])])
    arrays, wanted = [], []
    for given in CASES[case][1:]:
        given = given if isinstance(given, Of) else Of(lambda r, s: r.normal(size=s), *given)
        array = np.asarray(given.make(rng, given.shape))
        array = array.astype(np.float32).astype(dtype) if array.dtype.kind == "f" else array
        arrays.append(dict(layouts(array)).get(layout, array))
        wanted.append(given.grad and array.dtype.kind == "f")
    return arrays, wanted


# ---------------------------------------------------------------------------------------------------------------------
# the comparison

def run(m, function, xs):
    """All outputs, and the gradients of all inputs for fixed random cotangents."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # both libraries give advice on dim=None and broadcast losses
        result = function(m, *xs)
    ys = list(result) if isinstance(result, (tuple, list)) else [result]
    roots = [y for y in ys if getattr(y, "requires_grad", False)]
    for i, y in enumerate(roots):
        shape = tuple(y.shape)
        dy = np.random.default_rng([i, *shape]).normal(size=shape)
        y.backward(m.tensor(dy).to(y.dtype), retain_graph=i + 1 < len(roots))
    return ys, [x.grad for x in xs]


def plain(v):
    return None if v is None else v.detach().numpy() if hasattr(v, "detach") else np.asarray(v)


def close(ours, theirs, truth, what):
    """Same dtype and shape; no further from the truth than PyTorch is, give or take a few units in the last place."""
    if theirs is None:
        assert ours is None, f"{what}: PyTorch gives None"
        return
    assert ours is not None, f"{what}: PyTorch gives {theirs}"
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, PyTorch's {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, PyTorch's {theirs.dtype}"
    if ours.dtype.kind != "f":
        np.testing.assert_array_equal(ours, theirs, what)
        return
    odd = ~np.isfinite(theirs)
    np.testing.assert_array_equal(ours[odd], theirs[odd], what)
    assert np.isfinite(ours[~odd]).all(), f"{what}: {ours}, PyTorch's {theirs}"
    truth, theirs, ours = (np.where(odd, 0, a).astype(np.float64) for a in (truth, theirs, ours))
    unit = np.finfo(np.float32).eps if what.endswith("float32") else 1e-13
    allowed = np.abs(theirs - truth).max(initial=0) + 8 * unit * (np.abs(truth) + np.abs(truth).max(initial=0))
    worst = np.abs(ours - truth) - allowed
    assert (worst <= 0).all(), f"{what}: ours\n{ours}\nPyTorch's\n{theirs}\ntruth\n{truth}"


def compare(torch, case, dtype, layout):
    function = CASES[case][0]
    arrays, wanted = arrays_of(case, dtype, layout)
    kept = [a.copy() for a in arrays]
    ours = [mt.from_numpy(a) for a in arrays]
    theirs = [torch.from_numpy(np.ascontiguousarray(a).reshape(a.shape).copy()) for a in arrays]
    truth = [(t.double() if t.is_floating_point() else t).clone() for t in theirs]
    for xs in (ours, theirs, truth):
        for x, want in zip(xs, wanted, strict=True):
            x.requires_grad_(want)
    (ys, dxs), (their_ys, their_dxs), (true_ys, true_dxs) = (
        run(mt, function, ours), run(torch, function, theirs), run(torch, function, truth))
    assert len(ys) == len(their_ys), f"{case}: {len(ys)} results, PyTorch's {len(their_ys)}"
    for kind, a, b, c in (("y", ys, their_ys, true_ys), ("dx", dxs, their_dxs, true_dxs)):
        for i, (mine, yours, true) in enumerate(zip(a, b, c, strict=True)):
            close(plain(mine), plain(yours), plain(true), f"{case} {layout}: {kind}{i} {dtype}")
    for y, yours in zip(ys, their_ys, strict=True):
        if hasattr(yours, "requires_grad"):
            assert y.requires_grad == yours.requires_grad, f"{case}: requires_grad {y.requires_grad}"
    for a, b in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(a, b, f"{case}: an input was changed")


# ---------------------------------------------------------------------------------------------------------------------
# the cases

F = lambda m: m.nn.functional
S = (3, 4)

CASES = {
    # one operand
    "neg": (lambda m, x: -x, S),
    "neg input=": (lambda m, x: m.neg(input=x), S),
    "negative": (lambda m, x: m.negative(x) + x.negative(), S),
    "pos": (lambda m, x: +x, S),
    "abs": (lambda m, x: abs(x) + m.absolute(x), ties(3, 5)),
    "exp": (lambda m, x: m.exp(input=x), S),
    "exp2": (lambda m, x: m.exp2(x) + x.exp2(), S),
    "expm1": (lambda m, x: x.expm1(), S),
    "log": (lambda m, x: m.log(x), positive(3, 4)),
    "log2": (lambda m, x: x.log2(), positive(3, 4)),
    "log10": (lambda m, x: x.log10(), positive(3, 4)),
    "log1p": (lambda m, x: x.log1p(), unit(3, 4)),
    "sqrt": (lambda m, x: x.sqrt(), positive(3, 4)),
    "rsqrt": (lambda m, x: x.rsqrt(), positive(3, 4)),
    "square": (lambda m, x: x.square(), S),
    "reciprocal": (lambda m, x: x.reciprocal(), positive(3, 4)),
    "sin": (lambda m, x: x.sin(), S),
    "cos": (lambda m, x: x.cos(), S),
    "tan": (lambda m, x: x.tan(), unit(3, 4)),
    "asin": (lambda m, x: m.asin(x) + x.arcsin(), unit(3, 4)),
    "acos": (lambda m, x: m.acos(x) + x.arccos(), unit(3, 4)),
    "atan": (lambda m, x: m.atan(x) + x.arctan(), S),
    "atan2": (lambda m, x, y: m.atan2(x, y) + x.arctan2(y), S, (4,)),
    "sinh": (lambda m, x: m.sinh(x), S),
    "cosh": (lambda m, x: m.cosh(x), S),
    "asinh": (lambda m, x: m.asinh(x), S),
    "acosh": (lambda m, x: m.acosh(x + 1.5), positive(3, 4)),
    "atanh": (lambda m, x: m.atanh(x), unit(3, 4)),
    "tanh": (lambda m, x: x.tanh(), S),
    "sigmoid": (lambda m, x: x.sigmoid(), S),
    "sigmoid large": (lambda m, x: m.sigmoid(x), large(3, 4)),
    "logit": (lambda m, x: m.logit(x), chance(3, 4)),
    "logit eps": (lambda m, x: x.logit(eps=0.2), chance(3, 4)),
    "relu": (lambda m, x: x.relu(), ties(3, 5)),
    "relu6": (lambda m, x: F(m).relu6(x * 3), ties(3, 5)),
    "relu inplace": (lambda m, x: F(m).relu(x * 1, inplace=True), ties(3, 5)),
    "gelu": (lambda m, x: F(m).gelu(x), S),
    "gelu tanh": (lambda m, x: F(m).gelu(x * 4, approximate="tanh"), S),
    "silu": (lambda m, x: F(m).silu(x), S),
    "mish": (lambda m, x: F(m).mish(x), S),
    "selu": (lambda m, x: F(m).selu(x), S),
    "softsign": (lambda m, x: F(m).softsign(x), S),
    "hardtanh": (lambda m, x: F(m).hardtanh(x), S),
    "hardtanh limits": (lambda m, x: F(m).hardtanh(x, min_val=-2.0, max_val=0.5), S),
    "softplus": (lambda m, x: F(m).softplus(x, beta=2.0, threshold=1.0), S),
    "softplus default": (lambda m, x: F(m).softplus(x * 10), S),
    "elu": (lambda m, x: F(m).elu(x, 0.5), S),
    "leaky_relu": (lambda m, x: F(m).leaky_relu(x, 0.2), ties(3, 5)),
    "leaky_relu named": (lambda m, x: F(m).leaky_relu(input=x, negative_slope=0.3), S),
    "prelu": (lambda m, x, w: F(m).prelu(x, w), (2, 3, 4), (3,)),
    "logsigmoid": (lambda m, x: F(m).logsigmoid(x * 5), S),
    "erf": (lambda m, x: x.erf(), S),
    "erfc": (lambda m, x: x.erfc(), S),
    "sign": (lambda m, x: x.sign() + m.sign(x), ties(3, 5)),
    "floor": (lambda m, x: (x * 3).floor(), S),
    "ceil": (lambda m, x: (x * 3).ceil(), S),
    "trunc": (lambda m, x: (x * 3).trunc() + m.trunc(x), S),
    "frac": (lambda m, x: (x * 3).frac(), S),
    "round": (lambda m, x: (x * 3).round(), S),
    "round halves": (lambda m, x: (x / 2).round(), ties(3, 5)),
    "round decimals": (lambda m, x: m.round(x, decimals=1), S),
    "nan_to_num": (lambda m, x: m.nan_to_num(x / x * x, nan=2.0), zeros(3, 4)),
    "clamp": (lambda m, x: x.clamp(-1, 1), ties(3, 5)),
    "clamp min": (lambda m, x: m.clamp(x, min=0), ties(3, 5)),
    "clamp max": (lambda m, x: m.clip(x, max=0.5), S),
    "clamp None": (lambda m, x: x.clamp(None, 0.5), S),
    "clamp tensors": (lambda m, x, a, b: m.clamp(input=x, min=a, max=b), ties(3, 4), ties(4), ties(3, 1)),
    "clamp_min": (lambda m, x: x.clamp_min(0.1) + m.clamp_max(x, max=0.2), S),
    "isnan": (lambda m, x: (x / x).isnan(), zeros(3, 4)),
    "isinf": (lambda m, x: m.isinf(1 / x.detach()), zeros(3, 4)),
    "isfinite": (lambda m, x: m.isfinite(1 / x.detach()), zeros(3, 4)),
    # two operands
    "add": (lambda m, x, y: x + y, S, (4,)),
    "add alpha": (lambda m, x, y: m.add(x, y, alpha=2.5), S, (3, 1)),
    "add other=": (lambda m, x, y: m.add(input=x, other=y), S, S),
    "add number": (lambda m, x: 2 + x + 1.5, S),
    "add numpy": (lambda m, x: x + np.float64(1.5), S),
    "sub": (lambda m, x, y: x - y, S, (2, 3, 1)),
    "sub alpha": (lambda m, x, y: x.sub(y, alpha=3), S, S),
    "rsub": (lambda m, x: 1 - x, S),
    "rsub function": (lambda m, x, y: m.rsub(x, y, alpha=2), S, S),
    "mul": (lambda m, x, y: x * y, S, (1, 4)),
    "mul self": (lambda m, x: x * x, S),
    "div": (lambda m, x, y: x / y, S, positive(4)),
    "div number": (lambda m, x: x / 3 + 2 / (x * x + 1), S),
    "div floor": (lambda m, x, y: m.div(x.detach(), y.detach(), rounding_mode="floor"), S, positive(4)),
    "div trunc": (lambda m, x, y: x.div(y, rounding_mode="trunc"), S, positive(4)),
    "floor_divide": (lambda m, x, y: x.detach().floor_divide(y.detach()), S, positive(4)),
    "floordiv number": (lambda m, x: x.detach() // 2, S),
    "remainder": (lambda m, x, y: x % y, S, positive(4)),
    "remainder number": (lambda m, x: m.remainder(x * 3, -2), S),
    "fmod": (lambda m, x, y: m.fmod(x * 3, y), S, positive(4)),
    "fmod number": (lambda m, x: (x * 3).fmod(2), S),
    "pow 2": (lambda m, x: x ** 2, S),
    "pow 3": (lambda m, x: m.pow(x, exponent=3), ties(3, 5)),
    "pow 0": (lambda m, x: x ** 0, ties(3, 5)),
    "pow 1": (lambda m, x: x ** 1, ties(3, 5)),
    "pow half": (lambda m, x: x ** 0.5, positive(3, 4)),
    "pow -1": (lambda m, x: x ** -1, positive(3, 4)),
    "pow tensor": (lambda m, x, y: x ** y, positive(3, 4), S),
    "pow tensor ties": (lambda m, x, y: x.pow(y), Of(lambda r, s: r.integers(0, 3, s) * 1.0, 3, 5), ties(3, 5)),
    "rpow": (lambda m, x: 2 ** x, S),
    "rpow 0": (lambda m, x: 0 ** x, Of(lambda r, s: r.integers(0, 3, s) * 1.0, 3, 5)),
    "maximum": (lambda m, x, y: m.maximum(x, y), ties(3, 4), ties(4)),
    "minimum": (lambda m, x, y: x.minimum(y), ties(3, 4), ties(4)),
    "max two": (lambda m, x, y: m.max(x, y) + m.min(x, other=y), ties(3, 4), ties(3, 4)),
    "hypot": (lambda m, x, y: m.hypot(x, y), S, (4,)),
    "logaddexp": (lambda m, x, y: m.logaddexp(x, y), S, (4,)),
    "logaddexp large": (lambda m, x, y: x.logaddexp(y), large(3, 4), large(4)),
    "lerp": (lambda m, x, y: m.lerp(x, y, 0.3), S, S),
    "lerp tensor": (lambda m, x, y, w: x.lerp(end=y, weight=w), S, S, (4,)),
    "where": (lambda m, c, x, y: m.where(c, x, y), bools(3, 4), S, (4,)),
    "where number": (lambda m, c, x: m.where(c, x, 0.0), bools(3, 4), S),
    "where method": (lambda m, c, x, y: x.where(c, y), bools(4), S, S),
    "where named": (lambda m, c, x: m.where(condition=c, input=x, other=-1.0), bools(3, 4), S),
    "where indices": (lambda m, c: m.where(c), bools(3, 4)),
    "addcmul": (lambda m, x, y, z: m.addcmul(x, y, z, value=0.5), S, (4,), (3, 1)),
    "addcdiv": (lambda m, x, y, z: m.addcdiv(x, y, z, value=-0.5), S, (4,), positive(3, 1)),
    "eq": (lambda m, x, y: (x == y, x != y, x < y, x <= y, x > y, x >= y), ties(3, 4), ties(4)),
    "eq functions": (lambda m, x, y: (m.eq(x, y), m.ne(x, other=y), m.lt(x, y), x.le(y), x.gt(0), m.ge(x, 1)),
                     ties(3, 4), ties(4)),
    "greater": (lambda m, x, y: (m.greater(x, y), m.less(x, y), x.greater_equal(y), x.less_equal(y), x.not_equal(y)),
                ties(3, 4), ties(4)),
    "logical": (lambda m, x, y: (m.logical_and(x, y), m.logical_or(x, y), x.logical_xor(y), x.logical_not()),
                ties(3, 4), bools(4)),
    "bitwise": (lambda m, a, b: (a & b, a | b, a ^ b, ~a, a & 1), ints(3, 4), ints(4)),
    "bitwise bools": (lambda m, a, b: (a & b, a | b, a ^ b, ~a, a & True), bools(3, 4), bools(4)),
    "isclose": (lambda m, x, y: (m.isclose(x, y), m.isclose(x, x + 1e-9), x.allclose(x), m.allclose(x, y)), S, S),
    "equal": (lambda m, x, y: (m.equal(x, x), x.equal(y)), S, S),
    # reductions
    "sum": (lambda m, x: x.sum(), (2, 3, 4)),
    "sum dim": (lambda m, x: m.sum(x, 1), (2, 3, 4)),
    "sum dims": (lambda m, x: m.sum(input=x, dim=(0, -1), keepdim=True), (2, 3, 4)),
    "sum axis": (lambda m, x: x.sum(axis=1, keepdims=True), (2, 3, 4)),
    "sum empty": (lambda m, x: x.sum(0), (0, 3)),
    "sum 0-d": (lambda m, x: x.sum(0), ()),
    "sum ()": (lambda m, x: x.sum(()), (2, 3)),
    "sum dtype": (lambda m, x: x.sum(dtype=m.float64), S),
    "sum ints": (lambda m, a: (a.sum(), a.sum(0), (a > 0).sum(), a.int().sum(1)), ints(3, 4)),
    "mean": (lambda m, x: x.mean(), (2, 3, 4)),
    "mean dims": (lambda m, x: x.mean((0, 2)), (2, 3, 4)),
    "mean keepdim": (lambda m, x: m.mean(x, dim=-1, keepdim=True), (2, 3, 4)),
    "mean positional keepdim": (lambda m, x: x.mean(1, True), (2, 3, 4)),
    "mean dtype": (lambda m, a: a.mean(dtype=m.float32), ints(3, 4)),
    "mean empty": (lambda m, x: x.mean(0), (0, 3)),
    "var": (lambda m, x: x.var(), S),
    "var dim": (lambda m, x: x.var(1), S),
    "var unbiased": (lambda m, x: x.var(dim=1, unbiased=False, keepdim=True), S),
    "var positional": (lambda m, x: x.var(1, False), S),
    "var False": (lambda m, x: x.var(False), S),
    "var correction": (lambda m, x: m.var(x, dim=0, correction=2), (4, 3)),
    "std": (lambda m, x: x.std(dim=-1, keepdim=True), S),
    "std correction": (lambda m, x: m.std(x, dim=(0, 1), correction=0), S),
    "std ties": (lambda m, x: (x * 0).std(0, unbiased=False), S),
    "var_mean": (lambda m, x: m.var_mean(x, dim=1), S),
    "std_mean": (lambda m, x: m.std_mean(x, 1, correction=0, keepdim=True), S),
    "prod": (lambda m, x: x.prod(), S),
    "prod zeros": (lambda m, x: x.prod(1), zeros(3, 4)),
    "prod keepdim": (lambda m, x: m.prod(x, dim=0, keepdim=True), S),
    "amax": (lambda m, x: x.amax(), ties(3, 4)),
    "amax dims": (lambda m, x: m.amax(x, dim=(0, 2), keepdim=True), ties(2, 3, 4)),
    "amin": (lambda m, x: x.amin(1), ties(3, 4)),
    "aminmax": (lambda m, x: m.aminmax(x, dim=1), S),
    "aminmax all": (lambda m, x: x.aminmax(), S),
    "max": (lambda m, x: x.max(), ties(3, 4)),
    "max dim": (lambda m, x: m.max(x, 1), S),
    "max names": (lambda m, x: (x.max(dim=0, keepdim=True).values, x.max(0).indices), S),
    "min": (lambda m, x: x.min(), ties(3, 4)),
    "min dim": (lambda m, x: m.min(x, dim=-1, keepdim=True), S),
    "max ties": (lambda m, x: x.max(1).values, ties(3, 6)),
    "argmax": (lambda m, x: (x.argmax(), x.argmax(1), m.argmax(x, dim=0, keepdim=True)), S),
    "argmin": (lambda m, x: (x.argmin(), m.argmin(x, -1, True)), S),
    "argmax ties": (lambda m, x: (x.argmax(), x.argmax(1), x.argmin(0)), ties(3, 6)),
    "all any": (lambda m, a: (a.all(), a.any(), a.all(1), m.any(a, dim=0, keepdim=True), m.all(a, (0, 1))), bools(3, 4)),
    "all any floats": (lambda m, x: (x.all(), x.any(1)), zeros(3, 4)),
    "logsumexp": (lambda m, x: m.logsumexp(x, dim=1), S),
    "logsumexp dims": (lambda m, x: x.logsumexp((0, 1), keepdim=True), S),
    "logsumexp large": (lambda m, x: x.logsumexp(-1), large(3, 4)),
    "cumsum": (lambda m, x: x.cumsum(1), S),
    "cumsum axis": (lambda m, x: m.cumsum(x, axis=0), S),
    "cumsum ints": (lambda m, a: (a.cumsum(0), (a > 0).cumsum(1)), ints(3, 4)),
    "cumprod": (lambda m, x: m.cumprod(x, dim=0), S),
    "cumprod zeros": (lambda m, x: x.cumprod(1), zeros(3, 4)),
    "diff": (lambda m, x: m.diff(x), S),
    "diff dim": (lambda m, x: x.diff(n=2, dim=0), (5, 2)),
    "norm": (lambda m, x: x.norm(), S),
    "norm p": (lambda m, x: x.norm(p=3, dim=1), S),
    "norm 1": (lambda m, x: m.norm(x, 1, dim=(0, 1), keepdim=True), zeros(3, 4)),
    "norm 0": (lambda m, x: x.detach().norm(0, 1), zeros(3, 4)),
    "norm inf": (lambda m, x: x.norm(float("inf")), ties(3, 4)),
    "norm -inf": (lambda m, x: x.norm(float("-inf"), 0), S),
    "norm zeros": (lambda m, x: (x * 0).norm(dim=1), S),
    "vector_norm": (lambda m, x: m.linalg.vector_norm(x, ord=2, dim=-1), S),
    "vector_norm half": (lambda m, x: m.linalg.vector_norm(x, 0.5), S),
    "linalg.norm": (lambda m, x: m.linalg.norm(x, dim=1), S),
    "median": (lambda m, x: x.median(), S),
    "median dim": (lambda m, x: x.median(1), (3, 5)),
    "count_nonzero": (lambda m, x: (m.count_nonzero(x), x.count_nonzero(dim=1)), zeros(3, 4)),
    "softmax": (lambda m, x: F(m).softmax(x, dim=1), S),
    "softmax dim 0": (lambda m, x: x.softmax(0), S),
    "softmax axis": (lambda m, x: m.softmax(x, axis=-1), S),
    "softmax dtype": (lambda m, x: F(m).softmax(x, dim=-1, dtype=m.float64), S),
    "softmax large": (lambda m, x: m.softmax(x, -1), large(3, 4)),
    "softmax None": (lambda m, x: F(m).softmax(x), S),
    "log_softmax": (lambda m, x: F(m).log_softmax(x, dim=-1), (2, 3, 4)),
    "log_softmax large": (lambda m, x: x.log_softmax(1), large(3, 4)),
    "softmin": (lambda m, x: F(m).softmin(x, dim=1), S),
    # products
    "matmul": (lambda m, x, y: x @ y, (3, 4), (4, 5)),
    "matmul named": (lambda m, x, y: m.matmul(input=x, other=y), (3, 4), (4, 5)),
    "matmul vector": (lambda m, x, y: (x @ y, y @ x.mT), (2, 3, 4), (4,)),
    "matmul vectors": (lambda m, x, y: x @ y, (4,), (4,)),
    "matmul batch": (lambda m, x, y: x @ y, (2, 1, 3, 4), (5, 4, 2)),
    "matmul empty": (lambda m, x, y: x @ y, (3, 0), (0, 5)),
    "matmul ints": (lambda m, a, b: a @ b, ints(3, 4), ints(4, 2)),
    "mm": (lambda m, x, y: x.mm(mat2=y), (3, 4), (4, 5)),
    "bmm": (lambda m, x, y: m.bmm(x, mat2=y), (2, 3, 4), (2, 4, 5)),
    "mv": (lambda m, x, y: x.mv(vec=y), (3, 4), (4,)),
    "dot": (lambda m, x, y: m.dot(x, tensor=y) + x.dot(y), (4,), (4,)),
    "inner": (lambda m, x, y: m.inner(x, y), (2, 3, 4), (5, 4)),
    "outer": (lambda m, x, y: m.outer(x, vec2=y) + x.outer(y), (3,), (4,)),
    "addmm": (lambda m, b, x, y: m.addmm(b, x, y, beta=0.5, alpha=2), (5,), (3, 4), (4, 5)),
    "addmv": (lambda m, b, x, y: m.addmv(b, x, y), (3,), (3, 4), (4,)),
    "baddbmm": (lambda m, b, x, y: b.baddbmm(x, batch2=y, alpha=0.5), (2, 3, 5), (2, 3, 4), (2, 4, 5)),
    "einsum": (lambda m, x, y: m.einsum("bij,bjk->bik", x, y), (2, 3, 4), (2, 4, 5)),
    "einsum implicit": (lambda m, x, y: m.einsum("ij,jk", x, y), (3, 4), (4, 5)),
    "einsum trace": (lambda m, x: m.einsum("ii->", x), (4, 4)),
    "einsum diagonal": (lambda m, x: m.einsum("...ii->...i", x), (2, 4, 4)),
    "einsum ellipsis": (lambda m, x, y: m.einsum("...ij,...jk->...ik", x, y), (2, 3, 4), (4, 5)),
    "einsum list": (lambda m, x, y: m.einsum("i,j->ij", [x, y]), (3,), (4,)),
    "einsum spaces": (lambda m, x, y: m.einsum("b h i d, b h j d -> b h i j", x, y), (2, 2, 3, 4), (2, 2, 5, 4)),
    "einsum capital": (lambda m, x, y: m.einsum("bTd,bSd->bTS", x, y), (2, 3, 4), (2, 5, 4)),
    "einsum three": (lambda m, x, y, z: m.einsum("ij,jk,kl->il", x, y, z), (2, 3), (3, 4), (4, 2)),
    "einsum sum": (lambda m, x: m.einsum("ij->", x), S),
    "einsum broadcast": (lambda m, x, y: m.einsum("ij,ij->ij", x, y), (3, 1), (3, 4)),
    "tensordot": (lambda m, x, y: m.tensordot(x, y, dims=1), (2, 3, 4), (4, 5)),
    "tensordot dims": (lambda m, x, y: m.tensordot(x, y, dims=([1, 2], [0, 1])), (2, 3, 4), (3, 4, 5)),
    "matrix_power": (lambda m, x: m.matrix_power(x, 3) + m.linalg.matrix_power(x, 0), (3, 3)),
    "linear": (lambda m, x, w, b: F(m).linear(x, w, b), (2, 3, 4), (5, 4), (5,)),
    "linear no bias": (lambda m, x, w: F(m).linear(x, weight=w), (4,), (5, 4)),
    "trace": (lambda m, x: m.trace(x), (3, 4)),
    # shape
    "reshape": (lambda m, x: x.reshape(2, -1), S),
    "reshape shape=": (lambda m, x: m.reshape(input=x, shape=(4, 3)) + x.reshape(shape=(4, 3)), S),
    "reshape list": (lambda m, x: x.reshape([2, 6]), S),
    "view": (lambda m, x: x.contiguous().view(2, -1), S),
    "view size=": (lambda m, x: x.contiguous().view(size=(2, 6)), S),
    "view 0-d": (lambda m, x: x.view(1, 1), ()),
    "view_as": (lambda m, x, y: x.contiguous().view_as(y), S, fixed(2, 6)),
    "reshape_as": (lambda m, x, y: x.reshape_as(other=y), S, fixed(2, 6)),
    "permute": (lambda m, x: x.permute(2, 0, 1), (2, 3, 4)),
    "permute dims=": (lambda m, x: m.permute(x, dims=(1, 0, 2)) + x.permute(dims=[1, 0, 2]), (2, 3, 4)),
    "transpose": (lambda m, x: x.transpose(0, 1), (2, 3, 4)),
    "transpose named": (lambda m, x: m.transpose(input=x, dim0=-1, dim1=0), (2, 3, 4)),
    "swap": (lambda m, x: m.swapaxes(x, axis0=0, axis1=2) + x.swapdims(dim0=0, dim1=2), (2, 3, 4)),
    "t": (lambda m, x: x.t() + m.t(x), S),
    "T": (lambda m, x: (x.T, x.mT), S),
    "squeeze": (lambda m, x: x.squeeze(), (1, 3, 1)),
    "squeeze dim": (lambda m, x: m.squeeze(x, dim=0), (1, 3, 1)),
    "squeeze dims": (lambda m, x: x.squeeze((0, -1)), (1, 3, 1)),
    "squeeze not 1": (lambda m, x: x.squeeze(1), (1, 3, 1)),
    "unsqueeze": (lambda m, x: x.unsqueeze(1), S),
    "unsqueeze axis": (lambda m, x: m.unsqueeze(x, dim=-1), S),
    "expand": (lambda m, x: x.expand(2, 3, 4), (3, 1)),
    "expand -1": (lambda m, x: x.expand(-1, 4), (3, 1)),
    "expand size=": (lambda m, x: x.expand(size=(2, 3, 4)), (3, 1)),
    "expand_as": (lambda m, x, y: x.expand_as(other=y), (3, 1), fixed(2, 3, 4)),
    "broadcast_to": (lambda m, x: m.broadcast_to(x, size=(2, 3, 4)), (3, 1)),
    "broadcast_tensors": (lambda m, x, y: m.broadcast_tensors(x, y), (3, 1), (4,)),
    "flatten": (lambda m, x: x.flatten(), (2, 3, 4)),
    "flatten dims": (lambda m, x: m.flatten(x, start_dim=1, end_dim=-1), (2, 3, 4)),
    "flatten 0-d": (lambda m, x: x.flatten(), ()),
    "ravel": (lambda m, x: x.ravel() + m.ravel(x), S),
    "unflatten": (lambda m, x: m.unflatten(x, dim=1, sizes=(2, -1)), S),
    "cat": (lambda m, x, y: m.cat([x, y], dim=1), (3, 4), (3, 2)),
    "cat tensors=": (lambda m, x, y: m.cat(tensors=(x, y), axis=-1), (3, 4), (3, 2)),
    "cat promotes": (lambda m, x, a: m.cat([x, a]), (3,), ints(4)),
    "concat": (lambda m, x, y: m.concat([x, y]) + m.concatenate((x, y), axis=0), (2, 4), (3, 4)),
    "stack": (lambda m, x, y: m.stack([x, y], dim=-1), S, S),
    "stack axis": (lambda m, x, y: m.stack((x, y), axis=1), S, S),
    "hstack": (lambda m, x, y: m.hstack([x, y]), (3,), (4,)),
    "vstack": (lambda m, x, y: m.vstack((x, y)), (4,), (2, 4)),
    "dstack": (lambda m, x, y: m.dstack([x, y]), (3, 4), (3, 4)),
    "column_stack": (lambda m, x, y: m.column_stack([x, y]), (3,), (3, 2)),
    "row_stack": (lambda m, x, y: m.row_stack([x, y]), (4,), (2, 4)),
    "split": (lambda m, x: x.split(2, 1), (3, 5)),
    "split sizes": (lambda m, x: m.split(x, [1, 4], dim=1), (3, 5)),
    "split named": (lambda m, x: x.split(split_size=2, dim=0), (3, 5)),
    "split function named": (lambda m, x: m.split(tensor=x, split_size_or_sections=2), (3, 5)),
    "chunk": (lambda m, x: m.chunk(x, chunks=3, dim=-1), (3, 7)),
    "chunk one used": (lambda m, x: x.chunk(2, 1)[1], (3, 6)),
    "tensor_split": (lambda m, x: x.tensor_split(3, dim=1), (3, 7)),
    "tensor_split indices": (lambda m, x: m.tensor_split(x, (1, 5), dim=1), (3, 7)),
    "unbind": (lambda m, x: x.unbind(1), (2, 3)),
    "unbind dim=": (lambda m, x: m.unbind(x, dim=0), (2, 3)),
    "iterate": (lambda m, x: [row * i for i, row in enumerate(x)], (3, 2)),
    "repeat": (lambda m, x: x.repeat(2, 1, 3), S),
    "repeat repeats=": (lambda m, x: x.repeat(repeats=(2, 2)), S),
    "tile": (lambda m, x: x.tile(2, 1) + m.tile(x, dims=(2, 1)), S),
    "tile fewer": (lambda m, x: x.tile((2,)), S),
    "repeat_interleave": (lambda m, x: x.repeat_interleave(2, dim=0), S),
    "repeat_interleave flat": (lambda m, x: m.repeat_interleave(x, repeats=3), S),
    "repeat_interleave counts": (lambda m, x: m.repeat_interleave(x, m.tensor([1, 0, 2]), dim=0), S),
    "flip": (lambda m, x: x.flip(0, 1), S),
    "flip dims=": (lambda m, x: m.flip(x, dims=(0,)) + x.flip(dims=[0]), S),
    "fliplr": (lambda m, x: m.fliplr(x) + x.fliplr() * 2, S),
    "flipud": (lambda m, x: m.flipud(x) + x.flipud() * 2, S),
    "roll": (lambda m, x: x.roll(1), S),
    "roll dims": (lambda m, x: m.roll(x, shifts=(1, -2), dims=(0, 1)), S),
    "roll one": (lambda m, x: x.roll(shifts=2, dims=-1), S),
    "movedim": (lambda m, x: x.movedim(0, -1), (2, 3, 4)),
    "movedim several": (lambda m, x: m.movedim(x, source=(0, 1), destination=(2, 0)), (2, 3, 4)),
    "moveaxis": (lambda m, x: x.moveaxis(0, 2) + m.moveaxis(x, 0, 2), (2, 3, 4)),
    "narrow": (lambda m, x: x.narrow(1, 1, 2), S),
    "narrow named": (lambda m, x: m.narrow(x, dim=1, start=-3, length=2), S),
    "select": (lambda m, x: x.select(1, -1) + m.select(x, dim=1, index=0), S),
    "unfold": (lambda m, x: x.unfold(1, 3, 2), (2, 8)),
    "unfold overlap": (lambda m, x: x.unfold(dimension=0, size=2, step=1), (5, 3)),
    "as contiguous": (lambda m, x: x.mT.contiguous(), S),
    "tril": (lambda m, x: x.tril(), (4, 5)),
    "tril diagonal": (lambda m, x: m.tril(x, diagonal=-1), (2, 4, 5)),
    "triu": (lambda m, x: m.triu(x, 1), (4, 5)),
    "triu bools": (lambda m, a: (a.triu(1), a.tril()), bools(4, 5)),
    "diagonal": (lambda m, x: x.diagonal(), (3, 4)),
    "diagonal named": (lambda m, x: m.diagonal(x, offset=1, dim1=1, dim2=2), (2, 3, 4)),
    "diag": (lambda m, x: m.diag(x), (3,)),
    "diag matrix": (lambda m, x: x.diag(1), S),
    "meshgrid": (lambda m, x, y: m.meshgrid(x, y, indexing="ij"), (3,), (4,)),
    "meshgrid xy": (lambda m, x, y: m.meshgrid([x, y], indexing="xy"), (3,), (4,)),
    "atleast": (lambda m, x: (m.atleast_1d(x), m.atleast_2d(x), m.atleast_3d(x)), (3,)),
    "clone": (lambda m, x: x.clone() + m.clone(x), S),
    "to": (lambda m, x: x.to(m.float64) + x.double() + x.to(dtype=m.float64), S),
    "to float": (lambda m, x: x.float() * 2, S),
    "type_as": (lambda m, x, y: x.type_as(y), S, ints(2)),
    "casts": (lambda m, x: (x.detach().long(), x.detach().int(), x.detach().bool(), x.detach().half()), S),
    "detach": (lambda m, x: x * x.detach(), S),
    # indexing
    "[int]": (lambda m, x: x[1], S),
    "[-1]": (lambda m, x: x[-1, 2], S),
    "[slice]": (lambda m, x: x[1:, :-1], S),
    "[step]": (lambda m, x: x[::2, 1::2], (4, 5)),
    "[None]": (lambda m, x: x[None, :, None, 1], S),
    "[...]": (lambda m, x: x[..., 0] + x[..., -1], (2, 3, 4)),
    "[..., None]": (lambda m, x: x[..., None], S),
    "[mask]": (lambda m, x, k: x[k], S, bools(3, 4)),
    "[rows mask]": (lambda m, x, k: x[k], (3, 4), bools(3)),
    "[x > 0]": (lambda m, x: x[x > 0], S),
    "[mask, int]": (lambda m, x, k: x[k, 1], S, bools(3)),
    "[ids]": (lambda m, x, i: x[i], S, ids(3, 5)),
    "[ids 2-d]": (lambda m, x, i: x[i], S, ids(3, 2, 2)),
    "[ids, ids]": (lambda m, x, i, j: x[i, j], S, ids(3, 5), ids(4, 5)),
    "[:, ids]": (lambda m, x, i: x[:, i], S, ids(4, 5)),
    "[ids, :, ids]": (lambda m, x, i, j: x[i, :, j], (3, 2, 4), ids(3, 5), ids(4, 5)),
    "[int, :, ids]": (lambda m, x, i: x[0, :, i], (3, 2, 4), ids(4, 5)),
    "[ids, int]": (lambda m, x, i: x[i, 1], S, ids(3, 5)),
    "[arange, ids]": (lambda m, x, i: x[m.arange(3), i], S, ids(4, 3)),
    "[[list]]": (lambda m, x: x[[0, 2]], S),
    "[list, list]": (lambda m, x: x[[0, 2], [1, 3]], S),
    "[0-d tensor]": (lambda m, x: x[m.tensor(1)], S),
    "[True]": (lambda m, x: x[True], S),
    "[negative ids]": (lambda m, x: x[m.tensor([-1, 0])], S),
    "[numpy ids]": (lambda m, x: x[np.array([0, 2])], S),
    "[()]": (lambda m, x: x[()], S),
    "[empty slice]": (lambda m, x: x[3:, 1:1], S),
    "[0-d][...]": (lambda m, x: x[...], ()),
    "[0-d][None]": (lambda m, x: x[None], ()),
    "index_select": (lambda m, x, i: m.index_select(x, 1, i), S, ids(4, 6)),
    "index_select named": (lambda m, x, i: x.index_select(dim=0, index=i), S, ids(3, 2)),
    "gather": (lambda m, x, i: x.gather(1, i), S, ids(4, 3, 2)),
    "gather named": (lambda m, x, i: m.gather(input=x, dim=0, index=i), S, ids(3, 2, 4)),
    "take_along_dim": (lambda m, x, i: m.take_along_dim(x, i, dim=1), S, ids(4, 3, 2)),
    "scatter": (lambda m, x: x.scatter(1, m.tensor([[0], [2], [1]]), 5.0), S),
    "scatter src": (lambda m, x, y: m.scatter(x, 1, m.tensor([[0, 3], [2, 1], [1, 0]]), y), S, (3, 2)),
    "scatter_add": (lambda m, x, i, y: x.scatter_add(1, i, y), S, ids(4, 3, 5), (3, 5)),
    "index_add": (lambda m, x, i, y: m.index_add(x, 0, i, y, alpha=2), S, ids(3, 5), (5, 4)),
    "masked_fill": (lambda m, x, k: x.masked_fill(k, float("-inf")), S, bools(3, 4)),
    "masked_fill named": (lambda m, x, k: m.masked_fill(x, mask=k, value=0), S, bools(4)),
    "masked_fill tensor": (lambda m, x, k, v: x.masked_fill(k, v), S, bools(3, 1), ()),
    "masked_select": (lambda m, x, k: m.masked_select(x, mask=k), S, bools(4)),
    "nonzero": (lambda m, x: (m.nonzero(x), x.nonzero(as_tuple=True)[1], m.argwhere(x)), zeros(3, 4)),
    "one_hot": (lambda m, i: F(m).one_hot(i, num_classes=5), ids(5, 2, 3)),
    "one_hot auto": (lambda m, i: F(m).one_hot(i), ids(5, 2, 3)),
    "topk": (lambda m, x: x.topk(2), S),
    "topk smallest": (lambda m, x: m.topk(x, k=2, dim=0, largest=False), S),
    "topk all": (lambda m, x: x.topk(4, dim=1, sorted=True), S),
    "sort": (lambda m, x: x.sort(), S),
    "sort named": (lambda m, x: m.sort(x, dim=0, descending=True), S),
    "sort stable": (lambda m, x: m.sort(x, stable=True), ties(3, 6)),
    "argsort": (lambda m, x: (x.argsort(), m.argsort(x, dim=0, descending=True)), S),
    "argsort stable": (lambda m, x: m.argsort(x, dim=1, descending=True, stable=True), ties(3, 6)),
    "unique": (lambda m, a: m.unique(a), ints(3, 4)),
    "unique counts": (lambda m, a: m.unique(a, return_inverse=True, return_counts=True), ints(3, 4)),
    "searchsorted": (lambda m, x, y: m.searchsorted(x.detach().sort().values, y.detach()), (6,), (3,)),
    "bucketize": (lambda m, x: m.bucketize(x.detach(), m.tensor([-1.0, 0.0, 1.0], dtype=x.dtype), right=True), S),
    "bincount": (lambda m, a: (m.bincount(a), a.bincount(minlength=9)), ids(5, 7)),
    "isin": (lambda m, a: m.isin(a, m.tensor([1, 2])), ints(3, 4)),
    # layers
    "layer_norm": (lambda m, x, w, b: F(m).layer_norm(x, (4,), w, b), (2, 3, 4), (4,), (4,)),
    "layer_norm two axes": (lambda m, x: F(m).layer_norm(x, [3, 4], eps=1e-3), (2, 3, 4)),
    "rms_norm": (lambda m, x, w: F(m).rms_norm(x, (4,), weight=w), (2, 3, 4), (4,)),
    "rms_norm eps": (lambda m, x: F(m).rms_norm(x, (4,), eps=0.1), (2, 3, 4)),
    "embedding": (lambda m, i, w: F(m).embedding(i, w), ids(5, 2, 3), (5, 4)),
    "embedding padding": (lambda m, i, w: F(m).embedding(i, w, padding_idx=-1), ids(5, 2, 3), (5, 4)),
    "dropout off": (lambda m, x: F(m).dropout(x, p=0.5, training=False), S),
    "dropout 0": (lambda m, x: F(m).dropout(x, 0.0), S),
    "dropout 1": (lambda m, x: F(m).dropout(x, 1.0), S),
    "attention": (lambda m, q, k, v: F(m).scaled_dot_product_attention(q, k, v), (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 6)),
    "attention causal": (lambda m, q, k, v: F(m).scaled_dot_product_attention(q, k, v, is_causal=True),
                         (2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4)),
    "attention causal long": (lambda m, q, k, v: F(m).scaled_dot_product_attention(q, k, v, is_causal=True),
                              (2, 3, 4), (2, 5, 4), (2, 5, 4)),
    "attention bool mask": (lambda m, q, k, v, mask: F(m).scaled_dot_product_attention(
                                q, k, v, attn_mask=mask | m.eye(3, 5).bool()),
                            (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), bools(3, 5)),
    "attention float mask": (lambda m, q, k, v, mask: F(m).scaled_dot_product_attention(q, k, v, mask, scale=0.3),
                             (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), (2, 1, 3, 5)),
    "attention 2-d": (lambda m, q, k, v: F(m).scaled_dot_product_attention(q, k, v), (3, 4), (5, 4), (5, 4)),
    "attention gqa": (lambda m, q, k, v: F(m).scaled_dot_product_attention(q, k, v, enable_gqa=True),
                      (2, 4, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)),
    "cross_entropy": (lambda m, x, t: F(m).cross_entropy(x, t), (5, 4), ids(4, 5)),
    "cross_entropy all": (lambda m, x, t, w: F(m).cross_entropy(x, t, weight=w, ignore_index=1, label_smoothing=0.1),
                          (5, 4), ids(4, 5), weights(4)),
    "cross_entropy none": (lambda m, x, t: F(m).cross_entropy(x, t, reduction="none", ignore_index=0), (5, 4), ids(4, 5)),
    "cross_entropy sum": (lambda m, x, t: F(m).cross_entropy(x, t, reduction="sum"), (2, 4, 3), ids(4, 2, 3)),
    "cross_entropy 1-d": (lambda m, x, t: F(m).cross_entropy(x, t), (4,), ids(4)),
    "cross_entropy probabilities": (lambda m, x, t: F(m).cross_entropy(x, t.softmax(1), label_smoothing=0.2),
                                    (5, 4), fixed(5, 4)),
    "cross_entropy weighted probabilities": (lambda m, x, t, w: F(m).cross_entropy(
                                                 x, t.softmax(1), weight=w, reduction="none"),
                                             (5, 4, 2), fixed(5, 4, 2), weights(4)),
    "nll_loss": (lambda m, x, t: F(m).nll_loss(F(m).log_softmax(x, -1), t), (5, 4), ids(4, 5)),
    "nll_loss weight": (lambda m, x, t, w: F(m).nll_loss(x, t, weight=w, ignore_index=2, reduction="sum"),
                        (5, 4), ids(4, 5), weights(4)),
    "nll_loss none": (lambda m, x, t: F(m).nll_loss(x, t, ignore_index=2, reduction="none"), (2, 4, 3), ids(4, 2, 3)),
    "mse_loss": (lambda m, x, y: F(m).mse_loss(x, y), S, S),
    "mse_loss sum": (lambda m, x, y: F(m).mse_loss(input=x, target=y, reduction="sum"), S, S),
    "mse_loss none": (lambda m, x, y: F(m).mse_loss(x, y, reduction="none"), S, S),
    "mse_loss broadcast": (lambda m, x, y: F(m).mse_loss(x, y), (3, 1), (4,)),
    "l1_loss": (lambda m, x, y: F(m).l1_loss(x, y), ties(3, 4), ties(3, 4)),
    "smooth_l1_loss": (lambda m, x, y: F(m).smooth_l1_loss(x, y, beta=0.5), ties(3, 4), S),
    "smooth_l1_loss beta 0": (lambda m, x, y: F(m).smooth_l1_loss(x, y, beta=0.0), ties(3, 4), ties(3, 4)),
    "smooth_l1_loss kink": (lambda m, x, y: F(m).smooth_l1_loss(x, y, reduction="none"), ties(3, 4), ties(3, 4)),
    "huber_loss": (lambda m, x, y: F(m).huber_loss(x, y, delta=0.5), S, S),
    "mse_loss weighted": (lambda m, x, y, w: F(m).mse_loss(x, y, weight=w), S, S, S),
    "l1_loss weighted": (lambda m, x, y, w: F(m).l1_loss(x, y, reduction="none", weight=w), S, S, S),
    "huber_loss infinite": (lambda m, x, y: F(m).huber_loss(x, y, reduction="none"),
                            Of(lambda r, s: np.array([np.inf, -np.inf, 1.0, 1e-6]), 4), Of(lambda r, s: np.zeros(4), 4)),
    "smooth_l1_loss infinite": (lambda m, x, y: F(m).smooth_l1_loss(x, y, reduction="none", beta=0.5),
                                Of(lambda r, s: np.array([np.inf, -np.inf, 0.5, 1e-6]), 4), Of(lambda r, s: np.zeros(4), 4)),
    "huber_loss weighted": (lambda m, x, y, w: F(m).huber_loss(x, y, weight=w), S, S, S),
    "huber_loss kink": (lambda m, x, y: F(m).huber_loss(x, y, reduction="sum", delta=1.0), ties(3, 4), ties(3, 4)),
    "kl_div": (lambda m, x, y: F(m).kl_div(x.log_softmax(1), y.softmax(1), reduction="batchmean"), S, S),
    "kl_div log": (lambda m, x, y: F(m).kl_div(x, y, reduction="sum", log_target=True), S, S),
    "kl_div zeros": (lambda m, x, y: F(m).kl_div(x, abs(y.detach()), reduction="none"), S, zeros(3, 4)),
    "bce": (lambda m, x, y: F(m).binary_cross_entropy(x, y), chance(3, 4), chance(3, 4)),
    "bce weight": (lambda m, x, y, w: F(m).binary_cross_entropy(x, y, weight=w, reduction="sum"),
                   chance(3, 4), chance(3, 4), fixed(4)),
    "bce logits": (lambda m, x, y: F(m).binary_cross_entropy_with_logits(x, y), S, chance(3, 4)),
    "bce logits large": (lambda m, x, y: F(m).binary_cross_entropy_with_logits(x, y), large(3, 4), chance(3, 4)),
    "bce logits pos_weight": (lambda m, x, y, w: F(m).binary_cross_entropy_with_logits(x, y, pos_weight=w, reduction="none"),
                              S, chance(3, 4), weights(4)),
    "normalize": (lambda m, x: F(m).normalize(x, dim=1), S),
    "normalize p": (lambda m, x: F(m).normalize(x, p=1.0, dim=-1), S),
    "cosine_similarity": (lambda m, x, y: F(m).cosine_similarity(x, y, dim=1), S, S),
    "cosine_similarity broadcast": (lambda m, x, y: m.cosine_similarity(x, y, dim=-1), (3, 1, 4), (2, 4)),
    "pairwise_distance": (lambda m, x, y: F(m).pairwise_distance(x, y), S, S),
    "pad": (lambda m, x: F(m).pad(x, (1, 2)), S),
    "pad value": (lambda m, x: F(m).pad(x, (1, 0, 2, 1), "constant", 3.0), S),
    "pad negative": (lambda m, x: F(m).pad(x, (-1, 1)), S),
    "pad reflect": (lambda m, x: F(m).pad(x, (1, 2), mode="reflect"), (2, 3, 4)),
    "pad replicate": (lambda m, x: F(m).pad(x, (1, 2), mode="replicate"), (2, 3, 4)),
    "pad circular": (lambda m, x: F(m).pad(x, (1, 2), mode="circular"), (2, 3, 4)),
    "pad bool": (lambda m, a: F(m).pad(a, (1, 1), value=True), bools(3, 4)),
    "glu": (lambda m, x: F(m).glu(x), (3, 4)),
    "glu dim": (lambda m, x: F(m).glu(x, dim=0), (4, 3)),
}

COMPARISONS = [(c, d, l) for c, d, l in itertools.product(CASES, ("float32", "float64"), LAYOUTS)
               if l == "contiguous" or l in {name for a in arrays_of(c, d, "contiguous")[0] for name, _ in layouts(a)}]


@pytest.mark.parametrize(("case", "dtype", "layout"), COMPARISONS)
def test_same_as_pytorch(torch, case, dtype, layout):
    compare(torch, case, dtype, layout)


# ---------------------------------------------------------------------------------------------------------------------
# shapes that are easily forgotten: no axes, no elements, one element

SHAPES = [(), (0,), (1,), (0, 3), (3, 0), (1, 1), (2, 1, 3)]
ON_ANY_SHAPE = {
    "exp": lambda m, x: x.exp(), "relu": lambda m, x: x.relu(), "gelu": lambda m, x: F(m).gelu(x),
    "sort": lambda m, x: x.sort(), "sigmoid": lambda m, x: x.sigmoid(), "x * x": lambda m, x: x * x,
    "sum": lambda m, x: x.sum(), "sum 0": lambda m, x: x.sum(0), "sum -1": lambda m, x: x.sum(-1, keepdim=True),
    "mean": lambda m, x: x.mean(), "mean 0": lambda m, x: x.mean(0), "prod": lambda m, x: x.prod(),
    "prod 0": lambda m, x: x.prod(0), "amax": lambda m, x: x.amax(), "amin 0": lambda m, x: x.amin(0),
    "max": lambda m, x: x.max(), "max 0": lambda m, x: x.max(0), "min -1": lambda m, x: x.min(-1),
    "argmax": lambda m, x: x.argmax(), "argmin 0": lambda m, x: x.argmin(0), "all": lambda m, x: x.all(),
    "any 0": lambda m, x: x.any(0), "norm": lambda m, x: x.norm(), "norm 0": lambda m, x: x.norm(dim=0),
    "logsumexp": lambda m, x: x.logsumexp(0), "cumsum": lambda m, x: x.cumsum(0), "cumprod": lambda m, x: x.cumprod(-1),
    "softmax": lambda m, x: x.softmax(0), "log_softmax": lambda m, x: x.log_softmax(-1),
    "var": lambda m, x: x.var(correction=0), "std 0": lambda m, x: x.std(0, unbiased=False),
    "median": lambda m, x: x.median(), "reshape": lambda m, x: x.reshape(-1), "view": lambda m, x: x.view(x.shape),
    "flatten": lambda m, x: x.flatten(), "squeeze": lambda m, x: x.squeeze(), "squeeze 0": lambda m, x: x.squeeze(0),
    "unsqueeze": lambda m, x: x.unsqueeze(-1), "T": lambda m, x: x.transpose(0, -1),
    "mT": lambda m, x: x.mT if x.ndim else x, "t": lambda m, x: x.t(), "flip": lambda m, x: x.flip(0),
    "roll": lambda m, x: x.roll(1), "repeat": lambda m, x: x.repeat(2, 2, 2), "tile": lambda m, x: x.tile(2),
    "cat": lambda m, x: m.cat([x, x]), "stack": lambda m, x: m.stack([x, x]), "split": lambda m, x: x.split(1),
    "chunk": lambda m, x: x.chunk(2), "unbind": lambda m, x: x.unbind(0), "expand": lambda m, x: x.expand(2, 2, 1, 3),
    "x[0]": lambda m, x: x[0], "x[None]": lambda m, x: x[None], "x[...]": lambda m, x: x[...],
    "x[:1]": lambda m, x: x[:1], "x[mask]": lambda m, x: x[x > 0], "x[[]]": lambda m, x: x[m.tensor([], dtype=m.int64)],
    "topk": lambda m, x: x.topk(1), "masked_fill": lambda m, x: x.masked_fill(x > 0, 1.0),
    "where": lambda m, x: m.where(x > 0, x, -x), "diff": lambda m, x: x.diff(), "nonzero": lambda m, x: x.nonzero(),
    "tril": lambda m, x: x.tril(), "diagonal": lambda m, x: x.diagonal(), "x @ xT": lambda m, x: x @ x.mT,
    "outer": lambda m, x: m.outer(x, x), "x + x[0]": lambda m, x: x + x[:1], "pad": lambda m, x: F(m).pad(x, (1, 1)),
    "mse": lambda m, x: F(m).mse_loss(x, x * 0), "movedim": lambda m, x: x.movedim(0, -1),
    "l1 none": lambda m, x: F(m).l1_loss(x, x * 0, reduction="none"),
    "normalize": lambda m, x: F(m).normalize(x, dim=0), "layer_norm": lambda m, x: F(m).layer_norm(x, x.shape[-1:]),
    "linear": lambda m, x: F(m).linear(x, m.ones(2, 3)), "index_select": lambda m, x: x.index_select(0, m.tensor([0])),
    "repeat_interleave": lambda m, x: x.repeat_interleave(2), "clone": lambda m, x: x.clone(),
    "double": lambda m, x: x.double(), "item": lambda m, x: x.item(), "len": lambda m, x: len(x),
}


def outcome(m, function, array):
    x = m.from_numpy(array.copy()).requires_grad_()
    try:
        return run(m, function, [x])
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return error


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ON_ANY_SHAPE)
def test_odd_shapes(torch, name, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours, theirs = (outcome(m, ON_ANY_SHAPE[name], array) for m in (mt, torch))
    if isinstance(theirs, Exception):
        assert isinstance(ours, type(theirs)), f"{name} {shape}: PyTorch raises {theirs!r}, ours {ours!r}"
        return
    assert not isinstance(ours, Exception), f"{name} {shape}: {ours!r}"
    for a, b in zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True):
        if b is None or not hasattr(b, "shape"):
            assert a == b
            continue
        a, b = plain(a), plain(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{name} {shape}"
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# the dtype of a result

OPERANDS = [*[np.ones(3, d) for d in ("float32", "float64", "int64", "int32", "uint8", "bool")],
            *[np.ones((), d) for d in ("float32", "float64", "int64", "bool")], 2, 2.5, True]
PAIRS = ["add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "eq", "lt", "where", "maximum", "cat", "clamp",
         "addalpha"]


def combine(m, op, a, b):
    a, b = (m.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for v in (a, b))
    try:
        y = (m.where(m.tensor([True, False, True]), a, b) if op == "where" else m.cat([a, b]) if op == "cat" else
             m.clamp(a, min=b) if op == "clamp" else m.add(a, b, alpha=2) if op == "addalpha" else getattr(m, op)(a, b))
        return str(y.dtype).replace("torch.", ""), tuple(y.shape)
    except (RuntimeError, TypeError) as error:
        return error


@pytest.mark.parametrize("op", PAIRS)
def test_result_dtypes(torch, op):
    wrong = []
    for a, b in itertools.product(OPERANDS, OPERANDS):
        if isinstance(a, np.ndarray) and not (op == "pow" and a.dtype == bool):
            ours, theirs = combine(mt, op, a, b), combine(torch, op, a, b)
            if ours != theirs and not isinstance(theirs, Exception):
                wrong.append((getattr(a, "dtype", a), np.shape(a), getattr(b, "dtype", b), np.shape(b), ours, theirs))
    assert not wrong


@pytest.mark.parametrize("name", [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "asinh", "acosh", "atanh", "tanh", "sigmoid", "erf", "erfc"])
def test_float32_is_as_exact_as_pytorch(torch, name):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=5000), rng.normal(size=5000) * 10, rng.random(5000)]).astype(np.float32)
    truth = getattr(torch, name)(torch.tensor(x).double()).numpy()
    kept = np.isfinite(truth) & (np.abs(truth) > 1e-30)

    def units(y):
        return (np.abs(y[kept] - truth[kept]) / np.abs(truth[kept])).max() / np.finfo(np.float32).eps

    ours, theirs = getattr(mt, name)(mt.tensor(x)).numpy(), getattr(torch, name)(torch.tensor(x)).numpy()
    assert units(ours) <= units(theirs) + 1

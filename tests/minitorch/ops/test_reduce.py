"""Reductions: gradients against finite differences, ties and kinks by hand, everything against PyTorch."""

import numpy as np
import pytest

import minitorch as mt

from op_checks import check_against_differences, check_against_pytorch

INF = float("inf")
CASES = {
    "sum": (lambda m, x: m.sum(x), (3, 5)),
    "sum dim": (lambda m, x: m.sum(x, 1), (3, 5)),
    "sum dims": (lambda m, x: m.sum(x, (0, -1), keepdim=True), (3, 2, 4)),
    "sum ()": (lambda m, x: x.sum(()), (3, 2)),
    "sum 0-d": (lambda m, x: x.sum(0), ()),
    "sum axis": (lambda m, x: x.sum(axis=0, keepdims=True), (3, 2)),
    "mean": (lambda m, x: x.mean(), (3, 5)),
    "mean dims": (lambda m, x: x.mean((1, 0)), (3, 2, 4)),
    "mean keepdim": (lambda m, x: x.mean(-1, True), (3, 5)),
    "var": (lambda m, x: x.var(), (3, 5)),
    "var false": (lambda m, x: x.var(False), (3, 5)),
    "var dim": (lambda m, x: x.var(1, False, True), (3, 5)),
    "var correction": (lambda m, x: x.var((0, 2), correction=2, keepdim=True), (3, 2, 4)),
    "std": (lambda m, x: x.std(), (3, 5)),
    "std dim": (lambda m, x: x.std(0, unbiased=False), (3, 5)),
    "var_mean": (lambda m, x: m.var_mean(x, 1), (3, 5)),
    "std_mean": (lambda m, x: m.std_mean(x, 0, keepdim=True), (3, 5)),
    "prod": (lambda m, x: x.prod(), (2, 3)),
    "prod dim": (lambda m, x: x.prod(0, keepdim=True), (4, 3)),
    "prod zeros": (lambda m, x: (x * m.tensor([0.0, 1, 1, 1, 2], dtype=x.dtype)).prod(1), (3, 5)),
    "logsumexp": (lambda m, x: x.logsumexp(1), (3, 5)),
    "logsumexp dims": (lambda m, x: x.logsumexp((0, 2), True), (3, 2, 4)),
    "amax": (lambda m, x: x.amax(), (3, 5)),
    "amax dims": (lambda m, x: x.amax((0, 2), keepdim=True), (3, 2, 4)),
    "amin": (lambda m, x: x.amin(-1), (3, 5)),
    "max": (lambda m, x: x.max(), (3, 5)),
    "min": (lambda m, x: x.min(), (3, 5)),
    "max dim": (lambda m, x: x.max(1), (3, 5)),
    "min dim": (lambda m, x: m.min(x, 0, keepdim=True), (3, 5)),
    "max other": (lambda m, x, y: m.max(x, y), (3, 5), (5,)),
    "max 0-d": (lambda m, x: x.max(0), ()),
    "median": (lambda m, x: x.median(), (3, 4)),
    "median dim": (lambda m, x: x.median(1, True), (3, 4)),
    "cumsum": (lambda m, x: x.cumsum(0), (3, 5)),
    "cumsum last": (lambda m, x: x.cumsum(-1), (3, 5)),
    "cumprod": (lambda m, x: x.cumprod(1), (3, 5)),
    "cumprod zeros": (lambda m, x: (x * m.tensor([1.0, 0, 1, 0, 2], dtype=x.dtype)).cumprod(1), (3, 5)),
    **{f"norm {p}": (lambda m, x, p=p: x.norm(p, 1), (3, 5)) for p in (1, 2, 3, 0.5, INF, -INF, -1, 2.5)},
    "norm all": (lambda m, x: x.norm(), (3, 5)),
    "norm dims": (lambda m, x: x.norm(2, (0, 2), True), (3, 2, 4)),
    "vector_norm": (lambda m, x: m.linalg.vector_norm(x, 3, (0, 1)), (3, 5)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_gradient_agrees_with_finite_differences(name, backend):
    function, *shapes = CASES[name]
    check_against_differences(function, shapes, backend)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_with_pytorch(name, dtype, torch):
    function, *shapes = CASES[name]
    check_against_pytorch(torch, function, shapes, dtype)


SAME = {
    "sum int": lambda m: m.tensor([[1, 2], [3, 4]]).sum(0),
    "sum bool": lambda m: m.tensor([True, True, False]).sum(),
    "sum dtype": lambda m: m.tensor([1, 2]).sum(dtype=m.float64),
    "sum empty": lambda m: m.zeros(0, 3).sum(0),
    "prod int": lambda m: m.tensor([2, 3]).prod(),
    "prod empty": lambda m: m.zeros(0).prod(),
    "mean empty": lambda m: m.zeros(0).mean(),
    "mean dtype": lambda m: m.tensor([1, 2]).mean(dtype=m.float32),
    "cumsum bool": lambda m: m.tensor([True, False, True]).cumsum(0),
    "cumsum int": lambda m: m.tensor([[1, 2], [3, 4]]).cumsum(1),
    "all": lambda m: m.tensor([[True, False], [True, True]]).all(1),
    "all float": lambda m: m.tensor([1.0, 0.0]).all(),
    "any": lambda m: m.tensor([[True, False], [False, False]]).any(0, True),
    "any empty": lambda m: m.zeros(0).any(),
    "argmax": lambda m: m.tensor([[1.0, 3, 3], [3, 2, 1]]).argmax(),
    "argmax dim": lambda m: m.tensor([[1.0, 3, 3], [3, 2, 1]]).argmax(1, keepdim=True),
    "argmin nan": lambda m: m.tensor([1.0, float("nan"), 0, float("nan")]).argmin(),
    "max ties": lambda m: m.tensor([[1.0, 3, 3], [3, 3, 1]]).max(1),
    "min ties": lambda m: m.tensor([[1.0, 3, 1], [3, 3, 1]]).min(0),
    "max nan": lambda m: m.tensor([1.0, float("nan"), 2]).max(0),
    "amax nan": lambda m: m.tensor([1.0, float("nan"), 2]).amax(0),
    "max int": lambda m: m.tensor([1, 5, 2]).max(),
    "median nan": lambda m: m.tensor([1.0, float("nan"), 2]).median(0),
    "median ties": lambda m: m.tensor([[1.0, 3, 3], [3, 3, 1]]).median(1),
    "count_nonzero": lambda m: m.tensor([[1, 0], [0, 0]]).count_nonzero(0),
    "norm 0": lambda m: m.tensor([[1.0, 0], [2, 3]]).norm(0, 1),
    "logsumexp inf": lambda m: m.tensor([[-INF, -INF], [INF, 1], [1, -INF]]).logsumexp(1),
}


@pytest.mark.parametrize("name", SAME)
def test_values_and_dtypes_are_pytorchs(name, torch):
    expected, got = SAME[name](torch), SAME[name](mt)
    several = isinstance(expected, tuple)
    for e, g in zip(expected if several else [expected], got if several else [got], strict=True):
        assert str(e.dtype) == f"torch.{g.dtype}"
        assert tuple(e.shape) == g.shape
        np.testing.assert_array_equal(g.data, e.numpy())


def grad_of(function, values):
    x = mt.tensor(values, dtype=mt.float64, requires_grad=True)
    function(x).backward()
    return x.grad.tolist()


def test_elements_that_tie_share_evenly():
    third = [1 / 3, 0, 1 / 3, 1 / 3]
    assert grad_of(lambda x: x.max(), [3, 1, 3, 3]) == third
    assert grad_of(lambda x: x.amax(0), [3, 1, 3, 3]) == third
    assert grad_of(lambda x: x.min(), [-3, 1, -3, -3]) == third
    assert grad_of(lambda x: x.norm(INF), [3, 1, -3, 0]) == [0.5, 0, -0.5, 0]
    assert grad_of(lambda x: x.median(), [2, 1, 2, 3]) == [0.5, 0, 0.5, 0]


def test_a_picked_element_gets_all_of_the_gradient():
    assert grad_of(lambda x: x.max(0).values, [1, 3, 3]) == [0, 1, 0]
    assert grad_of(lambda x: x.min(0).values, [3, 1, 1]) == [0, 1, 0]


def test_at_the_kinks():
    assert grad_of(lambda x: x.norm(), [0, 0]) == [0, 0]
    assert grad_of(lambda x: x.std(), [2, 2, 2]) == [0, 0, 0]
    assert grad_of(lambda x: x.norm(1), [0, -2]) == [0, -1]
    assert grad_of(lambda x: x.prod(), [0, 2, 3]) == [6, 0, 0]
    assert grad_of(lambda x: x.prod(), [0, 2, 0]) == [0, 0, 0]
    assert grad_of(lambda x: x.cumprod(0).sum(), [0, 2, 3]) == [9, 0, 0]
    assert grad_of(lambda x: x.cumprod(0).sum(), [1, 0, 0]) == [1, 1, 0]


def test_norm_of_large_and_small_numbers():
    assert mt.tensor([3e30, 4e30]).norm().item() == pytest.approx(5e30, rel=1e-6)
    assert mt.tensor([3e-30, 4e-30]).norm().item() == pytest.approx(5e-30, rel=1e-6)


@pytest.mark.parametrize("layout", ["first axis", "strided", "fortran"])
def test_float32_sums_are_accurate(layout):
    a = (np.random.default_rng(0).standard_normal((20000, 3)) + 1000).astype(np.float32)
    a = {"first axis": a, "strided": np.repeat(a, 2, 1)[:, ::2], "fortran": np.asfortranarray(a)}[layout]
    for x, dim in ((a, 0), (a.T, 1)):
        got, truth = mt.as_tensor(x).mean(dim).data, x.astype(np.float64).mean(dim)
        np.testing.assert_allclose(got, truth, rtol=1e-7)


def test_float32_products_are_accurate():
    a = (1 + 0.01 * np.random.default_rng(0).standard_normal((2, 50000))).astype(np.float32)
    wide = a.astype(np.float64)
    x = mt.tensor(a, requires_grad=True)
    np.testing.assert_allclose(x.cumprod(1).data, wide.cumprod(1), rtol=1e-7)
    np.testing.assert_allclose(x.prod(1).data, wide.prod(1), rtol=1e-7)
    x.prod(1).sum().backward()
    np.testing.assert_allclose(x.grad.data, wide.prod(1, keepdims=True) / wide, rtol=1e-6)


def test_numpy_functions_work_on_tensors():
    x = mt.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert np.sum(x).item() == 11 and np.mean(x, axis=0).tolist() == [2, 3.5] and np.max(x).item() == 5
    assert np.argmax(x).item() == 3 and np.prod(x).item() == 30


@pytest.mark.parametrize("call, error, text", [
    (lambda x: x.sum(5), IndexError, r"sum: dimension out of range \[-2, 1\], got 5"),
    (lambda x: x.sum((0, 0)), RuntimeError, "sum: dim names an axis twice"),
    (lambda x: x.sum("a"), TypeError, "sum: dim must be an int, got str"),
    (lambda x: x.sum(out=x), TypeError, "out= is not supported"),
    (lambda x: x.long().mean(), RuntimeError, "mean: expected a float tensor, got int64"),
    (lambda x: x[:0].max(), RuntimeError, "max: shape .* has no elements"),
    (lambda x: x[:0].max(0), IndexError, "max: axis 0 .* is empty"),
    (lambda x: x[:0].amax(0), IndexError, "amax: axis 0 .* is empty"),
    (lambda x: x[:0].argmax(), IndexError, "argmax: .* no elements"),
    (lambda x: x.long().std(), RuntimeError, "std: expected a float tensor"),
    (lambda x: x.long().norm(), RuntimeError, "norm: expected a float tensor"),
    (lambda x: x.norm("nuc"), ValueError, "norm: p must be"),
])
def test_messages(call, error, text):
    with pytest.raises(error, match=text):
        call(mt.ones(2, 3))


def test_no_degrees_of_freedom_warns():
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert np.isnan(mt.tensor([1.0]).std().item())

"""Indices: gradients against finite differences, duplicates, ranges by name, everything against PyTorch."""

import numpy as np
import pytest

import minitorch as mt

from op_checks import check_against_complex_step, check_against_differences, check_against_pytorch


def at(index):
    """x[index], lists of ints and bools made tensors of either library."""
    def pick(m, x):
        def make(i):
            return m.tensor(i) if isinstance(i, list) else i
        return x[tuple(make(i) for i in index) if isinstance(index, tuple) else make(index)]
    return pick


COLON, SPLIT = slice(None), slice(1, None, 2)
CASES = {
    "int": (at(1), (3, 4)),
    "negative": (at((-1, -2)), (3, 4)),
    "slice": (at((SPLIT, slice(-3, -1))), (4, 4)),
    "none": (at((None, 0, ..., None)), (3, 4)),
    "ellipsis": (at((..., 1)), (2, 3, 4)),
    "array": (at([2, 0, 2]), (3, 4)),
    "array 2-d": (at([[2, 0], [-1, 1]]), (3, 4)),
    "array and slice": (at((COLON, [1, 1, 3])), (3, 4)),
    "arrays": (at(([0, 1, 1], [2, 3, 3])), (3, 4)),
    "arrays broadcast": (at(([[0], [1]], [2, 3, 3])), (3, 4)),
    "arrays apart": (at(([0, 1], COLON, [2, 3])), (3, 2, 4)),
    "int first": (at((0, COLON, [1, 2])), (3, 2, 4)),
    "int last": (at((COLON, [1, 0], COLON, 0)), (3, 2, 4, 2)),
    "int between": (at((COLON, 0, None, [1, 2], slice(0, 1))), (3, 2, 4, 2)),
    "int and arrays": (at((0, ..., [1, 1], [0, 1])), (3, 2, 4, 2)),
    "int and mask": (at((1, COLON, [True, False, True, False])), (3, 2, 4)),
    "int next to array": (at(([1, 2], 0)), (3, 4)),
    "mask": (at([True, False, True]), (3, 4)),
    "mask 2-d": (at([[True, False], [False, True], [True, True]]), (3, 2, 4)),
    "mask and array": (at(([True, False, True], [1, 3])), (3, 4)),
    "bool": (at(True), (3, 2)),
    "empty list": (lambda m, x: x[m.zeros(0, dtype=m.int64)], (3, 2)),
    "index_select": (lambda m, x: x.index_select(1, m.tensor([3, 0, 3])), (2, 4)),
    "gather": (lambda m, x: x.gather(1, m.tensor([[0, 0, 3], [1, 2, 1]])), (3, 4)),
    "gather 0": (lambda m, x: m.gather(x, 0, m.tensor([[2, 0, 2]])), (3, 4)),
    "take_along_dim": (lambda m, x: m.take_along_dim(x, m.tensor([[1], [0], [2]]), 1), (3, 4)),
    "take_along_dim broadcast": (lambda m, x: m.take_along_dim(x, m.tensor([[1, 3]]), 1), (3, 4)),
    "take_along_dim flat": (lambda m, x: m.take_along_dim(x, m.tensor([5, 5, 0])), (3, 4)),
    "scatter": (lambda m, x, s: x.scatter(1, m.tensor([[0, 2], [3, 1]]), s), (3, 4), (2, 2)),
    "scatter larger src": (lambda m, x, s: x.scatter(1, m.tensor([[0, 2]]), s), (3, 4), (2, 3)),
    "scatter value": (lambda m, x: x.scatter(0, m.tensor([[0, 2, 1]]), 7.0), (3, 4)),
    "scatter_add": (lambda m, x, s: x.scatter_add(0, m.tensor([[0, 0, 1], [0, 2, 1]]), s), (3, 4), (2, 3)),
    "scatter_add larger src": (lambda m, x, s: x.scatter_add(0, m.tensor([[0, 0]]), s), (3, 4), (2, 4)),
    "index_add": (lambda m, x, s: x.index_add(1, m.tensor([2, 0, 2]), s), (3, 4), (3, 3)),
    "index_add alpha": (lambda m, x, s: x.index_add(0, m.tensor([1, 1]), s, alpha=2), (3, 4), (2, 4)),
    "masked_fill": (lambda m, x: x.masked_fill(m.tensor([True, False, False, True]), -5.0), (3, 4)),
    "masked_fill tensor": (lambda m, x, v: x.masked_fill(m.tensor([[True], [False], [True]]), v), (3, 4), ()),
    "masked_select": (lambda m, x: x.masked_select(m.tensor([True, False, True, True])), (3, 4)),
    "sort": (lambda m, x: x.sort(), (3, 4)),
    "sort descending": (lambda m, x: m.sort(x, dim=0, descending=True), (3, 4)),
    "topk": (lambda m, x: x.topk(2), (3, 4)),
    "topk smallest": (lambda m, x: m.topk(x, 2, 0, largest=False), (3, 4)),
    "topk 0-d": (lambda m, x: x.topk(1), ()),
}


# (made of two ops, with a number's dtype between them that complex numbers do not have)
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("index_add alpha", "masked_fill tensor",)])
def test_gradient_agrees_with_a_complex_step(name):
    function, *shapes = CASES[name]
    check_against_complex_step(function, shapes)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_gradient_agrees_with_finite_differences(name, backend):
    function, *shapes = CASES[name]
    check_against_differences(function, shapes, backend)


@pytest.mark.parametrize("name", [n for n in CASES if "larger" not in n])  # PyTorch has no gradient for those
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_with_pytorch(name, dtype, torch):
    function, *shapes = CASES[name]
    check_against_pytorch(torch, function, shapes, dtype)


NAN = float("nan")
SAME = {
    "argsort": lambda m: m.tensor([[3.0, 1, 2], [0, 5, 4]]).argsort(0),
    "sort stable": lambda m: m.sort(m.tensor([1.0, 0, 1, 0]), stable=True),
    "sort stable descending": lambda m: m.sort(m.tensor([1.0, 0, 1, 0]), descending=True, stable=True),
    "sort nan": lambda m: m.tensor([1.0, NAN, 2]).sort(),
    "sort nan descending": lambda m: m.tensor([1.0, NAN, 2]).sort(descending=True),
    "topk nan": lambda m: m.tensor([1.0, NAN, 2]).topk(2),
    "topk nan smallest": lambda m: m.tensor([1.0, NAN, 2]).topk(2, largest=False),
    "sort int": lambda m: m.tensor([3, 1, 2]).sort(),
    "nonzero": lambda m: m.tensor([[1, 0], [0, 2]]).nonzero(),
    "nonzero tuple": lambda m: m.tensor([[1, 0], [0, 2]]).nonzero(as_tuple=True),
    "bincount": lambda m: m.bincount(m.tensor([0, 2, 2]), minlength=5),
    "gather int": lambda m: m.tensor([5, 6, 7]).gather(0, m.tensor([2, 2])),
    "masked_fill int": lambda m: m.tensor([5, 6]).masked_fill(m.tensor([True, False]), -1),
    "mask empty": lambda m: m.tensor([1.0, 2.0])[m.tensor([False, False])],
    "0-d mask": lambda m: m.tensor([1.0, 2.0])[m.tensor(False)],
    "dots twice": lambda m: m.tensor([[1.0, 2.0]])[..., ...],
}


@pytest.mark.parametrize("name", SAME)
def test_values_and_dtypes_are_pytorchs(name, torch):
    expected, got = SAME[name](torch), SAME[name](mt)
    several = isinstance(expected, tuple)
    for e, g in zip(expected if several else [expected], got if several else [got], strict=True):
        assert str(e.dtype) == f"torch.{g.dtype}"
        assert tuple(e.shape) == g.shape
        np.testing.assert_array_equal(g.data, e.numpy())


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n][0].__name__ == "pick"])
def test_getitem_gradient_is_exact(name):
    """The gradient of Σ c · x[index] counts how often each element was picked."""
    function, shape = CASES[name]
    x = mt.tensor(np.arange(float(np.prod(shape))).reshape(shape), dtype=mt.float64, requires_grad=True)
    y = function(mt, x)
    c = np.random.default_rng(1).integers(-9, 9, y.shape).astype(float)
    y.backward(mt.tensor(c, dtype=mt.float64))
    expected = np.zeros(x.data.size)
    for place, weight in zip(y.data.ravel(), c.ravel(), strict=True):
        expected[int(place)] += weight
    np.testing.assert_array_equal(x.grad.data.ravel(), expected)


PARTS = [(COLON, 3), 2, (..., slice(1, None, 3)), (None, slice(4, 30), 0), slice(5, 5), (1, 2), (COLON, slice(0, 20)),
         (COLON, 3), [0, 2, 2], (COLON, [1, 1, 4]), ([3, 0, 3], [1, 2, 1])]


@pytest.mark.parametrize("shape", [(32, 40), (5, 6)], ids=["large", "small"])     # of large x they add up in place
@pytest.mark.parametrize("first", range(len(PARTS)))
def test_gradients_of_parts_add_up(first, shape):
    rng = np.random.default_rng(first)
    x = mt.tensor(rng.normal(size=shape), requires_grad=True)
    parts = PARTS[first:] + PARTS[:first]
    weights = [rng.normal(size=x.detach()[index].shape) for index in parts]
    expected = np.full(shape, 2.0)
    for index, weight in zip(parts, weights):
        np.add.at(expected, index, weight)
    held = []
    y = x * 1                                   # not a leaf, and one of its gradients is somebody's
    y.register_hook(held.append)
    loss = sum((y[index] * mt.tensor(weight)).sum() for index, weight in zip(parts, weights)) + (y * 2).sum()
    for times in 1, 2:
        loss.backward(retain_graph=times == 1)
        np.testing.assert_allclose(x.grad.data, times * expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(held[0].data, expected, rtol=0, atol=1e-12)      # the second walk did not write into it


@pytest.mark.parametrize("index", [(0, COLON, [1, 2]), ([0, 1], COLON, [2, 3]), (COLON, 1), ([True, False, True],)])
def test_setitem_writes_where_getitem_reads(index):
    x = mt.zeros(3, 2, 4)
    values = np.arange(1.0, x[index].numel() + 1, dtype=np.float32).reshape(x[index].shape)
    x[index] = values
    np.testing.assert_array_equal(x[index].data, values)
    assert np.count_nonzero(x.data) == values.size


def test_basic_indexing_is_a_view():
    x = mt.zeros(3, 4)
    assert all(np.shares_memory(x.data, x[i].data) for i in (0, slice(1), (..., 1), (None, 1), mt.tensor(1)))


def test_scatter_add_is_the_same_on_every_run():
    rng = np.random.default_rng(0)
    x, ids = mt.tensor(rng.standard_normal(5000)), mt.tensor(rng.integers(0, 3, 5000))
    runs = {mt.zeros(3).scatter_add(0, ids, x.float()).data.tobytes() for _ in range(5)}
    assert len(runs) == 1


def test_one_hot(torch):
    x = [[0, 2], [1, 1]]
    for classes in (-1, 5):
        expected = torch.nn.functional.one_hot(torch.tensor(x), classes)
        assert mt.one_hot(mt.tensor(x), classes).tolist() == expected.tolist()


def test_multinomial():
    mt.manual_seed(3)
    weights = mt.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    drawn = weights.multinomial(4000, replacement=True)
    assert drawn.shape == (2, 4000) and drawn.dtype == mt.int64
    shares = [np.bincount(row, minlength=3) / 4000 for row in drawn.data]
    np.testing.assert_allclose(shares, [[0.25, 0, 0.75], [0, 0.5, 0.5]], atol=0.03)
    both = weights.multinomial(2)
    assert np.sort(both.data).tolist() == [[0, 2], [1, 2]]
    g = mt.Generator().manual_seed(1)
    a = weights.multinomial(5, True, generator=g).tolist()
    assert a == weights.multinomial(5, True, generator=g.manual_seed(1)).tolist()


def ids(*values):
    return mt.tensor(values)


@pytest.mark.parametrize("call, error, text", [
    (lambda x: x[5], IndexError, r"index 5 is out of range \[-2, 1\] for axis 0 of shape \(2, 3\)"),
    (lambda x: x[:, [0, 3]], IndexError, r"index 3 at position 1 is out of range \[-3, 2\] for axis 1"),
    (lambda x: x[0, 0, 0], IndexError, "3 indices for a tensor of shape"),
    (lambda x: x[::-1], ValueError, "step must be positive.*flip"),
    (lambda x: x[[True, False, True]], IndexError, "a mask of shape"),
    (lambda x: x[[0, 1], [0, 1, 2]], IndexError, "do not broadcast"),
    (lambda x: x[1.0], IndexError, "got float"),
    (lambda x: x["a"], TypeError, "got str"),
    (lambda x: x[mt.tensor([1.0])], IndexError, "index tensors hold integers"),
    (lambda x: x.gather(1, mt.tensor([[0, 5]])), IndexError, r"index 5 at position \(0, 1\) is out of range \[0, 2\]"),
    (lambda x: x.gather(1, mt.tensor([[-1]])), RuntimeError, "gather: index -1 .* do not wrap"),
    (lambda x: x.gather(1, ids(0)), RuntimeError, "as many axes"),
    (lambda x: x.gather(0, mt.tensor([[0, 1, 1, 1]])), RuntimeError, "no larger than x"),
    (lambda x: x.gather(0, mt.tensor([[0.0]])), RuntimeError, "gather: index must hold integers"),
    (lambda x: x.index_select(0, ids(2)), IndexError, "index_select: index 2 at position 0"),
    (lambda x: x.index_select(0, ids(-1)), IndexError, "do not wrap"),
    (lambda x: x.scatter(1, mt.tensor([[0]]), mt.tensor([[1]])), RuntimeError, "scatter: src is int64"),
    (lambda x: x.scatter_add(1, mt.tensor([[0, 0]]), mt.tensor([[1.0]])), RuntimeError, "no larger than src"),
    (lambda x: mt.one_hot(ids(0, 3), 2), RuntimeError, r"one_hot: index 3 at position 1 is out of range \[0, 1\]"),
    (lambda x: mt.one_hot(ids(-1)), RuntimeError, "one_hot: index -1"),
    (lambda x: mt.one_hot(x), RuntimeError, "one_hot: ids must be integers"),
    (lambda x: x.topk(5), RuntimeError, r"topk: k must be in \[0, 3\]"),
    (lambda x: x.masked_fill(ids(1, 0, 1), 0), RuntimeError, "mask must be a bool Tensor, got int64"),
    (lambda x: x.masked_fill(mt.tensor([True, False]), 0), RuntimeError, "do not broadcast"),
    (lambda x: x.masked_fill(x > 0, mt.tensor([1.0])), RuntimeError, "0-d tensor"),
    (lambda x: x.long().masked_fill(x > 0, 1.5), RuntimeError, "cannot be a value of int64"),
    (lambda x: x[0].multinomial(4), RuntimeError, "cannot draw 4 of 3"),
    (lambda x: (x[0] * 0).multinomial(1), RuntimeError, "a weight above 0"),
    (lambda x: (-x[0]).multinomial(1), RuntimeError, "finite and not negative"),
])
def test_messages(call, error, text):
    with pytest.raises(error, match=text):
        call(mt.ones(2, 3))

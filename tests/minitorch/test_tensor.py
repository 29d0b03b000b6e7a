"""Tensors: making them, casting, printing, NumPy and DLPack, what may be written in place, Python's protocols."""

import copy

import numpy as np
import pytest

import minitorch as mt
from minitorch.errors import DTypeError, ShapeError

# --- making

def test_tensor_copies():
    a = np.arange(3.0)
    t = mt.tensor(a)
    a[0] = 9
    assert t.tolist() == [0, 1, 2]
    assert mt.tensor(t).data is not t.data


def test_from_numpy_and_as_tensor_share():
    a = np.arange(3.0)
    assert np.shares_memory(mt.from_numpy(a).data, a)
    assert np.shares_memory(mt.as_tensor(a).data, a)
    t = mt.tensor([1.0])
    assert mt.as_tensor(t) is t


@pytest.mark.parametrize("view", [
    lambda a: a[::-1], lambda a: a[::2, ::-2], lambda a: a.T, lambda a: np.broadcast_to(a[0], (2, 4)),
    lambda a: a[1, 2], lambda a: a[:0], lambda a: np.asarray(a[1, 2]), lambda a: np.asfortranarray(a)])
def test_any_strides(view):
    a = view(np.arange(12.0).reshape(3, 4))
    for t in (mt.tensor(a), mt.as_tensor(a)):
        assert t.shape == np.shape(a) and t.dtype == mt.float64
        np.testing.assert_array_equal(t.numpy(), a)
        np.testing.assert_array_equal((t * 2).sum().item(), np.sum(a * 2))


@pytest.mark.parametrize("data, dtype, shape", [
    (1, "int64", ()), (1.5, "float32", ()), (True, "bool", ()), ([1, 2.5], "float32", (2,)),
    ([[1], [2]], "int64", (2, 1)),
    ([], "float32", (0,)), ([[]], "float32", (1, 0)), (np.float64(1), "float64", ()), (np.float32(1), "float32", ()),
    (np.int32([1]), "int32", (1,)), (np.array(2.0), "float64", ()), ([np.float64(1)], "float64", (1,)),
    (range(3), "int64", (3,)),
    ([mt.tensor(1.0), mt.tensor(2)], "float32", (2,)), (np.array([1, 2], ">f8"), "float64", (2,)),
    ([True, False], "bool", (2,))])
def test_dtype_of_data(data, dtype, shape):
    t = mt.tensor(data)
    assert t.dtype == np.dtype(dtype) and t.dtype.isnative and t.shape == shape


def test_explicit_dtype():
    assert mt.tensor([1.7, -1.7], dtype=mt.int64).tolist() == [1, -1]
    assert mt.tensor([0, 2], dtype=mt.bool).tolist() == [False, True]
    assert mt.tensor([1], dtype="float64").dtype == mt.float64


@pytest.mark.parametrize("make, error", [
    (lambda: mt.tensor([[1, 2], [3]]), ValueError), (lambda: mt.tensor("a"), TypeError),
    (lambda: mt.tensor([None]), TypeError),
    (lambda: mt.tensor([1j]), TypeError), (lambda: mt.tensor([1], requires_grad=True), RuntimeError),
    (lambda: mt.zeros(-1), RuntimeError), (lambda: mt.zeros(2.5), TypeError), (lambda: mt.from_numpy([1]), TypeError),
    (lambda: mt.arange(0, 5, 0), RuntimeError), (lambda: mt.arange(5, 0), RuntimeError),
    (lambda: mt.eye(-1), RuntimeError),
    (lambda: mt.randint(5, 5, (2,)), RuntimeError), (lambda: mt.randperm(-1), RuntimeError),
    (lambda: mt.linspace(0, 1, -1), RuntimeError), (lambda: mt.zeros(2, device="cuda"), RuntimeError)])
def test_what_cannot_be_made(make, error):
    with pytest.raises(error):
        make()


def test_sizes_in_every_spelling():
    for t in (mt.zeros(2, 3), mt.zeros((2, 3)), mt.zeros([2, 3]), mt.zeros(size=(2, 3)), mt.ones(size=[2, 3]) - 1):
        assert t.tolist() == [[0.0] * 3] * 2
    assert mt.zeros(()).shape == ()
    assert mt.rand(size=(2,)).shape == mt.randn(2).shape == mt.randint(high=3, size=(2,)).shape == (2,)


def test_patterns():
    assert mt.arange(3).tolist() == mt.arange(end=3).tolist() == [0, 1, 2]
    assert mt.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert mt.arange(0, 1, 0.25).dtype == mt.float32
    assert mt.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
    assert mt.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert mt.full((2,), True).dtype == mt.bool and mt.full((2,), 2).dtype == mt.int64
    assert mt.full((), 2.0).dtype == mt.float32
    x = mt.tensor([1, 2])
    assert mt.zeros_like(x).dtype == mt.int64 and mt.ones_like(x, dtype=mt.float64).dtype == mt.float64
    assert mt.tril_indices(2, 2).tolist() == [[0, 1, 1], [0, 0, 1]]


def test_seeds_repeat():
    draws = []
    for _ in range(2):
        mt.manual_seed(3)
        draws.append([mt.rand(2).tolist(), mt.randn(2).tolist(), mt.randint(9, (3,)).tolist(), mt.randperm(4).tolist()])
    assert draws[0] == draws[1]
    assert mt.rand(1000).min() >= 0 and mt.rand(1000).max() < 1


# --- casting

def test_casts():
    x = mt.tensor([1.5, -2.5])
    assert [t.dtype.name for t in (x.float(), x.double(), x.long(), x.int(), x.bool(), x.half())] == [
        "float32", "float64", "int64", "int32", "bool", "float16"]
    assert x.float() is x and x.to(mt.float32) is x and x.to("cpu") is x
    assert x.to("cpu", mt.float64).dtype == x.to(device="cpu", dtype=mt.float64).dtype == mt.float64
    assert x.type_as(mt.tensor([1])).tolist() == [1, -2]
    assert x.to(mt.float32, copy=True) is not x


def test_gradients_pass_casts():
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.tolist() == [3, 3] and x.grad.dtype == mt.float32


@pytest.mark.parametrize("other, dtype", [
    (2, "float32"), (2.0, "float32"), (np.float64(2), "float32"), (np.int64(2), "float32"),
                                          (mt.tensor(2.0, dtype=mt.float64), "float32"),
                                          (mt.tensor([2], dtype=mt.float64), "float64"),
                                          (mt.tensor([2]), "float32")])
def test_numbers_promote_nothing(other, dtype):
    x = mt.tensor([1.0])
    for y in (x + other, other * x, x / other, x ** other, x - other):
        assert isinstance(y, mt.Tensor) and y.dtype == np.dtype(dtype)


# --- printing

@pytest.mark.parametrize("tensor, text", [
    (mt.tensor(1.5), "tensor(1.5000)"), (mt.tensor(2.0), "tensor(2.)"), (mt.tensor(3), "tensor(3)"),
    (mt.tensor(True), "tensor(True)"),
    (mt.tensor([]), "tensor([])"), (mt.zeros(0, 3), "tensor([], size=(0, 3))"),
    (mt.tensor([1.0, -2.5]), "tensor([ 1.0000, -2.5000])"), (mt.tensor([1, -20]), "tensor([  1, -20])"),
    (mt.tensor([True, False]), "tensor([ True, False])"), (mt.tensor([-0.0, 0.0]), "tensor([-0., 0.])"),
    (mt.tensor([float("nan"), 1.0, float("-inf")]), "tensor([nan, 1., -inf])"),
    (mt.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"), (mt.tensor([1e10]), "tensor([1.0000e+10])"),
    (mt.tensor([1.0], dtype=mt.float64), "tensor([1.], dtype=float64)"),
    (mt.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    (mt.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<Mul>)"),
    (mt.tensor([[1.0, 2.0], [3.0, 4.5]]), "tensor([[1.0000, 2.0000],\n        [3.0000, 4.5000]])"),
    (mt.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    (mt.zeros(2, 1, 2), "tensor([[[0., 0.]],\n\n        [[0., 0.]]])")])
def test_printing(tensor, text):
    assert repr(tensor) == str(tensor) == text


def test_long_rows_wrap_and_big_tensors_are_cut():
    lines = repr(mt.arange(30.0)).splitlines()
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines)
    assert repr(mt.zeros(40, 40)).count("...") == 7


def test_formatting():
    assert f"{mt.tensor(1.2345):.2f}" == "1.23" and f"{mt.tensor(7):03d}" == "007"
    assert f"{mt.tensor([1.0])}" == "tensor([1.])"


def test_print_options():
    try:
        mt.set_printoptions(precision=2, sci_mode=False)
        assert repr(mt.tensor([1e-5, 1.0])) == "tensor([0.00, 1.00])"
    finally:
        mt.set_printoptions(profile="default")


# --- NumPy

def test_arrays_on_either_side_give_tensors():
    x, a = mt.tensor([1.0, 2.0], requires_grad=True), np.array([3.0, 4.0], np.float32)
    for y in (a * x, x * a, a + x, x - a, a - x, a / x, x ** a, np.float64(2) * x, a @ x, x @ a):
        assert isinstance(y, mt.Tensor) and y.requires_grad
    (a * x).sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_ufuncs_say_how_to_do_it():
    x = mt.tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"minitorch\.exp"):
        np.exp(x)


def test_arrays_are_not_written_with_a_gradient_lost():
    a, x = np.ones(2), mt.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="detach"):
        a -= x
    a -= mt.ones(2)
    assert a.tolist() == [0, 0]


def test_asarray_and_testing():
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    np.testing.assert_allclose(x * 2, [2, 4])
    assert not np.asarray(x).flags.writeable
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(mt.ones(2).detach()), np.asarray(mt.ones(2))) is False


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="copy= came with NumPy 2")
def test_copy_is_honoured():
    x = mt.ones(2)
    assert np.shares_memory(np.asarray(x, copy=False), x.data)
    assert not np.shares_memory(np.array(x, copy=True), x.data)
    with pytest.raises(ValueError):
        np.asarray(x, dtype=np.float64, copy=False)


def test_numpy_shares_memory_and_refuses_gradients():
    x = mt.ones(2)
    x.numpy()[0] = 5
    assert x.tolist() == [5, 1]
    with pytest.raises(RuntimeError, match="detach"):
        x.requires_grad_().numpy()
    with mt.no_grad():
        assert x.detach().numpy()[0] == 5


def test_numpy_reductions_stay_tensors():
    x = mt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for y in (np.sum(x, axis=0), np.mean(x, axis=1, keepdims=True), np.max(x)):
        assert isinstance(y, mt.Tensor) and y.requires_grad


def test_dlpack_out_and_in():
    x = mt.arange(6.0).reshape(2, 3)
    a = np.from_dlpack(x)
    assert np.shares_memory(a, x.data)
    assert mt.from_dlpack(np.arange(3.0)).tolist() == [0, 1, 2]
    assert mt.from_dlpack(x.t()).tolist() == x.t().tolist()
    with pytest.raises(BufferError, match="detach"):
        np.from_dlpack(mt.ones(2, requires_grad=True))


# --- in place

def test_augmented_assignment_makes_a_new_tensor():
    x = mt.ones(2)
    y = x
    y += 1
    assert x.tolist() == [1, 1] and y.tolist() == [2, 2]


def test_parameters_are_updated_where_they_stand_inside_no_grad():
    w = mt.ones(2, requires_grad=True)
    before = w
    with mt.no_grad():
        w -= 0.5
    assert w is before and w.tolist() == [0.5, 0.5] and w.requires_grad
    with pytest.raises(RuntimeError, match="no_grad"):
        w -= 0.5


def test_writing():
    x = mt.zeros(2, 2)
    x[0] = 1
    x[:, 1] = mt.tensor([2.0, 3.0])
    assert x.tolist() == [[1, 2], [0, 3]]
    x[x > 2] = -1
    assert x.fill_(4).sum().item() == 16 and x.zero_().sum().item() == 0
    assert x.copy_(mt.ones(2)).tolist() == [[1, 1], [1, 1]]
    assert abs(mt.empty(9999).normal_(3, 0.1).mean().item() - 3) < 0.01
    assert -1 <= mt.empty(99).uniform_(-1, 1).min() < 0
    with pytest.raises(RuntimeError):
        x[0] = mt.ones(3)


@pytest.mark.parametrize("write", [
    lambda x: x.__setitem__(0, 1.0), lambda x: (x * 1).__setitem__(0, 1.0), lambda x: x.zero_(),
    lambda x: mt.zeros(2).__setitem__(slice(None), x), lambda x: mt.zeros(1).expand(2).__setitem__(0, 1.0)])
def test_writing_that_would_hurt_is_refused(write):
    with pytest.raises(RuntimeError):
        write(mt.ones(2, requires_grad=True))


def test_methods_with_an_underscore_name_the_way_out():
    with pytest.raises(AttributeError, match=r"x = x\.add"):
        mt.ones(2).add_(1)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mt.ones(2).nonsense


# --- Python's protocols

def test_numbers():
    assert float(mt.tensor(1.5)) == 1.5 and int(mt.tensor(1.5)) == 1 and [10, 20][mt.tensor(1)] == 20
    assert mt.tensor([[2.0]]).item() == 2.0 and mt.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert isinstance(mt.tensor(True).item(), bool) and isinstance(mt.tensor(1).item(), int)
    with pytest.raises(TypeError):
        [10, 20][mt.tensor(1.0)]
    with pytest.raises(RuntimeError, match="not one"):
        mt.ones(2).item()


def test_truth():
    assert mt.tensor(1.0) and not mt.tensor([0])
    for x in (mt.ones(2), mt.zeros(0)):
        with pytest.raises(RuntimeError, match="neither true nor false"):
            bool(x)


def test_equality_with_what_no_element_can_be():
    x = mt.ones(2)
    assert (x == None) is False and (x != "a") is True  # noqa: E711
    assert (x == 1).tolist() == [True, True]
    assert x in [x] and 1.0 in x and 5 not in x
    assert len({x, x, mt.ones(2)}) == 2


def test_length_and_iteration():
    x = mt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    a, b = x
    (a * b).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]
    for use in (len, list):
        with pytest.raises(TypeError):
            use(mt.tensor(1.0))


def test_deepcopy():
    x = mt.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y is not x and y.requires_grad and y.grad.tolist() == [2, 2] and not np.shares_memory(x.data, y.data)
    with pytest.raises(RuntimeError, match="leaves"):
        copy.deepcopy(x * 2)


def test_sizes():
    x = mt.zeros(2, 3)
    assert x.size() == x.shape == mt.Size([2, 3]) and x.size(-1) == x.size(dim=1) == 3
    assert x.dim() == x.ndim == 2 and x.numel() == mt.numel(x) == 6 and x.stride() == (3, 1)
    assert x.is_contiguous() and not x.t().is_contiguous() and x.is_floating_point() and mt.is_tensor(x)
    with pytest.raises(IndexError):
        x.size(2)


# --- nothing warns where PyTorch is silent, and errors are of PyTorch's kind

@pytest.mark.parametrize("function", [
    lambda x: mt.log(x * 0), lambda x: x / 0, lambda x: (x * 0) / 0, lambda x: mt.exp(x * 1e4), lambda x: mt.sqrt(-x),
    lambda x: (x / 0).sum(), lambda x: (x / 0 - x / 0).mean(), lambda x: (x / 0).std(), lambda x: (x / 0).prod(),
    lambda x: (x / 0) @ (x * 0), lambda x: (x * 1e38).cumsum(0) * 10, lambda x: (x * 0).norm(),
    lambda x: (x / 0).softmax(0)])
def test_no_warnings(function):
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    function(x).sum().backward()
    assert x.grad.shape == (2,)


@pytest.mark.parametrize("wrong, error", [
    (lambda x: x + mt.ones(3), ShapeError), (lambda x: x + "a", TypeError), (lambda x: x @ x.double(), DTypeError),
    (lambda x: ~x, TypeError), (lambda x: -(x > 0), RuntimeError), (lambda x: x.sum(5), IndexError),
    (lambda x: x.long().requires_grad_(), RuntimeError), (lambda x: x.requires_grad_().backward(), RuntimeError),
    (lambda x: x.requires_grad_().backward(mt.ones(3)), RuntimeError), (lambda x: x[2], IndexError),
    (lambda x: x[::-1], ValueError),
    (lambda x: x[mt.tensor([1], dtype=mt.uint8)], IndexError), (lambda x: mt.mean(x.numpy()), TypeError),
    (lambda x: x.add(x, out=x), TypeError), (lambda x: x.view(3), RuntimeError),
    (lambda x: x.long() // 0, RuntimeError),
    (lambda x: mt.linalg.norm(mt.ones(2, 2), 2), NotImplementedError)])
def test_errors(wrong, error):
    with pytest.raises(error):
        wrong(mt.ones(2))

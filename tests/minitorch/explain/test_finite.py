"""The watch for numbers that are not finite: planted faults are named, legitimate infinities are left alone."""

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import autograd
from minitorch.autograd import Function, detect_anomaly, set_detect_anomaly
from minitorch.explain import NotFiniteError, nan_watch

INF = float("inf")


@pytest.fixture(autouse=True)
def nothing_stays_behind():
    yield
    assert autograd.observers == []


def leaf(*values, dtype="float32"):
    return torch.tensor(values, dtype=np.dtype(dtype), requires_grad=True)


def message_of(function, **options):
    with pytest.raises(NotFiniteError) as caught, nan_watch(**options):
        function()
    return caught.value


# ---------------------------------------------------------------------------------------------------------------------
# forward

FORWARD = {
    "log of 0": (lambda: leaf(1, 0).log(), "Log", "the logarithm of 0 is −∞"),
    "log of a negative": (lambda: leaf(1, -2).log(), "Log", "-2 is negative: it has no real logarithm"),
    "log2": (lambda: leaf(1, 0).log2(), "Log2", "the logarithm of 0"),
    "log1p of −1": (lambda: leaf(1, -1).log1p(), "Log1p", "log1p(−1) is the logarithm of 0"),
    "root of a negative": (lambda: leaf(4, -1e-9).sqrt(), "Sqrt", "-1e-09 is negative"),
    "rsqrt of 0": (lambda: leaf(4, 0).rsqrt(), "Rsqrt", "1 / √0"),
    "x / 0": (lambda: leaf(1, 3) / leaf(1, 0), "Div", "3 / 0 is infinite"),
    "0 / 0": (lambda: leaf(1, 0) / leaf(1, 0), "Div", "0 / 0 has no value"),
    "1 / 0": (lambda: leaf(1, 0).reciprocal(), "Reciprocal", "division by 0"),
    "exp overflow": (lambda: leaf(1, 88.8).exp(), "Exp", "must stay below 88.72"),
    "exp overflow, float64": (lambda: leaf(1, 710, dtype="float64").exp(), "Exp", "must stay below 709.8"),
    "exp2 overflow": (lambda: leaf(1, 128).exp2(), "Exp2", "must stay below 128"),
    "0 to a negative power": (lambda: leaf(1, 0) ** -1.5, "Pow", "division by 0"),
    "negative to a broken power": (lambda: leaf(1, -8) ** 0.5, "Pow", "-8 is negative"),
    "power overflow": (lambda: leaf(1, 1e20) ** 2, "Pow", "overflow"),
    "product overflow": (lambda: leaf(1, 1e30) * 1e20, "Mul", "overflow"),
    "sum overflow": (lambda: leaf(1, 3e38) + leaf(1, 3e38), "Add", "overflow"),
    "total overflow": (lambda: leaf(2e38, 2e38).sum(), "Sum", "overflow"),
    "matmul overflow": (lambda: leaf(1e30, 1e30) @ leaf(1e30, 1e30), "Matmul", "overflow"),
    "0 · ∞": (lambda: leaf(1, 0) * torch.tensor([1, INF]), "Mul", "0 · ∞ has no value"),
    "∞ − ∞": (lambda: torch.tensor([INF]) - torch.tensor([INF]), "Sub", "∞ − ∞ has no value"),
    "acos beyond 1": (lambda: leaf(0, 1.0001).acos(), "ACos", "acos exists between -1 and 1"),
    "mean of nothing": (lambda: leaf().mean(), "Mean", "the mean of no elements"),
    "a row masked entirely": (lambda: (leaf(1, 2) + torch.tensor(-INF)).softmax(0), "Softmax", "every score of this row is"),
    "a loss of ∞": (lambda: F.cross_entropy(torch.tensor([[0.0, -INF]]), torch.tensor([1])), "CrossEntropy", "infinity"),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_fault_is_named_with_its_reason(name):
    function, op, reason = FORWARD[name]
    error = message_of(function)
    assert (error.op, error.backward) == (op, False)
    assert reason in " ".join(str(error).split())


def test_var_of_one_element():
    with pytest.warns(UserWarning, match="degrees of freedom"):
        error = message_of(lambda: leaf(1).var())
    assert "n − 1, and there is only n = 1" in str(error)


class Norm(nn.Module):
    """LayerNorm by hand, with its eps forgotten."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(3))

    def forward(self, h):
        centred = h - h.mean(-1, keepdim=True)
        return centred / h.std(-1, keepdim=True) * self.gamma


def test_the_message_says_where_from_what_and_why():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), Norm()))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    text = str(message_of(lambda: model(torch.ones(2, 3))))
    assert text.startswith("nan_watch: Div made nan at [0, 0] out of finite numbers.")
    for part in ("1.1 (Norm in Sequential)", "test_finite.py", "in forward", "z = x / y", "x = centred",
                 "(2, 1) float32, all 0", "return centred / h.std(-1, keepdim=True) * self.gamma", "called from",
                 "6 of 6 nan, first at [0, 0]"):
        assert part in text, part
    assert str(Path(__file__).parent) not in text


def test_the_place_is_also_on_the_error():
    error = message_of(lambda: Norm()(torch.zeros(1, 3)))
    assert error.place.kind == "Norm" and error.place.lines[0].function == "forward"
    assert isinstance(error, FloatingPointError) and isinstance(error, RuntimeError)


def test_a_parameter_that_is_nan_is_the_culprit_by_its_name():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        model[2].weight[1, 2] = float("nan")
    text = str(message_of(lambda: model(torch.ones(5, 3))))
    assert text.startswith("nan_watch: Linear was given a NaN: weight = 2.weight held it before any op ran")
    assert "1 of 8 nan, first at [1, 2]" in text


def test_a_nan_input_is_the_culprit():
    x = torch.tensor([1.0, float("nan")])
    assert "was given a NaN: x held it" in str(message_of(lambda: x * 2))


def test_first_of_many_broadcast_elements():
    x, y = torch.ones(2, 3), torch.tensor([1.0, 1.0, 0.0])
    text = str(message_of(lambda: x / y))
    assert "made inf at [0, 2]" in text and "at [2] it is 0" in text


@pytest.mark.parametrize("name", ["Log", "Var", "Mean", "Softmax", "Div"])
def test_ops_of_the_user_may_have_our_names_and_no_docstring(name):
    class Mine(torch.Function):
        def forward(self, x, y, z, w):
            return x / y * z

        def backward(self, dy):
            return dy * np.inf, None, None, None

    Mine.__name__ = name
    assert f"{name} made inf at [0]" in str(message_of(lambda: Mine.apply(leaf(1), leaf(0), 2.0, None)))
    assert f"{name}.backward made inf" in str(message_of(lambda: Mine.apply(leaf(1), leaf(1), 2.0, None).sum().backward()))


# ---------------------------------------------------------------------------------------------------------------------
# what is right and must not be reported

def causal_mask(n):
    return torch.ones(n, n).triu(1).bool()


def hand_written_attention(mask):
    q, k, v = (torch.randn(2, 5, 4, requires_grad=True) for _ in range(3))
    scores = (q @ k.transpose(-2, -1) / 2).masked_fill(mask, -INF)
    return scores.softmax(-1) @ v


def padded_attention():
    """The second sample is padding throughout."""
    pad = torch.tensor([[False, False, True], [True, True, True]])
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.randn(2, 3, 4, requires_grad=True)
    return layer(x, x, x, key_padding_mask=pad)[0]


def decoder():
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    target, memory = torch.randn(2, 4, 8), torch.randn(2, 3, 8)
    return layer(target, memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(4))


RIGHT = {
    "masked_fill(−∞) and softmax": lambda: hand_written_attention(causal_mask(5)),
    "masked_fill with a tensor": lambda: torch.randn(3, 3, requires_grad=True).masked_fill(
        causal_mask(3), torch.tensor(-INF)).softmax(-1),
    "where": lambda: torch.where(causal_mask(3), torch.tensor(-INF), torch.randn(3, 3, requires_grad=True)).softmax(-1),
    "a number in where": lambda: torch.where(causal_mask(3), -INF, torch.randn(3, 3, requires_grad=True)).softmax(-1),
    "full and triu": lambda: (torch.full((4, 4), -INF).triu(1) + torch.randn(4, 4, requires_grad=True)).log_softmax(-1),
    "ones times −∞": lambda: (torch.randn(4, 4, requires_grad=True) + (torch.ones(4, 4) * -INF).triu(1)).softmax(-1),
    "index_fill": lambda: torch.randn(3, 4, requires_grad=True).index_fill(1, torch.tensor([0]), -INF).softmax(-1),
    "scaled_dot_product_attention": lambda: F.scaled_dot_product_attention(
        *(torch.randn(1, 2, 4, 3, requires_grad=True) for _ in range(3)), is_causal=True),
    "a row masked entirely": padded_attention,
    "a decoder layer": decoder,
    "largest of masked scores": lambda: torch.randn(4, requires_grad=True).masked_fill(
        torch.tensor([True, True, False, True]), -INF).amax(0),
    "cross-entropy over a masked class": lambda: F.cross_entropy(
        torch.randn(2, 3, requires_grad=True).masked_fill(torch.tensor([[True, False, False]]), -INF), torch.tensor([1, 2])),
    "clipping by a norm of 0": lambda: (leaf(0, 0) * 0).norm(),
    "whole numbers": lambda: torch.tensor([1, 2]).cumsum(0) + leaf(1),
    "nothing at all": lambda: leaf().exp(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_are_left_alone(name):
    torch.manual_seed(0)
    with nan_watch(), detect_anomaly():
        y = RIGHT[name]()
        y.backward(torch.randn(*y.shape) if y.ndim else None)


def test_only_nan_counts_with_inf_off():
    x = leaf(0, 1)
    with nan_watch(inf=False):
        y = x.log()
        x.sqrt().sum().backward()
    assert np.isneginf(y.data[0]) and np.isposinf(x.grad.data[0])
    assert message_of(lambda: leaf(0).log() * 0, inf=False).op == "Mul"


# ---------------------------------------------------------------------------------------------------------------------
# backward

BACKWARD = {
    "√0": (lambda x: x.sqrt().sum(), "Sqrt", "infinite at 0", "inf"),
    "√0 behind where": (lambda x: torch.where(x > 0, x.sqrt(), 0.0).sum(), "Sqrt", "0 · ∞ = NaN", "nan"),
    "√0 times 0": (lambda x: (x.sqrt() * 0).sum(), "Sqrt", "sqrt(where(x > 0, x, 1.0))", "nan"),
    "0^0.5": (lambda x: (x ** 0.5).sum(), "Pow", "infinite at 0 for p below 1", "inf"),
    "length of a vector of 0": (lambda x: x.hypot(x).sum(), "Hypot", "0 / 0", "nan"),
    "acos at 1": (lambda x: (x + 1).acos().sum(), "ACos", "infinite at ±1", "-inf"),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_backward_fault_points_to_the_forward_line(name):
    function, op, reason, value = BACKWARD[name]
    x = torch.tensor([0.0, 0.0], requires_grad=True) if op == "ACos" else leaf(0, 1)

    def program():
        y = function(x)  # the forward line is in BACKWARD
        y.backward()

    error = message_of(program)
    text = " ".join(str(error).split())
    assert (error.op, error.backward) == (op, True)
    assert text.startswith(f"nan_watch: {op}.backward made {value} at [0] of its input 0.") and reason in text
    assert error.place.lines[0].function == "<lambda>" and '"' + op + '"' in error.place.lines[0].source
    assert "was called at test_finite.py" in text


def test_infinities_behind_where_are_met_in_forward_or_else_in_backward():
    def program():
        x = leaf(0, 2)
        torch.where(x > 0, 1 / x, x).sum().backward()

    assert (message_of(program).op, message_of(program).backward) == ("Div", False) or message_of(program).op == "Reciprocal"
    error = message_of(program, inf=False)
    assert error.backward and "where(" in str(error)


def test_a_gradient_that_comes_in_not_finite():
    y = leaf(1, 2) * 3
    assert "passed to backward(gradient=...)" in " ".join(
        str(message_of(lambda: y.backward(torch.tensor([1.0, float("nan")])))).split())


def test_a_forward_pass_before_the_watch():
    y = leaf(0).sqrt()
    assert "the forward pass ran before the watch" in str(message_of(lambda: y.sum().backward()))


def test_an_input_that_wants_no_gradient_is_shown_from_what_was_saved():
    text = str(message_of(lambda: (torch.tensor([1.0, 0.0]) / leaf(1, 1e-30) * 1e30).backward(torch.tensor([1.0, 1e20]))))
    assert "Div.backward made inf" not in text  # 1e50 overflows in the product before
    text = str(message_of(lambda: (torch.tensor([1.0, 1e38]) / leaf(1, 10)).backward(torch.tensor([1.0, 1e10]))))
    assert "Div.backward made -inf at [1] of its input 1" in text and "x         (2,) float32, from 1 to 1e+38" in text


# ---------------------------------------------------------------------------------------------------------------------
# switching on and off

def test_as_a_decorator_and_nested_and_twice():
    @nan_watch()
    def depth(n):
        assert len(autograd.observers) == 4 - n
        return depth(n - 1) if n > 1 else leaf(0).log()

    for _ in range(2):
        with pytest.raises(NotFiniteError):
            depth(3)
        assert autograd.observers == []

    watch = nan_watch()
    with watch, watch:
        assert len(autograd.observers) == 2


def test_another_watch_that_is_on_stays_on():
    with nan_watch() as outer:
        with pytest.raises(NotFiniteError), nan_watch():
            leaf(0).log()
        assert autograd.observers == [outer]


def test_nothing_is_kept_alive():
    watch = nan_watch()
    with watch:
        y = (leaf(1, 2) * 3).exp().sum()
        assert len(watch.places) == 3
        del y
        gc.collect()
        assert len(watch.places) == 0


def test_other_threads_are_watched_too():
    errors = []

    def work():
        try:
            for _ in range(200):
                (leaf(1, 2) * 2).sum().backward()
            leaf(0).log()
        except NotFiniteError as error:
            errors.append(error.op)

    with nan_watch():
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert errors == ["Log"] * 4


# ---------------------------------------------------------------------------------------------------------------------
# detect_anomaly

def test_detect_anomaly_names_the_op_and_its_forward_line():
    x = leaf(0, 4)
    with pytest.raises(RuntimeError, match=r"Sqrt.backward made nan at \[0\]") as caught, detect_anomaly():
        root = x.sqrt()
        (root * 0).sum().backward()
    assert "root = x.sqrt()" in str(caught.value)


def test_detect_anomaly_lets_forward_and_infinite_gradients_pass():
    x = leaf(0, 1)
    with detect_anomaly():
        assert np.isnan((x.log() * 0).data[0])
        x.sqrt().sum().backward()
    assert np.isinf(x.grad.data[0])


def test_detect_anomaly_refuses_a_loss_of_nan_and_tells_where_the_nan_began():
    x = leaf(-1, 4)
    with pytest.raises(RuntimeError, match="begins at a NaN, the result of Sum") as caught, detect_anomaly():
        y = x.sqrt() + 1
        y.sum().backward()
    assert "Sqrt made nan at [0]" in str(caught.value) and "-1 is negative" in str(caught.value)


def test_detect_anomaly_allows_a_nan_that_was_thrown_away_and_is_not_used():
    x = leaf(INF, 4)
    with detect_anomaly():
        (x - x.detach())[1:].sum().backward()
    assert x.grad.tolist() == [0, 1]


def test_detect_anomaly_after_the_forward_pass_knows_large_inputs_only_while_they_are_held():
    x = torch.zeros(512, 512, requires_grad=True)
    kept, gone = (x * 1.0).log().exp().sum(), Planted.apply(x * 1.0).sum()
    for loss, known in ((kept, True), (gone, False)):
        with pytest.raises(RuntimeError, match="backward made nan") as caught, detect_anomaly():
            loss.backward()
        assert ("x         (512, 512) float32, all 0" in str(caught.value)) == known


class Planted(Function):
    def forward(self, x):
        return x + 1

    def backward(self, dy):
        return dy * np.nan


def test_check_nan_off_checks_nothing():
    with detect_anomaly(check_nan=False):
        leaf(-1).sqrt().sum().backward()


def test_set_detect_anomaly_is_for_the_whole_program():
    set_detect_anomaly(True)
    try:
        set_detect_anomaly(True)
        assert len(autograd.observers) == 1
        with pytest.raises(RuntimeError, match="Sqrt.backward"):
            (leaf(0).sqrt() * 0).sum().backward()
        with set_detect_anomaly(False):
            (leaf(0).sqrt() * 0).sum().backward()
        assert len(autograd.observers) == 1
    finally:
        set_detect_anomaly(False)
    assert autograd.observers == []
    with set_detect_anomaly(True):
        assert len(autograd.observers) == 1

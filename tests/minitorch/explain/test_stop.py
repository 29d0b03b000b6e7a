"""The page of a step: for every op there is, and for values that are no ordinary numbers."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest

import minitorch as torch
import minitorch.nn.functional as F
from minitorch import explain
from minitorch.autograd import Function
from minitorch.explain.stop import Teller, folded, input_symbols, output_symbols, underline
from minitorch.explain.trace import Place, formulas

OPS = [op for op in Function.__subclasses__() if op.__module__.startswith("minitorch.ops.")]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_letters_are_distinct_and_stand_in_the_formulas(op):
    count = len(inspect.signature(op.forward).parameters) - 1
    step = SimpleNamespace(fn=op, inputs=[None] * count, outputs=[None], text=formulas(op))
    letters = input_symbols(step)
    assert letters and len(set(letters)) == len(letters) and not set(letters) & set(output_symbols(step))


def test_letters():
    with explain.record() as trace:
        x = torch.ones(2, 3)
        F.layer_norm(F.linear(x, torch.ones(3, 3), torch.ones(3)), (3,), torch.ones(3), torch.ones(3))
        torch.unbind(torch.stack([x, x]))
    letters = {s.op: (input_symbols(s), output_symbols(s)) for s in trace}
    assert letters["LayerNorm"] == (["x", "γ", "β"], ["y"]) and letters["Linear"] == (["x", "w", "b"], ["y"])
    assert letters["Stack"] == (["x₀", "x₁"], ["y"]) and letters["Unbind"] == (["x"], ["y₀", "y₁"])


@pytest.mark.parametrize("compute", [
    lambda x: x.max(1).values.sum(), lambda x: x.sort().values[0, 0], lambda x: torch.topk(x, 2).values.sum(),
    lambda x: torch.cat([x, x * 2], 1).split(3, 1)[0].sum(), lambda x: torch.where(x > 0, x, x * 2).sum(),
    lambda x: torch.einsum("ij,kj->ik", x, x).sum(), lambda x: x[[0, 0, 1]].sum(), lambda x: F.dropout(x, 0.5).sum(),
    lambda x: x.reshape(1, 1, 6)[..., :0].sum() + x.sum(), lambda x: (x / 0).sum(), lambda x: (x * float("nan")).sum(),
    lambda x: F.cross_entropy(x, torch.tensor([0, 2])), lambda x: x.to(torch.float64).pow(2).sum().sqrt(),
    lambda x: x.cumsum(0).prod(), lambda x: (x * 1e15 * 1e-30).sum(), lambda x: x.masked_fill(x > 0, float("-inf")).max(),
])
@pytest.mark.parametrize("keep", [4, 65_536])
def test_every_kind_of_value_has_a_page(compute, keep):
    torch.manual_seed(0)
    x = torch.randn(2, 3, requires_grad=True)
    with explain.record(keep=keep) as trace:
        loss = compute(x)
        loss.backward()
    for width in (20, 80):
        text = explain.transcript(trace, width)
        assert text.count("━━ step") == len(trace) and "x.grad" in text
    teller = Teller(trace)
    for value in trace.values:
        assert teller.value(value)[0] and teller.value(value, gradient=True)[0]
    for step in trace:
        assert teller.saved(step) and teller.where(step) and teller.graph(step)


def test_one_output_that_nobody_used():
    x = torch.randn(4, 2, requires_grad=True)
    with explain.record() as trace:
        a, b = x.split(2)
        loss = b.sum()
        loss.backward()
    page = "\n".join(Teller(trace).stop(trace.backward[-1]))
    assert "a.grad as dy₀" in page and "nothing came: no op used it" in page


def test_underline(tmp_path):
    (tmp_path / "a.py").write_text("    é = 1 + foo(2)\n", encoding="utf-8")
    place = Place(str(tmp_path / "a.py"), 1, "f", columns=(13, 19))      # in bytes: é takes two
    assert underline(place) == " " * 8 + "~" * 6 and underline(Place("a.py", 1, "f")) == ""


def test_folded():
    line = "    a      " + "b" * 30 + "      " + "c" * 30
    assert folded(line, 200) == [line] and max(map(len, folded(line, 50))) <= 50 and folded("", 10) == [""]


def test_a_trace_of_no_gradients():
    with explain.record() as trace, torch.no_grad():
        torch.ones(2) * np.float32(2)
    assert "wants no gradient" in explain.transcript(trace) and Teller(trace).leaves(1) == []


def told(compute, width=100):
    with explain.record() as trace:
        compute()
    return explain.transcript(trace, width)


def test_grad_of_a_leaf_after_each_of_three_runs():
    x = torch.tensor(3.0, requires_grad=True)
    text = told(lambda: [(x * k).backward() for k in (1, 10, 100)])
    assert [line.split()[1] for line in text.splitlines() if line.startswith("  x.grad ")] == ["1", "11", "111"]


def test_autograd_grad_leaves_grad_alone():
    x = torch.tensor(3.0, requires_grad=True)
    text = told(lambda: torch.autograd.grad(x * x, x))
    assert "leaves .grad as it was" in text and "stands in .grad" not in text and "stays" not in text


def test_a_value_used_twice_by_one_op():
    error = torch.tensor(10.0, requires_grad=True)
    with explain.record() as trace:
        loss = error * error
        loss.backward()
    text = "\n".join(Teller(trace).stop(trace.backward[0]))
    assert "dx = loss.grad (1) × error (10)\n" in text and "dy = loss.grad (1) × error (10)\n" in text
    assert text.count("as x and y") == 1 and "All: 10 + 10 = 20" in text


def test_hooks_are_told_of():
    x = torch.tensor([1.0, 2.0], requires_grad=True)

    def compute():
        y = x * 3
        y.register_hook(lambda dy: dy * 2)
        y.sum().backward()
    text = told(compute)
    assert text.count("changed by a hook") == 1 and text.count("is done") == 1 and x.grad.tolist() == [6.0, 6.0]


def test_everything_fits_the_terminal():
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    a_long_name_for_the_input_of_attention = torch.randn(2, 3, 8, requires_grad=True)
    padding = torch.tensor([[False, False, True], [False, False, False]])

    def compute():
        attended, _ = attention(a_long_name_for_the_input_of_attention, a_long_name_for_the_input_of_attention, a_long_name_for_the_input_of_attention, key_padding_mask=padding)  # noqa: E501
        (attended * attended).mean().backward()
    text = told(compute, 80)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "…" in text and "stays: a leaf" in text


def test_a_shape_is_told_once_and_an_empty_array_briefly():
    a_name_that_takes_much_room = torch.zeros(0, 3, requires_grad=True)
    another_that_takes_much_room = torch.randn(2, 5)
    text = told(lambda: (a_name_that_takes_much_room.sum() + another_that_takes_much_room.exp().sum()).backward(), 60)
    assert "no numbers" in text and "nothing:" not in text
    page = text[text.index("━━ Exp"):text.index("━━", text.index("━━ Exp") + 70)]
    assert page.count("(2, 5)") == 2

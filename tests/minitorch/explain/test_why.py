"""Why, probe and into: what a number is made of, whether its gradient is right, and which lines computed it."""

import sys

import numpy as np
import pytest

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import explain
from minitorch.autograd import Function


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Dropout(0.2), nn.Linear(4 * d, d))

    def forward(self, x):
        h = self.ln1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.ffn(self.ln2(x))


def block_trace(dtype):
    torch.manual_seed(0)
    block = Block(8, 2).to(dtype)
    x = torch.randn(2, 5, 8, dtype=dtype, requires_grad=True)
    ids = torch.randint(8, (10,))
    with explain.record() as trace:
        loss = F.cross_entropy(block(x).reshape(10, 8), ids)
        loss.backward()
    return trace


@pytest.fixture(scope="module", params=["float64", "float32"])
def trace(request):
    return block_trace(getattr(torch, request.param))


def some(value, rng, n=2):
    return [tuple(int(rng.integers(s)) for s in value.shape) for _ in range(n)]


def test_the_parts_of_every_value_and_gradient_add_up(trace):
    rng = np.random.default_rng(0)
    sums = 0
    for value in trace.values:
        for index in some(value, rng):
            for name in [value.name] * (value.maker is not None) + [value.name + ".grad"] * (value.grad is not None):
                found = explain.why(trace, name, index)
                scale = max(abs(part.value) for part in found.parts) if found.parts else 1.0
                assert abs(found.total - found.value) <= 1e-6 * scale, str(found)
                sizes = [abs(part.value) for part in found.parts]
                assert sizes == sorted(sizes, reverse=True)
                sums += len(sizes) > 1
    assert sums > 50


def test_every_gradient_agrees_with_a_probe(trace):
    rng = np.random.default_rng(1)
    bound = 1e-6 if trace["loss"].dtype == np.float64 else 1e-3
    tried = 0
    for value in trace.values:
        if value.grad is not None:
            for index in some(value, rng):
                found = explain.probe(trace, value.name, index)
                assert found.error <= bound, str(found)
                tried += found.analytic != 0
    assert tried > 50


def test_a_wrong_gradient_is_seen_by_the_probe():
    class Wrong(Function):
        def forward(self, x):
            self.x = x
            return x * x

        def backward(self, dy):
            return dy * self.x              # a factor of 2 is missing

    x = torch.tensor([1.5, -2.0], dtype=torch.float64, requires_grad=True)
    trace = explain.record(lambda: Wrong.apply(x).sum().backward())
    found = explain.probe(trace, "x", 1)
    assert (found.analytic, round(found.numeric, 9)) == (-2.0, -4.0) and found.error == pytest.approx(0.5)
    assert explain.why(trace, "x.grad", 1).total == -2.0      # why shows what backward did


@pytest.mark.parametrize("make, name, index, labels", [
    (lambda x, w: x @ w, "y", (0, 1), ["x[0, 0]", "w[0, 1]", "x[0, 1]", "w[1, 1]", "x[0, 2]", "w[2, 1]"]),
    (lambda x, w: x @ w, "x.grad", (1, 2), ["y.grad[1, 0]", "w[2, 0]", "y.grad[1, 1]", "w[2, 1]"]),
    (lambda x, w: F.linear(x, w.T, w[0]), "y", (0, 1), ["x[0, 0]", "get_item[1]"]),
    (lambda x, w: x.sum(1), "y", (1,), ["x[1, 0]", "x[1, 1]", "x[1, 2]"]),
    (lambda x, w: F.layer_norm(x, (3,), w[:, 0], w[:, 1]), "y", (0, 2), ["x̂", "get_item#2[2]"]),
    (lambda x, w: x * x, "y", (0, 1), ["x[0, 1]"]),
])
def test_factors_are_called_by_their_names(make, name, index, labels):
    torch.manual_seed(1)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    with explain.record() as trace:
        y = make(x, w)
        y.sum().backward()
    found = explain.why(trace, name, index)
    seen = {label for part in found.parts for label, _ in part.factors}
    assert set(labels) <= seen, str(found)
    assert found.total == pytest.approx(found.value, rel=1e-12)


def test_a_value_that_is_no_sum_shows_its_formula():
    x = torch.tensor([0.0, 1.0])
    trace = explain.record(lambda: x.softmax(0))
    text = str(explain.why(trace, "softmax", 0))
    assert "Not a sum of products" in text and "slope" in text and "x[1] = 1" in text
    assert explain.why(trace, "softmax", 0).total == pytest.approx(1 / (1 + np.e))


def test_a_mean_loss_is_the_sum_of_its_rows():
    logits = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]], requires_grad=True)
    with explain.record() as trace:
        loss = F.cross_entropy(logits, torch.tensor([0, 0, 1]))
        loss.backward()
    found = explain.why(trace, "loss")
    assert [part.factors[0][0] for part in found.parts] == ["loss of row 1", "loss of row 2", "loss of row 0"]
    assert found.parts[0].factors[1] == ("share", pytest.approx(1 / 3)) and found.total == pytest.approx(loss.item())


def test_where_the_walk_begins():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with explain.record() as trace:
        y = x * 3
        y.backward(torch.tensor([10.0, 0.5]))
    found = explain.why(trace, "y.grad", 0)
    assert found.value == found.total == 10 and "backward() was called on y" in str(found)
    assert explain.probe(trace, "x", 1).numeric == pytest.approx(1.5)


def test_many_slopes_are_measured():
    x = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    trace = explain.record(lambda: (torch.exp(x * torch.arange(3000).double() / 3000)).sum().backward())
    found = explain.why(trace, "x.grad", 0)
    assert "measured" in found.note and found.total == pytest.approx(found.value, rel=1e-8)


@pytest.mark.parametrize("ask, error, text", [
    (lambda t: explain.why(t, "x.gard", 0), KeyError, "no value named 'x.gard'"),
    (lambda t: explain.why(t, "x", 5), IndexError, r"x\[5\]: x has shape \(2,\). Ask for one element, such as x\[1\]"),
    (lambda t: explain.why(t, "x", (0, 0)), IndexError, "has shape"),
    (lambda t: explain.why(t, "c.grad", 0), ValueError, "no gradient reached c. It does not require one"),
    (lambda t: explain.probe(t, "c", 0), ValueError, "no gradient reached c"),
    (lambda t: explain.why(explain.record(lambda: torch.ones(2) * 2, keep=1), "mul", 0), ValueError, "too large to keep"),
])
def test_wrong_questions(ask, error, text):
    x, c = torch.ones(2, requires_grad=True), torch.ones(2)
    with explain.record() as trace:
        y = x * c
        y.sum().backward()
    with pytest.raises(error, match=text):
        ask(trace)


# ---------------------------------------------------------------------------------------------------------------------
# into

def passes(lines, function):
    return list(dict.fromkeys(line.comment for line in lines if line.function == function and "pass" in line.comment))


def step_of(trace, op, phase):
    return next(s for s in trace if s.op == op and s.phase == phase)


def test_into_shows_every_numbered_pass(trace):
    seen = {(op, phase): passes(explain.into(trace, step_of(trace, op, phase)), f"{kernel}_{phase}")
            for op, kernel in (("LayerNorm", "layernorm"), ("Attention", "attention")) for phase in ("forward", "backward")}
    assert [c[:6] for c in seen["LayerNorm", "forward"]] == ["pass 1", "pass 2", "pass 3"]
    assert [c[:13] for c in seen["LayerNorm", "backward"]] == ["pass 3 backwa", "passes 2 and "]
    assert [c[:6] for c in seen["Attention", "forward"]] == ["pass 1", "pass 2", "pass 3"]
    assert [c[:15] for c in seen["Attention", "backward"]] == [
        "passes 1 and 2 ", "pass 3 backward", "pass 2 backward", "pass 1 backward"]


def test_into_ends_with_the_recorded_numbers(trace):
    for step in trace:
        if step.op in ("LayerNorm", "Attention", "Linear", "CrossEntropy"):
            outer = [line for line in explain.into(trace, step) if line.depth == 0]
            returned = [line.returned for line in outer if line.returned is not None][-1]
            results = returned if isinstance(returned, tuple) else (returned,)
            expected = [y.array for y in step.outputs] if step.phase == "forward" else step.gradients
            for got, want in zip(results, expected):
                assert want is None or np.allclose(got, want, rtol=1e-4, atol=1e-6), step


def test_into_an_op_of_the_users_own():
    class Cube(Function):
        def forward(self, x):
            square = x * x
            self.x = x
            return square * x

        def backward(self, dy):
            slope = 3 * self.x**2
            slope = slope + 0
            return dy * slope

    x = torch.tensor([2.0], requires_grad=True)
    trace = explain.record(lambda: Cube.apply(x).backward())
    forward = explain.into(trace, trace.forward[0])
    assert [line.source for line in forward] == ["square = x * x", "self.x = x", "return square * x"]
    assert forward[0].changed["square"].tolist() == [4.0] and forward[-1].returned.tolist() == [8.0]
    backward = explain.into(trace, trace.backward[0])
    assert [line.changed["slope"].tolist() for line in backward[:2]] == [[12.0], [12.0]]     # set, though to the same
    assert sys.gettrace() is None or "coverage" in repr(sys.gettrace())


def test_into_leaves_another_tracer_in_place():
    calls = []
    before = sys.gettrace()
    try:
        tracer = lambda frame, event, arg: calls.append(event)
        sys.settrace(tracer)
        trace = explain.record(lambda: torch.ones(2) + 1)
        explain.into(trace, 0)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("compute, parts", [
    (lambda x: x * (x + 2), [15.0]), (lambda x: x.exp(), [np.exp(3.0)]), (lambda x: x / 4, [0.75]), (lambda x: x - 1, [2.0]),
])
def test_why_of_single_numbers(compute, parts):
    x = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    with explain.record() as trace:
        loss = compute(x)
        loss.backward()
    found = explain.why(trace, "loss")
    assert [p.value for p in found.parts] == pytest.approx(parts) and found.total == pytest.approx(loss.item())
    assert explain.why(trace, "x.grad").total == pytest.approx(x.grad.item())


def test_why_and_probe_of_infinities_do_not_warn():
    x = torch.tensor([0.0, 1e300], dtype=torch.float64, requires_grad=True)
    with explain.record() as trace:
        y = x.log() * x * x
        loss = y.sum()
        loss.backward()
    for name in ("y", "loss"):
        explain.why(trace, name, (0,) * len(trace[name].shape))
    for i in (0, 1):
        explain.why(trace, "x.grad", i), explain.probe(trace, "x", i)


def test_a_gradient_that_came_through_an_embedding():
    x, ids = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), torch.tensor([1, 1])
    trace = explain.record(lambda: (F.embedding(ids, x) ** 2).sum().backward())
    found = explain.why(trace, "x.grad", (1, 0))
    assert found.total == found.value == 12 and len(found.parts) == 2

"""The recorder: what ran, in order, with its numbers, names, lines and gradients."""

import threading

import numpy as np
import pytest

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import explain
from minitorch.autograd import Function, observers
from minitorch.explain.trace import formulas


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        h = self.ln1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.ffn(self.ln2(x))


@pytest.fixture
def block():
    torch.manual_seed(0)
    return Block(8, 2)


def run(block, x):
    with explain.record() as trace:
        y = block(x)
        loss = y.square().mean()
        loss.backward()
    return trace


def test_every_gradient_is_the_one_in_grad(block):
    x = torch.randn(2, 5, 8, requires_grad=True)
    trace = run(block, x)
    assert np.array_equal(trace["x"].grad, x.grad.numpy())
    for name, p in block.named_parameters():
        assert np.array_equal(trace[f"block.{name}"].grad, p.grad.numpy()), name
    assert [s.op for s in trace.backward] == [s.op for s in reversed(trace.forward)]
    for step in trace.backward:
        assert step.twin.phase == "forward" and step.twin.twin is step and step.twin.fn is step.fn
        for value, dy in zip(step.outputs, step.dys):
            assert dy is None or np.array_equal(value.grad, dy)


def test_names_are_the_programs_own(block):
    trace = run(block, torch.randn(2, 5, 8, requires_grad=True))
    for name in ("x", "h", "x#2", "y", "loss", "q", "k", "v", "block.ln1.weight", "block.ffn.0.bias"):
        assert name in trace, name
    assert trace["x#2"].maker.op == "Add" and trace["q"].shape == (2, 2, 5, 4)
    assert len({v.name for v in trace.values}) == len(trace.values)
    with pytest.raises(KeyError, match="no value named 'los'.*loss"):
        trace["los"]


def test_modules_and_lines(block):
    trace = run(block, torch.randn(2, 5, 8, requires_grad=True))
    attention = next(s for s in trace.forward if s.op == "Attention")
    assert attention.module == "block.attn" and trace["loss"].maker.module == ""
    assert [s.module for s in trace.forward if s.op == "GELU"] == ["block.ffn.1"]
    assert attention.place.file == __file__ and attention.place.source.startswith("x = x + self.attn(h")
    assert attention.places[0].library and attention.places[0].file.endswith("nn/attention.py")
    assert trace["h"].maker.place.source == "h = self.ln1(x)"
    assert next(s for s in trace.backward if s.op == "Attention").places == attention.places


def test_saved_values_settings_and_formulas(block):
    trace = run(block, torch.randn(2, 5, 8, requires_grad=True))
    norm = trace.forward[0]
    assert set(norm.saved) == {"x", "gamma", "mean", "rstd"} and norm.saved["x"] is trace["x"].array
    assert norm.settings == {"eps": 1e-5}
    assert np.allclose(norm.saved["mean"], trace["x"].array.mean(-1).ravel(), atol=1e-6)
    assert norm.text["Forward"].startswith("x̂ = (x − mean)") and "dγ = Σ dy · x̂" in norm.text["Backward"]
    for step in trace:
        assert all(step.text[part] for part in ("Title", "Forward", "Backward", "Saved", "Shapes", "Derived")), step


def test_a_value_used_twice_gets_two_gradients_and_adds_them():
    x = torch.tensor([3.0], requires_grad=True)
    trace = explain.record(lambda: (x * x + x).sum().backward())
    arrivals = trace["x"].arrivals
    assert [(a.step.op, a.array.tolist()) for a in arrivals] == [("Add", [1.0]), ("Mul", [3.0]), ("Mul", [3.0])]
    assert trace["x"].grad.tolist() == [7.0] == x.grad.tolist()


def test_record_returns_the_result_and_is_off_afterwards():
    before = list(observers)
    trace = explain.record(lambda a, b=1: a * b, torch.ones(2), b=3)
    assert trace.result.tolist() == [3.0, 3.0] and observers == before
    with pytest.raises(ZeroDivisionError), explain.record() as trace:
        raise ZeroDivisionError(torch.ones(2) + 1)
    assert observers == before and [s.op for s in trace] == ["Add"]
    torch.ones(2) + 1
    assert len(trace) == 1


def test_nested_recorders_see_the_same():
    with explain.record() as outer:
        torch.ones(2) + 1
        with explain.record() as inner:
            torch.ones(2) * 3
    assert [s.op for s in outer] == ["Add", "Mul"] and [s.op for s in inner] == ["Mul"]


def test_a_parameter_that_was_updated_is_another_value():
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.SGD([w], lr=0.5)
    with explain.record() as trace:
        for _ in range(2):
            optimizer.zero_grad()
            loss = (w * w).sum()
            loss.backward()
            optimizer.step()
    assert trace["w"].array.tolist() == [1.0, 2.0] and trace["w#2"].array.tolist() == [0.0, 0.0]
    assert trace["w"].grad.tolist() == [2.0, 4.0] and trace["w#2"].grad.tolist() == [0.0, 0.0]
    assert [s.run for s in trace.backward] == [1, 1, 2, 2] and [s.root for s in trace.backward] == [True, False] * 2


def test_accumulated_gradients_say_what_was_there_before():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.grad = torch.tensor([10.0, 10.0])
    trace = explain.record(lambda: (x * x).sum().backward())
    value = trace["x"]
    assert value.held.tolist() == [10.0, 10.0] and (value.held + value.grad).tolist() == x.grad.tolist() == [12.0, 14.0]


def test_two_backward_runs_over_one_graph_do_not_mix():
    x = torch.tensor([2.0], requires_grad=True)
    with explain.record() as trace:
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
    assert trace["x"].grad.tolist() == [4.0] and trace["x"].held.tolist() == [4.0] and x.grad.tolist() == [8.0]


def test_an_op_of_the_users_own():
    class Cube(Function):
        def forward(self, x, *, times):
            self.x = x
            return times * x**3

        def backward(self, dy):
            return dy * 6 * self.x**2

    x = torch.tensor([2.0], requires_grad=True)
    with explain.record() as trace:
        y = Cube.apply(x, times=2)
        y.backward()
    step = trace.forward[0]
    assert (step.op, step.settings, list(step.saved)) == ("Cube", {"times": 2}, ["x"])
    assert step.text == dict.fromkeys(("Title", "Forward", "Backward", "Saved", "Shapes", "Derived"), "")
    assert trace["x"].grad.tolist() == [24.0]


def test_ops_without_gradients_are_recorded_too():
    with explain.record() as trace, torch.no_grad():
        ids = torch.tensor([1, 0])
        y = torch.eye(3)[ids].argmax(-1)
    assert trace["y"].array.tolist() == y.tolist() and trace["y"].maker.op == "Count" and not trace.backward


def test_numbers_are_copies():
    x = torch.ones(2)
    with explain.record() as trace:
        y = x + 1
    y.fill_(7)
    x.fill_(5)
    assert trace["x"].array.tolist() == [1, 1] and trace["y"].array.tolist() == [2, 2]


def test_large_arrays_become_summaries_with_the_slices_asked_for():
    big = torch.arange(200.0).reshape(10, 20)
    big.requires_grad = True
    with explain.record(keep=100, slices={"y": np.s_[3], "big.grad": np.s_[0, :2]}) as trace:
        y = big * 2
        small = y.sum(0)
        small.sum().backward()
    kept = trace["y"].array
    assert not trace["y"].kept and trace["small"].kept and kept.shape == (10, 20) and kept.size == 200
    assert (kept.mean, kept.low, kept.high, kept.bad) == (199.0, 0.0, 398.0, 0)
    assert kept.norm == pytest.approx(np.linalg.norm(y.data))
    assert kept.corner.tolist() == y.data[:8, :8].tolist()
    assert list(kept.slices.values())[0].tolist() == y.data[3].tolist()
    assert list(trace["big"].grad.slices.values())[0].tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="too large to keep.*keep=200"):
        trace.call(trace["y"].maker)


def test_other_threads_are_left_out():
    with explain.record() as trace:
        worker = threading.Thread(target=lambda: torch.ones(2) * 3)
        worker.start()
        worker.join()
        torch.ones(2) + 1
    assert [s.op for s in trace] == ["Add"]


@pytest.mark.parametrize("wrong, error, text", [
    (lambda: explain.record(3), TypeError, "expected a function to run, got int"),
    (lambda: explain.record(keep="all"), ValueError, "keep is the largest number of elements"),
    (lambda: explain.record(None, 3), TypeError, "no function to pass them to"),
    (lambda: explain.record(slices=[0]), TypeError, "slices is a dict from names to slices"),
    (lambda: explain.record(runs=0), ValueError, "runs is how many backward runs to record, 1 or more, got 0"),
    (lambda: explain.record(lambda: torch.ones(9) * 2, keep=4, slices={"mul": np.s_[10]}), IndexError,
     r"slices: mul has shape \(9,\): index 10"),
])
def test_wrong_arguments(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()


def test_replay_gives_what_was_recorded_and_follows_a_change(block):
    block.double()
    ids = torch.tensor([[1, 0, 2]])
    table = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    with explain.record() as trace:
        y = F.dropout(block(table[ids]), 0.5)
        loss = F.cross_entropy(y[0], ids[0])
        loss.backward()
    same = trace.replay({trace["table"]: trace["table"].array})
    for value, array in same.items():
        assert np.allclose(array, value.array, rtol=1e-12, atol=1e-14), value
    step = 1e-6
    moved = trace["table"].array.copy()
    moved[1, 2] += step
    slope = (trace.replay({trace["table"]: moved})[trace["loss"]] - trace["loss"].array) / step
    assert slope == pytest.approx(trace["table"].grad[1, 2], rel=1e-4)


def test_formulas_of_every_op_are_found():
    from minitorch.ops.attention import Attention
    text = formulas(Attention)
    assert text["Forward"].splitlines()[0].startswith("1  s = scale · q kᵀ")
    assert text["Backward"].splitlines()[0].startswith("3  dv = dropout(p)ᵀ dy")
    assert text["Derived"] == "in docs/layers/attention.md"


def test_a_sequential_model_has_paths_too():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
    with explain.record() as trace:
        loss = model(torch.ones(1, 2)).sum()
        loss.backward()
    assert [s.module for s in trace.forward] == ["model.0", "model.1.0", "model.1.1", ""]
    assert trace["model.1.1.weight"].grad.tolist() == model[1][1].weight.grad.tolist()


def test_large_numbers_have_a_summary():
    big = torch.full((20,), 3e30)
    trace = explain.record(lambda: big * 1, keep=10)
    kept = trace.forward[0].outputs[0].array
    assert kept.mean == pytest.approx(3e30) and kept.std < 1e24 and kept.norm == pytest.approx(3e30 * 20**0.5)


def test_two_losses_are_two_runs():
    x = torch.tensor([2.0], requires_grad=True)
    with explain.record() as trace:
        a, b = (x * x).sum(), (3 * x).sum()
        a.backward()
        x.grad = None
        b.backward()
    assert [s.run for s in trace.backward] == [1, 1, 2, 2] and trace["x"].grad.tolist() == x.grad.tolist() == [3.0]


def test_losses_of_one_call_are_one_run():
    x = torch.tensor([2.0], requires_grad=True)
    with explain.record() as trace:
        a, b = (x * x).sum(), (3 * x).sum()
        torch.autograd.backward([a, b])
    assert {s.run for s in trace.backward} == {1} and trace["x"].grad.tolist() == x.grad.tolist() == [7.0]


@pytest.mark.parametrize("keep", [2, 65_536])
def test_gradients_too_large_to_keep_are_added_too(keep):
    x = torch.arange(4.0, requires_grad=True)
    with explain.record(keep=keep) as trace:
        (x * x + x).sum().backward()
        (3 * x).sum().backward()
    first = next(s for s in trace.backward if s.op == "Mul")
    last = trace["x"].arrivals[-1]
    if keep == 2:
        assert first.arrivals[1].total.norm == pytest.approx(np.linalg.norm([1, 3, 5, 7]))
        assert last.held.norm == pytest.approx(np.linalg.norm([1, 3, 5, 7])) and trace["x"].grad.norm == 6
        assert last.stands.norm == pytest.approx(np.linalg.norm(x.grad.numpy()))
    else:
        assert first.arrivals[1].total.tolist() == [1, 3, 5, 7] and last.stands.tolist() == x.grad.tolist()


def test_autograd_grad_stores_nothing():
    x = torch.tensor([2.0], requires_grad=True)
    with explain.record() as trace:
        (x * 2).sum().backward()
        torch.autograd.grad((x * x).sum(), x)
    assert [s.stores for s in trace.backward] == [True, True, False, False]
    assert trace["x"].grad.tolist() == [4.0] and trace["x"].held is None and x.grad.tolist() == [2.0]


def test_runs_ends_the_recording_but_not_the_program():
    x = torch.tensor([2.0], requires_grad=True)
    losses = []

    def train():
        for k in range(4):
            y = x * k
            y.register_hook(lambda dy: dy * 2)
            y.sum().backward()
            losses.append(y)
    trace = explain.record(train, runs=2)
    assert len(losses) == 4 and [s.run for s in trace.backward] == [1, 1, 2, 2]
    assert [s.op for s in trace] == ["Mul", "Sum", "Sum", "Mul", "Mul"] * 2     # the third: the hook's


def test_runs_counts_two_losses_of_one_forward():
    x = torch.tensor([2.0], requires_grad=True)
    with explain.record(runs=1) as trace:
        a, b = (x * x).sum(), (3 * x).sum()
        a.backward()
        b.backward()
    assert trace["x"].grad.tolist() == [4.0] and [s.run for s in trace.backward] == [1, 1]

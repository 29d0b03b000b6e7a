"""Gradient flow: the numbers against NumPy and against .grad, what is said about faults, and what a plot shows."""

import csv
import math

import matplotlib
import numpy as np
import pytest

import minitorch as mt
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch.explain import Flow, Layer, gradient_flow, plot_gradient_flow

matplotlib.use("Agg")


@pytest.fixture
def figures():
    """Close what a test drew."""
    yield
    import matplotlib.pyplot
    matplotlib.pyplot.close("all")


@pytest.fixture
def net():
    mt.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).double()


X = np.random.default_rng(1).normal(size=(11, 5))
T = np.random.default_rng(2).normal(size=(11, 3))


def loss_of(net):
    return F.mse_loss(net(mt.tensor(X)), mt.tensor(T))


def fake(values, **settings):
    return Flow([Layer(f"l{i}", "Linear", 1, grad_norm=v) for i, v in enumerate(values)], **settings)


# --- the numbers

@pytest.mark.parametrize("as_function", [True, False])
def test_against_numpy(net, as_function):
    w1, b1, w2, b2 = (p.detach().numpy() for p in net.parameters())
    h = X @ w1.T + b1                                                               # forward
    r = np.maximum(h, 0)
    y = r @ w2.T + b2
    dy = 2 * (y - T) / y.size                                                       # backward
    dr = dy @ w2
    dh = dr * (h > 0)
    d1 = np.concatenate([(dh.T @ X).ravel(), dh.sum(0)])
    d2 = np.concatenate([(dy.T @ r).ravel(), dy.sum(0)])

    flow = gradient_flow(net, (lambda: loss_of(net)) if as_function else loss_of(net), lr=0.3)
    first, last = flow[0], flow[-1]
    assert (first.name, first.kind, first.parameters) == ("0", "Linear", 42)
    for layer, out, dout, w, d in ((first, h, dh, [w1, b1], d1), (last, y, dy, [w2, b2], d2)):
        w = np.concatenate([a.ravel() for a in w])
        expected = dict(
            out_norm=np.linalg.norm(out), out_mean=out.mean(), out_std=out.std(), out_zeros=0, weight_norm=np.linalg.norm(w),
            out_grad_norm=np.linalg.norm(dout), grad_norm=np.linalg.norm(d), grad_mean_abs=np.abs(d).mean(),
            grad_zeros=(d == 0).mean(), update_ratio=0.3 * np.linalg.norm(d) / np.linalg.norm(w))
        for name, value in expected.items():
            assert getattr(layer, name) == pytest.approx(value, rel=1e-12), name
    if as_function:
        assert flow["1"].kind == "ReLU" and flow["1"].grad_norm is None
        assert flow["1"].out_zeros == (h <= 0).mean() > 0.2
        assert flow["1"].out_grad_norm == pytest.approx(np.linalg.norm(dr), rel=1e-12)


@pytest.mark.parametrize("as_function", [True, False])
def test_equals_grad_and_leaves_everything_as_it_was(as_function):
    mt.manual_seed(0)
    net = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double()
    x = mt.randn(2, 5, 8, dtype=mt.float64)
    net.norm1.weight.grad = mt.ones(8, dtype=mt.float64)
    before = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    loss = net(x).square().sum() if not as_function else lambda: net(x).square().sum()
    optimizer = mt.optim.Adam(net.parameters())
    flow = gradient_flow(net, loss, optimizer=optimizer)
    assert (net.norm1.weight.grad.numpy() == 1).all() and net.linear1.weight.grad is None and not optimizer.state
    assert all((p.detach().numpy() == before[name]).all() for name, p in net.named_parameters())
    net.zero_grad()
    (loss() if as_function else loss).backward()                                    # the graph is still there
    for name, p in net.named_parameters():
        assert flow[name].grad_norm == pytest.approx(np.linalg.norm(p.grad.numpy()), rel=1e-12)
    assert math.hypot(*[layer.grad_norm for layer in flow]) == pytest.approx(
        math.hypot(*[np.linalg.norm(p.grad.numpy()) for p in net.parameters()]), rel=1e-12)


def test_large_outputs_from_a_loss_alone():
    """Those that an op keeps are there; of others the gradient is."""
    net = nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 256))
    x = mt.randn(1024, 256)
    whole = gradient_flow(net, lambda: (net(x) + x).square().sum())
    for loss, known in (((net(x) + x).square().sum(), False), (net(x).square().sum(), True)):
        flow = gradient_flow(net, loss)
        kept, last = flow
        assert kept.out_norm == whole[0].out_norm and (last.out_norm is not None) == known == ("–" not in str(flow))
        assert last.out_grad_norm > 0 and last.grad_norm > 0


def test_layers_stand_in_the_order_of_forward():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.scale, self.first = nn.Linear(4, 2), nn.Parameter(mt.ones(4)), nn.Linear(3, 4)

        def forward(self, x):
            return self.last(self.first(x) * self.scale)

    net, x = Backwards(), mt.randn(6, 3)
    assert [layer.name for layer in gradient_flow(net, lambda: net(x).sum())] == ["first", "last", "(model)"]
    assert [layer.name for layer in gradient_flow(net, net(x).sum())] == ["first", "(model)", "last"]


@pytest.mark.parametrize("make", [
    lambda params: mt.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    lambda params: mt.optim.AdamW(params, lr=1e-3),
])
def test_the_update_is_the_optimisers_own(net, make):
    optimizer = make(net.parameters())
    for _ in range(3):                                                              # so that it has a past
        optimizer.zero_grad()
        loss_of(net).backward()
        optimizer.step()
    flow = gradient_flow(net, lambda: loss_of(net), optimizer=optimizer)
    before = {name: p.detach().numpy().copy() for name, p in net.named_parameters()}
    optimizer.zero_grad()
    loss_of(net).backward()
    optimizer.step()
    for name, p in net.named_parameters():
        moved = np.linalg.norm(p.detach().numpy() - before[name])
        assert flow[name].update_ratio == pytest.approx(moved / np.linalg.norm(before[name]), rel=1e-9) and moved > 0


def test_tiny_gradients_are_not_lost_in_their_squares(net):
    tiny = gradient_flow(net, lambda: loss_of(net) * 1e-200)
    normal = gradient_flow(net, lambda: loss_of(net))
    for a, b in zip(tiny, normal):
        if b.grad_norm is not None:
            assert a.grad_norm == pytest.approx(b.grad_norm * 1e-200, rel=1e-12) and a.grad_zeros == b.grad_zeros


def test_a_layer_used_twice_counts_both_times():
    layer, x = nn.Linear(3, 3, bias=False).double(), mt.randn(4, 3, dtype=mt.float64)
    both = gradient_flow(layer, lambda: layer(layer(x)).sum())
    once, twice = layer(x).detach().numpy(), layer(layer(x)).detach().numpy()
    assert len(both) == 1
    assert both[0].out_norm == pytest.approx(math.hypot(np.linalg.norm(once), np.linalg.norm(twice)), rel=1e-12)
    assert gradient_flow(layer, layer(layer(x)).sum())[0].out_norm == pytest.approx(both[0].out_norm, rel=1e-12)


def test_chosen_layers_own_all_that_is_in_them():
    mt.manual_seed(0)
    net = nn.Sequential(*[nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True) for _ in range(3)])
    x = mt.randn(2, 5, 8)
    by_module = gradient_flow(net, lambda: net(x).square().sum(), layers=net)
    by_name = gradient_flow(net, lambda: net(x).square().sum(), layers=["0", "1", "2"])
    assert by_module.layers == by_name.layers
    assert [layer.parameters for layer in by_module] == [sum(p.numel() for p in net[0].parameters())] * 3
    inner = gradient_flow(net, lambda: net(x).square().sum(), layers=[net[0], net[0].linear1])
    assert inner["0"].parameters + inner["0.linear1"].parameters == by_module[0].parameters


# --- what is wrong is said

def test_nan_is_said(net):
    with mt.no_grad():
        net[2].weight[1, 4] = math.nan
    flow = gradient_flow(net, lambda: loss_of(net))
    assert math.isnan(flow.loss) and math.isnan(flow["2"].out_norm) and math.isnan(flow["0"].grad_norm)
    text = repr(flow)
    assert "! the loss is nan" in text and "! the output of 2 has NaN" in text
    assert "! the gradient of 0.weight is NaN or infinite in " in text


def test_unreached_and_zero_gradients_are_said(net):
    both = nn.ModuleDict({"net": net, "spare": nn.Linear(2, 2)})
    flow = gradient_flow(both, net[0](mt.tensor(X)).sum() * 0)
    assert flow["spare"].grad_norm is None and flow["net.0"].grad_norm == 0
    assert "! no gradient reached net.2.weight, net.2.bias, spare.weight and 1 more: the loss was not" in repr(flow)
    assert "! the gradient is exactly 0 everywhere in net.0.weight, net.0.bias" in repr(flow)
    net[0].requires_grad_(False)
    flow = gradient_flow(net, lambda: loss_of(net))
    assert flow["0"].grad_norm is None and flow["0"].out_grad_norm is None and "0.weight" not in repr(flow)


def test_an_output_that_overflows_is_named_first():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with mt.no_grad():
        net[0].weight.copy_(mt.full((2, 2), 3e38))
    flow = gradient_flow(net, lambda: net(mt.ones(1, 2)).sum())
    assert flow[0].out_norm == math.inf and "! the output of 0 has NaN or infinite values" in repr(flow)


@pytest.mark.parametrize("call, error, text", [
    (lambda net: gradient_flow(net.forward, loss_of(net)), TypeError, "model must be a Module, got method"),
    (lambda net: gradient_flow(nn.ReLU(), loss_of(net)), ValueError, "ReLU has no parameters"),
    (lambda net: gradient_flow(net, 1.0), TypeError, "scalar Tensor, or a function that returns one, got float"),
    (lambda net: gradient_flow(net, lambda: None), TypeError, "got NoneType"),
    (lambda net: gradient_flow(net, net(mt.tensor(X))), RuntimeError, r"shape \(11, 3\), not a scalar. Call .sum\(\)"),
    (lambda net: gradient_flow(net, loss_of(net).detach()), RuntimeError, "has no graph"),
    (lambda net: gradient_flow(net, loss_of(net), layers=["hidden"]), ValueError, "'hidden' is not a module of Sequential"),
    (lambda net: gradient_flow(net, loss_of(net), layers=[nn.ReLU()]), ValueError, "this ReLU is not a module"),
    (lambda net: gradient_flow(net, loss_of(net), lr=1, optimizer=mt.optim.SGD(net.parameters())), ValueError, "not both"),
    (lambda net: gradient_flow(net, loss_of(net), optimizer=0.1), TypeError, "write lr="),
    (lambda net: gradient_flow(net, lambda: loss_of(net))["hidden"], KeyError, "There are: 0, 1, 2"),
])
def test_bad_input(net, call, error, text):
    with pytest.raises(error, match=text):
        call(net)


def test_a_spent_graph(net):
    loss = loss_of(net)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"freed by backward\(\) \(at test_flow.py:\d+\). Call gradient_flow first"):
        gradient_flow(net, loss)


def test_hooks_are_gone_also_after_an_error(net):
    with pytest.raises(ZeroDivisionError):
        gradient_flow(net, lambda: 1 / 0)
    assert not any(module._forward_hooks for module in net.modules())


# --- table and file

def test_table_and_csv(net, tmp_path):
    flow = gradient_flow(net, lambda: loss_of(net))
    lines = repr(flow).splitlines()
    assert lines[0] == f"Gradient flow: 3 layers, float64, loss {flow.loss:.6g}" and len(lines) == 5
    flow.to_csv(tmp_path / "flow.csv")
    with open(tmp_path / "flow.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["grad_norm"]) for row in rows if row["grad_norm"]] == [flow["0"].grad_norm, flow["2"].grad_norm]
    assert rows[1]["name"] == "1" and rows[1]["grad_norm"] == "" and float(rows[1]["out_mean"]) == flow["1"].out_mean
    assert "… 40 more …" in repr(fake(range(100)))


# --- the plot

def lines_of(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


def test_curves_are_the_numbers(net, figures):
    flow = gradient_flow(net, lambda: loss_of(net))
    ax = plot_gradient_flow({"mine": flow})
    (line,) = lines_of(ax, "mine")
    assert list(line.get_ydata()) == [flow["0"].grad_norm, flow["2"].grad_norm]     # ReLU has no parameters
    assert list(line.get_xdata()) == [1, 2] and [t.get_text() for t in ax.get_xticklabels()] == ["0", "2"]
    assert ax.get_yscale() == "log" and "2 layers, float64" in ax.get_title()
    ax = plot_gradient_flow(flow, what="out_std")
    assert list(ax.get_lines()[0].get_ydata()) == flow.column("out_std")


def test_zero_nan_and_infinity_are_on_the_picture(figures):
    ax = plot_gradient_flow({"a": fake([1.0, 0.0, 1e-3, math.nan, math.inf, None])})
    (line,) = lines_of(ax, "a")
    assert np.isfinite(line.get_ydata()).tolist() == [True, False, True, False, False, False]
    marks = {label: lines_of(ax, f"_{label}: a")[0] for label in ("exactly 0", "NaN", "infinite")}
    assert [list(mark.get_xdata()) for mark in marks.values()] == [[2], [4], [5]]
    ax.figure.canvas.draw()
    heights = {label: ax.transData.inverted().transform(mark.get_transform().transform(mark.get_xydata()))[0, 1]
               for label, mark in marks.items()}
    bottom, top = ax.get_ylim()
    assert 1 < heights["infinite"] < top and all(bottom < heights[label] < 1e-3 for label in ("exactly 0", "NaN"))
    assert {"a", "exactly 0", "NaN", "infinite"} == {t.get_text() for t in ax.get_legend().get_texts()}


def test_the_zeros_of_two_runs_do_not_cover_each_other(figures):
    ax = plot_gradient_flow([fake([0.0, 1.0]), fake([0.0, 1.0])])
    a, b = (lines_of(ax, f"_exactly 0: run {k}")[0].get_ydata()[0] for k in (1, 2))
    assert 0 < b < a < 0.1


def test_runs_differ_by_more_than_colour(figures):
    ax = plot_gradient_flow([fake([1, 2, 3]) for _ in range(7)], theory={"run 2": [3, 2, 1]}, label_ends=True)
    lines = [line for i in range(7) for line in lines_of(ax, f"run {i + 1}")]
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == 7
    assert [t.get_text() for t in ax.texts] == [f"run {i + 1}" for i in range(7)]
    heights = [t.xyann[1] for t in ax.texts]
    assert min(np.diff(sorted(heights))) > 0.05
    (theory,) = lines_of(ax, "_theory")
    assert list(theory.get_ydata()) == [3, 2, 1] and theory.get_color() == lines[1].get_color()


def test_it_draws_where_it_is_told_and_changes_nothing_else(figures):
    import matplotlib.pyplot as plt
    before = dict(plt.rcParams)
    _, axes = plt.subplots(1, 2)
    assert plot_gradient_flow(fake([1, 2]), ax=axes[1], title="mine") is axes[1]
    assert axes[1].get_title() == "mine" and not axes[0].lines and dict(plt.rcParams) == before


def test_the_smallest_numbers_there_are(figures, tmp_path):
    ax = plot_gradient_flow([fake([5e-324, 0.0, 1e300]), fake([0.0, 0.0, 0.0])], label_ends=True)
    ax.figure.savefig(tmp_path / "plot.png")


@pytest.mark.parametrize("flows, error, text", [
    ({}, ValueError, "no flow to draw"),
    (3, TypeError, "flows: expected what gradient_flow returns, got int"),
    ({"a": [1.0]}, TypeError, "a: expected what gradient_flow returns, got list"),
    ([Flow([])], ValueError, "run 1 has no layers"),
])
def test_nothing_to_draw(flows, error, text):
    with pytest.raises(error, match=text):
        plot_gradient_flow(flows)
    with pytest.raises(ValueError, match="what must be one of grad_norm"):
        plot_gradient_flow(fake([1]), what="gradient")

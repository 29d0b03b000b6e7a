"""Gradient checkpointing: the same gradients, the same dropout, less memory."""

import collections
import gc
import tracemalloc

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.autograd import Function
from minitorch.utils.checkpoint import Checkpoint, checkpoint, checkpoint_sequential

Pair = collections.namedtuple("Pair", "first second")


def gradients(compute, model, *inputs, seed=0):
    """The loss, the gradients of parameters and inputs, and the generator's state at the end, from the same beginning."""
    minitorch.manual_seed(seed)
    model.zero_grad()
    inputs = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
    y = compute(*inputs)
    weight = np.random.default_rng(seed).normal(size=y.shape)
    loss = (y * minitorch.tensor(weight).to(y.dtype)).sum()
    loss.backward()
    grads = {name: None if p.grad is None else p.grad.data for name, p in model.named_parameters()}
    grads |= {i: None if x.grad is None else x.grad.data for i, x in enumerate(inputs)}
    return loss.data, grads, minitorch.default_generator.get_state()


def same(a, b, tolerance=0.0):
    assert a[0].tobytes() == b[0].tobytes() and a[2] == b[2] and a[1].keys() == b[1].keys()
    for name, gradient in a[1].items():
        other = b[1][name]
        assert (gradient is None) == (other is None), name
        if gradient is not None:
            assert gradient.dtype == other.dtype
            assert np.abs(other - gradient).max() <= tolerance * np.abs(gradient).max(), name


@pytest.mark.parametrize("settings", [{}, {"use_reentrant": True}, {"use_reentrant": False}], ids=str)
@pytest.mark.parametrize("dtype", [minitorch.float32, minitorch.float64], ids=str)
@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_with_dropout_has_the_same_gradients_bit_by_bit(settings, dtype, norm_first):
    minitorch.manual_seed(1)
    layers = nn.ModuleList([nn.TransformerEncoderLayer(12, 3, 20, 0.3, norm_first=norm_first, batch_first=True)
                            for _ in range(3)]).to(dtype)
    x = minitorch.randn(2, 5, 12, dtype=dtype)

    def plain(x):
        for layer in layers:
            x = layer(x)
        return x

    def saving(x):
        for layer in layers:
            x = checkpoint(layer, x, **settings)
        return x

    same(gradients(plain, layers, x), gradients(saving, layers, x))


def test_dropout_is_drawn_anew_without_preserve_rng_state():
    layer, x = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5)), minitorch.randn(3, 64)
    kept = gradients(lambda x: checkpoint(layer, x), layer, x)
    drawn = gradients(lambda x: checkpoint(layer, x, preserve_rng_state=False), layer, x)
    assert kept[0] == drawn[0] and not np.array_equal(kept[1][0], drawn[1][0])
    assert kept[2] != drawn[2]


def test_several_outputs_some_unused_and_what_is_no_tensor():
    model, x = nn.Linear(4, 4), minitorch.randn(3, 4)

    def part(x, scale, *, flag):
        h = model(x)
        return {"h": h, "pair": Pair(h.tanh() * scale, [h.argmax(), None]), "x": x, "text": flag, "unused": h.exp()}

    def use(out):
        assert out["text"] == "yes" and isinstance(out["pair"], Pair) and out["pair"].second[1] is None
        assert out["pair"].second[0].dtype == minitorch.int64
        return out["h"] * out["pair"].first + out["x"]

    same(gradients(lambda x: use(part(x, 3.0, flag="yes")), model, x),
         gradients(lambda x: use(checkpoint(part, x, 3.0, flag="yes")), model, x), 1e-6)


def test_what_the_function_refers_to_gets_its_gradient():
    """Tensors that are no arguments: a parameter, a result from before, one that is passed on untouched."""
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}).double()
    x = minitorch.randn(2, 3, dtype=minitorch.float64)

    def with_(run):
        def compute(x):
            before = model["a"](x).tanh()
            passed, y, kw = run(lambda z, k: (before, model["b"](z) * before + before.sum() + k, k), x * 2, k=before * 3)
            return y * passed + before + kw
        return compute

    plain, saving = with_(lambda f, *a, **k: f(*a, **k)), with_(checkpoint)
    same(gradients(plain, model, x), gradients(saving, model, x), 1e-14)


def test_what_enters_may_be_large():
    """Nodes keep no more than an outline of large inputs; the part sees the tensors themselves again."""
    def compute(run):
        x = minitorch.full((512, 512), 3.0, requires_grad=True)
        before = x + 1
        y = run(lambda z: run(lambda z: (z + 2) * (before + z) + 1, z + 0), x * 2)
        (y * 0.5 + before).sum().backward()
        return x.grad

    grad = compute(checkpoint)
    assert grad[0, 0].item() == 0.5 * (2 * 10 + 8 * 3) + 1 and (grad == compute(lambda f, x: f(x))).all()


def test_the_walk_stops_where_the_part_begins():
    """Backward through the part must not go on into the graph before it: that would count it twice and free it."""
    calls = []

    class Before(Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            calls.append(dy.copy())
            return dy * 2

    x = minitorch.ones(3, requires_grad=True)
    h = Before.apply(x)
    y = checkpoint(lambda h: h * h, h)
    (y.sum() + h.sum()).backward()
    assert len(calls) == 1 and x.grad.tolist() == [10.0] * 3
    assert h.fn is not None


def test_tied_weights_in_many_parts():
    model, x = nn.Linear(5, 5).double(), minitorch.randn(2, 5, dtype=minitorch.float64)

    def deep(run):
        def compute(x):
            for _ in range(6):
                x = run(lambda x: model(x).tanh(), x)
            return x
        return compute

    same(gradients(deep(lambda f, x: f(x)), model, x), gradients(deep(checkpoint), model, x), 1e-12)


def test_nested():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.4), nn.Tanh()) for _ in range(4)])
    x = minitorch.randn(3, 6)

    def nested(x):
        def half(first):
            return lambda x: checkpoint(model[first + 1], checkpoint(model[first], x))
        return checkpoint(lambda x: checkpoint(half(2), checkpoint(half(0), x)), x)

    same(gradients(model, model, x), gradients(nested, model, x))


def test_nothing_is_kept_where_nothing_is_wanted():
    layer, x = nn.Linear(3, 3), minitorch.randn(2, 3)
    with minitorch.no_grad():
        y = checkpoint(layer, x)
    assert not y.requires_grad and y.fn is None
    assert checkpoint(lambda x: x * 2, x).fn is None
    assert checkpoint(lambda: 3) == 3
    with minitorch.no_grad():
        inner = checkpoint(lambda x: x * 2, x.requires_grad_())
    assert inner.fn is None
    assert isinstance(checkpoint(layer, x).fn, Checkpoint)


def test_backward_twice_and_grad():
    layer, x = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), minitorch.randn(2, 3).requires_grad_()
    y = checkpoint(layer, x).sum()
    y.backward(retain_graph=True)
    once = x.grad.data.copy()
    y.backward()
    assert np.array_equal(x.grad.data, once * 2)
    with pytest.raises(RuntimeError, match="already freed"):
        y.backward()
    y = checkpoint(layer, x).sum()
    before = layer[0].weight.grad.data.copy()
    dx, dw = minitorch.autograd.grad(y, [x, layer[0].weight])
    assert np.array_equal(layer[0].weight.grad.data, before) and dw.shape == (3, 3) and dx.shape == (2, 3)


def test_weights_changed_before_backward_are_noticed():
    layer, x = nn.Linear(3, 3), minitorch.randn(2, 3)
    y = checkpoint(layer, x).sum()
    with minitorch.no_grad():
        layer.weight.copy_(layer.weight * 2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_function_that_computes_something_else_the_second_time():
    shapes = iter([2, 3])
    x = minitorch.ones(5, requires_grad=True)
    y = checkpoint(lambda x: x[:next(shapes)] * 2, x)
    with pytest.raises(RuntimeError, match=r"shapes \[\(2,\)\] the first time, and \[\(3,\)\] now"):
        y.sum().backward()
    assert x.fn is None


def test_an_error_in_the_second_run_leaves_everything_in_place():
    runs = []
    x = minitorch.ones(2, requires_grad=True)
    h = x * 2

    def part(h):
        runs.append(1)
        minitorch.rand(1)
        if len(runs) == 2:
            raise KeyError("second")
        return h * 2

    y = checkpoint(part, h)
    state = minitorch.default_generator.get_state()
    with pytest.raises(KeyError):
        y.sum().backward()
    assert h.fn is not None and minitorch.default_generator.get_state() == state


@pytest.mark.parametrize("segments", [1, 2, 3, 7])
def test_sequential(segments):
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.GELU()) for _ in range(7)])
    x = minitorch.randn(3, 4)
    expected = gradients(model, model, x)
    same(expected, gradients(lambda x: checkpoint_sequential(model, segments, x, use_reentrant=False), model, x))
    same(expected, gradients(lambda x: checkpoint_sequential(list(model), segments, x), model, x))


@pytest.mark.parametrize("segments", [0, 8, -1, True, 2.0])
def test_sequential_refuses(segments):
    with pytest.raises(ValueError, match="segments must be from 1 to 7"):
        checkpoint_sequential(nn.Sequential(*[nn.ReLU() for _ in range(7)]), segments, minitorch.ones(1))


def test_sequential_of_one_function_runs_it():
    assert checkpoint_sequential([lambda x: x * 2], 1, minitorch.ones(1)).item() == 2


# ---------------------------------------------------------------------------------------------------------------------
# memory

def peak(model, x, segments):
    """Bytes at the highest point of forward and backward, above the parameters and their gradients."""
    for p in model.parameters():
        p.grad = minitorch.zeros(*p.shape)
    gc.collect()
    tracemalloc.start()
    y = model(x) if segments is None else checkpoint_sequential(model, segments, x)
    y.sum().backward()
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest


def test_memory_falls_as_the_theory_says(record_property):
    """n layers keep n units of memory; in s parts, s inputs and one part of n / s layers."""
    n, rows, width = 36, 500, 50
    model = nn.Sequential(*[nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(n)])
    x = minitorch.randn(rows, width)
    peak(model[:2], x, None)                                 # compile, allocate what is allocated once
    unit = peak(model[:24], x, None) - peak(model[:12], x, None)
    unit /= 12                                               # what one layer keeps, measured
    found = {s: peak(model, x, s) for s in (None, 2, 6, 18)}
    for s, measured in found.items():
        record_property(f"peak_{s}", measured)
        inputs = 0 if s is None else (s - 1) * rows * width * 4
        expected = inputs + unit * (n if s is None else n // s)
        assert abs(measured - expected) < 4 * unit, f"{s} parts: {measured} bytes, expected {expected:.0f}"
    assert min(found, key=found.get) == 6                    # √36
    assert found[6] < 0.35 * found[None]


def test_nothing_stays_behind():
    gc.collect()
    gc.disable()
    try:
        layer, x = nn.Sequential(nn.Linear(50, 50), nn.Tanh()), minitorch.randn(100, 50)
        checkpoint(layer, x).sum().backward()
        layer.zero_grad()
        tracemalloc.start()
        for _ in range(5):
            checkpoint(layer, x).sum().backward()
            layer.zero_grad()
        assert tracemalloc.get_traced_memory()[0] < 20_000  # one array is as large as this
    finally:
        tracemalloc.stop()
        gc.enable()

"""The tape: order, accumulation, freeing, refusing."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import minitorch as mt
from minitorch.autograd import Function


def leaf(*values, dtype=mt.float64):
    return mt.tensor(list(values), dtype=dtype, requires_grad=True)


# --- order and accumulation

def test_x_plus_x():
    x = leaf(3.0)
    (x + x).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_diamond():
    x = leaf(2.0)
    a = x * 3
    b = a * a + a      # a used three times
    b.sum().backward()
    assert x.grad.item() == 3 * (2 * 6 + 1)


def test_reuse_at_different_depths():
    x = leaf(1.5, -0.5)
    y = x * x
    z = y * x + y * y + x
    z.sum().backward()
    v = x.data
    np.testing.assert_allclose(x.grad.data, 3 * v**2 + 4 * v**3 + 1, rtol=1e-15)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_many_uses_of_one_tensor(shape):
    x = mt.full(shape, 2.0, requires_grad=True)
    (x + x + x + x + x).backward(mt.ones(shape))
    assert (x.grad.data == 5).all()
    x.grad = None
    y = x * 1
    (y + y + y * 3 + y + y - y).backward(mt.ones(shape))
    assert (x.grad.data == 6).all() and isinstance(x.grad.data, np.ndarray)


def test_gradients_accumulate_over_backwards():
    x = leaf(2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    assert x.grad.item() == 7.0


def test_leaves_do_not_share_one_gradient_buffer():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = mt.tensor([1.0, 1.0], dtype=mt.float64)
    (x + y).backward(seed)
    x.grad.zero_()
    assert y.grad.tolist() == [1.0, 1.0] and seed.tolist() == [1.0, 1.0]


def test_incoming_gradient_is_not_written_to():
    x = leaf(1.0, 2.0)
    seed = mt.tensor([1.0, 2.0], dtype=mt.float64)
    y = x * 1
    (y + y + y).backward(seed)
    assert seed.tolist() == [1.0, 2.0] and x.grad.tolist() == [3.0, 6.0]


def test_a_saved_gradient_survives_the_next_backward():
    x = leaf(1.0)
    (x * 2).sum().backward()
    before = x.grad
    (x * 2).sum().backward()
    assert before.item() == 2.0 and x.grad.item() == 4.0


def test_backward_of_a_leaf_and_of_several_roots():
    x = mt.tensor(2.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0
    a, b = x * 2, x * x
    mt.autograd.backward([a, b])
    assert x.grad.item() == 1.0 + 2.0 + 4.0


def test_unused_outputs_of_a_function_get_none():
    seen = []

    class Two(Function):
        def forward(self, x):
            return x * 2, x * 3

        def backward(self, da, db):
            seen.append((da is None, db is None))
            return 3 * db

    x = leaf(1.0)
    _, b = Two.apply(x)
    b.sum().backward()
    assert seen == [(True, False)] and x.grad.item() == 3.0


# --- a Function of one's own

def test_function_gets_arrays_and_settings_and_needs():
    class Scale(Function):
        def forward(self, x, factor, *, power):
            assert isinstance(x, np.ndarray) and factor == 2 and power == 3
            return x * factor**power

        def backward(self, dy):
            assert self.needs == (True, False)
            return dy * 8, None

    x = leaf(1.0)
    y = Scale.apply(x, 2, power=3)
    y.sum().backward()
    assert y.item() == 8.0 and x.grad.item() == 8.0


@pytest.mark.parametrize("wrong, message", [
    (lambda dy: (dy, dy), "Broken.backward returned 2 gradients for 1 inputs"),
    (lambda dy: dy[:1], r"gradient of input 0 has shape \(1,\), the input has \(2,\)"),
])
def test_wrong_backwards_are_refused(wrong, message):
    class Broken(Function):
        def forward(self, x):
            return x * 1

        def backward(self, dy):
            return wrong(dy)

    with pytest.raises(RuntimeError, match=message):
        Broken.apply(leaf(1.0, 2.0)).sum().backward()


def test_an_array_that_a_backward_keeps_is_not_added_to():
    constant = np.array([3.0, 3.0])

    class Triple(Function):
        def forward(self, x):
            return x * 3

        def backward(self, dy):
            return constant

    x = leaf(1.0, 2.0)
    (Triple.apply(x) + Triple.apply(x) + Triple.apply(x) + x).sum().backward()
    assert constant.tolist() == [3.0, 3.0] and x.grad.tolist() == [10.0, 10.0]


@pytest.mark.parametrize("hand_over", [
    lambda self, g: g,
    lambda self, g: g.reshape(64, 64).reshape(-1),
], ids=["itself", "reshaped"])
def test_a_large_gradient_that_nobody_else_holds_is_not_copied(hand_over):
    made = []

    class Twice(Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            g = dy + dy
            made.append(g.ctypes.data)
            return hand_over(self, g)

    x = mt.ones(4096, requires_grad=True)
    Twice.apply(x).sum().backward()
    assert made == [x.grad.data.ctypes.data] and (x.grad.data == 2).all()


@pytest.mark.parametrize("keep", [
    lambda self, g: held.append(g),
    lambda self, g: held.append(g[1:]),
    lambda self, g: setattr(self, "kept", [g]) or held.append(self.kept),
    lambda self, g: held.append({"deep": (g,)}),
], ids=["itself", "a part", "in a list of its own", "in a tuple in a dict"])
def test_a_large_gradient_that_somebody_holds_is_not_added_to(keep):
    class Twice(Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            g = dy + dy
            keep(self, g)
            return g

    def first(thing):
        return thing if isinstance(thing, np.ndarray) else first(next(iter(getattr(thing, "values", lambda: thing)())))

    held.clear()
    x = mt.ones(4096, requires_grad=True)
    (Twice.apply(x) + Twice.apply(x) + Twice.apply(x)).sum().backward()
    assert (x.grad.data == 6).all() and len(held) == 3
    assert all((first(thing) == 2).all() and not np.shares_memory(first(thing), x.grad.data) for thing in held)


held: list = []


def test_one_large_array_for_two_inputs_is_not_added_to():
    class Sum(Function):
        def forward(self, x, y):
            return x + y

        def backward(self, dy):
            g = dy * 1
            return g, g

    x, y = mt.ones(4096, requires_grad=True), mt.ones(4096, requires_grad=True)
    (Sum.apply(x, y) + x).sum().backward()
    assert (x.grad.data == 2).all() and (y.grad.data == 1).all()
    assert not np.shares_memory(x.grad.data, y.grad.data)


def test_function_without_a_tensor():
    with pytest.raises(TypeError, match="expected a Tensor, got float.*minitorch.tensor"):
        mt.exp(3.0)


# --- freeing

def test_second_backward_says_where_the_first_was():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"already freed by an earlier backward\(\) \(called at test_autograd.py:\d+\)"):
        y.backward()


def test_retain_graph():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0


def test_sharing_a_freed_part_is_refused():
    x = leaf(2.0)
    shared = x * x
    (shared * 2).sum().backward()
    with pytest.raises(RuntimeError, match="already freed"):
        (shared * 3).sum().backward()


def test_no_node_outlives_its_graph_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = x.exp()
        y.register_hook(lambda g: g * 1)
        y.retain_grad()
        z = (y * y).sum()
        alive = [weakref.ref(t) for t in (y, y.fn, z.fn)]
        z.backward()
        del y, z
        assert [r() for r in alive] == [None] * 3
        y = x.exp() * x
        alive = [weakref.ref(y), weakref.ref(y.fn)]
        del y                                            # never walked
        assert [r() for r in alive] == [None] * 2
    finally:
        gc.enable()


def test_intermediate_values_are_freed_during_backward():
    x = leaf(1.0)
    y = x * 2
    z = (y * y).sum()
    ref = weakref.ref(y)
    del y
    assert ref() is not None
    z.backward()
    assert ref() is None


def test_an_intermediate_is_freed_before_the_next_op_backwards():
    seen = []

    class Look(Function):
        def forward(self, x):
            return x * 2

        def backward(self, dy):
            seen.append(ref())
            return dy * 2

    x = leaf(1.0, 2.0)
    y = Look.apply(x)
    ref = weakref.ref(y)
    z = (y * y).sum()
    del y
    z.backward()
    assert seen == [None] and x.grad.tolist() == [8.0, 16.0]


def test_large_values_that_no_op_needs_are_freed_in_the_forward_pass():
    x = mt.zeros(512, 512, requires_grad=True)
    h = x + 1
    y = (h + 2) * 3
    lost, leaf_of_h = y.fn.parents[0], h.fn.parents[0]
    of_h = lost.fn.parents[0]
    assert leaf_of_h is x and of_h.data is h.data and of_h.place == h.place
    array = weakref.ref(h.data)
    del h
    assert array() is None and of_h.held() is None
    with pytest.raises(RuntimeError, match=r"Outline\(shape=\(512, 512\), dtype=float32, fn=Add\): its values are gone"):
        _ = of_h.data
    assert (of_h.shape, of_h.dtype) == ((512, 512), np.float32)
    seen = []
    y.register_hook(seen.append)
    (y * y).sum().backward()        # Mul kept its inputs
    assert (x.grad.data == 2 * 9 * 3).all() and seen[0].shape == (512, 512)


@pytest.mark.parametrize("keep", ["observer", "whole_inputs", "small"])
def test_a_node_keeps_the_tensors_themselves(keep):
    class Looker:
        def forward(self, *_):
            pass

        backward = forward

    looker = [Looker()] if keep == "observer" else []
    x = mt.zeros(2 if keep == "small" else 512, 512, requires_grad=True)
    mt.autograd.observers.extend(looker)
    try:
        with mt.autograd.whole_inputs() if keep == "whole_inputs" else contextlib.nullcontext():
            h = x + 1
            y = h + 2
            assert y.fn.parents[0] is h
    finally:
        for one in looker:
            mt.autograd.observers.remove(one)
    assert not mt.autograd._mode.whole


def test_a_gradient_of_the_wrong_shape_is_refused_where_the_input_was_let_go():
    class Wrong(Function):
        def forward(self, x):
            return x[0] * 1

        def backward(self, dy):
            return dy

    y = Wrong.apply(mt.zeros(512, 512, requires_grad=True) + 1)
    with pytest.raises(RuntimeError, match=r"Wrong.backward: the gradient of input 0 has shape \(512,\), the input has "
                                           r"\(512, 512\)"):
        y.sum().backward()


def test_a_chain_of_100_000_ops():
    script = """
import minitorch as mt
x = mt.tensor([1.0], requires_grad=True)
y = x
for _ in range(100_000):
    y = y + x          # each link holds on to the one before it and to x
y.backward(retain_graph=True)
assert x.grad.item() == 100_001.0
del y                  # walked, but kept: freed here, all at once
y = x
for _ in range(100_000):
    y = y * 1.0
del y                  # never walked
print("done")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "done", run.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads memory use from Linux's /proc")
def test_10_000_training_steps_leave_memory_flat():
    def megabytes():
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    w = mt.randn(8, 8, requires_grad=True)
    x = mt.randn(4, 8)

    def steps(n):
        nonlocal w
        for _ in range(n):
            w.grad = None
            loss = ((x @ w).tanh() ** 2).mean()
            loss.backward()
            with mt.no_grad():
                w -= 0.01 * w.grad

    steps(500)
    before = megabytes()
    steps(10_000)
    assert megabytes() - before < 2


# --- remembering on and off

def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with mt.no_grad():
        y = x * 2
        assert not y.requires_grad and y.fn is None and not mt.is_grad_enabled()
        with mt.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @mt.no_grad()
    def f(depth):
        assert not mt.is_grad_enabled()
        return f(depth - 1) if depth else x * 2

    assert not f(3).requires_grad and mt.is_grad_enabled()
    mt.set_grad_enabled(False)
    assert not mt.is_grad_enabled()
    mt.set_grad_enabled(True)
    with mt.set_grad_enabled(False):
        assert not mt.is_grad_enabled()
    assert mt.is_grad_enabled()


def test_no_grad_is_left_after_an_exception():
    with pytest.raises(KeyError):
        with mt.no_grad():
            raise KeyError
    assert mt.is_grad_enabled()


# --- hooks and kept gradients

def test_hooks_see_the_whole_gradient_and_may_replace_it():
    x = leaf(1.0)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.item()) or g * 10)
    (x * 2 + x * 3).sum().backward()
    assert seen == [5.0] and x.grad.item() == 50.0
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert seen == [5.0] and x.grad.item() == 2.0


def test_hooks_on_intermediates_change_what_flows_on():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 3)
    (y * 5).sum().backward()
    assert y.grad.item() == 15.0 and x.grad.item() == 30.0 and y.retains_grad


def test_grad_of_intermediates_is_none_without_retain():
    x = leaf(1.0)
    y = x * 2
    (y * 5).sum().backward()
    with pytest.warns(UserWarning, match="retain_grad"):
        assert y.grad is None


def test_autograd_grad_leaves_grad_alone():
    x, w = leaf(2.0), leaf(5.0)
    y = x * w
    dy, dx = mt.autograd.grad((y * y).sum(), [y, x])
    assert dy.item() == 20.0 and dx.item() == 100.0 and x.grad is None and w.grad is None
    with pytest.raises(RuntimeError, match="input 1 was not used"):
        mt.autograd.grad((x * 2).sum(), [x, w])
    assert mt.autograd.grad((x * 2).sum(), [x, w], allow_unused=True)[1] is None


# --- refusals

def test_backward_on_a_vector():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"output has shape \(2,\), not a scalar. Call .sum\(\) or .mean\(\) first"):
        (x * 2).backward()


def test_backward_without_a_graph():
    with pytest.raises(RuntimeError, match="needs no gradient.*requires_grad=True"):
        mt.tensor([1.0]).sum().backward()
    with pytest.raises(RuntimeError, match="needs no gradient"):
        leaf(1.0).detach().sum().backward()


def test_backward_with_a_gradient_of_the_wrong_shape():
    with pytest.raises(RuntimeError, match=r"gradient has shape \(3,\), the tensor has \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(mt.ones(3))


def test_second_derivatives_are_refused():
    x = leaf(1.0)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        x.sum().backward(create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        mt.autograd.grad(x.sum(), x, create_graph=True)


def test_requires_grad_on_integers():
    with pytest.raises(RuntimeError, match="only float tensors can require gradients, got int64"):
        mt.tensor([1, 2], requires_grad=True)
    with pytest.raises(RuntimeError, match="only float tensors"):
        mt.tensor([True]).requires_grad_()


def test_in_place_on_a_graph_and_on_a_leaf():
    x = leaf(1.0, 2.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="t is part of a graph.*where, masked_fill, cat"):
        y[0] = 5.0
    with pytest.raises(RuntimeError, match=r"leaf that requires a gradient.*no_grad\(\)"):
        x[0] = 5.0
    with pytest.raises(RuntimeError, match=r"leaf that requires a gradient.*no_grad\(\)"):
        x += 1
    with mt.no_grad():
        x[0] = 5.0
        same = x
        x += 1
    assert same is x and x.tolist() == [6.0, 3.0] and x.requires_grad


def test_assigning_a_tensor_that_needs_its_gradient():
    buffer = mt.zeros(2, dtype=mt.float64)
    with pytest.raises(RuntimeError, match="writing it into t would lose it"):
        buffer[0] = leaf(1.0)[0]


def test_a_saved_value_changed_in_place_is_noticed():
    x = leaf(1.0, 2.0)
    c = mt.tensor([3.0, 4.0], dtype=mt.float64)
    y = (x * c).sum()
    c[0] = 100.0
    with pytest.raises(RuntimeError, match=r"Mul saved y \(2,\), and it was changed in place at test_autograd.py:\d+"):
        y.backward()


def test_a_saved_value_changed_through_a_view_is_noticed():
    x = leaf(1.0, 2.0)
    c = mt.zeros(2, 2, dtype=mt.float64)
    y = (x * c[0]).sum()
    c[0, 1] = 1.0
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_writing_elsewhere_is_no_harm():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    mt.zeros(3)[0] = 1.0
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_in_place_arithmetic_methods_name_the_way_out():
    with pytest.raises(AttributeError, match=r"add_: there is no in-place arithmetic here. Use x = x.add"):
        leaf(1.0).add_(1)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        leaf(1.0).nonsense  # noqa: B018
    assert hasattr(mt.Tensor, "relu") and not hasattr(mt.Tensor, "relu_") and not hasattr(leaf(1.0), "relu_")
    assert {"relu", "zero_"} < set(dir(leaf(1.0))) and "relu_" not in dir(leaf(1.0))


def test_assigning_grad():
    x = leaf(1.0, 2.0)
    x.grad = mt.ones(2, dtype=mt.float64)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    x.grad = None
    assert x.grad is None
    for wrong, error, text in [(mt.ones(3, dtype=mt.float64), RuntimeError, "shape"),
                               (mt.ones(2), RuntimeError, "dtype"), (1.0, TypeError, "Tensor or None")]:
        with pytest.raises(error, match=text):
            x.grad = wrong


def test_observers_are_told_of_both_directions():
    class Log:
        def __init__(self):
            self.lines = []

        def forward(self, fn, inputs, settings, outputs):
            self.lines.append(("forward", type(fn).__name__, outputs[0].tolist()))

        def backward(self, fn, dys, gradients):
            self.lines.append(("backward", type(fn).__name__, gradients[0].tolist()))

    log = Log()
    mt.autograd.observers.append(log)
    try:
        x = leaf(3.0)
        (x * x).sum().backward()
    finally:
        mt.autograd.observers.remove(log)
    assert log.lines == [("forward", "Mul", [9.0]), ("forward", "Sum", 9.0),
                         ("backward", "Sum", [1.0]), ("backward", "Mul", [3.0])]


def test_a_value_in_a_tuple_that_was_overwritten_is_noticed():
    x, w = leaf(1.0, 2.0), mt.ones(2, dtype=mt.float64)
    y = mt.einsum("i,i->", x, w)
    w.fill_(5.0)
    with pytest.raises(RuntimeError, match="Einsum saved operands .* changed in place"):
        y.backward()


@pytest.mark.parametrize("wrong", [mt.ones(3), 2.0, np.ones(2)])
def test_a_hook_that_returns_no_gradient(wrong):
    x = leaf(1.0, 2.0)
    x.register_hook(lambda gradient: wrong)
    with pytest.raises(RuntimeError, match=r"register_hook: the hook returned .* shape \(2,\)"):
        x.sum().backward()


# ---------------------------------------------------------------------------------------------------------------------
# modes as decorators

def test_a_generator_keeps_its_mode_between_yields():
    @mt.no_grad()
    def words(n):
        heard = []
        for _ in range(n):
            assert not mt.is_grad_enabled()
            heard.append((yield len(heard)))
        return heard

    steps = words(2)
    assert next(steps) == 0 and mt.is_grad_enabled()
    assert steps.send("a") == 1 and mt.is_grad_enabled()
    with pytest.raises(StopIteration) as end:
        steps.send("b")
    assert end.value.value == ["a", "b"] and mt.is_grad_enabled()


def test_a_decorated_function_in_several_threads():
    inside, leave = threading.Barrier(2), threading.Event()

    @mt.no_grad()
    def wait(done):
        inside.wait(10)
        assert done is None or done.wait(10)

    after = {}

    def first():
        wait(None)
        after["first"] = mt.is_grad_enabled()
        leave.set()

    def second():
        with mt.no_grad():
            wait(leave)
            after["second"] = mt.is_grad_enabled()

    threads = [threading.Thread(target=f) for f in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert after == {"first": True, "second": False}


def test_set_grad_enabled_as_a_decorator_changes_nothing_outside():
    @mt.set_grad_enabled(False)
    def inside():
        return mt.is_grad_enabled()

    assert mt.is_grad_enabled() and not inside() and mt.is_grad_enabled()

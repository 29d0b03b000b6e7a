"""Module: registration, walking, saving and loading, casting, hooks, printing."""

import copy
from collections import OrderedDict

import numpy as np
import pytest

import minitorch
from minitorch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(minitorch.ones(4))
        self.register_buffer("seen", minitorch.tensor(7))
        self.register_buffer("scratch", minitorch.zeros(2), persistent=False)
        self.second = nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.second((self.first(x) * self.scale).relu())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5, bias=False)
        self.output.weight = self.embedding.weight


def names(pairs):
    return [name for name, _ in pairs]


def test_parts_register_themselves_in_pytorchs_order():
    net = Net()
    assert names(net.named_parameters()) == ["scale", "first.weight", "first.bias", "second.weight"]
    assert names(net.named_parameters(prefix="net")) == ["net.scale", "net.first.weight", "net.first.bias",
                                                         "net.second.weight"]
    assert names(net.named_parameters(recurse=False)) == ["scale"]
    assert names(net.named_buffers()) == ["seen", "scratch"]
    assert names(net.named_modules()) == ["", "first", "second"]
    assert list(net.children()) == [net.first, net.second] and list(net.modules()) == [net, net.first, net.second]
    assert list(net.state_dict()) == ["scale", "seen", "first.weight", "first.bias", "second.weight"]
    assert {"first", "scale", "seen", "forward"} <= set(dir(net))


def test_a_tied_parameter_is_walked_once_and_saved_twice():
    net = Tied()
    assert names(net.named_parameters()) == ["embedding.weight"]
    assert names(net.named_parameters(remove_duplicate=False)) == ["embedding.weight", "output.weight"]
    assert list(net.state_dict()) == ["embedding.weight", "output.weight"]
    twin = copy.deepcopy(net)
    assert twin.output.weight is twin.embedding.weight is not net.embedding.weight
    net.double()
    assert net.output.weight is net.embedding.weight and net.output.weight.dtype == minitorch.float64
    net.load_state_dict(twin.state_dict())
    assert net.output.weight is net.embedding.weight


def test_a_shared_module_is_walked_once():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert names(net.named_modules()) == ["", "0", "1"] and len(list(net.children())) == 2
    assert names(net.named_modules(remove_duplicate=False)) == ["", "0", "1", "2"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_assignment_and_deletion():
    net = Net()
    with pytest.raises(TypeError, match=r"cannot assign 'minitorch.tensor.Tensor' as parameter 'scale'.*Parameter"):
        net.scale = minitorch.zeros(4)
    with pytest.raises(TypeError, match="as child module 'first'"):
        net.first = 3
    with pytest.raises(TypeError, match="as buffer 'seen'"):
        net.seen = np.zeros(3)
    net.scale = None
    assert net.scale is None and "scale" not in names(net.named_parameters())
    net.seen = minitorch.tensor(8)
    assert net.state_dict()["seen"].item() == 8
    net.first = nn.Parameter(minitorch.ones(1))  # from module to parameter
    assert "first" in names(net.named_parameters()) and "first" not in names(net.named_modules())
    del net.first, net.seen
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'first'"):
        _ = net.first
    net.anything = [1, 2]
    del net.anything
    assert not hasattr(net, "anything")


@pytest.mark.parametrize("value", [lambda: nn.Linear(2, 2), lambda: nn.Parameter(minitorch.ones(1))])
def test_parts_before_init_are_refused_with_the_remedy(value):
    class Forgetful(nn.Module):
        def __init__(self):
            self.part = value()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call.*super\(\).__init__\(\)"):
        Forgetful()


def test_a_module_without_init_says_so_when_called():
    class Forgetful(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match="super"):
        Forgetful()(1)
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


def test_registering_checks_names():
    net = Net()
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("first", minitorch.zeros(1))
    with pytest.raises(KeyError, match="contain"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(KeyError, match="empty"):
        net.register_parameter("", None)
    with pytest.raises(TypeError, match="should be a string"):
        net.register_buffer(3, None)
    with pytest.raises(TypeError, match="not a Module"):
        net.add_module("x", 3)
    with pytest.raises(ValueError, match="leaf"):
        net.register_parameter("z", _non_leaf_parameter())


def _non_leaf_parameter():
    p = nn.Parameter(minitorch.ones(1))
    p.fn = (p * 2).fn
    return p


def test_paths():
    net = nn.Sequential(OrderedDict(body=Net()))
    assert net.get_submodule("body.first") is net.body.first and net.get_submodule("") is net
    assert net.get_parameter("body.first.weight") is net.body.first.weight
    assert net.get_buffer("body.seen") is net.body.seen
    with pytest.raises(AttributeError, match="third"):
        net.get_submodule("body.third")
    with pytest.raises(AttributeError, match="not an nn.Module"):
        net.get_submodule("body.scale")
    with pytest.raises(AttributeError, match="not an nn.Parameter"):
        net.get_parameter("body.first")


def test_train_eval_freeze_and_zero_grad():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")
    net(minitorch.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert (net[0].weight.grad.data == 0).all()
    net.zero_grad()
    assert net[0].weight.grad is None
    assert net.requires_grad_(False) is net
    assert not net(minitorch.ones(1, 2)).requires_grad


def test_apply_goes_from_the_children_up():
    seen = []
    net = Net()
    assert net.apply(lambda module: seen.append(module)) is net
    assert seen == [net.first, net.second, net]


# ---------------------------------------------------------------------------------------------------------------------
# saving, loading, casting

def test_state_dict_is_detached_and_shares_memory():
    net = Net()
    state = net.state_dict(prefix="model.")
    assert not any(t.requires_grad for t in state.values())
    state["model.scale"][0] = 5
    assert net.scale.data[0] == 5
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


@pytest.mark.parametrize("convert", [lambda t: t, lambda t: t.numpy(), lambda t: t.double()])
def test_loading_takes_tensors_and_arrays_and_keeps_the_dtype(convert):
    source, target = Net(), Net()
    weight = target.first.weight
    result = target.load_state_dict({name: convert(t) for name, t in source.state_dict().items()})
    assert repr(result) == "<All keys matched successfully>"
    assert target.first.weight is weight and weight.dtype == minitorch.float32
    for name, t in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[name].numpy(), t.numpy())
    source.first.weight.data[...] = 0
    assert weight.data.any()


def test_loading_errors_name_everything_and_load_nothing():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {name: t.numpy().copy() for name, t in net.state_dict().items()}
    state = {"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(2), "1.bias": np.zeros(1), "extra": np.zeros(1)}
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert 'Missing key(s) in state_dict: "1.weight"' in text and 'Unexpected key(s) in state_dict: "extra"' in text
    assert "size mismatch for 0.weight" in text and "(3, 2)" in text and "(2, 3)" in text and "transposed" in text
    assert "size mismatch for 1.bias" in text and "Sequential" in text  # (1,) would broadcast to (2,): it must not
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(state, strict=False)
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[name])


def test_loading_without_strict_returns_the_names():
    net = nn.Linear(3, 2)
    result = net.load_state_dict({"weight": np.ones((2, 3)), "extra": np.zeros(1)}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["extra"]
    assert (net.weight.data == 1).all()
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])
    with pytest.raises(NotImplementedError, match="assign"):
        net.load_state_dict({}, assign=True)
    with pytest.raises(TypeError, match="weight should be"):
        net.load_state_dict({"weight": "text", "bias": np.zeros(2)})


def test_a_prefix_on_every_key_is_recognised():
    state = {f"module.{name}": t for name, t in Net().state_dict().items()}
    with pytest.raises(RuntimeError, match='have the prefix "module." too many'):
        Net().load_state_dict(state)


def test_casting_keeps_the_parameters_so_that_optimisers_keep_working():
    minitorch.manual_seed(0)
    net = Net()
    optimizer = minitorch.optim.SGD(net.parameters(), lr=0.1)
    before = list(net.parameters())
    net(minitorch.ones(1, 3)).sum().backward()
    assert net.to(minitorch.float64) is net
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert all(p.dtype == p.grad.dtype == minitorch.float64 for p in net.parameters())
    assert net.seen.dtype == minitorch.int64 and net.scratch.dtype == minitorch.float64
    start = net.scale.detach().clone()
    optimizer.step()
    assert (net.scale != start).any()
    assert net.float().scale.dtype == minitorch.float32 and net.half().scale.dtype == minitorch.float16
    assert net.cpu() is net and net.to("cpu") is net and net.double().scale.dtype == minitorch.float64
    with pytest.raises(TypeError, match="floating point"):
        net.to(minitorch.int64)
    assert nn.Linear(1, 1).requires_grad_(False).type(minitorch.int64).weight.dtype == minitorch.int64


def test_deepcopy_is_independent():
    net = Net()
    twin = copy.deepcopy(net)
    twin.scale.data[0] = 9
    assert net.scale.data[0] == 1 and isinstance(twin.scale, nn.Parameter)
    assert list(twin.state_dict()) == list(net.state_dict())


# ---------------------------------------------------------------------------------------------------------------------
# hooks

def test_forward_hooks_see_and_may_change():
    layer, seen = nn.Linear(2, 2), []
    x = minitorch.ones(1, 2)
    expected = layer(x * 2) + 1
    handles = [
        layer.register_forward_pre_hook(lambda module, args: args[0] * 2),
        layer.register_forward_hook(lambda module, args, y: y + 1),
        layer.register_forward_hook(lambda module, args, y: seen.append((module, args[0], y))),
    ]
    y = layer(x)
    np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    assert seen[0][0] is layer and seen[0][2] is y and (seen[0][1].data == 2).all()
    for handle in handles:
        handle.remove()
    layer(x)
    assert len(seen) == 1


def test_hooks_with_keyword_arguments_and_their_order():
    order = []

    class Scale(nn.Module):
        def forward(self, x, factor=1):
            return x * factor

    layer = Scale()
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"factor": kwargs["factor"] + 1}), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, kwargs, y: order.append(kwargs["factor"]), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, y: order.append("first"), prepend=True)
    assert layer(minitorch.tensor(2.0), factor=2).item() == 6
    assert order == ["first", 3]
    with pytest.raises(NotImplementedError, match="always_call"):
        layer.register_forward_hook(print, always_call=True)


def test_full_backward_hooks():
    layer, seen = nn.Linear(3, 2), []
    x = minitorch.randn(4, 3, requires_grad=True)
    layer.register_full_backward_hook(lambda module, dx, dy: seen.append((module, dx, dy)))
    weights = minitorch.randn(4, 2)
    (layer(x) * weights).sum().backward()
    (module, dx, dy), = seen
    assert module is layer and len(dx) == len(dy) == 1
    np.testing.assert_array_equal(dy[0].numpy(), weights.numpy())
    np.testing.assert_allclose(dx[0].numpy(), weights.numpy() @ layer.weight.data, rtol=1e-5)
    np.testing.assert_array_equal(dx[0].numpy(), x.grad.numpy())


def test_backward_hooks_may_replace_and_may_have_no_input_gradient():
    layer, seen = nn.Linear(3, 2), []
    x = minitorch.randn(4, 3, requires_grad=True)
    handle = layer.register_full_backward_hook(lambda module, dx, dy: (dx[0] * 0,))
    layer(x).sum().backward()
    assert (x.grad.data == 0).all() and layer.weight.grad.data.any()
    handle.remove()
    layer.register_full_backward_pre_hook(lambda module, dy: (dy[0] * 3,))
    layer.register_full_backward_hook(lambda module, dx, dy: seen.append((dx, dy)))
    layer(x.detach()).sum().backward()
    (dx, dy), = seen
    assert dx == (None,) and (dy[0].data == 3).all()
    with minitorch.no_grad():
        assert not layer(x).requires_grad


# ---------------------------------------------------------------------------------------------------------------------
# printing

def test_repr():
    assert repr(nn.Linear(3, 2, bias=False)) == "Linear(in_features=3, out_features=2, bias=False)"
    assert repr(nn.Sequential(nn.Linear(1, 2), nn.ReLU())) == (
        "Sequential(\n  (0): Linear(in_features=1, out_features=2, bias=True)\n  (1): ReLU()\n)")
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    assert repr(nn.Sequential()) == "Sequential()"
    assert repr(nn.Parameter(minitorch.ones(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"


def test_every_public_name_is_listed():
    assert nn.__all__ == sorted(nn.__all__)
    assert all(hasattr(nn, name) for name in nn.__all__)
    public = {name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, (nn.Module,))}
    assert {name for name in public if not name.startswith("_")} <= set(nn.__all__)


def test_a_copy_begins_without_gradients():
    model = nn.Linear(2, 2)
    model(minitorch.ones(1, 2)).sum().backward()
    copied = copy.deepcopy(model)
    assert copied.weight.grad is None and model.weight.grad is not None


def test_a_frozen_parameter_is_updated_where_it_stands():
    average, model = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    expected = 0.9 * average.weight.numpy() + 0.1 * model.weight.detach().numpy()
    with minitorch.no_grad():
        for mean, p in zip(average.parameters(), model.parameters(), strict=True):
            mean *= 0.9
            mean += 0.1 * p
    np.testing.assert_allclose(average.weight.numpy(), expected, rtol=1e-6)
    weight = average.weight
    weight += model.weight
    assert weight.requires_grad and weight is not average.weight


def test_read_only_memory_is_named():
    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(minitorch.ones(1).expand(2, 2))
    with pytest.raises(RuntimeError, match=r"weight stands in read-only memory.*nn\.Parameter\(t\.clone\(\)\)"):
        model.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(ValueError, match=r"in read-only memory.*nn\.Parameter\(t\.clone\(\)\)"):
        minitorch.optim.SGD(model.parameters())

"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict: the interfaces of lists and dictionaries."""

from collections import OrderedDict

import pytest

import minitorch
from minitorch import nn


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b)
    assert net.append(c) is net and len(net) == 3 and list(net) == [a, b, c] and net[-1] is c
    assert net(minitorch.ones(4, 2)).shape == (4, 1)
    assert isinstance(net[:2], nn.Sequential) and list(net[:2]) == [a, b]
    tanh = nn.Tanh()
    net[1] = tanh
    assert list(net) == [a, tanh, c]
    net.insert(1, b)
    assert list(net) == [a, b, tanh, c] and list(net.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    del net[2]
    assert net.pop(0) is a and list(net) == [b, c] and list(net._modules) == ["0", "1"]
    assert list(net + nn.Sequential(a)) == [b, c, a]
    net += nn.Sequential(a)
    assert list(net) == [b, c, a]
    named = nn.Sequential(OrderedDict(first=a, act=b))
    assert named.first is a and list(named.state_dict()) == ["first.weight", "first.bias"]
    with pytest.raises(IndexError):
        net[5]
    with pytest.raises(TypeError):
        nn.Sequential(3)
    with pytest.raises(ValueError):
        net + [a]


def test_module_list():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.GELU()
    layers = nn.ModuleList([a])
    assert layers.append(b) is layers and layers.extend([c]) is layers
    assert list(layers) == [a, b, c] and len(layers) == 3 and layers[-1] is c and layers[1:][0] is b
    layers.insert(0, c)
    assert list(layers) == [c, a, b, c]
    del layers[1:3]
    assert list(layers) == [c, c] and list(layers._modules) == ["0", "1"]
    layers += [a]
    assert layers.pop() is a and list(layers + [b]) == [c, c, b]
    assert list(nn.ModuleList()) == []
    with pytest.raises(TypeError):
        layers.append("no module")
    with pytest.raises(IndexError):
        layers[2]
    with pytest.raises(NotImplementedError):
        layers(1)


def test_module_dict():
    a, b = nn.ReLU(), nn.Linear(1, 1)
    heads = nn.ModuleDict({"a": a})
    heads["b"] = b
    assert list(heads) == ["a", "b"] == list(heads.keys()) and list(heads.values()) == [a, b]
    assert list(heads.items()) == [("a", a), ("b", b)] and "a" in heads and len(heads) == 2
    assert list(heads.state_dict()) == ["b.weight", "b.bias"]
    heads.update([("c", a)])
    heads.update(nn.ModuleDict({"d": b}))
    assert heads.pop("c") is a and heads["d"] is b
    del heads["d"]
    with pytest.raises(TypeError):
        heads.update(3)
    with pytest.raises(ValueError, match="element 0"):
        heads.update([("x",)])
    heads.clear()
    assert len(heads) == 0


def test_parameter_list():
    weights = nn.ParameterList([minitorch.ones(2), nn.Parameter(minitorch.zeros(1)), "kept"])
    assert isinstance(weights[0], nn.Parameter) and weights[2] == "kept" and len(weights) == 3
    assert list(weights.state_dict()) == ["0", "1"] and len(list(weights.parameters())) == 2
    weights[2] = minitorch.ones(3)
    weights.append(minitorch.ones(4))
    assert [p.numel() for p in weights] == [2, 1, 3, 4] and [p.numel() for p in weights[1:3]] == [1, 3]
    assert weights.pop(1).numel() == 1 and list(weights.state_dict()) == ["0", "1", "2"]
    weights += [minitorch.ones(5)]
    assert weights[-1].numel() == 5
    assert "(0): Parameter containing: [minitorch.float32 of size 2]" in repr(weights)
    with pytest.raises(TypeError):
        weights.extend(minitorch.ones(2))
    with pytest.raises(IndexError):
        weights[9]


def test_parameter_dict():
    weights = nn.ParameterDict({"left": minitorch.ones(2), "kept": 3})
    weights["right"] = minitorch.ones(1)
    assert list(weights.keys()) == ["left", "kept", "right"] and isinstance(weights["left"], nn.Parameter)
    assert list(weights.state_dict()) == ["left", "right"] and "kept" in weights and weights.get("none") is None
    assert weights.setdefault("more", minitorch.ones(2)) is weights["more"]
    assert list(reversed(weights))[0] == "more" and weights.popitem()[0] == "more"
    both = weights | {"x": minitorch.ones(1)}
    assert len(both) == 4 and len(weights) == 3 and both["left"] is weights["left"]
    weights |= {"y": minitorch.ones(1)}
    assert weights.pop("y").numel() == 1
    assert len(list(weights.values())) == len(list(weights.items())) == 3
    del weights["left"]
    with pytest.raises(KeyError):
        weights["left"]
    with pytest.raises(KeyError, match="already exists"):
        weights["forward"] = minitorch.ones(1)
    weights.clear()
    assert len(weights) == 0 and not list(weights.parameters())

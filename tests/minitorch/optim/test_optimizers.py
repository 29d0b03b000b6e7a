"""SGD, Adam, AdamW: PyTorch's trajectories, groups, saving and loading, errors."""

import itertools

import numpy as np
import pytest

import minitorch
from minitorch import nn, optim

SETTINGS = [
    *(("SGD", dict(lr=0.1, momentum=m, dampening=d, weight_decay=w, maximize=x))
      for m, d, w, x in itertools.product([0, 0.9], [0, 0.3], [0, 0.05], [False, True])),
    ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05)), ("SGD", {}),
    *((name, dict(lr=0.05, weight_decay=w, amsgrad=a, maximize=x))
      for name, w, a, x in itertools.product(["Adam", "AdamW"], [0, 0.1], [False, True], [False, True])),
    ("Adam", {}), ("AdamW", {}), ("Adam", dict(lr=0.1, betas=(0.5, 0.7), eps=1e-3)),
    ("Adam", dict(weight_decay=0.1, decoupled_weight_decay=True)),
]


def trajectory(lib, name, settings, arrays, gradients, dtype):
    params = [lib.nn.Parameter(lib.tensor(a, dtype=dtype)) for a in arrays]
    optimizer = getattr(lib.optim, name)(params, **settings)
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else lib.tensor(g, dtype=dtype)
        optimizer.step()
    return params, optimizer


def problem(steps=15):
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (5,), ()]
    gradients = [[rng.normal(size=s) for s in shapes] for _ in range(steps)]
    gradients[3][1] = None  # a parameter without a gradient in one step
    return [rng.normal(size=s) for s in shapes], gradients


@pytest.mark.parametrize("precision, tol", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("name, settings", SETTINGS)
def test_same_trajectory_as_pytorch(name, settings, precision, tol):
    torch = pytest.importorskip("torch")
    arrays, gradients = problem()
    theirs, a = trajectory(torch, name, settings, arrays, gradients, getattr(torch, precision))
    ours, b = trajectory(minitorch, name, settings, arrays, gradients, getattr(minitorch, precision))
    for p, q in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=tol, atol=tol)
    a, b = a.state_dict(), b.state_dict()
    assert set(a["param_groups"][0]) - set(b["param_groups"][0]) <= {"decoupled_weight_decay"}
    assert a["state"].keys() == b["state"].keys()
    for number, values in a["state"].items():
        assert values.keys() == b["state"][number].keys()
        for key, value in values.items():
            np.testing.assert_allclose(b["state"][number][key].numpy(), value.numpy(), rtol=tol, atol=tol)


@pytest.mark.parametrize("name, settings", [("SGD", dict(lr=0.1, momentum=0.9)), ("Adam", dict(amsgrad=True))])
def test_state_moves_from_pytorch_and_back(name, settings):
    torch = pytest.importorskip("torch")
    arrays, gradients = problem(20)
    theirs, a = trajectory(torch, name, settings, arrays, gradients[:10], torch.float64)
    rest, _ = trajectory(torch, name, settings, arrays, gradients, torch.float64)

    def go_on(lib, source, state):
        params = [lib.nn.Parameter(lib.tensor(p.detach().numpy())) for p in source]
        optimizer = getattr(lib.optim, name)(params, lr=123.0)
        optimizer.load_state_dict(state)
        for step in gradients[10:]:
            for p, g in zip(params, step, strict=True):
                p.grad = lib.tensor(g)
            optimizer.step()
        for p, q in zip(params, rest, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-12)

    go_on(minitorch, theirs, a.state_dict())
    ours, b = trajectory(minitorch, name, settings, arrays, gradients[:10], minitorch.float64)
    state = b.state_dict()
    state["state"] = {number: {key: torch.tensor(value.numpy()) for key, value in values.items()}
                      for number, values in state["state"].items()}
    go_on(torch, ours, state)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_saving_and_loading_continues_bit_for_bit(name):
    settings = {"momentum": 0.9} if name == "SGD" else {}
    arrays, gradients = problem(10)
    straight, _ = trajectory(minitorch, name, settings, arrays, gradients, minitorch.float32)
    half, optimizer = trajectory(minitorch, name, settings, arrays, gradients[:5], minitorch.float32)
    copies = [nn.Parameter(p.detach().clone()) for p in half]
    other = getattr(optim, name)(copies, lr=9.0)
    other.load_state_dict(optimizer.state_dict())
    for step in gradients[5:]:
        for p, g in zip(copies, step, strict=True):
            p.grad = minitorch.tensor(g, dtype=minitorch.float32)
        other.step()
    for p, q in zip(copies, straight, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_hand_values():
    w = nn.Parameter(minitorch.tensor([1.0, -2.0]))
    sgd = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    sgd.step()
    np.testing.assert_allclose(w.detach().numpy(), [0.8, -1.6], rtol=1e-6)
    adam = optim.Adam([w], lr=0.5)
    adam.step()  # the first step of Adam is lr · sign(gradient)
    np.testing.assert_allclose(w.detach().numpy(), [0.3, -1.1], rtol=1e-6)
    assert adam.state[w]["step"].item() == 1


def test_groups():
    net = nn.Linear(2, 2)
    optimizer = optim.SGD([{"params": net.weight}, {"params": [net.bias], "lr": 1.0, "momentum": 0.5}], lr=0.1)
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0] and optimizer.defaults["lr"] == 0.1
    net(minitorch.ones(1, 2)).sum().backward()
    before = net.weight.detach().clone(), net.bias.detach().clone()
    optimizer.step()
    np.testing.assert_allclose((before[0] - net.weight).detach().numpy(), 0.1, rtol=1e-5)
    np.testing.assert_allclose((before[1] - net.bias).detach().numpy(), 1.0, rtol=1e-5)
    assert list(optimizer.state[net.weight]) == [] and list(optimizer.state[net.bias]) == ["momentum_buffer"]
    extra = nn.Parameter(minitorch.ones(1))
    optimizer.add_param_group({"params": [extra]})
    assert optimizer.param_groups[2]["lr"] == 0.1
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]
    named = optim.Adam(net.named_parameters())
    assert named.param_groups[0]["param_names"] == ["weight", "bias"] and named.param_groups[0]["params"][0] is net.weight
    assert "lr: 0.1" in repr(optimizer)


def test_zero_grad_and_closure():
    w = nn.Parameter(minitorch.ones(2))
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with minitorch.no_grad():
        assert optimizer.step(closure).item() == 2
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()  # nothing to do


def test_a_step_between_forward_and_backward_is_noticed():
    w = nn.Parameter(minitorch.ones(2))
    w.grad = minitorch.ones(2)
    loss = (w * w).sum()
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in"):
        loss.backward()


def test_errors():
    w = nn.Parameter(minitorch.ones(2))
    for make, error, message in [
        (lambda: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (lambda: optim.SGD(w), TypeError, "iterable of Tensors or dicts"),
        (lambda: optim.SGD({w}), TypeError, None),
        (lambda: optim.SGD([{"params": {w}}]), TypeError, "ordered collections"),
        (lambda: optim.SGD([3]), TypeError, "can only optimize Tensors"),
        (lambda: optim.SGD([w * 2]), ValueError, "non-leaf"),
        (lambda: optim.SGD([w, w]), ValueError, "more than one parameter group"),
        (lambda: optim.SGD([{"params": [w]}, {"params": [w]}]), ValueError, "more than one parameter group"),
        (lambda: optim.SGD([w], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([{"params": [w], "lr": -1}]), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([w], momentum=-1), ValueError, "Invalid momentum value"),
        (lambda: optim.SGD([w], weight_decay=-1), ValueError, "Invalid weight_decay value"),
        (lambda: optim.SGD([w], nesterov=True), ValueError, "Nesterov momentum requires"),
        (lambda: optim.SGD([w], differentiable=True), NotImplementedError, "differentiable"),
        (lambda: optim.SGD([w], rate=1), TypeError, "unexpected keyword"),
        (lambda: optim.Adam([w], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0"),
        (lambda: optim.Adam([w], betas=(0.9, -0.1)), ValueError, "Invalid beta parameter at index 1"),
        (lambda: optim.Adam([w], eps=-1), ValueError, "Invalid epsilon value"),
        (lambda: optim.AdamW([w], capturable=True), NotImplementedError, "AdamW: capturable"),
        (lambda: optim.SGD([w]).load_state_dict(optim.SGD([{"params": [w]}, {"params": []}]).state_dict()), ValueError,
         "different number of parameter groups"),
        (lambda: optim.SGD([w]).load_state_dict(optim.SGD(nn.Linear(1, 1).parameters()).state_dict()), ValueError,
         "doesn't match the size"),
    ]:
        with pytest.raises(error, match=message):
            make()

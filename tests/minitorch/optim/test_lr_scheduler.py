"""Learning-rate schedules: PyTorch's rates over 100 steps; ours against their formulas; saving and loading."""

import json
import math

import numpy as np
import pytest

import minitorch
from minitorch.optim import lr_scheduler


def optimizer_of(lib, lr=0.7):
    groups = [{"params": [lib.nn.Parameter(lib.zeros(1))]}, {"params": [lib.nn.Parameter(lib.zeros(1))], "lr": 0.02}]
    return lib.optim.SGD(groups, lr=lr)


def rates(optimizer, *schedulers, steps=100):
    result = []
    for _ in range(steps):
        result.append([group["lr"] for group in optimizer.param_groups])
        assert schedulers[-1].get_last_lr() == result[-1]
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return result


def sequence(m, o):
    return m.SequentialLR(o, [m.LinearLR(o, 0.1, total_iters=9), m.CosineAnnealingLR(o, 30, 1e-3),
                              m.StepLR(o, 7), m.LambdaLR(o, lambda t: 0.9 ** t)], milestones=[10, 35, 60])


SCHEDULES = {
    "lambda": lambda m, o: m.LambdaLR(o, lambda t: 1 / (1 + t)),
    "lambdas": lambda m, o: m.LambdaLR(o, [lambda t: 0.95 ** t, lambda t: math.cos(t)]),
    "step": lambda m, o: m.StepLR(o, 30), "step gamma": lambda m, o: m.StepLR(o, 7, gamma=0.8),
    "multistep": lambda m, o: m.MultiStepLR(o, [30, 5, 80, 30], gamma=0.5),
    "constant": lambda m, o: m.ConstantLR(o, 0.3, total_iters=8), "constant default": lambda m, o: m.ConstantLR(o),
    "linear": lambda m, o: m.LinearLR(o), "linear down": lambda m, o: m.LinearLR(o, 1.0, 0.0, total_iters=50),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.93),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 100), "cosine twice": lambda m, o: m.CosineAnnealingLR(o, 20, 0.001),
    "sequence": sequence,
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_same_rates_as_pytorch(name):
    torch = pytest.importorskip("torch")
    theirs, ours = optimizer_of(torch), optimizer_of(minitorch)
    a = rates(theirs, SCHEDULES[name](torch.optim.lr_scheduler, theirs))
    b = rates(ours, SCHEDULES[name](lr_scheduler, ours))
    np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-18)


def test_two_schedules_on_one_optimizer():
    torch = pytest.importorskip("torch")
    results = []
    for lib in (torch, minitorch):
        o, m = optimizer_of(lib), lib.optim.lr_scheduler
        results.append(rates(o, m.ExponentialLR(o, 0.9), m.MultiStepLR(o, [10, 20], 0.1)))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_inverse_square_root():
    o = optimizer_of(minitorch, lr=1.0)
    got = [r[0] for r in rates(o, lr_scheduler.InverseSquareRootLR(o, 10))]
    np.testing.assert_allclose(got, [min(s / 10, math.sqrt(10 / s)) for s in range(1, 101)], rtol=1e-12)
    o = optimizer_of(minitorch, lr=1.0)
    paper = [r[0] for r in rates(o, lr_scheduler.InverseSquareRootLR(o, 40, d_model=512))]
    np.testing.assert_allclose(paper, [512 ** -0.5 * min(s ** -0.5, s * 40 ** -1.5) for s in range(1, 101)], rtol=1e-12)
    with pytest.raises(ValueError, match="at least 1"):
        lr_scheduler.InverseSquareRootLR(o, 0)


def test_warmup_cosine():
    o = optimizer_of(minitorch, lr=1.0)
    got = [r[0] for r in rates(o, lr_scheduler.WarmupCosineLR(o, 10, 60, eta_min=0.1))]
    expected = [s / 10 if s <= 10 else 0.1 + 0.9 * (1 + math.cos(math.pi * min((s - 10) / 50, 1))) / 2
                for s in range(1, 101)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert max(got) == 1.0 and got[-1] == 0.1
    for warmup, total in ((-1, 5), (5, 5)):
        with pytest.raises(ValueError, match="warmup_steps < total_steps"):
            lr_scheduler.WarmupCosineLR(o, warmup, total)


@pytest.mark.parametrize("name", [*SCHEDULES, "inverse", "warmup"])
def test_saving_and_loading_continues(name):
    make = {**SCHEDULES, "inverse": lambda m, o: m.InverseSquareRootLR(o, 10),
            "warmup": lambda m, o: m.WarmupCosineLR(o, 5, 60)}[name]
    o = optimizer_of(minitorch)
    expected = rates(o, make(lr_scheduler, o))
    o = optimizer_of(minitorch)
    scheduler = make(lr_scheduler, o)
    rates(o, scheduler, steps=37)
    saved = json.loads(json.dumps(scheduler.state_dict()))  # plain numbers: any format can hold them
    other = optimizer_of(minitorch)
    resumed = make(lr_scheduler, other)
    other.load_state_dict(o.state_dict())
    resumed.load_state_dict(saved)
    np.testing.assert_array_equal(rates(other, resumed, steps=63), expected[37:])


def test_errors():
    o = optimizer_of(minitorch)
    with pytest.raises(TypeError, match="not an Optimizer"):
        lr_scheduler.StepLR(3, 4)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(o, 4, last_epoch=3)
    with pytest.raises(ValueError, match="Expected 2 lr_lambdas, but got 1"):
        lr_scheduler.LambdaLR(o, [lambda t: 1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        lr_scheduler.ConstantLR(o, 2.0)
    with pytest.raises(ValueError, match="greater than 0"):
        lr_scheduler.LinearLR(o, 0.0)
    with pytest.raises(ValueError, match="Ending"):
        lr_scheduler.LinearLR(o, end_factor=2.0)
    with pytest.raises(ValueError, match="at least one"):
        lr_scheduler.SequentialLR(o, [], [])
    with pytest.raises(ValueError, match="one less"):
        lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 3)], [3])
    with pytest.raises(ValueError, match="same optimizer"):
        lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(optimizer_of(minitorch), 3)], [])

"""Averaged weights, against PyTorch's."""

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_swa_avg_fn


def walk(model, averaged, seed, write):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        for t in [*model.parameters(), *model.buffers()]:
            write(t, rng.normal(size=tuple(t.shape)))
        averaged.update_parameters(model)
    return {name: np.asarray(t) for name, t in averaged.state_dict().items()}


@pytest.mark.parametrize("decay", [None, 0.0, 0.9, 0.999])
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averages_are_pytorchs(torch, decay, use_buffers):
    def model(lib):
        m = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.Linear(4, 2)).double()
        m.register_buffer("seen", lib.zeros(3, dtype=lib.float64))
        return m

    theirs, ours = model(torch), model(minitorch)
    kind = {} if decay is None else {"avg_fn": torch.optim.swa_utils.get_ema_avg_fn(decay)}
    expected = walk(theirs, torch.optim.swa_utils.AveragedModel(theirs, use_buffers=use_buffers, **kind), 0,
                    lambda t, values: t.data.copy_(torch.tensor(values)))
    kind = {} if decay is None else {"avg_fn": get_ema_avg_fn(decay)}
    found = walk(ours, AveragedModel(ours, use_buffers=use_buffers, **kind), 0,
                 lambda t, values: t.detach().copy_(minitorch.tensor(values)))
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-14, atol=1e-15)


def test_the_copy_is_apart_and_keeps_ties():
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    averaged = AveragedModel(model, avg_fn=get_ema_avg_fn(0.5))
    averaged.update_parameters(model)
    model["a"].weight.data *= 3
    averaged.update_parameters(model)
    mean = averaged.module
    assert mean["a"].weight is mean["b"].weight
    np.testing.assert_allclose(mean["a"].weight.data, model["a"].weight.data * (2 / 3), rtol=1e-6)


def test_an_average_of_another_model_is_refused():
    averaged = AveragedModel(nn.Linear(2, 2), avg_fn=get_swa_avg_fn())
    with pytest.raises(ValueError, match="another model"):
        averaged.update_parameters(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="Invalid decay value 2"):
        get_ema_avg_fn(2)
    with pytest.raises(NotImplementedError):
        AveragedModel(nn.Linear(2, 2), multi_avg_fn=print)

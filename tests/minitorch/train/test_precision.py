"""Rounding to bfloat16, and the loss scale."""

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.train.precision import GROW_AFTER, LARGEST_SCALE, Precision, round_bfloat16


def test_rounding_is_pytorchs(torch):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2 ** 32, 200_000, dtype=np.uint32)
    ties = (np.arange(65536, dtype=np.uint32) << 16) + 0x8000
    x = np.concatenate([bits, ties, ties - 1, ties + 1]).view(np.float32)
    expected = torch.from_numpy(x.copy()).to(torch.bfloat16).float().numpy()
    found = round_bfloat16(x)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    finite = ~np.isnan(expected)
    assert np.array_equal(found[finite].view(np.uint32), expected[finite].view(np.uint32))


def test_shapes_stay():
    for x in (np.float32(1.001), np.zeros((0, 3), "float32"), np.ones((2, 3), "float32").T):
        assert round_bfloat16(x).shape == np.shape(x) and round_bfloat16(x).dtype == np.float32


def test_the_weights_come_back_whatever_happens():
    model = nn.Linear(3, 3)
    before = model.weight.data
    precision = Precision(model, "float16")
    with pytest.raises(KeyError), precision.compute():
        assert model.weight.dtype == minitorch.float16
        raise KeyError
    assert model.weight.data is before


def test_the_scale_grows_and_shrinks():
    precision = Precision(nn.Linear(1, 1), "float16")
    precision.update(False)
    precision.update(False)
    assert precision.scale == LARGEST_SCALE / 4
    for _ in range(GROW_AFTER - 1):
        precision.update(True)
    assert precision.scale == LARGEST_SCALE / 4
    precision.update(True)
    assert precision.scale == LARGEST_SCALE / 2
    for _ in range(5 * GROW_AFTER):
        precision.update(True)
    assert precision.scale == LARGEST_SCALE
    other = Precision(nn.Linear(1, 1), "float16")
    precision.update(False)
    other.load_state_dict(precision.state_dict())
    assert other.scale == precision.scale
    with pytest.raises(ValueError, match="is of a run in float16, this one is in bfloat16"):
        Precision(nn.Linear(1, 1), "bfloat16").load_state_dict(precision.state_dict())

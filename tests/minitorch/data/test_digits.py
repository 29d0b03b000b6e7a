"""Digits: what comes back, and what is said where scikit-learn is not there."""

import importlib.util
import sys

import numpy as np
import pytest

from minitorch.data import digits


def right(pictures, labels):
    assert pictures.shape == (1797, 1, 8, 8) and pictures.dtype == "float32"
    assert labels.shape == (1797,) and labels.dtype == "int64"
    assert pictures.min().item() == 0 and pictures.max().item() == 1
    assert np.bincount(labels.numpy()).min() > 170


def test_drawn(capsys):
    pictures, labels = digits("drawn")
    right(pictures, labels)
    np.testing.assert_array_equal(pictures.numpy(), digits("drawn")[0].numpy())
    # told apart by the nearest mean picture nearly always, but not always
    flat = pictures.numpy().reshape(1797, 64)
    means = np.stack([flat[labels.numpy() == d].mean(0) for d in range(10)])
    nearest = ((flat[:, None] - means) ** 2).sum(-1).argmin(1)
    assert 0.8 < (nearest == labels.numpy()).mean() < 1
    assert capsys.readouterr() == ("", "")


def test_without_scikit_learn(monkeypatch, capsys):
    monkeypatch.setattr(sys.modules[digits.__module__], "find_spec", lambda name: None)
    right(*digits())
    assert "pip install scikit-learn" in capsys.readouterr().err
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        digits("scikit-learn")
    with pytest.raises(ValueError, match="'mnist'"):
        digits("mnist")


@pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")
def test_handwritten(capsys):
    right(*digits())
    assert capsys.readouterr() == ("", "")

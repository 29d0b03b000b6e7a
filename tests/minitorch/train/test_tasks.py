"""Tasks: what a config's sections become."""

import inspect

import numpy as np
import pytest

import minitorch
from minitorch.models import GPTConfig
from minitorch.nn import functional as F
from minitorch.train import Settings
from minitorch.train.config import ConfigError
from minitorch.train.tasks import TASKS, char_lm, configure, data_keys

SMALL = {"n_layer": 1, "n_head": 2, "n_embd": 8, "embd_pdrop": 0, "resid_pdrop": 0, "attn_pdrop": 0}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abcdefgh\n" * 50)
    return str(path)


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_says_what_it_is(name):
    assert len((TASKS[name].__doc__ or "").splitlines()[0]) > 20
    names = list(inspect.signature(TASKS[name]).parameters)
    assert names[:2] == ["model", "settings"] and all(default is not inspect.Parameter.empty
                                                      for default in data_keys(TASKS[name]).values())


def test_letters(text):
    minitorch.manual_seed(0)
    task = char_lm(SMALL, Settings(), text=text, context=6, batch_size=5)
    assert task.model.config.vocab_size == 9 and task.model.config.n_positions == 6
    x, y = next(iter(task.train))
    assert x.shape == y.shape == (5, 6) and np.array_equal(x.data[:, 1:], y.data[:, :-1])
    assert task.tokenizer.decode(x.data[0].tolist() + [int(y.data[0, -1])]) in "abcdefgh\n" * 3
    plain = F.cross_entropy(task.model(x).reshape(-1, 9), y.reshape(-1))
    assert task.loss(task.model, (x, y)).item() == pytest.approx(plain.item(), rel=1e-6)
    assert sum(len(batch[0]) for batch in task.valid) == (45 - 7) // 6 + 1    # each held-out letter at most once
    assert isinstance(task.sample(task.model), str) and len(task.sample(task.model)) == 500
    assert task.sample(task.model) == task.sample(task.model)


def test_label_smoothing_is_for_training_only(text):
    minitorch.manual_seed(0)
    task = char_lm(SMALL, Settings(label_smoothing=0.2), text=text, context=6)
    task.model.wte.weight.data *= 30                      # so that it is sure of something
    x, y = batch = next(iter(task.train))
    logits = task.model(x).reshape(-1, 9)
    smooth = F.cross_entropy(logits, y.reshape(-1), label_smoothing=0.2).item()
    sharp = F.cross_entropy(logits, y.reshape(-1)).item()
    assert task.loss(task.model, batch).item() == smooth and abs(smooth - sharp) > 0.01
    assert task.loss(task.model.eval(), batch).item() == pytest.approx(sharp, rel=1e-6)


def test_the_order_of_the_data_comes_from_the_seed(text):
    def first(seed):
        return next(iter(char_lm(SMALL, Settings(seed=seed), text=text, context=6).train))[0].tolist()

    minitorch.manual_seed(1)
    a = first(1)
    minitorch.manual_seed(2)
    assert first(1) == a != first(2)


def test_a_models_section():
    config = configure(GPTConfig, {"preset": "tiny", "n_layer": 3}, vocab_size=7)
    assert (config.n_layer, config.n_embd, config.vocab_size) == (3, 32, 7)
    assert configure(GPTConfig, {"vocab_size": 8}, vocab_size=7).vocab_size == 8
    for section, message in [({"n_layers": 1}, "Did you mean 'n_layer'"), ({"n_layer": "two"}, "n_layer should be"),
                             ({"preset": "huge"}, "there are 'tiny'"), ({"extra": {}}, "no key 'extra'")]:
        with pytest.raises(ConfigError, match=message):
            configure(GPTConfig, section)

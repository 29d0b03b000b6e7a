"""Looking inside a BERT: the numbers are those of the run; tables, picture and file agree with them."""

import csv

import matplotlib.pyplot as pyplot
import numpy as np
import pytest

import minitorch
from minitorch import autograd, explain
from minitorch.models import BERT, BERTConfig

IDS = [[2, 17, 40, 17, 9, 3]]
NAMES = ["[CLS]", "cat", "saw", "cat", "##s", "[SEP]"]


def random_bert(**changes):
    minitorch.manual_seed(3)
    bert = BERT(BERTConfig.preset("tiny", num_hidden_layers=3, **changes))
    rng = np.random.default_rng(0)
    for name, p in bert.named_parameters():                     # γ away from 1, β from 0
        p.data[...] = rng.normal(size=p.shape) * 0.3 + name.endswith("LayerNorm.weight")
    return bert


@pytest.fixture(scope="module")
def bert():
    return random_bert()


@pytest.fixture
def found(bert):
    return explain.look_inside_bert(bert, IDS, 1, NAMES)


def test_the_steps_are_those_of_the_run(bert, found):
    assert [s.place for s in found.steps] == ["embedding", *(f"{i} {kind}" for i in (1, 2, 3)
                                                             for kind in ("attention", "feed-forward"))]
    seen = {}
    handles = [module.register_forward_hook(lambda m, given, y, name=name: seen.__setitem__(name, (given[0], y)))
               for name, module in bert.named_modules() if name.endswith(("LayerNorm", "output.dense"))]
    bert.eval()
    with minitorch.no_grad():
        result = bert(IDS)
    for handle in handles:
        handle.remove()
    places = ["embeddings", *(f"encoder.layer.{i}.{part}" for i in range(3) for part in ("attention.output", "output"))]
    for place, step in zip(places, found.steps, strict=True):
        module, (x, y) = bert.get_submodule(f"{place}.LayerNorm"), seen[f"{place}.LayerNorm"]
        np.testing.assert_array_equal(step.total, x.data[0, 1].astype(np.float64))
        np.testing.assert_array_equal(step.after, y.data[0, 1].astype(np.float64))
        np.testing.assert_allclose(step.before + step.added, step.total, atol=1e-5)
        np.testing.assert_allclose([step.normed.mean(), step.normed.std()], [0, 1], atol=1e-5)
        np.testing.assert_allclose(step.normed * module.weight.data + module.bias.data, step.after, atol=1e-5)
        if place.endswith("attention.output"):
            np.testing.assert_array_equal(step.added, seen[f"{place}.dense"][1].data[0, 1].astype(np.float64))
    for earlier, later in zip(found.steps, found.steps[1:]):
        np.testing.assert_array_equal(earlier.after, later.before)
    np.testing.assert_array_equal(found.steps[-1].after, result.data[0, 1].astype(np.float64))
    np.testing.assert_array_equal(found.steps[0].before, bert.embeddings.word_embeddings.weight.data[17].astype(float))


def test_attention_by_hand(bert, found):
    assert found.attention.shape == (3, 4, 6)
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-6)
    layer, x = bert.encoder["layer"][0], []
    hook = bert.embeddings.LayerNorm.register_forward_hook(lambda m, given, y: x.append(y.data[0]))
    bert(IDS)
    hook.remove()
    parts = {name: x[0] @ layer.attention.self[name].weight.data.T + layer.attention.self[name].bias.data
             for name in ("query", "key")}
    for head in range(4):
        q, k = (parts[name][:, 8 * head:8 * head + 8] for name in ("query", "key"))
        e = np.exp(q[1] @ k.T / np.sqrt(8))
        np.testing.assert_allclose(found.attention[0, head], e / e.sum(), atol=1e-5)


def test_nothing_is_left_behind(bert):
    bert.train()
    explain.look_inside_bert(bert, IDS, 0)
    assert bert.training and not autograd.observers and not bert.embeddings.word_embeddings._forward_hooks
    with pytest.raises(IndexError):
        explain.look_inside_bert(bert, [[1000]], 0)
    assert bert.training and not autograd.observers and not bert.embeddings.word_embeddings._forward_hooks


@pytest.mark.parametrize("activation", ["gelu", "relu", "tanh"])        # fused or not
def test_every_activation(activation):
    found = explain.look_inside_bert(random_bert(hidden_act=activation), minitorch.tensor(IDS), 4)
    assert found.token == "9" and len(found.steps) == 7


def test_what_is_printed(found):
    text = str(found)
    assert "the vector of 'cat' is followed: 32 numbers" in text and all(len(line) < 125 for line in text.splitlines())
    rows = found.rows()
    line = next(line.split() for line in text.splitlines() if line.lstrip().startswith("2 attention"))
    assert line[2:7] == [f"{rows[3]['before']:.2f}", f"{rows[3]['adds']:.2f}", f"{rows[3]['cos(before, adds)']:+.2f}",
                         f"{rows[3]['sum']:.2f}", f"{rows[3]['mean']:+.3f}"]
    assert rows[3]["adds"] == pytest.approx(np.linalg.norm(found.steps[3].added))
    assert rows[0]["cos(input, after)"] == pytest.approx(1)
    top = found.steps[2].largest()
    assert f"[{top[0]}] {found.steps[2].normed[top[0]]:+6.2f}" in text
    assert "cat·1" in text and f"{rows[-1]['cos(input, after)']:+.2f} is left at the end" in text
    assert "−0.000" not in text and "-0.000" not in text.split("2. What LayerNorm does")[1]


def test_outliers_are_those_that_return(found):
    often = {j: sum(j in s.largest() for s in found.steps) for j in range(32)}
    assert dict(found.outliers) == {j: n for j, n in often.items() if n > 3.5}
    every = [explain.look_inside_bert(random_bert(), IDS, at) for at in range(6)]
    shares = [np.mean([j in s.largest() for one in every for s in one.steps]) for j in range(32)]
    np.testing.assert_allclose(found.common, shares, atol=1e-12)
    np.testing.assert_allclose(every[2].common, shares, atol=1e-12)
    most = max(shares)
    assert f"feature {shares.index(most)} is the outlier: among the three largest in {most:.0%} of all" in str(found)
    found.common[5] = 0.25
    for step in found.steps:
        step.normed[5] = -9.0
    assert found.outliers[0] == (5, 7)
    assert "Feature 5 is among its three largest in 7 of 7 LayerNorms; over all tokens here, in 25% of them." in str(found)


def test_long_sentences_and_constant_vectors(bert):
    found = explain.look_inside_bert(bert, [[*range(5, 55)]], 30)
    assert "followed here: '35', at position 30" in str(found) and all(len(line) < 125 for line in str(found).splitlines())
    found.steps[0].total[:] = found.steps[0].before[:] = found.steps[0].normed[:] = 0
    assert "nan" not in str(found)


def test_csv(found, tmp_path):
    found.to_csv(tmp_path / "x.csv")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert len(rows) == 7 and float(rows[2]["adds"]) == found.rows()[2]["adds"]


def test_the_picture_shows_these_numbers(found, bert):
    pyplot.switch_backend("Agg")
    for one in (found, explain.look_inside_bert(bert, [[*range(5, 55)]], 30)):
        figure = one.plot()
        lengths, directions, vectors, _, attention = figure.axes     # between them the scale of colours
        drawn = [y for line in lengths.get_lines() for y in line.get_ydata()]
        assert all(np.isclose(np.linalg.norm(s.total), drawn).any() for s in one.steps)
        assert [bar.get_height() for bar in directions.patches if abs(bar.get_width() - 0.7) < 1e-9][:3] == \
            [one.rows()[i]["cos(before, adds)"] for i in (1, 3, 5)]
        np.testing.assert_array_equal(vectors.get_images()[0].get_array(), [s.normed for s in one.steps])
        shown = attention.get_images()[0].get_array()
        assert shown.shape == (3, min(16, len(one.tokens))) and shown.max() == one.attention.mean(1).max()
        pyplot.close(figure)


@pytest.mark.parametrize("ids, at, names, message", [
    ([1, 2], 0, None, "should be one sentence"),
    ([[1], [2]], 0, None, "should be one sentence"),
    ([[1, 2]], 2, None, "positions are 0 to 1"),
    ([[1, 2]], -1, None, "positions are 0 to 1"),
    ([[1, 2]], 0, ["a"], "1 tokens for 2 ids"),
])
def test_bad_arguments(bert, ids, at, names, message):
    with pytest.raises((ValueError, IndexError), match=message):
        explain.look_inside_bert(bert, ids, at, names)

"""The classic picture of gradient flow: what is measured, what theory expects, and that the words follow the numbers."""

import csv
import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest

import minitorch as mt
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch.explain import VARIANTS, DeepStack, compare_stacks, expected_gains, train_stacks
from minitorch.explain.flow import Flow, Layer
from minitorch.explain.stacks import ACTIVATIONS, Comparison, Journey

matplotlib.use("Agg")

WITH = ("residual", "post-norm", "pre-norm")


@pytest.fixture(scope="module")
def classic():
    return compare_stacks()


@pytest.fixture(scope="module")
def trained():
    return train_stacks(depth=12, width=32, steps=40, lr=0.05)


@pytest.fixture
def figures():
    yield
    import matplotlib.pyplot
    matplotlib.pyplot.close("all")


def lines_of(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


# --- the stacks

def test_the_wiring():
    rng = np.random.default_rng(0)
    x = mt.tensor(rng.normal(size=(3, 8)))
    stacks = {}
    for variant in VARIANTS:
        mt.manual_seed(1)
        stacks[variant] = DeepStack(variant, depth=2, width=8).double()
    weights = [np.concatenate([p.detach().numpy().ravel() for name, p in stack.named_parameters() if "linear" in name])
               for stack in stacks.values()]
    assert all((w == weights[0]).all() for w in weights)                            # the same f in each
    first = stacks["plain"].blocks[0]
    f = lambda x: first.linear2(F.relu(first.linear1(x)))
    expected = {"plain": f(x), "residual": x + f(x), "post-norm": F.layer_norm(x + f(x), (8,)),
                "pre-norm": x + f(F.layer_norm(x, (8,))), "x = x + x": f(x) + f(x)}
    for variant, stack in stacks.items():
        assert np.allclose(next(iter(stack.states(x))).detach().numpy(), expected[variant].detach().numpy(), atol=1e-14)


def test_transformer_blocks_are_pytorchs():
    rng = np.random.default_rng(0)
    for variant, norm_first in (("post-norm", False), ("pre-norm", True)):
        stack = DeepStack(variant, depth=2, width=8, block="transformer", activation="gelu").double()
        attention, ffn = stack.blocks[0]
        layer = nn.TransformerEncoderLayer(8, 4, 8, 0.0, "gelu", batch_first=True, norm_first=norm_first).double()
        layer.self_attn.load_state_dict(attention.sublayer.attn.state_dict())
        layer.linear1.load_state_dict(ffn.sublayer.linear1.state_dict())
        layer.linear2.load_state_dict(ffn.sublayer.linear2.state_dict())
        x = mt.tensor(rng.normal(size=(3, 5, 8)))
        assert np.allclose(layer(x).detach().numpy(), stack.blocks[0](x).detach().numpy(), atol=1e-13)


# --- what is to be shown

def test_depth_48_orders_of_magnitude(classic):
    orders = {name: journey.orders for name, journey in classic.journeys().items()}
    assert orders["plain"] < -25 and -20 < orders["x = x + x"] < -10
    assert all(abs(orders[name]) < 1 for name in WITH)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_theory(activation):
    compared = compare_stacks(40, 64, activation=activation, dtype="float64", seed=3)
    for name, journey in compared.journeys().items():
        assert journey.expected == pytest.approx(np.log10(expected_gains(name, 40, 64, activation)[1:]).sum(), abs=1e-9)
        assert abs(journey.orders - journey.expected) < 0.2 + 0.05 * abs(journey.expected), name
    branch = 10 ** (compared.theory["plain"][-2] - compared.theory["plain"][-1])
    if activation == "relu":                                                        # linear: the gain is the same everywhere
        gains = {name: expected_gains(name, 40, 64)[-1] for name in VARIANTS}
        assert branch == pytest.approx(math.sqrt(1 / 18), rel=1e-3)
        assert gains["residual"] == pytest.approx(math.sqrt(1 + branch ** 2), rel=1e-6)
        assert gains["x = x + x"] == pytest.approx(2 * branch, rel=1e-6)


def test_depth_1000():
    compared = compare_stacks(1000, 64, variants=["plain", "residual", "pre-norm"])
    plain, residual, pre = compared.journeys().values()
    assert plain.first == 0 and plain.zeros > 900 and plain.orders == -math.inf and 0.2 < plain.per_block < 0.26
    assert plain.expected < -600 and abs(residual.orders - residual.expected) < 0.5 < 10 < residual.orders
    assert abs(pre.orders) < 1.5
    words = " ".join(compared.reading().split())
    assert f"until it is exactly 0 in the first {plain.zeros} (theory" in words and "too small for float32" in words
    assert "the gradient is lost" in compared.title()


def test_the_same_numbers_every_time():
    a, b = (compare_stacks(5, 8, seed=4).flows["post-norm"].layers for _ in range(2))
    assert a == b != compare_stacks(5, 8, seed=5).flows["post-norm"].layers


# --- words and numbers

def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_reading_follows_from_the_csv(classic, tmp_path):
    classic.to_csv(tmp_path / "flow.csv")
    rows = read(tmp_path / "flow.csv")
    assert len(rows) == 5 * 48
    words = " ".join(classic.reading().split())
    for name in VARIANTS:
        mine = [row for row in rows if row["variant"] == name]
        norms = np.array([float(row["out_grad_norm"]) for row in mine])
        theory = np.array([float(row["theory_log10_out_grad_norm"]) for row in mine])
        orders, expected = np.log10(norms[0] / norms[-1]), theory[0] - theory[-1]
        change = lambda v: f"{abs(v):.1f} {{}}{'lost' if v < 0 else 'gained'}"
        assert f"{change(orders).format('orders of magnitude ')}, × {10 ** (orders / 47):.3f} in each block " \
               f"(theory: {change(expected).format('')})" in words
        assert f"{norms[-1]:.2e}" in classic.table() and f"{norms[0]:.2e}" in classic.table()
    first = {row["variant"]: float(row["out_grad_norm"]) for row in rows if row["block"] == "1"}
    assert f"at block 1 larger by a factor of 10^{np.log10(first['residual'] / first['plain']):.1f}" in words
    lost = np.log10(norms[-1] / norms[0])                                           # of the last: x = x + x
    assert f"x = x + x is no residual connection: it loses {lost:.1f} orders" in words


def invented(classic, **norms):
    """The comparison with other numbers in it: from 1 at the last block to the given one at the first."""
    flows = {name: Flow([Layer("", "", 1, out_grad_norm=v, grad_norm=v) for v in np.geomspace(first, 1, 48)]
                        if first and first < math.inf else
                        [Layer("", "", 1, out_grad_norm=first)] + [Layer("", "", 1, out_grad_norm=1.0)] * 47)
             for name, first in {"plain": norms.get("plain", 1e-30), "residual": norms.get("residual", 1.0),
                                 "x = x + x": norms.get("doubled", 1e-10)}.items()}
    return Comparison(classic.setting, flows, {})


def test_claims_flip_when_the_numbers_do(classic):
    usual = invented(classic)
    assert "loses 30.0 orders of magnitude; with them it changes by at most 0.0" in usual.title()
    assert "by a factor of 10^30.0" in usual.reading() and "no residual connection: it loses 10.0" in usual.reading()
    harmless = invented(classic, plain=0.5, doubled=0.9)
    assert "vanishes" not in harmless.reading() and "keeps its size" in harmless.reading()
    assert "about the same size without residual connections" in harmless.reading()
    assert "x = x + x loses no more than the residual stack here" in harmless.reading()
    assert "gains 4.0 orders" in invented(classic, plain=1e4).title()
    assert "explodes" in invented(classic, residual=1e9).reading()
    assert "with them it is lost, too" in invented(classic, residual=0.0).title()
    broken = invented(classic, plain=math.inf)
    assert "is not finite" in broken.reading() and "loses 30" not in broken.title()


@pytest.mark.parametrize("first, word", [
    (1e-9, "vanishes"), (1e-2, "fades"), (0.3, "keeps its size"), (3.0, "keeps its size"), (50.0, "grows"),
    (1e5, "explodes"), (0.0, "vanishes"), (math.nan, "is not finite")])
def test_verdicts(first, word):
    assert Journey(1.0, first, 47, 0, 1.0).verdict == word


# --- while training

def test_training(trained, tmp_path):
    assert {name for name in VARIANTS if trained.learnt(name)} == set(WITH)
    assert "residual, post-norm and pre-norm have learnt, plain and x = x + x have not" in trained.title()
    mt.manual_seed(0)
    compared = compare_stacks(12, 32)
    for name in VARIANTS:                                                           # the first row is the other picture
        assert trained.norms[name][0] == pytest.approx(compared.flows[name].column("out_grad_norm"), rel=1e-5)
        assert trained.losses[name][0] == pytest.approx(compared.flows[name].loss, rel=1e-5)
    trained.to_csv(tmp_path / "flow.csv")
    rows = read(tmp_path / "flow.csv")
    assert len(rows) == 5 * 41 * 12
    for name in VARIANTS:
        mine = [row for row in rows if row["variant"] == name]
        losses = [float(row["loss"]) for row in mine if row["block"] == "1"]
        start, end = ([float(row["out_grad_norm"]) for row in mine if row["step"] == str(step)] for step in (0, 40))
        said = next(line for line in trained.reading().splitlines() if line.startswith(f"{name:<10}"))
        assert f"loss {losses[0]:.3f} → {losses[-1]:.3f}" in said
        before, after = np.log10(start[0] / start[-1]), np.log10(end[0] / end[-1])
        assert f"10^{before:.1f} at the start, 10^{after:.1f} at the end" in said


def test_training_claims_flip(trained):
    losses = {name: trained.losses["plain"] for name in VARIANTS}
    nothing = replace(trained, losses=losses)
    assert "nothing has learnt" in nothing.title() and ": learns" not in nothing.reading()
    losses["residual"] = np.append(losses["plain"][:-1], math.nan)
    assert "residual   diverges: loss" in replace(trained, losses=losses).reading()


def test_heat_maps(trained, figures):
    for narrow in (False, True):
        figure = trained.plot(narrow)
        images = [image for ax in figure.axes for image in ax.get_images()]
        assert len(images) == 5
        for image, name in zip(images, VARIANTS):
            assert np.allclose(image.get_array(), np.log10(trained.norms[name].T))
        assert len({image.get_clim() for image in images}) == 1                     # one scale for all


def test_heat_maps_show_zeros(trained, figures):
    norms = {**trained.norms, "plain": np.zeros_like(trained.norms["plain"])}
    figure = replace(trained, norms=norms).plot()
    assert np.ma.getmaskarray(figure.axes[0].get_images()[0].get_array()).all() or \
        np.isnan(figure.axes[0].get_images()[0].get_array()).all()
    assert "grey: exactly 0" in figure.get_supxlabel() and "grey" not in trained.plot().get_supxlabel()


# --- the picture

def test_the_picture_shows_the_numbers(classic, figures):
    for narrow in (False, True):
        figure = classic.plot(narrow)
        left, right = figure.axes
        for name in VARIANTS:
            for ax, what in ((left, "out_grad_norm"), (right, "grad_norm")):
                (line,) = lines_of(ax, name)
                assert list(line.get_ydata()) == classic.flows[name].column(what)
            assert name in [text.get_text() for text in left.texts]
        dashed = [np.log10(line.get_ydata()) for line in lines_of(left, "_theory")]
        seen = ~np.isnan(dashed[0])
        assert len(dashed) == 5 and seen.sum() > 40
        assert np.allclose(dashed[0][seen], np.array(classic.theory["plain"])[seen])
        assert "theory" in [text.get_text() for text in left.get_legend().get_texts()]
        assert " ".join(figure.get_suptitle().split()) == classic.title()
        figure.canvas.draw()


def test_deep_zeros_are_drawn(figures):
    compared = compare_stacks(150, 16, variants=["plain", "residual"])
    left, _ = compared.plot().axes
    (marks,) = lines_of(left, "_exactly 0: plain")
    assert len(marks.get_xdata()) == compared.journeys()["plain"].zeros > 10
    assert "exactly 0" in [text.get_text() for text in left.get_legend().get_texts()]


@pytest.mark.parametrize("settings, text", [
    ({"depth": 1}, "depth must be a whole number, at least 2, got 1"),
    ({"width": 2.5}, "width must be a whole number"),
    ({"block": "conv"}, "block must be one of mlp, transformer, got 'conv'"),
    ({"activation": "rely"}, "activation must be one of relu, gelu"),
    ({"dtype": "float16"}, "dtype must be one of float32, float64"),
    ({"variants": ["plane"]}, "variant must be one of plain, residual"),
])
def test_bad_settings(settings, text):
    with pytest.raises(ValueError, match=text):
        compare_stacks(**settings)

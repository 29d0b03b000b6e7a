"""The residual lab: its numbers against the engine's own, and the page in a real browser."""

import numpy as np
import pytest
from browser import Browser, missing

import minitorch as torch
import minitorch.nn.functional as F
from minitorch import explain
from minitorch.cli import main
from minitorch.explain.lab import _stack

needs_browser = pytest.mark.skipif(bool(missing()), reason=f"the page is tested in a browser: {missing()}")


@pytest.fixture(scope="module")
def data():
    return explain.residual_lab(depths=[3, 12], seed=4)


def by_hand(depth, connection, norm, data):
    """The same blocks written out, with attention and feed-forward as plain functions."""
    rng = np.random.default_rng(data["seed"])
    shape = 1, data["length"], data["width"]
    start, pull = rng.normal(size=shape), rng.normal(size=shape)
    stack = _stack(max(data["depths"]), data["width"], data["heads"], rng)
    x = first = torch.tensor(start, requires_grad=True)
    for k in range(depth):
        attention, ffn = stack.attention[k], stack.ffn[k]

        def attend(h, attention=attention):
            q, k, v = (h @ attention.in_proj_weight.T + attention.in_proj_bias).view(8, 3, 2, 8).permute(1, 2, 0, 3)
            weights = F.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1)
            y = (weights @ v).permute(1, 0, 2).reshape(1, 8, 16)
            return y @ attention.out_proj.weight.T + attention.out_proj.bias

        def feed(h, ffn=ffn):
            return F.gelu(h @ ffn.linear1.weight.T + ffn.linear1.bias) @ ffn.linear2.weight.T + ffn.linear2.bias

        for f in (attend, feed):
            y = f(F.layer_norm(x, (16,)) if norm == "pre" else x)
            if connection == "residual":
                y = x + y
            elif connection == "doubled":
                y = y + y
            x = F.layer_norm(y, (16,)) if norm == "post" else y
    (x * torch.tensor(pull / np.linalg.norm(pull))).sum().backward()
    return np.linalg.norm(first.grad.numpy()), np.linalg.norm(x.detach().numpy())


@pytest.mark.parametrize("connection", ["residual", "none", "doubled"])
@pytest.mark.parametrize("norm", ["none", "post", "pre"])
def test_numbers_are_those_of_the_blocks_written_out(data, connection, norm):
    run = data["runs"][connection][norm]["3"]
    gradient, activation = by_hand(3, connection, norm, data)
    assert run["gradient"][0] == pytest.approx(gradient, rel=1e-9)
    assert run["activation"][-1] == pytest.approx(activation, rel=1e-9)
    assert run["gradient"][-1] == pytest.approx(1, rel=1e-12)
    assert len(run["gradient"]) == len(run["activation"]) == 4 and len(run["weights"]) == 3


def test_the_mistake_is_twice_the_branch(data):
    """x = f(x); x = x + x doubles every sublayer: without LayerNorm, after it, nothing but a factor of 2 each."""
    runs = data["runs"]
    assert runs["doubled"]["none"]["12"]["gradient"][0] > 100 * runs["none"]["none"]["12"]["gradient"][0]
    ratio = np.divide(runs["doubled"]["post"]["12"]["gradient"], runs["none"]["post"]["12"]["gradient"])
    assert np.allclose(ratio, 1, atol=1e-2)


def test_it_leaves_the_programs_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.randn(3).tolist()
    torch.manual_seed(3)
    explain.residual_lab(depths=[1], width=4, length=2)
    assert torch.randn(3).tolist() == expected


def test_command(tmp_path, capsys):
    assert main(["lab", "--out", str(tmp_path / "lab.html"), "--depths", "2"]) == 0
    assert "lab.html is written" in capsys.readouterr().out
    assert (tmp_path / "lab.html").stat().st_size < 100_000
    assert main(["lab", "--depths", "two"]) == 2 and "write whole numbers" in capsys.readouterr().err
    assert main(["lab", "--out", str(tmp_path / "no" / "lab.html")]) == 2
    assert main(["lab", "--out", str(tmp_path)]) == 2 and "this is a folder" in capsys.readouterr().err
    assert main(["lab", "--seed", "-1"]) == 2 and "--seed -1: it must be from 0" in capsys.readouterr().err


@pytest.mark.parametrize("settings, text", [
    ({"depths": [0]}, "numbers of blocks, 1 or more, got 0"),
    ({"width": 5}, "width 5 cannot be shared equally by 2 heads"),
])
def test_wrong_arguments(settings, text):
    with pytest.raises(ValueError, match=text):
        explain.residual_lab(**settings)


@needs_browser
def test_switching_variants(data, tmp_path):
    path = explain.save_residual_lab(tmp_path / "lab.html", data)
    with Browser() as page:
        page.open(path)

        def shown():
            return page.js("return [Number(document.querySelector('#first-value').dataset.value), "
                           "Number(document.querySelector('#sentence').dataset.orders)]")

        def check(connection, norm, depth):
            values = data["runs"][connection][norm][depth]["gradient"]
            assert shown() == pytest.approx([values[0], np.log10(values[-1] / values[0])], rel=1e-12)
            assert f"{depth} blocks" in page.text("#sentence")

        check("residual", "pre", "12")
        lines = page.js("return document.querySelectorAll('#diagram .bypass').length")
        page.click("input[name=connection][value=none]")
        check("none", "pre", "12")
        assert (lines, page.js("return document.querySelectorAll('#diagram .bypass').length")) == (2, 0)
        page.press("ArrowRight")                                        # radio buttons: the next one
        check("doubled", "pre", "12")
        assert "x = x + x" in page.text("#code")
        ratio = data["runs"]["doubled"]["pre"]["12"]["gradient"][0] / data["runs"]["none"]["pre"]["12"]["gradient"][0]
        assert float(page.js("return document.querySelector('#comparison').dataset.ratio")) == pytest.approx(ratio)
        page.click("[data-variant='none none']")
        page.click("input[name=depth][value='3']")
        check("none", "none", "3")
        page.click("input[name=measure][value=activation]")
        assert shown()[0] == pytest.approx(data["runs"]["none"]["none"]["3"]["activation"][0])
        for connection in data["runs"]:
            for norm in data["runs"][connection]:
                page.click(f"[data-variant='{connection} {norm}']")
                assert page.text("#sentence")
        page.hover("#chart svg", 0.5, 0.5)
        assert "after block" in page.text("#readout")
        assert page.complaints() == [] and page.requests() == []


@needs_browser
@pytest.mark.parametrize("width, dark", [(400, False), (1280, True)])
def test_nothing_sticks_out(data, tmp_path, width, dark):
    path = explain.save_residual_lab(tmp_path / "lab.html", data)
    with Browser(width, 900, dark) as page:
        page.open(path)
        assert page.js("return document.documentElement.scrollWidth") <= width
        assert page.js("return document.documentElement.dataset.theme") == ("dark" if dark else "light")

"""What a notebook shows: right numbers, closed tags, nothing that runs or is fetched, no name that is taken for a tag."""

import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

import minitorch as torch
import minitorch.nn as nn
from minitorch import _html

VOID = {"rect", "br", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order; collects them and the text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], "", []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(thing):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = thing._repr_html_() if hasattr(thing, "_repr_html_") else thing
    parsed = Page(html)
    assert not {"script", "link", "img", "iframe", "style", "a"} & set(parsed.tags)
    assert not re.search(r"https?:|url\(|javascript", html)
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    return parsed


def titles(parsed_html):
    return re.findall(r"<title>(.*?)</title>", parsed_html)


@pytest.mark.parametrize("array, words", [
    (np.float32([[1, -2], [3, 0.5]]), ["(2, 2) · float32 · cpu", "mean 0.625", "min -2", "max 3", "-3 … 0 … 3"]),
    (np.float64(2.5), ["() · float64", "mean 2.5"]),
    (np.zeros((0, 3)), ["(0, 3)", "empty"]),
    (np.arange(5), ["int64", "mean 2", "max 4"]),
    (np.array([True, False, True]), ["2 of 3 are True"]),
    (np.float32([np.nan, np.inf, -np.inf, 1]), ["1 NaN, 1 +∞, 1 −∞", "mean 1"]),
    (np.float32([np.nan]), ["1 NaN"]),
    (np.zeros((3, 4)), ["mean 0", "std 0"]),
    (np.full(4, 60000, np.float16), ["mean 6e+04"]),
])
def test_tensors_of_every_kind(array, words):
    text = page(torch.from_numpy(np.asarray(array))).text
    for word in words:
        assert word in text, (word, text)


def test_every_number_is_written_and_titled():
    x = torch.randn(4, 5)
    html = x._repr_html_()
    assert titles(html) == [f"[{i}, {j}]: {x.data[i, j]:.4g}" for i in range(4) for j in range(5)]
    assert all(f">{v:.4g}</text>" in html for v in x.data.flat)


def test_colours_tell_the_sign_and_the_size():
    html = torch.tensor([-4.0, 2.0, 0.0, float("nan")])._repr_html_()
    cells = re.findall(r'fill="([^"]+)" fill-opacity="([^"]+)"', html)
    assert cells == [(_html._BELOW, "0.8"), (_html._ABOVE, "0.4"), (_html._ABOVE, "0"), ("currentColor", "0.25")]


def test_large_ones_show_means_of_blocks_that_cover_everything():
    x = np.arange(50 * 70, dtype=np.float64).reshape(50, 70)
    cells, tall, wide = _html._blocks(x)
    assert (tall, wide, cells.shape) == (3, 3, (17, 24))
    assert cells[0, 0] == x[:3, :3].mean() and cells[-1, -1] == x[48:, 69:].mean()
    html = torch.from_numpy(x)._repr_html_()
    assert "each cell is the mean of up to 3 × 3 numbers" in html
    assert titles(html)[0] == "[0:3, 0:3]: mean 71" and titles(html)[-1] == "[48:50, 69:70]: mean 3464"
    assert len(torch.randn(3000, 4000)._repr_html_()) < 200_000


def test_a_nan_in_a_block_is_seen():
    x = torch.zeros(100, 100)
    x[50, 50] = float("nan")
    assert len(re.findall(r'fill="currentColor" fill-opacity="0.25"', x._repr_html_())) == 1
    x[51, 51], x[50, 50] = float("inf"), float("-inf")
    page(x)


def test_more_than_two_axes_show_the_first_slice():
    x = torch.randn(2, 3, 4, 5)
    html = x._repr_html_()
    assert "slice [0, 0, :, :] of (2, 3, 4, 5)" in html
    assert titles(html)[6] == f"[0, 0, 1, 1]: {x.data[0, 0, 1, 1]:.4g}"


def test_the_gradient_and_the_op():
    x = torch.tensor([3.0, 4.0], requires_grad=True)
    y = x * x
    assert "grad_fn Mul" in page(y).text and "requires_grad" in page(x).text and "gradient" not in page(x).text
    (y.sum() / 2).backward()
    assert "gradient norm 5" in page(x).text
    assert "Parameter (2, 2)" in page(nn.Parameter(torch.ones(2, 2))).text


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(50, 16)
        self.layers = nn.ModuleList([nn.Linear(16, 16), nn.ReLU()])
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("mask", torch.ones(3, 3).bool())
        self.layers[0].bias.requires_grad_(False)

    def extra_repr(self):
        return "a < b & c"


def test_modules():
    parsed = page(Tied())
    for words in ("Tied(a < b & c) 1,072 parameters", "(head): Linear(in_features=16, out_features=50, bias=False) 800",
                  "the same as tokens.weight", "bias (16,) float32 16 frozen", "mask buffer (3, 3) bool", "(1): ReLU()",
                  "1,072 parameters · 16 frozen · 4.19 KB", "weight (50, 16) float32 800"):
        assert words in parsed.text, words
    assert parsed.tags.count("details") == 5 and ("details", "open", None) in parsed.attributes


def test_names_are_text_and_never_tags():
    model = nn.Sequential()
    model.add_module("<script>alert(1)</script>", nn.Sequential(nn.Linear(1, 1)))
    model.register_parameter("<img src=x onerror=alert(1)>", nn.Parameter(torch.ones(1)))
    model.register_buffer("<b>", torch.ones(1))
    Evil = type("<script>", (nn.Module,), {"extra_repr": lambda self: '"><script>'})
    model.append(Evil())
    text = page(model).text
    assert "<script>alert(1)</script>" in text and "<img src=x onerror=alert(1)>" in text and '"><script>' in text


def test_every_layer_can_be_shown():
    assert "3 parameters" in page(nn.Linear(2, 1)).text and "1 parameter" in page(nn.Linear(1, 1, bias=False)).text
    assert page(nn.ReLU()).text == "ReLU()0 parameters · 0 bytes"
    page(nn.Transformer(8, 2, 1, 1, 16))

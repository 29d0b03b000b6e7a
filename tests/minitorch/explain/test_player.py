"""The player: the page in a real browser, its numbers against the engine's; and what can be checked without a browser."""

import re

import numpy as np
import pytest
from browser import Browser, missing

import minitorch as torch
import minitorch.nn as nn
from minitorch import explain

needs_browser = pytest.mark.skipif(bool(missing()), reason=f"the page is tested in a browser: {missing()}")


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        h = self.ln1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.ffn(self.ln2(x))


def record_block(dtype=np.float32):
    torch.manual_seed(0)
    block = Block(16, 2).to(dtype)
    x = torch.randn(1, 8, 16, dtype=dtype, requires_grad=True)
    with explain.record() as trace:
        y = block(x)
        loss = y.square().mean()
        loss.backward()
    return trace, block, x


@pytest.fixture(scope="module")
def block():
    return record_block()


def test_one_file_below_its_size(block, tmp_path):
    page = explain.save_player(block[0], tmp_path / "block.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 500_000
    assert not re.search(r"""(?:src|href)=["'](?!data:)|https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)""", page)


@needs_browser
def test_walk_forward_and_backward(block, tmp_path):
    trace, _, x = block
    path = explain.save_player(trace, tmp_path / "block.html")
    with Browser() as page:
        page.open(path)
        assert "Press" in page.text("#hint") and page.text("#where") == "start"
        page.press("ArrowRight")
        assert page.text("#op") == "LayerNorm" and page.text("#module") == "block.ln1"
        assert "x̂ = (x − mean) · rstd" in page.text("#formula")
        assert page.text(".source .now").endswith("h = self.ln1(x)")
        page.press("End")
        assert page.text("#where") == f"backward {len(trace.backward)} of {len(trace.backward)}"
        page.press("ArrowLeft", "ArrowLeft", "ArrowRight")
        assert page.text("#op") == trace.backward[-2].op
        page.click("#first")
        page.click("#next")
        page.click("#next")
        page.click("#previous")
        assert page.text("#where") == f"forward 1 of {len(trace.forward)}"
        assert page.complaints() == [] and page.requests() == []

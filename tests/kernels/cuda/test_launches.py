"""How many launches a layer takes: the table of docs/gpu.md, counted."""

import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import minitorch as mt
import minitorch.nn.functional as F
from minitorch import nn

from on_cuda import HERE, in_the_simulator

PAGE = Path(__file__).parents[3] / "docs" / "gpu.md"
TABLE = {row[1]: (int(row[2]), int(row[3])) for row in re.finditer(
    r"^\| `([^`]+)` *\| (\d+) *\| (\d+) *\|", PAGE.read_text(encoding="utf-8"), re.M)}


def attention(x):
    q = x.reshape(2, 2, 4, 4)
    return F.scaled_dot_product_attention(q, q.detach(), q.detach(), is_causal=True)


LAYERS = {
    "nn.Linear": lambda: nn.Linear(8, 4), "nn.LayerNorm": lambda: nn.LayerNorm(8), "nn.RMSNorm": lambda: nn.RMSNorm(8),
    "nn.Softmax": lambda: nn.Softmax(-1), "nn.GELU": nn.GELU, "nn.Dropout": lambda: nn.Dropout(0.1),
    "nn.FFN": lambda: nn.FFN(8, 16), "F.scaled_dot_product_attention": lambda: attention,
}


@pytest.mark.skipif(HERE, reason="kernels run in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


def launches(call):
    counts = import_module("minitorch.kernels.cuda._launch").launches
    counts.clear()
    result = call()
    return result, Counter(counts)


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
@pytest.mark.parametrize("name", LAYERS)
def test_launches_of_a_layer(name, monkeypatch):
    """Of products that are not cut in shares: whether they are depends on the sizes."""
    monkeypatch.setattr(import_module("minitorch.kernels.cuda.matmul"), "_cut", lambda *sizes: (True, 1))
    layer = LAYERS[name]()
    layer = layer.to("cuda") if isinstance(layer, nn.Module) else layer
    x = mt.randn(2, 4 if layer is attention else 64, 8, device="cuda").requires_grad_()
    layer(x).sum().backward()       # once for what is made once and kept
    for leaf in (x, *(layer.parameters() if isinstance(layer, nn.Module) else ())):
        leaf.grad = None
    y, forward = launches(lambda: layer(x))
    dy = mt.ones(*y.shape, device="cuda")
    _, backward = launches(lambda: y.backward(dy))
    assert (forward.total(), backward.total()) == TABLE[name], (forward, backward)


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
@pytest.mark.parametrize("make", [mt.optim.AdamW, mt.optim.Adam, lambda p: mt.optim.SGD(p, lr=0.1, momentum=0.9)])
def test_an_optimizer_takes_one_launch_however_many_parameters_there_are(make):
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(5)]).cuda()
    optimizer = make(model.parameters())
    for _ in range(2):
        model(mt.ones(2, 4, device="cuda")).sum().backward()
        before = [p.tolist() for p in model.parameters()]
        _, counts = launches(optimizer.step)
        assert all(p.tolist() != b for p, b in zip(model.parameters(), before))
    assert counts.total() == 1, counts


@pytest.mark.skipif(not HERE, reason="runs in the simulator")
def test_an_optimizer_of_ones_own_still_updates_one_by_one():
    class Halving(mt.optim.AdamW):
        def _update(self, param, gradient, state, group):
            super()._update(param, gradient, state, group)
            seen.append(param.tolist())

    seen: list = []
    model = nn.Linear(4, 4).cuda()
    optimizer = Halving(model.parameters())
    model(mt.ones(2, 4, device="cuda")).sum().backward()
    optimizer.step()
    assert seen == [p.tolist() for p in model.parameters()]


def test_the_page_names_every_layer_that_is_counted():
    assert set(TABLE) == set(LAYERS)

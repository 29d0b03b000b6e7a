"""The tools look at a model on a GPU and say what they say on the CPU.

Where there is no GPU, Numba's simulator computes, in a process of its own.
"""

import re

import numpy as np
import pytest

import minitorch
import minitorch.nn.functional as F
from minitorch import explain, nn, tensor
from minitorch.models import BERT, GPT, BERTConfig, GPTConfig

from on_cuda import HERE, in_the_simulator

X = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)


@pytest.mark.skipif(HERE, reason="tensors go to the GPU in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


def both(look):
    """What a tool says of the same thing on either device: the same words, and the same numbers as far as shown."""
    said, number = [], r"-?\d+\.\d+(?:e[-+]\d+)?"
    for device in "cpu", "cuda":
        minitorch.manual_seed(0)
        said.append(str(look(device)).replace(", device='cuda:0'", ""))
    here, there = [[float(n) for n in re.findall(number, text)] for text in said]
    here_words, there_words = [re.sub(f" *{number}", " #", text) for text in said]
    assert here_words == there_words
    np.testing.assert_allclose(there, here, rtol=5e-3, atol=1e-6)
    return said[1]


def model(device):
    return nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3)).to(device)


def loss_of(net, device):
    return F.cross_entropy(net(tensor(X[:2], device=device)), tensor([0, 2], device=device))


def traced(device):
    net, x = model(device), tensor(X[:2], device=device, requires_grad=True)
    with explain.record() as trace:
        h = net(x)
        loss = F.cross_entropy(h, tensor([0, 2], device=device))
        loss.backward()
    return trace


def moved(device):
    """Picked by ids, masked, and sent from one device to the other on the way."""
    x, ids = tensor(X, requires_grad=True), tensor([0, 2], device=device)
    with explain.record() as trace:
        there = x.to(device)
        y = there[ids] * F.embedding(ids, there)
        s = y.masked_fill(y > 1, 0.0).sum().cpu()
        s.backward()
    return trace


@pytest.mark.gpu
@pytest.mark.parametrize("look", [
    lambda trace: explain.why(trace, "x.grad", (0, 1)), lambda trace: explain.why(trace, "loss"), explain.transcript,
    lambda trace: explain.probe(trace, "x", (0, 1)).numeric,
    lambda trace: [line.source for step in trace.steps for line in explain.into(trace, step)]],
    ids=["why a gradient", "why a value", "transcript", "probe", "into"])
def test_what_was_recorded(look):
    both(lambda device: look(traced(device)))


@pytest.mark.gpu
def test_what_moved_between_the_devices():
    both(lambda device: explain.why(moved(device), "x.grad", (0, 1)).total)
    both(lambda device: explain.why(moved(device), "s").total)
    both(lambda device: explain.probe(moved(device), "x", (0, 1)).numeric)
    trace = moved("cuda")
    assert "ToDevice" in explain.transcript(trace) and all(explain.into(trace, step) for step in trace.steps)


@pytest.mark.gpu
def test_the_player():
    assert both(lambda device: len(explain.player_html(traced(device))) // 1000)


@pytest.mark.gpu
def test_gradient_flow():
    def norms(device):
        net = model(device)
        flow = explain.gradient_flow(net, loss_of(net, device), optimizer=minitorch.optim.AdamW(net.parameters()))
        return [(row.grad_norm, row.update_ratio, row.out_std) for row in flow]

    both(norms)


@pytest.mark.gpu
def test_the_checkers():
    def grads(device):
        net = model(device)
        return explain.check_grads(net, lambda: loss_of(net, device))

    def causal(device):
        gpt = GPT(GPTConfig.preset("tiny", vocab_size=7, n_positions=8, n_embd=8, n_head=2, n_layer=1)).to(device)
        return explain.check_causal(gpt, tensor([[1, 2, 3, 4]], device=device))

    both(grads)
    both(causal)


@pytest.mark.gpu
def test_look_inside_bert():
    both(lambda device: [step.normed.round(3) for step in explain.look_inside_bert(
        BERT(BERTConfig.preset("tiny")).to(device), [[2, 17, 40, 3]], at=1).steps])


@pytest.mark.gpu
@pytest.mark.parametrize("run", [lambda x: x.log(), lambda x: (x.relu().sqrt() * 0).sum().backward(),
                                 lambda x: F.embedding(tensor([1], device=x.device), x).sqrt()])
def test_nan_watch(run):
    def report(device):
        with pytest.raises(explain.NotFiniteError) as error, explain.nan_watch():
            run(tensor([[1.0, 2.0], [3.0, -1.0]], device=device, requires_grad=True))
        return error.value

    both(report)


@pytest.mark.gpu
def test_gradcheck():
    both(lambda device: minitorch.autograd.gradcheck(
        lambda x: F.layer_norm(x, (8,)), tensor(X.astype(np.float64), device=device, requires_grad=True)))
    both(lambda device: minitorch.gradcheck.check(model(device), tensor(X[:2], device=device, requires_grad=True)))

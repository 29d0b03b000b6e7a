"""check_causal: planted leaks are found and named; causal models pass."""

from dataclasses import dataclass

import numpy as np
import pytest

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import autograd
from minitorch.explain import check_causal

INF = float("inf")


@pytest.fixture(autouse=True)
def seeded_and_clean():
    torch.manual_seed(0)
    yield
    assert autograd.observers == []


class Attention(nn.Module):
    """By hand; position t does not see t + diagonal and later ones, or sees all."""

    def __init__(self, d, diagonal=1, fill=-INF):
        super().__init__()
        self.qkv, self.proj, self.drop = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Dropout(0.1)
        self.diagonal, self.fill = diagonal, fill

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = q @ k.transpose(-2, -1) / x.shape[-1] ** 0.5
        if self.diagonal is not None:
            later = torch.ones(x.shape[-2], x.shape[-2]).triu(self.diagonal).bool()
            scores = scores.masked_fill(later, self.fill)
        return self.proj(self.drop(scores.softmax(-1)) @ v)


class Block(nn.Module):
    def __init__(self, d, attention):
        super().__init__()
        self.norm1, self.attn, self.norm2, self.ffn = nn.LayerNorm(d), attention, nn.LayerNorm(d), nn.FFN(d, 2 * d)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, *attentions, d=8, vocabulary=11):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(16, d)
        self.layers = nn.ModuleList([Block(d, attention) for attention in attentions])
        self.head = nn.Linear(d, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[-1]))
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def ids(*shape):
    return torch.randint(0, 11, shape or (3, 6))


def test_a_causal_model_passes():
    report = check_causal(GPT(Attention(8), Attention(8)).eval(), ids())
    assert report and report.leaks == report.mixes == [] and report.module == ""
    assert (np.tril(report.time) > 0).sum() == 21 and not np.triu(report.time, 1).any()
    text = " ".join(str(report).split())
    assert "none of 6 positions sees a later one" in text and "none of 3 samples sees another" in text


def test_masking_with_a_large_number_is_causal_too():
    assert check_causal(GPT(Attention(8, fill=-1e9)), ids())


@pytest.mark.parametrize("second, pairs, hint", [
    (None, 15, "no mask reached the attention"),
    (2, 5, "the mask's diagonal is off by one"),
    (3, 9, None),
])
def test_a_leak_is_found_with_its_layer_and_its_line(second, pairs, hint):
    report = check_causal(GPT(Attention(8), Attention(8, second), Attention(8)).eval(), ids())
    text = " ".join(str(report).split())
    assert not report and report.mixes == []
    assert len(report.leaks) == pairs
    t, s = report.leaks[0]
    assert s > t and f"position {t} sees position {s}, which comes later (|gradient| {report.time[t, s]:.3g})" in text
    assert report.module == "layers.1.attn (Attention in GPT)" and "x = x + self.attn(self.norm1(x))" in text
    assert (hint in text) if hint else not report.hints


def test_a_mask_that_leaks_a_little_is_a_leak():
    report = check_causal(GPT(Attention(8, fill=-20.0)).eval(), ids())
    assert not report and len(report.leaks) == 15 and report.time[report.leaks[0]] < 1e-6
    assert "the leak is faint" in str(report)


def test_a_frozen_embedding_and_one_sentence():
    model = GPT(Attention(8), Attention(8, 2))
    model.requires_grad_(False)
    report = check_causal(model, ids(6))
    assert report.module == "layers.1.attn (Attention in GPT)"
    assert not any(p.requires_grad for p in model.parameters())
    assert "pass a batch of two or more" in str(check_causal(GPT(Attention(8)), ids(6)))


def test_ids_looked_up_with_square_brackets():
    table, attention = torch.randn(11, 8), Attention(8, None)
    assert not check_causal(lambda i: attention(table[i]), ids())
    attention.diagonal = 1
    assert check_causal(lambda i: attention(table[i]), ids())


def test_a_result_with_loss_and_flattened_logits():
    model = GPT(Attention(8))
    assert check_causal(lambda i: {"loss": F.cross_entropy(model(i).flatten(0, 1), i.flatten()), "logits": model(i)}, ids())
    assert check_causal(lambda i: model(i).reshape(-1, 11), ids())


# ---------------------------------------------------------------------------------------------------------------------
# values instead of ids

def test_attention_fed_batch_first_without_saying_so():
    class Naive(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = nn.MultiheadAttention(8, 2)

        def forward(self, x):
            return x + self.attn(x, x, x)[0]

    report = check_causal(Naive(), torch.randn(3, 4, 8))
    text = " ".join(str(report).split())
    assert not report and report.leaks == [] and len(report.mixes) == 6
    assert "samples mix: sample" in text and "was made without batch_first=True" in text
    assert report.module == "attn (MultiheadAttention in Naive)"


def test_the_same_tensor_passed_three_times():
    x = torch.randn(2, 5, 8)
    assert check_causal(nn.MultiheadAttention(8, 2), x, x, x).mixes
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    report = check_causal(attention, x, x, x)
    assert len(report.leaks) == 10 and not report.mixes
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    assert check_causal(lambda x: attention(x, x, x, attn_mask=mask, is_causal=True), x)


@pytest.mark.parametrize("dims, time, batch", [
    ((0, 1), True, True), ((1,), True, False), ((0,), False, True), ((2,), False, False)])
def test_averages_along_time_or_the_batch(dims, time, batch):
    class Norm(nn.Module):
        def forward(self, x):
            return (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True)

    report = check_causal(nn.Sequential(nn.Linear(8, 8), Norm(), nn.Linear(8, 8)), torch.randn(4, 5, 8))
    assert (bool(report.leaks), bool(report.mixes)) == (time, batch)
    assert report.module == ("1 (Norm in Sequential)" if time or batch else "")


def test_a_leak_that_a_plain_sum_would_not_show():
    """The sum over LayerNorm's output has no gradient at all."""
    class Late(nn.Module):
        def forward(self, x):
            return F.layer_norm(x + x.flip(1), (8,))

    assert not check_causal(Late(), torch.randn(1, 4, 8))


def test_decoder_layers_in_both_layouts():
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    for batch_first in (True, False):
        layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=batch_first)
        lead = (2, 5) if batch_first else (5, 2)
        memory = torch.randn(*((2, 3) if batch_first else (3, 2)), 8)
        target = torch.randn(*lead, 8)
        options = {"batch_first": batch_first}
        assert check_causal(lambda y: layer(y, memory, tgt_mask=mask), target, **options)  # noqa: B023
        report = check_causal(lambda y: layer(y, memory), target, **options)  # noqa: B023
        assert len(report.leaks) == 10 and report.module == "self_attn (MultiheadAttention in TransformerDecoderLayer)"


def test_a_whole_transformer():
    model = nn.Transformer(8, 2, 1, 2, 16, batch_first=True)
    source, mask = torch.randn(2, 3, 8), nn.Transformer.generate_square_subsequent_mask(4)
    assert check_causal(lambda y: model(source, y, tgt_mask=mask), torch.randn(2, 4, 8))
    assert check_causal(lambda y: model(source, y), torch.randn(2, 4, 8)).module.startswith("decoder.layers.0.self_attn")


def test_a_result_in_a_dataclass():
    @dataclass
    class Output:
        loss: object
        logits: torch.Tensor

    model = GPT(Attention(8, None))
    assert not check_causal(lambda i: Output(None, model(i)), ids())


def test_one_position_proves_nothing():
    assert "one position has no later one" in str(check_causal(nn.Linear(8, 8), torch.randn(2, 1, 8)))


def test_what_works_on_its_own_is_said():
    assert "each works on its own" in str(check_causal(nn.Linear(8, 8), torch.randn(2, 5, 8)))


# ---------------------------------------------------------------------------------------------------------------------
# manners

def test_nothing_changes():
    model = GPT(Attention(8), Attention(8, 2))
    x, i = torch.randn(2, 4, 8, requires_grad=True), ids()
    state = torch.default_generator.get_state()
    first, second = check_causal(model, i), check_causal(model, i)
    assert torch.default_generator.get_state() == state
    assert not first and (first.time == second.time).all()  # the same dropout twice
    check_causal(model.layers[0], x)
    assert x.grad is None and all(p.grad is None for p in model.parameters()) and model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_inside_no_grad():
    with torch.no_grad():
        assert check_causal(GPT(Attention(8)), ids())


def test_the_report_in_a_notebook():
    report = check_causal(GPT(Attention(8, 2)).eval(), ids())
    html = report._repr_html_()
    assert "position" in html and html.count("<rect") == 36 and f"<title>[0, 1]: {report.time[0, 1]:.4g}<" in html


def test_raise_exception():
    with pytest.raises(RuntimeError, match="not causal"):
        check_causal(GPT(Attention(8, None)), ids(), raise_exception=True)
    assert check_causal(GPT(Attention(8)), ids(), raise_exception=True)


@torch.no_grad()
def detached(x):
    return x * 2


@pytest.mark.parametrize("arguments, error, words", [
    ((nn.Linear(2, 2),), TypeError, "got nothing"),
    ((3, torch.ones(1, 2, 3)), TypeError, "model must be a Module or a function of the inputs, got int"),
    ((nn.Linear(2, 2), np.ones((2, 2))), TypeError, "got ndarray"),
    ((nn.Linear(2, 2), torch.ones(2)), RuntimeError, "got float32 (2,). Are these ids?"),
    ((nn.Linear(2, 2), torch.ones(2, 2, 2, 2)), RuntimeError, "got float32 (2, 2, 2, 2)"),
    ((lambda x: x.mean(1), torch.ones(2, 3, 4)), RuntimeError, "a value for each position, (2, 3) and maybe"),
    ((lambda x: x.argmax(-1), torch.ones(2, 3, 4)), RuntimeError, "got Tensor"),
    ((lambda i: torch.ones(2, 3, 1), torch.ones(2, 3).long()), RuntimeError, "nothing was looked up"),
    ((detached, torch.ones(2, 3, 4)), RuntimeError, "does not depend on the input by any gradient"),
    ((lambda x: (x * 0).sqrt(), torch.ones(2, 3, 4)), RuntimeError, "a gradient is not finite"),
])
def test_bad_input(arguments, error, words):
    with pytest.raises(error) as caught:
        check_causal(*arguments)
    assert words in str(caught.value) and str(caught.value).startswith("check_causal: ")


def test_a_model_that_fails_leaves_nothing_behind():
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        check_causal(broken, torch.ones(2, 3, 4))

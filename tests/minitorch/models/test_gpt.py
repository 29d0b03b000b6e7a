"""GPT next to Hugging Face's GPT-2, on configurations of every kind; and by itself: causal, trainable, checked."""

import numpy as np
import pytest
from hugging_face import agree, back_again, numbers, saved, transformers

import minitorch
from minitorch import explain
from minitorch.errors import RangeError, ShapeError
from minitorch.models import GPT, GPTConfig

SMALL = {"vocab_size": 97, "n_positions": 33, "n_embd": 24, "n_layer": 3, "n_head": 4}


def tiny(**changes):
    minitorch.manual_seed(0)
    return GPT(GPTConfig.preset("tiny", **{"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, **changes}))


def some_ids(batch, length, vocabulary=97, seed=0):
    return np.random.default_rng(seed).integers(0, vocabulary, (batch, length))


# ---- parity ----------------------------------------------------------------------------------------------------------

CONFIGS = {
    "plain": {},
    "wide": {"n_inner": 50, "layer_norm_epsilon": 1e-2},
    "untied": {"tie_word_embeddings": False, "activation_function": "relu"},
    "unscaled": {"scale_attn_weights": False, "activation_function": "gelu"},
    "by layer": {"scale_attn_by_inverse_layer_idx": True, "activation_function": "silu"},
    "upcast": {"reorder_and_upcast_attn": True, "activation_function": "tanh"},
    "one head": {"n_head": 1, "n_layer": 1, "n_embd": 7, "activation_function": "quick_gelu"},
    "narrow": {"n_head": 5, "n_embd": 5, "n_inner": 1, "vocab_size": 2, "activation_function": "mish"},
}


@pytest.mark.parity
@pytest.mark.parametrize("name, length", [*((name, 20) for name in CONFIGS), ("plain", 1), ("narrow", 1), ("wide", 33)])
def test_logits_and_gradients_are_hugging_faces(name, length, tmp_path):
    library, config = transformers(), {**SMALL, **CONFIGS[name]}
    import torch
    torch.manual_seed(0)
    theirs = saved(library.GPT2LMHeadModel(library.GPT2Config(**config)), tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    ids = some_ids(3, length, config["vocab_size"])
    agree(theirs, ours, [(theirs(torch.tensor(ids)).logits, ours(ids))], "transformer.")


@pytest.mark.parity
@pytest.mark.parametrize("name", ["plain", "untied"])
def test_float64_agrees_to_ten_digits(name, tmp_path):
    library = transformers()
    import torch
    theirs = saved(library.GPT2LMHeadModel(library.GPT2Config(**{**SMALL, **CONFIGS[name]})).double(), tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    assert ours.dtype == np.float64
    ids = some_ids(2, 20)
    agree(theirs, ours, [(theirs(torch.tensor(ids)).logits, ours(ids))], "transformer.", tolerance=1e-10)


@pytest.mark.parity
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_at_real_positions(side, tmp_path):
    library = transformers()
    import torch
    theirs = saved(library.GPT2LMHeadModel(library.GPT2Config(**SMALL)), tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    ids, lengths = some_ids(3, 12), np.array([12, 7, 1])
    mask = (np.arange(12) < lengths[:, None]).astype(int)
    mask = mask[:, ::-1].copy() if side == "left" else mask
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    a = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask), position_ids=torch.tensor(positions)).logits
    b = ours(ids, attention_mask=minitorch.tensor(mask), position_ids=minitorch.tensor(positions))
    agree(theirs, ours, [(a, b)], "transformer.", counts=mask)


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["GPT2Model", "GPT2LMHeadModel"])
@pytest.mark.parametrize("name", ["plain", "untied"])
def test_there_and_back(kind, name, tmp_path):
    """With prefix and without, whole and in shards, half precision and full."""
    if (kind, name) == ("GPT2Model", "untied"):
        pytest.skip("a base model holds no head")
    library = transformers()
    import torch
    theirs = saved(getattr(library, kind)(library.GPT2Config(**{**SMALL, **CONFIGS[name]})), tmp_path / "in",
                   max_shard_size="20KB" if name == "plain" else "1GB")
    ours = GPT.from_pretrained(tmp_path / "in")
    ids = some_ids(2, 9)
    for out, most in (("whole", None), ("shards", "15KB")):
        ours.save_pretrained(tmp_path / out, max_shard_size=most)
        assert (tmp_path / out / "model.safetensors.index.json").exists() == (out == "shards")
        again = back_again(library.GPT2LMHeadModel, tmp_path / out)
        assert np.array_equal(numbers(again(torch.tensor(ids)).logits).argmax(-1), ours(ids).numpy(force=True).argmax(-1))
        assert np.abs(numbers(again(torch.tensor(ids)).logits) - ours(ids).detach().numpy()).max() < 1e-5
        assert all(torch.equal(p, dict(again.named_parameters())[n if kind != "GPT2Model" else "transformer." + n])
                   for n, p in theirs.named_parameters())


@pytest.mark.parity
def test_half_precision_is_read_as_float32(tmp_path):
    library = transformers()
    import torch
    for dtype in (torch.float16, torch.bfloat16):
        theirs = saved(library.GPT2LMHeadModel(library.GPT2Config(**SMALL)).to(dtype), tmp_path)
        ours = GPT.from_pretrained(tmp_path)
        assert ours.dtype == np.float32
        assert np.array_equal(numbers(theirs.lm_head.weight.float()), ours.wte.weight.detach().numpy())
        ours.save_pretrained(tmp_path / "out")
        assert back_again(library.GPT2LMHeadModel, tmp_path / "out").dtype == torch.float32


# ---- by itself -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("training", [False, True])
def test_no_position_sees_a_later_one(training):
    ids = minitorch.tensor(some_ids(2, 7, 65))
    assert explain.check_causal(tiny(attn_pdrop=0.2, resid_pdrop=0.2).train(training), ids)


def test_gradients_agree_with_finite_differences():
    gpt = tiny(n_embd=8, n_head=2, vocab_size=11, n_positions=6, n_layer=1).double()
    ids = minitorch.tensor(some_ids(2, 6, 11))
    parameters = list(gpt.parameters())
    loss = gpt.loss(ids)
    loss.backward()
    rng = np.random.default_rng(0)
    for p in parameters:
        for _ in range(3):
            at = tuple(rng.integers(0, n) for n in p.shape)
            kept, h = p.data[at], 1e-5
            values = []
            for step in (h, -h):
                p.data[at] = kept + step
                values.append(gpt.loss(ids).item())
            p.data[at] = kept
            assert abs((values[0] - values[1]) / (2 * h) - p.grad.numpy()[at]) < 1e-7


def test_the_loss_is_the_cross_entropy_of_the_logits():
    gpt, ids = tiny().double(), minitorch.tensor(some_ids(2, 9, 65))
    expected = minitorch.nn.functional.cross_entropy(gpt(ids)[:, :-1].reshape(-1, 65), ids[:, 1:].reshape(-1))
    assert abs(gpt.loss(ids).item() - expected.item()) < 1e-12
    smooth = minitorch.nn.functional.cross_entropy(gpt(ids)[:, :-1].reshape(-1, 65), ids[:, 1:].reshape(-1),
                                                   label_smoothing=0.1)
    assert abs(gpt.loss(ids, label_smoothing=0.1).item() - smooth.item()) < 1e-12
    labels = np.concatenate([ids.numpy()[:, 1:], np.full((2, 1), -100)], 1)
    assert gpt.loss(ids, minitorch.tensor(labels)).item() == gpt.loss(ids).item()
    mask = np.ones((2, 9), int)
    mask[1, 5:] = 0
    alone = [gpt.loss(ids[:1]).item() * 8, gpt.loss(ids[1:, :5]).item() * 4]
    assert abs(gpt.loss(ids, attention_mask=mask).item() - sum(alone) / 12) < 1e-12


def test_a_sentence_is_learnt_in_a_few_steps():
    gpt = tiny(activation_function="relu")
    ids = minitorch.tensor([[" beotrn".index(c) for c in "to be or not to be"]])
    optimizer = minitorch.optim.AdamW(gpt.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = gpt.loss(ids)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert gpt.generate(ids[:, :8], 10, temperature=0).tolist() == ids.tolist()


def test_a_part_that_somebody_replaced_is_run():
    class Doubled(minitorch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return 2 * self.inner(x)
    gpt, ids = tiny(), minitorch.tensor(some_ids(1, 6, 65))
    before = gpt(ids).detach().numpy()
    seen = []
    handle = gpt.h[0].mlp.c_proj.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    assert np.abs(gpt(ids).detach().numpy() - before).max() < 1e-6 and seen == [(1, 6, 32)]
    handle.remove()
    gpt.h[0].mlp.c_fc = Doubled(gpt.h[0].mlp.c_fc)
    after = gpt(ids).detach().numpy()
    assert np.abs(after - before).max() > 1e-6
    assert gpt.generate(ids, 1, temperature=0)[0, -1].item() == after[0, -1].argmax()


def test_explain_looks_inside():
    gpt, ids = tiny(), minitorch.tensor(some_ids(2, 6, 65))
    trace = explain.record(lambda: gpt.loss(ids).backward())
    assert {"FeedForward", "LayerNorm", "Attention", "SoftmaxProjection"} <= {step.op for step in trace.steps}
    flow = explain.gradient_flow(gpt, lambda: gpt.loss(ids))
    assert flow


def test_dropout_drops_in_training_only():
    gpt, ids = tiny(resid_pdrop=0.5), some_ids(1, 6, 65)
    assert not np.array_equal(gpt(ids).detach().numpy(), gpt(ids).detach().numpy())
    gpt.eval()
    assert np.array_equal(gpt(ids).detach().numpy(), gpt(ids).detach().numpy())


def test_it_starts_as_gpt_2_does():
    gpt = tiny(n_embd=64, n_layer=4)
    assert abs(gpt.h[0].mlp.c_fc.weight.std().item() - 0.02) < 0.001
    assert abs(gpt.h[0].mlp.c_proj.weight.std().item() - 0.02 / 8 ** 0.5) < 0.001
    assert gpt.h[0].attn.c_attn.bias.abs().max().item() == 0 and gpt.ln_f.weight.min().item() == 1


@pytest.mark.parametrize("ids, error, text", [
    ([[1, 65]], RangeError, "token id 65"),
    ([[1, -1]], RangeError, "token id -1"),
    ([1, 2], ShapeError, r"ids\[None\]"),
    ([[1, 2], [3]], ShapeError, "padded"),
    ([[1.5, 2]], TypeError, "whole numbers"),
    ([[]], ShapeError, "no token"),
    ([[1] * 65], ShapeError, "n_positions is 64"),
])
def test_bad_ids(ids, error, text):
    with pytest.raises(error, match=text):
        tiny()(ids)


@pytest.mark.parametrize("mask, error, text", [
    ([[1, 1]], ShapeError, r"\(batch, length\) = \(1, 3\)"),
    ([[1, 2, 1]], ValueError, "got 2"),
    ([[True, False, True], [True, True, True]], ShapeError, "batch"),
])
def test_bad_masks(mask, error, text):
    with pytest.raises(error, match=text):
        tiny()([[1, 2, 3]], attention_mask=mask)


def test_no_texts_at_all():
    assert GPT(GPTConfig.preset("tiny"))(np.zeros((0, 5), np.int64)).shape == (0, 5, 65)

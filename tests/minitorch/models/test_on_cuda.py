"""Models on a GPU: they write what they write on the CPU, token by token from the cache; and their files fit both devices.

Where there is no GPU, Numba's simulator computes, in a process of its own.
"""

import numpy as np
import pytest

import minitorch
from minitorch.models import GPT, T5, GPTConfig, Llama, LlamaConfig, T5Config, Transformer, TransformerConfig

from on_cuda import HERE, in_the_simulator

MAKE = {
    "GPT": lambda: GPT(GPTConfig.preset("tiny", vocab_size=11, n_positions=9, n_embd=8, n_head=2, n_layer=2)),
    "Llama": lambda: Llama(LlamaConfig.preset(
        "tiny", vocab_size=11, hidden_size=8, num_attention_heads=2, num_hidden_layers=2, num_key_value_heads=1,
        intermediate_size=12, head_dim=None)),
    "T5": lambda: T5(T5Config.preset("tiny", vocab_size=11, d_model=8, d_kv=4, d_ff=12, num_heads=2, num_layers=1)),
    "Transformer": lambda: Transformer(TransformerConfig.preset(
        "tiny", vocab_size=11, d_model=8, nhead=2, dim_feedforward=12, num_encoder_layers=1, num_decoder_layers=1)),
}
IDS = np.array([[3, 4, 5], [0, 6, 7]])
MASK = np.array([[1, 1, 1], [0, 1, 1]])


@pytest.mark.skipif(HERE, reason="tensors go to the GPU in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


def made(name):
    minitorch.manual_seed(3)
    model = MAKE[name]()
    with minitorch.no_grad():
        for p in model.parameters():        # far from 0, so that the likeliest token is clearly that
            p += 0.5 * minitorch.randn(p.shape)
    return model.eval()


def written(model, ids, **settings):
    write = model.translate if isinstance(model, Transformer) else model.generate
    return write(ids, max_new_tokens=3, eos=None, **settings)


@pytest.mark.gpu
@pytest.mark.parametrize("name, given", [("GPT", {}), ("GPT", {"attention_mask": MASK, "temperature": 0.8}),
                                         ("Llama", {"attention_mask": MASK}), ("Llama", {"use_cache": False})])
def test_decoders_write_the_same(name, given):
    model = made(name)
    settings = lambda: {"temperature": 0.0, "generator": minitorch.Generator().manual_seed(0), **given}
    want = written(model, IDS, **settings())
    ids = written(model.cuda(), IDS, **settings())
    assert ids.is_cuda and ids.tolist() == want.tolist()
    assert written(model, minitorch.tensor(IDS), **settings()).tolist() == want.tolist()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["T5", "Transformer"])
@pytest.mark.parametrize("beams, use_cache", [(3, True), (1, False)])
def test_encoder_decoders_write_the_same(name, beams, use_cache):
    model = made(name)
    masks = {"src_mask" if name == "Transformer" else "attention_mask": minitorch.tensor(MASK[:, ::-1])}
    want, scores = written(model, IDS[:, ::-1], beams=beams, return_scores=True, use_cache=use_cache, **masks)
    model.cuda()
    ids, their_scores = written(model, IDS[:, ::-1], beams=beams, return_scores=True, use_cache=use_cache, **masks)
    assert ids.tolist() == want.tolist()
    np.testing.assert_allclose(their_scores.cpu(), scores, rtol=1e-4)
    seen = model.cross_attention(minitorch.tensor(IDS).cuda(), ids[:, :-1])
    assert seen.is_cuda and seen.shape == (1, 2, 2, 3, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MAKE)
def test_saved_on_one_device_and_opened_on_the_other(name, tmp_path):
    model = made(name)
    state = {key: t.tolist() for key, t in model.state_dict().items()}
    model.cuda().save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.device == "cpu" and {key: t.tolist() for key, t in again.state_dict().items()} == state
    made_there = type(model)(model.config).cuda()
    made_there.load_state_dict(again.state_dict())
    assert {key: t.tolist() for key, t in made_there.state_dict().items()} == state


@pytest.mark.gpu
@pytest.mark.parametrize("name", MAKE)
def test_the_loss_is_the_same(name):
    """Ids, labels and masks come on the model's device."""
    model, ids, mask = made(name), minitorch.tensor(IDS), minitorch.tensor(MASK[:, ::-1])
    found = []
    for device in "cpu", "cuda":
        model.to(device)
        i, m = ids.to(device), mask.to(device)
        given = (i, i, m) if name == "T5" else (i, i, i, m) if name == "Transformer" else (i, None, m)
        found.append(model.loss(*given).item())
    assert found[1] == pytest.approx(found[0], rel=1e-5)

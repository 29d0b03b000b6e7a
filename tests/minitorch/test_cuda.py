"""The engine on a GPU: the same training, the same gradients, and clear words where something does not go.

Where there is no GPU, Numba's simulator computes, in a process of its own.
"""

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn.functional as F
from minitorch import nn
from minitorch.models import BERT, GPT, BERTConfig, GPTConfig, Llama, LlamaConfig, ResNet, ResNetConfig

import quick_simulator
from on_cuda import HERE, SIMULATED, in_the_simulator

if SIMULATED:
    quick_simulator.install()


@pytest.mark.skipif(HERE, reason="tensors go to the GPU in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


@pytest.mark.skipif(HERE, reason="there is a GPU")
def test_without_a_gpu_it_says_what_is_missing():
    assert not mt.cuda.is_available() and mt.cuda.device_count() == 0 and mt.cuda.memory_allocated() == 0
    mt.cuda.synchronize()
    for move in lambda: mt.ones(2).cuda(), lambda: nn.Linear(2, 2).to("cuda"), lambda: mt.zeros(2, device="cuda"):
        with pytest.raises(RuntimeError, match=r"NVIDIA GPU.*driver.*pip install 'numba-cuda"):
            move()


def losses(device, make, loss, steps=3, dtype=mt.float32):
    """The losses of a training from the same seed."""
    mt.manual_seed(0)
    model = make().to(device, dtype)
    optimizer, found = mt.optim.AdamW(model.parameters(), lr=1e-2), []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model, device)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(value.item())
    return found


def masked(m, d):
    """Every third word is asked for; the second text is shorter."""
    labels = np.where(np.arange(5) % 3 == 0, IDS, -100)
    mask = mt.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    return m.mlm_loss(mt.tensor(IDS).to(d), mt.tensor(labels).to(d), attention_mask=mask.to(d))


def like(m, x, d):
    return mt.tensor(x, dtype=next(m.parameters()).dtype).to(d)


X = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
IDS = np.random.default_rng(1).integers(0, 7, (2, 5))
TRAININGS = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.LayerNorm(6), nn.Dropout(0.2), nn.Linear(6, 3)),
                   lambda m, d: F.cross_entropy(m(like(m, X[0], d)), mt.tensor([0, 2, 1]).to(d))),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True),
                lambda m, d: m(like(m, X, d)).sin().mean()),
    "pictures": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
                 lambda m, d: m(like(m, X.reshape(1, 2, 3, 8), d)).square().mean()),
    "GPT": (lambda: GPT(GPTConfig.preset("tiny", vocab_size=7, n_positions=8, n_embd=8, n_head=2, n_layer=1)),
            lambda m, d: F.cross_entropy(m(mt.tensor(IDS).to(d)).reshape(-1, 7), mt.tensor(IDS).to(d).reshape(-1))),
    "Llama": (lambda: Llama(LlamaConfig.preset("tiny", vocab_size=7, hidden_size=8, num_attention_heads=2, head_dim=None,
                                               num_hidden_layers=1, num_key_value_heads=1, intermediate_size=12)),
              lambda m, d: m.loss(mt.tensor(IDS, device=d))),
    "BERT": (lambda: BERT(BERTConfig.preset("tiny", vocab_size=7, hidden_size=8, num_attention_heads=2, num_hidden_layers=1,
                                            intermediate_size=12, max_position_embeddings=8)), masked),
    "ResNet": (lambda: ResNet(ResNetConfig.preset("tiny", hidden_sizes=(2, 3), depths=(1, 1), num_labels=3)),
               lambda m, d: F.cross_entropy(m(like(m, X.reshape(3, 1, 4, 4), d)), mt.tensor([0, 2, 1]).to(d))),
}


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_goes_the_same_way(name):
    """In float64 to all digits but a few; in float32 two sums in another order differ in the last one."""
    for dtype, rtol in (mt.float64, 1e-11), (mt.float32, 1e-5):
        there, here = [losses(device, *TRAININGS[name], dtype=dtype) for device in ("cuda", "cpu")]
        np.testing.assert_allclose(there, here, rtol=rtol)


@pytest.mark.gpu(real=True)
@pytest.mark.parametrize("name", TRAININGS)
def test_fifty_steps_go_the_same_way(name):
    there, here = [losses(device, *TRAININGS[name], steps=50) for device in ("cuda", "cpu")]
    np.testing.assert_allclose(there, here, rtol=1e-3)


@pytest.mark.gpu(real=True)
def test_fifty_steps_of_a_model_of_some_size_go_the_same_way():
    """With tiles that are full and cut, as the tiny ones have not."""
    ids = np.random.default_rng(0).integers(0, 65, (6, 100))
    make = lambda: GPT(GPTConfig.preset("tiny", vocab_size=65, n_positions=100, n_embd=96, n_head=3, n_layer=3))
    loss = lambda m, d: m.loss(mt.tensor(ids, device=d))
    there, here = [losses(device, make, loss, steps=50) for device in ("cuda", "cpu")]
    np.testing.assert_allclose(there, here, rtol=1e-3)


@pytest.mark.gpu
def test_there_and_back_with_gradients():
    x = mt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.cuda()
    assert y.is_cuda and y.device == "cuda" and str(y.device) == "cuda:0" and not x.is_cuda
    (y.T * y).sum().cpu().backward()
    assert not x.grad.is_cuda and x.grad.tolist() == (2 * x.detach().T).tolist()
    assert y.to("cuda") is y and x.cpu() is x and x.to(y).is_cuda
    assert "device='cuda:0'" in repr(y) and y.tolist() == x.tolist()
    assert y[1, 0].item() == 3.0 and [row.tolist() for row in y] == x.tolist()


@pytest.mark.gpu
def test_modules_move_with_their_gradients_and_stay_the_same_objects():
    model = nn.BatchNorm1d(3)
    weight = model.weight
    model(mt.randn(4, 3)).sum().backward()
    before = weight.grad.tolist()
    assert model.cuda() is model and model.weight is weight
    assert weight.is_cuda and weight.grad.is_cuda and model.running_mean.is_cuda and weight.grad.tolist() == before
    assert not model.cpu().running_mean.is_cuda
    there = nn.Linear(2, 3, device="cuda")
    other = nn.Linear(2, 3)
    other.load_state_dict(there.state_dict())       # checkpoints move between devices
    assert other.weight.tolist() == there.weight.tolist() and not other.weight.is_cuda
    there.load_state_dict(nn.Linear(2, 3).state_dict())
    assert there.weight.is_cuda


@pytest.mark.gpu
def test_mixing_devices_is_refused_but_single_numbers_may_come():
    here, there = mt.ones(2, 2), mt.ones(2, 2, device="cuda")
    with pytest.raises(RuntimeError, match=r"add: the tensors are on different devices: \(2, 2\) on cuda:0, .* on cpu"):
        there + here
    with pytest.raises(RuntimeError, match="different devices"):
        here @ there
    assert (there * mt.tensor(2.0)).tolist() == (2 * here).tolist() == (mt.tensor(2.0) * there).tolist()


@pytest.mark.gpu
def test_nothing_goes_to_the_host_unseen():
    x = mt.ones(2, device="cuda")
    for copy in np.asarray, lambda x: x.numpy():
        with pytest.raises(TypeError):
            copy(x)
    with pytest.raises(TypeError, match=r"tensor\.cpu\(\)"):
        np.asarray(x.data)


@pytest.mark.gpu
def test_memory_is_counted_and_used_again():
    mt.cuda.synchronize()
    before = mt.cuda.memory_allocated()
    x = mt.zeros(1000, device="cuda")
    assert before + 4000 <= mt.cuda.memory_allocated() <= before + 6144 <= mt.cuda.max_memory_allocated() + 6144
    del x
    assert mt.cuda.memory_allocated() == before
    reserved = mt.cuda.memory_reserved()
    y = mt.zeros(1000, device="cuda")
    assert mt.cuda.memory_reserved() == reserved and y.sum().item() == 0
    mt.cuda.empty_cache()
    assert mt.cuda.memory_reserved() < reserved


@pytest.mark.gpu
def test_writing_in_place():
    x = mt.zeros(3, 4, device="cuda")
    x[1] = 2.0
    x[:, 3] = mt.tensor([1.0, 2.0, 3.0])
    x[mt.tensor([0, 2]), mt.tensor([0, 0])] = 7.0
    x[x == 2] = 5.0
    assert x.tolist() == [[7, 0, 0, 1], [5, 5, 5, 5], [7, 0, 0, 3]]


@pytest.mark.gpu
def test_generating():
    make, _ = TRAININGS["GPT"]
    mt.manual_seed(0)
    model = make()
    want = model.generate(mt.tensor(IDS[:1, :2]), 2, temperature=0.0, eos=None).tolist()
    assert model.cuda().generate(mt.tensor(IDS[:1, :2]).cuda(), 2, temperature=0.0, eos=None).tolist() == want

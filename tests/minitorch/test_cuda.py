"""The engine on a GPU: the same training, the same gradients, and clear words where something does not go.

Where there is no GPU, Numba's simulator computes, in a process of its own.
"""

from importlib import import_module

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn.functional as F
from minitorch import nn
from minitorch.gradcheck import GradcheckError
from minitorch.models import BERT, GPT, BERTConfig, GPTConfig, Llama, LlamaConfig, ResNet, ResNetConfig

from on_cuda import HERE, in_the_simulator


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


@pytest.mark.gpu
def test_what_is_made_like_a_tensor_is_where_it_is():
    for device in "cuda", "cpu":
        x = mt.ones(2, 3, device=device)
        made = [mt.zeros_like(x), mt.ones_like(x), mt.empty_like(x), mt.full_like(x, 2), mt.rand_like(x), mt.randn_like(x),
                mt.randint_like(x, 5)]
        assert all(y.device == device and y.shape == x.shape and y.dtype == x.dtype for y in made)
        other = {"cuda": "cpu", "cpu": "cuda"}[device]
        assert mt.ones_like(x, device=other).device == other
        with mt.device(other):
            assert mt.ones_like(x).device == device


@pytest.mark.gpu
def test_a_gradient_from_elsewhere_is_refused():
    x = mt.ones(2, requires_grad=True)
    for y, there, here in ((x.cuda() * 2, "cpu", "cuda"), (x * 2, "cuda", "cpu")):
        with pytest.raises(RuntimeError, match=rf"the gradient is on {there}.*, the tensor on {here}.* gradient.to"):
            y.backward(mt.ones(2, device=there))


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{}, {"ignore_index": 2}, {"weighted": True, "ignore_index": 2}, {"reduction": "sum"},
                                      {"reduction": "none", "ignore_index": 2}], ids=str)
def test_negative_log_likelihood(settings):
    found = []
    for device in "cuda", "cpu":
        x = mt.tensor(np.random.default_rng(1).normal(size=(5, 4)), requires_grad=True)
        kept = {key: value for key, value in settings.items() if key != "weighted"}
        weight = mt.tensor([1.0, 2, 3, 4], dtype=mt.float64, device=device) if "weighted" in settings else None
        labels = mt.tensor([0, 2, 1, 3, 2], device=device)
        y = F.nll_loss(F.log_softmax(x.to(device), 1), labels, weight=weight, **kept)
        y.backward(mt.ones_like(y))
        found.append((y.detach().cpu().numpy(), x.grad.numpy()))
    for there, here in zip(*found):
        np.testing.assert_allclose(there, here, rtol=1e-14, atol=1e-15)


@pytest.mark.gpu
def test_large_inputs_that_no_op_needs_are_let_go(monkeypatch):
    """All of them, here: the training goes on without, and their memory is free in the forward pass."""
    monkeypatch.setattr(mt.autograd, "LARGE", 1)
    there, here = [losses(device, *TRAININGS["encoder"], dtype=mt.float64) for device in ("cuda", "cpu")]
    np.testing.assert_allclose(there, here, rtol=1e-11)
    h = mt.ones(40, requires_grad=True).cuda() + 1
    y, before = h + 1, mt.cuda.memory_allocated()
    del h
    assert y.fn.parents[0].held() is None and mt.cuda.memory_allocated() < before


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
def test_numpy_copies_if_told_to():
    x = mt.tensor([1.0, 2.0], requires_grad=True).cuda()
    assert np.array_equal(x.numpy(force=True), [1, 2]) and type(x.numpy(force=True)) is np.ndarray
    with pytest.raises(TypeError, match="on the GPU"):
        x.detach().numpy()


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


READ = {"Llama": 1, "BERT": 2}     # made on the CPU: Llama's labels, from its ids; what BERT's mask and labels leave out


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_step_does_not_wait_for_the_gpu(name, monkeypatch):
    """Nothing is copied to the CPU from the loss's beginning to the optimizer's end, and kernels get no array from there."""
    (make, loss), copies = TRAININGS[name], []
    arrays, launch = (import_module(f"minitorch.kernels.cuda.{file}") for file in ("_array", "_launch"))
    to_host, type_of = arrays.Array.to_host, launch._type_of

    def refuse(a):
        assert not isinstance(a, np.ndarray), "numba would copy this array there and back at every launch"
        return type_of(a)

    monkeypatch.setattr(arrays.Array, "to_host", lambda self: copies.append(self.shape) or to_host(self))
    monkeypatch.setattr(launch, "_type_of", refuse)
    model = make().cuda()
    optimizer = mt.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        copies.clear()
        value = loss(model, "cuda")
        value.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        assert len(copies) == READ.get(name, 0)
    assert norm.is_cuda and norm.item() > 0 and value.item() == value.item()
    assert len(copies) == READ.get(name, 0) + 3


@pytest.mark.gpu
def test_ids_that_are_wrong_are_named_wherever_they_come_from():
    """Those that come from the CPU were looked at there; those made on the GPU are asked for."""
    table, fine = mt.randn(5, 2, device="cuda"), mt.tensor([[1, 4], [0, 2]], device="cuda")
    assert fine.data.known == (4, 0, 0, 0, 4) and fine.T[1:].data.known.high == 4
    for wrong in mt.tensor([[1, 5]]).cuda(), fine + 2:
        assert (wrong.data.known is None) == (wrong.shape == (2, 2))
        with pytest.raises(IndexError, match=r"token id [56] at index \(0, 1\)"):
            F.embedding(wrong, table)
    fine[0, 0] = 9
    assert fine.data.known is None
    with pytest.raises(IndexError, match="token id 9"):
        F.embedding(fine, table)
    logits = mt.randn(3, 4, device="cuda")
    for labels in [0, 3, 1], [0, -100, -100], [-100, 2, 3]:
        here, there = mt.tensor(labels), mt.tensor(labels, device="cuda")
        want = F.cross_entropy(logits.cpu(), here).item()
        assert F.cross_entropy(logits, there).item() == pytest.approx(want, rel=1e-6) and there.data.known.high < 4
        assert F.cross_entropy(logits, there + 0).item() == pytest.approx(want, rel=1e-6)
    for labels in [0, 4, 1], [0, -1, 1], [-100, -1, 2]:
        with pytest.raises(IndexError, match="label (4|-1) at position 1"):
            F.cross_entropy(logits, mt.tensor(labels, device="cuda"))
    with pytest.warns(UserWarning, match="all 3 labels equal ignore_index"):
        assert F.cross_entropy(logits, mt.full((3,), -100, device="cuda")).item() == 0


@pytest.mark.gpu
def test_clipping_is_that_of_the_cpu():
    for scale, norm_type in (1.0, 2.0), (1e-3, 2.0), (1.0, 3.0), (1.0, float("inf")):
        found = []
        for device in "cpu", "cuda":
            w = [nn.Parameter(mt.ones(3, device=device)), nn.Parameter(mt.ones(2, device=device))]
            w[0].grad, w[1].grad = (scale * mt.tensor(g, device=device) for g in ([3.0, -4.0, 0.0], [1.0, 2.0]))
            norm = nn.utils.clip_grad_norm_(w, 1.0, norm_type)
            found.append([norm.item(), *w[0].grad.tolist(), *w[1].grad.tolist()])
        np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


@pytest.mark.gpu
def test_set_default_device():
    with mt.device("cuda"):
        assert mt.get_default_device() == "cuda" and mt.zeros(2).is_cuda and nn.Linear(2, 3).weight.is_cuda
        assert mt.ones(2, device="cpu").device == "cpu" and mt.from_numpy(X[0]).device == "cpu"
    mt.set_default_device("cuda")
    assert mt.arange(3).is_cuda and mt.Tensor([1.0]).is_cuda
    mt.set_default_device(None)
    assert mt.get_default_device() == "cpu" and not mt.arange(3).is_cuda


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
@pytest.mark.parametrize("make", [
    lambda: nn.Linear(3, 2), lambda: nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 4), nn.GELU()), lambda: Tied(),
], ids=["linear", "several", "tied"])
def test_gradcheck_of_a_module(make):
    model = make().cuda()
    before = {name: p.numpy(force=True) for name, p in model.named_parameters()}
    assert mt.autograd.gradcheck(model, mt.randn(4, 3, requires_grad=True).cuda()) is True
    assert all(p.is_cuda and np.array_equal(p.numpy(force=True), before[name]) for name, p in model.named_parameters())


@pytest.mark.gpu
def test_gradcheck_finds_what_is_wrong_in_a_module():
    class Wrong(mt.autograd.Function):
        def forward(self, x, w):
            self.x, self.w = x, w
            return self.k.mul_forward(x, w)

        def backward(self, dy):
            return self.k.mul_backward(dy, self.x, self.w)[0], self.k.mul_backward(dy, self.w, self.w)[1]

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(mt.tensor([1.5, -0.5, 2.0]))

        def forward(self, x):
            return Wrong.apply(x, self.scale)

    with pytest.raises(GradcheckError, match="scale"):
        mt.autograd.gradcheck(Layer().cuda(), mt.tensor([0.3, 0.7, -1.1], requires_grad=True).cuda())


class Tied(nn.Module):
    """One weight in two places."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(mt.tanh(self.first(x)))


@pytest.mark.gpu
def test_generating():
    make, _ = TRAININGS["GPT"]
    mt.manual_seed(0)
    model = make()
    want = model.generate(mt.tensor(IDS[:1, :2]), 2, temperature=0.0, eos=None).tolist()
    assert model.cuda().generate(mt.tensor(IDS[:1, :2]).cuda(), 2, temperature=0.0, eos=None).tolist() == want

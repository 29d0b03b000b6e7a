"""The other layers: hand values, shapes, PyTorch's results and gradients, start values, errors."""

import math

import numpy as np
import pytest

import minitorch
import minitorch.nn.functional as F
from minitorch import nn


def same_as_pytorch(theirs, ours, x, wrap, tol=1e-11):
    """Equal names, output and gradients, after loading their weights into ours, and ours into theirs."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [t.shape for t in ours.state_dict().values()] == [tuple(t.shape) for t in theirs.state_dict().values()]
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({name: wrap(t.numpy()) for name, t in ours.state_dict().items()})
    g, results = None, []
    for module, make in ((theirs, wrap), (ours, minitorch.tensor)):
        given = make(x)
        if x.dtype.kind == "f":
            given.requires_grad_()
        y = module(given)
        g = np.random.default_rng(7).normal(size=tuple(y.shape)) if g is None else g
        (y * make(g)).sum().backward()
        results.append([y, *([given.grad] if x.dtype.kind == "f" else []), *(p.grad for p in module.parameters())])
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=tol, atol=tol)


LAYERS = {
    "Linear": lambda nn, f64: nn.Linear(6, 4, dtype=f64),
    "Linear without bias": lambda nn, f64: nn.Linear(6, 4, bias=False, dtype=f64),
    "LayerNorm": lambda nn, f64: nn.LayerNorm(6, dtype=f64),
    "LayerNorm of two axes": lambda nn, f64: nn.LayerNorm((4, 6), eps=1e-3, dtype=f64),
    "LayerNorm without bias": lambda nn, f64: nn.LayerNorm(6, bias=False, dtype=f64),
    "LayerNorm without affine": lambda nn, f64: nn.LayerNorm(6, elementwise_affine=False),
    "RMSNorm": lambda nn, f64: nn.RMSNorm(6, dtype=f64),
    "RMSNorm with eps": lambda nn, f64: nn.RMSNorm([6], eps=1e-2, dtype=f64),
    "RMSNorm without affine": lambda nn, f64: nn.RMSNorm(6, elementwise_affine=False),
    "ReLU": lambda nn, f64: nn.ReLU(inplace=False), "ReLU6": lambda nn, f64: nn.ReLU6(),
    "LeakyReLU": lambda nn, f64: nn.LeakyReLU(0.2), "ELU": lambda nn, f64: nn.ELU(0.7),
    "GELU": lambda nn, f64: nn.GELU(), "GELU tanh": lambda nn, f64: nn.GELU(approximate="tanh"),
    "SiLU": lambda nn, f64: nn.SiLU(), "GLU": lambda nn, f64: nn.GLU(1), "Sigmoid": lambda nn, f64: nn.Sigmoid(),
    "Tanh": lambda nn, f64: nn.Tanh(), "Softplus": lambda nn, f64: nn.Softplus(2.0, 10.0),
    "Softmax": lambda nn, f64: nn.Softmax(dim=1), "LogSoftmax": lambda nn, f64: nn.LogSoftmax(dim=-1),
    "Identity": lambda nn, f64: nn.Identity(3, a=2), "Flatten": lambda nn, f64: nn.Flatten(),
    "Flatten some": lambda nn, f64: nn.Flatten(0, 1), "Unflatten": lambda nn, f64: nn.Unflatten(-1, (2, 3)),
    "Dropout in eval mode": lambda nn, f64: nn.Dropout(0.3).eval(),
    "Sequential": lambda nn, f64: nn.Sequential(nn.Linear(6, 3, dtype=f64), nn.GELU(), nn.LayerNorm(3, dtype=f64)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_same_as_pytorch(name):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).normal(size=(5, 4, 6)) * 3
    theirs, ours = LAYERS[name](torch.nn, torch.float64), LAYERS[name](nn, minitorch.float64)
    for p in theirs.parameters():
        torch.nn.init.normal_(p)
    same_as_pytorch(theirs, ours, x, torch.tensor)
    if not any(kind in name for kind in ("Norm", "GLU", "Sequential")):  # these print differently from version to version
        assert repr(ours) == repr(theirs)


def test_inplace_is_accepted_and_leaves_the_input():
    x = minitorch.tensor([-1.0, 2.0])
    for layer in (nn.ReLU(inplace=True), nn.SiLU(True), nn.ELU(inplace=True), nn.LeakyReLU(inplace=True), nn.ReLU6(True)):
        layer(x)
        assert "inplace=True" in repr(layer)
    assert x.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("padding_idx", [None, 0, -2])
def test_embedding_same_as_pytorch(padding_idx):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Embedding(7, 3, padding_idx, dtype=torch.float64)
    ours = nn.Embedding(7, 3, padding_idx, dtype=minitorch.float64)
    same_as_pytorch(theirs, ours, np.array([[0, 5, 5], [6, 0, 1]]), torch.tensor)
    assert repr(ours) == repr(theirs)


def test_embedding():
    minitorch.manual_seed(0)
    table = nn.Embedding(1000, 20, padding_idx=3)
    assert (table.weight.data[3] == 0).all() and abs(table.weight.data.std() - 1) < 0.02
    table(minitorch.tensor([3, 4])).sum().backward()
    assert (table.weight.grad.data[3] == 0).all() and (table.weight.grad.data[4] == 1).all()
    frozen = nn.Embedding.from_pretrained(minitorch.eye(3))
    assert not frozen.weight.requires_grad and frozen(minitorch.tensor(1)).tolist() == [0, 1, 0]
    assert nn.Embedding.from_pretrained(minitorch.eye(3), freeze=False, padding_idx=1).weight.requires_grad
    with pytest.raises(IndexError):
        frozen(minitorch.tensor([3]))
    with pytest.raises(IndexError):
        frozen(minitorch.tensor([-1]))
    for option in ({"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}):
        with pytest.raises(NotImplementedError, match=next(iter(option))):
            nn.Embedding(3, 2, **option)
    with pytest.raises(ValueError, match="padding_idx"):
        nn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(RuntimeError, match="2-dimensional"):
        nn.Embedding.from_pretrained(minitorch.ones(3))
    with pytest.raises(RuntimeError, match=r"should be \(3, 2\)"):
        nn.Embedding(3, 2, _weight=minitorch.ones(2, 2))


def test_dropout():
    minitorch.manual_seed(1)
    layer, x = nn.Dropout(0.25), minitorch.ones(10000)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)} and abs((y == 0).mean() - 0.25) < 0.02
    minitorch.manual_seed(1)
    np.testing.assert_array_equal(layer(x).numpy(), y)
    assert (layer.eval()(x).data == 1).all()
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            nn.Dropout(p)


def test_hand_values():
    norm = nn.LayerNorm(3)
    np.testing.assert_allclose(norm(minitorch.tensor([100.0, 200.0, 50.0])).detach().numpy(),
                               [-0.26726, 1.33631, -1.06904], atol=1e-4)
    np.testing.assert_allclose(norm(minitorch.tensor([120.0, 210.0, 55.0])).detach().numpy(),
                               [-0.131, 1.285, -1.154], atol=1e-3)
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": [[2.0, 3.0]], "bias": [1.0]})
    assert layer(minitorch.tensor([[1.0, 1.0]])).tolist() == [[6.0]]


def test_linear_starts_as_in_pytorch():
    minitorch.manual_seed(0)
    layer = nn.Linear(100, 50)
    for p in layer.parameters():
        assert np.abs(p.data).max() <= 0.1 and abs(p.data.std() - 0.1 / math.sqrt(3)) < 0.01
    minitorch.manual_seed(0)
    assert (nn.Linear(100, 50).weight.data == layer.weight.data).all()
    assert nn.Linear(0, 3)(minitorch.zeros(2, 0)).shape == (2, 3)
    with pytest.raises(TypeError, match="unexpected keyword"):
        nn.Linear(2, 3, use_bias=True)


def test_unflatten_errors():
    with pytest.raises(NotImplementedError, match="named"):
        nn.Unflatten("features", (2, 3))
    with pytest.raises(TypeError, match="tuple of ints"):
        nn.Unflatten(1, (2, 3.0))


# ---------------------------------------------------------------------------------------------------------------------
# ours

@pytest.mark.parametrize("norm", ["pre", "post", None])
def test_residual_is_its_formula(norm):
    x = minitorch.randn(2, 3, 8, requires_grad=True)
    block = nn.Residual(nn.FFN(8, 16), norm=norm)
    ln, f = block.norm, block.sublayer
    expected = {"pre": lambda: x + f(ln(x)), "post": lambda: ln(x + f(x)), None: lambda: x + f(x)}[norm]()
    np.testing.assert_allclose(block(x).detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-6)
    block(x).square().sum().backward()
    for name, p in block.named_parameters():
        assert np.isfinite(p.grad.data).all() and p.grad.data.any(), name
    assert ("norm.weight" in block.state_dict()) == (norm is not None)


def test_residual_finds_the_width_and_the_direct_path():
    assert nn.Residual(nn.Sequential(nn.ReLU(), nn.Linear(6, 6))).norm.normalized_shape == (6,)
    assert nn.Residual(nn.MultiheadAttention(8, 2)).norm.normalized_shape == (8,)
    assert nn.Residual(minitorch.tanh, d_model=5).norm.normalized_shape == (5,)
    with pytest.raises(ValueError, match="d_model="):
        nn.Residual(nn.ReLU())
    with pytest.raises(ValueError, match="'pre', 'post' or None"):
        nn.Residual(nn.ReLU(), norm="before")
    zero = nn.Linear(4, 4)
    nn.init.zeros_(zero.weight)
    nn.init.zeros_(zero.bias)
    x = minitorch.randn(3, 4, requires_grad=True)
    nn.Residual(zero, norm="pre")(x).sum().backward()
    assert (x.grad.data == 1).all()  # the branch is dead: the gradient arrives all the same


def test_residual_calls_attention():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, memory = minitorch.randn(2, 3, 8), minitorch.randn(2, 5, 8)
    block = nn.Residual(attention, norm=None)
    np.testing.assert_allclose(block(x, is_causal=True).detach().numpy(),
                               (x + attention(x, x, x, is_causal=True)[0]).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(block(x, memory).detach().numpy(),
                               (x + attention(x, memory, memory)[0]).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_residual_drops_the_branch_only():
    minitorch.manual_seed(0)
    block = nn.Residual(nn.Identity(), norm=None, dropout=0.5)
    y = block(minitorch.ones(1000)).numpy()
    assert set(np.unique(y)) == {1.0, 3.0} and (block.eval()(minitorch.ones(3)).data == 2).all()


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu", minitorch.tanh])
def test_ffn(activation):
    ffn = nn.FFN(6, activation=activation, dtype=minitorch.float64)
    assert list(ffn.state_dict()) == ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    assert ffn.linear1.weight.shape == (24, 6)
    x = minitorch.randn(2, 3, 6, dtype=minitorch.float64)
    expected = ffn.linear2(ffn.activation(ffn.linear1(x)))
    np.testing.assert_allclose(ffn(x).detach().numpy(), expected.detach().numpy(), rtol=1e-12, atol=1e-13)
    assert "linear1.bias" not in nn.FFN(6, 7, bias=False).state_dict()
    with pytest.raises(RuntimeError, match="activation should be"):
        nn.FFN(6, activation="swash")


def test_softmax_projection():
    layer = nn.SoftmaxProjection(6, 11, dtype=minitorch.float64)
    x = minitorch.randn(2, 3, 6, dtype=minitorch.float64, requires_grad=True)
    labels = minitorch.tensor([[1, 10, -100], [0, -100, 5]])
    loss = layer.loss(x, labels, label_smoothing=0.1)
    loss.backward()
    fused = [x.grad.numpy(), layer.weight.grad.numpy(), layer.bias.grad.numpy()]
    x.grad = layer.weight.grad = layer.bias.grad = None
    plain = F.cross_entropy(layer(x).reshape(-1, 11), labels.reshape(-1), label_smoothing=0.1)
    plain.backward()
    assert abs(loss.item() - plain.item()) < 1e-12
    for a, b in zip(fused, [x.grad, layer.weight.grad, layer.bias.grad], strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-11, atol=1e-13)
    assert (layer.greedy(x) == layer(x).argmax(-1)).all() and not layer.greedy(x).requires_grad
    with pytest.raises(ValueError, match="11"):
        layer.loss(x, minitorch.full((2, 3), 11))


def test_softmax_projection_tied():
    embedding = nn.Embedding(11, 6)
    layer = nn.SoftmaxProjection(6, 11, weight=embedding.weight)
    assert layer.weight is embedding.weight and not layer.bias.data.any()
    model = nn.ModuleList([embedding, layer])
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "1.bias"]
    assert list(model.state_dict()) == ["0.weight", "1.weight", "1.bias"]
    with pytest.raises(RuntimeError, match=r"\(vocab_size, d_model\) = \(12, 6\)"):
        nn.SoftmaxProjection(6, 12, weight=embedding.weight)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.SinusoidalEncoding, nn.LearnedPositionalEncoding])
def test_positions(kind, batch_first):
    encoding = kind(6, max_len=10, batch_first=batch_first)
    x = minitorch.randn(2, 4, 6) if batch_first else minitorch.randn(4, 2, 6)
    table = encoding.weight if kind is nn.LearnedPositionalEncoding else encoding.pe
    added = (encoding(x, start=3) - x).detach().numpy()
    for b in range(2):
        np.testing.assert_allclose(added[b] if batch_first else added[:, b], table.detach().numpy()[3:7], atol=1e-6)
    assert encoding(x[0] if batch_first else x[:, 0]).shape == (4, 6)
    with pytest.raises(ValueError, match="length 11 does not fit.*max_len = 10"):
        encoding(minitorch.zeros(1, 11, 6) if batch_first else minitorch.zeros(11, 1, 6))
    with pytest.raises(ValueError, match="from position 8"):
        encoding(x, start=8)
    with pytest.raises(ValueError, match="d_model = 6"):
        encoding(minitorch.zeros(2, 4, 5))


def test_sinusoidal_values_and_odd_widths():
    pe = nn.SinusoidalEncoding(5, 100, dtype=minitorch.float64).pe.numpy()
    for t, i in ((0, 0), (7, 0), (99, 1), (50, 2)):
        angle = t / 10000 ** (2 * i / 5)
        assert abs(pe[t, 2 * i] - math.sin(angle)) < 1e-12
        if 2 * i + 1 < 5:
            assert abs(pe[t, 2 * i + 1] - math.cos(angle)) < 1e-12
    assert not nn.SinusoidalEncoding(4).state_dict() and nn.PositionalEncoding is nn.SinusoidalEncoding


# ---------------------------------------------------------------------------------------------------------------------
# losses

LOSSES = {
    "mse": lambda nn, t, **s: nn.MSELoss(**s), "l1": lambda nn, t, **s: nn.L1Loss(**s),
    "smooth": lambda nn, t, **s: nn.SmoothL1Loss(beta=0.7, **s), "huber": lambda nn, t, **s: nn.HuberLoss(delta=0.7, **s),
    "kl": lambda nn, t, **s: nn.KLDivLoss(**s), "kl log": lambda nn, t, **s: nn.KLDivLoss(log_target=True, **s),
    "bce": lambda nn, t, **s: nn.BCELoss(t([0.2, 1.5, 1.0]), **s),
    "bce logits": lambda nn, t, **s: nn.BCEWithLogitsLoss(pos_weight=t([0.2, 1.5, 1.0]), **s),
    "ce": lambda nn, t, **s: nn.CrossEntropyLoss(t([0.2, 1.5, 1.0]), ignore_index=1, label_smoothing=0.1, **s),
    "nll": lambda nn, t, **s: nn.NLLLoss(t([0.2, 1.5, 1.0]), ignore_index=1, **s),
}


@pytest.mark.parametrize("name, reduction", [
    (name, reduction) for name in LOSSES for reduction in ("mean", "sum", "none", "batchmean")
    if reduction not in (("mean",) if name.startswith("kl") else ("batchmean",))  # PyTorch warns of KLDivLoss's mean
])
def test_losses_same_as_pytorch(name, reduction):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x, target = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    x, target = {"kl": (x, np.abs(target)), "bce": (rng.random((6, 3)), rng.random((6, 3))),
                 "bce logits": (x, rng.random((6, 3))), "ce": (x, rng.integers(0, 3, 6)),
                 "nll": (x, rng.integers(0, 3, 6))}.get(name, (x, target))
    results = []
    for lib, wrap, f64 in ((torch, torch.tensor, torch.float64), (minitorch, minitorch.tensor, minitorch.float64)):
        def weight(values, wrap=wrap, f64=f64):
            return wrap(values, dtype=f64)

        loss = LOSSES[name](lib.nn, weight, reduction=reduction)
        given = wrap(x, requires_grad=True)
        y = loss(given, wrap(target))
        (y * y).sum().backward()
        results.append([y.detach().numpy(), given.grad.numpy(), list(loss.state_dict())])
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-11, atol=1e-12)
    assert results[0][2] == results[1][2]


def test_loss_options():
    with pytest.raises(NotImplementedError, match="size_average"):
        nn.MSELoss(size_average=True)
    with pytest.raises(NotImplementedError, match="reduce"):
        nn.CrossEntropyLoss(reduce=False)
    loss = nn.CrossEntropyLoss()
    assert abs(loss(minitorch.zeros(1, 4), minitorch.tensor([2])).item() - math.log(4)) < 1e-6
    with pytest.warns(UserWarning):
        assert loss(minitorch.zeros(2, 4), minitorch.tensor([-100, -100])).item() == 0


# ---------------------------------------------------------------------------------------------------------------------
# learning

def test_a_small_network_learns_xor():
    minitorch.manual_seed(0)
    x = minitorch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = minitorch.tensor([[0.0], [1.0], [1.0], [0.0]])
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    loss_of, optimizer = nn.BCEWithLogitsLoss(), minitorch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02

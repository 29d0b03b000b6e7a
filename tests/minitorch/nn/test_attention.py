"""MultiheadAttention: PyTorch's results and gradients for every mask and layout; errors; the rows where we differ."""

import itertools

import numpy as np
import pytest

import minitorch
from minitorch import nn

B, T, S, E, H = 3, 4, 5, 8, 2


def gradients_and_outputs(module, inputs, g, wrap, **settings):
    f = {1: lambda q: (q, q, q), 2: lambda q, m: (q, m, m), 3: lambda *qkv: qkv}[len(inputs)]
    y, w = module(*f(*inputs), **settings)
    loss = (y * wrap(g)).sum()
    if w is not None:
        loss = loss + (w * w).sum()
    loss.backward()
    return [y, w, *(x.grad for x in inputs), *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", ["self", "memory", "three", "widths"])
def test_same_as_pytorch(batch_first, kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    widths = {"kdim": 5, "vdim": 7} if kind == "widths" else {}
    masks = [None, "bool", "float", "bool3", "float3", "causal"]
    for mask, padding, (weights, average), bias in itertools.product(
            masks, [False, True], [(False, True), (True, True), (True, False)], [True, False]):
        if not bias and mask not in (None, "bool"):
            continue
        s = T if kind == "self" or mask == "causal" else S
        theirs = torch.nn.MultiheadAttention(E, H, bias=bias, batch_first=batch_first, dtype=torch.float64, **widths)
        ours = nn.MultiheadAttention(E, H, bias=bias, batch_first=batch_first, dtype=minitorch.float64, **widths)
        assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        ours.load_state_dict(theirs.state_dict())
        sizes = {"self": [(T, E)], "memory": [(T, E), (s, E)], "three": [(T, E), (s, E), (s, E)],
                 "widths": [(T, E), (s, 5), (s, 7)]}[kind]
        arrays = [rng.normal(size=(B, n, c) if batch_first else (n, B, c)) for n, c in sizes]
        attn_mask = pad = None
        if mask == "causal":
            attn_mask = np.triu(np.ones((T, s), bool), 1)
        elif mask:
            attn_mask = rng.random((B * H, T, s) if mask.endswith("3") else (T, s)) < 0.3
            attn_mask[..., 0] = False
            if mask.startswith("float"):
                attn_mask = np.where(attn_mask, -np.inf, rng.normal(size=attn_mask.shape))
        if padding:
            pad = np.zeros((B, s), bool)
            pad[1, -2:] = True
            if mask and mask.startswith("float"):
                pad = np.where(pad, -np.inf, 0.0)
        g = rng.normal(size=arrays[0].shape)
        results = []
        for module, wrap in ((theirs, torch.tensor), (ours, minitorch.tensor)):
            inputs = [wrap(a, requires_grad=True) for a in arrays]
            results.append(gradients_and_outputs(
                module, inputs, g, wrap, need_weights=weights, average_attn_weights=average, is_causal=mask == "causal",
                attn_mask=None if attn_mask is None else wrap(attn_mask),
                key_padding_mask=None if pad is None else wrap(pad)))
        for a, b in zip(*results, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_no_batch_axis_is_a_batch_of_one(batch_first):
    layer = nn.MultiheadAttention(E, H, batch_first=batch_first)
    x, memory = minitorch.randn(T, E), minitorch.randn(S, E)
    pad, mask = minitorch.tensor([False] * 4 + [True]), minitorch.randn(H, T, S)
    axis = 0 if batch_first else 1
    y, w = layer(x, memory, memory, pad, attn_mask=mask)
    batch, weights = layer(*(t.unsqueeze(axis) for t in (x, memory, memory)), pad.unsqueeze(0), attn_mask=mask)
    assert y.shape == (T, E) and w.shape == (T, S)
    np.testing.assert_array_equal(y.detach().numpy(), batch.squeeze(axis).detach().numpy())
    np.testing.assert_array_equal(w.detach().numpy(), weights[0].detach().numpy())
    assert layer(x, memory, memory, average_attn_weights=False)[1].shape == (H, T, S)


def test_true_means_masked():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x = minitorch.randn(1, 3, E)
    mask = minitorch.tensor([[False, True, True]] * 3)
    _, w = layer(x, x, x, attn_mask=mask)
    np.testing.assert_allclose(w[0].detach().numpy(), [[1, 0, 0]] * 3)


def test_causal_needs_no_mask_and_leaks_nothing():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x = minitorch.randn(2, 5, E, requires_grad=True)
    y, _ = layer(x, x, x, is_causal=True)
    y[:, 2].sum().backward()
    assert (x.grad[:, 3:].data == 0).all() and x.grad[:, :3].data.all(-1).all()
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    with_mask, _ = layer(x, x, x, attn_mask=mask, is_causal=True)
    np.testing.assert_allclose(y.detach().numpy(), with_mask.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_wrong_causal_hint_does_not_override_the_mask():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    x = minitorch.randn(2, 5, E)
    mask = minitorch.zeros(5, 5).bool()
    hinted, _ = layer(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)
    plain, _ = layer(x, x, x, need_weights=False)
    np.testing.assert_array_equal(hinted.detach().numpy(), plain.detach().numpy())


@pytest.mark.parametrize("kind", ["bool", "float", "padding"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_a_fully_masked_row_gives_the_bias_and_no_gradient(kind, need_weights):
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    nn.init.normal_(layer.out_proj.bias)
    x = minitorch.randn(2, 3, E, requires_grad=True)
    blocked = minitorch.tensor([[True] * 3, [False] * 3, [False] * 3])
    masks = {"bool": {"attn_mask": blocked}, "padding": {"key_padding_mask": minitorch.tensor([[True] * 3, [False] * 3])},
             "float": {"attn_mask": minitorch.zeros(3, 3).masked_fill(blocked, -np.inf)}}[kind]
    y, w = layer(x, x, x, need_weights=need_weights, **masks)
    row = y[0, 0]
    np.testing.assert_array_equal(row.detach().numpy(), layer.out_proj.bias.data)
    (row * minitorch.randn(E)).sum().backward()
    assert (x.grad.data == 0).all() and (layer.in_proj_weight.grad.data == 0).all()
    if need_weights:
        assert (w[0, 0].data == 0).all() and np.isfinite(w.data).all()


def test_a_learnt_float_mask_gets_its_gradient():
    layer = nn.MultiheadAttention(E, H, batch_first=True)
    bias = nn.Parameter(minitorch.zeros(T, T))
    x = minitorch.randn(2, T, E)
    layer(x, x, x, attn_mask=bias, need_weights=False)[0].square().sum().backward()
    assert bias.grad.data.any()


def test_dropout_only_while_training_and_seeded():
    layer = nn.MultiheadAttention(E, H, dropout=0.5, batch_first=True)
    x = minitorch.randn(2, T, E)
    minitorch.manual_seed(3)
    a = layer(x, x, x)[0]
    b = layer(x, x, x)[0]
    minitorch.manual_seed(3)
    c = layer(x, x, x)[0]
    assert (a.data == c.data).all() and (a.data != b.data).any()
    layer.eval()
    assert (layer(x, x, x)[0].data == layer(x, x, x)[0].data).all()


def test_errors():
    with pytest.raises(ValueError, match="embed_dim must be divisible by num_heads"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(NotImplementedError, match="add_bias_kv"):
        nn.MultiheadAttention(8, 2, add_bias_kv=True)
    with pytest.raises(NotImplementedError, match="add_zero_attn"):
        nn.MultiheadAttention(8, 2, add_zero_attn=True)
    with pytest.raises(TypeError, match="unexpected keyword"):
        nn.MultiheadAttention(8, 2, heads=3)
    layer = nn.MultiheadAttention(8, 2)
    x = minitorch.zeros(4, 3, 8)
    with pytest.raises(RuntimeError, match=r"attn_mask should be .*\(4, 4\).*\(6, 4, 4\), got \(4, 3\)"):
        layer(x, x, x, attn_mask=minitorch.zeros(4, 3))
    with pytest.raises(RuntimeError, match=r"key_padding_mask should be \(batch, keys\) = \(3, 4\), got \(4, 3\)"):
        layer(x, x, x, key_padding_mask=minitorch.zeros(4, 3).bool())
    with pytest.raises(TypeError, match="must be bool"):
        layer(x, x, x, key_padding_mask=minitorch.zeros(3, 4).long())
    with pytest.raises(RuntimeError, match="batches differ: 2 and 3. batch_first is False"):
        layer(x, x[:, :2], x[:, :2])
    with pytest.raises(RuntimeError, match="8 features"):
        layer(minitorch.zeros(4, 3, 6), x, x)
    with pytest.raises(RuntimeError, match="lengths differ: 4 and 3"):
        layer(x, x, x[:3])
    with pytest.raises(RuntimeError, match="3 axes"):
        layer(x, x[0], x)
    with pytest.raises(TypeError, match="query must be a Tensor"):
        layer(1, x, x)


def test_start_values():
    layer = nn.MultiheadAttention(64, 4)
    bound = np.sqrt(6 / (64 + 3 * 64))
    assert 0.9 * bound < np.abs(layer.in_proj_weight.data).max() <= bound
    assert not layer.in_proj_bias.data.any() and not layer.out_proj.bias.data.any()

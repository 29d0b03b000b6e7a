"""The Transformer's layers and stacks: PyTorch's results and gradients; what a model of them learns."""

import itertools
import math
import warnings

import numpy as np
import pytest

import minitorch
import minitorch.nn.functional as F
from minitorch import nn

B, T, S, E, H, D = 2, 4, 5, 8, 2, 12


def check_against(theirs, ours, call, arrays, masks, wrap):
    """Load the weights; compare parameters' names, the output and every gradient."""
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    g, results = None, []
    for module, make in ((theirs, wrap), (ours, minitorch.tensor)):
        inputs = [make(a, requires_grad=True) for a in arrays]
        y = call(module, inputs, {name: make(m) if isinstance(m, np.ndarray) else m for name, m in masks.items()})
        g = np.random.default_rng(5).normal(size=tuple(y.shape)) if g is None else g
        (y * make(g)).sum().backward()
        results.append([y, *(x.grad for x in inputs), *(p.grad for p in module.parameters())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", "callable"])
def test_layers_same_as_pytorch(norm_first, activation):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    causal = np.triu(np.ones((T, T), bool), 1)
    for batch_first, bias, masked in itertools.product([False, True], [False, True], [False, True]):
        def arr(n, batch_first=batch_first):
            return rng.normal(size=(B, n, E) if batch_first else (n, B, E))

        pad_t, pad_s = np.zeros((B, T), bool), np.zeros((B, S), bool)
        pad_t[1, -1] = pad_s[0, -2:] = True
        settings = {"dim_feedforward": D, "dropout": 0.0, "layer_norm_eps": 1e-3, "batch_first": batch_first,
                    "norm_first": norm_first, "bias": bias}
        act = [torch.tanh, minitorch.tanh] if activation == "callable" else [activation] * 2
        encoder = [lib.TransformerEncoderLayer(E, H, activation=a, dtype=dtype, **settings)
                   for lib, a, dtype in zip([torch.nn, nn], act, [torch.float64, minitorch.float64], strict=True)]
        check_against(*encoder, lambda m, x, masks: m(*x, **masks), [arr(T)],
                      {"src_mask": causal, "src_key_padding_mask": pad_t} if masked else {}, torch.tensor)
        if masked:
            check_against(*encoder, lambda m, x, masks: m(*x, **masks), [arr(T)],
                          {"src_mask": causal, "is_causal": True}, torch.tensor)
        decoder = [lib.TransformerDecoderLayer(E, H, activation=a, dtype=dtype, **settings)
                   for lib, a, dtype in zip([torch.nn, nn], act, [torch.float64, minitorch.float64], strict=True)]
        check_against(*decoder, lambda m, x, masks: m(*x, **masks), [arr(T), arr(S)],
                      {"tgt_mask": causal, "tgt_key_padding_mask": pad_t, "memory_key_padding_mask": pad_s,
                       "memory_mask": rng.random((T, S)) < 0.2, "tgt_is_causal": True} if masked else {}, torch.tensor)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_whole_model_same_as_pytorch(norm_first, batch_first):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    settings = {"d_model": E, "nhead": H, "num_encoder_layers": 2, "num_decoder_layers": 2, "dim_feedforward": D,
                "dropout": 0.0, "norm_first": norm_first, "batch_first": batch_first}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says which fast paths it will not take
        theirs = torch.nn.Transformer(**settings, dtype=torch.float64)
    theirs.encoder.enable_nested_tensor = False
    ours = nn.Transformer(**settings, dtype=minitorch.float64)
    arrays = [rng.normal(size=(B, n, E) if batch_first else (n, B, E)) for n in (S, T)]
    mask = torch.nn.Transformer.generate_square_subsequent_mask(T, dtype=torch.float64).numpy()
    np.testing.assert_array_equal(nn.Transformer.generate_square_subsequent_mask(T).numpy(), mask)
    pad = np.where(np.arange(S) < np.array([[S], [S - 2]]), 0.0, -np.inf)
    check_against(theirs, ours, lambda m, x, masks: m(*x, **masks), arrays,
                  {"tgt_mask": mask, "src_key_padding_mask": pad, "memory_key_padding_mask": pad}, torch.tensor)


def test_fused_and_unfused_feed_forward_agree():
    layer = nn.TransformerEncoderLayer(E, H, D, dropout=0.0, activation="gelu", batch_first=True, dtype=minitorch.float64)
    x = minitorch.randn(B, T, E, dtype=minitorch.float64)
    fused = layer(x)
    seen = []
    layer.linear1.register_forward_hook(lambda *_: seen.append(1))  # somebody looks on: no fused op then
    unfused = layer(x)
    assert seen
    np.testing.assert_allclose(fused.detach().numpy(), unfused.detach().numpy(), rtol=1e-12, atol=1e-13)
    layer.activation = nn.GELU()
    np.testing.assert_allclose(layer(x).detach().numpy(), unfused.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_replaced_parts_are_used():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    layer = nn.TransformerEncoderLayer(E, H, D, dropout=0.0, batch_first=True)
    x = minitorch.randn(B, T, E)
    before = layer(x)
    layer.linear2 = Doubled(D, E)
    assert (layer(x).data != before.data).any()


def test_stacks_are_copies_and_hints_are_found():
    layer = nn.TransformerEncoderLayer(E, H, D, dropout=0.0, batch_first=True)
    stack = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(E), enable_nested_tensor=False, mask_check=False)
    assert len({id(p) for p in stack.parameters()}) == 3 * len(list(layer.parameters())) + 2
    x = minitorch.randn(B, T, E, requires_grad=True)
    mask = nn.Transformer.generate_square_subsequent_mask(T)
    outputs = [stack(x, mask), stack(x, mask, is_causal=True), stack(x, is_causal=True), stack(x, mask, is_causal=False)]
    for y in outputs[1:]:
        np.testing.assert_allclose(y.detach().numpy(), outputs[0].detach().numpy(), rtol=1e-4, atol=1e-5)
    outputs[0][:, 0].sum().backward()
    assert (x.grad[:, 1:].data == 0).all()


def test_errors():
    with pytest.raises(RuntimeError, match="activation should be"):
        nn.TransformerEncoderLayer(8, 2, activation="swash")
    model = nn.Transformer(8, 2, 1, 1, 16)
    with pytest.raises(RuntimeError, match="batches.*2 and 3"):
        model(minitorch.zeros(4, 2, 8), minitorch.zeros(4, 3, 8))
    with pytest.raises(RuntimeError, match="d_model = 8"):
        model(minitorch.zeros(4, 2, 6), minitorch.zeros(4, 2, 6))


# ---------------------------------------------------------------------------------------------------------------------
# learning

class LanguageModel(nn.Module):
    def __init__(self, vocab, norm_first):
        super().__init__()
        self.embedding = nn.Embedding(vocab, 32)
        self.position = nn.LearnedPositionalEncoding(32, 16)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation="gelu", batch_first=True,
                                           norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(32))
        self.output = nn.SoftmaxProjection(32, vocab, weight=self.embedding.weight)
        for p in self.embedding.parameters():
            nn.init.normal_(p, std=0.02)

    def forward(self, ids):
        return self.encoder(self.position(self.embedding(ids)), is_causal=True)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_small_model_starts_at_ln_v_and_learns_a_batch_by_heart(norm_first):
    minitorch.manual_seed(0)
    vocab = 50
    model = LanguageModel(vocab, norm_first)
    ids = minitorch.randint(vocab, (4, 13))
    x, labels = ids[:, :-1], ids[:, 1:]
    first = model.output.loss(model(x), labels)
    assert abs(first.item() - math.log(vocab)) < 0.05 * math.log(vocab)
    logits = model.output(model(x))
    plain = F.cross_entropy(logits.reshape(-1, vocab), labels.reshape(-1))
    assert abs(plain.item() - first.item()) < 1e-4
    first.backward()
    for name, p in model.named_parameters():
        gradient = p.grad.numpy()
        assert np.isfinite(gradient).all() and gradient.any(), name
    optimizer = minitorch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.output.loss(model(x), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss.item() < 0.01
    assert (model.output.greedy(model(x)) == labels).all()


def test_frozen_parameters_get_no_gradient():
    model = LanguageModel(10, True)
    model.encoder.layers[0].requires_grad_(False)
    model.output.loss(model(minitorch.randint(10, (2, 5))), minitorch.randint(10, (2, 5))).backward()
    for name, p in model.named_parameters():
        assert (p.grad is None) == name.startswith("encoder.layers.0."), name

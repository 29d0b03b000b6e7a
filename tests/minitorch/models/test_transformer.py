"""The original Transformer: PyTorch's layers with the same weights; masks, caches, training, files, bad input."""

import math

import numpy as np
import pytest

import minitorch
from minitorch import explain, from_numpy, no_grad
from minitorch.errors import CheckpointError, RangeError, ShapeError
from minitorch.io import safetensors
from minitorch.models import Transformer, TransformerConfig
from minitorch.models.search import SearchCache

TINY = {"vocab_size": 23, "d_model": 12, "nhead": 3, "num_encoder_layers": 2, "num_decoder_layers": 3, "dim_feedforward": 17,
        "dropout": 0.0, "max_len": 40}


def tiny(**changes):
    minitorch.manual_seed(1)
    model = Transformer(TransformerConfig(**{**TINY, **changes}))
    for name, p in model.named_parameters():
        if "norm" in name or "bias" in name:
            p.data[...] += np.random.default_rng(p.numel()).normal(size=p.shape) * 0.3
    return model


def texts(seed=0, batch=3, read=9, write=7, vocab=23):
    rng = np.random.default_rng(seed)
    src, text = rng.integers(3, vocab, (batch, read)), rng.integers(3, vocab, (batch, write + 1))
    mask = np.ones((batch, read), int)
    mask[1, -4:] = mask[2, :2] = 0
    return src, text[:, :-1].copy(), text[:, 1:].copy(), mask


@pytest.mark.parity
@pytest.mark.parametrize("changes", [{"norm_first": True}, {}, {"tgt_vocab_size": 19, "tie_word_embeddings": False},
                                     {"activation": "gelu", "norm_first": True, "layer_norm_eps": 1e-3}])
def test_same_as_pytorch(changes):
    torch = pytest.importorskip("torch")
    ours = tiny(label_smoothing=0.1, **changes).double()
    c = ours.config
    settings = {"dim_feedforward": c.dim_feedforward, "dropout": 0.0, "activation": c.activation, "batch_first": True,
                "norm_first": c.norm_first, "layer_norm_eps": c.layer_norm_eps, "dtype": torch.float64}
    reader = torch.nn.TransformerEncoderLayer(c.d_model, c.nhead, **settings)
    writer = torch.nn.TransformerDecoderLayer(c.d_model, c.nhead, **settings)

    def norm():
        return torch.nn.LayerNorm(c.d_model, eps=c.layer_norm_eps, dtype=torch.float64) if c.norm_first else None

    theirs = torch.nn.Transformer(
        c.d_model, c.nhead, batch_first=True,
        custom_encoder=torch.nn.TransformerEncoder(reader, c.num_encoder_layers, norm(), enable_nested_tensor=False),
        custom_decoder=torch.nn.TransformerDecoder(writer, c.num_decoder_layers, norm()))
    inner = {n: torch.from_numpy(p.data.copy()) for n, p in ours.state_dict().items()
             if n.startswith(("encoder", "decoder"))}
    theirs.load_state_dict(inner)                                   # strict: the names are PyTorch's
    tables = {n: torch.nn.Parameter(torch.from_numpy(p.data.copy())) for n, p in ours.named_parameters() if n not in inner}
    tgt_table = tables["tgt_embedding.weight"]
    src_table = tables.get("src_embedding.weight", tgt_table)
    out_table = tables.get("projection.weight", tgt_table)

    def embed(table, ids):
        rate = 10000 ** (torch.arange(0, c.d_model, 2, dtype=torch.float64) / c.d_model)
        angle = torch.arange(ids.shape[1], dtype=torch.float64)[:, None] / rate
        places = torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float().double()    # ours were made in float32
        return table[torch.from_numpy(ids)] * math.sqrt(c.d_model) + places

    src, tgt, labels, mask = texts(vocab=19)
    labels[0, -2:] = -100
    hidden = theirs(embed(src_table, src), embed(tgt_table, tgt), src_key_padding_mask=torch.from_numpy(mask == 0),
                    memory_key_padding_mask=torch.from_numpy(mask == 0),
                    tgt_mask=torch.triu(torch.ones(7, 7, dtype=bool), 1))
    logits = hidden @ out_table.T
    np.testing.assert_allclose(ours(src, tgt, src_mask=mask).detach().numpy(), logits.detach().numpy(), rtol=1e-9, atol=1e-9)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(labels).flatten(), label_smoothing=0.1)
    mine = ours.loss(src, tgt, labels, src_mask=mask)
    assert mine.item() == pytest.approx(loss.item(), rel=1e-6)
    loss.backward()
    mine.backward()
    wanted = {**{n: p.grad for n, p in theirs.named_parameters()}, **{n: p.grad for n, p in tables.items()}}
    assert {n for n, _ in ours.named_parameters()} == set(wanted)
    for n, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), wanted[n].numpy(), rtol=1e-7, atol=1e-9, err_msg=n)


# ---------------------------------------------------------------------------------------------------------------------
# without PyTorch

@pytest.mark.parametrize("changes", [{}, {"norm_first": True, "activation": "gelu"}])
def test_gradients_by_finite_differences(changes):
    model = tiny(d_model=6, dim_feedforward=5, num_decoder_layers=1, num_encoder_layers=1, **changes).double()
    src, tgt, labels, mask = texts(batch=3, read=5, write=3)
    labels[1, 2] = -100
    assert minitorch.autograd.gradcheck(lambda *weights: model.loss(src, tgt, labels, src_mask=mask),
                                        list(model.parameters()), fast_mode=True)


def test_no_token_sees_a_later_one():
    model, src = tiny(), np.array([[3, 4, 5]])
    assert explain.check_causal(lambda ids: model(src.repeat(ids.shape[0], 0), ids), minitorch.tensor([[1, 4, 5, 6, 7]]))


def test_padding_changes_nothing():
    model = tiny()
    alone = model([[3, 4, 5]], [[1, 7, 8]]).detach().numpy()
    padded = model([[3, 4, 5, 9, 9], [1, 2, 3, 4, 5]], [[1, 7, 8, 0], [1, 1, 2, 3]], src_mask=[[1, 1, 1, 0, 0], [1] * 5],
                   tgt_mask=[[1, 1, 1, 0], [1] * 4]).detach().numpy()
    np.testing.assert_allclose(padded[:1, :3], alone, atol=1e-6)


@pytest.mark.parametrize("norm_first", [False, True])
@no_grad()
def test_cache_in_pieces(norm_first):
    model = tiny(norm_first=norm_first).eval()
    src, tgt, _, mask = texts()
    memory = model.encode(src, mask)
    whole = model.decode(tgt, memory, mask).numpy()
    for cuts in ([1, 2, 3, 4, 5, 6], [3], [1, 5]):
        cache = SearchCache()
        parts = [model.decode(from_numpy(part), memory, mask, cache=cache).numpy() for part in np.split(tgt, cuts, 1)]
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("changes", [{}, {"norm_first": True, "tgt_vocab_size": 11, "tie_word_embeddings": False}])
def test_translate_with_and_without_cache(beams, changes):
    model = tiny(**changes)
    src, _, _, mask = texts(5)
    end = int(model.translate(src, mask, max_new_tokens=6, eos=None).data[0, 3])
    found, scores = model.translate(src, mask, max_new_tokens=12, beams=beams, eos=[end, 2], return_scores=True)
    again = model.translate(src, mask, max_new_tokens=12, beams=beams, eos=[end, 2], use_cache=False)
    assert found.tolist() == again.tolist() and found.shape[0] == 3
    logp = model.eval()(src, found[:, :-1], mask).log_softmax(-1).detach().numpy()
    for row, lp, score in zip(found.tolist(), logp, scores.tolist(), strict=True):
        n = next((i for i, t in enumerate(row) if i and t in (end, 2)), len(row) - 1)
        assert score == pytest.approx(sum(lp[i, row[i + 1]] for i in range(n)) / n, rel=1e-4)
        assert not any(row[n + 1:])


def test_translate_leaves_the_mode_alone_and_stops_where_positions_end():
    model = tiny(dropout=0.5, max_len=5).train()
    ids = model.translate([[3, 4, 5]], eos=None)
    assert ids.shape == (1, 6) and ids.data[0, 0] == 1 and model.training and model.decoder.layers[0].dropout.training
    assert ids.tolist() == model.translate([[3, 4, 5]], eos=None).tolist()
    assert model.translate([[3, 4, 5, 0, 0]], [[1, 1, 1, 0, 0]], eos=None).tolist() == ids.tolist()


def test_cross_attention_rows_sum_to_one():
    model = tiny()
    weights = model.cross_attention([[3, 4, 5, 0]], [[1, 7]], [[1, 1, 1, 0]])
    assert weights.shape == (3, 1, 3, 2, 4)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, rtol=1e-6)
    assert (weights.numpy()[..., 3] == 0).all()


def test_recording():
    model = tiny()
    with explain.record() as trace:
        model.loss([[3, 4, 5]], [[1, 7]], [[7, 2]]).backward()
    ops = [step.op for step in trace.steps if step.phase == "forward"]
    assert ops.count("Attention") == 2 + 2 * 3 and ops.count("SoftmaxProjection") == 1


def test_it_learns_to_turn_texts_round():
    minitorch.manual_seed(0)
    model = Transformer(TransformerConfig.preset("tiny", vocab_size=11, num_encoder_layers=1, num_decoder_layers=1,
                                                 dropout=0.0))
    optimizer = minitorch.optim.Adam(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    for _ in range(180):
        src = rng.integers(3, 11, (32, 4))
        text = np.concatenate([np.full((32, 1), 1), src[:, ::-1], np.full((32, 1), 2)], 1)
        loss = model.loss(src, text[:, :-1], text[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    src = rng.integers(3, 11, (50, 4))
    for beams in (1, 3):
        found = model.translate(src, max_new_tokens=8, beams=beams).data[:, 1:5]
        assert (found == src[:, ::-1]).all(1).mean() > 0.9
    weights = model.cross_attention(src, np.concatenate([np.full((50, 1), 1), src[:, :0:-1]], 1)).data.mean((0, 1, 2))
    assert (weights.argmax(1) == [3, 2, 1, 0]).all(), weights       # the alignment: from the last token to the first


@pytest.mark.parametrize("changes", [{}, {"tgt_vocab_size": 19, "tie_word_embeddings": False, "norm_first": True}])
def test_saved_and_loaded(changes, tmp_path):
    model = tiny(**changes)
    model.save_pretrained(tmp_path)
    names = set(safetensors.read(tmp_path / "model.safetensors"))
    assert ("projection.weight" in names) == ("src_embedding.weight" in names) == bool(changes)
    back = Transformer.from_pretrained(tmp_path)
    assert back.config == Transformer.from_pretrained(tmp_path).config and not back.training
    src, tgt, _, mask = texts(vocab=19)
    assert np.array_equal(back(src, tgt, mask).detach().numpy(), model(src, tgt, mask).detach().numpy())
    weights = {n: np.array(a) for n, a in safetensors.read(tmp_path / "model.safetensors").items()}
    del weights["decoder.layers.1.multihead_attn.in_proj_bias"]
    safetensors.write(tmp_path / "model.safetensors", weights, None)
    with pytest.raises(CheckpointError) as error:
        Transformer.from_pretrained(tmp_path)
    assert error.value.tensor == "decoder.layers.1.multihead_attn.in_proj_bias"


@pytest.mark.parametrize("kind, text, call", [
    (TypeError, "tgt is missing", lambda m: m([[3, 4]])),
    (ShapeError, "batches differ: 2 and 1", lambda m: m([[3, 4]], [[0], [0]])),
    (ShapeError, r"src should be \(batch, length\), got shape \(2,\)", lambda m: m([3, 4], [[0]])),
    (ShapeError, "src_mask should be", lambda m: m([[3, 4]], [[0]], [[1, 1, 1]])),
    (ShapeError, "tgt_mask should be", lambda m: m([[3, 4]], [[0]], None, [[1, 1]])),
    (ValueError, "1 for tokens and 0 for padding", lambda m: m([[3, 4]], [[0]], [[1, -1]])),
    (RangeError, "23", lambda m: m([[3, 23]], [[0]])),
    (RangeError, "-1", lambda m: m([[3, 4]], [[-1]])),
    (ShapeError, "does not fit", lambda m: m([[3] * 41], [[0]])),
    (ShapeError, r"text\[:, :-1\]", lambda m: m.loss([[3, 4]], [[1, 5]], [[5, 6, 2]])),
    (RangeError, "label", lambda m: m.loss([[3, 4]], [[1, 5]], [[5, 23]])),
    (ValueError, "beams should be", lambda m: m.translate([[3]], beams=1.5)),
    (TypeError, "eos should be", lambda m: m.translate([[3]], eos="end")),
    (TypeError, "expected a TransformerConfig", lambda m: Transformer(7)),
])
def test_bad_input(kind, text, call):
    with pytest.raises(kind, match=text):
        call(tiny())


@pytest.mark.parametrize("changes, text", [
    ({"nhead": 5}, "d_model should be divisible by nhead=5"), ({"activation": "what"}, "activation should be"),
    ({"bos_token_id": None}, "bos_token_id"), ({"bos_token_id": 23}, "bos_token_id"), ({"max_len": 0}, "max_len"),
    ({"label_smoothing": 1.5}, "label_smoothing"), ({"norm_first": "yes"}, "norm_first"),
])
def test_bad_config(changes, text):
    with pytest.raises(ValueError, match=text):
        TransformerConfig(**{**TINY, **changes})


@pytest.mark.parametrize("changes", [{}, {"norm_first": True, "activation": "gelu", "tgt_vocab_size": 11,
                                         "tie_word_embeddings": False, "layer_norm_eps": 1e-2}])
@no_grad()
def test_a_token_in_plain_numpy_is_what_the_parts_compute(changes):
    model = tiny(**changes).eval()
    src, tgt, _, mask = texts(vocab=11)
    memory, source_mask = model.encode(src, mask), mask.astype(bool)
    write, caches = model.writer(source_mask), [SearchCache(), SearchCache()]
    for t in range(tgt.shape[1]):
        parts = model.logits(model.decode(from_numpy(tgt[:, t:t + 1]), memory, mask, cache=caches[0])).numpy()[:, 0]
        if t == 0:
            model.decode(from_numpy(tgt[:, :1]), memory, mask, cache=caches[1])
        else:
            np.testing.assert_allclose(write(tgt[:, t], caches[1]), parts, rtol=1e-4, atol=1e-5)
    model.decoder.layers[0].register_forward_hook(lambda *_: None)
    assert model.writer(source_mask) is None                # somebody looks on: the parts run
    assert tiny().writer(np.array([[True], [False]])) is None

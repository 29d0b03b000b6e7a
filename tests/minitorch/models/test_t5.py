"""T5: Hugging Face's logits, gradients and texts; masks, caches, files, bad input."""

import copy
import json
import warnings

import numpy as np
import pytest

import minitorch
from minitorch import explain, from_numpy, no_grad
from minitorch.errors import CheckpointError, RangeError, ShapeError
from minitorch.io import safetensors
from minitorch.models import T5, T5Config
from minitorch.models.search import SearchCache
from minitorch.models.t5 import relative_position_bucket
from minitorch.nn import functional as F

SMALL = {"vocab_size": 97, "d_model": 13, "d_kv": 5, "d_ff": 29, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 3,
         "relative_attention_num_buckets": 9, "relative_attention_max_distance": 11}
CASES = {
    "relu": {},
    "gated-gelu, scaled off": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "untied": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "untied": True, "num_decoder_layers": 1},
    "gated-silu": {"feed_forward_proj": "gated-silu", "num_layers": 1, "num_decoder_layers": 3, "d_kv": 7,
                   "layer_norm_epsilon": 1e-3},
    "gelu": {"feed_forward_proj": "gelu", "num_heads": 1, "d_kv": 32, "d_model": 16},
    "gelu_new": {"feed_forward_proj": "gelu_new", "relative_attention_num_buckets": 32,
                 "relative_attention_max_distance": 128, "pad_token_id": 3, "eos_token_id": 5,
                 "decoder_start_token_id": 4},
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """name of a case → (Hugging Face's model, our model of its folder, the folder)."""
    made = {}

    def build(name):
        torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
        if name not in made:
            settings = {**SMALL, "decoder_start_token_id": 0, **CASES[name]}
            untied = settings.pop("untied", False)
            torch.manual_seed(len(name))
            theirs = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings)).eval()
            with torch.no_grad():
                for key, p in theirs.named_parameters():
                    p += (0.3 if p.ndim == 1 else 1.0 if "relative" in key else 0.15) * torch.randn(p.shape)
            if untied:
                theirs.lm_head.weight = torch.nn.Parameter(torch.randn(theirs.lm_head.weight.shape))
            folder = tmp_path_factory.mktemp("t5")
            theirs.save_pretrained(folder)
            made[name] = theirs, T5.from_pretrained(folder), folder
        torch.set_num_threads(1)
        return made[name]

    return build


def texts(seed=0, batch=3, read=17, write=12, vocab=97):
    rng = np.random.default_rng(seed)
    ids, labels = rng.integers(6, vocab, (batch, read)), rng.integers(6, vocab, (batch, write))
    mask, dmask = np.ones((batch, read), int), np.ones((batch, write), int)
    mask[1, -4:] = mask[2, :3] = 0
    dmask[0, -5:] = 0
    return ids, labels, mask, dmask


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients_same_as_hugging_face(make, name):
    torch = pytest.importorskip("torch")
    theirs, ours, _ = make(name)
    ids, labels, mask, dmask = texts()
    given = ours.shift_right(labels).data
    hf = {"input_ids": ids, "decoder_input_ids": given, "attention_mask": mask, "decoder_attention_mask": dmask}
    expected = theirs(**{k: torch.from_numpy(v) for k, v in hf.items()}).logits
    logits = ours(ids, given, attention_mask=mask, decoder_attention_mask=dmask)
    np.testing.assert_allclose(logits.detach().numpy(), expected.detach().numpy(), atol=1e-4)
    plain = theirs(input_ids=torch.from_numpy(ids), decoder_input_ids=torch.from_numpy(given)).logits
    np.testing.assert_allclose(ours(ids, given).detach().numpy(), plain.detach().numpy(), atol=1e-4)

    labels = np.where(dmask == 1, labels, -100)
    hf = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    exact = copy.deepcopy(theirs).double()      # in float32 its gradients are further from these than ours
    loss = exact(**{k: torch.from_numpy(v) for k, v in hf.items()}).loss
    exact.zero_grad()
    loss.backward()
    ours.zero_grad()
    mine = ours.loss(ids, labels, attention_mask=mask)
    mine.backward()
    assert mine.item() == pytest.approx(loss.item(), rel=1e-5)
    wanted = {n: p.grad.numpy() for n, p in exact.named_parameters()}
    assert {n for n, _ in ours.named_parameters()} == set(wanted)
    for n, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), wanted[n], rtol=1e-3, atol=1e-5 * np.abs(wanted[n]).max(), err_msg=n)


def cached(theirs):
    """Their cache has as many layers as the encoder: with more in the decoder it fails."""
    return theirs.config.num_decoder_layers <= theirs.config.num_layers


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_generates_the_same_tokens(make, name):
    torch = pytest.importorskip("torch")
    theirs, ours, _ = make(name)
    ids, _, mask, _ = texts(seed=1, batch=4)
    mask[3, 1:] = 0
    free = ours.generate(ids, 15, attention_mask=mask, eos=None).data
    for eos in [theirs.config.eos_token_id, int(free[:, 2:].max())]:
        expected = theirs.generate(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), max_new_tokens=15,
                                   do_sample=False, eos_token_id=eos, use_cache=cached(theirs))
        found = ours.generate(ids, attention_mask=mask, max_new_tokens=15, eos=eos)
        assert found.tolist() == expected.tolist()
        uncached = ours.generate(ids, attention_mask=mask, max_new_tokens=15, eos=eos, use_cache=False)
        assert uncached.tolist() == expected.tolist()


@pytest.mark.parity
@pytest.mark.parametrize("settings", [{}, {"length_penalty": 0.0}, {"length_penalty": 2.0, "early_stopping": True},
                                      {"early_stopping": "never"}, {"length_penalty": -1.0}])
@pytest.mark.parametrize("name", ["relu", "untied"])
def test_beams_write_the_same_tokens(make, name, settings):
    torch = pytest.importorskip("torch")
    theirs, ours, _ = make(name)
    ids, _, mask, _ = texts(seed=2, batch=3)
    ends = np.unique(ours.generate(ids, 9, attention_mask=mask, beams=3, eos=None).data[:, 3:]).tolist()
    for beams, eos in ((2, ends[0]), (3, ends[-3:]), (5, None)):
        theirs.generation_config.eos_token_id = eos
        expected = theirs.generate(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), max_new_tokens=9,
                                   num_beams=beams, do_sample=False, use_cache=cached(theirs), return_dict_in_generate=True,
                                   output_scores=True, **settings)
        found, scores = ours.generate(ids, 9, attention_mask=mask, beams=beams, eos=eos, return_scores=True, **settings)
        np.testing.assert_allclose(scores.numpy(), expected.sequences_scores.numpy(), rtol=1e-4)
        for mine, their in zip(found.tolist(), expected.sequences.tolist(), strict=True):
            length = next((i + 1 for i, t in enumerate(mine) if i and t in np.ravel(eos).tolist()), len(mine))
            assert mine[:length] == their[:length]           # behind the end they fill with the end token, we with padding
        uncached = ours.generate(ids, 9, attention_mask=mask, beams=beams, eos=eos, use_cache=False, **settings)
        assert uncached.tolist() == found.tolist()


@pytest.mark.parity
@pytest.mark.parametrize("name", CASES)
def test_what_we_save_hugging_face_reads(make, name, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    theirs, ours, _ = make(name)
    ours.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    ids, labels, mask, _ = texts(3)
    hf = {"input_ids": torch.from_numpy(ids), "decoder_input_ids": torch.from_numpy(labels)}
    with torch.no_grad():
        a, b = (m(**hf).logits for m in (theirs, back))
    assert torch.equal(a, b)
    again = T5.from_pretrained(tmp_path)
    assert again.config == T5.from_pretrained(tmp_path).config
    assert np.array_equal(again(ids, labels).detach().numpy(), ours(ids, labels).detach().numpy())


@pytest.mark.parity
def test_folders_of_every_kind(make, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    ids, labels, mask, _ = texts(4, read=7, write=5)
    for tie in (True, False):
        config = transformers.T5Config(**SMALL, decoder_start_token_id=0, tie_word_embeddings=tie)
        for kind in (transformers.T5Model, transformers.T5EncoderModel):
            theirs = kind(config).eval()
            theirs.save_pretrained(tmp_path / "m")
            ours = T5.from_pretrained(tmp_path / "m")
            hidden = theirs.encoder(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state
            np.testing.assert_allclose(ours.encode(ids, mask).detach().numpy(), hidden.detach().numpy(), atol=1e-4)
            if kind is transformers.T5Model:
                out = theirs(input_ids=torch.from_numpy(ids), decoder_input_ids=torch.from_numpy(labels)).last_hidden_state
                np.testing.assert_allclose(ours.decode(labels, ours.encode(ids)).detach().numpy(), out.detach().numpy(),
                                           atol=1e-4)
                ours.save_pretrained(tmp_path / "back")
                assert transformers.T5ForConditionalGeneration.from_pretrained(tmp_path / "back")
            else:
                with pytest.raises(RuntimeError, match="encoder alone"):
                    ours(ids, labels)
                ours.save_pretrained(tmp_path / "back")
                assert transformers.T5EncoderModel.from_pretrained(tmp_path / "back")
                assert json.loads((tmp_path / "back" / "config.json").read_text())["architectures"] == ["T5EncoderModel"]


@pytest.mark.parity
@pytest.mark.parametrize("both", [True, False])
def test_buckets_same_as_hugging_face(both):
    torch, t5 = pytest.importorskip("torch"), pytest.importorskip("transformers.models.t5.modeling_t5")
    distance = np.arange(-3000, 3001)
    for buckets in (4, 5, 8, 9, 16, 31, 32, 64, 100):
        for furthest in (buckets // 2 + 1, 51, 64, 100, 128, 256, 1000, 2048):
            expected = t5.T5Attention._relative_position_bucket(torch.from_numpy(distance), both, buckets, furthest)
            found = relative_position_bucket(distance, both, buckets, furthest)
            wrong = distance[found != expected.numpy()]
            assert not len(wrong), (buckets, furthest, wrong[:5])


# ---------------------------------------------------------------------------------------------------------------------
# without PyTorch

TINY = {"vocab_size": 11, "d_model": 6, "d_kv": 3, "d_ff": 7, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2,
        "relative_attention_num_buckets": 6, "relative_attention_max_distance": 5, "dropout_rate": 0.0}


def tiny(**changes):
    minitorch.manual_seed(3)
    return T5(T5Config(**{**TINY, **changes}))


@pytest.mark.parametrize("changes", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
def test_gradients_by_finite_differences(changes):
    t5 = tiny(**changes).double()
    ids, labels = np.array([[3, 4, 5, 2, 9, 10, 1], [6, 7, 1, 0, 0, 0, 0]]), np.array([[7, 8, 1], [9, 1, -100]])
    report = minitorch.autograd.gradcheck(
        lambda *weights: t5.loss(ids, labels, attention_mask=ids != 0), [p for p in t5.parameters()], fast_mode=True)
    assert report


def test_no_token_sees_a_later_one():
    t5, source = tiny(), np.array([[3, 4, 5]])
    assert explain.check_causal(lambda ids: t5(source.repeat(ids.shape[0], 0), ids), minitorch.tensor([[0, 4, 5, 6, 7, 8]]))
    logits = t5(source, [[0, 4, 5, 6]]).detach().numpy()
    other = t5(source, [[0, 4, 9, 6]]).detach().numpy()
    assert np.array_equal(logits[:, :2], other[:, :2]) and not np.allclose(logits[:, 2], other[:, 2])


def test_padding_changes_nothing():
    t5 = tiny()
    alone = t5([[3, 4, 5]], [[0, 7, 8]]).detach().numpy()
    padded = t5([[3, 4, 5, 9, 9], [1, 2, 3, 4, 5]], [[0, 7, 8], [0, 1, 2]],
                attention_mask=[[1, 1, 1, 0, 0], [1] * 5]).detach().numpy()
    np.testing.assert_allclose(padded[:1], alone, atol=1e-6)


@no_grad()
def test_cache_in_pieces():
    t5 = tiny().eval()
    ids, written = np.array([[3, 4, 5], [5, 6, 0]]), np.array([[0, 7, 8, 2, 9, 10, 4], [0, 1, 2, 3, 4, 5, 6]])
    mask = ids != 0
    memory = t5.encode(ids, mask)
    whole = t5.decode(written, memory, mask).numpy()
    for cuts in ([1, 2, 3, 4, 5, 6], [3], [1, 5], [2, 3]):
        cache = SearchCache()
        parts = [t5.decode(from_numpy(part), memory, mask, cache=cache).numpy() for part in np.split(written, cuts, 1)]
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-6)


def test_generate_ends_pads_and_leaves_the_mode_alone():
    t5 = tiny(dropout_rate=0.5).train()
    ids = np.array([[3, 4, 5], [5, 6, 7], [2, 2, 9]])
    free = t5.generate(ids, max_new_tokens=6, eos=[])
    assert free.shape == (3, 7) and t5.training and t5.encoder.dropout.training
    assert (free.data[:, 0] == 0).all()
    end = int(free.data[0, 3])
    cut = t5.generate(ids, max_new_tokens=6, eos=end).data
    for row, full in zip(cut, free.data):
        at = [*np.flatnonzero(full[1:] == end), len(full) - 2]
        stop = at[0] + 2
        assert np.array_equal(row[:stop], full[:min(stop, len(row))]) and (row[stop:] == 0).all()
    assert t5.generate(ids, max_new_tokens=0).tolist() == [[0]] * 3
    assert t5.generate(ids, max_new_tokens=0, beams=2).tolist() == [[0]] * 3


def test_generate_draws_by_chance():
    t5, ids = tiny().eval(), np.repeat([[3, 4, 5]], 2000, 0)
    p = F.softmax(t5(ids[:1], [[0]])[0, -1] / 2, -1).detach().numpy()
    drawn = t5.generate(ids, 1, 2.0, generator=minitorch.Generator().manual_seed(3)).data
    again = t5.generate(ids, 1, 2.0, generator=minitorch.Generator().manual_seed(3)).data
    assert np.array_equal(drawn, again)
    np.testing.assert_allclose(np.bincount(drawn[:, 1], minlength=len(p)) / 2000, p, atol=0.04)
    assert set(t5.generate(ids, 1, 2.0, top_k=2, eos=None).data[:, 1]) == set(np.argsort(-p)[:2])
    greedy = t5.generate(ids[:2], 6).tolist()
    assert t5.generate(ids[:2], 6, 1.0, top_k=1).tolist() == t5.generate(ids[:2], 6, 1.0, None, 1e-9).tolist() == greedy


def test_generate_does_not_read_padding():
    t5 = tiny()
    ids = np.array([[3, 4, 5, 0, 0], [0, 0, 3, 4, 5]])
    alone = t5.generate(ids[:1, :3], eos=None, max_new_tokens=9).tolist()
    for beams in (1, 3):
        found, scores = t5.generate(ids, 9, attention_mask=ids != 0, beams=beams, eos=None, return_scores=True)
        assert found.tolist() == 2 * t5.generate(ids[:1, :3], 9, beams=beams, eos=None).tolist()
        assert scores[0].item() == pytest.approx(scores[1].item(), rel=1e-5)
    assert t5.generate(ids[:1], 9, attention_mask=ids[:1] != 0, eos=None).tolist() == alone


def test_scores_are_log_probabilities():
    t5 = tiny().eval()
    ids = np.array([[3, 4, 5], [5, 6, 7]])
    for beams in (1, 3):
        found, scores = t5.generate(ids, max_new_tokens=4, eos=None, beams=beams, return_scores=True)
        logp = t5(ids, found[:, :-1]).log_softmax(-1).detach().numpy()
        total = np.take_along_axis(logp, found.numpy()[:, 1:, None], 2)[:, :, 0].mean(1)
        np.testing.assert_allclose(scores.numpy(), total, rtol=1e-5)


def test_cross_attention_rows_sum_to_one():
    t5 = tiny()
    weights = t5.cross_attention([[3, 4, 5, 0]], [[0, 7]], [[1, 1, 1, 0]])
    assert weights.shape == (2, 1, 2, 2, 4)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, rtol=1e-6)
    assert (weights.numpy()[..., 3] == 0).all()


def test_recording_names_its_parts():
    t5 = tiny()
    with explain.record() as trace:
        t5.loss([[3, 4, 5]], [[7, 1]]).backward()
    ops = [step.op for step in trace.steps if step.phase == "forward"]
    assert ops.count("Attention") == 6 and ops.count("SoftmaxProjection") == 1


def test_dropout_acts_in_training_only():
    t5 = tiny(dropout_rate=0.5)
    ids, out = [[3, 4, 5]], [[0, 7]]
    a, b = t5.train()(ids, out).detach().numpy(), t5(ids, out).detach().numpy()
    assert not np.array_equal(a, b)
    a, b = t5.eval()(ids, out).detach().numpy(), t5(ids, out).detach().numpy()
    assert np.array_equal(a, b)


@pytest.mark.parametrize("kind, text, call", [
    (TypeError, "decoder_input_ids is missing", lambda t5: t5([[3, 4]])),
    (ShapeError, "batches differ: 2 and 1", lambda t5: t5([[3, 4]], [[0], [0]])),
    (ShapeError, r"\(batch, length\), got shape \(2,\)", lambda t5: t5([3, 4], [[0]])),
    (ShapeError, "attention_mask should be", lambda t5: t5([[3, 4]], [[0]], [[1, 1, 1]])),
    (ShapeError, "decoder_attention_mask should be", lambda t5: t5([[3, 4]], [[0]], None, [[1, 1]])),
    (ValueError, "1 for tokens and 0 for padding, got 7", lambda t5: t5([[3, 4]], [[0]], [[1, 7]])),
    (RangeError, "11", lambda t5: t5([[3, 11]], [[0]])),
    (RangeError, "-1", lambda t5: t5([[3, 4]], [[-1]])),
    (TypeError, "whole numbers", lambda t5: t5([[3.5, 4]], [[0]])),
    (ShapeError, "no token", lambda t5: t5(np.zeros((1, 0), int), [[0]])),
    (ValueError, "beams should be a whole number from 1", lambda t5: t5.generate([[3]], beams=0)),
    (ValueError, "max_new_tokens", lambda t5: t5.generate([[3]], max_new_tokens=-1)),
    (ValueError, "temperature should be", lambda t5: t5.generate([[3]], temperature="hot")),
    (ValueError, "top_p should be", lambda t5: t5.generate([[3]], top_p=2)),
    (ValueError, "choose one", lambda t5: t5.generate([[3]], temperature=1, beams=2)),
    (ValueError, "early_stopping", lambda t5: t5.generate([[3]], beams=2, early_stopping="often")),
    (TypeError, "eos should be", lambda t5: t5.generate([[3]], eos=[1.5])),
    (RangeError, "label 11 is outside", lambda t5: t5.loss([[3, 4]], [[1, 11]])),
    (RangeError, "label -5 is outside", lambda t5: t5.loss([[3, 4]], [[-5, 1]])),
    (ShapeError, "memory should be", lambda t5: t5.decode([[0]], minitorch.zeros(3, 6))),
    (RuntimeError, "encoder alone", lambda t5: tiny(is_encoder_decoder=False).generate([[3]])),
    (TypeError, "expected a T5Config", lambda t5: T5({"d_model": 3})),
])
def test_bad_input(kind, text, call):
    with pytest.raises(kind, match=text):
        call(tiny())


@pytest.mark.parametrize("changes, text", [
    ({"d_model": 0}, "d_model should be"), ({"feed_forward_proj": "gated-what"}, "dense_act_fn should be"),
    ({"feed_forward_proj": "half-gelu"}, "feed_forward_proj should be"), ({"dropout_rate": 2}, "dropout_rate"),
    ({"relative_attention_num_buckets": 3}, "4 or more"), ({"relative_attention_max_distance": 3}, "above relative"),
    ({"decoder_start_token_id": 11}, "decoder_start_token_id"), ({"num_decoder_layers": -1}, "num_decoder_layers"),
])
def test_bad_config(changes, text):
    with pytest.raises(ValueError, match=text):
        T5Config(**{**TINY, **changes})


def test_config_of_older_files():
    old = {"model_type": "t5", **TINY, "n_positions": 512, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    config = T5Config.from_dict(old)
    assert not config.scale_decoder_outputs and config.dense_act_fn == "gelu_new" and config.decoder_start_token_id == 0
    assert T5Config.from_dict({"hidden_size": 8, "num_layers": 3}).num_decoder_layers == 3
    assert T5Config.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="model_type is 'umt5'"):
        T5Config.from_dict({"model_type": "umt5"})


def test_broken_folders(tmp_path):
    for changes in ({}, {"tie_word_embeddings": False}):
        tiny(**changes).save_pretrained(tmp_path)
        weights = {name: np.array(array) for name, array in safetensors.read(tmp_path / "model.safetensors").items()}
        assert ("lm_head.weight" in weights) == bool(changes)
        for broken, name in (({**weights, "encoder.block.7.layer_norm.weight": np.ones(3, np.float32)}, "block.7"),
                             ({n: a for n, a in weights.items() if "decoder.block.1.layer.2" not in n}, "layer.2"),
                             ({**weights, "shared.weight": np.ones((11, 5), np.float32)}, "shared.weight"),
                             ({**weights, "decoder.embed_tokens.weight": np.ones((11, 6), np.float32)}, "embed_tokens"),
                             ({n: a for n, a in weights.items() if n != [*weights][-1]}, "weight")):
            safetensors.write(tmp_path / "model.safetensors", broken, None)
            with pytest.raises(CheckpointError) as error:
                T5.from_pretrained(tmp_path)
            assert name in error.value.tensor
        table = weights["shared.weight"]
        copies = {**weights, "encoder.embed_tokens.weight": table, "decoder.embed_tokens.weight": table,
                  "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": np.ones((6, 2), np.float32)}
        safetensors.write(tmp_path / "model.safetensors", copies, None)
        assert T5.from_pretrained(tmp_path)
    del copies["shared.weight"]
    safetensors.write(tmp_path / "model.safetensors", copies, None)
    assert np.array_equal(T5.from_pretrained(tmp_path).shared.weight.detach().numpy(), table)


@pytest.mark.parametrize("changes", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "d_kv": 5}])
@no_grad()
def test_a_token_in_plain_numpy_is_what_the_parts_compute(changes):
    t5 = tiny(**changes).eval()
    ids, written = np.array([[3, 4, 5], [5, 6, 0]]), np.random.default_rng(0).integers(0, 11, (2, 80))
    memory = t5.encode(ids, ids != 0)
    write, caches = t5.writer(ids != 0), [SearchCache(), SearchCache()]
    for t in range(80):                                     # past the first table of biases
        parts = t5.logits(t5.decode(from_numpy(written[:, t:t + 1]), memory, ids != 0, cache=caches[0])).numpy()[:, 0]
        if t == 0:
            t5.decode(from_numpy(written[:, :1]), memory, ids != 0, cache=caches[1])
        else:
            np.testing.assert_allclose(write(written[:, t], caches[1]), parts, rtol=1e-4, atol=1e-5)
    t5.decoder.block[0].register_forward_hook(lambda *_: None)
    assert t5.writer(ids != 0) is None                      # somebody looks on: the parts run
    assert tiny().writer(np.array([[True], [False]])) is None

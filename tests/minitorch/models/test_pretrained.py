"""Configs and folders of models: round trips, and whatever does not fit is named."""

import json

import numpy as np
import pytest
from hugging_face import back_again, saved, transformers

import minitorch
from minitorch.errors import CheckpointError
from minitorch.io import safetensors
from minitorch.models import BERT, GPT, T5, BERTConfig, GPTConfig, Llama
from minitorch.models.pretrained import ACTIVATIONS, FUSED, activation

IDS = [[5, 3, 1]]


@pytest.fixture
def folder(tmp_path):
    """A saved GPT, to be broken."""
    GPT(GPTConfig.preset("tiny")).save_pretrained(tmp_path)
    return tmp_path


def change(folder, tensors=lambda t: t, **config):
    """Write the folder's weights and config again, otherwise."""
    weights = {name: np.array(array) for name, array in safetensors.read(folder / "model.safetensors").items()}
    safetensors.write(folder / "model.safetensors", tensors(weights), {"format": "pt"})
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **config}))


# ---- round trips -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, config", [(GPT, GPTConfig.preset("tiny")), (BERT, BERTConfig.preset("tiny", num_labels=3)),
                                          (GPT, GPTConfig.preset("tiny", tie_word_embeddings=False, n_inner=7))], ids=str)
def test_there_and_back_bit_by_bit(kind, config, tmp_path):
    model = kind(config)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    again = kind.from_pretrained(tmp_path)
    assert not again.training and type(again.config) is type(config)
    assert {**again.config.to_dict(), "architectures": 0, "dtype": 0} == {**config.to_dict(), "architectures": 0, "dtype": 0}
    assert all(np.array_equal(p.data, q.data) for p, q in zip(again.parameters(), model.parameters(), strict=True))
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["model_type"] == config.model_type and content["dtype"] == "float32"


def test_what_else_stood_in_config_json_is_kept(folder):
    change(folder, task_specific_params={"x": [1]}, n_ctx=64, summary_type="first")
    gpt = GPT.from_pretrained(folder)
    gpt.save_pretrained(folder / "again")
    assert json.loads((folder / "again" / "config.json").read_text()) == json.loads((folder / "config.json").read_text())


def test_names_with_the_prefix_and_without(folder):
    expected = GPT.from_pretrained(folder)(IDS).detach().numpy()
    change(folder, lambda t: {name.removeprefix("transformer."): array for name, array in t.items()})
    assert np.array_equal(GPT.from_pretrained(folder)(IDS).detach().numpy(), expected)


def test_tied_weights_are_stored_once_and_found_under_either_name_or_both(folder):
    assert "lm_head.weight" not in safetensors.read(folder / "model.safetensors")
    expected = GPT.from_pretrained(folder)(IDS).detach().numpy()
    change(folder, lambda t: {**t, "lm_head.weight": t["transformer.wte.weight"]})
    assert np.array_equal(GPT.from_pretrained(folder)(IDS).detach().numpy(), expected)
    change(folder, lambda t: {name: a for name, a in t.items() if name != "transformer.wte.weight"})
    assert np.array_equal(GPT.from_pretrained(folder)(IDS).detach().numpy(), expected)


@pytest.mark.parity
def test_two_different_tables_are_not_tied_whatever_the_config_says(folder):
    library = transformers()
    import torch
    change(folder, lambda t: {**t, "lm_head.weight": t["transformer.wte.weight"][::-1]})
    gpt, theirs = GPT.from_pretrained(folder), back_again(library.GPT2LMHeadModel, folder)
    assert not gpt.config.tie_word_embeddings
    assert np.abs(gpt(IDS).detach().numpy() - theirs(torch.tensor(IDS)).logits.detach().numpy()).max() < 1e-5


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["GPT2", "Bert"])
def test_hugging_faces_config_reads_as_it_was_meant(kind, tmp_path):
    """Its config.json leaves out what has the default; so the defaults must be the same."""
    library = transformers()
    defaults = getattr(library, kind + "Config")()
    defaults.save_pretrained(tmp_path)
    ours = {"GPT2": GPTConfig, "Bert": BERTConfig}[kind].from_dict(json.loads((tmp_path / "config.json").read_text()))
    bare = type(ours)()
    for name, value in vars(bare).items():
        if name not in ("extra", "num_labels"):
            assert getattr(defaults, name) == value == getattr(ours, name), name


@pytest.mark.parity
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_hugging_faces(name):
    transformers()
    from transformers.activations import ACT2FN
    x = np.linspace(-12, 12, 97)
    import torch
    a, b = torch.tensor(x, requires_grad=True), minitorch.tensor(x, requires_grad=True)
    theirs, ours = ACT2FN[name](a), activation(name)(b)
    tolerance = 1e-9 if name in ("gelu_fast", "laplace") else 1e-12
    assert np.abs(theirs.detach().numpy() - ours.detach().numpy()).max() < tolerance
    theirs.sum().backward()
    ours.sum().backward()
    inside = np.abs(np.abs(x) % 3) > 0.01                   # at a kink, either slope is right
    assert np.abs(a.grad.numpy() - b.grad.numpy())[inside].max() < tolerance


def test_the_fused_activations_are_the_same_functions():
    x = minitorch.tensor(np.linspace(-5, 5, 31)[:, None])
    one = minitorch.ones(1, 1, dtype=minitorch.float64)
    for name, fused in FUSED.items():
        y = minitorch.nn.functional.feed_forward(x, one, None, one, None, fused)
        assert np.abs((y - activation(name)(x)).numpy()).max() < 1e-14


@pytest.mark.parity
def test_a_config_with_other_names_for_its_fields(tmp_path):
    library = transformers()
    config = {"vocab_size": 31, "max_position_embeddings": 9, "hidden_size": 8, "num_attention_heads": 2,
              "num_hidden_layers": 1}
    saved(library.GPT2LMHeadModel(library.GPT2Config(**config)), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", **config}))
    assert GPT.from_pretrained(tmp_path).config.n_positions == 9


# ---- what does not fit -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("tensors, name, text", [
    (lambda t: {n: a for n, a in t.items() if "h.1.ln_2.bias" not in n}, "transformer.h.1.ln_2.bias", "missing"),
    (lambda t: {n: a for n, a in t.items() if ".h." not in n}, "transformer.h.0.ln_1.weight", "and 23 more"),
    (lambda t: {**t, "transformer.h.2.ln_1.weight": np.ones(32, "f")}, "transformer.h.2.ln_1.weight", "unexpected"),
    (lambda t: {**t, "score.weight": np.ones((2, 32), "f")}, "score.weight", "unexpected"),
    (lambda t: {**t, "transformer.ln_f.weight": np.ones(31, "f")}, "transformer.ln_f.weight", r"\(31,\).*\(32,\)"),
    (lambda t: {**t, "transformer.wte.weight": np.ones((32, 65), "f")}, "transformer.wte.weight", "transposed"),
    (lambda t: {**t, "transformer.ln_f.weight": np.ones(32, int)}, "transformer.ln_f.weight", "int64"),
    (lambda t: {}, "transformer.wte.weight", "missing"),
])
def test_weights_that_do_not_fit_are_named(folder, tensors, name, text):
    change(folder, tensors)
    with pytest.raises(CheckpointError, match=text) as error:
        GPT.from_pretrained(folder)
    assert error.value.tensor == name


@pytest.mark.parametrize("model, field", [
    *((GPT, field) for field in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_inner")),
    *((BERT, field) for field in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "type_vocab_size")),
    *((T5, field) for field in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads",
                                "relative_attention_num_buckets")),
    *((Llama, field) for field in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim")),
])
def test_a_config_that_asks_for_a_giant_is_refused_before_it_is_made(tmp_path, model, field):
    model(model.config_class.preset("tiny")).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, field: 10**9, "relative_attention_max_distance": 10**10}))
    with pytest.raises(CheckpointError, match=f"config.json (asks for|says {field}=1000000000)"):
        model.from_pretrained(tmp_path)


@pytest.mark.parametrize("config, text", [
    ({"model_type": "bert"}, "another kind"), ({"n_layer": 0}, "n_layer should be a whole number above 0, got 0"),
    ({"n_layer": "2"}, "n_layer"), ({"n_layer": 2.0}, "n_layer"), ({"n_layer": True}, "n_layer"),
    ({"n_layer": None}, "n_layer"),
    ({"n_head": 5}, "divisible by n_head=5"), ({"n_inner": -1}, "n_inner"), ({"vocab_size": -3}, "vocab_size"),
    ({"activation_function": "gelu_neu"}, "activation_function should be one of"), ({"resid_pdrop": 1.5}, "resid_pdrop"),
    ({"layer_norm_epsilon": -1e-5}, "layer_norm_epsilon"), ({"layer_norm_epsilon": None}, "layer_norm_epsilon"),
    ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"), ({"add_cross_attention": True}, "add_cross_attention=True"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"), ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
])
def test_configs_that_do_not_fit_are_named(folder, config, text):
    change(folder, **config)
    with pytest.raises(CheckpointError, match=text) as error:
        GPT.from_pretrained(folder)
    assert error.value.path.endswith("config.json") and error.value.tensor is None


@pytest.mark.parametrize("settings, text", [
    ({"hidden_size": 33}, "divisible"), ({"hidden_act": "prelu"}, "hidden_act"), ({"pad_token_id": 100}, "pad_token_id"),
    ({"num_labels": 0}, "num_labels"), ({"classifier_dropout": 2}, "classifier_dropout"),
    ({"type_vocab_size": 0}, "type_vocab"),
])
def test_berts_bad_values_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        BERTConfig.preset("tiny", **settings)


@pytest.mark.parametrize("changes", [{"position_embedding_type": "relative_key"}, {"is_decoder": True},
                                     {"add_cross_attention": True}])
def test_bert_refuses_what_would_change_the_numbers(changes):
    with pytest.raises(NotImplementedError, match=next(iter(changes))):
        BERTConfig.from_dict({"model_type": "bert", **changes})


def test_mistakes_of_the_caller(folder):
    with pytest.raises(TypeError, match="no field 'layers'"):
        GPT.from_pretrained(folder, layers=3)
    with pytest.raises(TypeError, match="expected a GPTConfig, got dict"):
        GPT({"n_layer": 2})
    with pytest.raises(ValueError, match="'tiny', 'base', 'large'"):
        GPTConfig.preset("small")
    with pytest.raises(CheckpointError, match="nothing is downloaded"):
        GPT.from_pretrained("gpt2")
    with pytest.raises(CheckpointError, match="another kind"):
        BERT.from_pretrained(folder)
    with pytest.raises(ValueError, match="quick_gelu"):
        activation("quick")


def test_fields_may_be_changed_while_loading(folder):
    gpt = GPT.from_pretrained(folder, attn_pdrop=0.5, activation_function="relu")
    assert gpt.config.attn_pdrop == 0.5 and gpt.h[0].mlp.activation == "relu"

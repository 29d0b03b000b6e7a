"""Llama against transformers at odd sizes; its cache, its config, its GGUF files; SmolLM2 where it is installed."""

import gguf_files
import numpy as np
import pytest

import minitorch
from minitorch.errors import CheckpointError
from minitorch.io import gguf
from minitorch.models import Llama, LlamaConfig, llama_gguf

TINY = {"vocab_size": 37, "hidden_size": 20, "intermediate_size": 27, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 48, "bos_token_id": 0, "eos_token_id": 36}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}

VARIANTS = {
    "plain": {},
    "grouped heads": {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 24},
    "one key head": {"num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 6},
    "wide heads": {"head_dim": 14, "num_key_value_heads": 1},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True, "num_hidden_layers": 3},
    "theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "rms_norm_eps": 1e-3},
    "linear scaling": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 2.5}},
    "llama3 scaling": {"rope_parameters": {**LLAMA3, "rope_theta": 300.0}},
    "dynamic scaling": {"max_position_embeddings": 9, "head_dim": 4,
                        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 30.0, "factor": 4.0}},
    "gelu": {"hidden_act": "gelu", "num_hidden_layers": 1},
    "relu, sharded": {"hidden_act": "relu"},
    "padding": {"pad_token_id": 6},                             # an embedding that learns nothing; 6 is among the ids
    "tied padding": {"pad_token_id": 6, "tie_word_embeddings": True},
}


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A tiny random Llama of each kind, saved by transformers: name -> (their model, folder)."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = {}

    def make(name):
        if name not in made:
            torch.manual_seed(len(name))
            config = transformers.LlamaConfig(**{**TINY, **VARIANTS[name]})
            theirs = transformers.LlamaForCausalLM(config).eval()
            with torch.no_grad():
                for p in theirs.parameters():                   # norms away from 1, biases away from 0, logits spread
                    p.copy_(torch.randn_like(p) * (0.1 if p.ndim == 2 else 0.4) + (p.ndim == 1 and p.mean().item()))
            folder = tmp_path_factory.mktemp("llama")
            theirs.save_pretrained(folder, **({"max_shard_size": "8KB"} if "sharded" in name else {}))
            made[name] = theirs, folder
        return made[name]

    return make


def some_ids(batch=3, length=11, seed=0):
    return np.random.default_rng(seed).integers(0, 36, (batch, length))


@pytest.mark.parity
@pytest.mark.parametrize("name", VARIANTS)
def test_logits_and_every_gradient(hugging_face, torch, name):
    theirs, folder = hugging_face(name)
    ours = Llama.from_pretrained(folder)
    ids = some_ids()
    mask = np.ones_like(ids)
    mask[1, 8:] = 0                                             # padding on the right
    logits = ours(ids, mask)
    expected = theirs(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
    real = mask.astype(bool)
    np.testing.assert_allclose(logits.detach().numpy()[real], expected.detach().numpy()[real], atol=1e-4, rtol=0)

    weight = np.random.default_rng(1).normal(size=logits.shape).astype(np.float32) * mask[:, :, None]
    (logits * minitorch.tensor(weight)).sum().backward()
    (expected * torch.from_numpy(weight)).sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    assert {ours.file_name(n) for n, _ in ours.named_parameters()} == set(gradients)
    for own, p in ours.named_parameters():
        grad = gradients[ours.file_name(own)].numpy()
        np.testing.assert_allclose(p.grad.numpy(), grad, atol=2e-5 * np.abs(grad).max() + 1e-5, rtol=0, err_msg=own)


@pytest.mark.parity
@pytest.mark.parametrize("name", VARIANTS)
def test_greedy_token_for_token(hugging_face, torch, name):
    theirs, folder = hugging_face(name)
    ours = Llama.from_pretrained(folder)
    ids = some_ids(2, 5, seed=2)
    expected = theirs.generate(torch.from_numpy(ids), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    np.testing.assert_array_equal(ours.generate(ids, 12, temperature=0, eos=None).numpy(), expected.numpy())
    np.testing.assert_array_equal(ours.generate(ids, 12, temperature=0, eos=None, use_cache=False).numpy(), expected.numpy())


@pytest.mark.parity
def test_left_padding_when_generating(hugging_face, torch):
    theirs, folder = hugging_face("grouped heads")
    ids, mask = some_ids(3, 7, seed=3), np.ones((3, 7), np.int64)
    mask[0, :4] = mask[2, :1] = 0
    expected = theirs.generate(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), max_new_tokens=9,
                               do_sample=False, eos_token_id=None, pad_token_id=0)
    got = Llama.from_pretrained(folder).generate(ids, 9, temperature=0, eos=None, attention_mask=mask)
    np.testing.assert_array_equal(got.numpy(), expected.numpy())


@pytest.mark.parity
def test_loss_is_theirs(hugging_face, torch):
    theirs, folder = hugging_face("biases")
    ids = some_ids()
    expected = theirs(torch.from_numpy(ids), labels=torch.from_numpy(ids)).loss.item()
    assert Llama.from_pretrained(folder).loss(ids).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["plain", "tied", "biases", "theta", "linear scaling", "llama3 scaling", "dynamic scaling"])
def test_saved_and_read_back_by_transformers(hugging_face, torch, tmp_path, name):
    transformers = pytest.importorskip("transformers")
    folder = hugging_face(name)[1]
    Llama.from_pretrained(folder).save_pretrained(tmp_path)
    theirs, back = (transformers.AutoModelForCausalLM.from_pretrained(f).eval() for f in (folder, tmp_path))
    assert type(back).__name__ == "LlamaForCausalLM"
    ids = torch.from_numpy(some_ids())
    np.testing.assert_array_equal(back(ids).logits.detach().numpy(), theirs(ids).logits.detach().numpy())
    again = Llama.from_pretrained(tmp_path)
    assert again.config.rope_scaling == Llama.from_pretrained(folder).config.rope_scaling


@pytest.mark.parity
def test_half_precision_and_names_without_prefix(hugging_face, torch, tmp_path):
    """A folder of the base model, in bfloat16: no head in the file, so a tied one; float32 after reading."""
    theirs, _ = hugging_face("tied")
    theirs.model.to(torch.bfloat16).save_pretrained(tmp_path)
    theirs.model.float()
    ours = Llama.from_pretrained(tmp_path)
    assert ours.dtype == np.float32
    got = ours.embed_tokens.weight.detach().numpy()
    expected = theirs.model.embed_tokens.weight.detach().to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(got, expected)


# ---------------------------------------------------------------------------------------------------------------------
# by itself

def tiny(seed=0, **changes):
    minitorch.manual_seed(seed)
    return Llama(LlamaConfig.preset("tiny", **changes)).eval()


def test_the_cache_changes_nothing():
    from minitorch.models.generation import KVCache

    llama, ids, cache = tiny(), some_ids(2, 9), KVCache()
    whole = llama(ids).detach().numpy()
    parts = [llama(ids[:, a:b], cache=cache).detach().numpy() for a, b in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
                                     {"num_key_value_heads": 4, "head_dim": 6, "tie_word_embeddings": True},
                                     {"rope_scaling": LLAMA3, "hidden_act": "gelu", "rms_norm_eps": 0.1}])
def test_the_plain_decoder_computes_what_forward_does(changes):
    from minitorch.models.generation import KVCache

    llama, ids = tiny(**changes), some_ids(3, 9)
    for _, p in llama.named_parameters():
        p.data[...] += 0.3 * np.random.default_rng(p.numel()).normal(size=p.shape)
    step, cache, mask = llama.decoder(), KVCache(), np.ones((3, 9), bool)
    mask[1, :2] = False                                         # padding on the left; positions count tokens only
    positions = np.maximum(np.cumsum(mask, 1) - 1, 0)
    with minitorch.no_grad():
        whole = llama(ids, mask, minitorch.tensor(positions)).numpy()
        llama(ids[:, :5], mask[:, :5], minitorch.tensor(positions[:, :5]), cache)
    for t in range(5, 9):
        got = step(ids[:, t], positions[:, t], mask[:, :t + 1], cache)
        np.testing.assert_allclose(got, whole[:, t], atol=2e-5, rtol=1e-5)
    cache = KVCache()
    llama(ids[:, :8], cache=cache)
    np.testing.assert_allclose(step(ids[:, 8], 8, None, cache), llama(ids).detach().numpy()[:, 8], atol=2e-5, rtol=1e-5)


def test_the_plain_decoder_steps_aside():
    llama = tiny()
    assert llama.decoder() is not None
    handle = llama.layers[0].mlp.register_forward_hook(lambda module, given, y: None)
    assert llama.decoder() is None
    handle.remove()
    llama.layers[1].mlp = minitorch.nn.Identity()
    assert llama.decoder() is None


def test_nobody_sees_the_future_or_padding():
    llama, ids = tiny(), some_ids(2, 9)
    whole = llama(ids).detach().numpy()
    changed = ids.copy()
    changed[:, 6:] = 1
    np.testing.assert_array_equal(llama(changed).detach().numpy()[:, :6], whole[:, :6])
    mask = np.ones_like(ids)
    mask[0, 2] = 0
    changed = ids.copy()
    changed[0, 2] = 7
    keep = mask.astype(bool)
    np.testing.assert_array_equal(llama(changed, mask).detach().numpy()[keep], llama(ids, mask).detach().numpy()[keep])


def test_it_learns():
    llama, ids = tiny().train(), np.arange(12)[None] % 5
    adam = minitorch.optim.AdamW(llama.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        adam.zero_grad()
        loss = llama.loss(ids)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[0] > 3.5 and losses[-1] < 0.5
    assert llama.generate([[0, 1, 2]], 4, temperature=0).numpy().tolist() == [[0, 1, 2, 3, 4, 0, 1]]


def test_loading_draws_no_random_numbers(tmp_path):
    tiny().save_pretrained(tmp_path)
    minitorch.manual_seed(5)
    expected = minitorch.rand(3).numpy()
    minitorch.manual_seed(5)
    Llama.from_pretrained(tmp_path)
    np.testing.assert_array_equal(minitorch.rand(3).numpy(), expected)
    assert abs(tiny().embed_tokens.weight.std().item() - 0.02) < 0.002


@pytest.mark.parametrize("changes, message", [
    ({"hidden_size": 33}, "hidden_size should be divisible by num_attention_heads=4"),
    ({"num_key_value_heads": 3}, "num_attention_heads should be divisible by num_key_value_heads=3"),
    ({"head_dim": 7}, "head_dim should be even"),
    ({"rope_theta": 0}, "rope_theta should be a number above 0"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "'yarn' is not supported"),
    ({"rope_scaling": "linear"}, "rope_scaling should be None or a dict"),
    ({"hidden_act": "swiglu"}, "hidden_act should be one of"),
    ({"num_hidden_layers": 0}, "num_hidden_layers should be a whole number above 0"),
    ({"attention_bias": 1}, "attention_bias should be true or false"),
    ({"pad_token_id": 65}, "pad_token_id should be None or an id below 65"),
])
def test_bad_configs(changes, message):
    with pytest.raises(ValueError, match=message):
        LlamaConfig.preset("tiny", **changes)


@pytest.mark.parametrize("content, message", [
    ({"model_type": "gpt2"}, "model_type is 'gpt2'"),
    ({"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}, "'longrope' is not supported"),
    ({"rope_parameters": {"rope_type": "dynamic"}}, "needs a positive number 'factor'"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ({"rope_parameters": [1]}, "rope_parameters should be an object"),
    ({"sliding_window": 4096}, "sliding_window"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"),
])
def test_unsupported_configs(content, message):
    with pytest.raises((ValueError, NotImplementedError), match=message):
        LlamaConfig.from_dict({**TINY, **content})


@pytest.mark.parametrize("rope, theta, scaling", [
    ({}, 10000.0, None),
    ({"rope_theta": 5e5}, 5e5, None),
    ({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}}, 5e5, {"type": "linear", "factor": 2}),
    ({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, 5e5, None),
    ({"rope_parameters": {**LLAMA3, "rope_theta": 5e5}}, 5e5, LLAMA3),
])
def test_old_and_new_ways_to_write_rope(rope, theta, scaling):
    config = LlamaConfig.from_dict({**TINY, **rope})
    assert (config.rope_theta, config.rope_scaling) == (theta, scaling)
    assert LlamaConfig.from_dict(config.to_dict()) == config


# ---------------------------------------------------------------------------------------------------------------------
# GGUF

THEIRS = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
          "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "up_proj": "ffn_up",
          "post_attention_layernorm": "ffn_norm", "gate_proj": "ffn_gate", "down_proj": "ffn_down"}


def as_gguf(llama):
    """Settings and tensors as llama.cpp writes them: rows of q and k sorted so that pairs are neighbours."""
    c, tensors = llama.config, {}
    for name, p in llama.named_parameters():
        parts, array = name.split("."), p.detach().numpy()
        heads = {"q_proj": c.num_attention_heads, "k_proj": c.num_key_value_heads}.get(parts[-2])
        if heads:
            array = array.reshape(heads, 2, c.head_dim // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        block = f"blk.{parts[1]}." if parts[0] == "layers" else ""
        tensors[f"{block}{THEIRS[parts[-2]]}.{parts[-1]}"] = np.ascontiguousarray(array)
    settings = {"general.architecture": "llama", "llama.block_count": c.num_hidden_layers,
                "llama.context_length": c.max_position_embeddings, "llama.embedding_length": c.hidden_size,
                "llama.feed_forward_length": c.intermediate_size, "llama.attention.head_count": c.num_attention_heads,
                "llama.attention.head_count_kv": c.num_key_value_heads, "llama.attention.key_length": c.head_dim,
                "llama.rope.freq_base": float(c.rope_theta), "llama.attention.layer_norm_rms_epsilon": 0.5,
                "tokenizer.ggml.eos_token_id": 3}
    return settings, tensors


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": True}, {"head_dim": 10}, {"attention_bias": True}])
def test_from_gguf(tmp_path, changes):
    llama = tiny(rms_norm_eps=0.5, **changes)
    settings, tensors = as_gguf(llama)
    path = gguf_files.write(tmp_path / "model.gguf", settings, tensors)
    for place in (path, str(tmp_path)):
        again = Llama.from_pretrained(place)
        np.testing.assert_array_equal(again(some_ids()).detach().numpy(), llama(some_ids()).detach().numpy())
        assert again.config.eos_token_id == 3 and not again.training


def without(mapping, key):
    return {k: v for k, v in mapping.items() if k != key}


@pytest.mark.parametrize("change, message, tensor", [
    (lambda s, t: ({**s, "general.architecture": "gemma"}, t), "'gemma'; only 'llama'", None),
    (lambda s, t: (without(s, "llama.block_count"), t), "llama.block_count should be one number, got None", None),
    (lambda s, t: ({**s, "llama.embedding_length": "many"}, t), "should be one number, got 'many'", None),
    (lambda s, t: ({**s, "llama.attention.head_count": 0}, t), "cannot be shared by 0", "blk.0.attn_q.weight"),
    (lambda s, t: ({**s, "llama.rope.freq_base": -1.0}, t), "model.gguf: LlamaConfig: rope_theta should be", None),
    (lambda s, t: ({**s, "llama.attention.head_count_kv": 5}, t), "cannot be shared by 5 heads", "blk.0.attn_k.weight"),
    (lambda s, t: ({**s, "llama.rope.scaling.type": "yarn"}, t), "'none' and 'linear' are supported", None),
    (lambda s, t: ({**s, "llama.rope.dimension_count": 4}, t), "turning only some", None),
    (lambda s, t: (s, without(t, "token_embd.weight")), "missing", "token_embd.weight"),
    (lambda s, t: (s, without(t, "blk.1.ffn_up.weight")), "missing", "model.layers.1.mlp.up_proj.weight"),
    (lambda s, t: (s, {**t, "blk.0.ffn_gate_inp.weight": t["output_norm.weight"]}), "unexpected",
     "blk.0.ffn_gate_inp.weight"),
    (lambda s, t: (s, {**t, "blk.7.attn_norm.weight": t["output_norm.weight"]}), "unexpected",
     "model.layers.7.input_layernorm.weight"),
    (lambda s, t: (s, {**t, "output_norm.weight": np.ones(31, np.float32)}), "its shape is \\(31,\\)", "model.norm.weight"),
    (lambda s, t: (s, {**t, "rope_freqs.weight": np.ones(4, np.float32)}), "not supported", "rope_freqs.weight"),
])
def test_wrong_gguf(tmp_path, change, message, tensor):
    path = gguf_files.write(tmp_path / "model.gguf", *change(*as_gguf(tiny())))
    with pytest.raises(CheckpointError, match=message) as caught:
        Llama.from_pretrained(path)
    assert caught.value.tensor == tensor


def test_which_gguf(tmp_path):
    for name in "ab":
        gguf_files.write(tmp_path / f"{name}.gguf", *as_gguf(tiny()))
    with pytest.raises(CheckpointError, match="2 GGUF files: a.gguf, b.gguf"):
        Llama.from_pretrained(tmp_path)
    (tmp_path / "b.gguf").rename(tmp_path / "blob")             # known by its first letters, too
    assert llama_gguf.file_in(tmp_path / "blob") == tmp_path / "blob" and llama_gguf.file_in(tmp_path) == tmp_path / "a.gguf"
    tiny().save_pretrained(tmp_path)                            # config.json decides
    assert llama_gguf.file_in(tmp_path) is None
    assert list(gguf.read(tmp_path / "a.gguf")[1])[0] == "token_embd.weight"

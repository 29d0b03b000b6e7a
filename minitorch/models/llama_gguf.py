"""A Llama in a GGUF file: llama.cpp's names of settings and weights, under Hugging Face's.

With this file one can

- find the file             ``file_in(path)``
- read it                   ``read(file)``: what config.json would say, and the weights, unpacked when looked up
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.errors import CheckpointError
from minitorch.io import gguf

__all__ = ["file_in", "read"]

SETTINGS = {  # of config.json: in the file, behind "llama."
    "hidden_size": "embedding_length", "intermediate_size": "feed_forward_length", "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length", "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base",
}
OPTIONAL = {"num_key_value_heads", "head_dim", "rope_theta"}
TOKENS = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id": "padding_token_id"}

WEIGHTS = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def file_in(path: Path) -> Path | None:
    """The GGUF file that a path means: itself, or the only one in a folder without config.json; None: it means none."""
    path = Path(path)
    if path.suffix.lower() == ".gguf" or path.is_file() and _begins(path) == b"GGUF":
        return path
    if not path.is_dir() or (path / "config.json").exists():
        return None
    files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".gguf")
    if len(files) > 1:
        names = ", ".join(p.name for p in files[:5])
        raise CheckpointError(path, None, f"it holds {len(files)} GGUF files: {names}. Give the path of one.")
    return files[0] if files else None


def _begins(path) -> bytes:
    with open(path, "rb") as file:
        return file.read(4)


def read(path: Path) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """What config.json would say, and the weights under Hugging Face's names."""
    metadata, tensors = gguf.read(path)
    kind = metadata.get("general.architecture")
    if kind != "llama":
        raise CheckpointError(path, None, f"general.architecture is {kind!r}; only 'llama' is read")
    config = {"model_type": "llama", **_settings(path, metadata)}
    shapes = tensors.shapes
    if "token_embd.weight" not in shapes:
        raise CheckpointError(path, "token_embd.weight", "missing: the table of the vocabulary")
    if "rope_freqs.weight" in shapes:
        raise CheckpointError(path, "rope_freqs.weight", "a table that slows positions down (Llama 3.1) is not supported. "
                              "Take the model as a Hugging Face folder, whose config.json says how it was made.")
    config["vocab_size"] = shapes["token_embd.weight"][0]
    config["tie_word_embeddings"] = "output.weight" not in shapes
    config["attention_bias"], config["mlp_bias"] = "blk.0.attn_q.bias" in shapes, "blk.0.ffn_up.bias" in shapes
    return config, _Weights(path, tensors, config)


def _settings(path, metadata) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, key in SETTINGS.items():
        value = metadata.get("llama." + key)
        if value is None and name in OPTIONAL:
            continue
        if not isinstance(value, (int, float)):
            raise CheckpointError(path, None, f"the setting llama.{key} should be one number, got {value!r}")
        found[name] = value
    scaling = metadata.get("llama.rope.scaling.type", "none")
    if scaling == "linear":
        found["rope_scaling"] = {"rope_type": "linear", "factor": metadata.get("llama.rope.scaling.factor")}
    elif scaling != "none":
        raise CheckpointError(path, None, f"llama.rope.scaling.type is {scaling!r}; 'none' and 'linear' are supported")
    heads = found["num_attention_heads"]
    size = found.get("head_dim") or found["hidden_size"] // heads if heads else 0
    turned = metadata.get("llama.rope.dimension_count", size)
    if turned != size:
        raise CheckpointError(path, None, f"llama.rope.dimension_count is {turned}, but a head has {size} features: turning "
                              "only some of them is not supported")
    for name, key in TOKENS.items():
        found[name] = metadata.get("tokenizer.ggml." + key)
    return found


class _Weights(Mapping):
    """The file's tensors under Hugging Face's names."""

    def __init__(self, path, tensors, config):
        self.tensors = tensors
        self.names = {_hugging_face_name(name): name for name in tensors}
        self.heads = {"attn_q": config["num_attention_heads"],
                      "attn_k": config.get("num_key_value_heads", config["num_attention_heads"])}
        for name in tensors:
            heads, rows = self.heads.get(_part(name)), tensors.shapes[name][0]
            if heads is not None and (heads < 1 or rows % (2 * heads)):
                raise CheckpointError(path, name, f"its {rows} rows cannot be shared by {heads} heads, in pairs")

    def __getitem__(self, name: str) -> np.ndarray:
        theirs = self.names[name]
        heads = self.heads.get(_part(theirs))
        return self.tensors[theirs] if heads is None else _pairs_apart(self.tensors[theirs], heads)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _pairs_apart(weight, heads):
    """From llama.cpp's order of rows to Hugging Face's, head by head.

    Rotary positions turn pairs of features. llama.cpp has the two of a pair next to each other, a₀ b₀ a₁ b₁ ...; here
    they stand half a head apart, a₀ a₁ ... b₀ b₁ .... Its converter sorts the rows of the query and key projections for
    that, and this undoes it. (Values are not turned, and not sorted.)
    """
    rows, *rest = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, *rest).swapaxes(1, 2).reshape(weight.shape)


def _part(name: str) -> str:
    return name.split(".")[-2] if "." in name else ""


def _hugging_face_name(name: str) -> str:
    """blk.3.attn_q.weight → model.layers.3.self_attn.q_proj.weight; an unknown name stays, and is refused later."""
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if not found or found[2] not in WEIGHTS:
        return name
    return (f"model.layers.{found[1]}." if found[1] else "") + f"{WEIGHTS[found[2]]}.{found[3]}"

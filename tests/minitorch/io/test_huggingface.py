"""Folders: one file or several, what is written is what is read, and whatever is broken is named."""

import json

import numpy as np
import pytest

from minitorch.errors import CheckpointError
from minitorch.io import safetensors
from minitorch.io.huggingface import read_config, read_weights, write_folder

TENSORS = {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.ones((5,)), "c": np.zeros((0, 2), np.float32),
           "d": np.float32(3.5).reshape(()), "e": np.arange(100, dtype=np.float16)[::3]}


@pytest.mark.parametrize("most, files", [(None, 1), ("1GB", 1), (1, 5), ("60", 3), ("0.1 KB", 2), ("1KiB", 1)])
def test_what_is_written_is_read_again(tmp_path, most, files):
    write_folder(tmp_path / "new" / "model", {"model_type": "x", "word": "Ünïcode", "list": [1, None]}, TENSORS, most)
    folder = tmp_path / "new" / "model"
    found = sorted(p.name for p in folder.glob("*.safetensors"))
    assert len(found) == files and (found == ["model.safetensors"]) == (files == 1)
    assert read_config(folder) == {"model_type": "x", "word": "Ünïcode", "list": [1, None]}
    weights = read_weights(folder)
    assert set(weights) == set(TENSORS) and len(weights) == 5
    for name, array in TENSORS.items():
        assert weights[name].dtype == array.dtype and np.array_equal(weights[name], array)
    if files > 1:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(a.nbytes for a in TENSORS.values())
        assert set(index["weight_map"].values()) == set(found)
    assert all(safetensors.read(folder / name).metadata == {"format": "pt"} for name in found)


def test_writing_again_leaves_nothing_of_the_old(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    for most in (1, None, 60, 1, None):
        write_folder(tmp_path, {"most": most}, {"x": np.full(3, most or 0), **TENSORS}, most)
        assert read_weights(tmp_path)["x"][0] == (most or 0) and read_config(tmp_path) == {"most": most}
        assert (tmp_path / "model.safetensors").exists() == (most is None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_shard_is_opened_when_it_is_needed(tmp_path):
    write_folder(tmp_path, {}, TENSORS, max_shard_size=1)
    weights = read_weights(tmp_path)
    (tmp_path / "model-00001-of-00005.safetensors").write_bytes(b"broken")
    assert np.array_equal(weights["b"], TENSORS["b"])
    with pytest.raises(CheckpointError):
        weights["a"]


@pytest.mark.parametrize("size", ["", "big", "-1", "0", "5 XB", "1e3", True, b"5MB"])
def test_sizes_that_are_none(tmp_path, size):
    with pytest.raises(ValueError, match="max_shard_size"):
        write_folder(tmp_path, {}, TENSORS, max_shard_size=size)


def test_folders_that_are_none(tmp_path):
    (tmp_path / "file").write_text("")
    for read in (read_config, read_weights):
        with pytest.raises(CheckpointError, match="nothing is downloaded here"):
            read("gpt2")
        with pytest.raises(CheckpointError, match="this is a file"):
            read(tmp_path / "file")
    with pytest.raises(CheckpointError, match="this is a file"):
        write_folder(tmp_path / "file", {}, {})
    with pytest.raises(CheckpointError, match="config.json: no such file"):
        read_config(tmp_path)
    with pytest.raises(CheckpointError, match="no such file.*There are: file"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_pickles_are_refused_with_the_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04N.")
    with pytest.raises(CheckpointError, match="save_pretrained") as error:
        read_weights(tmp_path)
    assert error.value.path.endswith(name) and error.value.tensor is None
    with pytest.raises(CheckpointError, match="save_pretrained"):       # the file itself, instead of its folder
        read_config(tmp_path / name)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\xff", "{'a': 1}", "[" * 100_000])
def test_configs_that_are_no_json_object(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match="config.json"):
        read_config(tmp_path)


@pytest.mark.parametrize("index, text", [
    ({}, "weight_map"), ({"weight_map": []}, "weight_map"), ({"weight_map": {}}, "weight_map"),
    ({"weight_map": {"a": 3}}, "its file is given as 3"),
    ({"weight_map": {"a": "../secret.safetensors"}}, "same folder"),
    ({"weight_map": {"a": "/etc/passwd"}}, "same folder"),
    ({"weight_map": {"a": "pytorch_model.bin"}}, "same folder"),
    ({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}, "complete"),
    ({"weight_map": {"a": "model-00001-of-00002.safetensors", "zz": "model-00001-of-00002.safetensors"}}, "'zz'.*lies here"),
])
def test_an_index_that_is_wrong(tmp_path, index, text):
    safetensors.write(tmp_path / "model-00001-of-00002.safetensors", {"a": TENSORS["a"]}, None)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=text):
        weights = read_weights(tmp_path)
        [weights[name] for name in weights]


def test_a_tensor_that_is_not_there_is_a_key_error(tmp_path):
    for most in (None, 1):
        write_folder(tmp_path, {}, TENSORS, most)
        with pytest.raises(KeyError):
            read_weights(tmp_path)["nothing"]
        assert "nothing" not in read_weights(tmp_path)

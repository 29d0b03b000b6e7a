"""Hugging Face folders: ``config.json`` beside ``model.safetensors``, or beside several shards and their index.

With this file one can

- read what describes a model     ``read_config(folder)``
- read its weights                ``read_weights(folder)``: names and NumPy arrays, loaded one by one when asked for
- write both                      ``write_folder(folder, config, tensors)``: what ``transformers`` reads back

Nothing is downloaded here: a folder is a path on this machine.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitorch.errors import CheckpointError
from minitorch.io import safetensors
from minitorch.io.atomic import replacing

__all__ = ["read_config", "read_weights", "write_folder"]

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def read_config(folder: str | os.PathLike) -> dict[str, Any]:
    """What ``config.json`` says about the model.

    >>> import tempfile
    >>> from minitorch.io.huggingface import read_config, write_folder
    >>> folder = tempfile.mkdtemp()
    >>> write_folder(folder, {"model_type": "gpt2", "n_layer": 2}, {"wte.weight": np.eye(2)})
    >>> read_config(folder)
    {'model_type': 'gpt2', 'n_layer': 2}
    """
    return _read_json(_folder(folder) / CONFIG, "Every Hugging Face folder has one. Is this the model's own folder?")


def read_weights(folder: str | os.PathLike) -> Mapping[str, np.ndarray]:
    """The weights by name, from ``model.safetensors`` or from the shards that its index lists.

    Pickles (``pytorch_model.bin``, ``.pt``) are refused: reading one can run any program that somebody put in it.
    """
    folder = _folder(folder)
    if (folder / WEIGHTS).is_file():
        return safetensors.read(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _Shards(folder)
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
    if pickles:
        raise _pickle(folder / pickles[0])
    raise CheckpointError(folder / WEIGHTS, None, f"no such file, and no {INDEX} either. There are: "
                          + (", ".join(sorted(p.name for p in folder.iterdir())[:10]) or "no files"))


def write_folder(folder: str | os.PathLike, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray],
                 max_shard_size: int | str | None = None) -> None:
    """Write ``config.json`` and the weights; in several files if they are larger than ``max_shard_size`` ("200MB").

    Each file appears whole or not at all. Weights that were there before under other names are taken away last.

    >>> import tempfile
    >>> from minitorch.io.huggingface import read_weights, write_folder
    >>> folder = tempfile.mkdtemp()
    >>> write_folder(folder, {"model_type": "gpt2"}, {"a": np.eye(2), "b": np.eye(3)}, max_shard_size=64)
    >>> weights = read_weights(folder)
    >>> sorted(weights), weights["b"].shape
    (['a', 'b'], (3, 3))
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(folder, None, "this is a file; give a folder to write a model into")
    folder.mkdir(parents=True, exist_ok=True)
    shards = _split(tensors, _size(max_shard_size))
    names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)] \
        if len(shards) > 1 else [WEIGHTS]
    for name, shard in zip(names, shards):
        safetensors.write(folder / name, shard, {"format": "pt"})
    if len(shards) > 1:
        places = {tensor: name for name, shard in zip(names, shards) for tensor in shard}
        size = sum(array.nbytes for array in tensors.values())
        _write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))})
    _write_json(folder / CONFIG, config)
    keep = {*names, *([INDEX] if len(shards) > 1 else [])}
    for path in folder.iterdir():
        if (path.name in (WEIGHTS, INDEX) or SHARD.fullmatch(path.name)) and path.name not in keep:
            path.unlink()


# ---------------------------------------------------------------------------------------------------------------------
# shards

class _Shards(Mapping):
    """Tensors that lie in several files; the index says which lies where. A file is opened when first needed."""

    def __init__(self, folder: Path):
        self.folder, self.index = folder, folder / INDEX
        self.opened: dict[str, Mapping[str, np.ndarray]] = {}
        places = _read_json(self.index, "").get("weight_map")
        if not isinstance(places, dict) or not places:
            raise CheckpointError(self.index, None, "it has no weight_map, which says which tensor lies in which file")
        for name, file in places.items():
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
                raise CheckpointError(self.index, name, f"its file is given as {file!r}; expected the name of a "
                                      ".safetensors file in the same folder")
        for file in sorted(set(places.values())):
            if not (folder / file).is_file():
                raise CheckpointError(folder / file, None, f"{INDEX} lists this file, but it is not there. Was the download "
                                      "complete?")
        self.places: dict[str, str] = places

    def __getitem__(self, name: str) -> np.ndarray:
        file = self.places[name]
        if file not in self.opened:
            self.opened[file] = safetensors.read(self.folder / file)
        if name not in self.opened[file]:
            raise CheckpointError(self.folder / file, name, f"{INDEX} says that the tensor lies here, but it does not")
        return self.opened[file][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _split(tensors, most) -> list[dict[str, np.ndarray]]:
    """The tensors in order, in as many parts as needed for none to be larger than ``most`` (unless one tensor is)."""
    shards: list[dict[str, np.ndarray]] = [{}]
    size = 0
    for name, array in tensors.items():
        if shards[-1] and size + array.nbytes > most:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    return shards


def _size(text: int | str | None) -> float:
    """Bytes: 200, "200", "5GB" or "1.5 MiB"."""
    if text is None:
        return float("inf")
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    unit = (found[2] or "B").upper() if found else ""
    if not found or unit not in UNITS or float(found[1]) <= 0:
        raise ValueError(f"max_shard_size: got {text!r}, expected a number of bytes, or text such as '200MB' or '5GB'")
    return float(found[1]) * UNITS[unit]


# ---------------------------------------------------------------------------------------------------------------------
# files

def _folder(folder) -> Path:
    path = Path(folder)
    if path.is_dir():
        return path
    if path.is_file() and path.suffix in PICKLES:
        raise _pickle(path)
    if path.is_file():
        raise CheckpointError(path, None, "this is a file; give the folder that holds config.json and model.safetensors")
    raise CheckpointError(path, None, "no such folder. A model's name is not enough: nothing is downloaded here. Get the "
                          "folder first, for example with: hf download NAME --local-dir FOLDER")


def _pickle(path: Path) -> CheckpointError:
    return CheckpointError(
        path, None, "this is a pickle, and reading a pickle can run any program hidden in it. Convert it once, where "
        "PyTorch is installed and the file is trusted: from transformers import AutoModel; "
        f"AutoModel.from_pretrained({str(path.parent)!r}).save_pretrained(NEW_FOLDER)")


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(path, None, f"no such file. {hint}".rstrip())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, None, f"this is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(path, None, f"expected a JSON object, {{...}}, got {type(content).__name__}")
    return content


def _write_json(path: Path, content: Mapping) -> None:
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

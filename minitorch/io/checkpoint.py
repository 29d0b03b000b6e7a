"""Checkpoints: the whole state of a training run in one safetensors file, so that it goes on as if nothing had happened.

- `save(path, model=…, optimizer=…, …)`   whole or not at all; a killed process leaves the old file
- `load(path, model=…, optimizer=…, …)`   everything fits and is loaded, or CheckpointError and nothing is changed
- `peek(path)`                            step, config and the rest, without a model

Arrays are stored under their place in the state, such as ``model/0.weight`` and ``optimizer/0.weight/exp_avg``; what is
no array stands as JSON in the file's metadata. Any safetensors reader opens the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitorch.errors import CheckpointError
from minitorch.io import safetensors
from minitorch.nn import Module
from minitorch.ops.device import on_host
from minitorch.optim import Optimizer
from minitorch.random import Generator, default_generator
from minitorch.tensor import Tensor

__all__ = ["Saved", "load", "peek", "save"]

FORMAT = "minitorch checkpoint 1"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds besides the state of objects."""

    step: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def save(path: str | os.PathLike, *, model: Module, optimizer: Optimizer | None = None, scheduler: Any = None,
         parts: Mapping[str, Any] | None = None, generators: Mapping[str, Generator] | None = None, step: int = 0,
         config: Mapping[str, Any] | None = None, extra: Mapping[str, Any] | None = None) -> None:
    """Save the whole state. The default random generator is always part of it.

    Parameters
    ----------
    parts
        More objects with ``state_dict`` and ``load_state_dict``, by name: a data loader, a moving average.
    generators
        Random generators besides the default one, by name.
    config, extra
        Dictionaries of numbers, texts, lists, dictionaries, arrays.

    >>> import tempfile
    >>> from minitorch.io import checkpoint
    >>> model = minitorch.nn.Linear(2, 1)
    >>> optimizer = minitorch.optim.AdamW(model.parameters())
    >>> path = tempfile.mkdtemp() + "/run.safetensors"
    >>> checkpoint.save(path, model=model, optimizer=optimizer, step=7)
    >>> checkpoint.load(path, model=model, optimizer=optimizer).step
    7
    """
    state: dict[str, Any] = {"model": dict(model.state_dict())}
    if optimizer is not None:
        state["optimizer"] = _by_name(optimizer.state_dict(), _names(model, optimizer))
    if scheduler is not None:
        state["scheduler"] = scheduler.state_dict()
    state["parts"] = {name: part.state_dict() for name, part in (parts or {}).items()}
    state["generators"] = {name: generator.get_state() for name, generator in _all(generators).items()}
    state |= {"step": step, "config": dict(config or {}), "extra": dict(extra or {})}
    packer = _Packer(os.fspath(path))
    text = json.dumps(packer.pack(state, ()), separators=(",", ":"))
    versions = json.dumps({"numpy": np.__version__})
    safetensors.write(path, packer.arrays, {"format": FORMAT, "state": text, "versions": versions})


def load(path: str | os.PathLike, *, model: Module, optimizer: Optimizer | None = None, scheduler: Any = None,
         parts: Mapping[str, Any] | None = None, generators: Mapping[str, Generator] | None = None,
         random: bool = True) -> Saved:
    """Put the saved state into the objects given, and the default random generator (unless ``random=False``).

    Every object that is given must be in the file and fit: names, shapes and dtypes. What the file has besides is left
    alone, so a model can be loaded without its optimiser.
    """
    path = os.fspath(path)
    state, saved = _read(path)
    generators = _all(generators) if random else dict(generators or {})

    undo: list[Any] = []  # how to put back what has been loaded, newest last
    try:
        for name, given in [("optimizer", optimizer), ("scheduler", scheduler)]:
            if given is not None and name not in state:
                raise CheckpointError(path, None, f"was saved without the {name}")
        for kind, things in [("parts", dict(parts or {})), ("generators", generators)]:
            for name in things:
                if name not in state[kind]:
                    raise CheckpointError(path, None, f"has no {name!r} among its {kind}: {sorted(state[kind])}")
        _check_model(path, model, state["model"])
        names = [] if optimizer is None else _names(model, optimizer)
        if optimizer is not None:
            _check_optimizer(path, model, optimizer, names, state["optimizer"])
        if scheduler is not None:
            _check_fields(path, "scheduler", scheduler.state_dict(), state["scheduler"])

        for name, generator in generators.items():
            undo.append((generator.set_state, generator.get_state()))
            generator.set_state(state["generators"][name])
        for name, part in (parts or {}).items():
            undo.append((part.load_state_dict, _Packer(path).copied(part.state_dict())))
            part.load_state_dict(state["parts"][name])
        if scheduler is not None:
            undo.append((scheduler.load_state_dict, scheduler.state_dict()))
            scheduler.load_state_dict(state["scheduler"])
        if optimizer is not None:
            undo.append((optimizer.load_state_dict, optimizer.state_dict()))
            optimizer.load_state_dict(_by_number(state["optimizer"], names))
        model.load_state_dict(state["model"])
    except Exception as error:
        for put_back, before in reversed(undo):
            put_back(before)
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(path, None, f"does not fit: {type(error).__name__}: {error}") from error
    return saved


def peek(path: str | os.PathLike) -> Saved:
    """The step, the config and the rest of what was saved, without loading any weights."""
    return _read(os.fspath(path))[1]


# ---------------------------------------------------------------------------------------------------------------------
# reading and checking

def _read(path: str) -> tuple[dict[str, Any], Saved]:
    tensors = safetensors.read(path)
    if tensors.metadata.get("format") != FORMAT:
        raise CheckpointError(path, None, f"is a safetensors file, but no {FORMAT!r}: it has weights and no state of a run")
    used = set()

    def take(name):
        if name not in tensors:
            raise CheckpointError(path, name, "missing: the state of the run needs it, and the file has it not")
        used.add(name)
        return tensors[name]

    try:
        state = _unpack(json.loads(tensors.metadata["state"]), take)
        saved = Saved(state["step"], state["config"], state["extra"], json.loads(tensors.metadata["versions"]))
        if not (isinstance(saved.step, int) and all(isinstance(state[name], dict) for name in
                                                    ("model", "parts", "generators", "config", "extra"))):
            raise TypeError("a field of another kind than expected")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(path, None, f"its state is damaged: {type(error).__name__}: {error}") from None
    unexpected = [name for name in tensors if name not in used]
    if unexpected:
        raise CheckpointError(path, unexpected[0], "unexpected: it belongs to nothing in the state of the run")
    return state, saved


def _check_model(path, model, saved: Mapping[str, np.ndarray]) -> None:
    mine = model.state_dict()
    missing = [name for name in mine if name not in saved]
    unexpected = [name for name in saved if name not in mine]
    for names, reason in [(missing, "missing{}: the model has it, the file has not"),
                          (unexpected, "unexpected{}: the file has it, the model has not")]:
        if names:
            raise CheckpointError(path, names[0], reason.format(f" (and {len(names) - 1} more)" if names[1:] else ""))
    for name, tensor in mine.items():
        _check_array(path, name, tensor, saved[name])


def _check_array(path, name, tensor, array) -> None:
    if not isinstance(array, np.ndarray):
        raise CheckpointError(path, name, f"is a {type(array).__name__}, not an array")
    if array.shape != tensor.shape:
        raise CheckpointError(path, name, f"has shape {array.shape} in the file and {tuple(tensor.shape)} in the model")
    if array.dtype != tensor.dtype:
        raise CheckpointError(path, name, f"is {array.dtype} in the file and {tensor.dtype} in the model")


def _check_optimizer(path, model, optimizer, names, saved) -> None:
    mine = _by_name(optimizer.state_dict(), names)
    if [group["params"] for group in saved["param_groups"]] != [group["params"] for group in mine["param_groups"]]:
        raise CheckpointError(path, None, "the optimiser's groups of parameters are not those of the file")
    for theirs, group in zip(saved["param_groups"], mine["param_groups"]):
        _check_fields(path, "optimiser's group", group, theirs, ("initial_lr",))
    parameters = dict(model.named_parameters())
    for name, values in saved["state"].items():
        for key, value in values.items():
            if isinstance(value, np.ndarray) and key != "step" and name in parameters:
                _check_array(path, f"optimizer/{name}/{key}", parameters[name], value)


def _check_fields(path, owner, mine, saved, free=()) -> None:
    differ = sorted((set(mine) ^ set(saved)) - set(free))
    if differ:
        raise CheckpointError(path, None, f"the {owner} in the file is of another kind: only one has {differ[0]!r}")


# ---------------------------------------------------------------------------------------------------------------------
# the optimiser numbers its parameters; a file names them

def _names(model, optimizer) -> list[str]:
    """The name of each of the optimiser's parameters, in the order of its numbers."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    params = [param for group in optimizer.param_groups for param in group["params"]]
    return [known.get(id(param), f"parameter {i}") for i, param in enumerate(params)]


def _by_name(state, names):
    groups = [{**group, "params": [names[i] for i in group["params"]]} for group in state["param_groups"]]
    return {"state": {names[i]: values for i, values in state["state"].items()}, "param_groups": groups}


def _by_number(state, names):
    numbers = {name: i for i, name in enumerate(names)}
    groups = [{**group, "params": [numbers[name] for name in group["params"]]} for group in state["param_groups"]]
    return {"state": {numbers[name]: values for name, values in state["state"].items()}, "param_groups": groups}


def _all(generators) -> dict[str, Generator]:
    return {"default": default_generator, **(generators or {})}


# ---------------------------------------------------------------------------------------------------------------------
# a tree of dictionaries, lists, numbers and arrays, as JSON and arrays by name

class _Packer:
    """Turns a state into JSON; arrays go to ``arrays``, and each array that stands in two places is kept once."""

    def __init__(self, path: str):
        self.path = path
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, tuple[str, Any]] = {}

    def pack(self, value, place: tuple[str, ...]):
        if value is None or isinstance(value, (bool, int, float, str)) and not isinstance(value, np.generic):
            return value
        if isinstance(value, (list, tuple)):
            items = [self.pack(item, (*place, str(i))) for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping):
            return {"dict": [[self.pack(key, place), self.pack(item, (*place, str(key)))] for key, item in value.items()]}
        if isinstance(value, (Tensor, np.ndarray, np.generic)):
            array = value.data if isinstance(value, Tensor) else value
            if id(array) not in self._seen:
                name = "/".join(part for part in place if part not in ("state", "parts"))
                while name in self.arrays:
                    name += "'"
                self.arrays[name] = on_host(array)
                self._seen[id(array)] = name, array  # holding it keeps its id from being given to another
            return {"number" if isinstance(value, np.generic) else "array": self._seen[id(array)][0]}
        raise CheckpointError(self.path, None, f"{'.'.join(place)} is a {type(value).__name__}; numbers, texts, lists, "
                              "dictionaries and arrays can be saved")

    def copied(self, state):
        """A copy that does not change when the object it came from does."""
        packed = self.pack(state, ())
        return _unpack(packed, {name: array.copy() for name, array in self.arrays.items()}.__getitem__)


def _unpack(value, take):
    if isinstance(value, list):
        return [_unpack(item, take) for item in value]
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "dict":
        result = {_unpack(key, take): _unpack(item, take) for key, item in content}
        if len(result) != len(content):
            raise ValueError("a key stands twice in a dictionary")
        return result
    if kind == "tuple":
        return tuple(_unpack(item, take) for item in content)
    if kind not in ("array", "number"):
        raise ValueError(f"there is no kind {kind!r}")
    return take(content)[()] if kind == "number" else take(content)

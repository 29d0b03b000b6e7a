"""What all models share: a config object, and folders in Hugging Face's format to load from and save to.

With this file one can

- describe a model                  ``Config``: a dataclass under the names of Hugging Face's config.json
- load real weights, and save       ``PretrainedModel.from_pretrained(folder)``, ``model.save_pretrained(folder)``
- find an activation by its name    ``activation("gelu_new")``

A model names its parameters as Hugging Face does, so that weights and gradients can be compared one by one. Files may
carry the name of the base model before each ("transformer.wte.weight") or not ("wte.weight"); both are read.
"""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from minitorch import Tensor, as_tensor, autograd, device
from minitorch.errors import CheckpointError, DTypeError, ShapeError
from minitorch.io.huggingface import read_config, read_weights, write_folder
from minitorch.nn import Module
from minitorch.nn import functional as F
from minitorch.ops.device import on_device_of, on_host

__all__ = ["ACTIVATIONS", "Config", "FUSED", "PretrainedModel", "activation"]

C = TypeVar("C", bound="Config")
M = TypeVar("M", bound="PretrainedModel")


@dataclass
class Config:
    """The sizes and choices of a model. A subclass adds fields under the names and with the defaults of config.json.

    ``extra`` keeps what else stood in config.json, so that it is written back.
    """

    model_type: ClassVar[str] = ""
    aliases: ClassVar[Mapping[str, str]] = {}               # other names that config.json may use for a field
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    only: ClassVar[Mapping[str, tuple]] = {}                # keys that change the numbers → the values we can compute
    sizes: ClassVar[tuple[str, ...]] = ()                   # fields that the weights' number and shapes show

    extra: dict[str, Any] = field(default_factory=dict, repr=False, kw_only=True)

    def __post_init__(self):
        self.check()

    def check(self) -> None:
        """Raise ValueError for values that make no sense; a subclass says which."""

    @classmethod
    def preset(cls: type[C], name: str, **changes) -> C:
        """A config of a usual size: "tiny", "base" or "large", with fields of your choice changed."""
        if name not in cls.presets:
            raise ValueError(f"{cls.__name__}.preset: there are {', '.join(map(repr, cls.presets))}, got {name!r}")
        return cls(**{**cls.presets[name], **changes})

    @classmethod
    def from_dict(cls: type[C], content: Mapping[str, Any]) -> C:
        """From what a config.json holds. What would change the numbers and is not supported is refused."""
        kind = content.get("model_type", cls.model_type)
        if kind != cls.model_type:
            raise ValueError(f"{cls.__name__}: model_type is {kind!r}, expected {cls.model_type!r}: this describes another "
                             "kind of model")
        for key, allowed in {"quantization_config": (None,), "pruned_heads": ({}, None), **cls.only}.items():
            if key in content and content[key] not in allowed:
                raise NotImplementedError(f"{cls.__name__}: {key}={content[key]!r} is not supported, only "
                                          f"{' or '.join(map(repr, allowed))}")
        known = {f.name for f in fields(cls)} - {"extra"}
        given, extra = {}, {}
        for key, value in content.items():
            name = cls.aliases.get(key, key)
            if name not in known:
                extra[key] = value
            elif name == key or name not in content:
                given[name] = value
        extra.pop("model_type", None)
        return cls(**given, extra=copy.deepcopy(extra))

    def to_dict(self) -> dict[str, Any]:
        """What to write into config.json."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        return copy.deepcopy({"model_type": self.model_type, **self.extra, **own})

    # ---- helpers for check()

    def _need(self, right: bool, name: str, expected: str) -> None:
        if not right:
            raise ValueError(f"{type(self).__name__}: {name} should be {expected}, got {getattr(self, name)!r}")

    def _need_sizes(self, *names: str) -> None:
        for name in names:
            self._need(_is_int(getattr(self, name)) and getattr(self, name) > 0, name, "a whole number above 0")

    def _need_probabilities(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._need(_is_number(value) and 0 <= value <= 1, name, "a probability between 0 and 1")

    def _need_positive(self, *names: str) -> None:
        for name in names:
            self._need(_is_number(getattr(self, name)) and 0 < getattr(self, name) < float("inf"), name, "a number above 0")

    def _need_not_negative(self, *names: str) -> None:
        for name in names:
            self._need(_is_number(getattr(self, name)) and 0 <= getattr(self, name) < float("inf"), name, "a number from 0")

    def _need_flags(self, *names: str) -> None:
        for name in names:
            self._need(isinstance(getattr(self, name), bool), name, "true or false")

    def _need_activation(self, *names: str) -> None:
        for name in names:
            self._need(getattr(self, name) in ACTIVATIONS, name, f"one of {', '.join(ACTIVATIONS)}")

    def _need_id(self, name: str, size: int | None = None) -> None:
        """An id within the vocabulary, or None."""
        value = getattr(self, name)
        limit = "" if size is None else f" below {size}"
        right = value is None or _is_int(value) and 0 <= value and (size is None or value < size)
        self._need(right, name, f"None or an id from 0{limit}")

    def _need_heads(self, width: str, heads: str) -> None:
        self._need(getattr(self, width) % getattr(self, heads) == 0, width,
                   f"divisible by {heads}={getattr(self, heads)}: every head gets an equal share of the features")


class PretrainedModel(Module):
    """A model that Hugging Face knows, too: it loads from, and saves to, folders in that format.

    A subclass sets the attributes below, names its parameters as Hugging Face does but without ``prefix``, and is built
    from its config alone. Parameters outside the base model, such as a head, stand in ``heads``: no prefix is written
    before them.
    """

    config_class: ClassVar[type[Config]] = Config
    architectures: ClassVar[tuple[str, ...]] = ()       # what config.json calls this model
    prefix: ClassVar[str] = ""                          # "transformer."
    table: ClassVar[tuple[str, ...]] = ("",)            # the embedding of the tokens, and the fields that are its shape
    heads: ClassVar[tuple[str, ...]] = ()               # names, or beginnings of names, outside the base model
    ignored: ClassVar[tuple[str, ...]] = ()             # patterns of names in files that are no weights: buffers
    tied: ClassVar[Mapping[str, str]] = {}              # a second name → ours, for weights tied by tie_word_embeddings

    config: Any
    fresh: tuple[str, ...] = ()                         # beginnings of names that a file need not hold

    def __init__(self, config: Config):
        super().__init__()
        if not isinstance(config, self.config_class):
            name = type(config).__name__
            fix = f" Write {self.config_class.__name__}.from_dict(...)." if isinstance(config, Mapping) else ""
            raise TypeError(f"{type(self).__name__}: expected a {self.config_class.__name__}, got {name}.{fix}")
        self.config = config

    # -----------------------------------------------------------------------------------------------------------------
    # loading

    @classmethod
    def from_pretrained(cls: type[M], folder: str | os.PathLike, **changes) -> M:
        """The model that a folder holds, ready to use, in evaluation mode: call ``.train()`` to train on.

        ``changes`` replace fields of its config. Every weight must be there, in its shape, and none too many. Half
        precision is read as float32.
        """
        for name in changes:
            if name not in {f.name for f in fields(cls.config_class)}:
                raise TypeError(f"{cls.__name__}.from_pretrained: {cls.config_class.__name__} has no field {name!r}")
        path = Path(folder)
        content, weights = cls.read(path)
        content = {**content, **changes}
        named = {own: name for own, name in ((cls.own_name(name), name) for name in weights) if own is not None}
        if any(alias in named and source in named and not np.array_equal(weights[named[alias]], weights[named[source]])
               for alias, source in cls.tied.items()):
            content["tie_word_embeddings"] = False          # whatever config.json says: the file holds two different ones
        try:
            config = cls.config_class.from_dict(content)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise CheckpointError(path if path.is_file() else path / "config.json", None, str(error)) from error
        shapes = {own: weights[name].shape for own, name in named.items()}
        cls._check_sizes(path, config, shapes, named)
        model = cls.for_weights(config, shapes, changes)
        model._load(path, weights, named)
        model.eval()
        return model

    @classmethod
    def read(cls, path: Path) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """What a folder holds: its config and its weights. A model that knows other formats as well overrides this."""
        return read_config(path), read_weights(path)

    @classmethod
    def own_name(cls, name: str) -> str | None:
        """Our name for a tensor of a file; None if it is no weight."""
        name = name.removeprefix(cls.prefix)
        return None if any(re.search(pattern, name) for pattern in cls.ignored) else name

    @classmethod
    def for_weights(cls: type[M], config: Any, shapes: Mapping[str, tuple[int, ...]], changes: Mapping[str, Any]) -> M:
        """The model to load these weights into; a subclass with optional parts looks which are there."""
        return cls(config)

    @classmethod
    def _check_sizes(cls, path, config, shapes, named) -> None:
        """Refuse a config that asks for far more than the file holds, before anything of that size is made."""
        table, *fields = cls.table
        asked = tuple(getattr(config, name) for name in fields)
        found = [name for name in (table, *cls.tied) if name in shapes and cls.tied.get(name, table) == table]
        if asked and not found:
            prefix = cls.prefix if not named or any(name.startswith(cls.prefix) for name in named.values()) else ""
            raise CheckpointError(path, prefix + table, f"missing: {cls.__name__} needs it. The file holds "
                                  f"{', '.join(list(named.values())[:4])}, ...")
        if asked and shapes[found[0]] != asked:
            raise _wrong_shape(path, named[found[0]], shapes[found[0]], asked)
        longest = max((max(shape, default=0) for shape in shapes.values() if 0 not in shape), default=0)
        for name in config.sizes:
            value = getattr(config, name) or 0
            if value > (len(shapes) if "layer" in name else longest):
                raise CheckpointError(path, None, f"config.json says {name}={value}, and that cannot be: there are "
                                      f"{len(shapes)} weights, and the longest has {longest} rows or columns")

    def _load(self, path, weights, named) -> None:
        mine = dict(self._named_state())
        for alias, source in self.tied.items():             # a tied weight may be stored under either name, or both
            if alias in named and alias not in mine:
                named.setdefault(source, named[alias])
                del named[alias]
        missing = [name for name in mine if name not in named and not name.startswith(self.fresh)]
        if missing:
            raise CheckpointError(path, self.file_name(missing[0]), f"missing: {type(self).__name__} needs it"
                                  f"{_more(missing)}. The file holds {', '.join(list(weights)[:4])}, ...")
        unexpected = [file_name for name, file_name in named.items() if name not in mine]
        if unexpected:
            raise CheckpointError(path, unexpected[0], f"unexpected: with this config.json {type(self).__name__} has no "
                                  f"such weight{_more(unexpected)}")
        if any(weights[name].dtype == np.float64 for name in list(named.values())[:1]):
            self.double()
        for name, file_name in named.items():
            array, parameter = weights[file_name], mine[name]
            if array.dtype.kind != "f":
                raise CheckpointError(path, file_name, f"its numbers are {array.dtype}; expected floating-point numbers")
            if array.shape != parameter.shape:
                raise _wrong_shape(path, file_name, array.shape, parameter.shape)
            parameter.data[...] = array
            autograd.note_write(parameter.data)

    # -----------------------------------------------------------------------------------------------------------------
    # saving

    def save_pretrained(self, folder: str | os.PathLike, max_shard_size: int | str | None = None) -> None:
        """Write config.json and the weights, as ``transformers`` reads them; in shards if larger than ``"200MB"``, say."""
        content = {**self.config.to_dict(), "architectures": self.architecture(), "dtype": str(self.dtype)}
        content.pop("torch_dtype", None)
        tensors = {self.file_name(name): on_host(t.data) for name, t in self._named_state()}
        write_folder(folder, content, tensors, max_shard_size)

    def architecture(self) -> list[str]:
        """What config.json calls this model."""
        return list(self.architectures)

    def file_name(self, name: str) -> str:
        """How a weight of ours is called in files: the base model's carry its prefix."""
        return name if name.startswith(self.heads) else self.prefix + name

    @property
    def dtype(self) -> np.dtype:
        """Of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> device:
        """Where the weights are."""
        return next(self.parameters()).device

    # -----------------------------------------------------------------------------------------------------------------
    # what a model is given

    def _ids(self, method: str, ids: Any, name: str = "ids") -> Tensor:
        """Token ids as an int64 tensor (batch, length); lists and arrays are taken, too."""
        where = f"{type(self).__name__}.{method}" if method != "forward" else type(self).__name__
        try:
            ids = ids if isinstance(ids, Tensor) else as_tensor(np.asarray(ids), device=self.device)
        except (ValueError, TypeError):
            raise ShapeError(f"{where}: {name} should be (batch, length) numbers; these rows differ in length, or hold "
                             "something else. Texts of unequal length are padded first, and told apart by "
                             "attention_mask.") from None
        if ids.ndim != 2:
            fix = f" For a batch of one write [{name}], or {name}[None] of an array." if ids.ndim == 1 else ""
            raise ShapeError(f"{where}: {name} should be (batch, length), got shape {ids.shape}.{fix}")
        if not ids.shape[1]:
            raise ShapeError(f"{where}: {name} {ids.shape} holds no token; give at least one")
        if ids.dtype.kind not in "iu":
            raise DTypeError(f"{where}: {name} should be whole numbers, got {ids.dtype}. Use {name}.long().")
        return ids if ids.dtype == np.int64 else ids.long()

    def _mask(self, method: str, mask: Any, shape: tuple[int, ...], name: str = "attention_mask") -> np.ndarray | None:
        """1 for tokens and 0 for padding → boolean (batch, length); None where nothing is padding."""
        where = f"{type(self).__name__}.{method}" if method != "forward" else type(self).__name__
        if mask is None:
            return None
        mask = on_host(mask.data if isinstance(mask, Tensor) else mask)
        if mask.shape != shape:
            raise ShapeError(f"{where}: {name} should be (batch, length) = {shape}, got {mask.shape}")
        tokens = mask == 1
        if not (tokens | (mask == 0)).all():
            value = mask[~(tokens | (mask == 0))][0]
            raise ValueError(f"{where}: {name} should hold 1 for tokens and 0 for padding, got {value}")
        return None if tokens.all() else tokens


def beside(x: Tensor, array: np.ndarray) -> Tensor:
    """The array as a tensor on x's device."""
    return x.like(on_device_of(array, x))


# ---------------------------------------------------------------------------------------------------------------------
# activations, by the names of config.json

def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_10": lambda x: F.gelu(x).clamp(-10, 10),
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": F.gelu,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "hardswish": lambda x: x * F.relu6(x + 3) / 6,
    "laplace": lambda x: 0.5 * (1 + ((x - 0.707107) / (0.282095 * math.sqrt(2))).erf()),
    "leaky_relu": F.leaky_relu,
    "linear": lambda x: x,
    "mish": F.mish,
    "quick_gelu": lambda x: x * (1.702 * x).sigmoid(),
    "relu": F.relu,
    "relu2": lambda x: F.relu(x) ** 2,
    "relu6": F.relu6,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "sqrtsoftplus": lambda x: F.softplus(x).sqrt(),
    "swish": F.silu,
    "tanh": F.tanh,
}
_FUSED = {F.gelu: "gelu", _gelu_tanh: "gelu_tanh", F.relu: "relu", F.silu: "silu"}
FUSED = {name: _FUSED[function] for name, function in ACTIVATIONS.items() if function in _FUSED}   # F.feed_forward's names


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation that config.json calls so.

    >>> from minitorch.models.pretrained import activation
    >>> activation("quick_gelu")(minitorch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8458])
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _is_int(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wrong_shape(path, name, shape, asked) -> CheckpointError:
    turned = " It looks transposed." if shape == asked[::-1] else ""
    return CheckpointError(path, name, f"its shape is {shape}; config.json asks for {asked}.{turned}")


def _more(names) -> str:
    return "" if len(names) == 1 else f" (and {len(names) - 1} more, such as {names[1]!r})"

"""A whole run, from a config to a folder: what ``minitorch train`` does.

    runs/NAME/config.toml              what was trained, and how
              checkpoint.safetensors   the whole state; a run goes on from it
              log.csv                  a row a step
              model/                   the trained model in Hugging Face's format, and its tokenizer
              loss.png  gradient_flow.png  sample.txt
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from minitorch.explain import gradient_flow, plot_gradient_flow
from minitorch.io import checkpoint, safetensors
from minitorch.io.atomic import replacing
from minitorch.random import manual_seed
from minitorch.train.config import ConfigError, dump, unknown_key
from minitorch.train.log import plot_losses, read_log
from minitorch.train.task import Task, data_keys
from minitorch.train.tasks import TASKS
from minitorch.train.trainer import Settings, Trainer, stacked_layers

__all__ = ["Run", "known_keys"]


def known_keys(config: Mapping[str, Any]) -> dict[str, Iterable[str]]:
    """The keys that each section may have; the model's are only known where the config has them."""
    return {"model": list(config["model"]), "data": list(data_keys(_task(config))),
            "train": [field.name for field in fields(Settings)]}


def _task(config) -> Callable[..., Task]:
    if config["task"] not in TASKS:
        raise ConfigError("task: " + unknown_key("task", config["task"], TASKS))
    return TASKS[config["task"]]


class Run:
    """One run: ``Run(config, "runs/mine").train()``. The device is no part of the config: a run may go on on another."""

    def __init__(self, config: Mapping[str, Any], folder: str | PathLike, device: str = "cpu"):
        make = _task(config)
        known = data_keys(make)
        for key, value in config["data"].items():
            if key not in known:
                raise ConfigError("[data] " + unknown_key("key", key, known))
            if isinstance(known[key], str) and not isinstance(value, str):
                raise ConfigError(f"[data] {key} should be a text, got {value!r}")
        for key in config["train"]:
            if key not in [f.name for f in fields(Settings)]:
                raise ConfigError("[train] " + unknown_key("key", key, [f.name for f in fields(Settings)]))
        try:
            settings = Settings(**config["train"])
        except ValueError as error:
            raise ConfigError(f"[train] {error}") from None
        self.folder = Path(folder)
        self.config = {"task": config["task"], "model": dict(config["model"]), "data": {**known, **config["data"]},
                       "train": asdict(settings)}
        manual_seed(settings.seed)
        self.task = make(dict(config["model"]), settings, **config["data"])
        t = self.task
        self.trainer = Trainer(t.model, t.loss, t.train, settings, valid=t.valid, size=t.size, folder=self.folder,
                               config=self.config, device=device)

    @property
    def about(self) -> str:
        """A sentence or two on what is going to happen."""
        count = sum(p.numel() for p in self.task.model.parameters())
        return f"{type(self.task.model).__name__}, {count:,} parameters. {self.task.about}"

    def resume(self) -> int:
        """Go on from the checkpoint in the folder; return the number of steps done."""
        saved = checkpoint.peek(self.trainer.checkpoint_path)
        defaults = {"data": data_keys(_task(self.config)), "train": asdict(Settings(warmup=0))}  # for keys that are newer
        for section, now in self.config.items():
            then = saved.config.get(section)
            if section in defaults and isinstance(then, Mapping):
                then = {**defaults[section], **then}
            if then != now:
                raise ConfigError(f"the run in {self.folder} was started with another [{section}]: "
                                  f"{_difference(then, now)}. Choose another folder.")
        return self.trainer.resume()

    def train(self, progress: bool = True) -> None:
        """Train to the end; then save the model, draw the pictures, and leave the model in eval mode, on the CPU."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / "config.toml") as file:
            file.write(dump(self.config).encode())
        if self.trainer.step < self.trainer.settings.steps:
            self.trainer.run(progress=progress)
        self.save_model()
        self.draw()
        self.trainer.trained.eval().cpu()

    def save_model(self) -> Path:
        """Write the trained model (of the moving average of the weights, if there is one) and its tokenizer."""
        folder, model = self.folder / "model", self.trainer.trained
        folder.mkdir(parents=True, exist_ok=True)
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(folder)
        else:
            safetensors.write(folder / "model.safetensors", {name: t.cpu().data for name, t in model.state_dict().items()})
        if self.task.tokenizer is not None:
            self.task.tokenizer.save(folder / "tokenizer.json")
        return folder

    def draw(self) -> list[Path]:
        """Draw how the loss fell, and how the gradient flows through the trained model."""
        plt = import_module("matplotlib.pyplot")
        plt.switch_backend("Agg")
        losses, flows = self.folder / "loss.png", self.folder / "gradient_flow.png"
        ax = plot_losses(read_log(self.folder / "log.csv"), title=self.folder.name)
        ax.figure.savefig(losses, dpi=150)
        plt.close(ax.figure)
        model, batch = self.task.model, next(iter(self.task.valid or self.task.train))
        batch = self.trainer.precision.cast(self.trainer.there(batch))
        flow = gradient_flow(model, lambda: self.task.loss(model, batch), layers=_layers(model))
        ax = plot_gradient_flow(flow, title=f"{self.folder.name}: how the gradient flows, after {self.trainer.step} steps")
        ax.figure.savefig(flows, dpi=150)
        plt.close(ax.figure)
        return [losses, flows]


def _layers(model) -> list[str]:
    """The model's layers as one thinks of them: each block of a stack, and each module with parameters outside of them."""
    blocks = list(stacked_layers(model))
    inside = tuple(f"{name}." for name in blocks)
    alone = [name for name, module in model.named_modules() if module._parameters and not f"{name}.".startswith(inside)]
    return [*blocks, *alone]


def _difference(old, new) -> str:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return f"{old!r}, and now {new!r}"
    key = next(key for key in [*old, *new] if old.get(key) != new.get(key))
    return f"{key} was {old.get(key)!r}, and now is {new.get(key)!r}"

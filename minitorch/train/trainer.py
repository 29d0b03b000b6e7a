"""The training loop: many small steps downhill, watched, saved, and gone on with exactly where they stopped.

    trainer = Trainer(model, loss, loader, Settings(steps=2000, lr=1e-3), valid=valid_loader, folder="runs/mine")
    trainer.run()

The model is any module and ``loss(model, batch)`` any function that returns a scalar: a mean over whatever counts in the
batch. A step is: the gradients of ``accumulate`` batches, clipped, one AdamW update, one step of the schedule.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from tqdm import tqdm

from minitorch import autograd
from minitorch.io import checkpoint
from minitorch.nn import Module, ModuleList
from minitorch.nn.utils import clip_grad_norm_
from minitorch.optim import AdamW
from minitorch.optim.lr_scheduler import InverseSquareRootLR, LambdaLR, LRScheduler, WarmupCosineLR
from minitorch.optim.swa_utils import AveragedModel, get_ema_avg_fn
from minitorch.random import default_generator
from minitorch.tensor import CPU, Tensor
from minitorch.train.log import Log
from minitorch.train.precision import Precision
from minitorch.utils.checkpoint import checkpoint as checkpoint_gradients

__all__ = ["Diverged", "Interrupted", "Settings", "Trainer", "decay_groups", "stacked_layers"]


@dataclass
class Settings:
    """How to train. Steps are updates of the weights; 0 switches off what can be switched off."""

    steps: int = 1000
    accumulate: int = 1             # batches whose gradients make one step, as if they were one batch
    lr: float = 1e-3                # the highest rate, at the end of the warm-up
    min_lr: float = 0.0             # where the cosine ends
    warmup: int = 100               # steps on the way up
    schedule: str = "cosine"        # or "inverse-sqrt", or "constant"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01      # of matrices; biases and norms do not decay
    clip: float = 1.0               # the largest norm of all gradients together
    label_smoothing: float = 0.0    # read by the task's loss
    precision: str = "float32"      # or "float64", "float16", "bfloat16": see minitorch.train.precision
    recompute: bool = False         # keep only the input of each layer, and compute the rest again: less memory
    ema: float = 0.0                # decay of the moving average of the weights, such as 0.999
    eval_every: int = 250           # steps
    eval_batches: int = 50          # of the validation data, each time; all of it at the end
    save_every: int = 500           # steps
    seed: int = 1337

    def __post_init__(self):
        whole = {"steps": 1, "accumulate": 1, "warmup": 0, "eval_every": 0, "eval_batches": 0, "save_every": 0, "seed": 0}
        for name, least in whole.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"Settings: {name} should be a whole number, {least} or more, got {value!r}")
        for name, (low, high) in {"lr": (0, math.inf), "min_lr": (0, math.inf), "beta1": (0, 1), "beta2": (0, 1),
                                  "eps": (0, 1), "weight_decay": (0, math.inf), "clip": (0, math.inf),
                                  "label_smoothing": (0, 1), "ema": (0, 1)}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < high:
                raise ValueError(f"Settings: {name} should be a number from {low} up to, but without, {high}, got {value!r}")
        for name, choices in {"schedule": ("cosine", "inverse-sqrt", "constant"),
                              "precision": ("float32", "float64", "float16", "bfloat16")}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"Settings: {name} should be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not isinstance(self.recompute, bool):
            raise ValueError(f"Settings: recompute should be true or false, got {self.recompute!r}")
        if self.schedule == "cosine" and self.warmup >= self.steps:
            raise ValueError(f"Settings: warmup={self.warmup} leaves nothing of steps={self.steps} for the cosine. "
                             f"Choose a warmup below the steps, such as {self.steps // 10}")


class Diverged(RuntimeError):
    """The loss or a gradient is no number any more. The weights are those from before the step."""

    def __init__(self, step: int, loss: float, last: float | None, parameter: str | None, saved: tuple[Path, int] | None,
                 what: str = "gradient"):
        self.step, self.loss, self.last_finite_loss, self.parameter, self.checkpoint = step, loss, last, parameter, saved
        text = f"the run diverged at step {step}: the loss is {loss}"
        text += f"; the last finite loss was {last:.4f}. " if last is not None else ". "
        text += f"The first parameter with a bad {what} is {parameter}. " if parameter else ""
        text += f"The last good checkpoint is {saved[0]}, of step {saved[1]}. " if saved else "There is no checkpoint yet. "
        super().__init__(text + "Try a smaller lr, a longer warmup, or clip=1.0.")


class Interrupted(Exception):
    """The run was asked to stop: the step is finished, and everything is saved."""

    def __init__(self, step: int, saved: Path | None):
        self.step, self.checkpoint = step, saved
        super().__init__(f"stopped after step {step}" + (f"; saved in {saved}" if saved else ""))


class Trainer:
    """Trains a model; ``step`` counts the updates made so far.

    Parameters
    ----------
    loss
        ``loss(model, batch)``: the mean over whatever counts in the batch, a scalar.
    train
        Batches, again and again: a DataLoader, so that a run can be gone on with.
    valid
        Batches to judge by, which are not learnt from.
    size
        ``size(batch)``: how much counts in a batch (tokens that are no padding), the weight of its mean. Default: the
        number of elements in the batch's first array.
    folder
        Where ``checkpoint.safetensors`` and ``log.csv`` go; None: nowhere.
    config
        Kept in the checkpoint.
    device
        "cuda": the model goes to the GPU, and so does each batch. A checkpoint can be gone on with on either device.

    >>> from minitorch.train import Settings, Trainer
    >>> from minitorch.utils.data import DataLoader, TensorDataset
    >>> x = minitorch.randn(64, 3)
    >>> y = x @ minitorch.tensor([[1.0], [2.0], [3.0]])
    >>> model = minitorch.nn.Linear(3, 1)
    >>> def loss(model, batch):
    ...     return minitorch.nn.functional.mse_loss(model(batch[0]), batch[1])
    >>> settings = Settings(steps=200, lr=0.1, warmup=10, weight_decay=0)
    >>> trainer = Trainer(model, loss, DataLoader(TensorDataset(x, y), 16, shuffle=True), settings)
    >>> trainer.run(progress=False)
    >>> trainer.loss_now < 1e-3
    True
    """

    def __init__(self, model: Module, loss: Callable[[Module, Any], Tensor], train: Iterable,
                 settings: Settings | None = None, *, valid: Iterable | None = None,
                 size: Callable[[Any], int] | None = None, folder: str | PathLike | None = None,
                 config: Mapping[str, Any] | None = None, device: Any = None):
        s = self.settings = settings or Settings()
        self.model, self.loss, self.train, self.valid = model, loss, train, valid
        self.size = size or _elements
        self.folder = None if folder is None else Path(folder)
        self.config = dict(config or {"train": asdict(s)})
        if device is not None:
            model.to(device)
        self.device = next((p.device for p in model.parameters()), CPU)
        self.precision = Precision(model, s.precision)
        groups = decay_groups(model, s.weight_decay)
        self.optimizer = AdamW(groups, lr=s.lr, betas=(s.beta1, s.beta2), eps=s.eps)
        self.scheduler = _schedule(self.optimizer, s)
        if s.recompute:
            for layer in stacked_layers(model).values():
                layer.forward = partial(checkpoint_gradients, layer.forward)
        self.average = AveragedModel(model, avg_fn=get_ema_avg_fn(s.ema)) if s.ema else None
        self.step = 0
        self.tokens = 0                           # what counted in all batches so far
        self.loss_now: float | None = None        # of the last step
        self.valid_now: float | None = None       # of the last evaluation
        self.log = Log(self.folder)
        self._saved: tuple[Path, int] | None = None
        self._batches: Iterator[Any] | None = None

    # -----------------------------------------------------------------------------------------------------------------
    # the loop

    def run(self, until: int | None = None, progress: bool = True) -> None:
        """Train up to step ``until``, by default to the end; raise Diverged or Interrupted if it ends earlier.

        The first Ctrl-C (or SIGTERM) finishes the step, saves and raises Interrupted; the second stops at once.
        """
        s = self.settings
        until = s.steps if until is None else min(until, s.steps)
        batches = self._batches = self._batches or self._forever()
        bar = tqdm(total=s.steps, initial=self.step, unit="step", file=sys.stderr, dynamic_ncols=True,
                   disable=None if progress else True)  # None: where nobody looks, in a file or a pipe
        self.model.train()
        with _Stopping() as stopping, bar, self.log.open(self.step):
            while self.step < until:
                start = perf_counter()
                row = self._one_step([next(batches) for _ in range(s.accumulate)])
                row["tokens/s"] = round(row.pop("tokens") / (perf_counter() - start))
                last = self.step == s.steps
                if self.valid is not None and (last or s.eval_every and self.step % s.eval_every == 0):
                    row["valid"] = self.valid_now = self.evaluate(self.valid, 0 if last else s.eval_batches)
                    if progress:
                        tqdm.write(f"step {self.step:>6}   train {self.loss_now:.4f}   valid {self.valid_now:.4f}   "
                                   f"lr {row['lr']:.2e}", file=sys.stdout)
                        sys.stdout.flush()
                self.log.row(row)
                bar.set_postfix_str(f"loss {self.loss_now:.3f}, {row['tokens/s']:,} tokens/s", refresh=False)
                bar.update()
                if self.folder and (last or stopping.asked or s.save_every and self.step % s.save_every == 0):
                    self.save()
                if stopping.asked and not last:
                    raise Interrupted(self.step, self._saved[0] if self._saved else None)

    def _one_step(self, batches: list[Any]) -> dict[str, Any]:
        """One update from the gradients of these batches, each counting by its size: as if they were one."""
        s = self.settings
        sizes = [max(int(self.size(batch)), 0) for batch in batches]
        total = max(sum(sizes), 1)
        self.optimizer.zero_grad()
        mean = 0.0
        with self.precision.compute():
            for batch, size in zip(batches, sizes):
                share = 1.0 if len(batches) == 1 else size / total
                loss = self.loss(self.model, self.precision.cast(self.there(batch)))
                mean += share * float(loss.detach().item())
                self.precision.backward(loss, share)
        good = self.precision.unscale(self.optimizer)
        gradients = {name: p.grad.data for name, p in self.model.named_parameters() if p.grad is not None}
        bad = _first_bad(gradients)  # before clipping, which would spread it
        if good and bad or not math.isfinite(mean):
            raise Diverged(self.step + 1, mean, self.loss_now, bad, self._saved)
        norm = float(clip_grad_norm_(self.model.parameters(), s.clip or math.inf).item()) if good else math.inf
        lr = self.scheduler.get_last_lr()[0]
        if good:
            self.optimizer.step()
        self.precision.update(good)
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step, self.loss_now, self.tokens = self.step + 1, mean, self.tokens + sum(sizes)
        return {"step": self.step, "train": mean, "lr": lr, "gradient norm": norm, "tokens": sum(sizes)}

    def there(self, batch: Any) -> Any:
        """The batch, with its tensors on the model's device."""
        if self.device == "cpu":
            return batch
        if isinstance(batch, Tensor):
            return batch.to(self.device)
        if isinstance(batch, Mapping):
            return {key: self.there(value) for key, value in batch.items()}
        return [self.there(value) for value in batch] if isinstance(batch, (tuple, list)) else batch

    def _forever(self) -> Iterator[Any]:
        while True:
            any_came = getattr(self.train, "_resume", False)  # what was left of an epoch may be nothing
            for batch in self.train:
                any_came = True
                yield batch
            if not any_came:
                raise ValueError("Trainer: the training data gave no batch. Is it smaller than one batch, and drop_last on?")

    def evaluate(self, batches: Iterable | None = None, most: int = 0) -> float:
        """The mean loss over batches (at most ``most``; 0: all) in eval mode, of the moving average if there is one."""
        model = self.trained
        before, modes = default_generator.get_state(), [module.training for module in model.modules()]
        total, count = 0.0, 0
        model.eval()
        with autograd.no_grad(), self.precision.compute(model):
            source = self.valid if batches is None else batches
            for batch in islice(source or (), most or None):
                size = max(int(self.size(batch)), 0)
                mean = self.loss(model, self.precision.cast(self.there(batch))).item()
                total, count = total + float(mean) * size, count + size
        for module, mode in zip(model.modules(), modes):
            module.training = mode
        default_generator.set_state(before)
        return total / count if count else math.nan

    @property
    def trained(self) -> Module:
        """The model to use: the moving average of the weights if there is one, else the model itself."""
        return self.model if self.average is None or not self.step else self.average.module

    # -----------------------------------------------------------------------------------------------------------------
    # saving and going on

    @property
    def checkpoint_path(self) -> Path:
        """Where the state is kept."""
        if self.folder is None:
            raise ValueError("Trainer: give it a folder= to save in")
        return self.folder / "checkpoint.safetensors"

    def save(self) -> Path:
        """Write the whole state, in place of the one before."""
        path = self.checkpoint_path
        bad = _first_bad({name: p.data for name, p in self.model.named_parameters()})
        if bad is not None:
            raise Diverged(self.step, math.nan, self.loss_now, bad, self._saved, what="value")
        path.parent.mkdir(parents=True, exist_ok=True)
        now = {"tokens": self.tokens, "loss": self.loss_now, "valid": self.valid_now}
        checkpoint.save(path, **self._things(), step=self.step, config=self.config, extra=now)
        self._saved = path, self.step
        return path

    def resume(self) -> int:
        """Load the state that was saved in the folder; return the number of steps done."""
        path = self.checkpoint_path
        saved = checkpoint.load(path, **self._things())
        self.step, self.tokens = saved.step, saved.extra["tokens"]
        self.loss_now, self.valid_now = saved.extra["loss"], saved.extra["valid"]
        self._saved, self._batches = (path, self.step), None
        return self.step

    def _things(self) -> dict[str, Any]:
        parts = {"data": self.train, "average": self.average, "precision": self.precision}
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler,
                "parts": {name: part for name, part in parts.items() if hasattr(part, "state_dict")}}


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def decay_groups(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for AdamW: matrices, which decay, and biases and the scales of norms, which do not.

    >>> from minitorch.train import decay_groups
    >>> [len(group["params"]) for group in decay_groups(minitorch.nn.Linear(3, 2), 0.1)]
    [1, 1]
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
              {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _schedule(optimizer, s: Settings) -> LRScheduler:
    if s.schedule == "cosine":
        return WarmupCosineLR(optimizer, s.warmup, s.steps, s.min_lr)
    if s.schedule == "inverse-sqrt":
        return InverseSquareRootLR(optimizer, max(1, s.warmup))
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, s.warmup)))


def stacked_layers(model: Module) -> dict[str, Module]:
    """The layers that a model stacks: what stands in its outermost ModuleLists, by name.

    >>> from minitorch.models import GPT, GPTConfig
    >>> from minitorch.train.trainer import stacked_layers
    >>> list(stacked_layers(GPT(GPTConfig.preset("tiny"))))
    ['h.0', 'h.1']
    """
    stacks = {name + ".": module for name, module in model.named_modules() if isinstance(module, ModuleList)}
    outer = [name for name in stacks if not any(name.startswith(other) for other in stacks if other != name)]
    return {name + i: layer for name in outer for i, layer in stacks[name].named_children()}


def _elements(batch) -> int:
    if isinstance(batch, Mapping):
        batch = next(iter(batch.values()))
    if isinstance(batch, (tuple, list)):
        batch = batch[0]
    return int(np.prod(np.shape(batch)))


def _first_bad(arrays: Mapping[str, Any]) -> str | None:
    on_gpu = [array for array in arrays.values() if hasattr(array, "kernels")]
    if on_gpu:      # one number is asked for, as each one would have to be waited for
        good = sum([np.isfinite(array).sum() for array in on_gpu])
        if int(good) == sum([array.size for array in on_gpu]):
            return None
    for name, array in arrays.items():
        bad = array.size - int(np.isfinite(array).sum())
        if bad:
            return f"{name} ({bad:,} of {array.size:,} values)"
    return None


class _Stopping:
    """While it is open, the first SIGINT or SIGTERM only says so in ``asked``; the second does what it always did."""

    asked = False

    def __enter__(self):
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number, frame):
        self.asked = True
        self._put_back()
        print("\nfinishing this step and saving; press Ctrl-C again to stop at once", file=sys.stderr)

    def _put_back(self):
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def __exit__(self, *_):
        self._put_back()

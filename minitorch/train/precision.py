"""Mixed precision: compute in 16 bits, keep the weights in 32.

While a step computes, the model's parameters are copies rounded to 16 bits; the optimiser, the moving average and the
checkpoint see the float32 weights, to which updates of one part in a million can be added. float16 has little room
below: gradients under 6e-8 become 0. So backward starts from a large number instead of 1, the *loss scale*, and gradients
are divided by it afterwards, in float32. A scale that is too large makes gradients infinite: then the step is skipped
and the scale halved; after 200 good steps it is doubled.

What it buys on a CPU, honestly, measured with the config char-gpt (time of a step; memory that waits for backward):

=========================  ======  ========
float32                    1       25.0 MB
float16                    100     12.5 MB
bfloat16                   1.06    25.0 MB
float32, recompute=true    1.15     2.8 MB
=========================  ======  ========

- ``float16`` really stores weights, activations and gradients in 16 bits while a step computes. It takes half the memory
  and a hundred times as long, because NumPy multiplies float16 matrices number by number: use it on tiny models, to learn.
- ``bfloat16`` rounds the weights and the gradients to bfloat16 (8 bits of precision, the range of float32, so no loss
  scale) and stores them in 32, because NumPy has no such type: it shows what training makes of the rounding.
- To save memory here, recompute the layers instead: `minitorch.utils.checkpoint`.

On a GPU, weights, activations and gradients in float16 take half the memory and half the time of moving them; our own
products calculate in float32 there, without tensor cores. Learn here what 16 bits do to the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minitorch.kernels import backend
from minitorch.nn import Module
from minitorch.ops.device import on_device_of
from minitorch.optim import Optimizer
from minitorch.tensor import Tensor

__all__ = ["Precision", "round_bfloat16"]

LARGEST_SCALE = 2.0 ** 15  # the largest power of two in float16
GROW_AFTER = 200           # good steps


class Precision:
    """How numbers are kept while a step computes: "float32", "float64", "float16" or "bfloat16".

    >>> from minitorch.train.precision import Precision
    >>> model = minitorch.nn.Linear(2, 1, bias=False)
    >>> precision = Precision(model, "float16")
    >>> with precision.compute():
    ...     print(model.weight.dtype)
    float16
    >>> model.weight.dtype, precision.scale
    (dtype('float32'), 32768.0)
    """

    def __init__(self, model: Module, name: str = "float32"):
        self.model, self.name = model, name
        self.scale = LARGEST_SCALE if name == "float16" else 1.0
        self.good_steps = 0
        if name == "float64":
            model.double()

    @contextmanager
    def compute(self, model: Module | None = None) -> Iterator[None]:
        """Within this block the parameters of the model, or of another one, are rounded."""
        if self.name not in ("float16", "bfloat16"):
            yield
            return
        parameters = list((model or self.model).parameters())
        kept = [p.data for p in parameters]
        try:
            for p in parameters:
                p.data = p.data.astype(np.float16) if self.name == "float16" else round_bfloat16(p.data)
            yield
        finally:
            for p, data in zip(parameters, kept):
                p.data = data

    def cast(self, batch: Any) -> Any:
        """The batch, with its floating-point tensors as the model has them."""
        wanted = {"float16": np.dtype("float16"), "float64": np.dtype("float64")}.get(self.name)
        if wanted is None:
            return batch
        if isinstance(batch, Tensor):
            return batch.to(wanted) if batch.is_floating_point() else batch
        if isinstance(batch, Mapping):
            return {key: self.cast(value) for key, value in batch.items()}
        return [self.cast(value) for value in batch] if isinstance(batch, (tuple, list)) else batch

    def backward(self, loss: Tensor, share: float = 1.0) -> None:
        """Go back from the loss times ``share``, times the scale."""
        start = share * self.scale
        loss.backward(None if start == 1.0 else loss.like(on_device_of(np.asarray(start, loss.dtype), loss)))

    def unscale(self, optimizer: Optimizer) -> bool:
        """Make the gradients float32 and divide them by the scale; False if the scale was too large for them."""
        if self.name not in ("float16", "bfloat16"):
            return True
        finite, numbers = 0, 0
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    gradient = p.grad.data
                    gradient = round_bfloat16(gradient) if self.name == "bfloat16" else gradient.astype(np.float32)
                    p.grad = None
                    p.grad = p.like(gradient / np.float32(self.scale))
                    finite, numbers = finite + np.isfinite(gradient).sum(), numbers + gradient.size
        # one number is asked for, as a GPU has to be waited for; with a scale of 1 it is not the scale's fault
        return int(finite) == numbers or self.scale <= 1.0

    def update(self, good: bool) -> None:
        """Choose the next scale."""
        if self.name != "float16":
            return
        self.good_steps = self.good_steps + 1 if good else 0
        if not good:
            self.scale /= 2
        elif self.good_steps % GROW_AFTER == 0:
            self.scale = min(self.scale * 2, LARGEST_SCALE)

    def state_dict(self) -> dict[str, Any]:
        """The scale and how long it has been good."""
        return {"name": self.name, "scale": self.scale, "good_steps": self.good_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        if state["name"] != self.name or not (0 < state["scale"] < math.inf):
            raise ValueError(f"Precision: the state is of a run in {state['name']}, this one is in {self.name}")
        self.scale, self.good_steps = float(state["scale"]), int(state["good_steps"])


def round_bfloat16(x: Any) -> Any:
    """The nearest bfloat16 of each float32, ties to even; stored as float32.

    >>> from minitorch.train.precision import round_bfloat16
    >>> round_bfloat16(np.array([1.0, 1.001, 3.14159], "float32"))
    array([1.      , 1.      , 3.140625], dtype=float32)
    """
    return backend(x if hasattr(x, "kernels") else np.asarray(x)).round_bfloat16(x)

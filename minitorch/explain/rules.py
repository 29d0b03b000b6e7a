"""How each op's numbers come about: what the player needs to break a value or a gradient down into contributions.

For most ops the recorded arrays are enough, and the page does the arithmetic. Where they are not, this file computes what is
missing with the engine's own code: attention's weights, where a reshaped element came from, the slope of an activation.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import minitorch.kernels.reference as reference
from minitorch.explain.trace import Step, Summary, Trace, Value
from minitorch.kernels.reference.dropout import keep

__all__ = ["Rule", "on_the_way_back", "rule"]

NAMED = {"Linear": "linear", "Matmul": "matmul", "Sum": "sum", "Mean": "sum", "Softmax": "softmax",
         "LogSoftmax": "logsoftmax", "LayerNorm": "layernorm", "RMSNorm": "layernorm"}
MOVES = {"Cat", "Contiguous", "Diag", "Diagonal", "Embedding", "Expand", "Flip", "Gather", "GetItem", "IndexSelect",
         "Narrow", "Permute", "Repeat", "RepeatInterleave", "Reshape", "Roll", "Split", "Stack", "Tril", "Triu", "Unbind"}
ONE_BY_ONE = ("elementwise", "activation", "trigonometry", "arithmetic")       # ops that treat each element by itself
LARGEST = 4096                                  # the most slopes ∂y/∂x stored for an op that nobody described


_ACTIVATIONS = {
    "relu": (reference.relu_forward, reference.relu_backward, ()),
    "gelu": (reference.gelu_forward, reference.gelu_backward, ("none",)),
    "gelu_tanh": (reference.gelu_forward, reference.gelu_backward, ("tanh",)),
    "silu": (reference.silu_forward, reference.silu_backward, ()),
}


@dataclass
class Rule:
    """What the page needs to know of one forward step."""

    kind: str = "unknown"
    settings: dict[str, float] = field(default_factory=dict)
    moves: list[Any] = field(default_factory=list)              # per output: 1 + the flat index of what it came from, or 0
    slopes: list[Any] = field(default_factory=list)             # per input: ∂y/∂x, element by element or as a matrix
    extra: dict[str, Any] = field(default_factory=dict)         # arrays that forward or backward computes on the way


def rule(step: Step, trace: Trace) -> Rule:
    """The rule of a forward step.

    >>> from minitorch import explain
    >>> trace = explain.record(lambda: minitorch.tensor([[1.0, 2.0]]).T)
    >>> rule(trace[0], trace).kind
    'moves'
    """
    arrays = [x.array if isinstance(x, Value) else x for x in [*step.inputs, *step.outputs]]
    if any(isinstance(a, Summary) for a in arrays):
        return Rule("large")
    if step.op in NAMED:
        return Rule(NAMED[step.op])
    if step.op in SPECIAL and step.fn.__module__.startswith("minitorch."):
        return SPECIAL[step.op](step)
    if (step.op in MOVES or step.op == "Pad" and not step.settings.get("value")) and any(_is_float(x) for x in step.inputs):
        return Rule("moves", moves=_moves(step, trace))
    package, _, family = step.fn.__module__.rpartition(".")
    if package == "minitorch.ops" and family in ONE_BY_ONE:
        return Rule("elementwise", slopes=_slopes(step, trace) if step.twin else [])
    if not step.twin or not step.outputs or not all(_is_float(y) for y in step.outputs):
        return Rule()
    size = sum(x.array.size for i, x in enumerate(step.inputs) if step.needs[i])
    if len(step.outputs) == 1 and size * step.outputs[0].array.size <= LARGEST:
        return Rule("matrix", slopes=_matrices(step, trace))
    return Rule()


def on_the_way_back(step: Step) -> dict[str, Any]:
    """Arrays that a backward step computes between what comes in and what goes out."""
    arrays = [x.array for x in [*step.inputs, *step.outputs] if isinstance(x, Value)]
    known = step.op in BACK and step.fn.__module__.startswith("minitorch.")
    if not known or any(isinstance(a, Summary) for a in [*arrays, *step.dys, *step.saved.values()]):
        return {}
    return BACK[step.op](step, step.dys[0])


def _is_float(x) -> bool:
    return isinstance(x, Value) and np.dtype(x.dtype).kind == "f"


def _moves(step: Step, trace: Trace) -> list[np.ndarray]:
    """Run the op on the numbers 1, 2, 3, … in place of its elements, and see where they go."""
    step = replace(step, inputs=[copy(x) for x in step.inputs])     # one value used twice is two inputs
    counted, start = {}, 1
    for x in step.inputs:
        if _is_float(x):
            counted[x] = np.arange(start, start + x.array.size).reshape(x.shape)
            start += x.array.size
    return [y.astype(np.int64) for y in trace.call(step, counted)[1]]


def _slopes(step: Step, trace: Trace) -> list[Any]:
    """∂y/∂x of an op that treats each element by itself: backward of ones, every input in the output's shape."""
    shape, dtype = step.outputs[0].shape, step.outputs[0].dtype
    spread = {x: np.broadcast_to(x.array, shape).astype(np.float64) for x in step.inputs if _is_float(x)}
    fn, outputs = trace.call(step, spread)
    return [None if g is None else g.astype(dtype) for g in trace.vjp(fn, [np.ones_like(outputs[0])])]


def _matrices(step: Step, trace: Trace) -> list[Any]:
    """∂y/∂x of any op, one row for each element of y: backward of a 1 at that element and 0 elsewhere."""
    fn, (y,) = trace.call(step)
    rows = [trace.vjp(fn, [one.reshape(y.shape)]) for one in np.eye(y.size)]
    return [np.stack([row[i].reshape(-1) for row in rows]) if step.needs[i] else None for i in range(len(step.inputs))]


def _dropped(shape, p, seed) -> np.ndarray:
    """What dropout multiplies with: 0 or 1 / (1 − p)."""
    return keep(shape, p, seed) / (1 - p) if p < 1 else np.zeros(shape)


def _attention(step: Step) -> Rule:
    weights, kept = _attention_weights(step)
    return Rule("attention", {"scale": float(step.settings["scale"])}, extra={"p": weights * kept})


def _attention_weights(step: Step):
    """softmax(scale · q kᵀ + mask), and what dropout multiplies it with."""
    q, k, _, mask = (x.array if isinstance(x, Value) else x for x in step.inputs)
    causal, scale, p, seed = (step.settings[name] for name in ("causal", "scale", "p", "seed"))
    weights = reference.attention_weights_forward(q, k, mask, causal, scale)
    return weights, _dropped(weights.shape, p, seed).astype(weights.dtype) if p else 1


def _attention_back(step: Step, dy) -> dict[str, Any]:
    weights, kept = _attention_weights(step)
    v = np.repeat(step.inputs[2].array, weights.shape[1] // step.inputs[2].shape[1], 1)
    dp = dy @ v.swapaxes(-1, -2) * kept
    return {"ds": weights * (dp - (dy * step.outputs[0].array).sum(-1, keepdims=True))}


def _feed_forward(step: Step) -> Rule:
    h, _ = _activated(step)
    return Rule("ffn", extra={"h": h})


def _activated(step: Step):
    """act(a), and its slope, both with dropout."""
    a, p = step.saved["a"], step.settings["p"]
    forward, backward, settings = _ACTIVATIONS[step.settings["activation"]]
    h = forward(a, *settings)
    slope = backward(np.ones_like(a), h if forward is reference.relu_forward else a, *settings)
    kept = _dropped(a.shape, p, step.settings["seed"]).astype(a.dtype) if p else 1
    return h * kept, slope * kept


def _feed_forward_back(step: Step, dy) -> dict[str, Any]:
    return {"da": (dy.reshape(-1, dy.shape[-1]) @ step.inputs[3].array) * _activated(step)[1]}


def _dropout(step: Step) -> Rule:
    kept = _dropped(step.inputs[0].shape, step.settings["p"], step.settings["seed"])
    return Rule("elementwise", slopes=[kept.astype(step.outputs[0].dtype)])


def _residual(step: Step) -> Rule:
    shape, dtype = step.outputs[0].shape, step.outputs[0].dtype
    kept = _dropped(shape, step.settings["p"], step.settings["seed"]) if step.settings["p"] else np.ones(shape)
    kept = kept.astype(dtype)
    return Rule("elementwise", slopes=[np.ones(shape, dtype), kept, kept if isinstance(step.inputs[2], Value) else None])


def _cross_entropy(step: Step) -> Rule:
    logits, saved = step.inputs[0].array, step.saved
    with np.errstate(over="ignore"):
        p = _probabilities(logits, saved)
    slope = reference.cross_entropy_backward(np.ones(len(logits), logits.dtype), logits, saved["labels"], saved["weight"],
                                             saved["top"], saved["others"], saved["ignore_index"], saved["smoothing"])
    plain = saved["weight"] is None and not saved["smoothing"]
    return Rule("crossentropy", {"share": float(saved["share"]), "plain": float(plain)},
                extra={"p": p, "labels": saved["labels"], "(p − target)": slope})


def _squared_error(step: Step) -> Rule:
    return Rule("squarederror", {"share": float(step.saved["share"])})


def _projection(step: Step) -> Rule:
    logits, saved = _logits(step), step.saved
    return Rule("projection", {"share": float(saved["share"]), "plain": float(not saved["smoothing"])},
                extra={"logits": logits, "p": _probabilities(logits, saved), "labels": saved["labels"]})


def _probabilities(logits, saved):
    return np.exp(logits - saved["top"][:, None]) / (1 + saved["others"][:, None])


def _logits(step: Step):
    x, w, b = (x.array if isinstance(x, Value) else x for x in step.inputs[:3])
    return x @ w.T + (0 if b is None else b)


def _projection_back(step: Step, dy) -> dict[str, Any]:
    saved = step.saved
    each = np.broadcast_to(dy * saved["share"], saved["labels"].shape)
    return {"dz": reference.cross_entropy_backward(each, _logits(step), saved["labels"], None, saved["top"],
                                                   saved["others"], saved["ignore_index"], saved["smoothing"])}


SPECIAL = {"Attention": _attention, "FeedForward": _feed_forward, "Dropout": _dropout, "ResidualAdd": _residual,
           "CrossEntropy": _cross_entropy, "SoftmaxProjection": _projection, "SquaredError": _squared_error}
BACK = {"Attention": _attention_back, "FeedForward": _feed_forward_back, "SoftmaxProjection": _projection_back}

"""The hand-written layers, each with inputs that are hard to get right by accident, and how to check them.

`minitorch gradcheck` and the tests walk `LAYERS`. γ is never 1 and β never 0, sizes are odd, ids repeat, labels are
missing, rows are fully masked. On the reference backend a complex step is the judge (15 digits); on the CPU backend the
reference is (12 digits), and measured slopes too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minitorch import kernels, nn
from minitorch.autograd import is_grad_enabled, run_backward
from minitorch.gradcheck import InputReport, Report, check
from minitorch.ops.activation import GELU, SiLU
from minitorch.ops.attention import Attention, AttentionWeights
from minitorch.ops.batchnorm import BatchNorm
from minitorch.ops.conv import Conv2d
from minitorch.ops.cross_entropy import CrossEntropy
from minitorch.ops.dropout import Dropout
from minitorch.ops.embedding import Embedding
from minitorch.ops.ffn import FeedForward
from minitorch.ops.layernorm import LayerNorm, RMSNorm
from minitorch.ops.matmul import Linear, Matmul
from minitorch.ops.pool import AvgPool2d, MaxPool2d
from minitorch.ops.projection import SoftmaxProjection
from minitorch.ops.residual import ResidualAdd
from minitorch.ops.rotary import Rotary
from minitorch.ops.softmax import LogSoftmax, Softmax
from minitorch.tensor import Tensor

__all__ = ["LAYERS", "Layer", "against_reference", "check_layer"]


@dataclass
class Layer:
    """A layer to check: a function of tensors, and what to call it with.

    ``inputs`` maps an input's name to a shape (random numbers), an array (passed as it is) or None.
    """

    name: str
    function: Callable
    inputs: dict
    composed: bool = False      # several ops: too free in its dtypes for a complex step
    scale: float = 1.0

    def arguments(self, seed=0) -> list:
        """Fresh tensors for every input; the float ones require gradients."""
        rng = np.random.default_rng(seed)
        values = [self.scale * rng.normal(size=v) if isinstance(v, tuple) else v for v in self.inputs.values()]
        return [Tensor(v, dtype=v.dtype, requires_grad=v.dtype.kind == "f") if isinstance(v, np.ndarray) else v
                for v in values]


def check_layer(layer: Layer, backend="reference", seed=0) -> list[Report]:
    """Every check of one layer on one backend: its name, or a module of kernels."""
    settings = {"seed": seed, "names": list(layer.inputs), "name": layer.name}
    with kernels.use(backend):
        if backend == "cpu":
            return [against_reference(layer, seed), check(layer.function, layer.arguments(seed), **settings)]
        method = "differences" if layer.composed else "complex"
        return [check(layer.function, layer.arguments(seed), method=method, **settings)]


def against_reference(layer: Layer, seed=0) -> Report:
    """Output and gradients on the current backend, compared with the reference's."""
    results = []
    for backend in None, "reference":
        arguments = layer.arguments(seed)
        if backend is None:
            results.append(_forward_and_gradients(layer, arguments, seed))
        else:
            with kernels.use(backend):
                results.append(_forward_and_gradients(layer, arguments, seed))
    report = Report(layer.name)
    for name, got in results[0].items():
        want = results[1][name]
        largest = max(float(np.abs(want).max(initial=0)), 1e-300)
        error = np.abs(got - want)
        found = InputReport(name, "the reference kernel", checked=got.size, off=int((~(error <= 1e-12 * largest)).sum()),
                            allowed=1e-12 * largest)
        if error.size:
            at = np.unravel_index(np.where(np.isnan(error), np.inf, error).argmax(), error.shape)
            found.worst, found.analytic, found.numeric = tuple(map(int, at)), float(got[at]), float(want[at])
            found.max_error = float(error[at]) / largest
        found.verdict = "wrong" if found.off else "right"
        report.inputs.append(found)
    return report


def _forward_and_gradients(layer, arguments, seed):
    y = layer.function(*arguments)
    dy = np.random.default_rng(seed + 1).normal(size=y.shape)
    leaves = {n: x for n, x in zip(layer.inputs, arguments, strict=True)
              if isinstance(x, Tensor) and x.requires_grad}
    arrived = run_backward([y], [dy], wanted=[x.place for x in leaves.values()])
    gradients = {n: np.array(arrived[x.place]) if x.place in arrived else np.zeros(x.shape) for n, x in leaves.items()}
    return {"the output": y.data.copy(), **gradients}


# ---------------------------------------------------------------------------------------------------------------------
# the list

IDS = np.array([[3, 0, 3], [5, 1, 3]])                      # with repetitions
LABELS = np.array([2, -100, 0, 4, 2])                       # one to ignore
MEAN, VAR = np.array([0.5, -1.0, 0.25, 2.0]), np.array([0.75, 2.0, 1.25, 0.5])
TABLE = np.random.default_rng(4).normal(size=(6, 4))
WEIGHTS = np.array([0.5, 2.0, 1.25, 0.75, 3.0])             # of classes
MASK = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 0, 1], [0, 1, 0, 0, 0]], bool)   # row 1 attends nowhere
QKV = {"q": (2, 2, 4, 3), "k": (2, 2, 5, 3), "v": (2, 2, 5, 4)}


def _padded(weight, ids):
    """Row 3 is padding: it counts as constant. So it is held still where slopes are measured."""
    if not is_grad_enabled():
        weight = weight.like(np.where(np.arange(6)[:, None] == 3, TABLE, weight.data))
    return Embedding.apply(weight, ids, padding_idx=3)


def _attention(**settings):
    return lambda q, k, v, mask: Attention.apply(q, k, v, mask, **{"scale": 0.6, **settings})


def _ffn(activation, p=0.0):
    return lambda x, w1, b1, w2, b2: FeedForward.apply(x, w1, b1, w2, b2, activation=activation, p=p, seed=11)


def _cross_entropy(ignore_index=-100, smoothing=0.0, reduction="mean"):
    return lambda logits, labels, weight: CrossEntropy.apply(
        logits, labels, weight, ignore_index=ignore_index, smoothing=smoothing, reduction=reduction)


def _conv(**settings):
    return lambda x, weight, bias: Conv2d.apply(x, weight, bias, **settings)


def _avg_pool(x):
    rows = np.array([[0, 1, 3], [2, 4, 4], [3, 3, 2]])      # begin, end, count: they overlap, and count some padding
    return AvgPool2d.apply(x, rows=rows, columns=rows[:, :2])


def _projection(smoothing=0.0, reduction="mean"):
    return lambda x, weight, bias, labels: SoftmaxProjection.apply(
        x, weight, bias, labels, ignore_index=-100, smoothing=smoothing, reduction=reduction)


def _module(make, inputs):
    """A module as a function of its inputs and its parameters, which stand in the inputs under their names."""
    layer = make()
    names = [name for name, _ in layer.named_parameters()]
    shapes = {name: p.shape for name, p in layer.named_parameters()}

    def function(*arguments):
        for name, value in zip(names, arguments[len(inputs):], strict=True):
            owner = layer
            *path, last = name.split(".")
            for part in path:
                owner = getattr(owner, part)
            owner._parameters[last] = value
        y = layer(*arguments[:len(inputs)])
        return y[0] if isinstance(y, tuple) else y

    return function, {**inputs, **shapes}


class _Modules:
    """Composed modules are made when somebody first asks."""

    def __init__(self):
        self.made = None

    def __call__(self):
        if self.made is None:
            settings = {"dim_feedforward": 5, "dropout": 0.0, "batch_first": True}
            found = {"nn.MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2, batch_first=True),
                                               {"query": (2, 3, 4), "key": (2, 5, 4), "value": (2, 5, 4)})}
            for first, when in ((False, "post-norm"), (True, "pre-norm")):
                norm = {**settings, "norm_first": first}
                found[f"nn.TransformerEncoderLayer, {when}"] = (
                    lambda norm=norm: nn.TransformerEncoderLayer(4, 2, activation="gelu", **norm), {"src": (2, 3, 4)})
                found[f"nn.TransformerDecoderLayer, {when}"] = (
                    lambda norm=norm: nn.TransformerDecoderLayer(4, 2, activation="gelu", **norm),
                    {"tgt": (2, 3, 4), "memory": (2, 4, 4)})
            self.made = [Layer(name, *_module(make, inputs), composed=True) for name, (make, inputs) in found.items()]
        return self.made


modules = _Modules()

_norm = lambda x, gamma, beta: LayerNorm.apply(x, gamma, beta, eps=1e-5)
_rms = lambda x, gamma: RMSNorm.apply(x, gamma, eps=1e-5)

_angles = np.random.default_rng(5).normal(size=(4, 3))
_rotary = lambda x: Rotary.apply(x, cos=np.cos(_angles), sin=np.sin(_angles))

LAYERS = [
    Layer("layer_norm", _norm, {"x": (3, 3, 5), "gamma": (5,), "beta": (5,)}),
    Layer("layer_norm, no γ, no β", _norm, {"x": (4, 5), "gamma": None, "beta": None}),
    Layer("layer_norm, tiny numbers", _norm, {"x": (4, 5), "gamma": (5,), "beta": (5,)}, scale=0.01),
    Layer("layer_norm, many rows", _norm, {"x": (67, 13), "gamma": (13,), "beta": (13,)}),
    Layer("rms_norm", _rms, {"x": (3, 3, 5), "gamma": (5,)}),
    Layer("rms_norm, tiny numbers", _rms, {"x": (4, 5), "gamma": (5,)}, scale=0.01),
    Layer("rms_norm, many rows", _rms, {"x": (67, 13), "gamma": (13,)}),
    Layer("batch_norm", lambda x, gamma, beta: BatchNorm.apply(x, gamma, beta),
          {"x": (3, 4, 2, 3), "gamma": (4,), "beta": (4,)}),
    Layer("batch_norm, no γ, no β", lambda x, gamma, beta: BatchNorm.apply(x, gamma, beta),
          {"x": (5, 4), "gamma": None, "beta": None}),
    Layer("batch_norm, many positions", lambda x, gamma, beta: BatchNorm.apply(x, gamma, beta),
          {"x": (3, 2, 13), "gamma": (2,), "beta": (2,)}),
    Layer("batch_norm, evaluation", lambda x, gamma, beta: BatchNorm.apply(x, gamma, beta, mean=MEAN, var=VAR),
          {"x": (3, 4, 5), "gamma": (4,), "beta": (4,)}),
    Layer("linear", Linear.apply, {"x": (2, 3, 4), "weight": (5, 4), "bias": (5,)}),
    Layer("linear, square", Linear.apply, {"x": (7, 4), "weight": (4, 4), "bias": None}),
    Layer("matmul", Matmul.apply, {"x": (3, 3), "y": (3, 3)}),
    Layer("matmul, broadcast", Matmul.apply, {"x": (2, 3, 4), "y": (4, 5)}),
    Layer("conv2d", _conv(padding=((1, 1), (1, 1))), {"x": (2, 3, 4, 5), "weight": (4, 3, 3, 3), "bias": (4,)}),
    Layer("conv2d, square", _conv(), {"x": (3, 3, 3, 3), "weight": (3, 3, 3, 3), "bias": None}),
    Layer("conv2d, stride, dilation, groups", _conv(stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2), groups=2),
          {"x": (2, 4, 5, 4), "weight": (6, 2, 2, 3), "bias": (6,)}),
    Layer("max_pool2d", lambda x: MaxPool2d.apply(x, kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1),
                                                  size=(2, 3)), {"x": (2, 2, 4, 6)}),
    Layer("max_pool2d, overlapping", lambda x: MaxPool2d.apply(x, kernel=(3, 2), stride=(1, 1), padding=(1, 1),
                                                               dilation=(1, 2), size=(4, 5)), {"x": (2, 2, 4, 5)}),
    Layer("avg_pool2d", _avg_pool, {"x": (2, 3, 4, 4)}),
    Layer("embedding", lambda weight, ids: Embedding.apply(weight, ids), {"weight": (6, 4), "ids": IDS}),
    Layer("embedding, padding", _padded, {"weight": TABLE, "ids": IDS}, composed=True),
    Layer("softmax", lambda x: Softmax.apply(x, axis=-1), {"x": (3, 5)}),
    Layer("softmax, first axis", lambda x: Softmax.apply(x, axis=0), {"x": (3, 17)}),
    Layer("log_softmax", lambda x: LogSoftmax.apply(x, axis=-1), {"x": (3, 5)}),
    Layer("log_softmax along the first axis", lambda x: LogSoftmax.apply(x, axis=0), {"x": (3, 17)}),
    Layer("gelu, exact", lambda x: GELU.apply(x, approximate="none"), {"x": (4, 7)}),
    Layer("gelu, tanh form", lambda x: GELU.apply(x, approximate="tanh"), {"x": (4, 7)}),
    Layer("silu", SiLU.apply, {"x": (4, 7)}),
    Layer("dropout", lambda x: Dropout.apply(x, p=0.4, seed=5), {"x": (4, 7)}),
    Layer("attention", _attention(), {**QKV, "mask": None}),
    Layer("attention, square", _attention(), {"q": (1, 1, 4, 4), "k": (1, 1, 4, 4), "v": (1, 1, 4, 4), "mask": None}),
    Layer("attention, causal", _attention(causal=True), {**QKV, "mask": None}),
    Layer("attention, bool mask", _attention(), {**QKV, "mask": MASK}),
    Layer("attention, float mask", _attention(), {**QKV, "mask": (2, 1, 4, 5)}),
    Layer("attention, grouped heads", _attention(),
          {"q": (1, 4, 3, 3), "k": (1, 2, 4, 3), "v": (1, 2, 4, 2), "mask": None}),
    Layer("attention, dropout", _attention(p=0.4, seed=7), {**QKV, "mask": None}),
    Layer("attention weights", lambda q, k, mask: AttentionWeights.apply(q, k, mask, scale=0.6),
          {"q": (1, 2, 4, 3), "k": (1, 2, 5, 3), "mask": MASK}),
    Layer("rotary", _rotary, {"x": (2, 3, 4, 6)}),
    *[Layer(f"ffn, {a}", _ffn(a), {"x": (2, 3, 4), "w1": (7, 4), "b1": (7,), "w2": (5, 7), "b2": (5,)})
      for a in ("relu", "gelu", "gelu_tanh", "silu")],
    Layer("ffn, dropout", _ffn("gelu", 0.4), {"x": (5, 4), "w1": (7, 4), "b1": (7,), "w2": (4, 7), "b2": (4,)}),
    Layer("residual add", lambda x, f, bias: ResidualAdd.apply(x, f, bias), {"x": (2, 3, 5), "f": (2, 3, 5), "bias": (5,)}),
    Layer("residual add, dropout", lambda x, f, bias: ResidualAdd.apply(x, f, bias, p=0.4, seed=3),
          {"x": (2, 3, 5), "f": (2, 3, 5), "bias": (5,)}),
    Layer("residual add, x to itself", lambda x, bias: ResidualAdd.apply(x, x, bias), {"x": (3, 5), "bias": (5,)}),
    Layer("softmax projection", _projection(), {"x": (5, 3), "weight": (5, 3), "bias": (5,), "labels": LABELS}),
    Layer("softmax projection, label smoothing", _projection(0.2, "sum"),
          {"x": (5, 3), "weight": (5, 3), "bias": (5,), "labels": LABELS}),
    Layer("cross_entropy", _cross_entropy(), {"logits": (5, 5), "labels": np.array([2, 1, 0, 4, 2]), "weight": None}),
    Layer("cross_entropy, ignore_index", _cross_entropy(), {"logits": (5, 5), "labels": LABELS, "weight": None}),
    Layer("cross_entropy, label smoothing", _cross_entropy(smoothing=0.2),
          {"logits": (5, 5), "labels": LABELS, "weight": None}),
    Layer("cross_entropy, class weights", lambda logits, labels: _cross_entropy(smoothing=0.1)(logits, labels, WEIGHTS),
          {"logits": (5, 5), "labels": LABELS}),
    Layer("cross_entropy, sum", _cross_entropy(reduction="sum"), {"logits": (5, 5), "labels": LABELS, "weight": None}),
    Layer("cross_entropy, none", _cross_entropy(reduction="none"), {"logits": (5, 5), "labels": LABELS, "weight": None}),
]

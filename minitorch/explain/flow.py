"""Gradient flow: how large the gradient is in each layer, and where on its way back it shrinks, grows or stops.

With this file one can

- measure it        `gradient_flow(model, loss)`: a `Flow`, one `Layer` record per layer, in the order of forward
- read it           `print(flow)`: a table, and below it what is wrong: zeros, NaN, parameters no gradient reached
- keep it           `flow.to_csv(path)`
- look at it        `plot_gradient_flow({"before": flow, "after": other})`: runs over each other, on a log scale
"""

from __future__ import annotations

import copy
import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from importlib import import_module
from os import PathLike
from typing import Any

import numpy as np

from minitorch import autograd
from minitorch.autograd import Function, Variable, held
from minitorch.errors import got
from minitorch.nn import Dropout, Identity, Module, Parameter
from minitorch.ops.device import on_host
from minitorch.optim import Optimizer
from minitorch.tensor import Tensor

__all__ = ["Flow", "Layer", "gradient_flow", "plot_gradient_flow"]

# Okabe and Ito's colours, which the colour-blind tell apart; black comes first, yellow is too pale for a line
STYLES = [("#000000", "o", "-"), ("#D55E00", "s", "-"), ("#0072B2", "^", "-"), ("#009E73", "D", "-"),
          ("#CC79A7", "v", "-"), ("#E69F00", "P", "--"), ("#56B4E9", "X", "--")]

QUANTITIES = {
    "grad_norm": "gradient norm of the parameters",
    "grad_mean_abs": "mean |gradient| of the parameters",
    "out_grad_norm": "gradient norm at the layer's output",
    "out_norm": "norm of the layer's output",
    "out_std": "standard deviation of the layer's output",
    "weight_norm": "norm of the parameters",
    "update_ratio": "size of the update / size of the parameters",
}


@dataclass(frozen=True)
class Layer:
    """What was measured in one layer. None: there is no such thing, or it was not seen. NaN: it *is* NaN.

    ===================  =============================================================================
    out_…                of the layer's output: norm, mean, standard deviation, fraction of exact zeros
    out_grad_norm        norm of the loss's gradient with respect to that output
    weight_norm          norm of all the layer's parameters together
    grad_…               of the loss's gradient with respect to them: norm, mean |g|, fraction of exact zeros
    update_ratio         norm of the next update / weight_norm; 1e-3 is a usual size
    ===================  =============================================================================
    """

    name: str
    kind: str
    parameters: int
    out_norm: float | None = None
    out_mean: float | None = None
    out_std: float | None = None
    out_zeros: float | None = None
    out_grad_norm: float | None = None
    weight_norm: float | None = None
    grad_norm: float | None = None
    grad_mean_abs: float | None = None
    grad_zeros: float | None = None
    update_ratio: float | None = None


class Flow:
    """The gradient flow of one model at one moment: a sequence of `Layer` records.

    ``flow[0]`` and ``flow["0.linear1"]`` are single layers, ``flow.column("grad_norm")`` is one number of each layer.
    ``parameters`` has a record for each parameter; ``loss`` and ``dtype`` say what was measured, ``problems`` what is
    wrong, in sentences.
    """

    def __init__(self, layers: Iterable[Layer], parameters: Iterable[Layer] = (), loss: float = math.nan,
                 dtype: str = "", problems: Iterable[str] = ()):
        self.layers = tuple(layers)
        self.parameters = tuple(parameters)
        self.loss, self.dtype = loss, dtype
        self.problems = list(problems)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | str) -> Layer:
        if isinstance(index, int):
            return self.layers[index]
        for layer in (*self.layers, *self.parameters):
            if layer.name == index:
                return layer
        raise KeyError(f"Flow: there is no layer {index!r}. There are: {', '.join(layer.name for layer in self)}")

    def column(self, name: str) -> list[float | None]:
        """One number of each layer, by the name of its field in `Layer`."""
        return [getattr(layer, name) for layer in self.layers]

    def to_csv(self, path: str | PathLike) -> None:
        """Write one line per layer; a cell is empty where there is no such number."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([field.name for field in fields(Layer)])
            rows.writerows([astuple(layer) for layer in self.layers])

    def __repr__(self) -> str:
        """A table; of a very deep model its beginning and its end."""
        shown = [column for column in COLUMNS if any(getattr(layer, column[0]) is not None for layer in self)]
        rows = [[text for _, text, _ in shown]]
        rows += [[_cell(getattr(layer, field), form) for field, _, form in shown] for layer in self]
        widths = [max(len(row[i]) for row in rows) for i in range(len(shown))]
        lines = ["  ".join(text.ljust(width) if i < 2 else text.rjust(width)
                           for i, (text, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
        if len(lines) > 61:
            lines = lines[:31] + [f"… {len(lines) - 61} more …"] + lines[-30:]
        count = f"{len(self)} layer{'s' * (len(self) != 1)}"
        return "\n".join([f"Gradient flow: {count}, {self.dtype}, loss {self.loss:.6g}", *lines,
                          *[f"! {problem}" for problem in self.problems]])


COLUMNS = [
    ("name", "layer", ""), ("kind", "kind", ""), ("parameters", "params", "d"),
    ("out_mean", "out mean", ".2g"), ("out_std", "out std", ".2g"), ("out_zeros", "out zero", ".0%"),
    ("out_grad_norm", "|grad out|", ".3g"), ("weight_norm", "|w|", ".3g"), ("grad_norm", "|grad w|", ".3g"),
    ("grad_mean_abs", "mean|g|", ".2g"), ("grad_zeros", "g zero", ".0%"), ("update_ratio", "update/w", ".2g"),
]


def _cell(value, form) -> str:
    return "–" if value is None else format(value, form)


# ---------------------------------------------------------------------------------------------------------------------
# measuring

def gradient_flow(model: Module, loss: Tensor | Callable[[], Tensor], *, layers: Iterable[Module | str] | None = None,
                  lr: float | None = None, optimizer: Optimizer | None = None) -> Flow:
    """Measure the gradient in every layer; leave every ``.grad``, the parameters and the optimiser as they are.

    Parameters
    ----------
    model : the model whose layers are wanted.
    loss : a function that computes the loss with the model, or the loss itself, before its ``backward()``. A function is
        run once, and each layer's output is seen. From a loss alone the outputs of minitorch's own simple layers (linear,
        norm, embedding) can be found again in its graph; others show as –, and so do values of over 1 MB that no op keeps.
    layers : modules of the model, or their names; each parameter counts to the innermost of them around it. Default:
        every module that has parameters of its own or no parts, but for dropout and identity.
    lr, optimizer : give one of them to know the update-to-weight ratio: lr · |g| / |w|, or that of the update which
        the optimiser would make now.

    >>> model = minitorch.nn.Sequential(minitorch.nn.Linear(4, 8), minitorch.nn.ReLU(), minitorch.nn.Linear(8, 1))
    >>> x = minitorch.randn(16, 4)
    >>> flow = minitorch.explain.gradient_flow(model, lambda: model(x).square().mean(), lr=0.1)
    >>> [(layer.name, layer.kind) for layer in flow]
    [('0', 'Linear'), ('1', 'ReLU'), ('2', 'Linear')]
    >>> model(x).square().mean().backward()
    >>> bool(np.isclose(flow["0.weight"].grad_norm, np.linalg.norm(model[0].weight.grad.numpy())))
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"gradient_flow: model must be a Module, got {type(model).__name__}")
    if lr is not None and optimizer is not None:
        raise ValueError("gradient_flow: give lr or optimizer, not both: the optimizer has its own lr")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"gradient_flow: optimizer must be an Optimizer, got {type(optimizer).__name__}. "
                        "For a learning rate write lr=.")
    params = dict(model.named_parameters())
    if not params:
        raise ValueError(f"gradient_flow: {type(model).__name__} has no parameters. Layers in a plain Python list are not "
                         "registered: use nn.ModuleList.")
    chosen = _chosen(model, layers)
    owned = _owned(model, chosen)
    is_function = callable(loss) and not isinstance(loss, Tensor)
    outputs: Mapping[str, Sequence[Variable]] = {}
    returned = loss
    if is_function:
        returned, outputs = _watched(loss, chosen)
    at = _checked(returned)
    users = _users(at, {params[p]: name for name, its in owned.items() for p in its})
    if not is_function:
        outputs = {name: found for name, module in chosen.items() if (found := _found_again(module, users.get(name, ())))}

    def when(name):  # the number of the op that made the layer's first output, or else that first used its parameters
        fns = [y.fn for y in outputs.get(name, ())] or [fn for fn, _ in users.get(name, ())]
        return min((-1 if fn is None else fn.order for fn in fns), default=math.inf)

    names = [name for name in dict.fromkeys([*outputs, *chosen]) if owned[name] or name in outputs]
    names.sort(key=when)

    places = [y.place for ys in outputs.values() for y in ys if y.fn is not None]
    arrived = autograd.run_backward([at], [np.ones_like(at.data)], not is_function, places)
    gradients = {name: arrived.get(p) for name, p in params.items()}
    updates = {name: _update_norm(p, gradients[name], lr, optimizer) for name, p in params.items()}

    gradients = {name: None if g is None else on_host(g) for name, g in gradients.items()}
    each = {name: _of_parameter(name, on_host(p.data), gradients[name], updates[name]) for name, p in params.items()}
    rows = []
    for name in names:
        ys = outputs.get(name, ())
        dys = [on_host(arrived[y.place]) for y in ys if y.place in arrived]
        rows.append(Layer(name or "(model)", type(chosen[name]).__name__, **_of_outputs(_kept(ys), dys),
                          **_together([each[n] for n in owned[name]], [updates[n] for n in owned[name]])))
    dtypes = ", ".join(sorted({str(p.dtype) for p in params.values()}))
    return Flow(rows, each.values(), float(at.data.reshape(())), dtypes, _problems(at, params, gradients, outputs))


def _chosen(model, layers) -> dict[str, Module]:
    """Name → module of the layers that get a line each."""
    everything = dict(model.named_modules())
    if layers is None:
        return {name: module for name, module in everything.items()
                if (module._parameters or not list(module.children())) and not isinstance(module, (Dropout, Identity))}
    if isinstance(layers, str) or (isinstance(layers, Module) and not isinstance(layers, Iterable)):
        layers = [layers]
    names = {module: name for name, module in everything.items()}
    chosen: dict[str, Module] = {}
    for layer in layers:
        name: Any = layer if isinstance(layer, str) else names.get(layer)
        if name not in everything:
            what = repr(layer) if isinstance(layer, str) else f"this {type(layer).__name__}"
            raise ValueError(f"gradient_flow: layers: {what} is not a module of {type(model).__name__}. Take modules of the "
                             "model, or names from model.named_modules().")
        chosen[name] = everything[name]
    return chosen


def _owned(model, chosen) -> dict[str, list[str]]:
    """Layer → the names of its parameters. A parameter belongs to the innermost chosen module around it."""
    owned: dict[str, list[str]] = {name: [] for name in chosen}
    for full in dict(model.named_parameters()):
        place = full.rpartition(".")[0]
        while place and place not in chosen:
            place = place.rpartition(".")[0]
        if place in chosen:
            owned[place].append(full)
    return owned


def _watched(function, modules) -> tuple[Any, dict[str, list[Tensor]]]:
    """Run the function; return what it returned, and each module's outputs, one per call."""
    outputs: dict[str, list[Tensor]] = {}

    def keep(name):
        def hook(module, args, output):
            ys = output if isinstance(output, (tuple, list)) else (output,)
            outputs.setdefault(name, []).extend(y for y in ys[:1] if isinstance(y, Tensor) and y.is_floating_point())
        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        with autograd.enable_grad():
            return function(), outputs
    finally:
        for handle in handles:
            handle.remove()


def _checked(loss) -> Tensor:
    if not isinstance(loss, Tensor):
        raise TypeError(f"gradient_flow: loss must be a scalar Tensor, or a function that returns one, {got(loss)}")
    if loss.data.size != 1:
        raise RuntimeError(f"gradient_flow: loss has shape {loss.shape}, not a scalar. Call .sum() or .mean() first.")
    if loss.fn is None:
        raise RuntimeError("gradient_flow: this loss has no graph: it was computed under no_grad(), or detached, or from "
                           "nothing that requires a gradient.")
    if loss.fn.freed:
        raise RuntimeError(f"gradient_flow: the graph of this loss was freed by backward() (at {loss.fn.freed}). Call "
                           "gradient_flow first, or pass a function: gradient_flow(model, lambda: criterion(model(x), y)).")
    return loss


def _users(loss, owner) -> dict[str, list[tuple[Function, Variable | None]]]:
    """Layer → the ops that its parameters went into, oldest first, each with its output."""
    nodes = autograd._newest_first([loss.fn])
    tensors: dict[Any, Any] = {loss.place: loss}
    for fn in nodes:
        tensors.update((parent.place, parent) for parent in fn.parents if parent is not None)
    users: dict[str, list[tuple[Function, Variable | None]]] = {}
    for fn in reversed(nodes):
        for layer in dict.fromkeys(owner[p] for p in fn.parents if p in owner):
            users.setdefault(layer, []).append((fn, tensors.get((fn, 0))))
    return users


def _found_again(module, users) -> list[Variable]:
    """The outputs of a simple layer of ours, in the graph: its op bears its name, and does all that it does."""
    ours = type(module).__module__.startswith("minitorch.nn.")
    return [y for fn, y in users if ours and y is not None and type(fn).__name__ == type(module).__name__]


def _kept(outputs) -> list[np.ndarray]:
    """The values of a layer's outputs; none if even one of them, large and needed by no op, is gone."""
    arrays = [held(y) for y in outputs]
    return [] if any(y is None for y in arrays) else [on_host(y) for y in arrays]


def _update_norm(p, gradient, lr, optimizer) -> float | None:
    """How far the next update moves this parameter."""
    if lr is None and optimizer is None:
        return None
    if gradient is None:
        return 0.0
    if optimizer is None:
        return abs(lr) * norm_of(gradient)
    for group in optimizer.param_groups:
        if any(p is other for other in group["params"]):
            moved = Parameter(p.like(p.data.copy()))
            with autograd.no_grad():
                optimizer._update(moved, p.like(gradient.copy()), copy.deepcopy(optimizer.state.get(p, {})), group)
            return norm_of(moved.data.astype(np.float64) - p.data)
    return 0.0


def _of_outputs(ys, dys) -> dict[str, Any]:
    found: dict[str, Any] = {"out_grad_norm": math.hypot(*[norm_of(dy) for dy in dys])} if dys else {}
    if ys:
        y = np.concatenate([y.ravel() for y in ys])
        with np.errstate(all="ignore"):
            mean, std = (float(y.mean(dtype=np.float64)), float(y.std(dtype=np.float64))) if y.size else (None, None)
        found |= {"out_norm": norm_of(y), "out_mean": mean, "out_std": std, "out_zeros": _zeros(y)}
    return found


def _of_parameter(name, w, g, moved) -> Layer:
    found: dict[str, Any] = {"weight_norm": norm_of(w)}
    if g is not None:
        mean = float(np.abs(g).sum(dtype=np.float64) / g.size) if g.size else None
        found |= {"grad_norm": norm_of(g), "grad_mean_abs": mean, "grad_zeros": _zeros(g)}
    if moved is not None:
        found["update_ratio"] = _ratio(moved, norm_of(w))
    return Layer(name, str(w.shape), w.size, **found)


def _together(each, moved) -> dict[str, Any]:
    """What is known of a layer, from its parameters' records."""
    found: dict[str, Any] = {"parameters": sum(p.parameters for p in each)}
    reached = [p for p in each if p.grad_norm is not None]
    if each:
        found["weight_norm"] = math.hypot(*[p.weight_norm for p in each])
        if None not in moved:
            found["update_ratio"] = _ratio(math.hypot(*moved), found["weight_norm"])
    if reached:
        found["grad_norm"] = math.hypot(*[p.grad_norm for p in reached])
        for name in ("grad_mean_abs", "grad_zeros"):
            parts = [(getattr(p, name), p.parameters) for p in reached if p.parameters]
            found[name] = sum(value * n for value, n in parts) / sum(n for _, n in parts) if parts else None
    return found


def _ratio(moved, weight_norm) -> float:
    return moved / weight_norm if weight_norm else math.inf if moved > 0 else math.nan


def norm_of(a) -> float:
    """√Σ a² in float64; where the squares would be lost or overflow, scaled by the largest."""
    a = on_host(a).ravel().astype(np.float64)
    with np.errstate(all="ignore"):
        norm = math.sqrt(a @ a)
        if 1e-140 < norm < 1e140 or not a.size:
            return norm
        largest = float(np.abs(a).max())
        return largest if largest == 0 or largest == math.inf else largest * float(np.linalg.norm(a / largest))


def _zeros(a) -> float | None:
    return (a.size - int(np.count_nonzero(a))) / a.size if a.size else None


# ---------------------------------------------------------------------------------------------------------------------
# what is wrong, in sentences

def _problems(loss, params, gradients, outputs) -> list[str]:
    found = []
    if not np.isfinite(loss.data).all():
        found.append(f"the loss is {float(loss.data.reshape(()))}")
    for name, ys in outputs.items():
        if any(not np.isfinite(y).all() for y in _kept(ys)):
            found.append(f"the output of {name or 'the model'} has NaN or infinite values; it is the first that has")
            break
    for name, g in gradients.items():
        bad = 0 if g is None else g.size - int(np.isfinite(g).sum())
        if bad:
            first = [int(i) for i in np.argwhere(~np.isfinite(g))[0]]
            found.append(f"the gradient of {name} is NaN or infinite in {bad} of {g.size} places, first at {first}")
    unreached = [name for name, g in gradients.items() if g is None and params[name].requires_grad]
    if unreached:
        found.append(f"no gradient reached {_few(unreached)}: the loss was not computed from {_it(unreached)}")
    zero = [name for name, g in gradients.items() if g is not None and g.size and not g.any()]
    if zero:
        found.append(f"the gradient is exactly 0 everywhere in {_few(zero)}")
    return found


def _few(names) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _it(names) -> str:
    return "it" if len(names) == 1 else "them"


# ---------------------------------------------------------------------------------------------------------------------
# drawing

def plot_gradient_flow(flows: Flow | Iterable[Flow] | Mapping[str, Flow], *, ax: Any = None, what: str = "grad_norm",
                       theory: Mapping[str, Iterable[float | None]] | None = None, label_ends: bool = False,
                       title: str | None = None) -> Any:
    """Draw one number of each layer against the layer, on a log scale; return the Axes. Never calls ``show``.

    Parameters
    ----------
    flows : one flow, a list of them, or a dictionary from names to flows; they are drawn over each other.
    ax : where to draw; by default in a new figure.
    what : the field of `Layer` to draw: ``grad_norm`` (of the parameters), ``out_grad_norm`` (at the outputs), ….
    theory : name of a flow → expected values, drawn as a thin dashed line.
    label_ends : write the names where the lines arrive, at the first layer, instead of in a legend.

    A log scale has no place for 0: exact zeros stand as hollow triangles at the bottom, NaN as × there, and infinite
    values as × at the top. Where a layer has no such number the line has a gap.

    >>> model = minitorch.nn.Sequential(*[minitorch.nn.Linear(8, 8) for _ in range(5)])
    >>> x = minitorch.randn(16, 8)
    >>> flow = minitorch.explain.gradient_flow(model, lambda: model(x).square().mean())
    >>> ax = minitorch.explain.plot_gradient_flow({"at the start": flow})
    >>> ax.get_title(), ax.get_yscale()
    ('Gradient flow: 5 layers, float32', 'log')
    """
    if what not in QUANTITIES:
        raise ValueError(f"plot_gradient_flow: what must be one of {', '.join(QUANTITIES)}, got {what!r}")
    runs = _runs(flows)
    ax = _new_axes() if ax is None else ax
    layers = {name: [layer for layer in flow if _has(layer, what)] for name, flow in runs.items()}
    curves = {name: _as_array(getattr(layer, what) for layer in its) for name, its in layers.items()}
    expected = {name: _as_array(values) for name, values in (theory or {}).items() if name in curves}
    floors = _floors(curves)
    bottom, top = _log_scale(ax, curves.values(), len(floors))
    for i, (name, values) in enumerate(curves.items()):
        color, marker, line = STYLES[i % len(STYLES)]
        _draw_curve(ax, name, values, floors.get(name, 0.0), color=color, marker=marker, linestyle=line)
        if name in expected:
            seen = np.where((expected[name] > bottom) & (expected[name] < top), expected[name], math.nan)
            ax.plot(np.arange(1, len(seen) + 1), seen, color=color, linewidth=1, linestyle=(0, (4, 3)), zorder=1.9,
                    label="_theory")
    _describe_axes(ax, layers, runs, what, title)
    _write_names(ax, curves, floors, bool(expected), label_ends)
    return ax


def _has(layer, what) -> bool:
    """Is this a number that the layer could have? A layer without parameters has no place on a plot of them."""
    return getattr(layer, what) is not None or (layer.parameters > 0 and not what.startswith("out_"))


def _runs(flows) -> dict[str, Flow]:
    if isinstance(flows, Flow):
        flows = {"": flows}
    elif not isinstance(flows, Iterable):
        raise TypeError(f"plot_gradient_flow: flows: expected what gradient_flow returns, got {type(flows).__name__}. "
                        "Call gradient_flow(model, loss) first.")
    elif not isinstance(flows, Mapping):
        flows = {f"run {i + 1}": flow for i, flow in enumerate(flows)}
    if not flows:
        raise ValueError("plot_gradient_flow: there is no flow to draw. Pass what gradient_flow returned.")
    for name, flow in flows.items():
        if not isinstance(flow, Flow):
            raise TypeError(f"plot_gradient_flow: {name or 'flows'}: expected what gradient_flow returns, got "
                            f"{type(flow).__name__}. Call gradient_flow(model, loss) first.")
        if not len(flow):
            raise ValueError(f"plot_gradient_flow: {name or 'the flow'} has no layers")
    return {str(name): flow for name, flow in flows.items()}


def _new_axes():
    return import_module("matplotlib.pyplot").subplots(figsize=(8, 4.8), layout="constrained")[1]


def _as_array(values) -> np.ndarray:
    """As floats; −1 stands for a number that does not exist: NaN is needed for what *is* NaN."""
    return np.array([-1.0 if v is None else float(v) for v in values])


def _floors(curves) -> dict[str, float]:
    """Heights, as parts of the axis, of the lines at the bottom where zeros and NaN stand: one for each run with some."""
    needy = [name for name, values in curves.items() if (values == 0).any() or np.isnan(values).any()]
    return {name: 0.02 + 0.035 * k for k, name in enumerate(reversed(needy))}


def _log_scale(ax, curves, floors) -> tuple[float, float]:
    """A log axis with room for every number and, below, for the floors. Over many decades a tick every so many of them:
    the usual ones overflow near the ends of float64."""
    values = np.concatenate(list(curves))
    shown = values[(values > 0) & (values < math.inf)]
    low, high = (math.log10(shown.min()), math.log10(shown.max())) if shown.size else (-1.0, 1.0)
    margin = 0.06 * (high - low) + 0.15
    room = (high - low + 2 * margin) * (0.04 * floors + 0.02 * (floors > 0))
    bottom, top = max(10.0 ** (low - margin - room), 5e-324), 10.0 ** min(high + margin, 308.0)
    ax.set_yscale("log")
    first, last = math.ceil(math.log10(bottom)), math.floor(math.log10(top))
    if last - first >= 3:
        stride = next(s for s in (1, 2, 3, 5, 10, 20, 50, 100) if last - first < 8 * s)
        ax.set_yticks([10.0 ** k for k in range(first, last + 1) if k % stride == 0])
        ax.minorticks_off()
    ax.set_ylim(bottom, top)
    return bottom, top


def _draw_curve(ax, name, values, floor, *, color, marker, linestyle):
    at = np.arange(1, len(values) + 1)
    every = max(1, len(values) // 16)
    visible = np.where((values > 0) & (values < math.inf), values, math.nan)
    ax.plot(at, visible, color=color, marker=marker, linestyle=linestyle, label=name or "_the only one", linewidth=1.8,
            markersize=5, markevery=every, markeredgecolor="white", markeredgewidth=0.5)
    for chosen, symbol, label, height in ((values == 0, "v", "exactly 0", floor), (np.isnan(values), "x", "NaN", floor),
                                          (values == math.inf, "x", "infinite", 0.98)):
        if chosen.any():
            ax.plot(at[chosen], np.full(chosen.sum(), height), transform=ax.get_xaxis_transform(), color=color,
                    marker=symbol, linestyle="none", markersize=6, markerfacecolor="none",
                    markevery=[*range(0, chosen.sum() - 1, every), chosen.sum() - 1], label=f"_{label}: {name}",
                    clip_on=False)


def _describe_axes(ax, layers, runs, what, title):
    deepest = max(layers.values(), key=len)
    count = sorted({len(its) for its in layers.values()})
    dtypes = sorted({flow.dtype for flow in runs.values() if flow.dtype})
    default = f"Gradient flow: {' and '.join(map(str, count))} layer{'s' * (count != [1])}"
    ax.set_title(", ".join([default, *dtypes]) if title is None else title)
    ax.set_ylabel(QUANTITIES[what])
    if len(deepest) <= 16 and all(len(its) == len(deepest) for its in layers.values()):
        names = [layer.name for layer in deepest]
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(max(names, key=len)) > 3 else {}
        ax.set_xticks(range(1, len(names) + 1), names, **turned)
    else:
        layer_ticks(ax.xaxis, len(deepest))
    ax.set_xlabel("layer, from the input to the loss")
    ax.grid(True, which="major", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def layer_ticks(axis, count) -> None:
    """Ticks at the first layer, the last, and round numbers between."""
    step = next(s * 10 ** k for k in range(9) for s in (1, 2, 5) if count <= 8 * s * 10 ** k)
    ticks = [1, *[k for k in range(step, count, step) if k - 1 > 0.5 * step and count - k > 0.5 * step], count]
    axis.set_ticks(ticks, [str(k) for k in ticks], rotation=0)


def _write_names(ax, curves, floors, has_theory, label_ends):
    """The legend: names, and what the signs mean that occur."""
    Line2D = import_module("matplotlib.lines").Line2D
    entries = [] if label_ends else [line for line in ax.get_lines() if not line.get_label().startswith("_")]
    if has_theory:
        entries.append(Line2D([], [], color="#555555", linewidth=1, linestyle=(0, (4, 3)), label="theory"))
    seen = {line.get_label()[1:].partition(":")[0]: line.get_marker() for line in ax.get_lines()
            if line.get_label().startswith("_") and line.get_linestyle() == "None"}
    entries += [Line2D([], [], color="#555555", marker=symbol, linestyle="none", markerfacecolor="none",
                                        label=label) for label, symbol in seen.items()]
    if entries:
        ax.legend(handles=entries, frameon=False)
    if label_ends:
        _label_ends(ax, curves, floors)


def _label_ends(ax, curves, floors):
    """Each name at its curve's left end, moved apart where two would touch; the axis makes room and goes to the right."""
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.spines[["left", "right"]].set_visible(False)
    low, high = np.log10(ax.get_ylim())
    ends = []
    for i, (name, values) in enumerate(curves.items()):
        height = 1.0 if values[0] == math.inf else floors.get(name, 0.0)
        if 0 < values[0] < math.inf:
            height = (math.log10(values[0]) - low) / (high - low)
        ends.append((height, name, STYLES[i % len(STYLES)][0]))
    ends.sort()
    gap, y, places = 0.055, -1.0, []
    for height, _, _ in ends:
        y = max(height, y + gap)
        places.append(y)
    for k in reversed(range(len(places))):  # what was pushed above the top comes down again
        places[k] = min(places[k], 1.0 - gap * (len(places) - 1 - k))
    x = ax.transData.transform((1, 1))[0]
    left = ax.transAxes.inverted().transform((x, 0))[0]
    for (height, name, color), y in zip(ends, places):
        ax.annotate(name, (left, min(max(height, 0.0), 1.0)), (left - 0.045, y), "axes fraction", "axes fraction",
                    ha="right", va="center", color=color, fontweight="bold", fontsize=9, annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 4})

"""Optimizer: what all optimisers share. Groups of parameters with settings, state per parameter, saving and loading."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minitorch import autograd, kernels
from minitorch.creation import tensor as make_tensor
from minitorch.tensor import Tensor

__all__ = ["Optimizer"]

required = object()  # the default of a setting that must be given


class Optimizer:
    """The base of every optimiser: give it the parameters and the defaults; a subclass writes ``_update``.

    ``param_groups`` is a list of dictionaries: "params" and the settings that hold for them. ``state`` maps each
    parameter to what the optimiser remembers of it.

    >>> model = minitorch.nn.Linear(4, 2)
    >>> optimizer = minitorch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 1.0}], lr=0.1)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 1.0]
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                            "one Tensor. Write [tensor].")
        if not isinstance(params, Iterable):
            raise TypeError(f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                            f"{type(params).__name__}. Write model.parameters().")
        _refuse_set(params)
        self.defaults = defaults
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list. Layers in a plain Python list are not registered: "
                             "use nn.ModuleList. And a generator is empty the second time: call parameters() again.")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Update more parameters from now on, with settings of their own: layers that were frozen so far."""
        if not isinstance(param_group, Mapping):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        params = group["params"]
        _refuse_set(params)
        params = [params] if isinstance(params, Tensor) else list(params)
        if params and isinstance(params[0], tuple):  # named_parameters()
            group["param_names"] = [name for name, _ in params]
            params = [param for _, param in params]
        seen = {id(param) for other in self.param_groups for param in other["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(param).__name__}")
            if param.fn is not None:
                raise ValueError("can't optimize a non-leaf Tensor: it is the result of an op, and is computed anew "
                                 "from the leaves it came from. Optimize those.")
            if not param.data.flags.writeable:
                raise ValueError(f"can't optimize a parameter of shape {param.shape} in read-only memory: it comes from "
                                 "expand, or from a read-only array. Make it of a copy: nn.Parameter(t.clone()).")
            if id(param) in seen:
                raise ValueError("some parameters appear in more than one parameter group, or twice in one: a "
                                 f"parameter of shape {param.shape}")
            seen.add(id(param))
        group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        if isinstance(group.get("lr"), str):
            raise TypeError(f"learning rate must be a number, got the text {group['lr']!r}. Use float(...): some "
                            "configuration files read 1e-3 as text.")
        self._check(group)
        self.param_groups.append(group)

    def _check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for a setting out of its range."""

    def _update(self, param: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one parameter's values where they stand."""
        raise NotImplementedError(f"{type(self).__name__}: write _update(self, param, gradient, state, group)")

    def _call(self, param: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> tuple:
        """The kernel that updates one parameter: its name, its arrays (None for those it does not need), its settings."""
        raise NotImplementedError(f"{type(self).__name__}: write _call(self, param, gradient, state, group)")

    def _update_by_kernel(self, param: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        name, arrays, settings = self._call(param, gradient, state, group)
        getattr(kernels.backend(param.data), name)(*arrays, *settings)

    def _update_all(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Update parameters that have gradients. On a GPU, those with the same settings in one launch."""
        together: dict[tuple, list] = {}
        for param in params:
            gradient = param.grad
            assert gradient is not None
            if param.is_cuda and type(self)._update is Optimizer._update_by_kernel:
                name, arrays, settings = self._call(param, gradient, self.state[param], group)
                missing = tuple([array is None for array in arrays])
                together.setdefault((kernels.backend(param.data), name, settings, missing), []).append(arrays)
            else:
                self._update(param, gradient, self.state[param], group)
        for (backend, name, settings, missing), rows in together.items():
            columns = [None if none else list(column) for none, column in zip(missing, zip(*rows))]
            getattr(backend, name)(*columns, *settings)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. ``closure`` computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        changed = []
        try:
            with autograd.no_grad():
                for group in self.param_groups:
                    params = [param for param in group["params"] if param.grad is not None]
                    changed += [param.data for param in params]
                    self._update_all(params, group)
        finally:
            autograd.note_write(*changed)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero. Call it once per step: ``backward`` adds to what is there."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none or param.grad is None:
                    param.grad = None
                else:
                    param.grad = param.like(np.zeros_like(param.data))

    # -----------------------------------------------------------------------------------------------------------------
    # saving and loading

    def state_dict(self) -> dict[str, Any]:
        """The state by the parameter's number, and the settings: what continuing needs besides the parameters.

        >>> optimizer = minitorch.optim.SGD(minitorch.nn.Linear(4, 2).parameters(), lr=0.1)
        >>> optimizer.state_dict()["param_groups"][0]["params"]
        [0, 1]
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                numbers.setdefault(id(param), len(numbers))
            groups.append({**group, "params": [numbers[id(param)] for param in group["params"]]})
        state = {numbers[id(param)] if isinstance(param, Tensor) else param: dict(values)
                 for param, values in self.state.items() if values}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state that ``state_dict()`` returned, ours or PyTorch's; arrays are copied."""
        groups, saved = self.param_groups, state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups: "
                             f"{len(saved)}, not {len(groups)}")
        if any(len(mine["params"]) != len(theirs["params"]) for mine, theirs in zip(groups, saved)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                             "group")
        params: dict[Any, Tensor] = {}
        for mine, theirs in zip(groups, saved):
            params.update(zip(theirs["params"], mine["params"]))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number in params:
                state[params[number]] = {name: _loaded(name, value, params[number]) for name, value in values.items()}
            else:
                state[number] = copy.deepcopy(values)
        for mine, theirs in zip(groups, saved):
            mine.update({name: copy.deepcopy(value) for name, value in theirs.items() if name != "params"})
        self.state = state

    def __repr__(self):
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
        return text + ")"


def _refuse_set(params):
    if isinstance(params, (set, frozenset)):
        raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of tensors in "
                        "sets will change between runs. Please use a list instead.")


def _loaded(name, value, param):
    """One value of a saved state: arrays of the parameter's shape get its dtype, the rest stays as it is."""
    if not (isinstance(value, (Tensor, np.ndarray, np.generic)) or hasattr(value, "__array__")):
        return make_tensor(float(value), dtype=np.float32) if name == "step" else copy.deepcopy(value)
    array = np.asarray(value.cpu() if isinstance(value, Tensor) else value)
    if name == "step":
        return make_tensor(array.astype(np.float32))
    if array.shape != param.shape:
        raise ValueError(f"load_state_dict: {name} has shape {array.shape}, its parameter has {param.shape}")
    return make_tensor(array.astype(param.dtype), device=param.device)


def buffer_like(param: Tensor, state: dict[str, Any], name: str) -> np.ndarray:
    """The state's array of this name: zeros at first, and always of the parameter's dtype."""
    held = state.get(name)
    if held is None or held.dtype != param.dtype:
        values = kernels.staying(param.data) if held is None else held.data.astype(param.dtype)
        state[name] = param.like(values)
    return state[name].data


def check_flags(optimizer: str, **flags: bool) -> None:
    """Refuse options that are not supported."""
    for name, value in flags.items():
        if value:
            raise NotImplementedError(f"{optimizer}: {name}=True is not supported")

"""Module: what every layer and every model is.

With this file one can

- build a model from parts           assign parameters, buffers and modules to ``self``; they register themselves
- walk over it                       parameters, buffers, modules, children, and all of them with their names
- save it and load it                state_dict, load_state_dict
- change it as a whole               train, eval, to, float, double, requires_grad_, zero_grad, apply
- look on while it runs              forward hooks, forward pre-hooks, full backward hooks
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from inspect import isfunction
from typing import Any

import numpy as np

from minitorch import _html, autograd
from minitorch.autograd import Function
from minitorch.nn.parameter import Parameter
from minitorch.ops import as_dtype
from minitorch.tensor import RemovableHandle, Tensor, _device, _is_device, placed

__all__ = ["Module"]

_REGISTERS = (
    "_parameters", "_buffers", "_modules", "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks",
    "_backward_hooks",
)


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What ``load_state_dict`` returns: the names that did not match."""

    def __repr__(self):
        return super().__repr__() if any(self) else "<All keys matched successfully>"


def _no_forward(self, *inputs, **settings):
    similar = get_close_matches("forward", [name for name in dir(type(self)) if name != "forward"], 1, 0.8)
    fix = f"Did you mean {similar[0]!r} to be it?" if similar else "Write def forward(self, x)."
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function. {fix}')


class Module:
    """The base of every layer and model: write ``__init__``, which makes the parts, and ``forward``, which uses them.

    >>> class Classifier(minitorch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()                      # first, always
    ...         self.hidden = minitorch.nn.Linear(4, 8)
    ...         self.scale = minitorch.nn.Parameter(minitorch.ones(1))
    ...     def forward(self, x):
    ...         return self.hidden(x).relu() * self.scale
    >>> model = Classifier()
    >>> [name for name, p in model.named_parameters()]
    ['scale', 'hidden.weight', 'hidden.bias']
    >>> model(minitorch.zeros(2, 4)).shape
    (2, 8)
    """

    training: bool
    forward: Callable[..., Any] = _no_forward  # what the module computes: write this one, and call the module itself

    def __init__(self):
        for name in _REGISTERS:
            object.__setattr__(self, name, OrderedDict() if name.endswith("hooks") else {})
        self._non_persistent_buffers_set = set()
        self.training = True

    # -----------------------------------------------------------------------------------------------------------------
    # running

    def __call__(self, *inputs, **settings):
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks:
            return self._call_with_hooks(inputs, settings)
        return self.forward(*inputs, **settings)

    def _call_with_hooks(self, inputs, settings):
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            result = hook(self, inputs, settings) if with_kwargs else hook(self, inputs)
            if result is not None and with_kwargs:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                                       f"got {result!r}")
                inputs, settings = result
            elif result is not None:
                inputs = result if isinstance(result, tuple) else (result,)
        watch = _BackwardHooks(self) if self._backward_hooks or self._backward_pre_hooks else None
        if watch:
            inputs = watch.enter(inputs)
        result = self.forward(*inputs, **settings)
        for hook, with_kwargs in list(self._forward_hooks.values()):
            changed = hook(self, inputs, settings, result) if with_kwargs else hook(self, inputs, result)
            result = result if changed is None else changed
        return watch.leave(result) if watch else result

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False,
                                  with_kwargs: bool = False) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward; what it returns, unless None, becomes the arguments."""
        return _register(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward; what it returns, unless None, becomes the output.

        >>> layer = minitorch.nn.Linear(4, 2)
        >>> handle = layer.register_forward_hook(lambda module, args, output: print(tuple(output.shape)))
        >>> y = layer(minitorch.zeros(3, 4))
        (3, 2)
        >>> handle.remove()
        """
        if always_call:
            raise NotImplementedError("register_forward_hook: always_call=True is not supported")
        return _register(self._forward_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the module's gradients are known.

        Both are tuples, with None where there is no gradient. A tuple that the hook returns replaces ``grad_input``.
        """
        return _register(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before backward enters the module; it may return another tuple to use."""
        return _register(self._backward_pre_hooks, hook, prepend)

    # -----------------------------------------------------------------------------------------------------------------
    # parts: assigning them registers them

    def __setattr__(self, name, value):
        known = self.__dict__
        if isinstance(value, Parameter):
            self._need_init(f"assign the parameter {name!r}")
            _forget(name, known, self._buffers, self._modules)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._need_init(f"assign the module {name!r}")
            _forget(name, known, self._buffers, self._parameters)
            self._modules[name] = value
        elif name in known.get("_parameters", ()):
            if value is not None:
                raise TypeError(f"cannot assign '{_typename(value)}' as parameter '{name}' (minitorch.nn.Parameter or "
                                f"None expected). Wrap it: self.{name} = nn.Parameter(...); or, to change only the "
                                f"values: with no_grad(): self.{name}.copy_(...)")
            self._parameters[name] = None
        elif name in known.get("_modules", ()):
            if value is not None:
                raise TypeError(f"cannot assign '{_typename(value)}' as child module '{name}' (minitorch.nn.Module or "
                                "None expected)")
            self._modules[name] = None
        elif name in known.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{_typename(value)}' as buffer '{name}' (minitorch.Tensor or None "
                                "expected)")
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name) -> Any:  # only called where the normal search found nothing
        own = self.__dict__
        for register in ("_parameters", "_modules", "_buffers"):
            if register in own and name in own[register]:
                return own[register][name]
        if name in _REGISTERS:
            self._need_init("use it")
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self)

    def __delattr__(self, name):
        for register in (self._parameters, self._buffers, self._modules):
            if name in register:
                del register[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        names = {*object.__dir__(self)}
        for register in ("_parameters", "_buffers", "_modules"):
            names.update(self.__dict__.get(register, ()))
        return sorted(name for name in names if not name[:1].isdigit())

    def _need_init(self, what):
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: cannot {what} before Module.__init__() call. Write "
                                 "super().__init__() as the first line of __init__.")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None says that there could be one."""
        self._need_init(f"assign the parameter {name!r}")
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                            "(minitorch.nn.Parameter or None required)")
        if param is not None and param.fn is not None:
            raise ValueError(f"cannot assign the result of an op to parameter '{name}': a parameter is a leaf. "
                             "Compute it in forward() instead.")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module but is not learnt, such as a mask or a running mean.

        With ``persistent=False`` it is left out of ``state_dict``.
        """
        self._need_init(f"assign the buffer {name!r}")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (minitorch.Tensor or None "
                            "required)")
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name, which may be computed: ``add_module(f"layer{i}", ...)``."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_typename(module)} is not a Module subclass.{_instead_of_a_module(module)}")
        self._need_init(f"assign the module {name!r}")
        self._check_name("module", name, self._modules)
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Another name for ``add_module``."""
        self.add_module(name, module)

    def _check_name(self, kind, name, register):
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string, got {_typename(name)}")
        if hasattr(self, name) and name not in register:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name!r}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path: ``model.get_submodule("encoder.layers.0")``."""
        module = self
        for name in target.split(".") if target else []:
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path: ``model.get_parameter("encoder.layers.0.norm1.weight")``."""
        path, _, name = target.rpartition(".")
        found = getattr(self.get_submodule(path), name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer of {type(module).__name__}")
        return module._buffers[name]

    # -----------------------------------------------------------------------------------------------------------------
    # walking: a module's own parts first, then its children's, in the order of assignment

    def named_modules(self, memo: set | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module (named "") and all below it, with their dotted paths."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each once, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        for _, module in self.named_children():
            yield module

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Everything that is learnt, with its dotted path; a parameter used in two places comes once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Everything that is learnt: what an optimiser is given.

        >>> sum(p.numel() for p in minitorch.nn.Linear(10, 5).parameters())
        55
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The tensors that belong to the module but are not learnt, with their dotted paths."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The tensors that belong to the module but are not learnt."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _named(self, register, prefix, recurse, remove_duplicate):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, tensor in getattr(module, register).items():
                if tensor is None or tensor in seen:
                    continue
                if remove_duplicate:
                    seen.add(tensor)
                yield f"{path}.{name}" if path else name, tensor

    # -----------------------------------------------------------------------------------------------------------------
    # saving and loading

    def state_dict(self, *, destination=None, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """All parameters and persistent buffers by name, detached; they share memory with the module's.

        >>> list(minitorch.nn.Linear(3, 2).state_dict())
        ['weight', 'bias']
        """
        destination = OrderedDict() if destination is None else destination
        for name, tensor in self._named_state(prefix):
            destination[name] = tensor if keep_vars else tensor.detach()
        return destination

    def _named_state(self, prefix=""):
        for path, module in self.named_modules(prefix=prefix.rstrip("."), remove_duplicate=False):
            path = f"{path}." if path else ""
            for name, tensor in {**module._parameters, **module._buffers}.items():
                if tensor is not None and name not in module._non_persistent_buffers_set:
                    yield path + name, tensor

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True,
                        assign: bool = False) -> IncompatibleKeys:
        """Copy values into the parameters and buffers, by name. Either everything that fits is loaded, or nothing.

        Takes tensors, NumPy arrays and other libraries' CPU tensors. Values are cast to the dtype that is there; shapes
        must be equal. With ``strict=False`` names may be missing or unexpected; they are returned.
        """
        if not isinstance(state_dict, Mapping):
            hint = " Pass its state_dict()." if isinstance(state_dict, Module) else ""
            raise TypeError(f"Expected state_dict to be dict-like, got {_typename(state_dict)}.{hint}")
        if assign:
            raise NotImplementedError("load_state_dict: assign=True is not supported")
        mine = dict(self._named_state())
        missing = [name for name in mine if name not in state_dict]
        unexpected = [name for name in state_dict if name not in mine]
        errors, arrays = [], {}
        if strict and unexpected:
            errors.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        if strict and missing:
            errors.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
            errors.extend(_prefix_hint(missing, unexpected))
        for name in mine:
            if name in state_dict:
                arrays[name] = array = _array(name, state_dict[name])
                if array.shape != mine[name].shape:
                    errors.append(_shape_error(name, array.shape, mine[name].shape))
                if not mine[name].data.flags.writeable:
                    errors.append(f"{name} stands in read-only memory. Make it of a copy: nn.Parameter(t.clone()).")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        arrays = {name: array.astype(mine[name].dtype) for name, array in arrays.items()}
        for name, array in arrays.items():
            mine[name].data[...] = placed(array, mine[name].device)
            autograd.note_write(mine[name].data)
        return IncompatibleKeys(missing, unexpected)

    # -----------------------------------------------------------------------------------------------------------------
    # changing the whole module

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call ``fn`` on every module, children first, this one last; for initialising weights."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Module:
        """Training behaviour, here and below: dropout drops."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Evaluation behaviour, here and below: dropout does nothing."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Learn the parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for parameter in self.parameters():
            _zero_grad(parameter, set_to_none)

    def to(self, *args, dtype=None, device=None, non_blocking: bool = False) -> Module:
        """Cast the floating-point parameters and buffers, or move all: ``.to(minitorch.float64)``, ``.to("cuda")``.

        The parameters stay the same objects, so optimisers and ties keep working.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif _is_device(arg):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        if device is not None:
            self._move(_device(device).type)
        if dtype is None:
            return self
        if as_dtype(dtype).kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={as_dtype(dtype)}")
        return self._cast(as_dtype(dtype), "f")

    def float(self) -> Module:
        """As float32."""
        return self._cast(np.dtype("float32"), "f")

    def double(self) -> Module:
        """As float64."""
        return self._cast(np.dtype("float64"), "f")

    def half(self) -> Module:
        """As float16."""
        return self._cast(np.dtype("float16"), "f")

    def type(self, dst_type) -> Module:
        """Every parameter and buffer, integers too, as another dtype."""
        return self._cast(as_dtype(dst_type), "buif")

    def cpu(self) -> Module:
        """Every parameter and buffer, and its gradient, on the CPU; returns self."""
        return self._move("cpu")

    def cuda(self, device=None) -> Module:
        """Every parameter and buffer, and its gradient, on the GPU; returns self."""
        return self._move("cuda")

    def _move(self, device) -> Module:
        for tensor in [*self.parameters(), *self.buffers()]:
            gradient, tensor.grad = tensor.grad, None
            tensor.data = placed(tensor.data, device)
            if gradient is not None:
                tensor.grad = gradient.detach().to(device)
        return self

    def _cast(self, dtype, kinds):
        for tensor in [*self.parameters(), *self.buffers()]:
            if tensor.dtype.kind in kinds and tensor.dtype != dtype:
                gradient, tensor.grad = tensor.grad, None
                tensor.data = tensor.data.astype(dtype)
                if gradient is not None:
                    tensor.grad = gradient.detach().to(dtype)
        return self

    # -----------------------------------------------------------------------------------------------------------------
    # printing

    def extra_repr(self) -> str:
        """What to print inside the parentheses."""
        return ""

    def _get_name(self):
        return type(self).__name__

    def __repr__(self):
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): " + _indent(repr(module)) for name, module in self._modules.items()]
        if len(extra) == 1 and not children:
            return f"{self._get_name()}({extra[0]})"
        lines = "\n  ".join(extra + children)
        return f"{self._get_name()}(\n  {lines}\n)" if lines else f"{self._get_name()}()"

    def _repr_html_(self):
        return _html.module(self)


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def is_plain(module: Any, kind: type) -> bool:
    """True if the module is exactly of this kind and nobody looks on: a fused op may then do its work."""
    return type(module) is kind and not any(getattr(module, name) for name in _REGISTERS if name.endswith("hooks"))


def _zero_grad(parameter, set_to_none):
    if set_to_none or parameter.grad is None:
        parameter.grad = None
    else:
        parameter.grad = parameter.like(np.zeros_like(parameter.data))


def _register(hooks, hook, prepend) -> RemovableHandle:
    key = object()
    hooks[key] = hook
    if prepend:
        hooks.move_to_end(key, last=False)
    return RemovableHandle(hooks, key)


def _forget(name, *places):
    for place in places:
        place.pop(name, None)


def _instead_of_a_module(x) -> str:
    """What to write in place of something that is no module."""
    if isinstance(x, type) and issubclass(x, Module):
        return f" It is a class: write {x.__name__}(...)."
    if isinstance(x, (list, tuple)):
        return " Unpack the list with a star: *layers."
    return " It is a function: use its module, as nn.ReLU() for F.relu." if isfunction(x) else ""


def _typename(x) -> str:
    kind = type(x)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _indent(text) -> str:
    return text.replace("\n", "\n  ")


def _quoted(names) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _array(name, value) -> np.ndarray:
    array = value.data if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "buif":
        raise TypeError(f"load_state_dict: {name} should be a tensor or an array of numbers, got {_typename(value)}")
    return array


def _shape_error(name, given, expected) -> str:
    text = (f"size mismatch for {name}: copying a param with shape {tuple(given)} from checkpoint, the shape in "
            f"current model is {tuple(expected)}.")
    if given == expected[::-1]:
        text += " It looks transposed: Linear weights are (out_features, in_features) here, as in PyTorch."
    return text


def _prefix_hint(missing, unexpected) -> list[str]:
    """Every key the same prefix too many, or too few?"""
    for short, long, what in ((missing, unexpected, "too many"), (unexpected, missing, "too few")):
        for name in long if short else ():
            prefix = name.removesuffix(short[0])
            if prefix not in ("", name) and {prefix + other for other in short} == set(long):
                return [f'The keys of state_dict have the prefix "{prefix}" {what}.']
    return []


class _BackwardHooks:
    """One call of a module with backward hooks: gates on its inputs and outputs that tell the hooks what passes."""

    def __init__(self, module):
        self.module, self.hooks = module, list(module._backward_hooks.values())
        self.pre_hooks = list(module._backward_pre_hooks.values())
        self.grad_output: tuple = ()
        self.inputs = 0
        self.watched: list[int] = []  # which inputs want a gradient

    def enter(self, inputs):
        self.inputs = len(inputs)
        self.watched = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        if not (self.watched and autograd.is_grad_enabled()):
            self.watched = []
            return inputs
        gated = Gate.apply(*[inputs[i] for i in self.watched], told=self.at_inputs)
        gated = dict(zip(self.watched, gated))
        return tuple(gated.get(i, x) for i, x in enumerate(inputs))

    def leave(self, result):
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        floats = [i for i, y in enumerate(outputs) if isinstance(y, Tensor) and y.requires_grad]
        if not floats or not autograd.is_grad_enabled():
            return result

        def at_outputs(dys):
            return self.at_outputs(dys, floats, len(outputs))

        gated = dict(zip(floats, Gate.apply(*[outputs[i] for i in floats], told=at_outputs)))
        outputs = [gated.get(i, y) for i, y in enumerate(outputs)]
        if not isinstance(result, (tuple, list)):
            return outputs[0]
        return type(result)(*outputs) if hasattr(result, "_fields") else type(result)(outputs)

    def at_outputs(self, dys, slots, count):
        tensors: list[Any] = [None] * count
        for i, dy in zip(slots, dys):
            tensors[i] = dy
        grad_output = tuple(tensors)
        for hook in self.pre_hooks:
            changed = hook(self.module, grad_output)
            if changed is not None:
                grad_output = changed if isinstance(changed, tuple) else (changed,)
        self.grad_output = grad_output
        if not self.watched:
            for hook in self.hooks:
                hook(self.module, (None,) * self.inputs, grad_output)
        return [grad_output[i] for i in slots]

    def at_inputs(self, dys):
        tensors: list[Any] = [None] * self.inputs
        for i, dy in zip(self.watched, dys):
            tensors[i] = dy
        grad_input = tuple(tensors)
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(grad_input):
                    raise RuntimeError(f"the backward hook of {type(self.module).__name__} returned {len(changed)} "
                                       f"gradients for {len(grad_input)} inputs")
                grad_input = changed
        return [grad_input[i] for i in self.watched]


class Gate(Function):
    """Lets values and gradients pass unchanged, and tells a module's backward hooks of the gradients.

    Forward    yᵢ = xᵢ
    Backward   dxᵢ = dyᵢ, or what a hook makes of it
    Saved      nothing
    Shapes     xᵢ, yᵢ (…)
    Derived: nothing to derive
    """

    def forward(self, *arrays, told):
        self.told = told
        return arrays

    def backward(self, *dys):
        tensors = [None if dy is None else parent.like(dy) for parent, dy in zip(self.parents, dys)]
        return [None if dx is None else dx.data for dx in self.told(tensors)]

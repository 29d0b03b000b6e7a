"""FFN: the position-wise feed-forward network, two linear layers with an activation between."""

from __future__ import annotations

from collections.abc import Callable

from minitorch.nn import functional as F
from minitorch.nn.activation import GELU, ReLU, SiLU
from minitorch.nn.dropout import Dropout
from minitorch.nn.linear import Linear
from minitorch.nn.module import Module, is_plain
from minitorch.tensor import Tensor

__all__ = ["FFN"]


class FFN(Module):
    """linear2(dropout(activation(linear1(x)))), on every position alike. One node of the tape.

    The features go d_model → d_ff → d_model; ``d_ff`` is 4 · d_model unless given. ``activation`` is "relu", "gelu",
    "gelu_tanh", "silu" or any callable; with a callable of your own the layers run one by one.

    >>> ffn = minitorch.nn.FFN(8)
    >>> ffn(minitorch.zeros(2, 5, 8)).shape, ffn.linear1.weight.shape
    ((2, 5, 8), (32, 8))
    """

    def __init__(self, d_model: int, d_ff: int | None = None, activation: str | Callable = "relu", dropout: float = 0.0,
                 bias: bool = True, device=None, dtype=None):
        super().__init__()
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.d_model, self.d_ff = d_model, d_ff
        self.activation = activation_function(activation)
        self.linear1 = Linear(d_model, d_ff, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(d_ff, d_model, bias, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return run_feed_forward(x, self.linear1, self.activation, self.dropout, self.linear2)


def _gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


_FUNCTIONS: dict[str, Callable] = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": _gelu_tanh, "silu": F.silu}
_NAMES = {function: name for name, function in _FUNCTIONS.items()}


def activation_function(activation: str | Callable) -> Callable:
    """The function of this name; a callable is returned as it is."""
    if callable(activation):
        return activation
    if activation not in _FUNCTIONS:
        raise RuntimeError(f"activation should be {', '.join(_FUNCTIONS)} or a callable, not {activation}")
    return _FUNCTIONS[activation]


def _fused_name(activation) -> str | None:
    """What the fused op calls this activation; None if it does not know it."""
    if isinstance(activation, Module):
        if is_plain(activation, GELU):
            return {"none": "gelu", "tanh": "gelu_tanh"}.get(activation.approximate)
        return "relu" if is_plain(activation, ReLU) else "silu" if is_plain(activation, SiLU) else None
    try:
        return _NAMES.get(activation)
    except TypeError:  # a callable that cannot be hashed
        return None


def run_feed_forward(x: Tensor, linear1: Module, activation: Callable, dropout: Module, linear2: Module) -> Tensor:
    """linear2(dropout(activation(linear1(x)))), in one node where nobody replaced a part or looks on."""
    name = _fused_name(activation)
    if name and is_plain(linear1, Linear) and is_plain(linear2, Linear) and is_plain(dropout, Dropout):
        return F.feed_forward(x, linear1.weight, linear1.bias, linear2.weight, linear2.bias, activation=name,
                              dropout_p=dropout.p, training=dropout.training)
    return linear2(dropout(activation(linear1(x))))

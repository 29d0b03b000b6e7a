"""How weights start: random numbers of the right size, written into a tensor where it stands.

Named as in PyTorch; the underscore says that the tensor is changed. Drawn from the generator that ``manual_seed``
seeds, or from ``generator=``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import NormalDist

import numpy as np

from minitorch import autograd, random
from minitorch.random import Generator, numpy_generator
from minitorch.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_",
    "skipped", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]


_drawing = True


@contextmanager
def skipped() -> Iterator[None]:
    """Inside, nothing is drawn: weights that are loaded right after need no random numbers before.

    >>> with minitorch.nn.init.skipped():
    ...     layer = minitorch.nn.Linear(1000, 1000, bias=False)      # at once; its weight is what was in memory
    >>> minitorch.nn.init.eye_(layer.weight).shape
    (1000, 1000)
    """
    global _drawing
    before, _drawing = _drawing, False
    try:
        yield
    finally:
        _drawing = before


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform random numbers between a and b.

    >>> w = minitorch.nn.init.uniform_(minitorch.empty(100), -0.5, 0.5)
    >>> bool(w.abs().max() <= 0.5)
    True
    """
    return _write(tensor, random.uniform(a, b, tensor.shape, tensor.dtype, generator)) if _drawing else tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal random numbers."""
    return _write(tensor, random.normal(mean, std, tensor.shape, tensor.dtype, generator)) if _drawing else tensor


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Generator | None = None) -> Tensor:
    """Normal random numbers, drawn again until they lie between a and b.

    >>> w = minitorch.nn.init.trunc_normal_(minitorch.empty(100), std=0.02, a=-0.04, b=0.04)
    >>> bool(w.abs().max() <= 0.04)
    True
    """
    if not (a < b and std > 0):
        raise ValueError(f"trunc_normal_: needs a < b and std > 0, got a={a}, b={b}, std={std}")
    rng, bell = numpy_generator(generator), NormalDist(mean, std)
    common = bell.cdf(b) - bell.cdf(a) > 0.1
    peak = min(max(mean, a), b)                                        # the likeliest value between a and b
    low, high = max(a, peak - 10 * std), min(b, peak + 10 * std)

    def draw(n):
        if common:
            x = rng.normal(mean, std, n)
            return x[(x >= a) & (x <= b)]
        x = rng.uniform(low, high, n)                                  # a rare interval: throw darts under the curve
        return x[rng.random(n) < np.exp((((peak - mean) ** 2) - (x - mean) ** 2) / (2 * std ** 2))]

    values, size = np.empty(0), math.prod(tensor.shape)
    while len(values) < size:
        values = np.concatenate([values, draw(2 * (size - len(values)) + 16)])
    return _write(tensor, np.clip(values[:size].reshape(tensor.shape).astype(tensor.dtype), a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    return _write(tensor, np.full(tensor.shape, val))


def ones_(tensor: Tensor) -> Tensor:
    """Ones everywhere."""
    return constant_(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros everywhere."""
    return constant_(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: a Linear layer that starts by passing its input through.

    >>> minitorch.nn.init.eye_(minitorch.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: only tensors with 2 dimensions are supported, got shape {tensor.shape}")
    return _write(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform with std = gain · √(2 / (fan_in + fan_out)): keeps the spread forwards and backwards alike (Glorot)."""
    fan_in, fan_out = _fans(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / (fan_in + fan_out)) if tensor.numel() else 0.0
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with std = gain · √(2 / (fan_in + fan_out))."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)) if tensor.numel() else 0.0, generator)


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Generator | None = None) -> Tensor:
    """Uniform with std = gain / √fan: keeps the spread through layers of ReLUs (He). ``a`` is the leaky slope."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Generator | None = None) -> Tensor:
    """Normal with std = gain / √fan."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A random matrix that turns vectors and keeps their length: its rows, or columns, are orthonormal.

    >>> w = minitorch.nn.init.orthogonal_(minitorch.empty(2, 2))
    >>> bool((w @ w.T - minitorch.eye(2)).abs().max() < 1e-6)
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: only tensors with 2 or more dimensions are supported, got shape {tensor.shape}")
    if not tensor.numel():
        return tensor
    rows, cols = tensor.shape[0], tensor.numel() // tensor.shape[0]
    flat = numpy_generator(generator).standard_normal((max(rows, cols), min(rows, cols)))
    q, r = np.linalg.qr(flat)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)                        # makes the choice uniform over all rotations
    return _write(tensor, gain * (q if rows >= cols else q.T).reshape(tensor.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights should be larger to make up for what this activation takes away.

    >>> round(minitorch.nn.init.calculate_gain("relu"), 4)
    1.4142
    """
    if nonlinearity in ("linear", "sigmoid", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3))):
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, (int, float, type(None))):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _kaiming_std(tensor, a, mode, nonlinearity) -> float:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    if not tensor.numel():
        return 0.0
    fan_in, fan_out = _fans(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode.lower() == "fan_in" else fan_out)


def _fans(tensor) -> tuple[int, int]:
    """How many inputs meet in one output, and how many outputs one input reaches."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, "
                         f"got shape {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _write(tensor: Tensor, values) -> Tensor:
    tensor.data[...] = values
    autograd.note_write(tensor.data)
    return tensor

"""From one device to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minitorch import kernels
from minitorch.autograd import Function

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["all_on_host", "is_array", "known", "on_device_of", "on_host", "to_device", "within"]


class ToDevice(Function):
    """The same numbers in another device's memory.

    Forward    y = x, copied
    Backward   dx = dy, copied back
    Saved      which device x was on
    Shapes     x, y (…)
    Derived in docs/gpu.md
    """

    def forward(self, x, *, device):
        self.back = "cuda" if hasattr(x, "kernels") else "cpu"
        return _moved(x, device)

    def backward(self, dy):
        return _moved(dy, self.back)


def to_device(x: Tensor, device: str) -> Tensor:
    """The tensor on this device, "cpu" or "cuda"; gradients flow back to where it was."""
    return ToDevice.apply(x, device=device)


def is_array(x) -> bool:
    """Is it an array, on either device?"""
    return isinstance(x, np.ndarray) or hasattr(x, "kernels")


def known(array):
    """What the CPU saw of whole numbers before they went to the GPU (``kernels/cuda/_array.py``: Known), or None."""
    return None if type(array) is np.ndarray else getattr(array, "known", None)


def within(ids, low: int, high: int) -> bool:
    """Is each of these whole numbers in low … high − 1?"""
    if not ids.size:
        return True
    if type(ids) is np.ndarray:
        if ids.dtype == np.int64 and low <= 0:
            inside = bool(np.maximum.reduce(ids.view(np.uint64), None) < high)      # a negative number is a huge one
            if inside or low == 0:
                return inside
        return bool(np.minimum.reduce(ids, None) >= low and np.maximum.reduce(ids, None) < high)
    seen = known(ids)
    return low <= seen.low and seen.high < high if seen else bool(ids.min() >= low and ids.max() < high)


def on_host(array) -> np.ndarray:
    """A NumPy array of these numbers: itself, or a copy from the GPU. For tools that look at numbers."""
    return array.to_host() if hasattr(array, "kernels") else np.asarray(array)


def all_on_host(thing):
    """The same, also for arrays in tuples and lists; what is no array stays as it is."""
    if type(thing) in (tuple, list):
        return type(thing)(map(all_on_host, thing))
    return on_host(thing) if hasattr(thing, "kernels") else thing


def on_device_of(array, x: Tensor):
    """The array, on x's device. Where NumPy answers for both devices, the answer goes where the question came from."""
    return kernels.cuda.to_device(array) if hasattr(x.data, "kernels") else array


def _moved(array, device):
    return kernels.cuda.to_device(array) if device == "cuda" else on_host(array)

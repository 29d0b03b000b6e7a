"""The GPU, under PyTorch's names: is there one, how much of its memory is used, is it done?"""

from __future__ import annotations

from minitorch.kernels import cuda as _kernels

__all__ = [
    "current_device", "device_count", "empty_cache", "is_available", "manual_seed_all", "max_memory_allocated",
    "memory_allocated", "memory_reserved", "product_by", "synchronize", "why_not",
]


def is_available() -> bool:
    """Can tensors go to a GPU here? If not, ``why_not()`` says what is missing."""
    return _kernels.trouble() is None


def why_not() -> str | None:
    """What keeps minitorch from using a GPU here, and what to install; None if it can."""
    return _kernels.trouble()


def product_by() -> str:
    """Who multiplies matrices on the GPU: "cupy" or "nvmath", through which cuBLAS does it, or "own", our kernel.

    The environment variable ``MINITORCH_CUDA_PRODUCT`` decides it; without, the first of them that is installed.
    """
    return _kernels.product_by() if is_available() else "own"


def device_count() -> int:
    """How many GPUs can be used: one, or none."""
    return int(is_available())


def current_device() -> int:
    """The number of the GPU that is used."""
    return 0


def manual_seed_all(seed: int) -> None:
    """Nothing: random numbers are drawn on the CPU, so that both devices get the same; use ``minitorch.manual_seed``."""


def synchronize(device=None) -> None:
    """Wait until the GPU has done all that it was told, for instance before looking at a clock."""
    if is_available():
        _kernels.synchronize()


def memory_allocated(device=None) -> int:
    """Bytes of the GPU's memory that tensors hold."""
    return _kernels.memory_stats()["allocated"] if is_available() else 0


def max_memory_allocated(device=None) -> int:
    """The most bytes that tensors ever held."""
    return _kernels.memory_stats()["most_allocated"] if is_available() else 0


def memory_reserved(device=None) -> int:
    """Bytes taken from the driver: those that tensors hold, and those kept for the next tensors."""
    return _kernels.memory_stats()["reserved"] if is_available() else 0


def empty_cache() -> None:
    """Give what no tensor holds back to the driver."""
    if is_available():
        _kernels.release_cached()

"""Kernels for NVIDIA GPUs, written with numba.cuda. A family's file is imported when one of its kernels is first used.

Which file holds a kernel? The one of the same name that holds it in the reference. Importing this package asks for nothing:
numba.cuda is loaded by ``_launch.py`` when the first array goes to the GPU.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from .. import reference

__all__ = [
    "about", "choose_product", "memory_stats", "product_by", "release_cached", "synchronize", "to_device", "trouble",
]

_FAMILIES = {module.name for module in iter_modules(__path__)}


@cache
def trouble():
    """What keeps kernels from running on a GPU here, and what to do about it; None if nothing does."""
    try:
        return _loaded().trouble()
    except ImportError as error:
        return f"Numba's CUDA part cannot be loaded ({error}). Install it: pip install 'numba-cuda[cu13]'."


def to_device(array):
    """A NumPy array, or any with ``__cuda_array_interface__``, as an array on the GPU; what is there already stays."""
    missing = trouble()
    if missing:
        raise RuntimeError(f"cuda: {missing}")
    return import_module(f"{__name__}._array").to_device(array)


def about():
    """Which GPU it is, for tables of figures."""
    return _loaded().about()


def product_by():
    """Who multiplies matrices on the GPU: "cupy" or "nvmath", which let cuBLAS do it, or "own", the kernel in matmul.py.

    The first that is installed, unless the environment variable MINITORCH_CUDA_PRODUCT names one, or ``choose_product``.
    """
    return import_module(f"{__name__}._library").chosen()


def choose_product(name=None):
    """Let matrices be multiplied by "cupy", "nvmath" or our "own" kernel from now on; None: by the first that is there."""
    import_module(f"{__name__}._library").choose(name)


def memory_stats():
    """Bytes that arrays hold, that the pool holds, and the most that arrays ever held."""
    return dict(_loaded().memory_stats)


def release_cached():
    """Give the memory that no array holds back to the driver."""
    _loaded().release_cached()


def synchronize():
    """Wait until the GPU has done all that it was told."""
    _loaded().synchronize()


def _loaded():
    return import_module(f"{__name__}._launch")


def __getattr__(name):
    family = _family_of(name)
    if family not in _FAMILIES:
        raise AttributeError(f"no CUDA kernel is named {name!r}")
    kernel = getattr(import_module(f"{__name__}.{family}"), name)
    globals()[name] = kernel
    return kernel


def __dir__():
    return [name for name in dir(reference) if _family_of(name) in _FAMILIES]


def _family_of(name):
    """The file that holds this kernel in the reference."""
    kernel = None if name.startswith("_") else getattr(reference, name, None)
    return getattr(kernel, "__module__", "").rpartition(".")[2]

"""Kernels for NVIDIA GPUs, written with numba.cuda. A family's file is imported when one of its kernels is first used.

Which file holds a kernel? The one of the same name that holds it in the reference. Importing this package asks for nothing:
numba.cuda is loaded by ``_launch.py`` when the first array goes to the GPU.
"""

from importlib import import_module
from pkgutil import iter_modules

from .. import reference

_FAMILIES = {module.name for module in iter_modules(__path__)}


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

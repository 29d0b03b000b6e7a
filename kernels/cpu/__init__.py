"""Numba kernels. A family's file is imported when one of its kernels is first used: Numba takes a moment to load.

Which file holds a kernel? The one of the same name that holds it in the reference.
"""

from .. import reference
from ._shared import compiled


def __getattr__(name):
    if name.startswith("_") or not hasattr(reference, name):
        raise AttributeError(f"no kernel is named {name!r}")
    family = getattr(reference, name).__module__.rpartition(".")[2]
    kernel = getattr(compiled(family), name)
    globals()[name] = kernel
    return kernel


def __dir__():
    return dir(reference)

"""Shapes: most of it is views, and NumPy copies as fast as one thread can; a large copy is shared by all threads."""

from importlib import import_module

from ..reference import shape as _reference
from ..reference.shape import *

__all__ = _reference.__all__

LARGE = 1 << 16  # elements: fewer are copied before a second thread has woken


def copy(x):
    if x.size < LARGE or not x.flags.carray:
        return _reference.copy(x)
    return import_module("._large", __package__).copy(x)

"""NumPy is as fast as one thread can be, and the reference serves; the sum of two large arrays is shared by all threads."""

from importlib import import_module

from ..reference import arithmetic as _reference
from ..reference.arithmetic import *

__all__ = _reference.__all__

LARGE = 1 << 16  # elements: fewer are added before a second thread has woken


def add_forward(x, y):
    if x.size < LARGE or x.shape != y.shape or x.dtype != y.dtype or not (x.flags.carray and y.flags.carray):
        return _reference.add_forward(x, y)
    return import_module("._large", __package__).add(x, y)

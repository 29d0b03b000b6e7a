"""Shapes: most of it is views, and NumPy copies as fast as one thread can; a large copy is shared by all threads."""

import numpy as np

from ..reference import shape as _reference
from ..reference.shape import *
from ._shared import shared

__all__ = _reference.__all__


copy = shared("copy", _reference.copy)


def contiguous_forward(x):
    return np.asarray(_reference.contiguous_forward(x) if x.flags.c_contiguous else copy(x))

"""Angles: NumPy's loops are as fast as memory."""

from ..reference.trigonometry import *
from ..reference.trigonometry import __all__ as __all__

"""Shapes: most of it is views, and NumPy copies as fast as memory delivers."""

from ..reference.shape import *
from ..reference.shape import __all__ as __all__

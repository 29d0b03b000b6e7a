"""Reductions: NumPy adds, multiplies and compares as fast as memory delivers."""

from ..reference.reduce import *
from ..reference.reduce import __all__ as __all__

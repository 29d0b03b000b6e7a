"""Indices: NumPy picks as fast as memory delivers, and adds at duplicates in a fixed order."""

from ..reference.index import *
from ..reference.index import __all__ as __all__

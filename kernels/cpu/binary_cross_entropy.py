"""NumPy is as fast as memory here: the reference serves."""

from ..reference.binary_cross_entropy import *
from ..reference.binary_cross_entropy import __all__ as __all__

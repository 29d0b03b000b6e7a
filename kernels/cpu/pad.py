"""NumPy is as fast as memory here: the reference serves."""

from ..reference.pad import *
from ..reference.pad import __all__ as __all__

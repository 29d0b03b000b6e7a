"""NumPy is as fast as memory here: the reference serves."""

from ..reference.elementwise import *
from ..reference.elementwise import __all__ as __all__

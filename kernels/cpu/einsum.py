"""NumPy is as fast as memory here: the reference serves."""

from ..reference.einsum import *
from ..reference.einsum import __all__ as __all__

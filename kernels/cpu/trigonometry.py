"""Angles: NumPy's loops are as fast as memory; what is large is shared by all threads."""

from ..reference import trigonometry as _reference
from ..reference.trigonometry import *
from ._shared import shared

__all__ = _reference.__all__

tanh_backward = shared("tanh_slope", _reference.tanh_backward)

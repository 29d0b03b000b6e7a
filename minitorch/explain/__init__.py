"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from .causal import CausalReport, check_causal
from .finite import NotFiniteError, nan_watch
from .reach import GradsReport, check_grads

__all__ = ["CausalReport", "GradsReport", "NotFiniteError", "check_causal", "check_grads", "nan_watch"]

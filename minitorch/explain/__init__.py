"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from .causal import CausalReport, check_causal
from .finite import NotFiniteError, nan_watch

__all__ = ["CausalReport", "NotFiniteError", "check_causal", "nan_watch"]

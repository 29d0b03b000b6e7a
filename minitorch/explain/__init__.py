"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

from .finite import NotFiniteError, nan_watch

__all__ = ["NotFiniteError", "nan_watch"]

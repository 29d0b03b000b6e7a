"""Look inside: what ran, what each gradient is made of, how gradients flow, and where something went wrong.

>>> from minitorch import explain
"""

__all__: list[str] = []

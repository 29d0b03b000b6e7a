"""What can go wrong. Each error is also the builtin that PyTorch raises there, so ported ``except`` clauses still work."""

__all__ = ["DTypeError", "RangeError", "ShapeError"]


class ShapeError(RuntimeError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(TypeError, RuntimeError):
    """A dtype that this op does not take."""


class RangeError(IndexError, ValueError, RuntimeError):
    """An id, a label or an index outside its range. Negative ids and labels never wrap around."""

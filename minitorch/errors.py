"""What can go wrong. Each error is also the builtin that PyTorch raises there, so ported ``except`` clauses still work."""

__all__ = ["CheckpointError", "DTypeError", "RangeError", "ShapeError", "casts", "got"]


class ShapeError(RuntimeError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(TypeError, RuntimeError):
    """A dtype that this op does not take."""


class RangeError(IndexError, ValueError, RuntimeError):
    """An id, a label or an index outside its range. Negative ids and labels never wrap around."""


class CheckpointError(ValueError, RuntimeError):
    """A file of weights that cannot be read or does not fit: which file, which tensor (or None), and why."""

    def __init__(self, path, tensor: str | None, reason: str):
        self.path, self.tensor, self.reason = str(path), tensor, reason
        super().__init__(f"{path}: " + (f"tensor {tensor!r}: " if tensor else "") + reason)


def got(x) -> str:
    """What came where a tensor was expected, and what to do about it: the end of a message.

    >>> minitorch.errors.got(None)
    'got NoneType. Does a forward() end without return?'
    """
    name = type(x).__name__
    if x is None:
        fix = "Does a forward() end without return?"
    elif name == "ndarray":
        cast = ".float()" if x.dtype == "float64" else ""
        fix = f"Wrap it: minitorch.from_numpy(x){cast}. (The .data of a tensor is its NumPy array; .detach() is a tensor.)"
    elif isinstance(x, tuple):
        fix = "Take one of its entries: some layers return several things, MultiheadAttention for one."
    elif callable(x):
        fix = "Call it on its input first."
    else:
        fix = "Wrap it: minitorch.tensor(...)"
    return f"got {name}. {fix}"


def casts(x_dtype) -> str:
    """How input and weights of unequal dtypes are brought together: the end of a message."""
    if x_dtype.kind != "f":
        return "Cast the input: x.float()."
    if x_dtype == "float64":
        return "Cast the input, x.float() (NumPy makes float64 unasked), or the module, module.double()."
    return "Cast the input: x.to(weight.dtype)."

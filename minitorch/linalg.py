"""PyTorch's ``linalg`` names, for what minitorch has of it."""

from __future__ import annotations

from minitorch.ops import abs, amax, amin, diagonal, matmul, matrix_power, sum, vector_norm
from minitorch.tensor import Tensor

__all__ = ["diagonal", "matmul", "matrix_norm", "matrix_power", "norm", "vector_norm"]


def norm(A: Tensor, ord=None, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The norm of a vector, or, given ``ord`` and two axes, of a matrix; without ``ord``, the root of the sum of squares.

    >>> minitorch.linalg.norm(minitorch.tensor([[3.0], [4.0]]))
    tensor(5.)
    """
    axes = dim if isinstance(dim, (tuple, list)) else (dim,)
    if ord is not None and (len(axes) == 2 or dim is None and A.ndim == 2):
        return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    if ord is not None and dim is None and A.ndim > 2:
        raise RuntimeError(f"norm: with ord={ord}, name one axis (a vector's) or two (a matrix's) of {A.shape}")
    return vector_norm(A, 2 if ord in (None, "fro") else ord, dim, keepdim, dtype=dtype)


def matrix_norm(A: Tensor, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None) -> Tensor:
    """The norm of matrices: "fro", or ±1 and ±inf, the largest or smallest sum of absolute values over columns or rows.

    >>> minitorch.linalg.matrix_norm(minitorch.tensor([[1.0, -2.0], [3.0, 4.0]]), 1)
    tensor(6.)
    """
    if ord == "fro":
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if ord not in (1, -1, float("inf"), float("-inf")):
        raise NotImplementedError(f"matrix_norm: ord={ord!r} needs singular values, which are not there; "
                                  "'fro', 1, -1, inf and -inf are")
    rows, columns = (d % A.ndim for d in dim)
    added, chosen = (rows, columns) if ord in (1, -1) else (columns, rows)
    choose = amax if ord > 0 else amin
    sums = sum(abs(A), added, keepdim=True, dtype=dtype)
    result = choose(sums, chosen, keepdim=True)
    return result if keepdim else result.squeeze((rows, columns))

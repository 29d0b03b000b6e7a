"""PyTorch's ``linalg`` names, for what minitorch has of it."""

from minitorch.ops import diagonal, matmul, matrix_power, norm, vector_norm

__all__ = ["diagonal", "matmul", "matrix_power", "norm", "vector_norm"]

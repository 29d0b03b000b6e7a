"""PyTorch's ``linalg`` names, for what minitorch has of it."""

from minitorch.ops import matmul, norm, vector_norm

__all__ = ["matmul", "norm", "vector_norm"]

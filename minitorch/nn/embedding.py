"""Embedding: a table with one learnt vector for every id."""

from __future__ import annotations

from minitorch.creation import as_tensor, empty
from minitorch.errors import RangeError, ShapeError
from minitorch.nn import functional as F
from minitorch.nn import init
from minitorch.nn.module import Module
from minitorch.nn.parameter import Parameter
from minitorch.tensor import Tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """Looks up one vector per id. The row ``padding_idx`` starts at zero and never gets a gradient.

    Shapes: ids (…) integers, weight (num_embeddings, embedding_dim), y (…, embedding_dim). Starts as N(0, 1).

    >>> table = minitorch.nn.Embedding(10, 3, padding_idx=0)
    >>> table(minitorch.tensor([[4, 2, 0]])).shape
    (1, 3, 3)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
                 max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                 sparse: bool = False, _weight: Tensor | None = None, _freeze: bool = False, device=None, dtype=None):
        super().__init__()
        for option, given in (("max_norm", max_norm is not None), ("scale_grad_by_freq", scale_grad_by_freq),
                              ("sparse", sparse)):
            if given:
                raise NotImplementedError(f"Embedding: {option} is not supported")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise RangeError(f"Embedding: padding_idx must be within the {num_embeddings} rows of the table, "
                             f"got {padding_idx}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx if padding_idx is None else padding_idx % num_embeddings
        if _weight is None:
            self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype), not _freeze)
            self.reset_parameters()
        else:
            if tuple(_weight.shape) != (num_embeddings, embedding_dim):
                raise ShapeError(f"Embedding: the table should be ({num_embeddings}, {embedding_dim}), "
                                 f"got {_weight.shape}")
            self.weight = Parameter(_weight, not _freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx:self.padding_idx + 1])

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None,
                        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                        sparse: bool = False) -> Embedding:
        """A table with these vectors, which are not learnt on unless ``freeze=False``.

        >>> minitorch.nn.Embedding.from_pretrained(minitorch.eye(3))(minitorch.tensor([1]))
        tensor([[0., 1., 0.]])
        """
        embeddings = as_tensor(embeddings)
        if embeddings.ndim != 2:
            raise ShapeError(f"from_pretrained: embeddings should be 2-dimensional, got shape {embeddings.shape}")
        rows, width = embeddings.shape
        return cls(rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

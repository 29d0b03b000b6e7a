"""The residual connection: the input goes round the sublayer and is added to what it computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitorch.autograd import Function
from minitorch.errors import DTypeError, ShapeError
from minitorch.ops.dropout import check_probability
from minitorch.random import draw_seed

if TYPE_CHECKING:
    from minitorch.tensor import Tensor

__all__ = ["residual_add"]


class ResidualAdd(Function):
    """Add a sublayer's result to its input; the sublayer's last bias and dropout ride along.

    Forward    y = x + dropout(f + b)
    Backward   dx = dy                                    the direct path: the gradient passes unchanged
               df = dy · keep / (1 − p)      db = Σ df    Σ: over every row
    Saved      seed
    Shapes     x, f, y (…, c)    b (c,)
    Derived in docs/layers/residual.md
    """

    def forward(self, x, f, bias, *, p=0.0, seed=0):
        self.p, self.seed = p, seed
        return self.k.residual_forward(x, f, bias, p, seed)

    def backward(self, dy):
        return self.k.residual_backward(dy, self.p, self.seed, self.needs)


def residual_add(x: Tensor, f: Tensor, bias: Tensor | None = None, dropout_p: float = 0.0,
                 training: bool = True) -> Tensor:
    """x + dropout(f + bias), in one node.

    >>> x, f = minitorch.tensor([0.1, 0.2, -0.3]), minitorch.tensor([0.2, 0.1, 0.1])
    >>> minitorch.nn.functional.residual_add(x, f)
    tensor([ 0.3000,  0.3000, -0.2000])
    """
    check_probability("residual_add", dropout_p)
    if x.shape != f.shape:
        raise ShapeError(f"residual_add: x has shape {x.shape}, f has {f.shape}. The sublayer must keep the shape; where "
                         "channels change, project x first.")
    for name, t in (("f", f),) if bias is None else (("f", f), ("bias", bias)):
        if t.dtype != x.dtype:
            raise DTypeError(f"residual_add: x is {x.dtype}, {name} is {t.dtype}. Cast one.")
    if bias is not None and bias.shape != x.shape[-1:]:
        raise ShapeError(f"residual_add: bias has shape {bias.shape}, expected {x.shape[-1:]}")
    p = float(dropout_p) if training else 0.0
    return ResidualAdd.apply(x, f, bias, p=p, seed=draw_seed() if p else 0)

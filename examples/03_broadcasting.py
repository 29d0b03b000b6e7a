"""
Broadcasting, backwards
=======================

A row of three numbers is added to a matrix of two rows: forward, the row is used twice. Backward, what is used in
several places gets the sum of the gradients of all those places.

Run it: ``python examples/03_broadcasting.py``
"""

# %%
# One matrix, a row added to each of its rows, a column added to each of its columns.
import textwrap

import minitorch as torch
from minitorch.autograd import Function

x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
row = torch.tensor([10.0, 20.0, 30.0], requires_grad=True)          # (3,): used in 2 rows
column = torch.tensor([[100.0], [200.0]], requires_grad=True)       # (2, 1): used in 3 columns
y = x + row + column
print("y =\n", y.detach(), sep="")

# %%
# Say that the gradient that comes back for y is dy. A sum hands it on as it is; then it is added up wherever one number was
# used several times: over the 2 rows for the row, 1+4, 2+5, 3+6; over the 3 columns for the column, 1+2+3, 4+5+6.
dy = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
y.backward(dy)
print("dx      =", x.grad.tolist())
print("drow    =", row.grad.tolist())
print("dcolumn =", column.grad.tolist())

# %%
# A product first multiplies by the other factor, then adds up in the same way: 1·1+4·4, 2·2+5·5, 3·3+6·6.
x.grad = row.grad = None
(x * row).backward(dy)
print("of the product: drow =", row.grad.tolist())


# %%
# A rule follows that catches many wrong backward passes: **a gradient has the shape of its input.** Here is an op that
# forgets to add up, and what the engine says about it.
class ForgetfulAdd(Function):
    def forward(self, x, row):
        return x + row

    def backward(self, dy):
        return dy, dy                      # the second should be dy.sum(0)


try:
    ForgetfulAdd.apply(x, row).sum().backward()
except RuntimeError as error:
    print(textwrap.fill(f"the engine: {error}", 79))

# %%
# Broadcasting also happens where nobody wanted it. Three predictions in a column minus three targets in a row are not three
# errors, but nine; and the mean of their squares is a number like any other.
prediction = torch.tensor([[1.0], [2.0], [3.0]])
target = torch.tensor([1.0, 2.0, 3.0])
nine = prediction - target
three = prediction.squeeze(1) - target
print(f"wrong: {tuple(nine.shape)} errors, mean square {nine.square().mean().item():.3f}")
print(f"right: {tuple(three.shape)}   errors, mean square {three.square().mean().item():.3f}")

# %%
# **Try this:** ``row = torch.tensor(10.0, requires_grad=True)``: one number for the whole matrix. Its gradient is 21.
#
# **Read on:** :doc:`/ops/shape`, and :doc:`/layers/linear`, whose bias is such a row.

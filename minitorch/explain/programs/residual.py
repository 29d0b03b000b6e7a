"""A residual connection, y = x + f(x): the gradient has two paths, and one of them is free."""

import minitorch as torch

x = torch.tensor([[0.1, 0.2, -0.3]], requires_grad=True)
w = torch.tensor([[0.5, -0.2, 0.1],
                  [0.3, 0.4, -0.6],
                  [-0.1, 0.2, 0.7]], requires_grad=True)

# f is one small layer. A whole Transformer sublayer (attention, FFN) would stand here.
f = torch.relu(x @ w)

# The input goes around f, unchanged.
y = x + f
weights = torch.tensor([[1.0, 2.0, 3.0]])
loss = (y * weights).sum()      # some loss: a weighted sum

# What arrives at y goes to x directly, and once more through f. Where relu shut f off, the direct path still delivers.
loss.backward()
print("x.grad", x.grad.tolist())

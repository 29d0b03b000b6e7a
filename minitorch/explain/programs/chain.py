"""The chain rule on three numbers: one small expression, forward and backward."""

import minitorch as torch

# Three leaves. Each asks: if I grew by a little, by how much would the loss grow?
a = torch.tensor(2.0, requires_grad=True)
b = torch.tensor(-3.0, requires_grad=True)
c = torch.tensor(6.5, requires_grad=True)

# Forward: one op at a time, each result kept.
product = a * b                 # −6
d = product + c                 # 0.5
e = d * a                       # 1: a is used a second time
loss = e.tanh() + d**2          # d is used a second time

# Backward: from the loss to the leaves. A value that was used twice is reached on two paths, and adds what they bring.
loss.backward()

print("loss", loss.item())
print("gradients", a.grad.item(), b.grad.item(), c.grad.item())

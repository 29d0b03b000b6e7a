"""One neuron: a weighted sum, tanh, and the squared error."""

import minitorch as torch

x = torch.tensor([1.0, 0.5, -1.0])                              # what the neuron sees: no gradient wanted
w = torch.tensor([0.4, -0.8, 0.3], requires_grad=True)          # what it learns
b = torch.tensor(0.1, requires_grad=True)
target = 1.0                                                    # what it should say

s = w @ x + b                   # the weighted sum
y = torch.tanh(s)               # squashed to between −1 and 1
error = y - target
loss = error * error            # error is used twice: its gradient arrives in two parts

loss.backward()

print(f"loss {loss.item():.4f}")
print("the gradient of w", w.grad.tolist(), "says: to lower the loss, raise the first weight, and lower the last")

"""LayerNorm on [100, 200, 50]: mean 0 and variance 1, and a backward that knows it."""

import minitorch as torch
import minitorch.nn.functional as F

x = torch.tensor([100.0, 200.0, 50.0], requires_grad=True)
gamma = torch.tensor([1.0, 1.0, 1.0], requires_grad=True)       # the scale, learnt; 1 to begin with
beta = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)        # the shift, learnt; 0 to begin with

# The mean is 116.67 and the standard deviation 62.36: y is [-0.267, 1.336, -1.069].
y = F.layer_norm(x, (3,), gamma, beta)

# Some loss: a weighted sum. The weights are what will arrive at y as its gradient.
weights = torch.tensor([1.0, 2.0, 3.0])
loss = (y * weights).sum()
loss.backward()

# Adding a constant to all of x changes nothing in y, so the gradient of x adds up to 0.
print("y", y.tolist())
print("x.grad", x.grad.tolist(), "sum", sum(x.grad.tolist()))

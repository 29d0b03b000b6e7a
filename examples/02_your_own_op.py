"""
An op of your own, and a check that can fail
============================================

An op is a forward and a backward on NumPy arrays. Whether the backward is right is not a matter of taste: gradcheck
compares it with measured slopes, and says what is wrong.

Run it: ``python examples/02_your_own_op.py``
"""

# %%
# swoosh(x) = x · tanh(x), first with a mistake that is easily made: the derivative of tanh is 1 − tanh², not 1 − tanh.
import numpy as np

import minitorch
from minitorch.autograd import Function, gradcheck


class WrongSwoosh(Function):
    def forward(self, x):
        self.x = x
        return x * np.tanh(x)

    def backward(self, dy):
        t = np.tanh(self.x)
        return dy * (t + self.x * (1 - t))


minitorch.manual_seed(0)
x = minitorch.randn(3, 4, requires_grad=True)
try:
    gradcheck(WrongSwoosh.apply, x)
except RuntimeError as diagnosis:
    print("The wrong one:\n")
    print(diagnosis)
else:
    raise AssertionError("a wrong gradient went through")


# %%
# Now the right one.
class Swoosh(WrongSwoosh):
    def backward(self, dy):
        t = np.tanh(self.x)
        return dy * (t + self.x * (1 - t * t))


print("\nThe right one:", gradcheck(Swoosh.apply, x))

# %%
# It is an op like any other: it can stand in a chain.
loss = (Swoosh.apply(x) * 2).mean()
loss.backward()
print(f"mean of 2 · swoosh(x) = {loss.item():.4f}; its gradient has norm {x.grad.norm().item():.4f}")

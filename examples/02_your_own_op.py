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

import minitorch as torch
from minitorch.autograd import Function, gradcheck


class WrongSwoosh(Function):
    def forward(self, x):
        self.x = x                          # what backward needs is kept on self
        return x * np.tanh(x)

    def backward(self, dy):                 # dy: how the loss changes with the output
        t = np.tanh(self.x)
        return dy * (t + self.x * (1 - t))


torch.manual_seed(0)
x = torch.randn(3, 4, requires_grad=True)
try:
    gradcheck(WrongSwoosh.apply, x)
except RuntimeError as diagnosis:
    print("The wrong one:\n")
    print(diagnosis)
else:
    raise AssertionError("a wrong gradient went through")


# %%
# Now the right one: the product rule, d(x · t) = t + x · (1 − t²).
class Swoosh(WrongSwoosh):
    def backward(self, dy):
        t = np.tanh(self.x)
        return dy * (t + self.x * (1 - t * t))


print("The right one:", gradcheck(Swoosh.apply, x))

# %%
# It is an op like any other: it can stand in a chain. At x = 1, by hand: tanh 1 = 0.7616, and the slope of 2 · swoosh is
# 2 · (0.7616 + 1 − 0.7616²) = 2.3631.
x = torch.tensor([1.0], requires_grad=True)
y = 2 * Swoosh.apply(x)
y.sum().backward()
print(f"2 · swoosh(1) = {y.item():.4f}   its slope {x.grad.item():.4f}")

# %%
# **Try this:** leave out the ``dy *`` in the right one. gradcheck sends random numbers as dy, never ones, so it notices.
#
# **Read on:** :doc:`/howto/check-your-own-layer`.

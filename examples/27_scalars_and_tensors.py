"""
Scalars and tensors
===================

The smallest engines, like micrograd, keep a node for every single number. Here is one, and the same network on tensors: the
same gradients, a thousand times faster. The chain rule is the same; what differs is how many numbers a node holds.

Run it: ``python examples/27_scalars_and_tensors.py`` (with ``pip install micrograd`` it times that engine, too)
"""

# %%
# A scalar engine: a number, where it came from, and by how much it moves with each of those.
import importlib
import importlib.util
import random
import time

import numpy as np

import minitorch as torch
from minitorch import nn


class Scalar:
    def __init__(self, number, parents=()):
        self.data, self.grad, self.parents = number, 0.0, parents      # parents: pairs of a Scalar and a slope

    def __add__(self, other):
        other = as_scalar(other)
        return Scalar(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        other = as_scalar(other)
        return Scalar(self.data * other.data, ((self, other.data), (other, self.data)))

    def relu(self):
        return Scalar(max(self.data, 0.0), ((self, float(self.data > 0)),))

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack += [(node, True), *[(parent, False) for parent, _ in node.parents]]
        self.grad = 1.0
        for node in reversed(order):
            for parent, slope in node.parents:
                parent.grad += slope * node.grad


def as_scalar(x):
    return x if isinstance(x, Scalar) else Scalar(x)


# %%
# A network with 2 inputs, two layers of 16 and one output, as in micrograd's demonstration, on 100 points of two classes.
# A point on the wrong side of the margin costs 1 − y · score.
numbers = np.random.default_rng(0)
points = numbers.standard_normal((100, 2))
sides = np.sign(points[:, 0] * points[:, 1])
net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)).double()
weights = [[[Scalar(w) for w in row] for row in p.tolist()] if p.ndim == 2 else [Scalar(b) for b in p.tolist()]
           for p in net.parameters()]


def scalar_net(x):
    for i in range(0, len(weights), 2):
        x = [sum((w * v for w, v in zip(row, x)), bias) for row, bias in zip(weights[i], weights[i + 1])]
        x = [v.relu() for v in x] if i + 2 < len(weights) else x
    return x[0]


def scalar_step():
    losses = [(1 + -y * scalar_net(x)).relu() for x, y in zip(points.tolist(), sides.tolist())]
    loss = sum(losses) * (1 / len(losses))
    loss.backward()
    return loss.data


x, y = torch.from_numpy(points), torch.from_numpy(sides)


def tensor_step():
    net.zero_grad()
    loss = torch.relu(1 - y * net(x)[:, 0]).mean()
    loss.backward()
    return loss.item()


def flat(values):
    return [v for value in values for v in (flat(value) if isinstance(value, list) else [value])]


print(f"loss            scalars {scalar_step():.6f}   tensors {tensor_step():.6f}")
ours = np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])
theirs = np.array([s.grad for s in flat(weights)])
print(f"{ours.size} gradients, largest difference below 1e-12: {np.abs(ours - theirs).max() < 1e-12}")


# %%
# The scalar engine makes a node for each of some 60,000 products and sums, and Python walks them one by one. The tensor
# engine makes a dozen.
def fastest(step, times):
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best


slow, quick = fastest(scalar_step, 3), fastest(tensor_step, 200)
print(f"a pass over 100 points: {slow * 1e3:.0f} ms by scalars, {quick * 1e3:.2f} ms by tensors: "
      f"{slow / quick:.0f} times as fast")

# %%
# micrograd itself, if it is installed: the same size, its own starting weights.
if importlib.util.find_spec("micrograd"):
    random.seed(0)
    theirs_net = importlib.import_module("micrograd.nn").MLP(2, [16, 16, 1])

    def micrograd_step():
        losses = [(1 + -y * theirs_net(x)).relu() for x, y in zip(points.tolist(), sides.tolist())]
        theirs_net.zero_grad()
        (sum(losses) * (1 / len(losses))).backward()

    slow = fastest(micrograd_step, 3)
    print(f"micrograd: {slow * 1e3:.0f} ms; tensors are {slow / quick:.0f} times as fast")

# %%
# **Try this:** give the scalar engine a tanh, and let both networks use it. Do the gradients still agree?
#
# **Read on:** :doc:`how fast the kernels are, and why </performance>`.

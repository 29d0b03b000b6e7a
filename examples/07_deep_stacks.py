"""
Why deep plain stacks fail, and residual ones do not
====================================================

Forty-eight layers in a row, with and without residual connections: how much of the gradient reaches the first layer, and
what does that mean for learning?

Run it: ``python examples/07_deep_stacks.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# Both stacks have the same layers, ``nn.Linear(32, 32)`` and tanh, and start from the same weights. They differ in one line
# of ``forward``. A residual connection has no parameters of its own.
import math
import sys

import matplotlib.pyplot as plt

import minitorch as torch
import minitorch.nn as nn
from minitorch import explain

DEPTH, WIDTH = 48, 32
STEPS = 50 if "--quick" in sys.argv else 100


class Stack(nn.Module):
    def __init__(self, residual):
        super().__init__()
        self.residual = residual
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)])

    def forward(self, x):
        for layer in self.layers:
            f = layer(x).tanh()
            x = x + f if self.residual else f
        return x


torch.manual_seed(0)
stacks = {"plain": Stack(residual=False), "residual": Stack(residual=True)}
stacks["residual"].load_state_dict(stacks["plain"].state_dict())
for name, stack in stacks.items():
    count = sum(p.numel() for p in stack.parameters())
    print(f"{name:9} {count} parameters = {DEPTH} · (32 · 32 + 32)")

# %%
# The task asks nothing of depth: turn the 32 numbers round, last one first. One loss flows back, and we measure the length
# of the gradient that arrives in each layer.
x = torch.randn(64, WIDTH)
target = x.flip(1)
flows = {}
for name, stack in stacks.items():
    flows[name] = explain.gradient_flow(stack, (stack(x) - target).square().mean())
    first, last = flows[name][0].grad_norm, flows[name][-1].grad_norm
    print(f"{name:9} gradient in layer {DEPTH} {last:7.1e}   in layer 1 {first:7.1e}   "
          f"ratio 10^{math.log10(first / last):.1f}")

# %%
# The theory fits on one line. ``nn.Linear`` draws its n · n weights between −1/√n and 1/√n. Their variance is 1/(3n), so a
# layer multiplies the length of a gradient by about √(n · 1/(3n)) = 1/√3. Forty-seven times in a row that is 10⁻¹¹. With the
# connection a layer's factor has the form 1 + something, and the 1 does not come from the layer.
plain = flows["plain"].column("grad_norm")
measured = (plain[0] / plain[-1]) ** (1 / (DEPTH - 1))
print(f"one plain layer's factor: {measured:.3f}   theory 1/√3 = {1 / math.sqrt(3):.3f}")

# %%
# On a logarithmic axis, a constant factor per layer is a straight line. It bends at the first layers: the gradient of a
# weight is also proportional to what the layer was given, and only the first layers are given large numbers.
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
theory = [plain[-1] * 3 ** ((i - DEPTH) / 2) for i in range(1, DEPTH + 1)]
axes = explain.plot_gradient_flow(flows, ax=axes, theory={"plain": theory})

# %%
# And learning? What gets lost backward gets lost forward, too: the plain stack's output hardly depends on its input. So it
# learns the best *constant* answer, and stays there.
constant = (target - target.mean(0)).square().mean().item()
for name, stack in stacks.items():
    optimizer = torch.optim.Adam(stack.parameters(), lr=3e-3)
    for _ in range(STEPS):
        loss = (stack(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{name:9} loss after {STEPS} steps {loss.item():.3f}   "
          f"best constant answer {constant:.3f}")

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``DEPTH = 4``. The plain stack loses almost nothing, and learns.
#
# **Read on:** :doc:`/howto/read-a-gradient-flow-plot`. ``minitorch gradflow`` draws more stacks, and deeper ones; the next
# example adds LayerNorm.

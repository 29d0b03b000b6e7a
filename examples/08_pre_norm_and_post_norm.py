"""
Pre-norm against post-norm
==========================

LayerNorm can stand after the sum, LN(x + f(x)), as in the paper that introduced Transformers, or in front of the layer,
x + f(LN(x)), as in most deep models since. The difference: does anything stand in the way of the direct path?

Run it: ``python examples/08_pre_norm_and_post_norm.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# First the direct path alone. Every layer adds some random f of variance 1, which does not depend on x: nothing flows back
# through f, only around it. How much of the gradient arrives after 24 layers?
import math
import sys

import matplotlib.pyplot as plt

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

DEPTH, WIDTH = 24, 32
STEPS = 60 if "--quick" in sys.argv else 80
COLOURS = {"pre-norm": "#0072B2", "post-norm": "#D55E00"}

torch.manual_seed(0)
norm = nn.LayerNorm(1000)
arrives = {}
for name, after in [("pre-norm", lambda y: y), ("post-norm", norm)]:
    x = torch.randn(1000, requires_grad=True)
    inputs, h = [], x
    for _ in range(DEPTH):
        h = after(h + torch.randn(1000))
        h.retain_grad()
        inputs.append(h)
    h.backward(torch.randn(1000))
    arrives[name] = [h.grad.norm().item() / inputs[-1].grad.norm().item() for h in [x, *inputs]]
    print(f"{name:10} of the gradient, {arrives[name][0]:.5f} arrives on the direct path")

# %%
# In pre-norm the direct path is free: everything arrives. In post-norm every layer divides the sum by its standard
# deviation. x has variance 1, f has variance 1, so the sum has variance 2, and each layer takes a factor 1/√2:
print(f"by hand: (1/√2)^{DEPTH} = {2 ** (-DEPTH / 2):.5f}")


# %%
# Does it matter? Here is a Transformer of 24 blocks that must write seven letters in reverse order. Only ``norm_first``
# differs.
class Reverser(nn.Module):
    def __init__(self, norm_first):
        super().__init__()
        self.letter = nn.Embedding(10, WIDTH)
        self.position = nn.Embedding(7, WIDTH)
        self.blocks = nn.ModuleList([
            nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True,
                                       norm_first=norm_first) for _ in range(DEPTH)])
        # pre-norm needs one more at the end: nothing has normalised the last sum
        self.norm = nn.LayerNorm(WIDTH) if norm_first else nn.Identity()
        self.out = nn.Linear(WIDTH, 10)

    def forward(self, ids):
        x = self.letter(ids) + self.position(torch.arange(7))
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


losses = {}
for name in COLOURS:
    torch.manual_seed(0)
    model = Reverser(norm_first=name == "pre-norm")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses[name] = []
    for _ in range(STEPS):
        ids = torch.randint(10, (16, 7))
        loss = F.cross_entropy(model(ids).reshape(-1, 10), ids.flip(1).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses[name].append(loss.item())
    print(f"{name:10} loss at first {losses[name][0]:.2f}   "
          f"after {STEPS} steps {losses[name][-1]:.2f}   (guessing: ln 10 = {math.log(10):.2f})")

# %%
# Above, what arrives at each layer on the direct path. Below, what becomes of training.
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 7), layout="constrained")
for name, colour in COLOURS.items():
    style = "-" if name == "pre-norm" else "--"
    above.semilogy(range(DEPTH + 1), arrives[name], style, color=colour, linewidth=2, label=name)
    below.plot(losses[name], style, color=colour, linewidth=2, label=name)
above.set(xlabel="layer (0 is the input)", ylabel="share of the gradient that arrives")
below.set(xlabel="step", ylabel="loss", ylim=(0, None))
below.axhline(math.log(10), color="0.6", linewidth=1)
below.annotate("guessing: ln 10", (STEPS, math.log(10)), (0, -12),
               textcoords="offset points", ha="right", color="0.4")
above.legend()

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``DEPTH = 6``, the depth of the original Transformer: post-norm learns as well as pre-norm. It is depth that
# makes the difference.
#
# **Read on:** :doc:`/layers/layernorm` and :doc:`/layers/residual`.

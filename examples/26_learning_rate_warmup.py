"""
Learning-rate warm-up, with and without
=======================================

Adam's first steps are its wildest: it has seen one gradient and believes it. Warm-up begins with a small rate and lets the
averages settle. A deep post-norm Transformer needs that.

Run it: ``python examples/26_learning_rate_warmup.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# Adam divides the mean of the gradients by the root of the mean of their squares. At the first step both are made of one
# gradient: g / √g² = ±1. A gradient of a millionth moves its weight as far as a gradient of a hundred.
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch.data import CharTokenizer, LMDataset, plays
from minitorch.utils.data import DataLoader

w = torch.zeros(4, requires_grad=True)
(w * torch.tensor([100.0, 1.0, 0.001, 0.000001])).sum().backward()
torch.optim.Adam([w], lr=0.01, eps=1e-12).step()
print("gradients  " + " ".join(f"{g:g}" for g in w.grad.tolist()))
print("first step " + " ".join(f"{step:.4f}" for step in w.tolist()))

# %%
# The schedule of "Attention is all you need": up in a straight line, then down as 1/√step.
optimizer = torch.optim.Adam([w], lr=0.01)
schedule = torch.optim.lr_scheduler.InverseSquareRootLR(optimizer, 40)
rates = []
for _ in range(160):
    rates.append(schedule.get_last_lr()[0])
    optimizer.step()
    schedule.step()
print("rates " + "   ".join(f"step {step}: {rates[step - 1]:.4f}" for step in (1, 20, 40, 160)))

# %%
# Six post-norm layers, a rate of 0.01, the same batches: with warm-up and without.
STEPS, WARMUP, LENGTH, WIDTH = 80 if "--quick" in sys.argv else 160, 50, 24, 64
text = plays()[:50_000].lower()
letters = CharTokenizer(text)
ids = letters.encode(text)
counts = np.bincount(ids) / len(ids)
frequencies = -(counts[counts > 0] * np.log(counts[counts > 0])).sum()
print(f"knowing only how frequent each letter is: loss {frequencies:.2f}")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.letter, self.place = nn.Embedding(letters.vocab_size, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True) for _ in range(6)])
        self.out = nn.Linear(WIDTH, letters.vocab_size)

    def forward(self, x):
        x = self.letter(x) + self.place(torch.arange(LENGTH))
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.out(x)


def train(warmup):
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup)))
    loader = DataLoader(LMDataset(ids, LENGTH), 16, shuffle=True, generator=torch.Generator().manual_seed(0))
    losses = []
    for _, (x, y) in zip(range(STEPS), loader):
        loss = F.cross_entropy(model(x).reshape(-1, letters.vocab_size), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


runs = {"no warm-up": train(0), f"{WARMUP} steps of warm-up": train(WARMUP)}
for name, losses in runs.items():
    print(f"{name:20} loss after {STEPS} steps {np.mean(losses[-10:]):.2f}")

# %%
# Without warm-up the model finds out how frequent each letter is, and is stuck there: its first steps have driven
# it into a region where hardly any gradient comes through the layers. With warm-up the same model learns.
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, losses), color in zip(runs.items(), ("#D55E00", "#0072B2")):
    smooth = np.convolve(np.r_[[losses[0]] * 4, losses], np.ones(5) / 5, "valid")
    axes.plot(range(1, STEPS + 1), smooth, color=color, label=name)
axes.axhline(frequencies, color="0.6", linewidth=1)
axes.annotate("frequencies of letters", (STEPS, frequencies), (0, -12), textcoords="offset points", ha="right", color="0.4")
axes.set(xlabel="step", ylabel="loss", title="Six layers, rate 0.01", ylim=(None, 3.8))
axes.legend()

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** a rate of 0.001. Slower at first, but no warm-up is needed. And with 12 layers?
#
# **Read on:** :doc:`/tutorials/05-transformer`.

"""
A ResNet reads digits
=====================

A small ResNet learns to read digits of 8 × 8 pixels. One training is one throw of the dice: we train several times, from
different random weights, and report the mean and the spread on pictures that no training has seen.

Run it: ``python examples/19_digits.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# 1797 pictures: handwritten where scikit-learn is installed, drawn otherwise. A fifth is set aside, always the same
# fifth.
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
import minitorch.nn.functional as F
from minitorch.data import digits
from minitorch.models import ResNet, ResNetConfig

QUICK = "--quick" in sys.argv
SEEDS = range(2 if QUICK else 5)
EPOCHS = 6 if QUICK else 15
BATCH, RATE = 64, 0.1

pictures, labels = digits()
order = torch.tensor(np.random.default_rng(0).permutation(len(pictures)))
test, training = order[:360], order[360:]
print(f"{len(training)} pictures to learn from, {len(test)} to be tested on")

# %%
# **Training.** A moved digit is still that digit, and 1437 pictures are few: so every picture is moved by up to one
# pixel, another way each time it comes. The learning rate falls to zero along a half cosine.
def moved(batch, rng):
    down, right = rng.integers(0, 3, 2).tolist()
    return F.pad(batch, (1, 1, 1, 1))[:, :, down:down + 8, right:right + 8]


def train(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = ResNet(ResNetConfig(num_channels=1, hidden_sizes=(16, 32), depths=(1, 1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        shuffled = training[torch.tensor(rng.permutation(len(training)))]
        for chosen in shuffled.split(BATCH):
            loss = model.loss(moved(pictures[chosen], rng), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    return model.eval(), loss.item()


def read(model):
    with torch.no_grad():
        return model(pictures[test]).softmax(1)


correct = []
for seed in SEEDS:
    model, loss = train(seed)
    chances = read(model)
    correct.append((chances.argmax(1) == labels[test]).float().mean().item())
    print(f"seed {seed}: last training loss {loss:.4f}   test accuracy {correct[-1]:.2%}")
count = sum(p.numel() for p in model.parameters())
print(f"{model.depth} layers, {count} parameters: test accuracy {np.mean(correct):.2%} ± {np.std(correct, ddof=1):.2%} "
      f"over {len(correct)} seeds")

# %%
# What the last network got wrong, or where there is nothing wrong, what it was least sure of.
right = chances[torch.arange(len(test)), labels[test]]
figure, row = plt.subplots(2, 6, figsize=(8, 3.2), layout="constrained")
for axes, i in zip(row.ravel(), right.argsort().tolist()):
    axes.imshow(pictures[test][i, 0].numpy(), cmap="gray_r")
    digit, guess = labels[test][i].item(), chances[i].argmax().item()
    axes.set_title(f"is {digit}, read {guess}: {chances[i].max().item():.0%}", fontsize=8)
    axes.axis("off")

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``digits("drawn")``. Drawn digits are easier than handwriting.
#
# **Read on:** :doc:`/layers/batchnorm`: what ``eval()`` changes, and why it must not be forgotten before testing.

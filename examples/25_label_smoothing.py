"""
Label smoothing: sure, but not too sure
=======================================

Told that the right answer has probability 1, a model pushes its scores apart for ever. Told 0.9, it stops somewhere; and
what it says of its own certainty becomes more honest.

Run it: ``python examples/25_label_smoothing.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# Three classes, the first is right. Smoothing by ε = 0.1 moves a tenth of the label to all three alike.
import math
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

z, right = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True), torch.tensor([0])
p = F.softmax(z, -1)
smooth = torch.tensor([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
print("label              1.0000 0.0000 0.0000")
print("smoothed           " + " ".join(f"{y:.4f}" for y in smooth.tolist()))
print(f"loss by hand       {-(smooth * p.log()).sum().item():.4f}")
print(f"F.cross_entropy    {F.cross_entropy(z, right, label_smoothing=0.1).item():.4f}")
gradient, = torch.autograd.grad(F.cross_entropy(z, right, label_smoothing=0.1), z)
print("gradient p − y     " + " ".join(f"{g:.4f}" for g in gradient[0].tolist()))

# %%
# How far apart should scores be? Without smoothing: the further, the better. With it there is a best distance, where p
# equals the smoothed label: ln(0.9333 / 0.0333) = 3.33. Beyond, the loss rises again.
for gap in (1.0, 3.0, math.log(0.9 / 0.1 * 3 + 1), 6.0, 12.0):
    scores = torch.tensor([[gap, 0.0, 0.0]])
    plain, smoothed = (F.cross_entropy(scores, right, label_smoothing=e).item() for e in (0.0, 0.1))
    print(f"scores apart {gap:5.2f}   plain {plain:.4f}   smoothed {smoothed:.4f}")

# %%
# Now data where nobody can be right always: three clouds of points that overlap. A network with far more weights than points
# learns the points by heart.
rng = np.random.default_rng(0)
centres = np.array([[0.0, 1.0], [0.9, -0.5], [-0.9, -0.5]])


def points(count):
    labels = rng.integers(3, size=count)
    return (torch.tensor((centres[labels] + 0.8 * rng.normal(size=(count, 2))).astype(np.float32)), torch.tensor(labels))


x, y = points(90)
new_x, new_y = points(3000)
found = {}
for name, epsilon in ("plain", 0.0), ("smoothed", 0.1):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    losses = []
    for step in range(600):
        loss = F.cross_entropy(model(x), y, label_smoothing=epsilon)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                losses.append(F.cross_entropy(model(new_x), new_y).item())
    with torch.no_grad():
        p = F.softmax(model(new_x), -1).numpy()
    sure, hit = p.max(-1), p.argmax(-1) == new_y.numpy()
    found[name] = losses, sure, hit
    print(f"{name:9} right {hit.mean():.1%}   says it is sure by {sure.mean():.1%}   loss on new points {losses[-1]:.2f}")

# %%
# Both are right about equally often. But the plain model is far too sure of itself, and pays for it when it is wrong: its
# loss on new points grows and grows. To the right: among points of which a model said "80 %", how many were right?
figure, (left, right_axes) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
right_axes.plot([0.33, 1], [0.33, 1], color="0.6", linewidth=1)
for (name, (losses, sure, hit)), color in zip(found.items(), ("#D55E00", "#0072B2")):
    left.plot(range(0, 600, 20), losses, color=color, label=name)
    edges = np.linspace(0.35, 1.0, 9)
    inside = [(sure >= a) & (sure < b + (b == 1)) for a, b in zip(edges, edges[1:])]
    kept = [each for each in inside if each.sum() >= 30]
    right_axes.plot([sure[each].mean() for each in kept], [hit[each].mean() for each in kept], "o-", color=color, label=name)
left.set(xlabel="step", ylabel="loss on new points", title="Too sure is expensive")
left.legend()
right_axes.set(xlabel="how sure it says it is", ylabel="how often it is right", title="On the grey line: honest")
right_axes.legend()

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``label_smoothing=0.4``. Now the model is less sure than it should be.
#
# **Read on:** :doc:`/tutorials/06-train-and-look`.

"""
Deeper and worse: networks without shortcuts
============================================

Add layers to a plain convolutional network and at some depth it gets worse, on its *training* data. That is no overfitting:
it cannot be optimised. With shortcuts the same layers train at any depth. This is the experiment that residual connections
come from, on small pictures of digits.

Run it: ``python examples/18_degradation.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# Digits of 8 × 8 pixels: handwritten ones where scikit-learn is installed, drawn ones otherwise.
# ``ResNetConfig.of_depth`` makes networks of 6n + 2 layers; ``shortcuts=False`` leaves out ``+ x`` and nothing else.
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
from minitorch import explain
from minitorch.data import digits
from minitorch.models import ResNet, ResNetConfig

QUICK = "--quick" in sys.argv
DEPTHS = (8, 32) if QUICK else (8, 20, 32, 44)
STEPS = 40 if QUICK else 80

pictures, labels = digits()


def make(depth, shortcuts):
    torch.manual_seed(0)
    return ResNet(ResNetConfig.of_depth(depth, num_channels=1, hidden_sizes=(8, 16, 32), shortcuts=shortcuts))


def train(model):
    """Loss and accuracy on the training data, averaged over the last fifth of the steps."""
    rng = np.random.default_rng(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses, right = [], []
    for _ in range(STEPS):
        batch = torch.tensor(rng.choice(len(pictures), 64, replace=False))
        scores = model(pictures[batch])
        loss = torch.nn.functional.cross_entropy(scores, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        right.append((scores.argmax(1) == labels[batch]).float().mean().item())
    last = STEPS // 5
    return np.mean(losses[-last:]), np.mean(right[-last:])


# %%
# Before training, one loss flows back, and we measure the gradient of every convolution. Then each network is trained, on
# the same batches.
losses, accuracies, flows = {}, {}, {}
for name, shortcuts in (("plain", False), ("shortcuts", True)):
    for depth in DEPTHS:
        model = make(depth, shortcuts)
        flow = explain.gradient_flow(model, model.loss(pictures[:128], labels[:128]))
        flows[name, depth] = [layer.grad_norm for layer in flow if ".conv" in layer.name]
        losses[name, depth], accuracies[name, depth] = train(model)
        print(f"{name:9} {depth:2} layers   training loss {losses[name, depth]:5.3f}   "
              f"accuracy {accuracies[name, depth]:6.1%}   "
              f"gradient, last layer {flows[name, depth][-1]:5.2f}   first {flows[name, depth][0]:6.2f}")

# %%
# More layers can do all that fewer can: the added ones need only pass on what they are given. The plain network does not
# find out how. In a block with a shortcut it is enough that the weights are small.
shallow, deep = DEPTHS[0], DEPTHS[-1]
for name in ("plain", "shortcuts"):
    ratio = losses[name, deep] / losses[name, shallow]
    print(f"{name:9} {deep} layers instead of {shallow}: {ratio:.1f} times the training loss")

# %%
# BatchNorm keeps the numbers at one size on the way forward. On the way back it does not: in the plain network the
# gradient grows from layer to layer, and each step changes the first layers most, whose input everything else depends on.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for name, color in (("plain", "#D55E00"), ("shortcuts", "#0072B2")):
    left.plot(DEPTHS, [losses[name, depth] for depth in DEPTHS], "o-", color=color, label=name)
    norms = flows[name, deep]
    right.plot(range(1, len(norms) + 1), norms, ".-", color=color, label=f"{name}, {deep} layers")
left.set(title="deeper and worse", xlabel="layers", xticks=DEPTHS, yscale="log",
         ylabel=f"training loss after {STEPS} steps")
right.set(title="gradients on their way back", xlabel="convolution", yscale="log",
          ylabel="norm of its gradient, before training")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``depths=(14, 14, 14)`` with shortcuts: 86 layers, and they train.
#
# **Read on:** :doc:`/layers/residual`. The next example trains a network with shortcuts until it reads digits.

"""
Softmax and cross-entropy: why p − y
====================================

A classifier's scores become probabilities by softmax; cross-entropy says how surprising the right answer was. Together
they have the simplest gradient there is: what the model said, minus what was true.

Run it: ``python examples/04_softmax_and_cross_entropy.py``
"""

# %%
# Three classes with scores 2, 1 and 0; the right one is the first. Softmax takes e to the power of each score, and divides
# by the sum: 7.389, 2.718 and 1 out of 11.107.
import math

import minitorch as torch
import minitorch.nn.functional as F


def show(name, numbers):
    print(f"{name:22}", "  ".join(f"{x:8.4f}" for x in numbers))


z = torch.tensor([2.0, 1.0, 0.0], requires_grad=True)
right = 0
e = z.exp()
p = e / e.sum()
loss = -p[right].log()
show("scores z", z.tolist())
show("e to the z", e.tolist())
show("probabilities p", p.tolist())
print(f"loss = −ln {p[right].item():.4f} = {loss.item():.4f}")

# %%
# Backward, op by op, the engine finds the gradient of the scores:
loss.backward()
y = [1.0, 0.0, 0.0]
show("gradient of z", z.grad.tolist())
show("p − y", [a - b for a, b in zip(p.tolist(), y)])

# %%
# Why? Write the loss without softmax: −ln(e^z₀ / Σ e^z) = ln Σ e^z − z₀. The slope of ln Σ e^z with respect to zᵢ is
# e^zᵢ / Σ e^z, which is pᵢ. The slope of −z₀ is −1 for the right class, and 0 for the others. That is p − y.
#
# The right score is pushed up, the others down, each by as much as the model was wrong; and the pushes add up to 0.
print(f"sum of the gradient: {sum(z.grad.tolist()):+.4f}")

# %%
# Nobody should compute it in two steps, though. For scores that are far apart, the probability of the right class is so
# small that float32 rounds it to 0, and −ln 0 is infinite. ``F.cross_entropy`` uses the formula ln Σ e^z − z₀, with the
# largest score taken out first, and is right for any scores.
for name, loss_of in [("softmax, then log", lambda z: -F.softmax(z, -1)[0].log()),
                      ("F.cross_entropy", lambda z: F.cross_entropy(z, torch.tensor(0)))]:
    far = torch.tensor([0.0, 200.0, 0.0], requires_grad=True)
    loss = loss_of(far)
    loss.backward()
    print(f"{name:18} loss {loss.item():6.1f}   gradient {far.grad.tolist()}")

# %%
# A model that knows nothing gives every class the same score. Among 10 classes its loss is ln 10: remember this number, it
# is what training starts from.
nothing = F.cross_entropy(torch.zeros(1, 10), torch.tensor([7]))
print(f"no idea among 10: loss {nothing.item():.4f}   ln 10 = {math.log(10):.4f}")

# %%
# **Try this:** add 10 to every score. Probabilities, loss and gradient stay as they are: only differences count. Then add
# 100: e to the power of 102 is more than float32 can hold, and all becomes NaN. ``F.cross_entropy`` would not mind.
#
# **Read on:** :doc:`/layers/softmax` and :doc:`/layers/cross_entropy`.

"""
LayerNorm on [100, 200, 50]
===========================

LayerNorm brings the features of one token to mean 0 and variance 1. Three numbers are enough to see all of it, forward
and backward, and to find out what is wrong with a result that many texts print.

Run it: ``python examples/05_layer_norm.py``
"""

# %%
# By hand, one step at a time.
import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F


def show(name, numbers):
    print(f"{name:24}", "  ".join(f"{x:8.3f}" for x in numbers))


x = torch.tensor([100.0, 200.0, 50.0], requires_grad=True)
mean = x.mean()
deviation = x - mean
std = deviation.square().mean().sqrt()       # a mean: divided by 3, not by 2
show("x", x.tolist())
show("x − mean", deviation.tolist())
show("LayerNorm by hand", (deviation / std).tolist())
print(f"mean {mean.item():.2f}   std {std.item():.2f}")

# %%
# The layer computes the same; its γ (``weight``) starts as ones and its β (``bias``) as zeros.
y = nn.LayerNorm(3)(x)
show("nn.LayerNorm(3)", y.tolist())

# %%
# Many texts give [−0.7, 1.4, −0.7] as the result. It looks right: its mean is 0, and its variance is 0.98. But LayerNorm
# only shifts and stretches, so it keeps the *proportions* of the distances. From 50 to 100 it is half as far as from 100 to
# 200; in the printed result 50 and 100 have landed on the same spot. It is what LayerNorm makes of any row whose first and
# last numbers are equal.
wrong = [-0.7, 1.4, -0.7]
for name, (a, b, c) in [("x", x.tolist()), ("LayerNorm", y.tolist()), ("the texts' result", wrong)]:
    print(f"{name:20} 3rd to 1st {a - c:6.2f}   1st to 2nd {b - a:6.2f}   ratio {(a - c) / (b - a):.2f}")
show("LN of [100, 200, 100]", F.layer_norm(torch.tensor([100.0, 200.0, 100.0]), (3,)).tolist())

# %%
# The same texts go on with a residual connection, [100, 200, 50] + [20, 10, 5], and print the same result again.
show("LN of [120, 210, 55]", F.layer_norm(x + torch.tensor([20.0, 10.0, 5.0]), (3,)).tolist())

# %%
# Backward: let only the first output matter, dy = [1, 0, 0]. Since y cannot change by shifting x or by stretching it, the
# gradient is cleared of both: dx = (dy − ⟨dy⟩ − y · ⟨dy · y⟩) / std, with ⟨⟩ for the mean of the three.
dy = torch.tensor([1.0, 0.0, 0.0])
y.backward(dy)
ŷ = y.detach()
by_hand = (dy - dy.mean() - ŷ * (dy * ŷ).mean()) / std.detach()
show("dx by hand, times 1000", (1000 * by_hand).tolist())
show("dx by backward()", (1000 * x.grad).tolist())
print(f"dx adds up to {abs(x.grad.sum().item()):.6f}: shifting x changes nothing")
print(f"dx · (x − mean) = {abs((x.grad * deviation).sum().item()):.6f}: stretching x changes nothing")

# %%
# **Try this:** multiply x by 1000. The output stays as it is, and the gradient becomes 1000 times smaller.
#
# **Read on:** :doc:`/tutorials/02-layernorm`; :doc:`/layers/layernorm` derives the backward formula.

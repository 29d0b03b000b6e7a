"""
The feed-forward network: two linear layers and what stands between
===================================================================

Half of a Transformer block is a linear layer, an activation, and another linear layer, on every word alike. Often it is
drawn as one box. What is the activation for?

Run it: ``python examples/11_feed_forward.py``
"""

# %%
# Without an activation, two linear layers are one: W₂(W₁x) = (W₂W₁)x.
import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

torch.manual_seed(0)
first, second = nn.Linear(8, 32, bias=False), nn.Linear(32, 8, bias=False)
x = torch.randn(5, 8)
one_matrix = second.weight @ first.weight
difference = (second(first(x)) - x @ one_matrix.T).abs().max().item()
print(f"largest difference between two layers and one: {difference:.6f}")
both = first.weight.numel() + second.weight.numel()
print(f"numbers in two layers: {both}   in the one: {one_matrix.numel()}")

# %%
# With relu between them they can do what no linear layer can. The smallest example: is exactly one of the two inputs on?
# Two hidden numbers and weights chosen by hand are enough: how many inputs are on, and that minus 1.
inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
W1, b1 = torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([0.0, -1.0])
W2, b2 = torch.tensor([[1.0, -2.0]]), torch.tensor([0.0])
a = F.linear(inputs, W1, b1)
h = a.relu()
y = F.linear(h, W2, b2)
print("input    before relu    after relu    h₀ − 2h₁")
for (i, j), (a0, a1), (h0, h1), (out,) in zip(inputs.tolist(), a.tolist(), h.tolist(), y.tolist()):
    print(f"{i:.0f} {j:.0f} {a0:11.0f} {a1:3.0f} {h0:12.0f} {h1:2.0f} {out:9.0f}")

# %%
# And the best a linear layer can do? Its average error is smallest when it answers 0.5 to everything.
target = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
linear = nn.Linear(2, 1)
optimizer = torch.optim.SGD(linear.parameters(), lr=0.3)
for _ in range(200):
    loss = (linear(inputs) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("one linear layer, trained:", [round(y, 3) for y in linear(inputs).flatten().tolist()])

# %%
# Backward, relu lets a gradient through where its input was positive, and nowhere else. For the input [1, 0] the hidden
# numbers were 1 and 0: only the first row of W₁ learns from it. (``F.feed_forward`` is all of the above in one op.)
W1.requires_grad_()
F.feed_forward(inputs[2:3], W1, b1, W2, b2, activation="relu").sum().backward()
print("gradient of W₁ from input [1, 0]:", W1.grad.tolist())

# %%
# In a Transformer the hidden layer is four times as wide: d → 4d → d. For d = 8 that is 8 · 32 + 32 numbers up and
# 32 · 8 + 8 down. It works on every word by itself: shuffle the words, and the outputs are shuffled.
ffn = nn.FFN(8)
print("parameters:", sum(p.numel() for p in ffn.parameters()), "=", 8 * 32 + 32, "+", 32 * 8 + 8)
order = torch.tensor([3, 1, 4, 0, 2])
print("shuffled words, shuffled outputs:", torch.allclose(ffn(x[order]), ffn(x)[order], atol=1e-6))

# %%
# **Try this:** replace ``a.relu()`` with ``a``. The last column becomes 0 − 2 · (−1) = 2, 1, 1, 0: linear in the count.
#
# **Read on:** :doc:`/layers/ffn`.

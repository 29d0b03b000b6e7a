"""
Mistakes people make, and what catches each
===========================================

Nine mistakes from tutorials about Transformers. None of them raises an error by itself; for each there is a number that
gives it away.

Run it: ``python examples/16_mistakes.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# **1. "x = attn(norm(x)); x = x + x" is a residual connection.** It is not: the input is gone after the first half. We build
# twelve such blocks, and twelve right ones, and look at the gradient flow of the layers that make the queries; and at how
# alike the words of a sentence have become in the end.
import math
import sys
import textwrap

import matplotlib.pyplot as plt

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import explain
from minitorch.autograd import gradcheck


class Block(nn.Module):
    def __init__(self, d, right):
        super().__init__()
        self.right, self.norm = right, nn.LayerNorm(d)
        self.query, self.key, self.value, self.out = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        h = self.out(F.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h)))
        return x + h if self.right else h + h


def likeness(words):
    """The mean cosine between two words of a sentence: 1 if all words have become the same."""
    unit = words / words.norm(dim=-1, keepdim=True)
    n = words.shape[-2]
    return ((unit @ unit.T).sum().item() - n) / (n * n - n)


torch.manual_seed(0)
flows = {}
words, weights = torch.randn(2, 8, 16, dtype=torch.float64)
for name, right in [("x + attn(norm(x))", True), ("x = attn(norm(x)); x + x", False)]:
    torch.manual_seed(0)
    model = nn.Sequential(*[Block(16, right) for _ in range(12)]).double()
    y = model(words)
    queries = [block.query for block in model]
    flow = flows[name] = explain.gradient_flow(model, (y * weights).sum(), layers=queries)
    print(f"1  {name:25} block 1 {flow[0].grad_norm:7.1e}  block 12 {flow[11].grad_norm:7.1e}  "
          f"likeness {likeness(y):.3f}")

# %%
# Attention takes means. Without the input in the sum, all words become the same within four blocks. Then it does not matter
# who looks at whom, and no gradient is left for queries but rounding errors.
#
# **2. LayerNorm with the other variance.** ``x.var(-1)`` divides by n − 1 unless told otherwise; LayerNorm divides by n.
# gradcheck does not mind: the gradient is right, for another function. Only comparison with the reference finds it: every
# number differs by √(2/3) = 0.8165.


def my_layer_norm(x):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt()


def numbers(tensor):
    return "  ".join(f"{v:7.4f}" for v in tensor.flatten().tolist())


x = torch.tensor([[100.0, 200.0, 50.0]])
print("2  gradcheck says", gradcheck(my_layer_norm, torch.randn(2, 3, requires_grad=True)))
print("2  with x.var(-1)  ", numbers(my_layer_norm(x)))
print("2  F.layer_norm    ", numbers(F.layer_norm(x, (3,))))

# %%
# **3. "Standardise: divide by the variance."** By the standard deviation. Look at the result's variance, which should be 1:
deviation = x - x.mean()
variance = deviation.square().mean()
for name, y in [("the variance", deviation / variance), ("its root", deviation / variance.sqrt())]:
    print(f"3  divided by {name:12}", numbers(y), f"  variance {y.var(correction=0).item():.4f}")

# %%
# **4. "A = exp(q · k) / √d, then softmax(A) · V".** Softmax contains the exponential already, and √d belongs inside. For
# matches of 2 and 1, with d = 4:
match = torch.tensor([2.0, 1.0])
print("4  softmax(match / √d)     ", numbers(F.softmax(match / 2, -1)))
print("4  softmax(exp(match) / √d)", numbers(F.softmax(match.exp() / 2, -1)))

# %%
# The same texts write Q = Kᵀ W. With five words of four features, the shapes tell:
keys, W = torch.randn(5, 4), torch.randn(4, 4)
try:
    keys.T @ W
except ValueError as error:
    print(textwrap.fill(f"4  keys.T @ W: {error}", 79))
print(f"4  keys @ W: {tuple((keys @ W).shape)}, one query for each word")

# %%
# **5. "LayerNorm and residual connections prevent overfitting."** They make fitting easier, and fitting noise, too. Here the
# targets are pure noise. There is nothing to learn, so all progress on the training data is overfitting.


class Net(nn.Module):
    def __init__(self, helped):
        super().__init__()
        self.helped = helped
        self.first, self.last = nn.Linear(8, 32), nn.Linear(32, 1)
        self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(12)])
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(12)])

    def forward(self, x):
        x = self.first(x)
        for layer, norm in zip(self.layers, self.norms):
            x = x + layer(norm(x)).relu() if self.helped else layer(x).relu()
        return self.last(x)


curves = {}
torch.manual_seed(0)
data = {"training": (torch.randn(32, 8), torch.randn(32, 1)),
        "new": (torch.randn(500, 8), torch.randn(500, 1))}
print(f"5  loss of always answering 0, on new data: {data['new'][1].square().mean().item():.2f}")
for name, helped in [("plain", False), ("LayerNorm and residual", True)]:
    net = Net(helped)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    curve = {"training": [], "new": []}
    for _ in range(100):
        for which, (inputs, targets) in data.items():
            curve[which].append(F.mse_loss(net(inputs), targets).item())
        loss = F.mse_loss(net(data["training"][0]), data["training"][1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    curves[name] = curve
    print(f"5  {name:23} loss on training data {curve['training'][-1]:.4f}   "
          f"on new data {curve['new'][-1]:.2f}")

# %%
# Both networks learn the noise by heart, the helped one much sooner; and on new data both are worse than no network at all.
#
# **6. "Residual connections add parameters."** Count them.
plain, residual = nn.FFN(64), nn.Residual(nn.FFN(64), norm=None)
for name, module in [("nn.FFN(64)", plain), ("the same with a residual connection", residual)]:
    print(f"6  {name:37} {sum(p.numel() for p in module.parameters()):,} parameters")

# %%
# **7. A mask with −10⁹ in it.** It works until a word may look nowhere at all, as happens with filling. Then its scores are
# equal, and it looks everywhere. With values 10 and 20, as usually written, and as computed here:
q, k, v = torch.ones(1, 2), torch.ones(2, 2), torch.tensor([[10.0], [20.0]])
mask = torch.tensor([[0, 0]])
usual = F.softmax((q @ k.T / math.sqrt(2)).masked_fill(mask == 0, -1e9), -1) @ v
print(f"7  masked_fill(mask == 0, -1e9): {usual.item():4.1f}   the mean of what was forbidden")
ours = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.bool())
print(f"7  attn_mask=mask.bool():        {ours.item():4.1f}")

# %%
# **8. The feed-forward network drawn as one linear layer.** What is linear keeps sums: f(a + b) = f(a) + f(b), once the bias
# f(0) is taken off. Does it?
a, b, zero = torch.randn(8), torch.randn(8), torch.zeros(8)
for name, f in [("one linear layer", nn.Linear(8, 8)),
                ("two, nothing between", nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 8))),
                ("nn.FFN", nn.FFN(8))]:
    off = (f(a + b) - f(a) - f(b) + f(zero)).abs().max().item()
    print(f"8  {name:21} largest difference {off:.4f}")

# %%
# **9. The batch taken for the sentence.** ``MultiheadAttention(8, 2)`` called with (batch, words, features), but made
# without ``batch_first=True``, takes the first axis for the words, and mixes the sentences. ``explain.check_causal`` follows
# the gradients:
sentences = torch.randn(3, 5, 8)
for batch_first in (False, True):
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    report = explain.check_causal(attention, sentences, sentences, sentences)
    seen = sorted(b for a, b in report.mixes if a == 0)
    print(f"9  batch_first={batch_first!s:5}   other sentences that sentence 0 sees: {seen}")

# %%
# It also checks what it is named after: does any word see a later one? Of course; no mask was passed. The whole report:
print(report)

# %%
# Two of the nine in pictures: the flow of mistake 1, and the curves of mistake 5.
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 8), layout="constrained")
axes = explain.plot_gradient_flow(flows, ax=above, title="1: gradient of the queries")
for (name, curve), colour in zip(curves.items(), ("#D55E00", "#0072B2")):
    below.plot(curve["training"], color=colour, label=f"{name}, training data")
    below.plot(curve["new"], "--", color=colour, label=f"{name}, new data")
below.set(xlabel="step", ylabel="loss", ylim=(0, 4), title="5: learning noise by heart")
below.legend(loc="upper right")

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** put one of these mistakes into a model of yours, and see which number moves first.
#
# **Read on:** :doc:`/howto/index`; and the last section of each page such as :doc:`/layers/attention`.

"""
Attention and its masks
=======================

Every word asks a question (query), compares it with what the others offer (keys), and takes a weighted mean of what they
say (values). Masks say who may be asked.

Run it: ``python examples/09_attention_and_masks.py``
"""

# %%
# Three words with two features each. Scores are products of queries with keys, divided by √2 because there are two features;
# softmax makes them weights, row by row; the output is the weighted mean of the values 10, 20 and 30.
import math

import minitorch as torch
import minitorch.nn.functional as F


def show(name, matrix):
    for i, row in enumerate(matrix.tolist()):
        print(f"{name if i == 0 else '':20} word {i}: ", "  ".join(f"{x:7.3f}" for x in row))


words = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
q = k = words
v = torch.tensor([[10.0], [20.0], [30.0]])

scores = q @ k.T / math.sqrt(2)
weights = F.softmax(scores, dim=-1)
show("q · k", q @ k.T)
show("weights", weights)
show("output", weights @ v)
show("in one op", F.scaled_dot_product_attention(q, k, v))

# %%
# **Causal mask.** A word may look at itself and at earlier words. A forbidden score becomes −∞, and e^(−∞) is 0. Word 0 can
# only look at itself, so its output is 10. In ``scaled_dot_product_attention``, True means *may look*.
causal = torch.ones(3, 3).tril().bool()
show("causal: weights", F.softmax(scores.masked_fill(~causal, -math.inf), -1))
show("causal: output", F.scaled_dot_product_attention(q, k, v, is_causal=True))

# %%
# **Padding mask.** Sentences of a batch are filled up to equal length. Suppose the last word is only filling: nobody may
# look at it, whatever stands there, even NaN.
padding = torch.tensor([True, True, False])
garbage = torch.tensor([[10.0], [20.0], [math.nan]])
y = F.scaled_dot_product_attention(q, k, garbage, attn_mask=padding.reshape(1, 3))
show("padding: output", y)

# %%
# **A fully masked row.** What if a word may look nowhere? Texts often write −10⁹ for "forbidden". Then all scores of the row
# are equal, and the word looks *everywhere*. Here such a row gives 0, and sends no gradient.
nowhere = causal & torch.tensor([[False], [True], [True]])
with_number = F.softmax(torch.where(nowhere, scores, torch.tensor(-1e9)), -1)
show("−10⁹: weights", with_number)
q1 = words.clone().requires_grad_()
y = F.scaled_dot_product_attention(q1, k, v, attn_mask=nowhere)
y.sum().backward()
show("ours: output", y)
print("gradient of the row that may look nowhere:", q1.grad[0].tolist())

# %%
# **Why divide by √d?** A score is a sum of d products. If features have variance 1 the score has variance d, so that for
# d = 64 scores of ±8 are usual. Softmax of such numbers puts nearly all weight on one word before anything is learnt, and
# hardly any gradient comes through: its slope is p · (1 − p).
torch.manual_seed(0)
q, k = torch.randn(1000, 64), torch.randn(16, 64)
for name, scores in [("q · k", q @ k.T), ("q · k / √64", q @ k.T / 8)]:
    p = F.softmax(scores, -1)
    largest, slope = p.amax(-1).mean().item(), (p * (1 - p)).mean().item()
    print(f"{name:12} spread {scores.std().item():4.1f}   largest weight {largest:.2f}   "
          f"slope {slope:.3f}")

# %%
# **Try this:** let word 1 look nowhere instead of word 0, with ``[[True], [False], [True]]``.
#
# **Read on:** :doc:`/tutorials/04-attention`; :doc:`/layers/attention` derives the backward.

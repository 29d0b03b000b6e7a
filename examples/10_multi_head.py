"""
Multi-head attention: view, transpose, and the reshape mistake
==============================================================

Several heads attend side by side, each with its own part of the features. Splitting them takes a view and a transpose;
leave out the transpose, and everything still has the right shape.

Run it: ``python examples/10_multi_head.py``
"""

# %%
# Three words with four features, numbered so that we can follow them: 21 is feature 1 of word 2.
import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

T, HEADS, D = 3, 2, 2
x = torch.tensor([[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]])

right = x.view(T, HEADS, D).transpose(0, 1)     # (heads, words, features of the head)
wrong = x.view(HEADS, T, D)                     # the same shape
print(f"right {tuple(right.shape)}   wrong {tuple(wrong.shape)}")
print("right, head 0:", right[0].tolist(), "  features 0 and 1 of every word")
print("wrong, head 0:", wrong[0].tolist(), "  all of word 0, half of word 1")

# %%
# No error, no warning: only gradients tell. Let every head attend causally, so that nothing may flow from a later word to an
# earlier one. Which words does the output of word 0 depend on?
torch.manual_seed(0)
for name, in_front, behind in [("right", True, True),
                               ("no transpose in front and behind", False, False),
                               ("no transpose behind", True, False)]:
    x = torch.randn(T, HEADS * D, requires_grad=True)
    heads = x.view(T, HEADS, D).transpose(0, 1) if in_front else x.view(HEADS, T, D)
    y = F.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    y = (y.transpose(0, 1) if behind else y).reshape(T, HEADS * D)
    print(f"{name}:")
    for word in range(T):
        gradient, = torch.autograd.grad(y[word].sum(), x, retain_graph=True)
        seen = [i for i, g in enumerate(gradient.abs().sum(-1).tolist()) if g > 0]
        print(f"    word {word} sees {seen}")

# %%
# In the right one a word sees itself and what came before. In the second, each head gets half of the *sentence* instead of
# half of the features, and word 2 does not see word 0. In the third, words 0 and 1 see the future: such a model learns to
# copy the answer, and is useless when there is none to copy.
#
# Heads are free: they share the features between them. The layer has four square matrices and their biases, however many
# heads there are: 4 · (8 · 8 + 8) = 288.
for heads in (1, 2, 4, 8):
    layer = nn.MultiheadAttention(8, heads, batch_first=True)
    count = sum(p.numel() for p in layer.parameters())
    print(f"heads {heads}   features of each {8 // heads}   parameters {count}")

# %%
# What several heads buy: each can look somewhere else. By features 0 and 1, word 0 matches word 1; by features 2 and 3 it
# matches word 2. One head compares all four features, and finds that word 0 matches itself best. Of two heads, one finds
# word 1 and the other word 2.
words = 3 * torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
one = F.attention_weights(words, words)
heads = words.view(3, 2, 2).transpose(0, 1)
two = F.attention_weights(heads, heads)
for name, row in [("one head", one[0]), ("head 0 of two", two[0, 0]), ("head 1 of two", two[1, 0])]:
    print(f"{name:14}", "  ".join(f"word {i}: {p:.3f}" for i, p in enumerate(row.tolist())))

# %%
# **Try this:** ``HEADS, D = 1, 4``. With a single head the transpose changes nothing, and all three are right: a test with
# one head does not find the mistake.
#
# **Read on:** :doc:`/howto/find-a-leak-in-a-mask`; the last section of :doc:`/layers/attention` lists the mistakes.

"""
The softmax projection: from features to the next word
======================================================

"I love ___". At the end of a language model stand a matrix with one row for each word, and softmax. That is where word
probabilities come from; it is also where a model needs the most memory.

Run it: ``python examples/12_softmax_projection.py``
"""

# %%
# A vocabulary of four words, and a model whose last layer gives two features. The logits are W · x + b: one score per word.
import math
import tracemalloc

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

vocabulary = ["you", "cats", "dogs", "(rest)"]
x = torch.tensor([[math.log(2), 1.0]], requires_grad=True)
W = torch.tensor([[1.0, 0.0], [4.0, 0.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
b = torch.zeros(4, requires_grad=True)

logits = F.linear(x, W, b)
p = F.softmax(logits, -1)
print("I love ...   logit   e^logit   probability")
for word, z, share in zip(vocabulary, logits[0].tolist(), p[0].tolist()):
    print(f"{word:10} {z:7.3f} {math.exp(z):9.1f} {share:10.2f}")
print("the sum              ", f"{logits.exp().sum().item():.1f} {p.sum().item():10.2f}")
print("greedy choice:", vocabulary[p.argmax(-1).item()])

# %%
# Softmax changes no order: the largest logit has the largest probability. And the layer normalisation before it makes no
# probabilities: its numbers add up to 0, not to 1.
print("LayerNorm of the logits:", [round(v, 2) for v in F.layer_norm(logits[0], (4,)).tolist()])

# %%
# Now the text goes on with "cats". Backward, the gradient of the logits is p − y. From there b gets it as it is; W gets it
# times x = [0.693, 1]; x gets it times W, which for its first feature is 0.1 · 1 − 0.2 · 4 = −0.7.
label = torch.tensor([1])
F.cross_entropy(logits, label).backward()
y = torch.tensor([0.0, 1.0, 0.0, 0.0])
for name, gradient in [("p − y", p[0] - y), ("db", b.grad), ("dx", x.grad[0])]:
    print(f"{name:5}", [round(g, 2) for g in gradient.tolist()])
print("dW   ", [[round(g, 3) for g in row] for row in W.grad.tolist()])

# %%
# **Weight tying.** The embedding has one row for each word, too: the same shape, so one table can serve both ends. Used in
# two places, it gets the sum of two gradients. The embedding's part reaches only the words that occur, here "you"; the
# projection's part reaches every word.
torch.manual_seed(0)
embedding = nn.Embedding(4, 2)
projection = nn.SoftmaxProjection(2, 4, bias=False, weight=embedding.weight)
for name, loss_of in [("projection", lambda x: projection.loss(x.detach(), label)),
                      ("embedding", lambda x: F.cross_entropy(x @ embedding.weight.detach().T, label)),
                      ("both", lambda x: projection.loss(x, label))]:
    embedding.weight.grad = None
    loss_of(embedding(torch.tensor([0]))).backward()
    rows = ["[" + " ".join(f"{g:6.3f}" for g in row) + "]" for row in embedding.weight.grad.tolist()]
    print(f"{name:11}", " ".join(rows))
print(f"numbers saved by tying 50,000 words with 512 features: {50_000 * 512:,}")

# %%
# **Memory.** For 4096 words of text and a vocabulary of 8000, the logits alone are 4096 · 8000 · 4 bytes = 131 MB, and their
# gradient as much again. ``SoftmaxProjection.loss`` takes a few rows at a time through logits, softmax and loss, and forgets
# them. The result is the same.
projection = nn.SoftmaxProjection(8, 8000)
x, labels = torch.randn(4096, 8), torch.randint(8000, (4096,))
for name, loss_of in [("logits, then loss", lambda: F.cross_entropy(projection(x), labels)),
                      ("in chunks", lambda: projection.loss(x, labels))]:
    projection.zero_grad()
    tracemalloc.start()
    loss = loss_of()
    loss.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    norm = projection.weight.grad.norm().item()
    print(f"{name:18} loss {loss.item():.4f}   gradient norm {norm:.5f}   memory {peak / 1e6:4.0f} MB")

# %%
# **Try this:** make "dogs" the label. Which logit is pushed up now, and how hard?
#
# **Read on:** :doc:`/layers/projection`.

"""One attention head on three words: who looks at whom, and what that costs to learn."""

import minitorch as torch
import minitorch.nn.functional as F

# Three words with two features each, (batch, heads, T, d) = (1, 1, 3, 2), as query, key and value.
q = torch.tensor([[[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]]], requires_grad=True)
k = torch.tensor([[[[1.0, 0.0], [0.5, 1.0], [-1.0, 1.0]]]], requires_grad=True)
v = torch.tensor([[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]], requires_grad=True)

# Causal: no word looks at a later one. The first can only look at itself, so its output is its own value.
y = F.scaled_dot_product_attention(q, k, v, is_causal=True)

# Some loss: a weighted sum. The weights are what will arrive at y as its gradient.
weights = torch.tensor([[1.0, -1.0], [0.5, 1.0], [1.0, 2.0]])
loss = (y * weights).sum()
loss.backward()

print("y", y.tolist()[0][0])
print("q.grad", q.grad.tolist()[0][0])          # the first row is 0: with one word to look at, there is no choice

"""Softmax and cross-entropy: why the gradient of the logits is p − y."""

import minitorch as torch
import minitorch.nn.functional as F

# "I love ___": three words the model may say next, and a number (logit) for each. The right one is cats.
words = ["you", "cats", "dogs"]
logits = torch.tensor([[1.0, 2.5, 0.5]], requires_grad=True)
right = torch.tensor([1])

# First in single ops: a probability for each word, and the surprise at the right one.
p = F.softmax(logits, dim=-1)
surprise = -torch.log(p[0, 1])

# Then in one op, as models do it. Both losses are the same number.
loss = F.cross_entropy(logits, right)

# Both send p − y to the logits, where y is 1 for the right word and 0 for the others. Half of each makes one of it.
total = 0.5 * surprise + 0.5 * loss
total.backward()

print("loss", surprise.item(), "and", loss.item())
for word, probability, gradient in zip(words, p.tolist()[0], logits.grad.tolist()[0]):
    print(f"{word:5} p = {probability:.4f}   gradient = {gradient:+.4f}")

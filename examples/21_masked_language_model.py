"""
Masked words, by hand
=====================

BERT learns a language by guessing words that were hidden from it. What is hidden, what is guessed, what counts: in numbers.

Run it: ``python examples/21_masked_language_model.py``
"""

# %%
# Nine words and the special tokens. ``[MASK]`` stands where a word was hidden.
import math
import sys

import numpy as np

import minitorch as torch
import minitorch.nn.functional as F
from minitorch.data import WordPieceTokenizer, mask_tokens
from minitorch.models import BERT, BERTConfig

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
words = WordPieceTokenizer(SPECIAL + ["the", "cat", "dog", "drinks", "eats", "milk", "fish", "bones", "."])
ids = torch.tensor([words.encode("The cat drinks milk.")])
print("words ", words.decode(ids[0]))
print("ids   ", ids[0].tolist())

# %%
# Hide "drinks". The labels are −100 everywhere else: those positions do not count.
masked, labels = ids.clone(), torch.full(ids.shape, -100, dtype=torch.int64)
masked[0, 3], labels[0, 3] = words.special_tokens["[MASK]"], ids[0, 3].item()
print("masked", words.decode(masked[0]))
print("labels", labels[0].tolist())

# %%
# A model gives each of the 14 tokens a score at each position. These are made up: at the hidden place, "drinks" and "eats"
# get 2, the other tokens 0; everywhere else, nonsense.
scores = torch.randn(1, 7, 14, generator=torch.Generator().manual_seed(0))
scores[0, 3] = torch.tensor([2.0 if piece in ("drinks", "eats") else 0.0 for piece in words.pieces])
scores.requires_grad_()
p = math.exp(2) / (2 * math.exp(2) + 12)
loss = F.cross_entropy(scores.view(-1, 14), labels.view(-1))
loss.backward()
print(f"p(drinks) = e² / (2 e² + 12) = {p:.4f}")
print(f"loss by hand        {-math.log(p):.4f}")
print(f"F.cross_entropy     {loss.item():.4f}")
print("gradient at each position:", [round(float(row.abs().sum()), 4) for row in scores.grad[0]])

# %%
# Only the hidden position teaches: p − y there, 0 elsewhere. That is why more than one word is hidden at a time: in BERT
# 15 % of them. And of those not all show as [MASK], since no text has [MASK] in it when the model is used: 80 % do, 10 %
# become some other word, 10 % stay as they are. (One in nine of the other words happens to be the same.)
many = np.tile(np.array(words.encode("The cat drinks milk. The dog eats bones.")), (20_000, 1))
hidden, asked = (t.numpy() for t in mask_tokens(many, 4, 14, range(5), generator=torch.Generator().manual_seed(0)))
chosen = asked != -100
print(f"chosen: {chosen.sum() / (many >= 5).sum():.3f} of the words, {chosen[many < 5].sum()} special tokens")
shown, same = (hidden == 4)[chosen].mean(), (hidden == many)[chosen].mean()
print(f"of those: [MASK] {shown:.3f}   another word {1 - shown - same:.3f}   as it was {same:.3f}")

# %%
# Now a real one, though tiny: cats drink milk and eat fish, dogs eat bones. To guess a hidden word it has to look at words
# on both sides; a GPT could look to the left only.
text = ["the cat drinks milk .", "the cat eats fish .", "the dog eats bones ."]
torch.manual_seed(0)
bert = BERT(BERTConfig(vocab_size=14, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                       max_position_embeddings=8, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
optimizer = torch.optim.AdamW(bert.parameters(), lr=3e-3)
g = torch.Generator().manual_seed(1)
batch = np.array([words.encode(sentence) for sentence in text] * 8)
for _ in range(200 if "--quick" in sys.argv else 400):
    loss = bert.mlm_loss(*mask_tokens(batch, 4, 14, range(5), probability=0.3, generator=g))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
bert.eval()
for question in ("the [MASK] drinks milk .", "the [MASK] eats bones .", "the cat [MASK] milk .", "the cat [MASK] fish ."):
    with torch.no_grad():
        at = words.encode(question).index(4)
        p = F.softmax(bert.mlm_logits([words.encode(question)])[0, at], -1).numpy()
    print(f"{question:26} {words.pieces[p.argmax()]:8} {p.max():.2f}")

# %%
# **Try this:** ask ``the [MASK] eats [MASK] .``: both at once. Which answers fit together, and does the model know?
#
# **Read on:** :doc:`/tutorials/05-transformer`.

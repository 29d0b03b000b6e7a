"""
A small Transformer learns to reverse
=====================================

Seven letters go in, the same seven come out in reverse order. No position can do it alone: each has to look at another
one, which is what attention is for.

Run it: ``python examples/03_a_small_transformer_learns.py`` (``--quick`` stops early)
"""

# %%
# The model is ordinary PyTorch code; only the import differs.
import math
import sys

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

LETTERS, LENGTH, WIDTH = 10, 7, 32
STEPS = 60 if "--quick" in sys.argv else 300


class Reverser(nn.Module):
    def __init__(self):
        super().__init__()
        self.letter = nn.Embedding(LETTERS, WIDTH)
        self.position = nn.Embedding(LENGTH, WIDTH)
        self.block = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, LETTERS)

    def forward(self, ids):
        x = self.letter(ids) + self.position(torch.arange(LENGTH))
        return self.out(self.norm(self.block(x)))


# %%
# Before training the model knows nothing: its loss is near ln 10, the surprise of a guess among ten letters.
torch.manual_seed(0)
model = Reverser()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
first = None
for step in range(STEPS):
    ids = torch.randint(LETTERS, (64, LENGTH))
    loss = F.cross_entropy(model(ids).reshape(-1, LETTERS), ids.flip(1).reshape(-1))
    first = loss.item() if first is None else first
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0 or step == STEPS - 1:
        print(f"step {step:3d}   loss {loss.item():.4f}")
print(f"first loss {first:.3f}, ln 10 = {math.log(LETTERS):.3f}")

# %%
# After it: letters it has not seen in this order.
with torch.no_grad():
    ids = torch.randint(LETTERS, (200, LENGTH))
    guess = model(ids).argmax(-1)
    share = (guess == ids.flip(1)).float().mean().item()
print("in ", ids[0].tolist())
print("out", guess[0].tolist())
print(f"{share:.1%} of all positions right")
assert share > (0.2 if "--quick" in sys.argv else 0.99)

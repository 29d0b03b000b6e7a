"""A small GPT: embeddings, two blocks, a projection tied to the embedding, cross-entropy."""

import math

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F

TEXT = "to be, or not to be: that is the question"
LETTERS = sorted(set(TEXT))
T, WIDTH, HEADS, LAYERS = 16, 32, 4, 2


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1 = nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ln2 = nn.LayerNorm(d)
        self.ffn = nn.FFN(d, 4 * d, "gelu")             # linear, GELU, linear: one op here

    def forward(self, x):
        h = self.ln1(x)
        x = x + self.attn(h, h, h, need_weights=False, is_causal=True)[0]
        return x + self.ffn(self.ln2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(len(LETTERS), WIDTH)
        self.position = nn.Embedding(T, WIDTH)
        self.blocks = nn.ModuleList([Block(WIDTH, HEADS) for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.normal_(self.position.weight, std=0.02)

    def forward(self, ids):
        x = self.token(ids) + self.position(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        # The table that turned letters into vectors turns vectors back into letters: its gradient comes from both ends.
        return F.linear(self.norm(x), self.token.weight)


torch.manual_seed(0)
model = GPT()
ids = torch.tensor([[LETTERS.index(letter) for letter in TEXT[:T + 1]]])

# Every letter but the last predicts the next one.
logits = model(ids[:, :-1])
loss = F.cross_entropy(logits.view(T, -1), ids[0, 1:])
loss.backward()

print(f"loss {loss.item():.4f}; a blind guess among {len(LETTERS)} letters has ln {len(LETTERS)} = "
      f"{math.log(len(LETTERS)):.4f}")

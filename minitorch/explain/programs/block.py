"""A pre-norm Transformer block: LayerNorm, attention, LayerNorm, FFN, and two residual connections."""

import minitorch as torch
import minitorch.nn as nn


class Block(nn.Module):
    """x + attention(norm(x)), then x + ffn(norm(x))."""

    def __init__(self, d, heads):
        super().__init__()
        self.ln1 = nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ln2 = nn.LayerNorm(d)
        self.ffn = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        h = self.ln1(x)
        attended, _ = self.attn(h, h, h, need_weights=False, is_causal=True)
        x = x + attended                # the first residual: attention only adds to what is there
        h = self.ln2(x)
        return x + self.ffn(h)          # the second


torch.manual_seed(0)
block = Block(d=16, heads=4)
x = torch.randn(1, 8, 16, requires_grad=True)           # one sentence of T = 8 words, d = 16 features each

y = block(x)
loss = y.square().mean()
loss.backward()

print(f"loss {loss.item():.4f}")

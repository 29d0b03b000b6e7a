"""Training steps of a small GPT: the model, written once, run with every library.

``cases`` lists the configurations, from a few characters a step to GPT-2's vocabulary. ``model="gpt"`` writes the layers
out by hand, ``model="encoder"`` takes ``nn.TransformerEncoderLayer``; both tie the output to the embedding, and AdamW
takes the steps. All libraries begin with the same weights and see the same words, so their losses must be equal.
"""

from __future__ import annotations

from types import SimpleNamespace
from zlib import crc32

import numpy as np

__all__ = ["CONFIGS", "STEPS", "cases", "prepare"]

STEPS = 5           # whose losses are compared
CONFIGS = [         # vocabulary, words a text, layers, heads, d, texts
    (65, 64, 4, 4, 128, 12),
    (65, 256, 6, 6, 384, 8),
    (8192, 256, 4, 8, 256, 8),
    (50304, 256, 2, 12, 768, 2),
    (65, 1024, 2, 4, 256, 2),
]
NAMES = {"gpt": "GPT, by hand", "encoder": "GPT, encoder layers"}
QUICK = [(65, 16, 2, 2, 32, 4), (512, 32, 1, 2, 32, 2)]


def cases(model: str = "gpt", gelu: str = "exact", fused: bool = False, quick: bool = False) -> list[dict]:
    """Every configuration. ``gelu``: exact or tanh; ``fused``: let PyTorch use its fused AdamW.

    >>> cases(quick=True)[0]["size"]
    '65, 16, 2, 2, 32, 4'
    """
    return [case(config, model, gelu, fused) for config in (QUICK if quick else CONFIGS)]


def case(config: tuple, model: str = "gpt", gelu: str = "exact", fused: bool = False, loss: str = "by hand",
         weights: str = "equal") -> dict:
    """One configuration. ``loss``: by hand, or through the projection that never holds all logits, where there is one.

    >>> case((65, 16, 2, 2, 32, 4))["flops"]       # of the matrix products, forward and backward
    10694656
    """
    V, T, L, H, d, B = config
    products = 6 * B * T * (12 * L * d ** 2 + V * d) + 7 * L * B * T ** 2 * d
    return {"name": NAMES[model], "size": ", ".join(map(str, config)), "model": model, "gelu": gelu, "fused": fused,
            "loss": loss, "weights": weights, "bytes": 0, "flops": products, **dict(zip("VTLHdB", config, strict=True))}


def prepare(library, case: dict):
    """A function that takes one training step, and the losses of the first steps."""
    c = SimpleNamespace(**case)
    torch = library.torch
    model = MODELS[c.model](torch, library.nn, library.F, c)
    if c.weights == "equal":
        _fill(torch, model)
    numbers = np.random.default_rng(1)
    device = getattr(library, "device", "cpu")
    ids, targets = (torch.from_numpy(numbers.integers(0, c.V, (c.B, c.T))).to(device) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=c.fused or None)
    compiled = library.compiled(model)

    def step():
        optimizer.zero_grad()
        loss = compiled(ids, targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step() for _ in range(case.get("steps", STEPS))]
    return step, {"losses": losses, **({"tolerance": 1e-3} if device == "cuda" else {})}


def _gpt(torch, nn, F, c):
    """GPT-2's layers, written by hand."""
    approximate = {"exact": "none", "tanh": "tanh"}[c.gelu]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(c.d), nn.LayerNorm(c.d)
            self.qkv, self.out = nn.Linear(c.d, 3 * c.d), nn.Linear(c.d, c.d)
            self.up, self.down = nn.Linear(c.d, 4 * c.d), nn.Linear(4 * c.d, c.d)

        def forward(self, x):
            q, k, v = (part.view(c.B, c.T, c.H, c.d // c.H).transpose(1, 2)
                       for part in self.qkv(self.norm1(x)).split(c.d, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).contiguous().view(c.B, c.T, c.d))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate=approximate))

    return _language_model(torch, nn, F, c, nn.ModuleList([Block() for _ in range(c.L)]))


def _encoder(torch, nn, F, c):
    """The same model of the layers that come with the library."""
    approximate = {"exact": "none", "tanh": "tanh"}[c.gelu]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(c.d, c.H, 4 * c.d, dropout=0.0, batch_first=True, norm_first=True,
                                                    activation="gelu" if c.gelu == "exact" else self.gelu)
            self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(c.T))

        def gelu(self, x):
            return F.gelu(x, approximate=approximate)

        def forward(self, x):
            return self.layer(x, src_mask=self.mask, is_causal=True)

    return _language_model(torch, nn, F, c, nn.ModuleList([Block() for _ in range(c.L)]))


MODELS = {"gpt": _gpt, "encoder": _encoder}


def _language_model(torch, nn, F, c, blocks):
    """Embeddings, the blocks, and an output layer that shares its table with the embedding; returns the loss."""
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.position = nn.Embedding(c.V, c.d), nn.Embedding(c.T, c.d)
            self.blocks, self.norm = blocks, nn.LayerNorm(c.d)
            self.head = nn.Linear(c.d, c.V, bias=False)
            self.head.weight = self.token.weight

        def forward(self, ids, targets):
            x = self.token(ids) + self.position(torch.arange(c.T))
            for block in self.blocks:
                x = block(x)
            x = self.norm(x).view(-1, c.d)
            if c.loss == "projection" and hasattr(F, "softmax_projection"):
                return F.softmax_projection(x, self.head.weight, None, targets.view(-1))
            return F.cross_entropy(self.head(x), targets.view(-1))

    return Model()


def _fill(torch, model):
    """The same weights in every library: each parameter's come from NumPy, seeded by its name."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            numbers = np.random.default_rng(crc32(name.encode())).standard_normal(tuple(p.shape), np.float32)
            p.copy_(torch.from_numpy(numbers * np.float32(0.02) + np.float32(len(p.shape) == 1 and name.endswith("weight"))))

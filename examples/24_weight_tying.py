"""
Weight tying: one table for reading and writing
===============================================

A language model has a table of words to read with, and a table of words to write with. They may be one and the same: fewer
numbers, and each word learns twice from every text.

Run it: ``python examples/24_weight_tying.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# A text in pieces of words, and two models: one with a table for both ends, one with two tables.
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
import minitorch.nn.functional as F
from minitorch.data import BytePairTokenizer, LMDataset, plays
from minitorch.models import GPT, GPTConfig
from minitorch.utils.data import DataLoader

STEPS = 1500 if "--full" in sys.argv else 120 if "--quick" in sys.argv else 300
text = plays()[:300_000]
pieces = BytePairTokenizer().train(text, 2000)
ids = pieces.encode(text)
cut = len(ids) * 9 // 10


def build(tied):
    torch.manual_seed(0)
    return GPT(GPTConfig(vocab_size=pieces.vocab_size, n_positions=24, n_embd=48, n_head=4, n_layer=1, embd_pdrop=0.0,
                         attn_pdrop=0.0, resid_pdrop=0.0, tie_word_embeddings=tied))


models = {"tied": build(True), "two tables": build(False)}
for name, model in models.items():
    total = sum(p.numel() for p in model.parameters())
    tables = sum(p.numel() for p in (model.wte.weight, *([model.lm_head.weight] if model.lm_head else [])))
    print(f"{name:11} {total:7,} parameters, {tables / total:.0%} of them in tables of words")

# %%
# Where does a word's row get its gradient? In a text of the words 5 6 7: reading teaches 5, 6 and 7; writing teaches all
# 2000, since each probability should rise or fall. With one table the two are added.
few = torch.tensor([[5, 6, 7, 5]])
two = models["two tables"]
two.loss(few).backward()
reading, writing = two.wte.weight.grad.abs().sum(-1), two.lm_head.weight.grad.abs().sum(-1)
print(f"rows with a gradient: reading {int((reading > 0).sum())}, writing {int((writing > 0).sum())}")

table = two.wte.weight.detach().clone().requires_grad_()
x = torch.tensor([5])
by_reading = torch.autograd.grad(F.cross_entropy(F.linear(table[x], table.detach()), torch.tensor([6])), table)[0]
by_writing = torch.autograd.grad(F.cross_entropy(F.linear(table.detach()[x], table), torch.tensor([6])), table)[0]
both = torch.autograd.grad(F.cross_entropy(F.linear(table[x], table), torch.tensor([6])), table)[0]
off = (by_reading + by_writing - both).abs().max().item()
print(f"tied gradient − (reading + writing): {off:.1e}")

# %%
# Does it help? Train both in the same way, on the same batches. Judge on text that neither has seen.
valid = DataLoader(LMDataset(ids[cut:], 24, stride=96), 32)
judged = {}
for name in models:
    model = build(name == "tied")
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    loader = DataLoader(LMDataset(ids[:cut], 24), 16, shuffle=True, generator=torch.Generator().manual_seed(0))
    judged[name] = {}
    for step, (x, y) in zip(range(1, STEPS + 1), loader):
        loss = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % (STEPS // 6) == 0:
            with torch.no_grad():
                judged[name][step] = np.mean([model.loss(x, y).item() for x, y in valid])
    print(f"{name:11} loss on new text after {STEPS} steps: {judged[name][STEPS]:.2f}")

# %%
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
for (name, losses), color in zip(judged.items(), ("#0072B2", "#D55E00")):
    axes.plot(list(losses), list(losses.values()), "o-", color=color)
    axes.annotate(name, (STEPS, losses[STEPS]), (8, 0), textcoords="offset points", color=color, va="center")
axes.set(xlabel="step", ylabel="loss on new text", title="One table or two", xlim=(0, STEPS * 1.2))

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** a vocabulary of 300 instead of 2000. Tables are then a small part of the model; what is left of the
# difference?
#
# **Read on:** :doc:`/tutorials/05-transformer`.

"""
Train a character GPT, and let it write
=======================================

A decoder-only Transformer reads plays of Shakespeare letter by letter and learns one thing: what comes next. Then it writes.

Run it: ``python examples/20_character_gpt.py`` (``--full`` trains for minutes; ``--save picture.png`` keeps the picture)
"""

# %%
# The text comes along with minitorch. Each letter gets a number; the last tenth is kept apart, to judge by.
import math
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
from minitorch.data import CharTokenizer, LMDataset, plays
from minitorch.models import GPT, GPTConfig
from minitorch.utils.data import DataLoader, Subset

FULL, QUICK = "--full" in sys.argv, "--quick" in sys.argv
LAYERS, WIDTH, LENGTH, STEPS = (4, 128, 64, 2000) if FULL else (2, 64, 32, 300 if QUICK else 400)

text = plays()
letters = CharTokenizer(text)
ids = letters.encode(text)
cut = len(ids) * 9 // 10
train, valid = LMDataset(ids[:cut], LENGTH), LMDataset(ids[cut:], LENGTH, stride=LENGTH)
print(f"{len(text):,} letters, {letters.vocab_size} different ones")
x, y = train[0]
print(f"read:  {letters.decode(x)[:24]!r}")
print(f"guess: {letters.decode(y)[:24]!r}")

# %%
# How good is a guess? The loss is −ln of the probability given to the right letter. Two marks to beat: knowing nothing, and
# knowing which letter follows which, counted from the text.
pairs = np.ones((letters.vocab_size, letters.vocab_size))
np.add.at(pairs, (ids[:cut - 1], ids[1:cut]), 1)
follows = np.log(pairs / pairs.sum(1, keepdims=True))
nothing, counting = math.log(letters.vocab_size), -follows[ids[cut:-1], ids[cut + 1:]].mean()
print(f"knowing nothing:            loss {nothing:.2f}")
print(f"counting pairs of letters:  loss {counting:.2f}")

# %%
# The model, and the loop. ``gpt.loss(x, y)`` is the mean over all positions: from each, the model looks back only.
torch.manual_seed(0)
gpt = GPT(GPTConfig(vocab_size=letters.vocab_size, n_positions=LENGTH, n_embd=WIDTH, n_head=4, n_layer=LAYERS,
                    embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0))
print(f"{sum(p.numel() for p in gpt.parameters()):,} parameters")
some = Subset(valid, np.random.default_rng(0).permutation(len(valid))[:len(valid) if FULL else 256].tolist())


def judge():
    gpt.eval()
    with torch.no_grad():
        losses = [gpt.loss(x, y).item() for x, y in DataLoader(some, 64, drop_last=True)]
    gpt.train()
    return np.mean(losses)


optimizer = torch.optim.AdamW(gpt.parameters(), lr=1e-3 if FULL else 6e-3)
schedule = torch.optim.lr_scheduler.WarmupCosineLR(optimizer, STEPS // 10, STEPS)
batches = iter(DataLoader(train, batch_size=12 if FULL else 16, shuffle=True, generator=torch.Generator().manual_seed(0)))
losses, judged = [], {0: judge()}
for step in range(1, STEPS + 1):
    loss = gpt.loss(*next(batches))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(gpt.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
    if step % (STEPS // 6) == 0:
        judged[step] = judge()
        print(f"step {step:5}   loss on new text {judged[step]:.2f}")

# %%
# Now it writes: draw a letter from the probabilities, put it behind the text, ask again. ``temperature`` below 1 makes the
# likely letters likelier; keys and values of what was read are kept, so each new letter costs one position, not all.
written = gpt.generate([letters.encode("KING")], 300, temperature=0.8, generator=torch.Generator().manual_seed(1))[0]
print("\n" + letters.decode(written))

# %%
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(range(1, STEPS + 1), losses, color="#9ecae1", linewidth=1, label="each batch")
axes.plot(list(judged), list(judged.values()), "o-", color="#0072B2", label="new text")
for loss, name in (nothing, "knowing nothing"), (counting, "counting pairs of letters"):
    axes.axhline(loss, color="0.6", linewidth=1)
    axes.annotate(name, (STEPS, loss), (0, 4), textcoords="offset points", ha="right", color="0.4")
axes.set(xlabel="step", ylabel="loss", title="A character GPT learns", ylim=(1.5, 4.7))
axes.legend(loc="center right")

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``--full``: four layers, 128 features, 2000 steps; words become English. Or ``temperature=0``: it repeats
# itself.
#
# **Read on:** :doc:`/tutorials/06-train-and-look`.

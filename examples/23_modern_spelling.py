"""
Modernise old spelling, and see the alignment
=============================================

An encoder reads a word as it was printed in 1623, letter by letter; a decoder writes it as it is spelt today. Nobody tells
it which letter belongs to which. Its cross-attention shows that it found out.

Run it: ``python examples/23_modern_spelling.py`` (``--full`` trains for minutes; ``--save picture.png`` keeps the picture)
"""

# %%
# The pairs come along: words of Shakespeare's First Folio beside the same words in a modern edition. One modern word in ten
# is held out, with all its old spellings.
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
from minitorch.data import CharTokenizer, pad_batch, spelling_pairs, teacher_forcing
from minitorch.models import Transformer, TransformerConfig
from minitorch.utils.data import DataLoader

FULL, QUICK = "--full" in sys.argv, "--quick" in sys.argv
train, held_out = spelling_pairs(split="train"), spelling_pairs(split="held-out")
if not FULL:                    # short frequent words are learnt sooner
    train, held_out = ([pair for pair in pairs if len(pair[0]) <= 6][:n] for pairs, n in ((train, 3000), (held_out, 300)))
print(f"{len(train):,} pairs to learn from, {len(held_out):,} held out, such as:")
print(", ".join(f"{old} → {new}" for old, new in held_out if old != new)[:100])
copied = np.mean([old == new for old, new in held_out])
print(f"copying the input would be right for {copied:.1%} of the held-out words")

# %%
# A batch: the word to read; the word to write, moved right by one, so that each letter is guessed from the right ones before
# it (teacher forcing); and the answers. −100 stands where there is no answer.
letters = CharTokenizer("abcdefghijklmnopqrstuvwxyz'", special_tokens=["<pad>", "<s>", "</s>"])


def batch_of(pairs):
    return teacher_forcing([(letters.encode(old), letters.encode(new)) for old, new in pairs], start_id=1, end_id=2)


example = batch_of([("haue", "have"), ("ile", "i'll")])
print("read  ", letters.decode(example["ids"][1]))
print("given ", letters.decode(example["decoder_ids"][1]))
print("labels", letters.decode([i for i in example["labels"][1].tolist() if i >= 0]))

# %%
# The model is the one of "Attention is all you need", small. Training is a loop as ever; the rate warms up first.
torch.manual_seed(0)
width, layers, steps = (128, 2, 2500) if FULL else (64, 1, 500 if QUICK else 900)
model = Transformer(TransformerConfig(vocab_size=letters.vocab_size, d_model=width, nhead=4, num_encoder_layers=layers,
                                      num_decoder_layers=layers, dim_feedforward=2 * width, dropout=0.1 if FULL else 0.0,
                                      max_len=64, label_smoothing=0.1 if FULL else 0.0))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3 if FULL else 4e-3, betas=(0.9, 0.98))
schedule = torch.optim.lr_scheduler.WarmupCosineLR(optimizer, steps // 10, steps)
loader = DataLoader(train, 64, shuffle=True, collate_fn=batch_of, drop_last=True,
                    generator=torch.Generator().manual_seed(0))
step = 0
while step < steps:
    for batch in loader:
        loss = model.loss(batch["ids"], batch["decoder_ids"], batch["labels"], batch["attention_mask"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        step += 1
        if step % (steps // 5) == 0:
            print(f"step {step:5}   loss {loss.item():.3f}")
        if step == steps:
            break

# %%
# The test: words it has never seen, written greedily, and right only if every letter is.
model.eval()


def modernise(words):
    ids, mask = pad_batch([[*letters.encode(word), 2] for word in words])
    return [letters.decode(row, skip_special_tokens=True) for row in model.translate(ids, mask).tolist()]


written = [new for i in range(0, len(held_out), 100) for new in modernise([old for old, _ in held_out[i:i + 100]])]
right = np.array([guess == new for guess, (_, new) in zip(written, held_out)])
same = np.array([old == new for old, new in held_out])
print(f"exact match on held-out words: {right.mean():.1%}   copying the input: {same.mean():.1%}")
print(f"where the spelling changed: {right[~same].mean():.1%}   where it did not: {right[same].mean():.1%}")
for (old, new), guess in [each for each in zip(held_out, written) if each[0][0] != each[0][1]][:6]:
    print(f"{old:8} → {guess:8} {'right' if guess == new else 'wrong: ' + new}")

# %%
# What did the decoder look at, while it wrote each letter? The darker, the more.
shown = [each for each, ok in zip(held_out, right) if ok and each[0] != each[1] and len(each[0]) > 4][:4]
figure, all_axes = plt.subplots(1, len(shown), figsize=(3 * len(shown), 3.4), layout="constrained")
near = []
for axes, (old, new) in zip(np.atleast_1d(all_axes), shown):
    batch = batch_of([(old, new)])
    weights = model.cross_attention(batch["ids"], batch["decoder_ids"])[-1, 0].mean(0).numpy()     # mean over the heads
    axes.imshow(weights, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(old) + 1), [*old, "end"])
    axes.set_yticks(range(len(new) + 1), [*new, "end"])
    axes.xaxis.tick_top()
    axes.set(title=f"{old} → {new}", xlabel="read", ylabel="written")
    row, column = np.indices(weights.shape)
    away = abs(row / len(new) - column / len(old)) * max(len(old), len(new))        # from the diagonal, in letters
    near.append(weights[away <= 1.5].sum() / len(weights))
print(f"attention within one and a half letters of the diagonal: {np.mean(near):.0%}")

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``minitorch train modern-spelling`` trains the larger model on all words; then
# ``minitorch translate modern-spelling heauenly --attention picture.png``.
#
# **Read on:** :doc:`/tutorials/04-attention`.

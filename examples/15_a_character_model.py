"""
Train a tiny character model, and watch its gradient flow
=========================================================

A model with two Transformer blocks learns a text by heart, letter by letter. Before, during and after, we look at how much
gradient each layer gets.

Run it: ``python examples/15_a_character_model.py`` (``--save picture.png`` keeps the picture)
"""

# %%
# The text, its letters as numbers, and the model. At every position it guesses the next letter; ``is_causal=True`` keeps it
# from looking at the answer.
import math
import sys

import matplotlib.pyplot as plt

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import explain

TEXT = """\
a loss is one number. it says how wrong the model was.
backward starts there and walks from the last op to the first.
each op takes the gradient of its output and makes the gradients of its inputs.
what was used twice gets the sum of two gradients.
then every weight takes a small step downhill, and the loss is a little smaller.
"""
LETTERS = sorted(set(TEXT))
LENGTH, WIDTH = 32, 32
STEPS = 400 if "--quick" in sys.argv else 600


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.letter = nn.Embedding(len(LETTERS), WIDTH)
        self.position = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList([
            nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True,
                                       norm_first=True) for _ in range(2)])
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, len(LETTERS))

    def forward(self, ids):
        x = self.letter(ids) + self.position(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.out(self.norm(x))


torch.manual_seed(0)
model = Model()
ids = torch.tensor([LETTERS.index(letter) for letter in TEXT])
print(f"{len(TEXT)} letters of text, {len(LETTERS)} different ones")
print(f"{sum(p.numel() for p in model.parameters())} parameters")


# %%
# Training: 16 pieces of the text at a time; the right answers are the same letters, moved by one. Three times we stop before
# ``backward()`` and measure with ``explain.gradient_flow``.
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
flows, losses = {}, []
for step in range(STEPS + 1):
    at = torch.randint(len(TEXT) - LENGTH, (16, 1)) + torch.arange(LENGTH)
    loss = F.cross_entropy(model(ids[at]).reshape(-1, len(LETTERS)), ids[at + 1].reshape(-1))
    if step in (0, STEPS // 4, STEPS):
        flows[f"step {step}"] = explain.gradient_flow(model, loss, optimizer=optimizer)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
guessing = math.log(len(LETTERS))
print(f"loss at first {losses[0]:.2f}   (guessing: ln {len(LETTERS)} = {guessing:.2f})")
print(f"after {STEPS} steps {losses[-1]:.2f}: the right letter gets {math.exp(-losses[-1]):.0%}")

# %%
# The loss does not reach 0: at the beginning of a piece there is nothing to guess from.
#
# Now the flow: how large is the gradient of each layer's parameters? In a healthy model the numbers are of similar size. A
# layer that starves, or explodes, stands out by powers of ten. The last lines also say how large the next step will be,
# measured against the parameters themselves: a thousandth or so is usual.
print(f"{'gradient norm in':28}" + "".join(f"{name:>10}" for name in flows))
for layer in flows["step 0"]:
    if layer.parameters:
        norms = [flow[layer.name].grad_norm for flow in flows.values()]
        print(f"{layer.name:28}" + "".join(f"{norm:10.3f}" for norm in norms))
for name, flow in flows.items():
    norms = [layer.grad_norm for layer in flow if layer.parameters]
    steps = [layer.update_ratio for layer in flow if layer.parameters]
    print(f"{name:9} largest / smallest {max(norms) / min(norms):5.1f}   "
          f"next step / parameters {min(steps):.4f} to {max(steps):.4f}")

# %%
# What has it learnt? Give it the beginning of a line, and let it always take the likeliest letter.
written = [LETTERS.index(letter) for letter in "backward "]
with torch.no_grad():
    for _ in range(53):
        written.append(model(torch.tensor([written[-LENGTH:]]))[0, -1].argmax().item())
print("it writes:", "".join(LETTERS[i] for i in written))

# %%
# At the start most of the gradient is at the output: it has to learn how frequent each letter is. Then the blocks take over.
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 8), layout="constrained", height_ratios=(2, 3))
above.plot(losses, color="#0072B2", linewidth=1)
above.axhline(guessing, color="0.6", linewidth=1)
above.annotate("guessing", (STEPS, guessing), (0, -12),
              textcoords="offset points", ha="right", color="0.4")
above.set(xlabel="step", ylabel="loss", ylim=(0, None), title="Training")
axes = explain.plot_gradient_flow(flows, ax=below)

if "--save" in sys.argv:
    figure.savefig(sys.argv[sys.argv.index("--save") + 1], dpi=150)

# %%
# **Try this:** leave out ``is_causal=True``. The loss falls to 0.00, since the model looks at the answer; and what it writes
# is nonsense.
#
# **Read on:** :doc:`/tutorials/06-train-and-look` and :doc:`/howto/read-a-gradient-flow-plot`.

"""
A whole Transformer block, stepped backward
===========================================

Attention, a feed-forward network, two LayerNorms, two residual connections. We record one run, walk back from the loss to
the input op by op, and see each gradient come in and go out.

Run it: ``python examples/14_a_whole_block.py``
"""

# %%
# A pre-norm block as everybody writes it. Four words with eight features each go in.
import numpy as np

import minitorch as torch
import minitorch.nn as nn
from minitorch import explain


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads)
        self.ffn = nn.FFN(d)

    def forward(self, x):
        h = self.ln1(x)
        attended, _ = self.attn(h, h, h, need_weights=False, is_causal=True)
        a = x + attended
        g = self.ln2(a)
        return a + self.ffn(g)


torch.manual_seed(0)
block = Block(8, heads=2)
x = torch.randn(4, 8, requires_grad=True)
with explain.record() as trace:
    y = block(x)
    loss = y.square().mean()
    loss.backward()
print(trace)

# %%
# Forward: what ran, in which part of the block, and what it made. Ops that only change shapes, such as splitting into heads,
# are left out; they hand gradients through unchanged.
ONLY_SHAPES = {"Reshape", "Permute", "Split"}
for step in trace.forward:
    if step.op not in ONLY_SHAPES:
        made = step.outputs[0]
        print(f"{step.op:12} {step.module:20} makes {made.name:14} {tuple(made.shape)}")


# %%
# Backward: the same ops, last one first. Each shows how long the gradient is that came in for its output, and how long those
# are that it hands out to its inputs.
def length(gradient):
    return f"{np.linalg.norm(gradient):.4f}"


for step in trace.backward:
    if step.op not in ONLY_SHAPES:
        print(f"{step.op:12} {step.module:20} got {length(step.dys[0])}")
        for value, gradient in zip(step.inputs, step.gradients):
            if gradient is not None:
                print(f"{'':24} {length(gradient)} for {value.name}")

# %%
# Two of these can be checked by hand. The loss is a mean of 32 squares, so each square gets 1/32, and 32 such numbers have
# length √32/32 = 0.1768. And the Linear that makes q, k and v gets their three gradients side by side:
# √(0.0834² + 0.0859² + 0.1952²) = 0.2290.
#
# Now find the two residual connections: each ``Add`` hands what it got to both sides. So two gradients arrive at x, one from
# around the attention and one through it. Here they are for the first word, with their sum.
around, through = trace["x"].arrivals
for name, row in [(f"from {around.step.op}", around.array[0]), (f"from {through.step.op}", through.array[0]),
                  ("their sum", (around.array + through.array)[0]), ("x.grad", x.grad[0].tolist())]:
    print(f"{name:16}", "  ".join(f"{g:7.4f}" for g in row[:6]), " ...")

# %%
# Everything that was printed is the real thing: each recorded gradient equals ``.grad`` to the last bit.
leaves = {"x": x, **{f"block.{name}": p for name, p in block.named_parameters()}}
equal = [name for name, leaf in leaves.items() if np.array_equal(trace[name].grad, leaf.grad.numpy())]
print(f"{len(equal)} of {len(leaves)} recorded gradients equal .grad exactly")

# %%
# **Try this:** post-norm, with ``a = self.ln1(x + attended)`` and attention on x itself. The ``Add`` still hands on what it
# got, but what it got has now gone through a LayerNorm.
#
# **Read on:** :doc:`/tutorials/05-transformer`. ``minitorch step block`` walks through such a block in the terminal.

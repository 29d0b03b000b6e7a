"""
The chain rule, by hand and by machine
======================================

loss = (w · x + b − target)². Three numbers go in, one comes out; how much does each of them matter?

Run it: ``python examples/01_chain_rule_by_hand.py``
"""

# %%
# Forward: one op after another, each result kept.
import minitorch as torch  # the names are PyTorch's, so the code reads like PyTorch's

w = torch.tensor(2.0, requires_grad=True)
x = torch.tensor(3.0, requires_grad=True)
b = torch.tensor(1.0, requires_grad=True)
target = 5.0

product = w * x                  # 6
output = product + b             # 7
error = output - target          # 2
loss = error ** 2                # 4
print(f"loss = (2 · 3 + 1 − 5)² = {loss.item():.0f}")

# %%
# Backward by hand, from the last op to the first. Each line is the derivative so far times one local derivative.
d_error = 2 * error.item()       # d(error²)/d(error) = 2 · error = 4
d_output = d_error * 1           # subtracting a constant changes nothing
d_product = d_output * 1         # a sum hands its gradient to both sides
d_b = d_output * 1
d_w = d_product * x.item()       # a product hands each factor the other factor
d_x = d_product * w.item()

# %%
# Backward by machine: the same walk over the same ops.
loss.backward()
for name, tensor, by_hand in [("w", w, d_w), ("x", x, d_x), ("b", b, d_b)]:
    print(f"d(loss)/d({name})   by hand {by_hand:4.1f}   by machine {tensor.grad.item():4.1f}")
    assert tensor.grad.item() == by_hand

# %%
# And the definition itself: nudge w a little, and the loss moves about 12 times as far.
nudge = 0.001
moved = ((w.item() + nudge) * x.item() + b.item() - target) ** 2
print(f"w grows by {nudge}: the loss grows by {moved - loss.item():.6f}")

# %%
# **Try this:** set ``target = 7.0``. Every gradient becomes 0: the loss is at its lowest point, and no small nudge helps.
#
# **Read on:** :doc:`/tutorials/01-first-backward-pass` steps through such a computation.

"""
The residual connection: a gradient's two paths
===============================================

y = x + f(x). The input goes through the layer, and also around it. So does the gradient on its way back.

Run it: ``python examples/06_residual_connection.py``
"""

# %%
# Forward: the layer only has to say what to *change*.
import minitorch as torch


def show(name, numbers):
    print(f"{name:28}", "  ".join(f"{x:6.2f}" for x in numbers))


x = torch.tensor([0.1, 0.2, -0.3])
change = torch.tensor([0.2, 0.1, 0.1])
show("x", x.tolist())
show("f(x)", change.tolist())
show("x + f(x)", (x + change).tolist())

# %%
# Backward: take the simplest layer, f(x) = 0.5 · x, and let the gradient [1, 2, 3] come back. ``detach()`` closes a path, so
# that we can see the other one alone.
dy = torch.tensor([1.0, 2.0, 3.0])


def f(x):
    return 0.5 * x


def gradient(block):
    x = torch.tensor([0.1, 0.2, -0.3], requires_grad=True)
    block(x).backward(dy)
    return x.grad.tolist()


show("dy", dy.tolist())
show("around the layer: dy", gradient(lambda x: x + f(x.detach())))
show("through the layer: 0.5 · dy", gradient(lambda x: x.detach() + f(x)))
show("both: 1.5 · dy", gradient(lambda x: x + f(x)))


# %%
# The first path does not depend on the layer at all: whatever f does, dy arrives. That is worth most in a deep stack. Twenty
# layers f(x) = 0.1 · x in a row multiply the gradient by 0.1 twenty times; with the connection, by 1 + 0.1.
#
# The third line is a mistake found in many tutorials: ``x = f(x)``, then ``x = x + x``. It looks like a residual connection,
# but the input is already gone. It only doubles what the layer made: 0.2 twenty times.
def plain(x):
    return 0.1 * x


def residual(x):
    return x + 0.1 * x


def doubled(x):
    x = 0.1 * x
    return x + x


for name, block, factor in [("plain", plain, 0.1), ("residual", residual, 1.1), ("x = x + x", doubled, 0.2)]:
    x = torch.tensor(1.0, requires_grad=True)
    h = x
    for _ in range(20):
        h = block(h)
    h.backward()
    gradient = x.grad.item()
    print(f"{name:10} after 20 layers {gradient:7.2g}   by hand {factor}^20 = {factor ** 20:.2g}")

# %%
# **Try this:** f(x) = −x in the stack of twenty. The residual gradient is exactly 0: the connection protects from a layer
# that does little, not from one that undoes its input.
#
# **Read on:** :doc:`/tutorials/03-residual`, and the next example, where the layers are real ones.

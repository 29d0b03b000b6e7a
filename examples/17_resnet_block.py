"""
A ResNet block, by hand
=======================

Residual connections come from networks for pictures. A ResNet block is two 3×3 convolutions with a shortcut around both.
Here are its numbers, forward and backward, for a picture of nine pixels.

Run it: ``python examples/17_resnet_block.py``
"""

# %%
# A convolution looks through a small window, forms a weighted sum, and does so at every place with the same weights. The
# picture is one bright pixel. The kernel adds up a pixel and its four neighbours; ``padding=1`` puts a frame of zeros
# around.
import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F


def show(name, picture):
    print(f"{name}:")
    for row in picture.tolist():
        print("   ", "  ".join(f"{v:5.2f}" for v in row))


x = torch.tensor([[[[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]]], requires_grad=True)
cross = torch.tensor([[[[0.0, 1, 0], [1, 1, 1], [0, 1, 0]]]])
half = torch.tensor([[[[0.0, 0, 0], [0, 0.5, 0], [0, 0, 0]]]])

first = F.conv2d(x, cross, padding=1)
show("first convolution", first[0, 0])

# %%
# **The block.** The second kernel halves. f(x) is half a cross, and the shortcut adds x itself: the pixel that was there
# is still there.
second = F.conv2d(F.relu(first), half, padding=1)
show("f(x)", second[0, 0])
y = F.relu(x + second)
show("relu(x + f(x))", y[0, 0])

# %%
# **Backward.** Ask what moves the middle of y. Around the convolutions comes the 1 of the shortcut; through them come
# half a cross. In x the two are added.
around = torch.zeros(3, 3)
around[1, 1] = 1
y[0, 0, 1, 1].backward()
show("around the convolutions", around)
show("through them", x.grad[0, 0] - around)
show("both: x.grad", x.grad[0, 0])

# %%
# **A block that has learnt nothing does no harm.** With zeros as the last kernel, f(x) = 0, and the block passes x on. A
# plain layer would have to learn to pass something on; that is why making a plain network deeper can make it worse.
with torch.no_grad():
    passed = F.relu(x + F.conv2d(F.relu(first), torch.zeros(1, 1, 3, 3), padding=1))
show("with f(x) = 0", passed[0, 0])

# %%
# **When shapes change**, x and f(x) cannot be added as they are. A 1×1 convolution on the shortcut brings x to the right
# number of channels, and its stride to the right size. It is the only shortcut that has parameters.
class Block(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


for block in (Block(16, 16), Block(16, 32, stride=2)):
    pixels = torch.randn(4, 16, 8, 8)
    parameters = sum(p.numel() for p in block.shortcut.parameters())
    print(f"{tuple(pixels.shape)} → {tuple(block(pixels).shape)}   parameters of the shortcut: {parameters}")

# %%
# **BatchNorm** takes the mean of a channel over all pictures and pixels. So in training a picture's output depends on
# which other pictures are in the batch. After ``eval()`` it does not.
block, pixels = Block(16, 16), torch.randn(4, 16, 8, 8)
for mode in ("train", "eval"):
    getattr(block, mode)()
    with torch.no_grad():
        moved = (block(pixels)[:2] - block(pixels[:2])).abs().max().item()
    print(f"{mode:6} does picture 0 notice that pictures 2 and 3 are gone? {moved > 1e-3}")

# %%
# **Try this:** run ``minitorch step`` on this program and look into the first ``Conv2d``.
#
# **Read on:** :doc:`/layers/conv` and :doc:`/layers/batchnorm`. The next example makes such networks deep.

"""ResNet for small pictures: where residual connections come from.

With this file one can

- build one of any depth        ``ResNet(ResNetConfig.of_depth(20))``, or stage by stage: ``ResNetConfig(depths=(2, 3))``
- take its shortcuts away       ``ResNetConfig.of_depth(20, shortcuts=False)``: the same layers, the plain network
- train it                      ``model.loss(pictures, labels).backward()``

From the picture at the bottom to the class scores at the top::

    scores (n, num_labels)
       │  fc
       │  the mean over all pixels: one number a channel
       │
       + ◄─ bn2 ◄─ conv2 ◄─ relu ◄─ bn1 ◄─ conv1 ◄─┐   relu after the sum     ┐ × depths[i]  ┐
       ├──────────────────────────────────────────┘   1×1 where shapes change ┘              │ × len(depths)
       │                                                                                     │ a stage: layer1, layer2, …
       ⋮  each further stage: half the height and width, more channels                        ┘
       │
       │  relu, bn1
       │  conv1: 3×3
    picture (n, num_channels, h, w)

Parameters are named as in torchvision's ResNet: ``layer2.0.downsample.0.weight`` is the 1×1 convolution of a shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from minitorch import Tensor
from minitorch.models.pretrained import Config
from minitorch.nn import BatchNorm2d, Conv2d, Linear, Module, Sequential, init
from minitorch.nn import functional as F

__all__ = ["BasicBlock", "ResNet", "ResNetConfig"]


@dataclass
class ResNetConfig(Config):
    """The sizes of a ResNet, under the names of Hugging Face's config.json where it has them.

    >>> from minitorch.models import ResNetConfig
    >>> ResNetConfig.of_depth(20).depths
    (3, 3, 3)
    """

    model_type: ClassVar[str] = "resnet"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"num_channels": 1, "hidden_sizes": (8, 16), "depths": (1, 1)},
        "base": {"hidden_sizes": (16, 32, 64), "depths": (3, 3, 3)},            # 20 layers, 0.27 million parameters
        "large": {"hidden_sizes": (32, 64, 128), "depths": (9, 9, 9)},          # 56 layers, 3.4 million parameters
    }
    only: ClassVar[dict[str, tuple]] = {"layer_type": ("basic",), "hidden_act": ("relu",),
                                        "downsample_in_first_stage": (False,), "downsample_in_bottleneck": (False,)}

    num_channels: int = 3                           # of the pictures: 3 for colours, 1 for grey
    num_labels: int = 10
    hidden_sizes: tuple[int, ...] = (16, 32, 64)    # channels of each stage
    depths: tuple[int, ...] = (3, 3, 3)             # blocks in each stage, of two convolutions each
    shortcuts: bool = True                          # False: the plain network

    @classmethod
    def of_depth(cls, depth: int, **changes) -> ResNetConfig:
        """With this many layers, 6n + 2, as on CIFAR-10: 8, 14, 20, 32, 44, 56, 110; three stages of n blocks."""
        if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            raise ValueError(f"{cls.__name__}.of_depth: depth should be 6n + 2 (8, 14, 20, 26, …): three stages of n blocks "
                             f"of two layers, and two more; got {depth!r}. For other depths: depths=(2, 3, …)")
        return cls(**{"depths": ((depth - 2) // 6,) * 3, **changes})

    def check(self) -> None:
        self._need_sizes("num_channels", "num_labels")
        for name in ("hidden_sizes", "depths"):
            value = getattr(self, name)
            right = isinstance(value, (tuple, list)) and value and all(type(n) is int and n > 0 for n in value)
            self._need(bool(right), name, "whole numbers above 0, one for each stage")
            setattr(self, name, tuple(value))
        self._need(len(self.depths) == len(self.hidden_sizes), "depths",
                   f"as long as hidden_sizes={self.hidden_sizes}: one number of blocks for each stage")
        self._need_flags("shortcuts")


class BasicBlock(Module):
    """Two 3×3 convolutions, and a shortcut around both: y = relu(x + f(x)).

    Where the shapes of x and f(x) differ, a 1×1 convolution brings x to that of f(x). Without shortcut y = relu(f(x)).

    >>> from minitorch.models.resnet import BasicBlock
    >>> BasicBlock(8, 16, stride=2)(minitorch.zeros(2, 8, 6, 6)).shape
    (2, 16, 3, 3)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, shortcut: bool = True):
        super().__init__()
        self.shortcut = shortcut
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(out_channels)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(out_channels)
        self.downsample = None
        if shortcut and (stride != 1 or in_channels != out_channels):
            self.downsample = Sequential(Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut:
            out = out + (x if self.downsample is None else self.downsample(x))
        return F.relu(out)


class ResNet(Module):
    """Stages of residual blocks, each with half the pixels and more channels than the one before; then a mean, and scores.

    >>> from minitorch.models import ResNet, ResNetConfig
    >>> model = ResNet(ResNetConfig.preset("tiny"))
    >>> model(minitorch.zeros(5, 1, 8, 8)).shape
    (5, 10)
    """

    config: ResNetConfig

    def __init__(self, config: ResNetConfig):
        super().__init__()
        if not isinstance(config, ResNetConfig):
            raise TypeError(f"ResNet: expected a ResNetConfig, got {type(config).__name__}. "
                            "Write ResNet(ResNetConfig.of_depth(20)).")
        self.config = config
        channels = config.hidden_sizes[0]
        self.conv1 = Conv2d(config.num_channels, channels, 3, padding=1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        for i, (size, depth) in enumerate(zip(config.hidden_sizes, config.depths)):
            blocks = []
            for j in range(depth):
                stride = 2 if i and not j else 1
                blocks.append(BasicBlock(channels, size, stride, config.shortcuts))
                channels = size
            self.add_module(f"layer{i + 1}", Sequential(*blocks))
        self.fc = Linear(channels, config.num_labels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the kernels anew: normal, with √(2 / (outputs · kh · kw)), which keeps gradients alike through relu."""
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def depth(self) -> int:
        """Convolutions and linear layers on the way from picture to scores."""
        return 2 * sum(self.config.depths) + 2

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (n, num_channels, h, w) of any size → scores (n, num_labels)."""
        x = F.relu(self.bn1(self.conv1(pictures)))
        for i in range(len(self.config.depths)):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))

    def loss(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy of the scores."""
        return F.cross_entropy(self(pictures), labels)

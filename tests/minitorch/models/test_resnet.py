"""ResNet: shapes, parameter counts, what a shortcut is, PyTorch's numbers, and configs that make no sense."""

import numpy as np
import pytest

import minitorch as mt
from minitorch.models import ResNet, ResNetConfig
from minitorch.models.resnet import BasicBlock


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_sizes():
    base = ResNet(ResNetConfig.preset("base"))
    assert base.depth == 20 and count(base) == 272_474          # the CIFAR network of 20 layers, with 1×1 shortcuts
    assert ResNetConfig.of_depth(110).depths == (18, 18, 18)
    assert ResNet(ResNetConfig(hidden_sizes=(4,), depths=(2,))).depth == 6
    assert ResNet(ResNetConfig.preset("tiny"))(mt.zeros(2, 1, 7, 9)).shape == (2, 10)
    assert ResNetConfig.preset("large").depths == (9, 9, 9)


def test_a_shortcut_adds_parameters_only_where_shapes_change():
    with_them, without = (ResNet(ResNetConfig.of_depth(14, shortcuts=s)) for s in (True, False))
    assert count(with_them) - count(without) == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    names = [name for name, _ in with_them.named_parameters() if "downsample" in name]
    assert names == [f"layer{i}.0.downsample.{p}" for i in (2, 3) for p in ("0.weight", "1.weight", "1.bias")]
    assert not [name for name, _ in without.named_parameters() if "downsample" in name]


def test_a_block_that_has_learnt_nothing_passes_x_on():
    block, x = BasicBlock(3, 3), mt.randn(2, 3, 4, 4).relu()
    mt.nn.init.zeros_(block.bn2.weight)
    np.testing.assert_array_equal(block(x).detach().numpy(), x.numpy())
    plain = BasicBlock(3, 3, shortcut=False)
    mt.nn.init.zeros_(plain.bn2.weight)
    assert not plain(x).detach().numpy().any()


def test_it_learns():
    mt.manual_seed(0)
    model = ResNet(ResNetConfig.preset("tiny", num_labels=2))
    labels = mt.tensor([0, 1] * 8)
    pictures = mt.randn(16, 1, 6, 6) * 0.3 + labels.reshape(16, 1, 1, 1).float() * mt.randn(1, 1, 6, 6)
    optimizer = mt.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(30):
        loss = model.loss(pictures, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert (model.eval()(pictures).argmax(1) == labels).float().mean().item() > 0.9


def test_config_there_and_back():
    config = ResNetConfig(hidden_sizes=[4, 8], depths=[1, 2], shortcuts=False, num_channels=1)
    again = ResNetConfig.from_dict({**config.to_dict(), "hidden_sizes": [4, 8]})
    assert again == config and again.hidden_sizes == (4, 8)


@pytest.mark.parametrize("make, kind, words", [
    (lambda: ResNetConfig.of_depth(18), ValueError, "depth should be 6n + 2"),
    (lambda: ResNetConfig(depths=(1, 2)), ValueError, "as long as hidden_sizes=(16, 32, 64)"),
    (lambda: ResNetConfig(depths=(0, 1, 1)), ValueError, "whole numbers above 0"),
    (lambda: ResNetConfig(num_labels=0), ValueError, "num_labels"),
    (lambda: ResNetConfig(shortcuts="no"), ValueError, "shortcuts should be true or false"),
    (lambda: ResNetConfig.preset("huge"), ValueError, "'tiny', 'base', 'large'"),
    (lambda: ResNetConfig.from_dict({"layer_type": "bottleneck"}), NotImplementedError, "layer_type='bottleneck'"),
    (lambda: ResNet({"depths": (1,)}), TypeError, "expected a ResNetConfig, got dict"),
    (lambda: ResNet(ResNetConfig.preset("tiny"))(mt.zeros(2, 3, 8, 8)), RuntimeError, "has 3 channels"),
])
def test_errors_help(make, kind, words):
    with pytest.raises(kind) as error:
        make()
    assert words in str(error.value)


@pytest.mark.parity
@pytest.mark.parametrize("shortcuts", [True, False])
def test_is_the_same_network_in_pytorch(shortcuts):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    sizes = {"num_channels": 2, "num_labels": 3, "hidden_sizes": (5, 7), "depths": (2, 1)}
    model = ResNet(ResNetConfig(**sizes, shortcuts=shortcuts)).double()
    state = {name: torch.tensor(t.numpy().copy(), requires_grad=t.dtype.kind == "f" and "running" not in name)
             for name, t in model.state_dict().items()}

    def norm(name, x):
        return F.batch_norm(x, state[f"{name}.running_mean"], state[f"{name}.running_var"], state[f"{name}.weight"],
                            state[f"{name}.bias"], training=True)

    def block(name, x, stride):
        out = F.relu(norm(f"{name}.bn1", F.conv2d(x, state[f"{name}.conv1.weight"], None, stride, 1)))
        out = norm(f"{name}.bn2", F.conv2d(out, state[f"{name}.conv2.weight"], None, 1, 1))
        if f"{name}.downsample.0.weight" in state:
            x = norm(f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"], None, stride))
        return F.relu(out + x if shortcuts else out)

    pictures = np.random.default_rng(0).normal(size=(4, 2, 7, 6))
    x = F.relu(norm("bn1", F.conv2d(torch.tensor(pictures), state["conv1.weight"], None, 1, 1)))
    for name, stride in (("layer1.0", 1), ("layer1.1", 1), ("layer2.0", 2)):
        x = block(name, x, stride)
    loss = F.cross_entropy(F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"]), torch.tensor([0, 2, 1, 2]))
    loss.backward()
    ours = model.loss(mt.tensor(pictures), mt.tensor([0, 2, 1, 2]))
    ours.backward()
    assert abs(ours.item() - loss.item()) < 1e-12
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), state[name].grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    for name, t in model.named_buffers():
        if "running" in name:
            np.testing.assert_allclose(t.numpy(), state[name].detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=name)

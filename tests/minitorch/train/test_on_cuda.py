"""Training on a GPU: the losses of the CPU, and a checkpoint from either device goes on on the other.

Where there is no GPU, Numba's simulator computes, in a process of its own.
"""

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.cli import main
from minitorch.nn import functional as F
from minitorch.train import Diverged, Settings, Trainer, read_log
from minitorch.utils.data import DataLoader, TensorDataset

from on_cuda import HERE, in_the_simulator


@pytest.mark.skipif(HERE, reason="tensors go to the GPU in this process")
def test_in_the_simulator():
    """This file once more, with the simulator."""
    in_the_simulator(__file__)


@pytest.mark.skipif(HERE, reason="there is a GPU")
@pytest.mark.parametrize("command", [["train", "char-gpt"], ["generate", "x", "--prompt", "y"], ["translate", "x", "y"],
                                     ["classify", "x", "y"]])
def test_without_a_gpu_the_commands_say_what_is_missing(command, capsys):
    assert main([*command, "--device", "cuda"]) == 2
    assert "--device cuda: Numba" in capsys.readouterr().err


def loss(model, batch):
    return F.cross_entropy(model(batch["x"]), batch["y"])


def trainer(device, folder=None, **settings):
    minitorch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 6), nn.Dropout(0.2), nn.Flatten(), nn.Linear(12, 9))
    x = np.random.default_rng(0).integers(0, 9, (12, 2))
    rows = [{"x": minitorch.tensor(row), "y": minitorch.tensor(row.sum() % 9)} for row in x]
    loader = DataLoader(rows, 4, shuffle=True, generator=minitorch.Generator().manual_seed(0))
    settings = Settings(**{"steps": 12, "warmup": 2, "lr": 0.03, "ema": 0.8, "accumulate": 2, "save_every": 5, **settings})
    return Trainer(model, loss, loader, settings, valid=loader, folder=folder, device=device)


@pytest.mark.gpu
@pytest.mark.parametrize("first, then", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_a_run_goes_on_on_the_other_device(first, then, tmp_path):
    whole = trainer("cpu", tmp_path / "whole")
    whole.run(progress=False)
    half = trainer(first, tmp_path / "parts")
    half.run(until=5, progress=False)
    again = trainer(then, tmp_path / "parts")
    assert again.resume() == 5 and again.device == then and next(again.model.parameters()).device == then
    again.run(progress=False)
    logs = [[(float(row["train"]), float(row["gradient norm"])) for row in read_log(tmp_path / name / "log.csv")]
            for name in ("whole", "parts")]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-4)
    assert again.valid_now == pytest.approx(whole.valid_now, rel=1e-4)
    for mine, theirs in zip(again.trained.parameters(), whole.trained.parameters()):
        np.testing.assert_allclose(mine.detach().cpu(), theirs.detach(), rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
def test_a_run_that_diverges_is_stopped_and_named():
    one = trainer("cuda")
    with minitorch.no_grad():
        one.model[3].weight[2, 3] = float("nan")
    with pytest.raises(Diverged, match="at step 1: the loss is nan.*first parameter with a bad gradient is"):
        one.run(progress=False)


@pytest.mark.gpu
@pytest.mark.parametrize("precision, close", [("float16", 0.02), ("bfloat16", 1e-4)])
def test_16_bits_do_the_same_on_both_devices(precision, close, tmp_path):
    """float16 is calculated in float32 on a GPU, so it is the better one there; bfloat16 is rounded alike."""
    logs, scales = [], []
    for device in "cpu", "cuda":
        one = trainer(device, tmp_path / device, precision=precision)
        one.run(progress=False)
        assert {p.dtype.name for p in one.model.parameters()} == {"float32"}
        logs.append([float(row["train"]) for row in read_log(tmp_path / device / "log.csv")])
        scales.append(one.precision.scale)
    np.testing.assert_allclose(logs[1], logs[0], rtol=close)
    assert scales == [2.0 ** 15 if precision == "float16" else 1.0] * 2


@pytest.mark.gpu
def test_a_scale_that_is_too_large_skips_the_step_on_a_gpu_too():
    one = trainer("cuda", precision="float16")
    plain, one.loss = one.loss, lambda model, batch: plain(model, batch) * 500.0
    before = [p.detach().cpu().numpy().copy() for p in one.model.parameters()]
    one.run(until=1, progress=False)
    assert one.precision.scale == 2.0 ** 14
    assert all(np.array_equal(p.detach().cpu(), old) for p, old in zip(one.model.parameters(), before))


@pytest.mark.gpu
def test_batches_of_any_kind_go_there():
    one, x = trainer("cuda"), minitorch.ones(2)
    first, (second, three), rest = one.there((x, [x, 3], {"x": x}))
    assert first.is_cuda and second.is_cuda and three == 3 and rest["x"].is_cuda
    batch, = DataLoader(TensorDataset(x), 2)
    assert batch[0].cuda().is_cuda


CONFIG = """
task = "char-lm"
[model]
n_layer = 1
n_head = 2
n_embd = 8
[data]
text = "text.txt"
context = 4
batch_size = 2
[train]
steps = 3
warmup = 1
eval_batches = 2
"""


@pytest.mark.gpu
def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(CONFIG)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 3)
    assert main(["train", "tiny.toml", "--device", "cuda"]) == 0
    assert {"model", "loss.png", "gradient_flow.png"} <= {path.name for path in (tmp_path / "runs/tiny").iterdir()}
    said = []
    for device in "cpu", "cuda":
        capsys.readouterr()
        assert main(["generate", "tiny", "--prompt", "the", "--tokens", "4", "--seed", "0", "--device", device]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].startswith("the")

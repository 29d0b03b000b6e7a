"""The training loop: what a step computes, when it stops, and that a run goes on bit by bit."""

import gc
import math
import os
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.nn import functional as F
from minitorch.train import Diverged, Interrupted, Settings, Trainer, decay_groups, read_log
from minitorch.train.precision import round_bfloat16
from minitorch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, drop=0.0):
        super().__init__()
        self.embed = nn.Embedding(9, 6)
        self.norm = nn.LayerNorm(6)
        self.drop = nn.Dropout(drop)
        self.out = nn.Linear(6, 9)

    def forward(self, ids):
        return self.out(self.drop(self.norm(self.embed(ids))))


def loss(model, batch):
    """−100 marks what does not count."""
    x, y = batch
    return F.cross_entropy(model(x).reshape(-1, 9), y.reshape(-1))


def counted(batch):
    return int((batch[1].data != -100).sum())


def data(rows=24, seed=0, padded=True):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 9, (rows, 5))
    y = (x + 1) % 9
    if padded:
        y[np.arange(5) >= rng.integers(1, 6, (rows, 1))] = -100
    return TensorDataset(minitorch.tensor(x), minitorch.tensor(y))


def trainer(settings=None, drop=0.0, batch=4, folder=None, seed=0, dtype=None, **more):
    minitorch.manual_seed(seed)
    model = Net(drop)
    if dtype:
        model.to(dtype)
    loader = DataLoader(data(), batch, shuffle=True, generator=minitorch.Generator().manual_seed(seed))
    return Trainer(model, loss, loader, Settings(**{"steps": 40, "warmup": 5, "lr": 0.03, **(settings or {})}),
                   valid=DataLoader(data(7, 1), 3), size=counted, folder=folder, **more)


def weights(t):
    return {name: p.data.copy() for name, p in t.model.named_parameters()}


def test_it_learns():
    t = trainer({"steps": 80})
    before = t.evaluate()
    t.run(progress=False)
    assert before > 2 and t.valid_now < 0.1 and t.step == 80 and t.tokens > 0


@pytest.mark.parametrize("dtype", [minitorch.float32, minitorch.float64], ids=str)
def test_accumulated_batches_are_one_big_batch(dtype):
    """Though the small batches count for unequal numbers of tokens."""
    big, small = trainer({"steps": 12}, batch=12, dtype=dtype), trainer({"steps": 12, "accumulate": 4}, batch=3, dtype=dtype)
    counts = {counted(batch) for batch in small.train}
    assert len(counts) > 2
    small = trainer({"steps": 12, "accumulate": 4}, batch=3, dtype=dtype)
    big.run(progress=False)
    small.run(progress=False)
    for name, w in weights(big).items():
        np.testing.assert_allclose(weights(small)[name], w, rtol=0, atol=1e-6 if dtype == minitorch.float32 else 1e-12)
    assert math.isclose(small.loss_now, big.loss_now, rel_tol=1e-6) and small.tokens == big.tokens


def test_one_step_by_hand():
    t = trainer({"steps": 3, "warmup": 0, "schedule": "constant", "weight_decay": 0.1, "clip": 0.5, "lr": 0.01}, seed=3)
    batch = next(iter(DataLoader(data(), 4, shuffle=True, generator=minitorch.Generator().manual_seed(3))))
    minitorch.manual_seed(3)
    model = Net()
    value = loss(model, batch)
    value.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5).item()
    optimizer = minitorch.optim.AdamW(decay_groups(model, 0.1), 0.01, (0.9, 0.999))
    optimizer.step()
    t.run(until=1, progress=False)
    assert all(np.array_equal(w, dict(model.named_parameters())[name].data) for name, w in weights(t).items())
    assert t.loss_now == value.item() and norm > 0.5


def test_decay_groups():
    model = Net()
    model.embed.weight.requires_grad_(False)
    groups = decay_groups(model, 0.1)
    assert [[p.shape for p in group["params"]] for group in groups] == [[(9, 6)], [(6,), (6,), (9,)]]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


@pytest.mark.parametrize("schedule, rates", [
    ("cosine", [0.25, 0.5, 0.75, 1.0, 0.55]), ("inverse-sqrt", [0.25, 0.5, 0.75, 1.0, math.sqrt(4 / 5)]),
    ("constant", [0.25, 0.5, 0.75, 1.0, 1.0]),
])
def test_schedules(schedule, rates, tmp_path):
    t = trainer({"steps": 6, "warmup": 4, "schedule": schedule, "lr": 1.0, "min_lr": 0.1, "clip": 1e-3}, folder=tmp_path)
    t.run(progress=False)
    found = [float(row["lr"]) for row in read_log(tmp_path / "log.csv")]
    assert found[:5] == pytest.approx(rates)
    assert schedule != "cosine" or found[5] == pytest.approx(0.1)


def test_evaluation_changes_nothing():
    t = trainer(drop=0.5)
    t.run(until=2, progress=False)
    state = minitorch.default_generator.get_state()
    first = t.evaluate()
    assert first == t.evaluate() and minitorch.default_generator.get_state() == state
    assert t.model.training and t.model.drop.training
    t.model.drop.eval()
    t.evaluate()
    assert t.model.training and not t.model.drop.training
    total = sum(loss(t.model.eval(), batch).item() * counted(batch) for batch in t.valid)
    assert first == pytest.approx(total / sum(counted(batch) for batch in t.valid), rel=1e-12)
    assert math.isnan(t.evaluate([]))


def test_the_moving_average_is_what_is_evaluated():
    t = trainer({"ema": 0.9})
    t.run(until=1, progress=False)
    average = weights(t)
    for _ in range(3):
        t.run(until=t.step + 1, progress=False)
        average = {name: average[name] * 0.9 + w * (1 - 0.9) for name, w in weights(t).items()}
    for name, p in t.trained.named_parameters():
        np.testing.assert_allclose(p.data, average[name], rtol=1e-6)
    assert t.trained is not t.model


@pytest.mark.parametrize("settings, drop", [
    ({}, 0.0), ({"accumulate": 2, "ema": 0.9, "eval_every": 3}, 0.3), ({"precision": "float16"}, 0.3),
    ({"precision": "bfloat16", "schedule": "inverse-sqrt"}, 0.2), ({"schedule": "constant", "save_every": 7}, 0.1),
], ids=str)
def test_a_run_goes_on_bit_by_bit(settings, drop, tmp_path):
    """Though the second process begins from other weights and other random numbers."""
    straight = trainer(settings, drop, folder=tmp_path / "a")
    straight.run(progress=False)
    first = trainer(settings, drop, folder=tmp_path / "b")
    first.run(until=17, progress=False)
    first.save()
    first.run(until=21, progress=False)                             # lost: not saved
    second = trainer(settings, drop, folder=tmp_path / "b", seed=5)
    if settings.get("save_every") == 7:                             # saved at 21, too
        assert second.resume() == 21
    else:
        assert second.resume() == 17
    second.run(progress=False)
    logs = [[{**row, "tokens/s": ""} for row in read_log(tmp_path / name / "log.csv")] for name in "ab"]
    assert logs[0] == logs[1] and len(logs[0]) == 40
    ends = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in "ab"]
    assert ends[0] == ends[1]


def test_a_loss_that_is_nan_stops_the_run_and_changes_nothing(tmp_path):
    t = trainer({"save_every": 2}, folder=tmp_path)
    t.run(until=5, progress=False)
    before, last = weights(t), t.loss_now
    t.loss = lambda model, batch: loss(model, batch) * float("nan")
    with pytest.raises(Diverged) as caught:
        t.run(progress=False)
    error = caught.value
    assert (error.step, error.last_finite_loss, error.checkpoint) == (6, last, (tmp_path / "checkpoint.safetensors", 4))
    assert error.parameter == "embed.weight (36 of 54 values)"      # six of the nine words stand in the batch
    for text in ("diverged at step 6", f"last finite loss was {last:.4f}", "embed.weight", "safetensors, of step 4"):
        assert text in str(error)
    assert all(np.array_equal(w, before[name]) for name, w in weights(t).items())
    assert len(read_log(tmp_path / "log.csv")) == 5


def test_an_infinite_gradient_names_the_first_bad_parameter():
    t = trainer()
    t.loss = lambda model, batch: loss(model, batch) + (model.norm.bias * 0).sqrt().sum()  # 0 · ∞
    with pytest.raises(Diverged, match=r"first parameter with a bad gradient is norm.bias \(6 of 6 values\)"), \
            np.errstate(all="ignore"):
        t.run(progress=False)
    assert t.step == 0


def test_weights_that_are_nan_are_not_saved(tmp_path):
    t = trainer(folder=tmp_path)
    t.run(until=1, progress=False)
    t.save()
    good = t.checkpoint_path.read_bytes()
    t.model.out.bias.data[3] = np.inf
    with pytest.raises(Diverged, match=r"first parameter with a bad value is out.bias \(1 of 9 values\)"):
        t.save()
    assert t.checkpoint_path.read_bytes() == good


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interruption_finishes_the_step_and_saves(number, tmp_path, capsys):
    t = trainer(folder=tmp_path)
    plain = t.loss

    def interrupted(model, batch):
        if t.step == 6:
            os.kill(os.getpid(), number)
        return plain(model, batch)

    t.loss = interrupted
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="stopped after step 7; saved in"):
        t.run(progress=False)
    assert t.step == 7 and signal.getsignal(number) is before and "again to stop at once" in capsys.readouterr().err
    other = trainer(folder=tmp_path)
    assert other.resume() == 7


def test_the_second_interruption_stops_at_once(tmp_path):
    t = trainer(folder=tmp_path)

    def interrupted(model, batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    t.loss = interrupted
    with pytest.raises(KeyboardInterrupt):
        t.run(progress=False)
    assert t.step == 0 and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_a_thread_of_its_own():
    """Where signals cannot be caught."""
    t = trainer({"steps": 8})
    thread = threading.Thread(target=t.run, kwargs={"progress": False})
    thread.start()
    thread.join(60)
    assert t.step == 8


def test_a_log_that_was_cut_by_a_kill_is_gone_on_with(tmp_path):
    t = trainer({"steps": 20}, folder=tmp_path)
    t.run(until=6, progress=False)
    t.save()
    t.run(until=9, progress=False)
    with open(tmp_path / "log.csv", "a") as file:
        file.write("10,2.5,")
    other = trainer({"steps": 20}, folder=tmp_path)
    other.resume()
    other.run(progress=False)
    assert [int(row["step"]) for row in read_log(tmp_path / "log.csv")] == list(range(1, 21))


def test_data_without_a_batch():
    minitorch.manual_seed(0)
    for batches in ([], DataLoader(data(3), 4, drop_last=True)):
        with pytest.raises(ValueError, match="gave no batch"):
            Trainer(Net(), loss, batches, Settings(steps=200)).run(progress=False)


def test_batches_of_all_kinds_have_a_size():
    x = minitorch.zeros(3, 4)
    t = Trainer(Net(), loss, [], Settings(steps=200))
    assert [t.size(batch) for batch in (x, (x, 1), {"a": x}, [np.ones((2, 2))])] == [12, 12, 12, 4]


@pytest.mark.parametrize("settings", [
    {"steps": 0}, {"steps": 1.5}, {"steps": True}, {"accumulate": 0}, {"lr": -1}, {"lr": "1e-3"}, {"lr": math.nan},
    {"recompute": 1},
    {"beta1": 1.0}, {"beta2": -0.1}, {"clip": -1}, {"ema": 1.0}, {"label_smoothing": 1}, {"schedule": "cos"},
    {"precision": "half"}, {"steps": 10, "warmup": 10}, {"seed": -1}, {"weight_decay": math.inf}, {"eps": None},
], ids=str)
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="Settings: "):
        Settings(**settings)


def test_recomputing_gives_the_same_weights_with_less_memory(tmp_path):
    """Dropout and the moving average included."""
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 32)
            self.layers = nn.ModuleList([nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 32))
                                         for _ in range(8)])
            self.out = nn.Linear(32, 9)

        def forward(self, ids):
            x = self.embed(ids)
            for layer in self.layers:
                x = x + layer(x)
            return self.out(x)

    found, peaks = [], []
    for recompute in (False, True):
        minitorch.manual_seed(4)
        model = Deep()
        loader = DataLoader(data(200), 100, shuffle=True)
        t = Trainer(model, loss, loader, Settings(steps=4, warmup=1, recompute=recompute, ema=0.5), size=counted)
        t.run(until=2, progress=False)
        gc.collect()
        tracemalloc.start()
        t.run(progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found.append([p.data for p in [*model.parameters(), *t.trained.parameters()]])
        assert t.trained.layers[0] is not model.layers[0]
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert peaks[1] < 0.6 * peaks[0]


# ---------------------------------------------------------------------------------------------------------------------
# 16 bits

def test_float16_computes_in_16_bits_and_learns_like_32():
    seen = set()

    def watching(model, batch):
        seen.update(p.dtype.name for p in model.parameters())
        value = loss(model, batch)
        seen.add(value.dtype.name)
        return value

    half, single = trainer({"precision": "float16"}), trainer()
    half.loss = watching
    half.run(progress=False)
    single.run(progress=False)
    assert seen == {"float16"} and {p.dtype.name for p in half.model.parameters()} == {"float32"}
    assert half.valid_now == pytest.approx(single.valid_now, rel=0.05)
    assert any(not np.array_equal(w, w.astype(np.float16)) for w in weights(half).values())  # the masters are finer


def test_the_loss_scale_saves_small_gradients():
    """Gradients of 1e-8 are 0 in float16; times 2¹⁵ they are not."""
    t = trainer({"precision": "float16"})
    t.loss = lambda model, batch: loss(model, batch) * 1e-6
    plain = trainer({"precision": "float16"})
    plain.loss, plain.precision.scale = t.loss, 1.0
    for some in (t, plain):
        some.run(until=1, progress=False)
    lost = [np.mean(p.grad.data == 0) for p in plain.model.parameters()]
    kept = [np.mean(p.grad.data == 0) for p in t.model.parameters()]
    assert np.mean(lost) > np.mean(kept) + 0.3


def test_a_scale_that_is_too_large_skips_the_step_and_is_halved():
    t = trainer({"precision": "float16"})
    t.loss = lambda model, batch: loss(model, batch) * 500.0
    before = weights(t)
    t.run(until=1, progress=False)
    assert t.step == 1 and t.precision.scale == 2.0 ** 14
    assert all(np.array_equal(w, before[name]) for name, w in weights(t).items())
    t.run(progress=False)
    assert 1 < t.precision.scale < 2.0 ** 14 and t.evaluate() < 500.0


def test_float16_that_is_nan_at_any_scale_diverges():
    t = trainer({"precision": "float16"})
    t.loss = lambda model, batch: loss(model, batch) + (model.norm.bias * 0).sqrt().sum()
    with pytest.raises(Diverged, match="norm.bias"), np.errstate(all="ignore"):
        t.run(progress=False)
    assert t.precision.scale == 1.0


def test_bfloat16_rounds_weights_and_gradients():
    t = trainer({"precision": "bfloat16"})

    def watching(model, batch):
        assert all(np.array_equal(p.data, round_bfloat16(p.data)) for p in model.parameters())
        return loss(model, batch)

    t.loss = watching
    t.run(progress=False)
    assert t.valid_now < 1.0 and t.precision.scale == 1.0


def test_float64():
    t = trainer({"precision": "float64"})
    t.run(progress=False)
    assert {p.dtype.name for p in t.model.parameters()} == {"float64"} and t.valid_now < 1.0


def test_floating_point_batches_are_cast():
    x = minitorch.randn(12, 3)
    for precision in ("float16", "float64", "bfloat16"):
        model = nn.Linear(3, 1)
        Trainer(model, lambda model, batch: model(batch["x"]).square().mean(), [{"x": x, "n": [x]}],
                Settings(steps=3, warmup=1, precision=precision)).run(progress=False)


def test_tokens_per_second_are_counted(tmp_path):
    start = time.perf_counter()
    t = trainer(folder=tmp_path)
    t.run(progress=False)
    rows = read_log(tmp_path / "log.csv")
    assert all(int(row["tokens/s"]) > 0 for row in rows) and time.perf_counter() > start

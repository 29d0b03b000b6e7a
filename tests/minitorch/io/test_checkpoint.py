"""Checkpoints: the whole state comes back, or nothing changes; a process killed while saving leaves a good file."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

import minitorch
from minitorch import nn
from minitorch.errors import CheckpointError
from minitorch.io import checkpoint, safetensors
from minitorch.optim import SGD, AdamW
from minitorch.optim.lr_scheduler import LinearLR, SequentialLR, WarmupCosineLR


class Tied(nn.Module):
    """An embedding that is used again as the projection, a buffer, dropout."""

    def __init__(self, width=6):
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.drop = nn.Dropout(0.3)
        self.hidden = nn.Linear(width, width)
        self.project = nn.Linear(width, 11, bias=False)
        self.project.weight = self.embed.weight
        self.register_buffer("seen", minitorch.zeros(11, dtype=minitorch.int64))

    def forward(self, ids):
        self.seen.data[ids.data] += 1
        return self.project(self.drop(self.hidden(self.embed(ids))))


class Run:
    """A run of its own, from its own beginning."""

    def __init__(self, seed, make=AdamW, width=6):
        minitorch.manual_seed(seed)
        self.model = Tied(width)
        parameters = dict(self.model.named_parameters())
        bias = parameters.pop("hidden.bias")
        groups = [{"params": list(parameters.values())}, {"params": [bias], "weight_decay": 0.0}]
        self.optimizer = make(groups, lr=0.01)
        self.scheduler = WarmupCosineLR(self.optimizer, 3, 30)
        self.generator = minitorch.Generator().manual_seed(seed)

    def things(self):
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler,
                "generators": {"data": self.generator}}

    def steps(self, count):
        losses = []
        for _ in range(count):
            ids = minitorch.randint(11, (5,), generator=self.generator)
            loss = nn.functional.cross_entropy(self.model(ids), ids)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            losses.append(loss.item())
        return losses

    def everything(self):
        state = {name: t.data.copy() for name, t in self.model.state_dict().items()}
        for i, values in self.optimizer.state_dict()["state"].items():
            state |= {f"{i}.{key}": np.asarray(value.data).copy() for key, value in values.items()}
        texts = [self.optimizer.state_dict()["param_groups"], self.scheduler.state_dict(), self.generator.get_state(),
                 minitorch.default_generator.get_state()]
        return state, json.dumps(texts)

    def equals(self, other):
        (a, ta), (b, tb) = self.everything(), other
        same = [a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes() for name in a if name in b]
        return a.keys() == b.keys() and all(same) and ta == tb


@pytest.mark.parametrize("make", [AdamW, lambda groups, lr: SGD(groups, lr, momentum=0.9)], ids=["AdamW", "SGD"])
def test_a_run_goes_on_bit_by_bit(make, tmp_path):
    straight = Run(1, make)
    straight.steps(4)
    checkpoint.save(tmp_path / "a", **straight.things(), step=4, config={"lr": 0.1 + 0.2}, extra={"best": float("inf")})
    losses = straight.steps(5)
    end = straight.everything()

    again = Run(2, make)
    again.steps(2)
    saved = checkpoint.load(tmp_path / "a", **again.things())
    assert (saved.step, saved.config, saved.extra) == (4, {"lr": 0.1 + 0.2}, {"best": float("inf")})
    assert again.steps(5) == losses and again.equals(end)
    assert again.model.project.weight is again.model.embed.weight


def test_what_any_reader_sees(tmp_path):
    run = Run(3)
    run.steps(1)
    checkpoint.save(tmp_path / "a", **run.things())
    names = set(safetensors.read(tmp_path / "a"))
    assert {"model/embed.weight", "model/seen", "optimizer/hidden.bias/exp_avg", "optimizer/embed.weight/step"} <= names
    assert "model/project.weight" not in names  # it is the embedding's array, and stored there


def test_values_of_every_kind_come_back(tmp_path):
    model = nn.Linear(1, 1)
    shared = np.arange(3)
    extra = {"none": None, "flag": True, "int": 2 ** 200, "float": 0.1, "nan": float("nan"), "text": "ü\n\U0001F600",
             "list": [1, [2.5, "a"], ()], "tuple": (1, (2,)), "numbers": {3: "c", (1, 2): "d", None: 0},
             "array": np.eye(2, dtype="float16"), "again": [shared, shared], "half": np.float32(0.5),
             "tensor": minitorch.ones(2), "a/b": np.ones(1), "a": {"b": np.zeros(1)}, "empty": {},
             "dict": {"dict": {"tuple": []}}}
    checkpoint.save(tmp_path / "a", model=model, extra=extra)
    back = checkpoint.peek(tmp_path / "a").extra
    assert list(back) == list(extra)
    for name in ("none", "flag", "int", "float", "text", "list", "tuple", "numbers", "empty", "dict"):
        assert back[name] == extra[name] and type(back[name]) is type(extra[name]), name
    assert np.isnan(back["nan"]) and back["tuple"] == (1, (2,)) and type(back["list"][2]) is tuple
    assert back["array"].dtype == np.float16 and back["again"][1].tolist() == [0, 1, 2]
    assert back["half"] == 0.5 and back["half"].dtype == np.float32 and back["tensor"].tolist() == [1, 1]
    assert back["a/b"].tolist() == [1] and back["a"]["b"].tolist() == [0]


def test_loading_a_model_alone_changes_nothing_else(tmp_path):
    run = Run(4)
    run.steps(2)
    checkpoint.save(tmp_path / "a", **run.things())
    other = Run(5)
    before = minitorch.default_generator.get_state()
    checkpoint.load(tmp_path / "a", model=other.model, random=False)
    assert minitorch.default_generator.get_state() == before
    assert np.array_equal(other.model.embed.weight.data, run.model.embed.weight.data)


class Wider(Tied):
    def __init__(self):
        super().__init__()
        self.more = nn.Linear(2, 2)


class Breaks:
    """A part whose state cannot be loaded the first time."""

    tried = False

    def state_dict(self):
        return {"a": 1}

    def load_state_dict(self, state):
        self.tried, was = True, self.tried
        if not was:
            raise RuntimeError("no")


def refuse(path, things, tensor, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.load(path, **things)
    assert (caught.value.path, caught.value.tensor) == (str(path), tensor)


def test_what_does_not_fit_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "a"
    saved = Run(6)
    saved.steps(2)
    checkpoint.save(path, **saved.things())
    run = Run(7)
    run.steps(3)
    wider, linear, narrow, double = Wider(), nn.Linear(2, 2), Tied(5), Tied().double()
    less = Tied()
    del less.hidden
    sgd = SGD([{"params": group["params"]} for group in run.optimizer.param_groups], 0.1)
    before = run.everything()
    things = run.things()

    refuse(path, {**things, "model": wider}, "more.weight", r"missing \(and 1 more\): the model has it")
    refuse(path, {**things, "model": linear}, "weight", "missing")
    refuse(path, {**things, "model": less}, "hidden.weight", r"unexpected \(and 1 more\)")
    refuse(path, {**things, "model": narrow}, "embed.weight", r"shape \(11, 6\) in the file and \(11, 5\) in the model")
    refuse(path, {**things, "model": double}, "embed.weight", "float32 in the file and float64 in the model")
    refuse(path, {**things, "optimizer": AdamW(run.model.parameters())}, None, "groups of parameters")
    refuse(path, {**things, "optimizer": sgd}, None, "another kind")
    other = LinearLR(SGD([minitorch.ones(1)], 0.1))
    refuse(path, {**things, "scheduler": other}, None, "scheduler in the file is of another kind")
    refuse(path, {**things, "parts": {"data": Breaks()}}, None, "has no 'data' among its parts")
    refuse(path, {**things, "generators": {"dat": run.generator}}, None, "has no 'dat' among its generators")
    assert run.equals(before)

    checkpoint.save(path, model=saved.model)
    refuse(path, things, None, "was saved without the optimizer")
    safetensors.write(path, {"a": np.ones(2)})
    refuse(path, things, None, "is a safetensors file, but no")
    with pytest.raises(CheckpointError, match="No such file"):
        checkpoint.load(tmp_path / "b", **things)
    assert run.equals(before)


def test_a_part_that_fails_undoes_the_others(tmp_path):
    saved, run = Run(8), Run(9)
    saved.steps(2)
    checkpoint.save(tmp_path / "a", **saved.things(), parts={"x": Breaks()})
    minitorch.manual_seed(10)
    before = run.everything()
    with pytest.raises(CheckpointError, match="does not fit: RuntimeError: no"):
        checkpoint.load(tmp_path / "a", **run.things(), parts={"x": Breaks()})
    assert run.equals(before)


@pytest.mark.parametrize("damage", [
    lambda s: s[:-1], lambda s: "[" * 100_000, lambda s: "3", lambda s: '{"dict":[["step",1]]}',
    lambda s: s.replace('["step",', '["stop",'), lambda s: s.replace('"array"', '"arry"'),
    lambda s: s.replace("model/embed.weight", "model/embed.wait"), lambda s: s.replace('"dict"', '"tuple"', 3),
    lambda s: s.replace("param_groups", "param_group"), lambda s: s.replace('"exp_avg"', '"exp_avg_sq"', 1),
    lambda s: s.replace("bit_generator", "bite_generator"), lambda s: s.replace("PCG64", "MT19937"),
    lambda s: s.replace('"last_epoch"', '"last_epic"'), lambda s: s.replace('"hidden.bias"', '"hidden.bios"'),
])
def test_a_damaged_state_is_refused_and_nothing_changes(damage, tmp_path):
    run = Run(10)
    run.steps(2)
    checkpoint.save(tmp_path / "a", **run.things())
    tensors = safetensors.read(tmp_path / "a")
    state = damage(tensors.metadata["state"])
    assert state != tensors.metadata["state"]
    safetensors.write(tmp_path / "a", dict(tensors), {**tensors.metadata, "state": state})
    run.steps(1)
    before = run.everything()
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "a", **run.things())
    assert run.equals(before)


@pytest.mark.parametrize("reason, change", [
    ("missing", lambda tensors: tensors.pop("model/embed.weight")),
    ("unexpected", lambda tensors: tensors.update({"model/embed.weight2": np.eye(1)})),
])
def test_arrays_too_few_or_too_many_are_named(reason, change, tmp_path):
    run = Run(11)
    checkpoint.save(tmp_path / "a", **run.things())
    tensors = safetensors.read(tmp_path / "a")
    arrays = dict(tensors)
    change(arrays)
    safetensors.write(tmp_path / "a", arrays, tensors.metadata)
    with pytest.raises(CheckpointError, match=reason) as error:
        checkpoint.load(tmp_path / "a", **run.things())
    assert error.value.tensor.startswith("model/embed.weight")


def test_what_cannot_be_saved_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"extra\.a\.0 is a object"):
        checkpoint.save(tmp_path / "a", model=nn.Linear(1, 1), extra={"a": [object()]})
    assert os.listdir(tmp_path) == []


def test_schedules_in_sequence(tmp_path):
    def make():
        optimizer = SGD([minitorch.ones(1)], 1.0)
        return optimizer, SequentialLR(optimizer, [LinearLR(optimizer, 0.1), WarmupCosineLR(optimizer, 2, 9)], [4])

    model = nn.Linear(1, 1)
    (o1, s1), (o2, s2) = make(), make()
    for _ in range(6):
        s1.step()
    checkpoint.save(tmp_path / "a", model=model, optimizer=o1, scheduler=s1)
    checkpoint.load(tmp_path / "a", model=model, optimizer=o2, scheduler=s2)
    for _ in range(3):
        s1.step()
        s2.step()
        assert s1.get_last_lr() == s2.get_last_lr() == [o2.param_groups[0]["lr"]]


# ---------------------------------------------------------------------------------------------------------------------
# power cuts, full disks, folders one may not write to

SAVER = """
import os, random, signal, sys, time, warnings
import numpy as np
import minitorch
from minitorch.io import checkpoint

warnings.simplefilter("ignore")
path, kills = sys.argv[1], int(sys.argv[2])
model = minitorch.nn.Linear(100, 100)


def save(k):
    model.weight.data.fill(k)
    model.bias.data.fill(k)
    checkpoint.save(path, model=model, step=k)


def check(least):
    step = checkpoint.load(path, model=model).step
    assert step >= least, f"an older file came back: {step} after {least}"
    assert (model.weight.data == step).all() and (model.bias.data == step).all(), f"half of step {step}"
    return step


save(0)
rng, step, steps, litter = random.Random(0), 0, set(), 0
for _ in range(kills):
    child = os.fork()
    if child == 0:
        for k in range(step + 1, step + 10**6):
            save(k)
    time.sleep(rng.uniform(0.001, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    litter += len(os.listdir(os.path.dirname(path))) > 1
    step = check(step)
    steps.add(step)
save(step + 1)
print(kills, len(steps), litter, os.listdir(os.path.dirname(path)))
"""


def test_200_kills_while_saving(tmp_path):
    """Each time the old or the new file is there, whole; what the killed left behind is swept away by the next save."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    result = subprocess.run([sys.executable, "-c", SAVER, tmp_path / "a", "200"], capture_output=True, text=True,
                            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    kills, progress, litter, files = result.stdout.split(" ", 3)
    assert (kills, files.strip()) == ("200", "['a']")
    assert int(progress) > 20 and int(litter) > 20  # they did save, and were killed in the middle of it


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    run = Run(11)
    checkpoint.save(tmp_path / "a", **run.things(), step=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for allowed in (0, 100, 3000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, limits[1]))
            with pytest.raises(CheckpointError, match="File too large. The file that was there is unchanged"):
                checkpoint.save(tmp_path / "a", **run.things(), step=2, extra={"x": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert checkpoint.load(tmp_path / "a", **run.things()).step == 1 and os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    checkpoint.save(tmp_path / "a", model=nn.Linear(1, 1))
    os.chmod(tmp_path, 0o500)
    try:
        with pytest.raises(CheckpointError, match="Permission denied. The file that was there is unchanged"):
            checkpoint.save(tmp_path / "a", model=nn.Linear(1, 1))
    finally:
        os.chmod(tmp_path, 0o700)

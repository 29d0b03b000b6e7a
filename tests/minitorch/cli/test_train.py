"""`minitorch train`, as somebody meets it: what is trained is kept, and a run that is killed goes on bit by bit."""

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minitorch.cli import main
from minitorch.io import safetensors
from minitorch.models import GPT
from minitorch.train import read_log

CONFIG = """
task = "char-lm"
[model]
n_layer = 2
n_head = 2
n_embd = 8
resid_pdrop = 0.1
embd_pdrop = 0.1
attn_pdrop = 0.1
[data]
text = "text.txt"
context = 8
batch_size = 3
[train]
steps = 40
warmup = 4
lr = 0.01
accumulate = 2
ema = 0.9
eval_every = 10
eval_batches = 4
save_every = 10
"""
TEXT = "the quick brown fox jumps over the lazy dog; pack my box with five dozen liquor jugs.\n" * 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(CONFIG)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def run(capsys, *argv):
    try:
        code = main(["train", *argv])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def start(*argv):
    return subprocess.Popen([sys.executable, "-m", "minitorch", "train", *argv], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "utf-8"}, encoding="utf-8")


def wait_for_step(process, path, step):
    """Look at the log until this step is in it."""
    while process.poll() is None:
        if path.exists() and path.read_text().count("\n") > step:
            return
        time.sleep(0.002)
    raise AssertionError(process.communicate()[1])


def same_run(a, b):
    one, other = (safetensors.read(folder / "checkpoint.safetensors") for folder in (a, b))
    assert set(one) == set(other) and len(one) > 100
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    assert one.metadata == other.metadata                           # step, schedule, every generator, place in the data
    logs = [[{**row, "tokens/s": ""} for row in read_log(folder / "log.csv")] for folder in (a, b)]
    assert logs[0] == logs[1] and len(logs[0]) == 40                # every loss, in full
    assert (a / "model" / "model.safetensors").read_bytes() == (b / "model" / "model.safetensors").read_bytes()
    assert (a / "sample.txt").read_text() == (b / "sample.txt").read_text()


def printed(text):
    return [line for line in text.splitlines() if line.startswith(("step", "validation"))]


def test_40_steps_are_20_a_kill_and_20(folder):
    """With dropout, shuffled data, accumulation and a moving average."""
    straight = start("tiny.toml", "--out", "straight")
    killed = start("tiny.toml", "--out", "killed")
    wait_for_step(killed, folder / "killed" / "log.csv", 23)
    killed.kill()                                                   # SIGKILL
    before = killed.communicate()[0]
    assert killed.returncode == -signal.SIGKILL
    steps = len(read_log(folder / "killed" / "log.csv"))
    assert 23 <= steps < 40
    again = start("killed")
    out, err = again.communicate()
    assert again.returncode == 0, err
    whole, err = straight.communicate()
    assert straight.returncode == 0, err
    done = (steps // 10) * 10
    assert f"going on after step {done} of 40" in out
    assert printed(whole)[done // 10:] == printed(out) and printed(whole)[:2] == printed(before)[:2]
    same_run(folder / "straight", folder / "killed")


def test_ctrl_c_saves_and_the_run_goes_on(folder, capsys):
    stopped = start("tiny.toml", "steps=2000", "save_every=0", "--out", "stopped")
    wait_for_step(stopped, folder / "stopped" / "log.csv", 5)
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate()
    steps = len(read_log(folder / "stopped" / "log.csv"))
    assert stopped.returncode == 130 and "press Ctrl-C again to stop at once" in err and "Traceback" not in err
    assert f"stopped after step {steps}; saved in stopped/checkpoint.safetensors. Go on with: minitorch train stopped" in out
    assert sorted(os.listdir("stopped")) == ["checkpoint.safetensors", "config.toml", "log.csv"]


def test_what_a_run_leaves(folder, capsys):
    code, out, err = run(capsys, "tiny.toml", "steps=12", "eval_every=4", "accumulate=1")
    assert code == 0 and "tiny.toml: GPT, 2,064 parameters. 1,548 letters to learn from, 172 held out, 30 different" in out
    assert sorted(os.listdir("runs/tiny")) == ["checkpoint.safetensors", "config.toml", "gradient_flow.png", "log.csv",
                                               "loss.png", "model", "sample.txt"]
    assert sorted(os.listdir("runs/tiny/model")) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert [line.split()[1] for line in printed(out)[:-1]] == ["4", "8", "12"]
    assert f"validation loss {float(read_log('runs/tiny/log.csv')[-1]['valid']):.4f}" in out
    for name in ("loss.png", "gradient_flow.png"):
        assert (folder / "runs" / "tiny" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    average = safetensors.read("runs/tiny/checkpoint.safetensors")["average/module.wte.weight"]
    assert np.array_equal(GPT.from_pretrained("runs/tiny/model").wte.weight.data, average)
    assert "steps = 12" in (folder / "runs/tiny/config.toml").read_text()

    code, out, err = run(capsys, "tiny.toml")
    assert code == 2 and "runs/tiny holds a run already. Go on with it: minitorch train runs/tiny; or" in err
    code, out, err = run(capsys, "runs/tiny")
    assert code == 0 and "going on after step 12 of 12" in out
    code, out, err = run(capsys, "runs/tiny", "lr=1")
    assert code == 2 and "a run goes on as it began" in err
    code, out, err = run(capsys, "tiny.toml", "steps=6", "--restart")
    assert code == 0 and len(read_log("runs/tiny/log.csv")) == 6

    config, checkpoint = folder / "runs/tiny/config.toml", folder / "runs/tiny/checkpoint.safetensors"
    config.write_text(config.read_text().replace("lr = 0.01", "lr = 0.1"))
    code, out, err = run(capsys, "runs/tiny")
    assert code == 2 and "was started with another [train]: lr was 0.01, and now is 0.1" in err
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    code, out, err = run(capsys, "runs/tiny")
    assert code == 1 and "checkpoint.safetensors: " in err and "Traceback" not in err


def test_a_run_that_diverges(folder, capsys):
    code, out, err = run(capsys, "tiny.toml", "lr=1e30", "clip=0", "schedule=constant", "warmup=9", "save_every=1", "ema=0")
    assert code == 1 and "Traceback" not in err
    assert "minitorch train: the run diverged at step" in err and "the last finite loss was" in err
    assert "The last good checkpoint is runs/tiny/checkpoint.safetensors, of step" in err


def test_places_that_cannot_be_written(folder, capsys):
    code, out, err = run(capsys, "tiny.toml", "--out", "text.txt/run")
    assert code == 1 and "cannot be written: Not a directory" in err
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for allowed in (300, 2000, 30_000):                         # the config, the log, the checkpoint
            resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, limits[1]))
            code, out, err = run(capsys, "tiny.toml", "--out", f"full{allowed}")
            assert code == 1 and "cannot be written: File too large" in err and "Traceback" not in err
            assert not [name for name in os.listdir(f"full{allowed}") if name.endswith(".tmp")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("argv, message", [
    ([], "say what to train"), (["char-gtp"], "Did you mean 'char-gpt'"), (["none.toml"], "there is no config 'none.toml'"),
    (["tiny.toml", "stesp=3"], "there is no key 'stesp'. Did you mean 'steps'?"),
    (["tiny.toml", "lr=fast"], "lr should be a number from 0 up to, but without, inf, got 'fast'"),
    (["tiny.toml", "model.n_heads=3"], "there is no key 'n_heads'. Did you mean 'n_head'?"),
    (["tiny.toml", "n_head=3"], "n_embd should be divisible by n_head=3"),
    (["tiny.toml", "text=nothing.txt"], "'nothing.txt' is neither \"shipped\" nor \"all\" nor a text file"),
    (["tiny.toml", "context=4000"], "are too few for context=4000"),
    (["tiny.toml", "context=-1"], "context should be a whole number"), (["tiny.toml", "held_out=2"], "held_out should be"),
    (["tiny.toml", "batch_size=0"], "batch_size should be a whole number"),
    (["tiny.toml", "batch_size=5000"], "batch_size=5000 is more than there is to learn from: 1540"),
    (["tiny.toml", "lr"], "a change is written key=value"), (["."], "there is no config '.'"),
], ids=str)
def test_what_cannot_be_done_is_said(folder, capsys, argv, message):
    code, out, err = run(capsys, *argv)
    assert code == 2 and message in err and err.startswith("minitorch train: ") and "Traceback" not in err
    assert not (folder / "runs").exists()


def test_list_and_show(folder, capsys):
    code, out, _ = run(capsys, "--list")
    assert code == 0 and "char-gpt " in out and "char-lm " in out
    code, out, _ = run(capsys, "char-gpt", "steps=7", "--show")
    assert code == 0 and "steps = 7" in out
    (folder / "mine.toml").write_text(out)
    assert run(capsys, "mine.toml", "--show")[1] == out

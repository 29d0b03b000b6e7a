"""What every command has in common: options anywhere, and an end that leaves no traceback."""

import os
import subprocess
import sys

import pytest

from minitorch import cli
from minitorch.cli import generate, main


@pytest.mark.parametrize("argv", ["--show char-gpt steps=7 warmup=3", "char-gpt --show steps=7 warmup=3",
                                  "char-gpt steps=7 --show warmup=3"])
def test_options_stand_anywhere(capsys, argv):
    assert main(["train", *argv.split()]) == 0
    shown = capsys.readouterr().out
    assert "steps = 7" in shown and "warmup = 3" in shown


def test_a_reader_that_goes_away():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "minitorch", "train", "--list"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c(monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "run", interrupted)
    assert "generate" in cli.COMMANDS and main(["generate", "any"]) == 130

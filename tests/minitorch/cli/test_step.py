"""minitorch step, as a user meets it: in a pipe, on a terminal, with a program of their own."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minitorch import explain
from minitorch.cli import main

MINE = '''
import sys
import numpy as np
import minitorch as torch

class Cube(torch.Function):
    def forward(self, x):
        self.x = x
        return x ** 3

    def backward(self, dy):
        slope = 3 * self.x ** 2
        return dy * slope

print("arguments", sys.argv[1:])
x = torch.tensor([1.0, 2.0], requires_grad=True)
y = Cube.apply(x)
y.sum().backward()
print("x.grad", x.grad.tolist())
'''


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return str(file)


def run(capsys, *argv):
    try:
        code = main(["step", *argv])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def piped(*argv, commands="", **environment):
    """The command in a process of its own, commands from a pipe."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", **environment}
    done = subprocess.run([sys.executable, "-m", "minitorch", "step", *argv], input=commands, capture_output=True,
                          timeout=120, encoding="utf-8", env=environment)
    return done.returncode, done.stdout, done.stderr


# --- lists, transcripts, pages

def test_the_list(capsys):
    code, out, _ = run(capsys)
    assert code == 0 and all(re.search(rf"^  {name} ", out, re.M) for name in explain.PROGRAMS)


@pytest.mark.parametrize("name", explain.PROGRAMS)
def test_every_program_prints(capsys, name):
    code, out, _ = run(capsys, name, "--print")
    assert code == 0 and "━━ backward" in out and "What stands in .grad now" in out and "\x1b" not in out


def test_only_and_backward(capsys):
    code, out, _ = run(capsys, "block", "--print", "--only", "layernorm", "--backward")
    headers = re.findall(r"^━━ step .*", out, re.M)
    assert code == 0 and len(headers) == 2 and all("backward ━━ LayerNorm" in h for h in headers)
    code, _, err = run(capsys, "block", "--print", "--only", "Atention")
    assert code == 2 and "Did you mean Attention?" in err
    code, _, err = run(capsys, "chain", "--only", "Mul")
    assert code == 2 and "add --print" in err


def test_keep(capsys):
    assert "mean" not in run(capsys, "chain", "--print")[1]
    code, out, _ = run(capsys, "--keep", "3", "attention", "--print")
    assert code == 0 and "norm" in out
    assert run(capsys, "chain", "--keep", "-1")[0] == 2


def test_html(capsys, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(explain, "save_player", lambda trace, path: saved.append((len(trace), path)), raising=False)
    code, out, _ = run(capsys, "chain", "--html", str(tmp_path / "chain.html"))
    assert code == 0 and saved == [(12, str(tmp_path / "chain.html"))] and "chain.html" in out
    code, _, err = run(capsys, "chain", "--html", str(tmp_path / "nowhere" / "chain.html"))
    assert code == 2 and "its folder does not exist" in err


# --- programs of one's own

def test_a_program_with_its_own_op_and_arguments(mine):
    code, out, _ = piped(mine, "3", "--lr", "0.1", "--", "--print",
                         commands="goto backward\nc Cube\ninto\nn\np slope\nq\nwhy x.grad[1]\nprobe x[1]\nq\n")
    assert code == 0
    assert "arguments ['3', '--lr', '0.1', '--print']" in out and "x.grad [3.0, 12.0]" in out
    assert "x.grad gets dx  [ 3  12 ]" in out and "as your own backward says" in out
    assert "slope = 3 * self.x ** 2" in out and "slope = [ 3  12 ]" in out
    assert "y.grad[1] (1) × slope (12)" in out and "the sum of 1 part" in out
    assert float(re.search(r"relative difference (\S+)", out)[1]) < 1e-6


def test_commands_from_a_pipe_are_echoed(mine):
    code, out, err = piped(mine, commands="n\n\ngoto 99\n")
    assert code == 0 and "\x1b" not in out + err
    assert "(step) n\n" in out and "(step) \n" in out and "(step) goto 99\nThere is no step 99" in out
    assert re.findall(r"━━ step (\d)", out) == ["1", "2", "3"] and out.endswith("(step) \n")


def test_nobody_at_the_other_end(mine):
    code, out, _ = piped(mine)
    assert code == 0 and "━━ step 1 of" in out


def test_a_reader_that_has_seen_enough():
    command = f"{sys.executable} -m minitorch step gpt --print | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, timeout=120, encoding="utf-8")
    assert done.stdout.startswith("loss 2.6") and "BrokenPipe" not in done.stderr


def test_a_program_that_reads_its_own_input(tmp_path):
    (tmp_path / "asks.py").write_text("import minitorch\nn = float(input('How much? '))\nx = minitorch.ones(2) * n\n")
    code, out, _ = piped(str(tmp_path / "asks.py"), commands="4\np x\n")
    assert code == 0 and "[ 4  4 ]" in out and "only forward can be stepped through" in out


def test_a_program_that_fails_can_be_stepped_as_far_as_it_came(tmp_path):
    (tmp_path / "fails.py").write_text("import minitorch\ndef deeper(x):\n    return x / 0 @ 1\nx = minitorch.ones(2) + 1\n"
                                       "1 / 0\n")
    code, out, err = piped(str(tmp_path / "fails.py"), commands="q\n")
    assert code == 1 and "━━ step 1 of 1" in out and "as far as it came" in out
    assert "ZeroDivisionError" in err and 'fails.py", line 5' in err and "runpy" not in err and "script.py" not in err


@pytest.mark.parametrize("text, told", [
    ("x = 3", "no op of minitorch did"), ("import sys\nsys.exit('stop')", "ended before any op"),
    ("def f():\n    pass", "only defined are not run"), ("x = (", "SyntaxError"),
    ("try:\n    import torch\nexcept ImportError:\n    pass", "Write import minitorch as torch"),
])
def test_a_program_with_nothing_to_show(capsys, tmp_path, text, told):
    (tmp_path / "empty.py").write_text(text)
    code, out, err = run(capsys, str(tmp_path / "empty.py"))
    assert code == 1 and told in err, err


def test_files_that_are_not_there(capsys, mine):
    code, _, err = run(capsys, mine.replace("mine", "mien"))
    assert code == 2 and "there is no file" in err and "Did you mean" in err and "mine.py" in err
    assert "Did you mean chain?" in run(capsys, "chian")[2]
    assert "is a folder" in run(capsys, str(Path(mine).parent))[2]
    assert "There are: chain, neuron" in run(capsys, "qqqqqq")[2]


def test_a_terminal_without_unicode(mine):
    code, out, err = piped("layernorm", "--print", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert code == 0, err
    assert "xhat = (x - mean) * rstd" in out and "== step 1 of 6 ==" in out and "?" not in out.split("== step 1")[1]


# --- a real terminal

@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_on_a_terminal(mine):
    pid, terminal = os.forkpty()
    if not pid:
        environment = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1", "COLUMNS": "80", "LINES": "24"}
        environment.pop("NO_COLOR", None)
        os.execve(sys.executable, [sys.executable, "-m", "minitorch", "step", mine], environment)
    seen = b""

    def comes(text, since, seconds):
        nonlocal seen
        deadline = time.monotonic() + seconds
        while text.encode() not in seen[since:]:
            if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                return False
            seen += os.read(terminal, 4096)
        return True

    def until(text, since=0):
        assert comes(text, since, 60), f"no {text!r} came: " + seen.decode(errors="replace")[-2000:]
        return seen[since:].decode(errors="replace")

    def say(text, expected):
        since = len(seen)
        for _ in range(3):                      # a key that comes before the prompt is ready may be lost: press it again
            time.sleep(0.3)
            os.write(terminal, text.encode())
            if not text[-1].isprintable() and text[-1] != "\n" and not comes(expected, since, 10):
                continue
            break
        return until(expected, since)

    until("(step) ")
    assert "\x1b[1;36m" in seen.decode(errors="replace")            # a heading in colour
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", seen.decode(errors="replace"))
    assert max(map(len, plain.splitlines())) <= 82
    assert "step 2 of" in say("n\n", "(step) ")
    assert "step 3 of" in say("\n", "(step) ")                      # Enter repeats
    say("got", "got")
    assert "o" in say("\t", "o")                                    # Tab completes
    say(" backward\n", "(step) ")
    assert "ends" in say("\x03", "(step) ")                         # Ctrl-C
    say("into\n", "(into) ")
    say("\x04", "(step) ")                                          # Ctrl-D leaves the kernel, then the stepper
    try:
        for _ in range(5):
            time.sleep(0.3)
            os.write(terminal, b"\x04")
            comes("nothing that is ever printed", 0, 5)
    except OSError:                                                 # Linux says so where others say end of file
        pass
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    os.close(terminal)


def test_a_training_loop_is_cut_short(tmp_path, capsys):
    file = tmp_path / "train.py"
    file.write_text("import minitorch as torch\nx = torch.ones(2, requires_grad=True)\n"
                    "for k in range(12):\n    (x * k).sum().backward()\nprint('the end', k)\n")
    code, out, err = run(capsys, str(file), "--print", "--only", "Mul", "--backward")
    assert code == 0 and out.count("━━ step") == 12 and "48 steps, 12 backward runs among them. --runs 1" in err
    code, out, err = run(capsys, str(file), "--print", "--runs", "1")
    assert code == 0 and out.startswith("the end 11") and out.count("━━ step") == 4 and err == ""
    assert run(capsys, str(file), "--runs", "0")[::2] == (2, "minitorch step: --runs 0: how many backward runs to record "
                                                          "must be 1 or more\n")

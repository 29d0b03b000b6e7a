"""The minitorch command and the pytest fixture, as a user meets them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minitorch
from minitorch.cli import main

ROOT = Path(__file__).parents[3]
MINE = """
import numpy as np
import minitorch
from minitorch import nn
from minitorch.autograd import Function

def swish(x):
    return x * minitorch.sigmoid(x)

def product(x, w):
    return x @ w

def pick(w, ids):
    return w[ids]

def scaled(x, times: float = 3.0, offset=np.ones(4)):
    return x * times + offset

def repeat(x, times: int):
    return x * times

class Cube(Function):
    def forward(self, x):
        self.x = x
        return x ** 3
    def backward(self, dy):
        return dy * 2 * self.x ** 2

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(7, 3), nn.Linear(3, 2)
    def forward(self, x):
        return self.second(minitorch.relu(self.first(x)))

class Sized(Net):
    def __init__(self, size):
        super().__init__()

net = Net()
number = 3
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("1 / 0")
    return f"{tmp_path / 'mine.py'}:"


def run(capsys, *argv):
    try:
        code = main(list(argv))
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


# --- one's own functions

@pytest.mark.parametrize("name, options, expected", [
    ("swish", [], "swish: with x (3, 4)"),
    ("product", [], "x (4, 4), w (4, 4)"),
    ("product", ["--shape", "x=3,4", "--shape", "w=4,5", "--dtype", "float32"], "x (3, 4), w (4, 5)"),
    ("pick", ["--shape", "w=9,2", "--shape", "ids=6", "--int", "ids=0,9"], "ids (6,)"),
    ("scaled", [], "x (3, 4), times 3.0, offset (4,)"),
    ("Net", [], "x (3, 7)"),
    ("net", ["--shape", "x=5,7"], "x (5, 7)"),
])
def test_what_is_right(capsys, mine, name, options, expected):
    code, out, err = run(capsys, "gradcheck", mine + name, *options)
    assert code == 0, err
    assert expected in out and "every gradient is right" in out


def test_what_is_wrong(capsys, mine):
    code, out, _ = run(capsys, "gradcheck", mine + "Cube")
    assert code == 1
    assert "the gradient of 'x' is wrong (Cube.backward)" in out and "times a constant, 2/3" in out


@pytest.mark.parametrize("target, options, expected", [
    ("swich", [], "Did you mean swish?"),
    ("", [], "NAME is one of swish, product"),
    ("number", [], "is a int, not a function"),
    ("Sized", [], "cannot be made without arguments"),
    ("repeat", [], "parameter times of repeat is a int"),
    ("product", ["--shape", "y=3"], "There are: x, w."),
    ("product", ["--shape", "x=a"], "no list of whole numbers"),
    ("product", ["--shape", "x=3,4", "--shape", "w=5,6"], "product failed"),
    ("pick", ["--int", "ids=5,5"], "LOW below HIGH"),
])
def test_what_is_not_understood(capsys, mine, target, options, expected):
    code, _, err = run(capsys, "gradcheck", mine + target, *options)
    assert code == 2 and expected in err


def test_files_that_are_missing_or_broken(capsys, mine):
    folder = mine.rpartition("mine.py")[0]
    code, _, err = run(capsys, "gradcheck", folder + "mina.py:swish")
    assert code == 2 and "there is no file" in err and "Did you mean" in err
    code, _, err = run(capsys, "gradcheck", folder + "broken.py:f")
    assert code == 2 and "ZeroDivisionError" in err
    code, _, err = run(capsys, "gradcheck", "no_such_package:f")
    assert code == 2 and "cannot be imported" in err


def test_a_module_by_its_import_name(capsys):
    code, out, _ = run(capsys, "gradcheck", "minitorch.nn.functional:silu")
    assert code == 0 and "silu" in out


# --- the layers

def test_layers(capsys):
    code, out, _ = run(capsys, "gradcheck", "--layer", "layer_norm", "--backend", "reference")
    assert code == 0
    assert "compiled on first use" in out.splitlines()[0]
    assert "complex step" in out and "10 of 10 gradients right" in out


def test_layers_on_the_compiled_backend(capsys):
    code, out, _ = run(capsys, "gradcheck", "--layer", "linear", "--backend", "cpu", "--seed", "5")
    assert code == 0 and "reference, differences" in out


def test_a_composed_module(capsys):
    code, out, _ = run(capsys, "gradcheck", "--layer", "MultiheadAttention", "--backend", "reference")
    assert code == 0 and "in_proj_weight" in out


def test_a_wrong_layer(capsys, monkeypatch):
    from minitorch.ops.softmax import Softmax
    monkeypatch.setattr(Softmax, "backward", lambda self, dy: dy * 0)
    code, out, _ = run(capsys, "gradcheck", "--layer", "softmax, first", "--backend", "reference")
    assert code == 1
    assert "WRONG" in out and "0 of 1 gradients right" in out and "zero everywhere" in out


def test_a_layer_that_fails_is_one_line_among_others(capsys, monkeypatch):
    from minitorch.ops.softmax import Softmax
    monkeypatch.setattr(Softmax, "backward", lambda self, dy: dy[0, 0, 0])
    code, out, _ = run(capsys, "gradcheck", "--layer", "softmax", "--backend", "reference", "--quick")
    assert code == 1
    assert "it failed: IndexError" in out and "log_softmax" in out and " right" in out


def test_no_such_layer(capsys):
    code, _, err = run(capsys, "gradcheck", "--layer", "convolutional")
    assert code == 2 and "layer_norm" in err
    code, _, err = run(capsys, "gradcheck", "--shape", "x=3")
    assert code == 2 and "FILE.py:NAME" in err


# --- the command itself

def test_help_and_version(capsys):
    code, out, _ = run(capsys)
    assert code == 0 and "gradcheck" in out
    code, out, _ = run(capsys, "--version")
    assert code == 0 and minitorch.__version__ in out
    code, out, _ = run(capsys, "gradcheck", "--help")
    assert code == 0 and "mine.py:swish" in out


def test_unknown_commands(capsys):
    code, _, err = run(capsys, "gradchek")
    assert code == 2 and "Did you mean 'minitorch gradcheck'?" in err
    code, _, err = run(capsys, "fly")
    assert code == 2 and "There are: " in err and "gradcheck" in err


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "minitorch", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("minitorch ")


# --- the fixture

TESTS = """
import sys

def test_nothing_was_imported_early():
    assert "minitorch" not in sys.modules and "numba" not in sys.modules

def test_right(gradcheck):
    import minitorch
    assert gradcheck(minitorch.tanh, minitorch.tensor([0.5, 1.0], requires_grad=True))

def test_wrong(gradcheck):
    import minitorch
    class Bad(minitorch.autograd.Function):
        def forward(self, x):
            return x * 2
        def backward(self, dy):
            return dy * -2
    gradcheck(Bad, minitorch.tensor([0.5, 1.0], requires_grad=True))
"""


def test_the_fixture_in_somebody_elses_pytest(tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    plugins = tmp_path / "plugins" / "pytest_minitorch"
    plugins.mkdir(parents=True)
    plugins.joinpath("__init__.py").write_text((ROOT / "minitorch/pytest_plugin/__init__.py").read_text())
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(plugins.parent)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "pytest_minitorch", "-p", "no:cacheprovider",
                           str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert "2 passed" in done.stdout and "1 failed" in done.stdout, done.stdout + done.stderr
    assert "It has the wrong sign." in done.stdout

"""Recording a script, and the built-in programs."""

import sys

import numpy as np
import pytest

from minitorch import explain


@pytest.mark.parametrize("name", explain.PROGRAMS)
def test_every_built_in_program_runs_and_has_gradients(name, capfd):
    file, summary = explain.program(name)
    trace, error = explain.record_script(file)
    assert error is None and capfd.readouterr().out and summary.endswith(".")
    assert trace.backward and trace.backward[0].root
    wanting = [v for v in trace.values if v.kind in ("input", "parameter") and v.requires_grad and v.users]
    assert wanting and all(np.isfinite(v.grad).all() for v in wanting)
    assert {s.place.file for s in trace} == {file}


def test_the_programs_show_what_they_say(capfd):
    def run(name):
        return explain.record_script(explain.program(name)[0])[0]

    assert np.allclose(run("layernorm")["y"].array, [-0.267261, 1.336306, -1.069045], atol=1e-6)
    softmax = run("softmax")
    assert np.allclose(softmax["logits"].grad, softmax["p"].array - [[0, 1, 0]], atol=1e-6)
    attention = run("attention")
    assert np.array_equal(attention["y"].array[0, 0, 0], attention["v"].array[0, 0, 0])
    assert not attention["q"].grad[0, 0, 0].any()
    residual = run("residual")
    assert residual["x"].arrivals[0].array.tolist() == [[1, 2, 3]] and len(residual["x"].arrivals) == 2
    assert len(run("gpt")["model.token.weight"].arrivals) == 2


def test_a_script_runs_as_it_would_alone(tmp_path, capfd):
    (tmp_path / "beside.py").write_text("NUMBER = 3.0")
    script = tmp_path / "mine.py"
    script.write_text("import sys\nimport minitorch\nfrom beside import NUMBER\n"
                      "if __name__ == '__main__':\n    print(sys.argv[1:], minitorch.ones(2) * NUMBER)\n")
    before = sys.argv, sys.path[:], sys.modules["__main__"]
    trace, error = explain.record_script(str(script), ["a", "--b"])
    assert error is None and "['a', '--b'] tensor([3., 3.])" in capfd.readouterr().out
    assert [s.op for s in trace][0] == "Mul" and trace[0].place.file == str(script)
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before
    del sys.modules["beside"]


@pytest.mark.parametrize("end, kind", [
    ("1 / 0", ZeroDivisionError), ("import sys; sys.exit('no')", SystemExit), ("raise KeyboardInterrupt", KeyboardInterrupt),
    ("import sys; sys.exit(0)", type(None)), ("y = (", SyntaxError),
])
def test_what_was_recorded_before_the_end_is_there(tmp_path, end, kind):
    script = tmp_path / "mine.py"
    script.write_text(f"import minitorch\nx = minitorch.ones(2)\ny = x + 1\n{end}\n")
    trace, error = explain.record_script(str(script))
    assert isinstance(error, kind) and len(trace) == (kind is not SyntaxError)


def test_unknown_program():
    with pytest.raises(KeyError, match="no built-in program 'chian'. There are: chain, neuron"):
        explain.program("chian")

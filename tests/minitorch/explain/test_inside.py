"""The prompt inside a kernel."""

import io

import pytest

from minitorch import explain
from minitorch.explain.inside import KernelStepper


@pytest.fixture(scope="module")
def lines():
    trace, _ = explain.record_script(explain.program("layernorm")[0])
    return explain.into(trace, trace.backward[-1])


def session(lines, *commands):
    out = io.StringIO()
    KernelStepper(lines, io.StringIO("\n".join(commands) + "\n"), out).run()
    return out.getvalue()


def sources(text):
    """The lines of source that were shown, in order."""
    return [line.split("  ")[-1].strip() if "↓" not in line else "calls" for line in text.splitlines()
            if line[:6].strip().isdigit() and not line.startswith("(")]


def test_n_walks_the_kernel_and_runs_helpers_at_once(lines):
    shown = sources(session(lines, *["n"] * 6))
    assert shown[:3] == ["calls", "dx = dgamma = dbeta = None", "dy = _rows(dy)"]
    assert not any("return x.reshape" in line for line in shown)
    assert sources(session(lines, "n 4")) == [shown[0], shown[4]]


def test_s_steps_into_helpers(lines):
    talk = session(lines, "n 2", "b", "s", "s", "s")
    assert "━━ layernorm.py, _rows" in talk and "↓ calls" in talk


def test_b_goes_back(lines):
    shown = sources(session(lines, "n", "n", "b"))
    assert shown[-1] == shown[-3] and "This is the first line" in session(lines, "b")


def test_c_goes_from_pass_to_pass_and_ends(lines):
    talk = session(lines, "c", "c", "c")
    assert "# pass 3 backward" in talk and "# passes 2 and 1 backward" in talk
    assert "The last line: this step is computed" in talk


def test_p_shows_local_variables_as_they_are_after_the_line(lines):
    assert "xhat = [ -0.2673  1.3363  -1.0690 ]" in session(lines, "n 4", "p xhat")
    assert "xhat = [ -0.2673" in session(lines, "n 6", "xhat")
    early = session(lines, "n", "p xhat")
    assert "There is no 'xhat' here yet" in early
    assert "There is no command 'foo'" in session(lines, "foo") and "'x' is no number" in session(lines, "n x")


def test_the_rest(lines):
    assert "→     dy = _rows(dy)" in session(lines, "n 2", "l")
    assert "helpers included" in session(lines, "help") and "helpers included" in session(lines, "?")
    assert sources(session(lines, "show"))[0] == sources(session(lines, "show"))[1]
    assert session(lines, "a").count("━━ layernorm.py, backward") == 2
    assert session(lines, "q").endswith("(into) q\n") and session(lines).endswith("(into) \n")

"""The stepper: what it shows is what the engine computed, and every command does what help says."""

import io
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import minitorch as torch
from minitorch import explain
from minitorch.explain.stepper import Stepper


@pytest.fixture(scope="module")
def recorded():
    """The trace of a built-in program, recorded once; quietly."""
    traces = {}

    def of(name):
        if name not in traces:
            traces[name], error = explain.record_script(explain.program(name)[0])
            assert error is None
        return traces[name]
    return of


def session(trace, *commands):
    """What a session with these commands prints, without what is shown at its start."""
    out = io.StringIO()
    Stepper(trace, io.StringIO("show\n" + "\n".join(commands) + "\n"), out).run()
    text = out.getvalue()
    assert "\x1b" not in text
    return text.partition("(step) show\n")[2].partition("(step) ")[2] if commands else text


def answer(trace, *commands):
    """What the last of the commands prints."""
    return session(trace, *commands).split("(step) ")[-2].partition("\n")[2]


# --- what is shown is what was computed

def numbers(text):
    return [float(x) for x in re.findall(r"(?<![\w.])-?(?:\d[\d.e+-]*|inf|nan)(?![\w.])", text)]


@pytest.mark.parametrize("name", explain.PROGRAMS)
def test_every_gradient_shown_equals_grad(recorded, name, capfd):
    variables = runpy.run_path(explain.program(name)[0])        # once more, without anybody looking on
    grads = {}
    for key, thing in variables.items():
        if isinstance(thing, torch.Tensor) and thing.is_leaf and thing.grad is not None:
            grads[key] = thing.grad.numpy()
        if isinstance(thing, torch.nn.Module):
            grads |= {f"{key}.{n}": p.grad.numpy() for n, p in thing.named_parameters()}
    trace = recorded(name)
    assert grads and {v.name for v in trace.values if v.maker is None and v.grad is not None} == set(grads)
    for key, grad in grads.items():
        text = answer(trace, f"p {key}.grad").partition("  the sum of")[0].partition("  sent by")[0]
        if grad.size <= 60:
            body = re.sub(r"\[[\d, ]*(\]:|:\])", "", text.partition("\n")[2])
            shown = numbers(body.partition("mean")[0])
            assert np.allclose(shown, grad.ravel()[:len(shown)], rtol=0, atol=5.1e-5 * np.abs(grad).max()), key
            assert len(shown) == grad.size or "…" in body, key
        if "norm" in text:
            stated = {word: float(x) for word, x in re.findall(r"(mean|std|from|to|norm) (\S+)", text)}
            assert stated["norm"] == pytest.approx(np.linalg.norm(grad), rel=1e-4), key
            assert stated["from"] == pytest.approx(grad.min(), rel=1e-4), key
            assert stated["to"] == pytest.approx(grad.max(), rel=1e-4), key
    for line in answer(trace, "goto backward", "leaves").splitlines():
        if found := re.match(r"  (\S+)\.grad .* norm (\S+)$", line):
            assert float(found[2]) == pytest.approx(np.linalg.norm(grads[found[1]]), rel=5e-3)


@pytest.mark.parametrize("name", ["chain", "residual", "softmax", "own_op"])
def test_what_goes_out_at_each_step_is_what_arrived(recorded, name):
    """The gradients printed under "goes out", added up by name, are the gradients."""
    trace = recorded(name)
    sums = {}
    for step in trace.backward:
        page = answer(trace, f"goto {step.index + 1}")
        for key, rest in re.findall(r"(\S+)\.grad +gets \S+ +([^\n(]+)", page):
            shown = numbers(rest)
            if trace[key].shape in ((), (1, 3), (4,)):
                sums[key] = sums.get(key, 0) + np.array(shown)
    assert len(sums) >= 2
    for key, total in sums.items():
        assert np.allclose(total, trace[key].grad.ravel(), rtol=1e-3, atol=1e-4), key


def test_why_adds_up(recorded):
    trace = recorded("block")
    for name in ("x.grad", "block.ln1.weight.grad", "q.grad", "h", "block.attn.in_proj_weight.grad", "attended"):
        text = answer(trace, f"why {name}")
        value = float(re.search(r"^\S.*\] = (\S+)$", text, re.M)[1])
        total = float(re.findall(r"^ +([+-]\S+)   the sum of", text, re.M)[0])
        parts = [float(x) for x in re.findall(r"^ +([+-]\d\S*)   ", text, re.M)][:-1]
        assert total == pytest.approx(value, rel=1e-5), name
        assert sum(parts) == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_probe_agrees(tmp_path):
    source = Path(explain.program("block")[0]).read_text(encoding="utf-8")
    source = source.replace("heads=4)", "heads=4).double()")
    source = source.replace("requires_grad=True", "dtype=torch.float64, requires_grad=True")
    (tmp_path / "block.py").write_text(source, encoding="utf-8")
    trace, error = explain.record_script(str(tmp_path / "block.py"))
    assert error is None and trace["x"].dtype == np.float64
    for name in ("x", "x[0, 3, 5]", "h", "q", "block.ln2.weight", "block.attn.in_proj_weight[40, 3]", "block.ffn.0.bias"):
        text = answer(trace, f"probe {name}")
        assert float(re.search(r"relative difference (\S+)", text)[1]) < 1e-6, text


BACK = ["passes 1 and 2 again", "pass 3 backward", "pass 2 backward", "pass 1 backward"]


@pytest.mark.parametrize("name, op, phase, passes", [
    ("layernorm", "LayerNorm", "forward", ["pass 1", "pass 2", "pass 3"]),
    ("layernorm", "LayerNorm", "backward", ["pass 3 backward", "passes 2 and 1 backward"]),
    ("attention", "Attention", "forward", ["pass 1", "pass 2", "pass 3"]),
    ("attention", "Attention", "backward", BACK),
    ("block", "Attention", "backward", BACK),
])
def test_into_shows_every_numbered_pass(recorded, name, op, phase, passes):
    trace = recorded(name)
    step = next(s for s in trace if (s.op, s.phase) == (op, phase))
    everything = answer(trace, f"goto {step.index + 1}", "into all")
    shown = re.findall(r"^  # (passe?s? \d.*?)(?::|$)", everything, re.M)
    assert [text for text in dict.fromkeys(shown)] == passes
    # one after another, by c: from pass to pass
    talk = session(trace, f"goto {step.index + 1}", "into", *["c"] * 12, "q")
    assert [p for p in passes if f"# {p}" in talk] == passes


def test_into_ends_with_the_recorded_numbers(recorded):
    trace = recorded("layernorm")
    text = session(trace, "goto backward", "c LayerNorm", "into", "n 30", "q")
    shown = re.search(r"returns \[0\] = \[ (.*?) \]", text)[1].split()
    assert np.allclose([float(x) for x in shown], trace["x"].grad, rtol=1e-4, atol=1e-7)


# --- moving

def at(trace, *commands):
    """Which step the last stop was."""
    return int(re.findall(r"━━ step (\d+) of", Stepper_text(trace, *commands))[-1])


def Stepper_text(trace, *commands):
    out = io.StringIO()
    Stepper(trace, io.StringIO("\n".join(commands) + "\n"), out).run()
    return out.getvalue()


@pytest.mark.parametrize("commands, step", [
    ([], 1), (["n"], 2), (["n", ""], 3), (["n 3"], 4), (["next", "b"], 1), (["b"], 1), (["n 99"], 12), (["c"], 12),
    (["goto 7"], 7), (["goto backward"], 7), (["goto forward", "goto backward 1"], 7), (["goto loss"], 6),
    (["g a.grad"], 10),
    (["goto Tanh"], 4), (["goto 5", "goto tanh"], 4), (["goto 5", "goto Tanh"], 9), (["c Mul"], 3), (["c Mul", "c Mul"], 10),
    (["c line"], 2), (["c line", "c line", "c line", "c line"], 7), (["c phase"], 7), (["c d"], 2), (["c d", "c d"], 3),
    (["break Tanh", "c"], 4), (["break Tanh", "c", "c"], 9), (["break Tanh", "clear", "c"], 12),
    (["break chain.py:14", "c", "c"], 5), (["break 12", "c"], 2), (["goto backward", "c d.grad"], 8),
])
def test_moving(recorded, commands, step):
    assert at(recorded("chain"), *commands) == step


@pytest.mark.parametrize("where, op", [("block.attn", "Linear"), ("block.attn.out_proj", "Linear"), ("block.ffn.1", "GELU")])
def test_going_to_a_module(recorded, where, op):
    text = Stepper_text(recorded("block"), f"goto {where}")
    header = re.findall(r"^━━ step .*", text, re.M)[-1]
    assert f"━ {op} ━" in header and header.endswith(f" {where} ━━")


def test_ends(recorded):
    chain = recorded("chain")
    assert "first step" in answer(chain, "b")
    text = answer(chain, "goto 12", "n")
    assert "last step" in text and "a.grad   -5.3099" in text and "What stands in .grad now" in text
    only_forward = explain.record(lambda: torch.ones(2) * 2)
    assert "no backward" in answer(only_forward, "n") and "no backward" in answer(only_forward, "goto backward")
    assert "only forward can be stepped" in session(only_forward)


# --- looking

def test_p(recorded):
    block, chain = recorded("block"), recorded("chain")
    x = block["x"].array
    assert f"x[0, 1, 2] = {x[0, 1, 2]:.5f}" in answer(block, "p x[0, 1, 2]")
    assert "(8, 3)" in answer(block, "p x[0, :, :3]")
    assert len(numbers(answer(block, "p x[0, 0, :3]").partition("=")[2].partition("(")[0])) == 3
    assert answer(chain, "a") == answer(chain, "p a") == "a   a number   float32   an input\n  2\n"
    assert "the sum of 2 parts" in answer(chain, "a.grad") and "1 of 2 had arrived" in answer(chain, "goto 11", "p a.grad")
    assert "projected[1]" in answer(block, "p projected[1]") and "(1, 8, 16)" in answer(block, "p projected[1]")
    assert "later values of the same name: x#2" in answer(block, "p x")
    assert answer(chain, "goto 10", "p dz").startswith("dz = 0.41997") and "rstd" in answer(block, "p rstd")
    assert "wants no gradient" in answer(recorded("neuron"), "p x.grad")


def test_views(recorded):
    block = recorded("block")
    listing = answer(block, "l")
    assert "→         h = self.ln1(x)" in listing and len(listing.splitlines()) == 11
    assert "class Block" in answer(block, "l all")
    first, second = (text.partition("\n")[2] for text in session(block, "l", "l").split("(step) ")[:2])
    assert int(second.split()[0]) == int(first.splitlines()[-1].split()[0]) + 1
    where = answer(block, "goto Attention", "where")
    assert where.index("y = block(x)") < where.index("self.attn(h") < where.index("scaled_dot_product_attention")
    assert "block.attn" in where and "its backward is step 33" in where
    graph = answer(block, "goto Attention", "graph")
    assert "▶   10" in graph and len(re.findall(r" → .*  [0-9.]+$", graph, re.M)) == 21 and "out_proj" in graph
    assert "◀   10" in answer(block, "goto 33", "graph")
    assert len(answer(recorded("gpt"), "graph").splitlines()) < len(answer(recorded("gpt"), "graph all").splitlines())
    assert re.search(r"^ +attn  \(12 ops, 6 to 17\)  +0\.1041$", answer(recorded("gpt"), "graph"), re.M)
    assert "▶   31" in answer(recorded("gpt"), "goto model.blocks.1.attn", "c Attention", "graph")
    assert "block.ln1.weight" in answer(block, "values block.ln1") and "q " not in answer(block, "values block.ln1")
    assert answer(block, "values *.bias").count("bias") == 5
    assert "mean" in answer(block, "saved") and "rstd" in answer(block, "saved") and "recomputed" in answer(block, "saved")


def test_a_stop_says_what_a_newcomer_needs(recorded):
    page = answer(recorded("chain"), "goto 10")
    for text in ("step 10 of 12", "backward", "Mul", "chain.py:13", "e = d * a", "rule     dx = dz · y", "came in   e.grad",
                 "kept      d      as x", "goes out  d.grad gets dx  0.83995", "dx = e.grad (0.41997) × a (2)",
                 "2nd of 2 parts of d.grad. All: 1 + 0.83995 = 1.8399", "1st of 2 parts of a.grad"):
        assert text in page, text
    lines = page.splitlines()
    line = next(i for i, text in enumerate(lines) if "e = d * a" in text)
    if "~" in page:                                             # Python 3.11 and later know the columns
        assert lines[line][lines[line + 1].index("~"):].startswith("d * a") and lines[line + 1].strip() == "~~~~~"


def test_accumulated_gradients_are_shown_with_what_was_held():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with explain.record() as trace:
        for _ in range(2):
            loss = (w * w).sum()
            loss.backward()
    text = answer(trace, "goto backward 2", "n")
    assert "backward run 2" in text and "held this before, for zero_grad() was not called: [ 2  4 ]" in text
    assert "Added to it: [ 4  8 ]" in text
    assert "There are 2 backward runs, not 3" in answer(trace, "goto backward 3")


# --- being told what is wrong

@pytest.mark.parametrize("command, told", [
    ("nxt", "There is no command 'nxt'. Did you mean next"), ("p", "p what? A name, such as product"),
    ("p los", "Did you mean loss?"), ("p loss[0]", "shape (), so at most 0 indices"),
    ("p a[x]", "an index is numbers and slices"), ("p __import__('os')", "no value named"),
    ("goto", "goto where?"), ("goto 0", "There is no step 0: they are numbered from 1 to 12"), ("goto -3", "no step -3"),
    ("goto Tanhh", "Did you mean Tanh"), ("goto backward 2", "There is only one backward run"),
    ("c Attention", "Nothing here is called"), ("n x", "'x' is no number of steps"), ("n 0", "'0' is no number of steps"),
    ("why nothing", "no value named 'nothing'"), ("probe los", "Did you mean loss?"),
    ("help foo", "There is no command 'foo'"), ("l x", "l LINE"), ("clear Mul", "Mul is no breakpoint"),
    ("into x", "into all"), ("values zzz", "No name begins with"), ("break Attn", "Nothing here is called 'Attn'"),
    ("a b c", "There is no command 'a'"),
])
def test_bad_input_is_explained(recorded, command, told):
    assert told in answer(recorded("chain"), command)


def test_index_out_of_range(recorded):
    assert "index 1 goes from 0 to 7" in answer(recorded("block"), "p x[0, 8, 0]")
    assert "Ask for one element" in answer(recorded("block"), "why x.grad[0]")


def test_help_knows_every_command(recorded):
    chain = recorded("chain")
    for name in [n[3:] for n in dir(Stepper) if n.startswith("do_") and n != "do_EOF"]:
        assert answer(chain, f"help {name}").startswith(name), name
        assert re.search(rf"\b{name}\b", answer(chain, "help")) or name == "help", name
    assert "also: next" in answer(chain, "help n") and answer(chain, "help next") == answer(chain, "help n")


def test_completion(recorded):
    stepper = Stepper(recorded("block"), io.StringIO(), io.StringIO())
    line = "p block.ffn.0.w"
    assert stepper.completedefault("w", line, len(line) - 1, len(line)) == ["weight"]
    assert "Attention" in stepper.complete_goto("Att", "goto Att", 5, 8)
    assert stepper.completenames("go") == ["goto"]


# --- large things, and nothing

def test_values_too_large_to_keep():
    big = torch.arange(2000.0).reshape(40, 50)
    big.requires_grad = True
    with explain.record(keep=100) as trace:
        y = big * 2
        y.sum().backward()
    assert "norm" in answer(trace, "p y") and "--keep 2000" in answer(trace, "p y[0, 0]")
    assert "too large to keep" in answer(trace, "why y[0, 0]") and "too large to keep" in answer(trace, "probe big[0, 0]")
    assert "keep=" in answer(trace, "into")
    assert session(trace, "n", "n", "n", "leaves", "graph", "saved", "values").count("norm") > 5


def test_an_op_that_cannot_be_run_again():
    class Once(torch.Function):
        def forward(self, x):
            if x.dtype == np.float64:
                raise RuntimeError("only in float32")
            return x * 2

        def backward(self, dy):
            return dy * 2

    x = torch.ones(2, requires_grad=True)
    with explain.record() as trace:
        y = Once.apply(x)
        y.sum().backward()
    assert "x.grad gets dx  [ 2  2 ]" in answer(trace, "goto x.grad")
    for command in ("why x.grad", "probe x", "into"):
        assert answer(trace, "goto x.grad", command).endswith("This failed: RuntimeError: only in float32\n")


def test_nothing_recorded():
    with pytest.raises(ValueError, match="nothing was recorded"):
        Stepper(explain.record(lambda: None))


# --- the transcript

def test_transcript(recorded):
    chain = recorded("chain")
    everything = explain.transcript(chain, 80)
    assert len(re.findall(r"^━━ step", everything, re.M)) == 12 and "What stands in .grad now" in everything
    assert max(map(len, everything.splitlines())) < 130
    assert len(re.findall(r"^━━ step", explain.transcript(chain, phase="backward"), re.M)) == 6
    assert re.findall(r"━━ (\w+) ━━+$", explain.transcript(chain, only="Mul"), re.M) == ["Mul"] * 4

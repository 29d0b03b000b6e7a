"""The player: the page in a real browser, its numbers against the engine's; and what can be checked without a browser."""

import base64
import html
import json
import re

import numpy as np
import pytest
from browser import Browser, missing

import minitorch as torch
import minitorch.nn as nn
import minitorch.nn.functional as F
from minitorch import explain
from minitorch.autograd import Function
from minitorch.explain.payload import Numbers, payload

needs_browser = pytest.mark.skipif(bool(missing()), reason=f"the page is tested in a browser: {missing()}")


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x):
        h = self.ln1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.ffn(self.ln2(x))


@pytest.fixture(scope="module")
def recorded():
    torch.manual_seed(0)
    block = Block(16, 2)
    x = torch.randn(1, 8, 16, requires_grad=True)
    with explain.record() as trace:
        y = block(x)
        loss = y.square().mean()
        loss.backward()
    return trace, block, x


@pytest.fixture(scope="module")
def page(recorded, tmp_path_factory):
    if missing():
        pytest.skip(f"the page is tested in a browser: {missing()}")
    path = explain.save_player(recorded[0], tmp_path_factory.mktemp("player") / "block.html")
    with Browser(1400, 900) as page:
        page.file = path
        page.open(path)
        yield page


@pytest.fixture(autouse=True)
def quiet(request):
    """No test leaves an error in the console or asks for anything over a network."""
    yield
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        assert page.complaints() == [] and page.requests() == []


# ---------------------------------------------------------------------------------------------------------------------
# without a browser

def data_of(text):
    return json.loads(re.search(r'id="trace">(.*?)</script>', text, re.S)[1])


def unpacked(data, number):
    """What the page makes of a stored array."""
    entry = data["arrays"][number]
    kind, text = data["buffers"][entry["buffer"]]
    flat = np.frombuffer(base64.b64decode(text), "<" + kind)
    if "strides" not in entry:
        return flat.reshape(entry["shape"])
    index = np.full(entry["shape"], entry.get("offset", 0))
    for axis, (n, stride) in enumerate(zip(entry["shape"], entry["strides"])):
        index = index + np.arange(n).reshape([-1] + [1] * (len(entry["shape"]) - axis - 1)) * stride
    return flat[index]


def test_every_recorded_array_is_there_bit_by_bit(recorded):
    trace, data = recorded[0], payload(recorded[0], probes=False)
    for value, packed in zip(trace.values, data["values"]):
        assert packed["name"] == value.name
        assert np.array_equal(unpacked(data, packed["array"]), value.array), value
        for arrival, (step, i, number) in zip(value.arrivals, packed["arrivals"], strict=True):
            assert (step, i) == (arrival.step.index, arrival.input)
            assert np.array_equal(unpacked(data, number), arrival.array)
    for step, packed in zip(trace.steps, data["steps"]):
        if step.phase == "backward":
            for array, number in zip([*step.dys, *step.gradients], [*packed["dys"], *packed["gradients"]], strict=True):
                assert number is None if array is None else np.array_equal(unpacked(data, number), array), step


def test_an_array_is_stored_once():
    numbers, x = Numbers(), np.arange(6.0).reshape(2, 3)
    first = numbers.add(x)
    assert numbers.add(x.copy()) == first and numbers.add(x.reshape(3, 2)) != first
    turned = numbers.view(first, (3, 2), (1, 3))
    assert len(numbers.buffers) == 1 and numbers.entries[turned]["strides"] == [1, 3]
    assert numbers.view(first, (2, 3), (3, 1)) == first
    zeros = numbers.add(np.zeros((50, 50)))
    assert len(base64.b64decode(numbers.buffers[numbers.entries[zeros]["buffer"]][1])) == 8


def test_one_file_below_its_size(recorded):
    page = explain.player_html(recorded[0])
    assert len(page.encode()) < 300_000
    assert not re.search(r"""(?:src|href)=["'](?!data:)|https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)""", page)


def test_a_two_layer_transformer_is_below_3_mb():
    trace, error = explain.record_script(explain.program("gpt")[0])
    page = explain.player_html(trace, probes=False)
    assert error is None and len(page.encode()) < 1_500_000
    assert str(explain.program("gpt")[0]) not in page and "gpt.py" in page      # no folder of this machine


def test_the_same_run_gives_the_same_page(recorded):
    assert explain.player_html(recorded[0], probes=False) == explain.player_html(recorded[0], probes=False)


def test_in_a_notebook(recorded):
    text = explain.Player(recorded[0], title="mine", probes=False)._repr_html_()
    inner = html.unescape(re.fullmatch(r'<iframe srcdoc="(.*)" sandbox="allow-scripts" .*></iframe>', text, re.S)[1])
    assert inner == explain.player_html(recorded[0], title="mine", probes=False)


@pytest.mark.parametrize("trace, error, text", [
    (3, TypeError, "must be what explain.record returned, got int"),
    (explain.Trace(), ValueError, "nothing was recorded"),
])
def test_wrong_arguments(trace, error, text):
    with pytest.raises(error, match=text):
        explain.player_html(trace)


def test_a_run_too_long_for_a_page(monkeypatch, recorded):
    monkeypatch.setattr(explain.player, "MOST", 40)
    with pytest.raises(ValueError, match="42 steps are too many for one page; it holds 40"):
        explain.player_html(recorded[0])
    monkeypatch.undo()
    monkeypatch.setattr(explain.player, "LARGEST", 100_000)
    with pytest.raises(ValueError, match="more than a browser likes. Record with a smaller keep="):
        explain.player_html(recorded[0])


# ---------------------------------------------------------------------------------------------------------------------
# in the browser

def go(page, at):
    page.js("player.go(arguments[0])", at)


def shown(page):
    """The element that is explained, its value, and the parts and their total."""
    return page.js("""return [byId("origin-label").textContent, Number(byId("origin-value").dataset.value),
        [...document.querySelectorAll("#origin [data-part]")].map((e) => Number(e.dataset.part)),
        Number(byId("origin-total").dataset.total)]""")


def test_walk_forward_and_backward(page, recorded):
    trace = recorded[0]
    go(page, 0)
    assert "Press" in page.text("#hint") and page.text("#where span") == "start"
    for step in trace:
        page.press("ArrowRight")
        assert page.text("#op") == step.op
        assert page.text("#module") == (step.module or "your program")
        assert page.text("#where span").startswith(step.phase)
        assert page.text("#place").startswith(str(step.place))
        assert step.place.source in page.text(".source .now")
        rule = step.text[step.phase.capitalize()].split("\n")[0].split("   ")[0].strip()
        assert rule in page.text("#formula")
    page.press("ArrowRight")
    assert page.text("#where span") == f"backward {len(trace.backward)} of {len(trace.backward)}"
    page.press("ArrowLeft", "ArrowLeft")
    assert page.text("#op") == trace[-3].op
    page.press("Home")
    assert page.text("#where span") == "start"
    page.press("End")
    page.click("#previous")
    assert page.text("#op") == trace[-2].op
    page.click("#first")
    page.click("#next")
    assert page.text("#where span") == f"forward 1 of {len(trace.forward)}"


def test_scrubbing_and_playing(page, recorded):
    trace = recorded[0]
    page.js("const s = byId('scrub'); s.value = 30; s.dispatchEvent(new Event('input'))")
    assert page.text("#op") == trace[29].op and page.text("#where span") == f"backward {30 - len(trace.forward)} of 21"
    page.js("byId('speed').value = 200; document.activeElement.blur()")
    page.press(" ")
    assert page.js("return Boolean(player.playing)")
    assert page.js("return new Promise((done) => setTimeout(() => done(player.at), 700))") > 31
    page.press(" ")
    assert not page.js("return Boolean(player.playing)")


def test_every_gradient_is_the_one_in_grad(page, recorded):
    _, block, x = recorded
    go(page, len(recorded[0]))
    page.js("player.byLayer = false; player.show()")
    norms = page.js("""return [...document.querySelectorAll("#norms [data-leaf]")]
        .map((e) => [e.dataset.leaf, Number(e.dataset.norm)])""")
    expected = {"x": x.grad} | {f"block.{name}": p.grad for name, p in block.named_parameters()}
    assert {name for name, _ in norms} == set(expected)
    for name, norm in norms:
        assert norm == pytest.approx(np.linalg.norm(expected[name].numpy().astype(np.float64)), rel=1e-12), name
    for name, grad in expected.items():
        got = page.js("""const g = player.run.gradient(player.run.values.findIndex((v) => v.name === arguments[0]));
            return Array.from({length: g.size}, (_, i) => g.get(i))""", name)
        assert np.array_equal(np.float32(got), grad.numpy().ravel()), name


def test_gradients_arrive_one_after_another(page, recorded):
    trace = recorded[0]
    value = trace["x"]
    for n, arrival in enumerate(value.arrivals, 1):
        go(page, arrival.step.index + 1)
        assert f"arrival {n} of 2 at x.grad" in page.text("#step")
    label, total = page.js("""const cards = [...document.querySelectorAll(".array")].map((e) => e.dataset.array);
        return [cards.includes("x.grad"), player.run.gradient(0).get(5)]""")
    assert label and np.float32(total) == value.grad.ravel()[5]


def test_hovering_an_element_explains_it(page, recorded):
    trace = recorded[0]
    step = next(s for s in trace.forward if s.op == "Linear")
    go(page, step.index + 1)
    page.hover(f".array[data-array='{step.outputs[0].name}'] .cells", 0.5, 0.5)
    label, value, parts, total = shown(page)
    row, column = map(int, re.search(r"\[0,(\d+),(\d+)\]", label).groups())
    x, w, b = (v.array.astype(np.float64) for v in step.inputs)
    products = np.append(x[0, row] * w[column], b[column])
    assert value == step.outputs[0].array[0, row, column]
    assert total == pytest.approx(products.sum(), rel=1e-12) and abs(total - value) <= 1e-6 * np.abs(products).sum()
    assert parts[:-1] == pytest.approx(products[np.argsort(-np.abs(products), kind="stable")][:8], rel=1e-12)
    assert sum(parts) == pytest.approx(total)
    lit = page.js("""return Object.fromEntries(player.cards.map((c) => [c.name, c.heat.marks.children.length]))""")
    assert lit[step.inputs[0].name] == 16 and lit[step.inputs[1].name] == 16 and lit[step.outputs[0].name] == 1


def test_an_element_is_found_by_keyboard(page, recorded):
    trace = recorded[0]
    go(page, trace.backward[-1].index + 1)
    page.js("document.querySelector(\".array[data-array='dx'] .cells\").focus()")
    page.press("ArrowRight", "ArrowRight", "ArrowDown")
    label, value, _, _ = shown(page)
    assert label == "dx[0,1,2]" and value == trace["x"].arrivals[1].array[0, 1, 2]
    assert "dx[0,1,2] = " in page.text(".array[data-array='dx'] .stat")
    page.press("Escape", "ArrowLeft")
    assert page.text("#op") == trace[-2].op


def test_clicking_keeps_an_element(page, recorded):
    go(page, 2)
    page.hover(".array[data-array='linear'] .cells", 0.1, 0.1)
    page.click(".array[data-array='linear'] .cells")
    kept = shown(page)[0]
    page.hover(".array[data-array='linear'] .cells", 0.9, 0.9)
    assert shown(page)[0] != kept
    page.hover("#op")
    assert shown(page)[0] == kept


CHECK_ALL = """
const [run, bad] = [player.run, []];
const some = (a) => new Set([0, a.size - 1, Math.floor(a.size / 3), a.largest].filter((i) => i >= 0 && i < a.size));
const check = (found, what) => {
  const size = found.parts.reduce((sum, p) => sum + Math.abs(p.number), 0);
  if (!found.parts.length) bad.push(`${what}: not broken down`);
  else if (!(Math.abs(found.total - found.value) <= arguments[0] * Math.max(size, 1e-9))) bad.push(`${what}: ${found.total} for ${found.value}`);
  for (const p of found.parts) for (const f of p.factors) if (f.array !== undefined && !(f.flat >= 0 && f.flat < run.array(f.array).size)) bad.push(`${what}: ${f.label}`);
};
for (const step of run.steps) {
  if (step.phase === "forward") step.outputs.forEach((n, slot) => { if (!run.values[n].wants) return; const y = run.array(run.values[n].array); for (const i of some(y)) check(explainForward(run, step, slot, i), `forward ${step.op} ${i}`); });
  else step.gradients.forEach((g, input) => { if (g !== null) for (const i of some(run.array(g))) check(explainBackward(run, step, input, i), `backward ${run.steps[step.twin].op} ${input} ${i}`); });
}
return bad;
"""         # noqa: E501


def programs():
    """Small programs that together use every rule of contributions.js."""
    random = torch.Generator().manual_seed(3)

    def r(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True, generator=random)

    labels = torch.tensor([0, 3, -100, 6, 1])
    x = r(3, 4)
    yield lambda: [(x @ r(4, 5) + r(5)).tanh(), r(2, 3, 4) @ r(4, 2), r(2, 3, 4) @ r(2, 4, 2), r(4) @ r(4), x @ r(4),
                   r(4) @ r(2, 4, 3), F.linear(r(2, 3, 4), r(5, 4)), F.linear(x, r(5, 4), r(5))]
    yield lambda: [r(3, 1) * r(1, 4) / (r(4).exp() + 1) - r(3, 4), 2 / (x * x + 1), (x - 1).abs(), 3 - x, -x, x**2,
                   x.clamp(-0.5, 0.5), F.gelu(x), F.silu(x), x.relu(), torch.maximum(x, -x), torch.where(x > 0, x, x * 2)]
    yield lambda: [x.sum(), x.mean(), r(2, 3, 4).mean((0, 2)), r(2, 3, 4).sum(1, keepdim=True), F.softmax(x, -1),
                   F.softmax(r(2, 3, 4), 1), F.log_softmax(x, 0), F.layer_norm(x, (4,), r(4), r(4)), F.layer_norm(x, (4,)),
                   F.rms_norm(x, (4,), r(4)), F.rms_norm(x, (4,))]
    yield lambda: [F.scaled_dot_product_attention(r(2, 4, 3, 2), r(2, 2, 5, 2), r(2, 2, 5, 3), enable_gqa=True,
                                                  dropout_p=0.3),
                   F.scaled_dot_product_attention(r(2, 2, 3, 4), r(2, 2, 3, 4), r(2, 2, 3, 4), attn_mask=r(3, 3)),
                   F.scaled_dot_product_attention(r(1, 3, 4), r(1, 3, 4), r(1, 3, 4), is_causal=True)]
    yield lambda: [F.feed_forward(r(2, 3, 4), r(6, 4), r(6), r(5, 6), r(5), activation=a, dropout_p=0.2)
                   for a in ("relu", "gelu", "gelu_tanh", "silu")]
    yield lambda: [F.residual_add(r(2, 4), r(2, 4), r(4), dropout_p=0.4), F.residual_add(r(3), r(3)), F.dropout(x, 0.5),
                   F.cross_entropy(r(5, 7), labels), F.cross_entropy(r(5, 7), labels, reduction="none"),
                   F.softmax_projection(r(5, 4), r(7, 4), r(7), labels.clamp(0, 6)), F.mse_loss(x, r(3, 4))]
    yield lambda: [F.embedding(torch.tensor([[1, 2], [1, 0]]), r(4, 3), padding_idx=2), torch.cat([x, r(2, 4)]),
                   torch.stack([x, x], 1), x.T[1:], x[[0, 0, 2]], x.flip(0), x.tril(), x.expand(2, 3, 4), x.repeat(2, 1),
                   x.unbind(0)[1], x.split(2, 1)[1], r(2, 3, 4).permute(2, 0, 1).reshape(4, 6), F.pad(x, (1, 1))]
    yield lambda: [x.amax(1), x.norm(), x.cumsum(0), x.masked_fill(x > 0, 0.0), torch.einsum("ij,kj->ik", x, r(2, 4))]


@pytest.mark.parametrize("program", list(programs()), ids=["products", "elementwise", "reductions", "attention", "ffn",
                                                           "losses", "moves", "linear in x"])
def test_contributions_add_up_for_every_op(page, program, tmp_path):
    torch.manual_seed(3)
    with explain.record() as trace:
        outputs = program()
        torch.stack([(y * torch.randn(*y.shape, dtype=torch.float64)).sum() for y in outputs]).sum().backward()
    page.open(explain.save_player(trace, tmp_path / "ops.html", probes=False))
    assert page.js(CHECK_ALL, 1e-9) == []
    page.open(page.file)


def test_contributions_add_up_in_float32(page):
    page.open(page.file)
    assert page.js(CHECK_ALL, 1e-6) == []


def test_every_run_of_backward_is_explained_by_its_own_numbers(page, tmp_path):
    torch.manual_seed(2)
    q, k, v, w = (torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(4))
    with explain.record() as trace:
        y = F.feed_forward(F.scaled_dot_product_attention(q, k, v), w[0, 0], None, w[0, 1].T, None, "gelu")
        for row in range(3):
            torch.autograd.grad(y[0, 0, row].sum(), (q, k, w), retain_graph=True)
    assert len({s.run for s in trace.backward}) == 3
    page.open(explain.save_player(trace, tmp_path / "runs.html", probes=False))
    assert page.js(CHECK_ALL, 1e-9) == []
    page.open(page.file)


def test_an_op_of_the_users_own(page, tmp_path):
    class Cube(Function):
        def forward(self, x, *, times):
            self.x = x
            return times * x**3

        def backward(self, dy):
            return dy * 6 * self.x**2

    x = torch.tensor([2.0, -1.0, 0.5], requires_grad=True)
    with explain.record() as trace:
        y = Cube.apply(x, times=2)
        y.sum().backward()
    page.open(explain.save_player(trace, tmp_path / "own.html"))
    go(page, 1)
    assert "no formula" in page.text("#formula") and "times = 2" in page.text("#step")
    assert "not broken down" in page.text("#origin")
    go(page, 4)
    label, value, parts, total = shown(page)
    assert (label, value, total) == ("dx[0]", 24.0, 24.0) and max(parts) == 24.0
    assert page.text("#probes tbody td:nth-child(2)") == "24"
    page.open(page.file)


def test_finite_differences_stand_beside_the_gradients(page, recorded):
    trace, block, x = recorded
    go(page, len(trace))
    rows = page.js("""return [...document.querySelectorAll("#probes tbody tr")].map((r) =>
        [r.dataset.element, Number(r.children[1].dataset.number), Number(r.children[2].dataset.number)])""")
    leaves = {r[0].partition("[")[0] for r in rows}
    assert leaves == {"x"} | {f"block.{name}" for name, _ in block.named_parameters()}
    for element, analytic, numeric in rows:
        name, index = re.fullmatch(r"(.*)\[(.*)\]", element).groups()
        grad = trace[name].grad
        assert analytic == grad[tuple(map(int, index.split(",")))]
        assert numeric == pytest.approx(analytic, rel=1e-5, abs=1e-5 * float(np.abs(grad).max()))


def test_modules_open_and_close(page, recorded):
    page.open(page.file)
    page.click("#close-all")
    assert page.js("return player.graph.nodes.size") == 5             # x, block, Square, Mean, loss
    closed = page.js("return byId('graph').firstChild.getBoundingClientRect().height")
    page.click("#graph .node.module")
    assert page.js("return player.graph.nodes.size") > 8
    assert page.js("return byId('graph').firstChild.getBoundingClientRect().height") > closed
    go(page, 3)
    assert page.js("return document.querySelector('.node.now text').textContent") == "▸ attn"
    page.press("o")                                                     # opens what the run is in
    assert page.js("return document.querySelector('.node.now text').textContent") == "Split"
    page.click("#open-all")
    step = next(s for s in recorded[0].forward if s.op == "GELU")
    page.click(f"[data-id=op{step.index}]")
    assert page.text("#op") == "GELU"


def test_boxes_do_not_overlap_and_wires_do_not_cross_them(page):
    page.open(page.file)
    for button in ("#open-all", "#close-all"):
        page.click(button)
        bad = page.js("""
            const boxes = [...player.graph.nodes].filter(([id]) => !player.graph.open.has(id)).map(([id]) => [id, player.graph.placed.get(id)]);
            const bad = [];
            boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
              if (p.x < q.x + q.width && q.x < p.x + p.width && p.y < q.y + q.height && q.y < p.y + p.height) bad.push([a, b]);
            }));
            for (const { path, source, target } of player.graph.wires) {
              for (let t = 0; t <= 1; t += 0.01) {
                const { x, y } = path.getPointAtLength(t * path.getTotalLength());
                for (const [id, p] of boxes) if (id !== source.id && id !== target.id && x > p.x + 1 && x < p.x + p.width - 1 && y > p.y + 1 && y < p.y + p.height - 1) bad.push([path.dataset.value, id]);
              }
            }
            return bad""")      # noqa: E501
        assert bad == []


def test_residual_connections_light_up_on_the_way_back(page, recorded):
    page.open(page.file)
    page.click("#open-all")
    assert page.js("return document.querySelectorAll('.wire.bypass').length") == 2
    add = [s for s in recorded[0].backward if s.op == "Add"]
    for n, step in enumerate(add, 1):
        go(page, step.index + 1)
        assert page.js("return document.querySelectorAll('.wire.bypass.graded').length") == n


def test_slices_of_four_axes(page, recorded):
    trace = recorded[0]
    step = next(s for s in trace.forward if s.op == "Attention")
    go(page, step.index + 1)
    select = ".array[data-array='attention'] select"
    for head in (1, 0):
        page.js("""const s = document.querySelector(arguments[0]);
            s.value = arguments[1]; s.dispatchEvent(new Event("change"))""", select, head)
        page.hover(".array[data-array='attention'] .cells", 0.01, 0.01)
        label, value, _, _ = shown(page)
        assert label == f"attention[0,{head},0,0]" and value == step.outputs[0].array[0, head, 0, 0]
    assert page.js("return player.cards.filter((c) => c.name === 'p').length") == 1


def test_large_arrays_say_that_they_are_summaries(page, tmp_path):
    big = torch.arange(600.0).reshape(20, 30)
    big.requires_grad = True
    with explain.record(keep=100) as trace:
        loss = (big * 2).square().sum()
        loss.backward()
    page.open(explain.save_player(trace, tmp_path / "large.html"))
    for at in range(len(trace) + 1):
        go(page, at)
    assert "its corner, of 600 elements" in page.text("#step") and "Record with a larger keep=" in page.text("#step")
    page.open(page.file)


def test_gradients_too_large_to_keep_are_added_too(page, tmp_path):
    big = torch.arange(600.0).reshape(20, 30).requires_grad_()
    with explain.record(keep=100) as trace:
        (big * 2).sum().backward()
        (big * big).sum().backward()
    page.open(explain.save_player(trace, tmp_path / "sums.html"))
    go(page, len(trace))
    norm, shown = page.js("""return [player.run.gradient(0).statistics.norm,
        [...document.querySelectorAll(".array")].filter((e) => e.dataset.array === "big.grad").at(-1).textContent]""")
    assert norm == pytest.approx(float(np.linalg.norm(2 * big.detach().numpy())), rel=1e-6)
    assert f"norm {np.linalg.norm(big.grad.numpy()):.0f}" in shown.replace(",", "")
    page.open(page.file)


def test_autograd_grad_stores_nothing(page, tmp_path):
    x = torch.tensor([3.0], requires_grad=True)
    with explain.record() as trace:
        torch.autograd.grad((x * 2).sum(), x)
    page.open(explain.save_player(trace, tmp_path / "grad.html"))
    go(page, len(trace))
    assert "is the gradient of x; autograd.grad stores nothing" in page.text("#step") and "x.grad" not in page.text("#step")
    page.open(page.file)


def test_odd_numbers_and_shapes(page, tmp_path):
    x = torch.tensor([[float("nan"), float("inf")], [1e30, -2.0]], requires_grad=True)
    with explain.record() as trace:
        y = x * 2
        empty = torch.zeros(0, 3, requires_grad=True).sum()
        flag = (x > 1).any()
        (y.sum() + empty).backward()
    assert flag
    page.open(explain.save_player(trace, tmp_path / "odd.html"))
    for at in range(len(trace) + 1):
        go(page, at)
    go(page, 1)
    assert "2 values are NaN or infinite" in page.text("#step") and "NaN" in page.text(".cells.printed")
    page.open(page.file)


def test_training_steps_one_after_another(page, tmp_path):
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.SGD([w], lr=0.25)
    with explain.record() as trace:
        for _ in range(2):
            optimizer.zero_grad()
            loss = (w * w).sum()
            loss.backward()
            optimizer.step()
    page.open(explain.save_player(trace, tmp_path / "train.html"))
    wheres = []
    for at in range(1, len(trace) + 1):
        go(page, at)
        wheres.append(page.text("#where span"))
    assert wheres[1:5] == ["forward 2 of 4", "backward 1 of 4", "backward 2 of 4", "forward 3 of 4"]
    page.open(page.file)


def test_nothing_is_taken_for_html(page, tmp_path):
    wicked = "</script><script>document.title = 'wicked'</script><img src=x onerror=\"document.title='wicked'\">"
    source = tmp_path / "wicked.py"
    source.write_text("import minitorch\nx = minitorch.tensor([1.0], requires_grad=True)\n"
                      f"(x * 2).sum().backward()  # {wicked}\n")
    trace, error = explain.record_script(str(source))
    trace.values[1].name = wicked
    page.open(explain.save_player(trace, tmp_path / "wicked.html", title=f"<b>{wicked}"))
    for at in range(len(trace) + 1):
        go(page, at)
    assert error is None and page.text("#title") == f"<b>{wicked}" == page.js("return document.title")
    assert wicked in page.text(".source .now") and page.js("return document.querySelectorAll('img').length") == 0
    page.open(page.file)


def test_help_and_theme(page):
    page.js("document.activeElement.blur()")
    page.press("?")
    assert page.js("return byId('help').open") and "heat maps" in page.text("#help")
    page.press("Escape")
    assert not page.js("return byId('help').open")
    before = page.js("return [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]")
    page.press("t")
    after = page.js("return [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]")
    assert before[0] != after[0] and before[1] != after[1]
    page.press("t")


@needs_browser
def test_it_runs_inside_a_notebook(recorded, tmp_path):
    cell = explain.Player(recorded[0], probes=False)._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>a notebook</title>{cell}", encoding="utf-8")
    with Browser() as page:
        page.open(tmp_path / "notebook.html")
        page.enter("iframe")
        page.click("#next")
        page.press("ArrowRight")
        assert page.text("#where span") == "forward 2 of 21"
        assert page.complaints() == [] and page.requests() == []


@needs_browser
@pytest.mark.parametrize("width, dark", [(400, True), (1000, False)])
def test_narrow_and_dark(recorded, tmp_path, width, dark):
    with Browser(width, 850, dark) as page:
        page.open(explain.save_player(recorded[0], tmp_path / "block.html", probes=False))
        for at in (0, 1, 11, 30, 46):
            go(page, at)
            assert page.js("return document.documentElement.scrollWidth") <= width
        assert page.js("return document.documentElement.dataset.theme") == ("dark" if dark else "light")
        assert page.complaints() == []


def test_a_step_is_fast(page):
    slowest = page.js("""player.go(0); let slowest = 0;
        for (let at = 1; at <= player.run.steps.length; at++) {
          const start = performance.now(); player.go(at); document.body.offsetHeight;
          slowest = Math.max(slowest, performance.now() - start);
        }
        return slowest""")
    assert slowest < 250

"""The layout: every wire leads down, no two boxes share a cell, bypasses have lanes of their own."""

import pytest

import minitorch as torch
import minitorch.nn as nn
from minitorch import explain
from minitorch.explain.layout import as_data, layout


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


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(4, 2), Block(4, 2)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def recorded(program):
    with explain.record() as trace:
        program()
    return trace


def two_blocks():
    torch.manual_seed(0)
    model = Model()
    x = torch.randn(1, 3, 4, requires_grad=True)
    model(x).square().mean().backward()


def by_hand():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    h = x * w
    ((h.exp() + h) * x + h.sin() + w).sum().backward()


def shared():
    layer = nn.Linear(3, 3)
    x = torch.ones(2, 3)
    (layer(layer(x).relu()) + x).sum().backward()


def fan():
    parts = torch.arange(12.0).requires_grad_(True).split(3)
    torch.cat([p * p for p in parts]).sum().backward()


@pytest.mark.parametrize("program", [two_blocks, by_hand, shared, fan])
def test_wires_lead_down_and_boxes_do_not_overlap(program):
    for box in layout(recorded(program)).walk():
        cells = [(b.row, b.column) for b in box.children]
        assert len(set(cells)) == len(cells), box.id
        places = {b.id: b for b in box.children}
        for w in box.wires:
            rows = places[w.source].row, places[w.target].row
            assert rows[0] < rows[1], w
            assert (w.lane is None) == (rows[1] == rows[0] + 1), w


@pytest.mark.parametrize("program", [two_blocks, by_hand, shared, fan])
def test_two_values_in_one_lane_do_not_meet(program):
    for box in layout(recorded(program)).walk():
        row = {b.id: b.row for b in box.children}
        wires = [w for w in box.wires if w.lane is not None]
        for a in wires:
            for b in wires:
                if a.lane == b.lane and (a.source, a.value) != (b.source, b.value):
                    assert row[a.target] <= row[b.source] or row[b.target] <= row[a.source], (a, b)


@pytest.mark.parametrize("program", [two_blocks, by_hand, shared, fan])
def test_every_step_and_every_use_is_there_once(program):
    trace = recorded(program)
    root = layout(trace)
    ops = [b for b in root.walk() if b.kind == "op"]
    assert sorted(b.steps[0] for b in ops) == [s.index for s in trace.forward]
    for box in root.walk():
        if box.children:
            assert sorted(i for b in box.children for i in b.steps) == box.steps
    makers = {b.steps[0]: b.id for b in ops}
    for box in root.walk():                         # inside one module: a wire for every use
        here = {b.id for b in box.children}
        wires = {(w.value, w.source, w.target) for w in box.wires}
        for step in trace.forward:
            for v in step.outputs:
                for user, _ in v.users:
                    a, b = makers[step.index], makers[user.index]
                    if a in here and b in here:
                        assert (v.number, a, b) in wires


def test_a_modules_edge_carries_what_enters_and_leaves():
    trace = recorded(two_blocks)
    boxes = {b.module: b for b in layout(trace).walk() if b.kind == "module" and b.children}
    attention = boxes["model.blocks.0.attn"]
    assert [b.label for b in attention.children if b.kind == "in"] == ["h"]
    assert len([b for b in attention.children if b.kind == "out"]) == 1
    assert [b.row for b in attention.children if b.kind == "in"] == [0]


def test_residual_connections_are_bypasses():
    boxes = {b.module: b for b in layout(recorded(two_blocks)).walk() if b.children}
    bypasses = [w for w in boxes["model.blocks.0"].wires if w.residual]
    assert len(bypasses) == 2 and {w.lane for w in bypasses} == {0}
    ops = {b.id: b.label for b in boxes["model.blocks.0"].children}
    assert [ops[w.target] for w in bypasses] == ["Add", "Add"]
    assert not any(w.residual for box in layout(recorded(fan)).walk() for w in box.wires)


def test_a_sum_of_two_separate_things_is_no_residual():
    def program():
        a, b = torch.ones(2), torch.ones(2)
        return a * 2 + b.exp().sin().cos()

    wires = layout(recorded(program)).wires
    assert [w.lane for w in wires].count(0) == 1 and not any(w.residual for w in wires)


def test_the_same_run_has_the_same_layout():
    assert as_data(layout(recorded(two_blocks))) == as_data(layout(recorded(two_blocks)))


def test_a_module_that_holds_one_op_is_that_op():
    labels = {b.label: b for b in layout(recorded(two_blocks)).walk()}
    assert labels["out_proj"].kind == "op"


def test_a_result_that_nobody_uses_ends_the_graph():
    root = layout(recorded(lambda: Block(4, 2)(torch.ones(1, 2, 4))))
    last = max(root.children, key=lambda b: b.row)
    assert last.kind == "value" and last.row > 1

"""Shapes: gradients against finite differences, views that are views, everything against PyTorch."""

import numpy as np
import pytest

import minitorch as mt

from op_checks import check_against_complex_step, check_against_differences, check_against_pytorch

CASES = {
    "reshape": (lambda m, x: x.reshape(2, -1), (3, 4)),
    "reshape tuple": (lambda m, x: m.reshape(x, (4, 3)), (3, 4)),
    "reshape 0-d": (lambda m, x: x.reshape(()), (1, 1)),
    "reshape_as": (lambda m, x: x.reshape_as(m.zeros(4, 3)), (3, 4)),
    "view": (lambda m, x: x.contiguous().view(2, -1), (3, 4)),
    "flatten": (lambda m, x: x.flatten(1), (2, 3, 2)),
    "flatten 0-d": (lambda m, x: x.flatten(), ()),
    "unflatten": (lambda m, x: x.unflatten(-1, (2, -1)), (3, 4)),
    "squeeze": (lambda m, x: x.squeeze(), (1, 3, 1)),
    "squeeze dim": (lambda m, x: x.squeeze(0), (1, 3, 1)),
    "squeeze dims": (lambda m, x: x.squeeze((0, 1)), (1, 3, 1)),
    "unsqueeze": (lambda m, x: x.unsqueeze(-2), (3, 2)),
    "permute": (lambda m, x: x.permute(2, 0, -2), (2, 3, 4)),
    "permute tuple": (lambda m, x: m.permute(x, (1, 0)), (2, 3)),
    "transpose": (lambda m, x: x.transpose(0, -1), (2, 3, 4)),
    "swapaxes": (lambda m, x: x.swapaxes(0, 1), (2, 3)),
    "t": (lambda m, x: x.t(), (2, 3)),
    "mT": (lambda m, x: x.mT, (2, 3, 4)),
    "movedim": (lambda m, x: x.movedim((0, 1), (2, 0)), (2, 3, 4)),
    "movedim one": (lambda m, x: m.movedim(x, 0, -1), (2, 3, 4)),
    "expand": (lambda m, x: x.expand(2, -1, 4), (3, 1)),
    "expand same": (lambda m, x: x.expand(3, 2), (3, 2)),
    "expand_as": (lambda m, x: x.expand_as(m.zeros(2, 3)), (3,)),
    "broadcast_to": (lambda m, x: m.broadcast_to(x, (4, 3)), (1, 3)),
    "broadcast_tensors": (lambda m, x, y: m.broadcast_tensors(x, y), (3, 1), (4,)),
    "meshgrid": (lambda m, x, y: m.meshgrid(x, y, indexing="ij"), (3,), (4,)),
    "meshgrid xy": (lambda m, x, y: m.meshgrid(x, y, indexing="xy"), (3,), (4,)),
    "narrow": (lambda m, x: x.narrow(1, 1, 2), (2, 4)),
    "select": (lambda m, x: m.select(x, 1, -1), (2, 4)),
    "diagonal": (lambda m, x: x.diagonal(1, 0, 2), (3, 2, 4)),
    "diagonal low": (lambda m, x: x.diagonal(-1), (4, 3)),
    "diag": (lambda m, x: m.diag(x, -1), (3,)),
    "diag matrix": (lambda m, x: x.diag(), (3, 4)),
    "split": (lambda m, x: x.split(2, 1), (2, 5)),
    "split list": (lambda m, x: x.split([1, 0, 2]), (3, 2)),
    "split part": (lambda m, x: x.split([1, 2])[1], (3, 2)),
    "chunk": (lambda m, x: x.chunk(3, -1), (2, 7)),
    "tensor_split": (lambda m, x: m.tensor_split(x, 3), (5, 2)),
    "tensor_split list": (lambda m, x: m.tensor_split(x, [1, -1]), (5, 2)),
    "unbind": (lambda m, x: x.unbind(1), (2, 3)),
    "cat": (lambda m, x, y: m.cat([x, y], 1), (2, 3), (2, 1)),
    "cat twice": (lambda m, x: m.concat((x, x, m.zeros(0, dtype=x.dtype))), (2, 3)),
    "stack": (lambda m, x, y: m.stack([x, y], -1), (2, 3), (2, 3)),
    "hstack": (lambda m, x, y: m.hstack([x, y]), (2,), (3,)),
    "hstack 2-d": (lambda m, x, y: m.hstack([x, y]), (2, 1), (2, 2)),
    "vstack": (lambda m, x, y: m.vstack([x, y]), (3,), (2, 3)),
    "atleast_1d": (lambda m, x: m.atleast_1d(x), ()),
    "contiguous": (lambda m, x: x.t().contiguous(), (2, 3)),
    "repeat": (lambda m, x: x.repeat(2, 1, 3), (2, 3)),
    "repeat 0": (lambda m, x: x.repeat(0, 2), (2, 3)),
    "tile": (lambda m, x: x.tile(2), (2, 3)),
    "tile tuple": (lambda m, x: m.tile(x, (2, 1, 2)), (2, 3)),
    "repeat_interleave": (lambda m, x: x.repeat_interleave(3, 1), (2, 3)),
    "repeat_interleave flat": (lambda m, x: x.repeat_interleave(2), (2, 3)),
    "repeat_interleave counts": (lambda m, x: x.repeat_interleave(m.tensor([2, 0, 1]), 0), (3, 2)),
    "flip": (lambda m, x: x.flip(0, 1), (2, 3)),
    "flip list": (lambda m, x: m.flip(x, [-1]), (2, 3)),
    "roll": (lambda m, x: x.roll(1), (2, 3)),
    "roll dims": (lambda m, x: x.roll((1, -2), (0, 1)), (3, 4)),
    "tril": (lambda m, x: x.tril(-1), (2, 3, 4)),
    "triu": (lambda m, x: x.triu(1), (3, 4)),
}


# (made of two ops, with a number's dtype between them that complex numbers do not have)
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("cat twice",)])
def test_gradient_agrees_with_a_complex_step(name):
    function, *shapes = CASES[name]
    check_against_complex_step(function, shapes)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_gradient_agrees_with_finite_differences(name, backend):
    function, *shapes = CASES[name]
    check_against_differences(function, shapes, backend)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_with_pytorch(name, dtype, torch):
    function, *shapes = CASES[name]
    check_against_pytorch(torch, function, shapes, dtype)


@pytest.mark.parametrize("name", [
    "view", "flatten", "unsqueeze", "squeeze", "permute", "transpose", "expand", "narrow", "select", "diagonal",
    "split", "chunk", "unbind",
])
def test_views_share_memory(name):
    function, shape = CASES[name]
    x = mt.zeros(shape)
    result = function(mt, x)
    for y in result if isinstance(result, tuple) else [result]:
        assert np.shares_memory(x.data, y.data)


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (2, 3, 2, 2), (24,), (3, 8), (4, 6), (1, 6, 1, 4), (2, 12)])
def test_view_is_possible_exactly_where_pytorch_says(shape, torch):
    base = np.arange(48.0).reshape(2, 3, 8)
    for a in (base[..., ::2], base[:, :, :4], base[:, :, :4].transpose(1, 0, 2), base[:, :, :4].transpose(2, 1, 0)):
        theirs = torch.from_numpy(a)
        try:
            expected = theirs.view(shape)
        except RuntimeError:
            with pytest.raises(RuntimeError, match="Use x.reshape"):
                mt.as_tensor(a).view(shape)
        else:
            got = mt.as_tensor(a).view(shape)
            np.testing.assert_array_equal(got.data, expected.numpy())
            assert np.shares_memory(got.data, a)


def test_cat_and_stack_promote():
    assert mt.cat([mt.tensor([1]), mt.tensor([1.5])]).dtype == mt.float32
    assert mt.stack([mt.tensor([1.0], dtype=mt.float64), mt.tensor([1.5])]).dtype == mt.float64


def test_expanded_tensors_are_not_writable():
    with pytest.raises(RuntimeError, match="expand"):
        mt.zeros(1, 2).expand(3, 2)[0] = 1


@pytest.mark.parametrize("call, error, text", [
    (lambda x: x.reshape(4), RuntimeError, r"reshape: shape \(2, 3\) has 6 elements, which do not fill \(4,\)"),
    (lambda x: x.reshape(-1, 4), RuntimeError, "reshape: shape"),
    (lambda x: x.reshape(-1, -1), RuntimeError, "one −1"),
    (lambda x: x.t().view(6), RuntimeError, "Use x.reshape"),
    (lambda x: x.permute(0), RuntimeError, "permute: got 1 dims"),
    (lambda x: x.permute(0, 0), RuntimeError, "permute: .* twice"),
    (lambda x: x.permute(0, 2), IndexError, r"permute: dimension out of range \[-2, 1\], got 2"),
    (lambda x: x.transpose(0, 5), IndexError, "transpose: dimension out of range"),
    (lambda x: x.squeeze(5), IndexError, "squeeze: dimension out of range"),
    (lambda x: x.unsqueeze(5), IndexError, r"unsqueeze: dimension out of range \[-3, 2\], got 5"),
    (lambda x: x.expand(3, 3), RuntimeError, "axis 0 has size 2, not 1 or 3"),
    (lambda x: x.expand(3), RuntimeError, "fewer axes"),
    (lambda x: x.unflatten(1, (2, 2)), RuntimeError, "unflatten: shape"),
    (lambda x: x.flatten(1, 0), RuntimeError, "flatten: start_dim 1 comes after"),
    (lambda x: mt.cat([]), ValueError, "cat: expected at least one tensor"),
    (lambda x: mt.cat([x, x[:1, :2]]), RuntimeError, r"tensor 1 has \(1, 2\)"),
    (lambda x: mt.cat(x), TypeError, "cat: expected a list of tensors"),
    (lambda x: mt.cat([x, 1]), TypeError, "cat: expected tensors; at position 1: got int"),
    (lambda x: mt.stack([x, x[0]]), RuntimeError, "stack: all tensors need one shape"),
    (lambda x: x.split([1, 2]), RuntimeError, "split: the sizes"),
    (lambda x: x.split(-1), RuntimeError, "split: split_size"),
    (lambda x: x.chunk(0), RuntimeError, "chunk: chunks must be at least 1"),
    (lambda x: x.narrow(0, 1, 5), RuntimeError, "narrow: start 1 and length 5"),
    (lambda x: x.repeat(2), RuntimeError, "repeat: got 1 repeats"),
    (lambda x: x.repeat_interleave(mt.tensor([1, 2, 3]), 0), RuntimeError, "repeat_interleave: repeats has shape"),
    (lambda x: x.flip(0, 0), RuntimeError, "flip: dim names an axis twice"),
    (lambda x: x.roll((1, 2), 0), RuntimeError, "roll: got 2 shifts for 1 dims"),
    (lambda x: x[0].tril(), RuntimeError, "tril: expected a matrix"),
    (lambda x: x.diagonal(0, 1, 1), RuntimeError, "diagonal: dim1 1 and dim2 1 are the same"),
    (lambda x: x.movedim((0, 1), (0, 0)), RuntimeError, "movedim: destination names an axis twice"),
    (lambda x: mt.zeros(2, 2, 2).t(), RuntimeError, "t: expected at most 2 axes"),
    (lambda x: x.sum().unbind(), RuntimeError, "unbind: a 0-d tensor"),
    (lambda x: mt.broadcast_tensors(x, mt.zeros(4)), RuntimeError, "broadcast_tensors: shapes"),
])
def test_messages(call, error, text):
    with pytest.raises(error, match=text):
        call(mt.ones(2, 3))

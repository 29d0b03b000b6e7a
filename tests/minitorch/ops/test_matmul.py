"""Products and Einstein's notation: every gradient by complex step and finite differences, everything against PyTorch."""

import pytest

import minitorch as mt

from op_checks import check_against_complex_step, check_against_differences, check_against_pytorch

CASES = {
    "matmul": (lambda m, x, y: x @ y, (3, 4), (4, 2)),
    "matmul vectors": (lambda m, x, y: x @ y, (4,), (4,)),
    "matmul row": (lambda m, x, y: x @ y, (4,), (4, 2)),
    "matmul column": (lambda m, x, y: x @ y, (3, 4), (4,)),
    "matmul batch": (lambda m, x, y: m.matmul(x, y), (2, 1, 3, 4), (5, 4, 2)),
    "matmul batch, vector": (lambda m, x, y: m.matmul(x, y), (2, 3, 4), (4,)),
    "matmul nothing": (lambda m, x, y: m.matmul(x, y), (3, 0), (0, 2)),
    "mm": (lambda m, x, y: m.mm(x, y), (1, 4), (4, 7)),
    "bmm": (lambda m, x, y: m.bmm(x, y), (3, 2, 4), (3, 4, 1)),
    "mv": (lambda m, x, y: m.mv(x, y), (3, 4), (4,)),
    "dot": (lambda m, x, y: m.dot(x, y), (5,), (5,)),
    "inner": (lambda m, x, y: m.inner(x, y), (2, 3, 4), (5, 4)),
    "outer": (lambda m, x, y: m.outer(x, y), (3,), (4,)),
    "addmm": (lambda m, b, x, y: m.addmm(b, x, y, beta=0.5, alpha=2), (2,), (3, 4), (4, 2)),
    "addmv": (lambda m, b, x, y: m.addmv(b, x, y), (3,), (3, 4), (4,)),
    "baddbmm": (lambda m, b, x, y: m.baddbmm(b, x, y, alpha=-1), (3, 2, 1), (3, 2, 4), (3, 4, 1)),
    "linear": (lambda m, x, w, b: m.nn.functional.linear(x, w, b), (2, 3, 4), (5, 4), (5,)),
    "linear, no bias": (lambda m, x, w: m.nn.functional.linear(x, w), (4,), (5, 4)),
    "einsum product": (lambda m, x, y: m.einsum("ij,jk->ik", x, y), (3, 4), (4, 2)),
    "einsum implicit": (lambda m, x, y: m.einsum("ij,jk", x, y), (3, 4), (4, 2)),
    "einsum sum": (lambda m, x: m.einsum("ij->", x), (3, 4)),
    "einsum column sums": (lambda m, x: m.einsum("ij->j", x), (3, 4)),
    "einsum transpose": (lambda m, x: m.einsum("ij->ji", x), (3, 4)),
    "einsum diagonal": (lambda m, x: m.einsum("ii->i", x), (4, 4)),
    "einsum trace": (lambda m, x: m.einsum("ii", x), (4, 4)),
    "einsum diagonal in a batch": (lambda m, x: m.einsum("bii->bi", x), (2, 3, 3)),
    "einsum outer": (lambda m, x, y: m.einsum("i,j->ij", x, y), (3,), (4,)),
    "einsum letters of one alone": (lambda m, x, y: m.einsum("ij,k->k", x, y), (3, 4), (2,)),
    "einsum attention": (lambda m, q, k: m.einsum("bqhd,bkhd->bhqk", q, k), (2, 3, 2, 4), (2, 5, 2, 4)),
    "einsum three": (lambda m, x, y, z: m.einsum("ij,jk,kl->il", x, y, z), (2, 3), (3, 4), (4, 2)),
    "einsum ellipsis": (lambda m, x, y: m.einsum("...ij,kj->...ik", x, y), (2, 2, 3, 4), (5, 4)),
    "einsum two ellipses": (lambda m, x, y: m.einsum("...i,...i->...", x, y), (2, 3, 4), (3, 4)),
    "einsum stretched ellipsis": (lambda m, x, y: m.einsum("...i,...i", x, y), (2, 1, 4), (3, 4)),
    "pad": (lambda m, x: m.nn.functional.pad(x, (1, 2)), (2, 3)),
    "pad and crop": (lambda m, x: m.nn.functional.pad(x, (-1, 1, 2, -1), value=7.0), (3, 4)),
    "pad reflect": (lambda m, x: m.nn.functional.pad(x, (2, 1), mode="reflect"), (2, 4)),
    "pad replicate": (lambda m, x: m.nn.functional.pad(x, (2, 3), mode="replicate"), (2, 4)),
    "pad circular": (lambda m, x: m.nn.functional.pad(x, (2, 1), mode="circular"), (2, 4)),
}


# (made of two ops, with a number's dtype between them that complex numbers do not have)
@pytest.mark.parametrize("name", [name for name in CASES if name not in ("addmm", "baddbmm",)])
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


@pytest.mark.parametrize("equation, shapes", [("ij,jk->ik", [(2, 3), (4, 5)]), ("ijk->i", [(2, 3)]),
                                              ("i,j,k->i", [(2,), (3,)]), ("ij->ik", [(2, 3)])])
def test_an_equation_that_does_not_fit(equation, shapes):
    with pytest.raises(RuntimeError, match="einsum: .* does not fit operands of shapes"):
        mt.einsum(equation, *[mt.ones(s) for s in shapes])

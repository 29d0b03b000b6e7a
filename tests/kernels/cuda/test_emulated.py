"""What the compiler made of every kernel computes what the reference computes.

The simulator runs Python, and never looks at a type. Here the kernels are compiled for an H200, and a machine in NumPy runs
the PTX that comes out (tests/helpers/ptx_machine.py), with a GPU's block sizes, whole numbers and roundings. Every access
is looked at. A compiler is needed, a GPU is not.

All of it takes six minutes of one core, most of them the compiler's: MINITORCH_CUDA_ON_PAPER=1 asks for it. Without it
those kernels are run whose threads share their work, in float32.
"""

import re
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import pytest

from minitorch.kernels import quiet, reference

import cuda_cases
import paper_gpu
from cuda_cases import FAMILIES, on_device, on_rows, to_device, to_host
from kernel_checks import check_same, normal
from paper_gpu import long

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
SHARING = ("softmax", "norms", "products", "losses", "steps")


@pytest.fixture(autouse=True, scope="module")
def compiler():
    missing = paper_gpu.missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture
def paper(compiler):
    with paper_gpu.running() as memory:
        yield memory


@pytest.mark.parametrize("dtype, family", [
    pytest.param(dtype, family, marks=() if (dtype, family in SHARING) == ("float32", True) else long)
    for dtype in TOLERANCE for family in FAMILIES])
def test_equal_to_the_reference(paper, family, dtype):
    seen: dict = {}
    for name, *args in cuda_cases.cases(dtype, family):
        seen[name] = seen.get(name, 0) + 1
        for layout in ("packed", "strided") if seen[name] <= 2 else ("strided",):      # what goes strided goes packed
            with saying(name, args, layout):
                compare(name, args, TOLERANCE[dtype], layout)
    assert seen


@long
@pytest.mark.parametrize("family", FAMILIES)
def test_float16_is_stored_and_float32_calculates(paper, family):
    """As good as the reference in float32 with the last rounding to float16."""
    tried = 0
    for name, *args in cuda_cases.cases("float32", family):
        if any(not (abs(a[np.isfinite(a)]) < 100).all() for a in floats(args)):
            continue        # float16 has no room for squares of more
        tried += 1
        args = [as_dtype(a, "f2") for a in args]
        with saying(name, args, "float16"):
            got, want = both(name, args, [as_dtype(a, "f4") for a in args])
            for g, w in zip(got, want, strict=True):
                if w is not None and w.dtype.kind == "f":
                    assert g.shape == w.shape
                    np.testing.assert_allclose(g, w.astype("f2"), rtol=4e-3,
                                               atol=4e-3 * abs(w[np.isfinite(w)]).max(initial=1e-3))
                else:
                    check_same(g, w)
    assert tried


def larger():
    """Sizes at which threads share their work as they do for models: a row is a warp's, a block's, or several turns of a
    block; read in fours or one by one; tiles full and not; sums of many blocks."""
    for shape in (5, 768), (3, 767), (2, 5000), (2, 9001):
        x = normal(*shape)
        yield from on_rows(x, normal(*shape, seed=1), normal(shape[1], seed=2), normal(shape[1], seed=3))
        yield "sum_forward", x, (1,), False
    for classes in 1000, 1001:
        z, labels = normal(70, classes, scale=3), np.arange(70) * 13 % classes
        labels[3] = -100
        _, *sums = reference.cross_entropy_forward(z, labels, None, -100, 0.1)
        yield "cross_entropy_forward", z, labels, None, -100, 0.1
        yield "cross_entropy_backward", normal(70, seed=2), z, labels, None, *sums, -100, 0.1
    yield "layernorm_backward", *[normal(700, 40, seed=i) for i in (0, 1)], normal(40), normal(700), normal(700)
    for shape, dims in ((700, 70), (0,)), ((3, 500, 40), (0, 1)), ((130_000,), (0,)), ((700, 3), (0, 1)):
        yield "sum_forward", normal(*shape), dims, False
        yield "amax_forward", normal(*shape), dims, False
    yield "cumsum_forward", normal(3, 3000), 1
    yield "max_forward", normal(3, 3000), 1, False
    yield "sort_forward", normal(3, 300), 1, False
    for m, k, n in (130, 70, 150), (129, 17, 131), (64, 256, 4):
        x, y = normal(m, k), normal(k, n, seed=1)
        yield "matmul_forward", x, y
        yield "matmul_backward", normal(m, n, seed=2), x, y
    yield "matmul_forward", normal(3, 40, 33), normal(33, 65)
    yield "linear_backward", normal(700, 70), normal(700, 66), normal(70, 66)      # the weight's in shares
    yield "linear_forward", normal(3, 600), normal(5, 600), normal(5)
    yield "embedding_backward", normal(700, 40), np.arange(700) * 31 % 97, 97, None


@long
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_larger_sizes(paper, dtype):
    with quiet():
        for name, *args in larger():
            args = [as_dtype(a, dtype) for a in args]
            with saying(name, args, dtype):
                compare(name, args, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype, D", [
    pytest.param(dtype, D, marks=() if (dtype, D) == ("float32", 64) else long)
    for dtype in TOLERANCE for D in (16, 32, 64, 128)])
def test_attention_of_several_tiles(paper, D, dtype):
    for T, S, causal, p, mask in (70, 70, True, 0.0, None), (33, 70, False, 0.2, normal(33, 70) > -1):
        q, k, v, dy = [as_dtype(normal(1, 2, n, D, seed=i), dtype) for i, n in enumerate((T, S, S, T))]
        y, lse = reference.attention_forward(q, k, v, mask, causal, D**-0.5, p, 3)
        compare("attention_forward", [q, k, v, mask, causal, D**-0.5, p, 3], TOLERANCE[dtype])
        compare("attention_backward", [dy, q, k, v, mask, y, lse, causal, D**-0.5, p, 3], TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["naive", "coalesced", "tiled", "registers", "vector"])
def test_every_rung_of_the_ladder_of_products(paper, name):
    rung, (x, y) = import_module("minitorch.kernels.cuda.matmul").ladder[name], (normal(130, 70), normal(70, 132))
    check_same(to_host(rung(to_device(x), to_device(y))), x @ y)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_an_optimizer_steps_all_parameters_in_one_launch(paper, dtype):
    shapes = [(3, 4), (70, 300), (7,), (5, 5), (1,), (40,), (0, 3)]
    for name, columns, settings in [("adam_step", 5, (3, 0.01, 0.9, 0.99, 1e-8, 0.1, True, False)),
                                    ("sgd_step", 3, (0.1, 0.9, 0.1, 0.01, True, True, False))]:
        columns = [[as_dtype(abs(normal(*shape, seed=i)), dtype) for shape in shapes] for i in range(columns)]
        there = [to_device(column) for column in columns]
        getattr(import_module("minitorch.kernels.cuda"), name)(*there, *settings)
        for row in zip(*columns):
            getattr(reference, name)(*row, *settings)
        for got, want in zip(there, columns):
            check_same(to_host(got), tuple(want), TOLERANCE[dtype])


@long
def test_warps_need_not_keep_step(compiler):
    """The same bits when each warp of a block goes as far as it can before the next one begins: barriers are where they must
    be. (In which order they go is a GPU's own affair.)"""
    chosen = [(name, [as_dtype(a, "float32") for a in args]) for name, *args in larger() if max(args[0].shape) < 5000]
    q, k, v, dy = [normal(1, 2, 70, 32, seed=i, dtype="float32") for i in range(4)]
    y, lse = reference.attention_forward(q, k, v, None, True, 0.2, 0.1, 3)
    chosen += [("attention_forward", [q, k, v, None, True, 0.2, 0.1, 3]),
               ("attention_backward", [dy, q, k, v, None, y, lse, True, 0.2, 0.1, 3])]
    bits = []
    for apart in False, True:
        with paper_gpu.running(apart=apart):
            bits.append([[x.tobytes() for x in leaves(getattr(on_device(), name)(*args)) if x is not None]
                         for name, args in chosen])
    for (name, _), together, one_by_one in zip(chosen, *bits):
        assert together == one_by_one, name


KINDS = ("bool", "uint8", "int16", "int32", "int64", "float16", "float32", "float64")


@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype_becomes_every_other(paper, kind):
    x = np.array([0, -0.0, 0.3, 0.5, 1.5, 2.5, 3.999, 100, 1e-7, -0.7, -1.5, -100.99])
    for other in KINDS:
        with np.errstate(all="ignore"):
            given = (abs(x) if "uint8" in (kind, other) else x).astype(kind)
            want = given.astype(other)
        check_same(to_host(to_device(given).astype(np.dtype(other))), want, 0)


FAULTS = [      # what is changed in the PTX, a call that goes wrong then, and how
    (r"bar\.sync \t?0;", "", ["softmax_forward", normal(2, 700), 1], "reads shared memory that nobody wrote"),
    (r"setp\.ge\.s64", "setp.gt.s64", ["softmax_forward", normal(1, 33), 1], "is outside all arrays: 4 bytes at .*, 132 "),
    (r"(ld\.global\.v4.*)\]", r"\1+4]", ["softmax_forward", normal(2, 64), 1], "takes 16 bytes at once at .*not a multiple"),
    (r"shfl\.sync\.bfly", "shfl.sync.rotate", ["softmax_forward", normal(2, 64), 1], "'shfl.sync.rotate.b32' is not known"),
    (r"(mov\.u32 .*) 16;", r"\1 15;", ["sum_forward", normal(2, 33), (1,), False], "result.* off by"),
    (r"sub\.f32", "add.f32", ["layernorm_forward", normal(2, 64), None, None, 1e-5], "result.* off by"),
    (r"cvt\.rzi", "cvt.rni", ["cast_forward", normal(9, scale=9), "int64"], "Mismatched elements"),
]


@pytest.mark.parametrize("pattern, instead, case, words", FAULTS, ids=[case[1] for case in FAULTS])
def test_a_fault_in_compiled_code_is_found(compiler, pattern, instead, case, words):
    changed = []

    def change(ptx):
        ptx, n = re.subn(pattern, instead, ptx)
        changed.append(n)
        return ptx

    name, *args = case
    with paper_gpu.running(change=change, apart=True), pytest.raises((RuntimeError, AssertionError), match=words):
        compare(name, [as_dtype(a, "float32") for a in args], TOLERANCE["float32"])
    assert any(changed)


# ---------------------------------------------------------------------------------------------------------------------

def compare(name, args, tolerance, layout="packed"):
    """Equal to the reference; or, where rounding left it something instead of 0, to the reference in float64."""
    got, want = both(name, args, [a.copy() if isinstance(a, np.ndarray) else a for a in args], layout)
    try:
        check_same(tuple(got), tuple(want), tolerance)
    except AssertionError:
        if tolerance == TOLERANCE["float64"] or name.endswith("_step"):
            raise
        _, want = both(name, args, as_dtype(args, "float64"), layout)
        check_same(tuple(got), tuple(as_dtype(want, "float32")), tolerance)


def both(name, args, copies, layout="packed"):
    """What the compiled kernels make of it, and the reference of the copies. Optimizer steps work in place."""
    settings = {"needs": (True,) * (len(args) - 2)} if name == "einsum_backward" else {}
    arrays = on_device(layout)
    with quiet():
        want = getattr(reference, name)(*copies, **settings)
    got = getattr(arrays, name)(*args, **settings)
    if name.endswith("_step"):
        got, want = zip(*[(a, b) for a, b in zip(arrays.arguments, copies) if isinstance(b, np.ndarray)])
    return [[np.asarray(y) if isinstance(y, np.generic) else y for y in leaves(side)] for side in (got, want)]


def leaves(x):
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, (tuple, list)) else [x]


@contextmanager
def saying(name, args, how):
    """Which call it was, should it go wrong."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{name}({', '.join(str(getattr(a, 'shape', a)) for a in args)}), {how}: {error}") from error


def as_dtype(x, dtype):
    """The same with floats of this dtype, also in tuples and lists."""
    if isinstance(x, (tuple, list)):
        return type(x)([as_dtype(a, dtype) for a in x])
    return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def floats(args):
    return [a for a in leaves(list(args)) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]

"""The single operations: every case runs, on every side, and all of them compute the same."""

import numpy as np
import pytest

from minitorch.bench import compare, ops, worker

CASES = ops.cases(quick=True)



@pytest.fixture(scope="module")
def ours():
    return worker.load("minitorch", threads=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']} {case['size']}")
def test_same_result_as_the_reference_and_as_pytorch(case, ours, torch):
    _, mine = ops.prepare(ours, case)
    library = worker.SimpleNamespace(torch=torch, nn=torch.nn, F=torch.nn.functional, compiled=lambda f: f)
    _, theirs = ops.prepare(library, case)
    assert compare._difference("torch", theirs, mine) == ""
    assert len(mine["fingerprint"]) == len(theirs["fingerprint"]) > 0 or case["name"] == "dropout"


def test_the_reference_is_really_used(ours):
    seen = []
    reference = worker.load("reference", threads=1)
    try:
        kernels = reference.torch.kernels
        seen.append(kernels.backend(np.zeros(1, np.float32)))
    finally:
        reference.backend.__exit__(None, None, None)
    assert seen == [kernels.reference] and kernels.backend(np.zeros(1, np.float32)) is kernels.cpu


def test_gradients_do_not_add_up_from_call_to_call(ours):
    case = next(c for c in CASES if c["name"] == "linear")
    make = ops.Maker(ours)
    run = ops.OPS["linear"].build(make, worker.SimpleNamespace(**case))
    run()
    first = make.leaves[0].grad.numpy().copy()
    run()
    assert len(make.leaves) == 3 and np.array_equal(first, make.leaves[0].grad.numpy())


def test_sizes_and_floors():
    cases = {(c["name"], c["size"]): c for c in ops.cases()}
    assert cases["layernorm", "GPT-2"]["bytes"] == 4 * 5 * 2048 * 768
    assert cases["linear", "small"]["flops"] == 3 * 2 * 768 * 128 * 512
    assert cases["attention, causal", "1x4x4096x64"]["flops"] == 7 * 2 * 4 * 4096 ** 2 * 64 // 2
    assert cases["add", "8 numbers"]["bytes"] == 0
    assert len(cases) == len(ops.cases()) > 30

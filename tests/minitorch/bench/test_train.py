"""The model that is trained: equal weights, equal losses, whichever library runs it."""

import pytest

from minitorch.bench import train, worker

TINY = (65, 16, 2, 2, 32, 4)


@pytest.fixture(scope="module")
def ours():
    return worker.load("minitorch", threads=1)


@pytest.mark.parametrize("model", train.MODELS)
@pytest.mark.parametrize("gelu", ["exact", "tanh"])
def test_same_losses_as_pytorch(model, gelu, ours, torch):
    theirs = worker.SimpleNamespace(torch=torch, nn=torch.nn, F=torch.nn.functional, compiled=lambda f: f)
    case = train.case(TINY, model, gelu)
    step, facts = train.prepare(ours, case)
    _, expected = train.prepare(theirs, case)
    assert facts["losses"] == pytest.approx(expected["losses"], rel=1e-5, abs=0) and len(facts["losses"]) == 5
    assert facts["losses"][0] > facts["losses"][-1] > step()      # it learns the batch by heart


def test_the_two_approximations_are_two(ours):
    exact, tanh = (train.prepare(ours, train.case(TINY, gelu=gelu))[1] for gelu in ("exact", "tanh"))
    assert exact != tanh


def test_the_projection_computes_the_same(ours):
    by_hand, projection = (train.prepare(ours, train.case(TINY, loss=loss))[1] for loss in ("by hand", "projection"))
    assert projection["losses"] == pytest.approx(by_hand["losses"], rel=1e-5, abs=0)


def test_a_case_may_ask_for_fewer_steps_and_its_own_weights(ours):
    _, facts = train.prepare(ours, {**train.case(TINY, weights="own"), "steps": 1})
    assert len(facts["losses"]) == 1


def test_the_configurations():
    assert [case["size"] for case in train.cases()] == [
        "65, 64, 4, 4, 128, 12", "65, 256, 6, 6, 384, 8", "8192, 256, 4, 8, 256, 8", "50304, 256, 2, 12, 768, 2",
        "65, 1024, 2, 4, 256, 2"]
    weights, attention = 12 * 6 * 384 ** 2 + 65 * 384, 7 * 6 * 6 * 64 * 256 ** 2 * 8
    assert train.cases()[1]["flops"] == 6 * 2048 * weights + attention

"""gradcheck: right gradients pass, wrong ones are refused with the right diagnosis, kinks are told from mistakes."""

import inspect

import numpy as np
import pytest

import minitorch as mt
from minitorch.autograd import Function, gradcheck
from minitorch.gradcheck import GradcheckError, check

F = mt.nn.functional


def tensor(*shape, seed=0, dtype="float64", requires_grad=True):
    return mt.tensor(np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype), requires_grad=requires_grad)


def op(forward, backward, name="Op"):
    """A Function from two plain functions; backward gets dy and then forward's inputs."""
    def run(self, *inputs):
        self.inputs = inputs
        return forward(*inputs)

    run.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
                                           *inspect.signature(forward).parameters.values()])
    return type(name, (Function,), {"forward": run, "backward": lambda self, *dys: backward(*dys, *self.inputs)})


def complaint(func, *inputs, **settings):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(func, inputs, **settings)
    return str(caught.value)


# --- what passes

@pytest.mark.parametrize("func, shapes", [
    (lambda x: x.exp(), [(3, 4)]),
    (lambda x: (x * x).sum(), [(5,)]),
    (lambda x, y: x @ y, [(3, 4), (4, 2)]),
    (lambda x, y: x + y, [(3, 1), (4,)]),
    (lambda x: x.split(2), [(5, 3)]),
    (lambda x: x.max(1), [(4, 5)]),
    (lambda x: x.T.reshape(2, 6), [(4, 3)]),
    (lambda x: x.softmax(-1), [(60, 70)]),
    (lambda x: x * 3, [()]),
    (lambda x: x * 3, [(0, 4)]),
])
def test_right_gradients_pass(func, shapes):
    assert gradcheck(func, [tensor(*s, seed=i) for i, s in enumerate(shapes)]) is True


def test_float32_inputs_are_checked_in_float64_and_left_alone():
    x = tensor(3, 4, dtype="float32")
    before = x.data.copy()
    assert gradcheck(lambda x: F.layer_norm(x, (4,)), x)
    assert x.dtype == mt.float32 and x.grad is None and (x.data == before).all()


def test_read_only_and_strided_inputs():
    x = tensor(4, 6)
    wide = np.random.default_rng(1).normal(size=(6, 8))[::-2, ::2].T
    wide.flags.writeable = False
    y = mt.from_numpy(wide)
    y.requires_grad = True
    assert gradcheck(lambda x, y: y @ x[:3], (x, y))


def test_a_module_is_checked_with_its_parameters():
    report = check(mt.nn.Linear(4, 3), tensor(2, 4, dtype="float32"))
    assert report.ok and [x.name for x in report.inputs] == ["input", "weight", "bias"]


def test_both_names_are_one_function():
    assert mt.autograd.gradcheck is gradcheck


def test_the_signature_is_pytorchs():
    torch = pytest.importorskip("torch")
    ours, theirs = inspect.signature(gradcheck).parameters, inspect.signature(torch.autograd.gradcheck).parameters
    for name in ("func", "inputs", "eps", "atol", "rtol", "raise_exception", "nondet_tol", "check_undefined_grad",
                 "check_grad_dtypes", "check_batched_grad", "fast_mode", "masked"):
        assert ours[name].kind == theirs[name].kind


def test_a_wide_range_of_sizes():
    for scale in (1e-6, 1e-3, 1e3, 1e6):
        x = mt.tensor(np.random.default_rng(0).normal(size=(3, 5)) * scale, requires_grad=True)
        assert gradcheck(lambda x: x.softmax(-1) if scale < 10 else x * x, x), scale  # noqa: B023
    far = mt.tensor(1e6 + np.random.default_rng(0).normal(size=(3, 5)), requires_grad=True)
    assert gradcheck(lambda x: F.layer_norm(x, (5,)), far, atol=1e-6)


def test_complex_step_has_fifteen_digits():
    from minitorch.ops.layernorm import LayerNorm
    with mt.kernels.use("reference"):
        report = check(lambda x: LayerNorm.apply(x, None, None, eps=1e-5), tensor(4, 5), method="complex")
    assert report.ok and report.max_error < 1e-14 and report.inputs[0].method == "complex step"


# --- tolerances

HALF_A_THOUSANDTH = op(lambda x: x * x, lambda dy, x: dy * 2 * x * 1.0005)


def test_wrong_by_a_twentieth_of_a_percent_is_refused():
    text = complaint(HALF_A_THOUSANDTH, tensor(3, 4))
    assert "times a constant, 1.0005" in text


def test_explicit_tolerances_are_honoured():
    assert gradcheck(HALF_A_THOUSANDTH, tensor(3, 4), rtol=1e-3, atol=1e-5, eps=1e-6)
    assert not gradcheck(HALF_A_THOUSANDTH, tensor(3, 4), rtol=1e-4, atol=0, raise_exception=False)


def test_one_wrong_element_of_many_is_found_and_named():
    def backward(dy, x):
        g = dy * 2 * x
        g[41, 17] *= 1.001
        return g
    report = check(op(lambda x: x * x, backward), tensor(60, 50))
    assert not report and report.inputs[0].worst == (41, 17)


def test_fast_mode_catches_too():
    assert not gradcheck(HALF_A_THOUSANDTH, tensor(3, 4), fast_mode=True, raise_exception=False)
    assert gradcheck(lambda x: x.exp(), tensor(3, 4), fast_mode=True)


# --- kinks

ZEROS = [0.0, 1.0, -1.0, 0.0]


@pytest.mark.parametrize("func", [mt.relu, mt.abs, lambda x: mt.relu(x) * 2 + mt.abs(x), lambda x: x.amax()])
def test_an_input_on_a_kink_passes(func):
    x = mt.tensor(ZEROS[:1] + ZEROS[:3] + [1.0], requires_grad=True)
    assert gradcheck(func, x)


def test_kinks_are_counted():
    report = check(mt.relu, mt.tensor(ZEROS, requires_grad=True))
    assert report.ok and report.kinks > 0 and "at a kink, skipped" in str(report)


@pytest.mark.parametrize("at_zero", [-0.01, 1.01, 5.0])
def test_a_value_outside_the_two_slopes_is_wrong(at_zero):
    bad = op(lambda x: np.maximum(x, 0), lambda dy, x: dy * np.where(x == 0, at_zero, x > 0))
    text = complaint(bad, mt.tensor(ZEROS, requires_grad=True))
    assert "kink" in text and "x[0]" in text


def test_a_kink_does_not_hide_a_wrong_smooth_part():
    bad = op(lambda x: np.maximum(x, 0) + x * x, lambda dy, x: dy * ((x > 0) + 2 * x + 1.5))
    assert not gradcheck(bad, mt.tensor([0.0], requires_grad=True), raise_exception=False)
    sneaky = op(lambda x: np.array([np.maximum(x, 0).sum(), (3 * x).sum()]),
                lambda dy, x: dy[0] * (x > 0) + dy[1] * 3.01 * np.ones_like(x))
    assert not gradcheck(sneaky, mt.tensor([0.0, 2.0], requires_grad=True), raise_exception=False)


def test_steep_is_not_a_kink():
    steep = op(lambda x: np.tanh(x * 1e4), lambda dy, x: dy * 0.5 * 1e4 / np.cosh(x * 1e4) ** 2)
    assert not gradcheck(steep, mt.tensor([1e-5], requires_grad=True), raise_exception=False)


def test_near_a_kink_smaller_steps_help():
    assert gradcheck(mt.relu, mt.tensor([1e-5, -1e-5, 1.0, 2.0], requires_grad=True))


# --- the diagnosis

X, B = tensor(3, 4), tensor(3, 4, seed=1)
GUESSES = [
    ("wrong sign", lambda x: np.sin(x), lambda dy, x: -dy * np.cos(x), [X]),
    ("factor of 2: backward gives 1/2", lambda x: x * x, lambda dy, x: dy * x, [X]),
    ("factor of 3: backward gives 3", lambda x: x * 1.0, lambda dy, x: dy * 3, [tensor(4, 5)]),
    ("constant, 2/3", lambda x: x**3, lambda dy, x: dy * 2 * x * x, [X]),
    ("factor of √3", lambda x: x * 2.0, lambda dy, x: dy * 2 * np.sqrt(3), [tensor(3, 7)]),
    ("zero everywhere", lambda x: x * 2, lambda dy, x: np.zeros_like(x), [X]),
    ("No gradient arrives at all", lambda x, y: x * y, lambda dy, x, y: (dy * y, None), [X, B]),
    ("gradient of 'y'", lambda x, y: x * y, lambda dy, x, y: (dy * x, dy * y), [X, B]),
    ("A mean where a sum belongs? It is 1/5 of the truth, and axis 0 of the output has size 5",
     lambda x: np.broadcast_to(x, (5, 4)).copy(), lambda dy, x: dy.mean(0), [tensor(4)]),
    ("A sum where a mean belongs? It is 4 times", lambda x: x.mean(-1), lambda dy, x: np.repeat(dy[:, None], 4, 1), [X]),
    ("missing sum over axis 0 of the output: only entry 0 of its 5",
     lambda x: np.broadcast_to(x, (5, 4)).copy(), lambda dy, x: dy[0], [tensor(4)]),
    ("only the first 4 of 5 entries", lambda x: np.broadcast_to(x, (5, 4)).copy(), lambda dy, x: dy[:4].sum(0), [tensor(4)]),
    ("transpose: axes 0 and 1", lambda x: np.sin(x), lambda dy, x: (dy * np.cos(x)).T.copy(), [tensor(4, 4)]),
    ("upstream gradient dy, unchanged", lambda x: x * x, lambda dy, x: dy.copy(), [X]),
    ("does not depend on the upstream gradient", lambda x: x * x, lambda dy, x: 2 * x, [X]),
    ("Only the diagonal of the Jacobian", lambda x: x * x.sum(-1, keepdims=True),
     lambda dy, x: dy * (x + x.sum(-1, keepdims=True)), [X]),
    ("multiplied by 'x' it would be right", lambda x: x**3, lambda dy, x: dy * 3 * x, [X]),
    ("the true gradient times 'y'", lambda x, y: x + y, lambda dy, x, y: (dy * y, dy), [X, B]),
    ("Only entry 2 of 3 along axis 0 is zero. Is the last block dropped?",
     lambda x: x * x, lambda dy, x: dy * 2 * x * np.array([[1], [1], [0]]), [X]),
    ("shifted by one place along axis 1", lambda x: np.sin(x), lambda dy, x: np.roll(dy * np.cos(x), 1, 1), [X]),
    ("constant along axis 1", lambda x: x - x.mean(-1, keepdims=True) + x * x,
     lambda dy, x: dy + 2 * x * dy, [X]),
    ("nearly right", lambda x: np.sqrt(x * x + 1e-5), lambda dy, x: dy * x / (np.sqrt(x * x) + 1e-5), [X]),
    ("NaN", lambda x: x * 2, lambda dy, x: dy * np.nan, [X]),
    ("infinite", lambda x: x * 2, lambda dy, x: dy * np.inf, [X]),
    ("edge of its domain", lambda x: np.log(x), lambda dy, x: dy * 1e3, [mt.tensor([0.0, 1.0], dtype=mt.float64,
                                                                                   requires_grad=True)]),
]


@pytest.mark.parametrize("expected, forward, backward, inputs", GUESSES, ids=[g[0][:40] for g in GUESSES])
def test_guesses(expected, forward, backward, inputs):
    assert expected in complaint(op(forward, backward), *inputs)


def test_softmax_without_its_cross_terms():
    def softmax(x):
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True)
    bad = op(softmax, lambda dy, x: dy * softmax(x) * (1 - softmax(x)))
    assert "Only the diagonal of the Jacobian" in complaint(bad, X)


def test_the_message_names_function_op_input_place_and_numbers():
    bad = op(lambda weight: weight**3, lambda dy, weight: dy * weight**2, name="Cube")

    def loss(data, weight):
        return (mt.exp(data) * bad.apply(weight)).sum()

    text = complaint(loss, tensor(2, 4), tensor(4, seed=1))
    assert "loss: the gradient of 'weight' is wrong (Cube.backward)" in text
    assert "at weight[" in text and "backward says" in text and "it should be" in text and "factor of 3" in text
    assert "'data'" not in text


def test_the_wrong_op_of_a_long_graph_is_named():
    bad = op(lambda x: np.sin(x), lambda dy, x: dy * np.sin(x), name="BadSine")
    text = complaint(lambda x: (mt.tanh(bad.apply(mt.exp(x) * 2).reshape(4, 3)) @ x).mean(), X)
    assert "(BadSine.backward)" in text


def test_the_error_carries_the_report():
    with pytest.raises(RuntimeError) as caught:
        gradcheck(HALF_A_THOUSANDTH, tensor(3, 4))
    report = caught.value.report
    assert not report.ok and report.op == "Op" and report.inputs[0].off == report.inputs[0].checked - 132


# --- manners

def test_no_input_requires_grad():
    with pytest.raises(ValueError, match="requires_grad=True"):
        gradcheck(lambda x: x * 2, tensor(3, requires_grad=False))


def test_dropout_is_noticed():
    text = complaint(lambda x: F.dropout(x, 0.5), tensor(4, 5))
    assert "different values for the same input: is dropout on?" in text

    def seeded(x):
        mt.manual_seed(0)
        return F.dropout(x, 0.5)
    assert gradcheck(seeded, tensor(4, 5))


def test_a_cut_graph_is_noticed():
    assert "graph was cut" in complaint(lambda x: x.detach() * 2, X)


def test_rounding_to_float32_inside_is_noticed():
    assert "result is float32" in complaint(lambda x: x.float() * 2, X)


def test_integer_outputs_are_ignored():
    assert gradcheck(lambda x: (x * 2, x.argmax(1)), X)


def test_backward_that_writes_into_dy():
    def backward(dy, x):
        dy *= 2
        return dy.copy()
    assert "wrote into the upstream gradient" in complaint(op(lambda x: x * 2, backward), X)


def test_forward_that_writes_into_its_input():
    def forward(x):
        x += 1
        return x * 2
    assert "forward wrote into" in complaint(op(forward, lambda dy, x: dy * 2), X)


def test_backward_that_changes_what_it_saved():
    def backward(dy, x, c=[2.0]):  # noqa: B006
        c[0] += 1e-13
        return dy * c[0]
    text = complaint(op(lambda x: x * 2, backward), X)
    assert "two different gradients" in text
    assert gradcheck(op(lambda x: x * 2, backward), X, nondet_tol=1e-9)


def test_backward_that_assumes_contiguous_memory():
    def backward(dy, x):
        return 2 * np.lib.stride_tricks.as_strided(dy, dy.shape, (dy.shape[1] * 8, 8))
    text = complaint(op(lambda x: x * 2, backward), mt.tensor(np.ones((3, 4)), requires_grad=True))
    assert "dy" in text and "contiguous" in text


def test_unused_outputs():
    good = op(lambda x: (x * 2, x * 3),
              lambda da, db, x: (0 if da is None else 2 * da) + (0 if db is None else 3 * db))
    assert gradcheck(good, X)
    bad = op(lambda x: (x * 2, x * 3), lambda da, db, x: 2 * da + 3 * db)
    assert "Treat None as zero" in complaint(bad, X)
    assert gradcheck(bad, X, check_undefined_grad=False)


def test_batched_gradients_are_refused():
    with pytest.raises(NotImplementedError, match="vmap"):
        gradcheck(mt.exp, X, check_batched_grad=True)


def test_the_same_answer_every_time():
    first, second = (str(check(HALF_A_THOUSANDTH, tensor(20, 30))) for _ in range(2))
    assert first == second

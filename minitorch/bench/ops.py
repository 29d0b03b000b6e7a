"""Single operations, forward and backward: what is timed, written once, run with every library.

``cases`` lists them with the sizes of a small model and of one as large as GPT-2, and with what must be done at least: the
bytes that have to be moved and the multiplications and additions of the products. ``prepare`` builds one.

Numbers come from NumPy with a fixed seed, so all libraries get the same ones, and must come to the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

__all__ = ["OPS", "SIZES", "cases", "prepare"]

SIZES = {
    "tiny": {"rows": 32, "d": 16, "vocabulary": 65, "labels": 32},
    "small": {"rows": 768, "d": 128, "vocabulary": 65, "labels": 768},
    "GPT-2": {"rows": 2048, "d": 768, "vocabulary": 50304, "labels": 256},
    "large": {"rows": 16384, "d": 2048, "vocabulary": 50304, "labels": 1024},      # for a GPU: more than its cache holds
}
OPS: dict[str, SimpleNamespace] = {}


def op(name: str, sizes=None, moved=lambda n: 0, flops=lambda n: 0):
    """Add a case. The function under it takes a Maker and the sizes, and returns what to call.

    ``sizes``: label → numbers, where they are not those of a model. ``moved``: numbers that forward and backward have to
    read or write; ``flops``: of the matrix products in them.
    """
    def add(build):
        OPS[name] = SimpleNamespace(build=build, sizes=sizes, moved=moved, flops=flops)
        return build
    return add


def cases(quick: bool = False, labels: tuple = ("small", "GPT-2")) -> list[dict]:
    """Every op at every size.

    >>> {case["size"] for case in cases(quick=True) if case["name"] == "layernorm"}
    {'tiny'}
    >>> [case["size"] for case in cases() if case["name"] == "gelu"]
    ['small', 'GPT-2']
    """
    found = []
    for name, this in OPS.items():
        sizes = this.sizes or {label: SIZES[label] for label in (["tiny"] if quick else labels)}
        for label, numbers in sizes.items():
            if quick and "T" in numbers:
                numbers = {**numbers, "T": max(8, numbers["T"] // 16)}
            n = SimpleNamespace(**numbers)
            found.append({"name": name, "size": label, **numbers, "bytes": 4 * this.moved(n), "flops": this.flops(n)})
    return found


def prepare(library, case: dict):
    """What to call, and a fingerprint of what it computes, to be compared with the other libraries'."""
    make = Maker(library)
    run = OPS[case["name"]].build(make, SimpleNamespace(**case))
    results = [run(), *(x.grad for x in make.leaves)]
    if make.random or not case.get("compared", True):
        results = []
    return run, {"fingerprint": [_fingerprint(x) for x in results if x is not None]}


class Maker:
    """Makes a case's tensors from a fixed seed, in each library's own memory; ``leaves`` are those that get gradients."""

    def __init__(self, library):
        self.torch, self.nn, self.F, self.compiled = library.torch, library.nn, library.F, library.compiled
        self.device = getattr(library, "device", "cpu")
        self.numbers = np.random.default_rng(0)
        self.leaves: list = []
        self.random = False     # whether the result differs from library to library

    def constant(self, *shape):
        return self.torch.tensor(self.numbers.standard_normal(shape, np.float32)).to(self.device)

    def leaf(self, *shape):
        self.leaves.append(self.constant(*shape).requires_grad_())
        return self.leaves[-1]

    def ids(self, below: int, *shape):
        return self.torch.from_numpy(self.numbers.integers(0, below, shape)).to(self.device)

    def backward(self, forward: Callable) -> Callable:
        """Forward, then backward from a fixed upstream gradient. Each call begins without gradients."""
        forward = self.compiled(forward)
        dy = self.constant(*forward().shape)

        def run():
            for x in self.leaves:
                x.grad = None
            y = forward()
            y.backward(dy)
            return y
        return run


# ---------------------------------------------------------------------------------------------------------------------
# rows of features

@op("layernorm", moved=lambda n: 5 * n.rows * n.d)
def _layernorm(make, n):
    x, weight, bias = make.leaf(n.rows, n.d), make.leaf(n.d), make.leaf(n.d)
    return make.backward(lambda: make.F.layer_norm(x, (n.d,), weight, bias))


@op("rmsnorm", moved=lambda n: 5 * n.rows * n.d)
def _rmsnorm(make, n):
    x, weight = make.leaf(n.rows, n.d), make.leaf(n.d)
    return make.backward(lambda: make.F.rms_norm(x, (n.d,), weight))


@op("softmax", moved=lambda n: 5 * n.rows * n.d)
def _softmax(make, n):
    x = make.leaf(n.rows, n.d)
    return make.backward(lambda: make.F.softmax(x, -1))


@op("log_softmax", moved=lambda n: 5 * n.rows * n.d)
def _log_softmax(make, n):
    x = make.leaf(n.rows, n.d)
    return make.backward(lambda: make.F.log_softmax(x, -1))


@op("gelu", moved=lambda n: 20 * n.rows * n.d)
def _gelu(make, n):
    x = make.leaf(n.rows, 4 * n.d)
    return make.backward(lambda: make.F.gelu(x))


@op("gelu, tanh", moved=lambda n: 20 * n.rows * n.d)
def _gelu_tanh(make, n):
    x = make.leaf(n.rows, 4 * n.d)
    return make.backward(lambda: make.F.gelu(x, approximate="tanh"))


@op("relu", moved=lambda n: 20 * n.rows * n.d)
def _relu(make, n):
    x = make.leaf(n.rows, 4 * n.d)
    return make.backward(lambda: make.F.relu(x))


@op("masked fill", moved=lambda n: 4.5 * n.rows * n.d)      # a mask's numbers are a byte each
def _masked_fill(make, n):
    """What attention written by hand does to the scores of words that are hidden."""
    x, hidden = make.leaf(n.rows, n.d), make.constant(n.rows, n.d) > 0
    return make.backward(lambda: x.masked_fill(hidden, -1e9))


@op("dropout", moved=lambda n: 16 * n.rows * n.d)
def _dropout(make, n):
    make.random = True
    x = make.leaf(n.rows, 4 * n.d)
    return make.backward(lambda: make.F.dropout(x, 0.1))


@op("residual add", moved=lambda n: 3 * n.rows * n.d)
def _residual(make, n):
    x, f = make.leaf(n.rows, n.d), make.leaf(n.rows, n.d)
    if hasattr(make.F, "residual_add"):
        return make.backward(lambda: make.F.residual_add(x, f))
    return make.backward(lambda: x + f)


# ---------------------------------------------------------------------------------------------------------------------
# words

@op("cross-entropy", moved=lambda n: 3 * n.labels * n.vocabulary)
def _cross_entropy(make, n, smoothing=0.0):
    logits, labels = make.leaf(n.labels, n.vocabulary), make.ids(n.vocabulary, n.labels)
    return make.backward(lambda: make.F.cross_entropy(logits, labels, label_smoothing=smoothing))


@op("cross-entropy, smoothed", moved=lambda n: 3 * n.labels * n.vocabulary)
def _cross_entropy_smoothed(make, n):
    return _cross_entropy(make, n, 0.1)


@op("embedding", moved=lambda n: (3 * n.rows + n.vocabulary) * n.d)
def _embedding(make, n):
    weight, ids = make.leaf(n.vocabulary, n.d), make.ids(n.vocabulary, n.rows)
    return make.backward(lambda: make.F.embedding(ids, weight))


# ---------------------------------------------------------------------------------------------------------------------
# matrix products

@op("linear, no bias", moved=lambda n: 15 * n.rows * n.d + 12 * n.d ** 2, flops=lambda n: 24 * n.rows * n.d ** 2)
def _linear(make, n):
    x, weight = make.leaf(n.rows, n.d), make.leaf(4 * n.d, n.d)
    return make.backward(lambda: make.F.linear(x, weight))


@op("linear", moved=lambda n: 15 * n.rows * n.d + 12 * n.d ** 2, flops=lambda n: 24 * n.rows * n.d ** 2)
def _linear_with_bias(make, n):
    x, weight, bias = make.leaf(n.rows, n.d), make.leaf(4 * n.d, n.d), make.leaf(4 * n.d)
    return make.backward(lambda: make.F.linear(x, weight, bias))


@op("ffn", moved=lambda n: 20 * n.rows * n.d + 24 * n.d ** 2, flops=lambda n: 48 * n.rows * n.d ** 2)
def _ffn(make, n):
    x, w1, b1 = make.leaf(n.rows, n.d), make.leaf(4 * n.d, n.d), make.leaf(4 * n.d)
    w2, b2, F = make.leaf(n.d, 4 * n.d), make.leaf(n.d), make.F
    if hasattr(F, "feed_forward"):
        return make.backward(lambda: F.feed_forward(x, w1, b1, w2, b2, "gelu"))
    return make.backward(lambda: F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2))


@op("attention, causal", sizes={
    "8x6x256x64": {"B": 8, "H": 6, "T": 256, "D": 64}, "2x12x1024x64": {"B": 2, "H": 12, "T": 1024, "D": 64},
    "1x4x4096x64": {"B": 1, "H": 4, "T": 4096, "D": 64},
}, moved=lambda n: 12 * n.B * n.H * n.T * n.D, flops=lambda n: 7 * n.B * n.H * n.T ** 2 * n.D)
def _attention(make, n):
    q, k, v = (make.leaf(n.B, n.H, n.T, n.D) for _ in "qkv")
    return make.backward(lambda: make.F.scaled_dot_product_attention(q, k, v, is_causal=True))


@op("attention, one query", sizes={"1x12x4096x64": {"B": 1, "H": 12, "T": 4096, "D": 64}},
    moved=lambda n: 2 * n.B * n.H * n.T * n.D, flops=lambda n: 4 * n.B * n.H * n.T * n.D)
def _one_query(make, n):
    """A word is written: its query against everything before it. Forward only, since nothing is learnt then."""
    q, k, v = (make.constant(n.B, n.H, t, n.D) for t in (1, n.T, n.T))
    forward = make.compiled(lambda: make.F.scaled_dot_product_attention(q, k, v))

    def run():
        with make.torch.no_grad():
            return forward()
    return run


# ---------------------------------------------------------------------------------------------------------------------
# steps, and small things

@op("AdamW step", moved=lambda n: 7 * (12 * n.d ** 2 + n.vocabulary * n.d))
def _adamw(make, n):
    """The parameters of one layer and an embedding."""
    shapes = [(n.vocabulary, n.d), (3 * n.d, n.d), (n.d, n.d), (4 * n.d, n.d), (n.d, 4 * n.d), (3 * n.d,), *5 * [(n.d,)]]
    parameters = [make.nn.Parameter(make.constant(*shape)) for shape in shapes]
    for p in parameters:
        p.grad = make.constant(*p.shape)
    optimizer = make.torch.optim.AdamW(parameters, lr=1e-3)

    def run():
        optimizer.step()
        return parameters[0]
    return run


@op("add", sizes={"8 numbers": {}})
def _add(make, n):
    a, b = make.leaf(8), make.leaf(8)
    return make.backward(lambda: a + b)


@op("MLP step", sizes={"16-32-1": {}})
def _mlp(make, n):
    """A learner's first network, 16 rows at a time: forward, backward, a step of plain gradient descent."""
    nn, F = make.nn, make.F
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 1))
    with make.torch.no_grad():
        for p in model.parameters():
            p.copy_(0.1 * make.constant(*p.shape))
    x, y = make.constant(16, 16), make.constant(16, 1)
    optimizer = make.torch.optim.SGD(model.parameters(), lr=0.01)
    forward = make.compiled(lambda: F.mse_loss(model(x), y))

    def run():
        optimizer.zero_grad()
        loss = forward()
        loss.backward()
        optimizer.step()
        return loss
    return run


# ---------------------------------------------------------------------------------------------------------------------

def _fingerprint(tensor) -> list[float]:
    """Its length, and its inner product with a fixed wave: changes when any number does."""
    numbers = np.asarray(tensor.detach().cpu().numpy(), np.float64).reshape(-1)
    return [float(np.linalg.norm(numbers)), float(numbers @ np.cos(np.arange(numbers.size)))]

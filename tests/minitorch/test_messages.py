"""Bad input is normal input: each message names the op, what came, what was expected and the fix."""

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn as nn
import minitorch.nn.functional as F


def ids(*values):
    return mt.tensor(list(values))


class Misspelt(nn.Module):
    def foward(self, x):
        return x


class Bare(nn.Module):
    def __init__(self):
        pass


f32, f64 = mt.float32, mt.float64
q, kv = mt.zeros(1, 2, 3, 4), mt.zeros(1, 2, 5, 4)

CASES = {
    "add shapes": (lambda: mt.ones(2, 3) + mt.ones(2, 4), RuntimeError,
                   r"add: shapes \(2, 3\) and \(2, 4\) do not broadcast: dimension 1 is 3 vs 4"),
    "matmul inner sizes": (lambda: mt.ones(2, 3) @ mt.ones(4, 5), RuntimeError,
                           r"matmul: inner sizes differ: left \(2, 3\) ends in 3, right \(4, 5\) starts in 4"),
    "matmul transposed": (lambda: mt.ones(2, 3) @ mt.ones(5, 3), RuntimeError, r"Did you mean right\.T"),
    "matmul batches": (lambda: mt.ones(2, 3, 4) @ mt.ones(5, 4, 3), RuntimeError, r"batches \(2,\) and \(5,\)"),
    "linear features": (lambda: F.linear(mt.ones(2, 3), mt.ones(5, 4)), RuntimeError,
                        r"linear: input \(2, 3\) has 3 features, weight \(5, 4\) expects 4.*Linear\(4, 5\)"),
    "matmul dtypes": (lambda: mt.ones(2, 2) @ mt.ones(2, 2, dtype=f64), RuntimeError,
                      r"matmul: float32 @ float64\. Cast one.*NumPy makes float64"),
    "linear dtypes": (lambda: F.linear(mt.ones(2, 2, dtype=f64), mt.ones(2, 2)), RuntimeError,
                      "linear: input is float64, weight is float32"),
    "token id too large": (lambda: F.embedding(ids(10), mt.ones(10, 3)), IndexError,
                           r"embedding: token id 10 at index \(0,\) is outside \[0, 10\).*another tokenizer"),
    "token id negative": (lambda: F.embedding(ids([1, 2], [3, -1]), mt.ones(10, 3)), IndexError,
                          r"token id -1 at index \(1, 1\); negative ids are not wrapped"),
    "float ids": (lambda: F.embedding(mt.ones(2), mt.ones(10, 3)), (TypeError, RuntimeError),
                  r"embedding: ids must be integers, got float32\. Use ids\.long\(\)"),
    "label too large": (lambda: F.cross_entropy(mt.ones(1, 3), ids(3)), IndexError,
                        r"cross_entropy: label 3 at position 0 is outside \[0, 3\) \(3 classes\).*now -100"),
    "label negative": (lambda: F.cross_entropy(mt.ones(1, 3), ids(-1)), IndexError,
                       r"label -1 at position 0 is negative and is not ignore_index \(-100\)\. Pass ignore_index=-1"),
    "logits (B, T, V)": (lambda: F.cross_entropy(mt.ones(2, 5, 7), mt.zeros(2, 5).long()), (ValueError, RuntimeError),
                         r"logits \(2, 5, 7\) and labels \(2, 5\): flatten both: logits\.reshape\(-1, 7\)"),
    "rows and labels": (lambda: F.cross_entropy(mt.ones(2, 3), ids(0, 1, 2)), ValueError, "2 rows of logits but 3 labels"),
    "float labels": (lambda: F.nll_loss(mt.ones(2, 3), mt.ones(2)), (TypeError, RuntimeError), "labels must be integers"),
    "projection label": (lambda: F.softmax_projection(mt.ones(2, 3), mt.ones(5, 3), None, ids(0, 5)), IndexError,
                         r"softmax_projection: label 5 at position 1 is outside \[0, 5\)"),
    "layernorm width": (lambda: nn.LayerNorm(4)(mt.ones(2, 3)), RuntimeError,
                        "layer_norm: the last dimension is 3, LayerNorm was built for 4"),
    "rmsnorm width": (lambda: nn.RMSNorm(4)(mt.ones(2, 3)), RuntimeError, "rms_norm: the last dimension is 3, RMSNorm .* 4"),
    "mask shape": (lambda: F.scaled_dot_product_attention(q, kv, kv, mt.ones(3, 4).bool()), RuntimeError,
                   r"mask \(3, 4\) does not broadcast to scores \(1, 2, 3, 5\) = \(batch, heads, queries, keys\): "
                   r"keys are 5, mask has 4"),
    "mask dtype": (lambda: F.scaled_dot_product_attention(q, q, q, mt.ones(3, 3).long()), RuntimeError,
                   "attn_mask must be bool .True = may attend.* or float32.*got int64"),
    "heads do not divide": (lambda: nn.MultiheadAttention(10, 3), (AssertionError, ValueError),
                            r"embed_dim must be divisible by num_heads.*10.*3"),
    "backward of a vector": (lambda: mt.ones(2, requires_grad=True).exp().backward(), RuntimeError,
                             r"backward: output has shape \(2,\), not a scalar\. Call \.sum\(\)"),
    "backward without a graph": (lambda: mt.ones(1).sum().backward(), RuntimeError, "needs no gradient.*requires_grad=True"),
    "integers and gradients": (lambda: ids(1).requires_grad_(), RuntimeError,
                               "only float tensors can require gradients, got int64"),
    "dropout p": (lambda: F.dropout(mt.ones(2), 1.5), ValueError, "dropout probability must be between 0 and 1, got 1.5"),
    "view of a transposed": (lambda: mt.ones(2, 3).T.view(6), RuntimeError, r"view:.*reshape"),
    "dim out of range": (lambda: mt.ones(2, 3).sum(5), IndexError, r"sum: dimension out of range \[-2, 1\], got 5"),
    "softmax dim": (lambda: mt.ones(2, 3).softmax(2), IndexError, r"softmax: dimension out of range \[-2, 1\], got 2"),
    "cat sizes": (lambda: mt.cat([mt.ones(2, 3), mt.ones(2, 4)]), RuntimeError, r"cat:.*3.*4"),
    "index out of range": (lambda: mt.ones(3)[5], IndexError, r"5.*3"),
    "gather negative": (lambda: mt.ones(3).gather(0, ids(-1)), RuntimeError, r"gather:.*-1"),
    "item of many": (lambda: mt.ones(3).item(), RuntimeError, r"item: a tensor of shape \(3,\) has 3 values"),
    "bool of many": (lambda: bool(mt.ones(3)), RuntimeError, r"neither true nor false"),
    "numpy of a graph": (lambda: mt.ones(3, requires_grad=True).numpy(), RuntimeError, r"x\.detach\(\)\.numpy\(\)"),
    "np.exp": (lambda: np.exp(mt.ones(3)), TypeError, r"np\.exp would lose the gradient.*minitorch\.exp"),
    "complex": (lambda: mt.tensor([1j]), (TypeError, RuntimeError), "complex numbers are not supported"),
    "ragged": (lambda: mt.tensor([[1, 2], [3]]), ValueError, "nested lists must have equal lengths"),
    "empty optimizer": (lambda: mt.optim.SGD([], lr=0.1), ValueError, "empty parameter list"),
    "negative lr": (lambda: mt.optim.AdamW([nn.Parameter(mt.ones(1))], lr=-1.0), ValueError, r"(?i)learning rate.*-1"),
    "device": (lambda: mt.ones(1).to("cuda:3"), RuntimeError, "there are 'cpu' and 'cuda', one GPU, got 'cuda:3'"),
    "float64 data": (lambda: nn.Linear(3, 2)(mt.from_numpy(np.ones((4, 3)))), RuntimeError,
                     r"linear: input is float64, weight is float32\. Cast the input, x\.float\(\).*module\.double"),
    "float64 data, norm": (lambda: nn.LayerNorm(3)(mt.from_numpy(np.ones((4, 3)))), RuntimeError,
                           r"Cast the input, x\.float"),
    "integer data": (lambda: nn.Linear(3, 2)(ids([1, 2, 3])), RuntimeError,
                     r"input is int64, .*Cast the input: x\.float\(\)"),
    "NumPy into a layer": (lambda: nn.Linear(3, 2)(np.ones((4, 3))), TypeError,
                           r"linear: input must be a Tensor, got ndarray\. Wrap it: minitorch\.from_numpy\(x\)\.float\(\)"),
    "NumPy labels": (lambda: F.cross_entropy(mt.ones(2, 3), np.array([0, 1])), TypeError,
                     r"target must .*from_numpy\(x\)\. "),
    "list of ids": (lambda: nn.Embedding(5, 2)([1, 2]), TypeError, r"embedding: .*got list\. Wrap it"),
    "no return": (lambda: F.relu(None), TypeError,
                  r"relu: expected a Tensor, got NoneType\. Does a forward\(\) end without"),
    "plus None": (lambda: mt.ones(2) + None, TypeError, "add: expected a Tensor or a number, got NoneType"),
    "a layer's tuple": (lambda: F.relu(nn.MultiheadAttention(4, 2)(*[mt.ones(3, 1, 4)] * 3)), TypeError,
                        "relu: .*got tuple. Take one of its entries"),
    "module not called": (lambda: mt.ones(3) + nn.Linear(3, 2), TypeError, "got Linear. Call it on its input first"),
    "labels (N, 1)": (lambda: F.cross_entropy(mt.ones(2, 3), ids([0], [1])), ValueError,
                      r"got \(2, 1\)\. Use labels\.reshape\(2\)"),
    "one-hot labels": (lambda: F.cross_entropy(mt.ones(2, 3), ids([0, 1, 0], [1, 0, 0])), ValueError,
                       r"One-hot labels\? Use labels\.argmax\(1\)"),
    "labels from 1": (lambda: F.cross_entropy(mt.ones(3, 3), ids(1, 2, 3)), IndexError, "Do the labels count from 1"),
    "loss not made": (lambda: nn.MSELoss(mt.ones(2), mt.ones(2)), TypeError, r"MSELoss\(\)\(input, target\)"),
    "zeros of floats": (lambda: mt.zeros(4 / 2, 3), TypeError,
                        r"zeros: sizes must be integers, got 2\.0, 3\. To divide sizes, use //"),
    "Sequential of a list": (lambda: nn.Sequential([nn.ReLU()]), TypeError, r"Unpack the list with a star: \*layers"),
    "Sequential of a class": (lambda: nn.Sequential(nn.ReLU), TypeError, r"It is a class: write ReLU\(\.\.\.\)"),
    "Sequential of a function": (lambda: nn.Sequential(F.relu), TypeError, r"use its module, as nn\.ReLU\(\)"),
    "ModuleList called": (lambda: nn.ModuleList([nn.ReLU()])(mt.ones(1)), NotImplementedError, "for layer in self.layers"),
    "forward misspelt": (lambda: Misspelt()(mt.ones(1)), NotImplementedError, r'missing the required "forward".*\'foward\''),
    "no super().__init__()": (lambda: list(Bare().parameters()), AttributeError,
                              r"super\(\)\.__init__\(\) as the first line"),
    "parameters not called": (lambda: mt.optim.SGD(nn.Linear(2, 2).parameters), TypeError,
                              r"got method\. Write model\.parameters\(\)"),
    "optimizer of a model": (lambda: mt.optim.SGD(nn.Linear(2, 2)), TypeError, r"got Linear\. Write model\.parameters\(\)"),
    "lr as text": (lambda: mt.optim.SGD([nn.Parameter(mt.ones(1))], lr="1e-3"), TypeError, r"text '1e-3'\. Use float"),
    "layers in a list": (lambda: mt.optim.SGD([]), ValueError, "plain Python list are not registered: use nn.ModuleList"),
    "state of a model": (lambda: nn.ReLU().load_state_dict(nn.ReLU()), TypeError, r"Pass its state_dict\(\)"),
    "format a vector": (lambda: f"{mt.ones(2):.3f}", TypeError, r"'\.3f' formats one number, the tensor has shape \(2,\)"),
    "write a wrong shape": (lambda: mt.ones(3).__setitem__(slice(0, 2), mt.ones(3)), ValueError,
                            r"in t \(3,\) the place has shape \(2,\), v has \(3,\)"),
    "static Function": (lambda: type("Cube", (mt.Function,), {"forward": staticmethod(lambda ctx, x: x)}), TypeError,
                        "Cube.forward is a static method with ctx, as in PyTorch.*leave out @staticmethod, write self"),
    "save": (lambda: mt.save, AttributeError, r"no pickle here\. Write np\.savez"),
    "load": (lambda: mt.load, AttributeError, r"model\.load_state_dict\(dict\(np\.load\(path\)\)\)"),
    "unknown backend": (lambda: mt.kernels.use("gpu").__enter__(), ValueError,
                        "no backend 'gpu'; there are 'cpu', 'reference'"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name):
    attempt, error, text = CASES[name]
    with pytest.raises(error, match=text):
        attempt()


def test_every_label_ignored_is_zero_with_one_warning():
    logits = mt.randn(5, 3, requires_grad=True)
    labels = mt.full((5,), -100)
    for loss_of in (lambda: F.cross_entropy(logits, labels), lambda: F.nll_loss(logits, labels),
                    lambda: F.cross_entropy(logits, labels, label_smoothing=0.1),
                    lambda: F.softmax_projection(logits, mt.ones(4, 3), None, labels)):
        with pytest.warns(UserWarning, match="all 5 labels equal ignore_index") as seen:
            loss = loss_of()
        assert len(seen) == 1 and loss.item() == 0.0
        logits.grad = None
        loss.backward()
        assert not logits.grad.data.any()


def test_the_gradient_of_no_leaf_is_asked_for():
    w = mt.ones(2, requires_grad=True)
    scaled = w * 0.1
    scaled.sum().backward()
    with pytest.warns(UserWarning, match="no leaf but the result of Mul.*retain_grad"):
        assert scaled.grad is None


def test_targets_of_another_dtype():
    p = mt.tensor([0.2, 0.7])
    for target in (ids(0, 1), mt.tensor([False, True])):
        for loss_of in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
            assert loss_of(p, target).dtype == f32 and loss_of(p, target).item() == loss_of(p, target.float()).item()

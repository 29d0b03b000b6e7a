"""Bad input is normal input: each message names the op, what came, what was expected and the fix."""

import numpy as np
import pytest

import minitorch as mt
import minitorch.nn as nn
import minitorch.nn.functional as F


def ids(*values):
    return mt.tensor(list(values))


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
                      r"matmul: float32 @ float64\. Cast one.*1/np\.sqrt\(d\)"),
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
    "cuda": (lambda: mt.ones(1).cuda(), RuntimeError, "computes on the CPU only"),
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

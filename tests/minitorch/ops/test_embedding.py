"""An embedding's gradient is added to what its table has already, row by row."""

import numpy as np
import pytest

import minitorch
from minitorch import explain
from minitorch.nn import functional as F

ROWS, D = 300, 8                                    # large enough that gradients are added in place
ids, others = minitorch.tensor([[3, 3, 299], [0, 3, 7]]), minitorch.tensor([3, 8])


@pytest.fixture
def table():
    return minitorch.tensor(np.random.default_rng(0).standard_normal((ROWS, D)), requires_grad=True)


def loss(table, reading, writing):
    """The table is read from, and written with: a weight tied as in a language model."""
    logits = F.embedding(ids, reading).sin().mean(1) @ writing.T
    return logits.logsumexp(-1).sum() + (F.embedding(others, reading) ** 2).sum()


def test_tied_tables_get_the_sum_of_both(table):
    reading, writing = (table.detach().clone().requires_grad_() for _ in range(2))
    loss(table, reading, writing).backward()
    loss(table, table, table).backward()
    np.testing.assert_allclose(table.grad.numpy(), (reading.grad + writing.grad).numpy(), rtol=1e-13)
    once = table.grad.numpy().copy()
    loss(table, table, table).backward()            # and once more on top of that
    np.testing.assert_allclose(table.grad.numpy(), 2 * once, rtol=1e-13)


def test_a_table_that_is_no_leaf(table):
    loss(table, *2 * [2 * table]).backward()
    doubled = (2 * table).detach().requires_grad_()
    loss(doubled, doubled, doubled).backward()
    np.testing.assert_allclose(table.grad.numpy(), 2 * doubled.grad.numpy(), rtol=1e-13)


def test_who_looks_on_sees_the_whole_gradient(table):
    loss(table, table, table).backward()
    alone = table.grad.numpy().copy()
    table.grad = None
    with explain.record() as tape:
        loss(table, table, table).backward()
    assert tape is not None and (table.grad.numpy() == alone).all()


def test_what_the_loss_was_given_is_not_added_to(table):
    """dy of a sum goes on as it is: nobody else's array may grow by the embedding's rows."""
    y, given = table + 0, minitorch.ones(ROWS, D, dtype=table.dtype)
    (g,) = minitorch.autograd.grad((y, F.embedding(others, y)), table, (given, minitorch.ones(2, D, dtype=table.dtype)))
    assert (given.numpy() == 1).all() and g.numpy().sum() == ROWS * D + 2 * D

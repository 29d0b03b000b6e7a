"""Writing, measured: equal weights, equal tokens, and minitorch alone where transformers is missing."""

import sys

import numpy as np
import pytest
from hugging_face import transformers

from minitorch.bench import generate, process, worker
from minitorch.bench.compare import Row

QUICK = generate.cases(quick=True)


def test_it_writes_the_same_tokens_each_time():
    library = worker.load("minitorch", 1)
    try:
        write, facts = generate.prepare(library, QUICK[0])
    finally:
        library.backend.__exit__(None, None, None)
    assert len(facts["losses"]) == 8 + generate.NEW and facts["losses"] == write().tolist()
    assert len(set(facts["losses"])) > 5


@pytest.mark.parity
def test_transformers_writes_them_too():
    transformers()
    import torch
    threads = torch.get_num_threads()
    library = worker.load("torch", 1)
    try:
        write, facts = generate.prepare(library, QUICK[0])
    finally:
        torch.set_num_threads(threads)
    ours = generate._minitorch(sys.modules["minitorch"], {"vocab_size": 65, "n_positions": 256, "n_embd": 32, "n_layer": 2,
                                                          "n_head": 2, "bos_token_id": None, "eos_token_id": None},
                               np.random.default_rng(1).integers(0, 65, (1, 8)))
    assert facts["losses"] == ours().tolist()


def test_for_real_and_alone(monkeypatch):
    monkeypatch.setattr(process, "is_installed", lambda name: False)
    (rows,) = generate.measure(QUICK, ["minitorch", "torch", "reference"], 1, 1)
    (row,) = rows
    assert isinstance(row, Row) and row.side == "minitorch" and 0 < row.minimum < 30 and not row.note

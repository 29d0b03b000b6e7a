"""Batches hold every token once, in its place, and nothing of the answer in the question."""

import re

import numpy as np
import pytest

import minitorch
from minitorch.data import LMDataset, mask_tokens, pad_batch, sentence_pairs, shift_right, teacher_forcing
from minitorch.utils.data import DataLoader


def seeded(seed):
    return minitorch.Generator().manual_seed(seed)


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_keeps_every_token(side):
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 50, size=n) for n in (3, 0, 7, 1)]
    ids, mask = pad_batch(rows, pad_id=99, length=9, side=side)
    assert ids.shape == mask.shape == (4, 9) and ids.dtype == mask.dtype == np.int64
    for row, padded, m in zip(rows, ids.numpy(), mask.numpy()):
        assert np.array_equal(padded[m == 1], row) and (padded[m == 0] == 99).all()
        assert np.array_equal(m, np.sort(m) if side == "left" else np.sort(m)[::-1])
    assert pad_batch([], 0)[0].shape == (0, 0)


def test_teacher_forcing_shows_the_past_only():
    pairs = [([5, 6], [7, 8, 9]), ([], [4]), ([1, 2, 3], [])]
    batch = teacher_forcing(pairs, start_id=10, end_id=11, pad_id=0)
    for i, (source, target) in enumerate(pairs):
        n, m = len(source) + 1, len(target) + 1
        assert batch["ids"][i, :n].tolist() == [*source, 11] and (batch["ids"][i, n:].numpy() == 0).all()
        assert batch["attention_mask"][i].tolist() == [1] * n + [0] * (4 - n)
        assert batch["labels"][i].tolist() == [*target, 11] + [-100] * (4 - m)
        assert batch["decoder_ids"][i, :m].tolist() == [10, *target]
    assert (batch["decoder_ids"].numpy() >= 0).all()


def test_masking_is_80_10_10():
    special, size = range(5), 30
    ids = np.random.default_rng(1).integers(0, size, (400, 500))
    masked, labels = (t.numpy() for t in mask_tokens(ids, 4, size, special, generator=seeded(0)))
    chosen, could = labels != -100, ids >= 5
    assert not chosen[~could].any() and np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(masked[~chosen], ids[~chosen])
    n = chosen.sum()
    near = lambda count, of, p: abs(count - of * p) < 4 * np.sqrt(of * p * (1 - p))      # four standard deviations
    assert near(n, could.sum(), 0.15)
    hidden, same = (masked == 4)[chosen].sum(), (masked == ids)[chosen].sum()
    assert near(hidden, n, 0.8) and near(same, n, 0.1 + 0.1 / 25) and near(n - hidden - same, n, 0.1 * 24 / 25)
    put_in = masked[chosen & (masked != 4) & (masked != ids)]
    counts = np.bincount(put_in, minlength=size)
    assert (counts[:5] == 0).all() and all(near(c, len(put_in), 1 / 25) for c in counts[5:])
    again = mask_tokens(ids, 4, size, special, generator=seeded(0))
    other = mask_tokens(ids, 4, size, special, generator=seeded(1))
    assert np.array_equal(again[0].numpy(), masked) and not np.array_equal(other[0].numpy(), masked)


def test_masking_all_and_none():
    assert (mask_tokens([5, 6], 4, 8, [0], 0.0)[1].numpy() == -100).all()
    assert mask_tokens([5, 4, 0, 6], 4, 8, [0], 1.0)[1].tolist() == [5, -100, -100, 6]


def test_sentence_pairs_are_half_and_half():
    documents = [[(d, s) for s in range(n)] for d, n in enumerate([1, 40, 700, 2, 0, 500])]
    pairs = sentence_pairs(documents, seeded(0))
    assert len(pairs) == sum(max(0, len(d) - 1) for d in documents)
    for a, b, label in pairs:
        assert (b == (a[0], a[1] + 1)) if label == 0 else a[0] != b[0]
    apart = sum(label for *_, label in pairs)
    assert abs(apart - len(pairs) / 2) < 4 * np.sqrt(len(pairs) / 4)
    assert pairs == sentence_pairs(documents, seeded(0)) != sentence_pairs(documents, seeded(1))
    alone = sentence_pairs([list(range(200))], seeded(0))
    assert all((b == a + 1) if label == 0 else b not in (a, a + 1) for a, b, label in alone)


def test_pieces_of_a_text():
    ids = np.arange(100)
    for length, stride in [(7, 1), (7, 7), (99, 1), (1, 3)]:
        pieces = LMDataset(ids, length, stride)
        starts = [x[0].item() for x, y in (pieces[i] for i in range(len(pieces)))]
        assert starts == list(range(0, 100 - length, stride))
        for i in range(-len(pieces), len(pieces)):
            x, y = pieces[i]
            assert len(x) == length and np.array_equal(y.numpy(), x.numpy() + 1)
        with pytest.raises(IndexError):
            pieces[len(pieces)]


def test_pieces_go_on_where_they_stopped():
    make = lambda: DataLoader(LMDataset(np.arange(500), 8), 16, shuffle=True, generator=seeded(5))
    straight = [x.tolist() for x, y in make()]
    loader = make()
    part = [x.tolist() for _, (x, y) in zip(range(9), loader)]
    other = make()
    other.load_state_dict(loader.state_dict())
    assert part + [x.tolist() for x, y in other] == straight


@pytest.mark.parametrize("call, says", [
    (lambda: pad_batch([[1, 2, 3]], 0, length=2), "sequence 0 has 3 ids, which do not fit into length=2"),
    (lambda: pad_batch([[1], [[2]]], 0), "sequence 1 must be a list of ids, got the shape (1, 1)"),
    (lambda: pad_batch([[1]], side="up"), "'right' or 'left', got 'up'"),
    (lambda: pad_batch([[0.5]]), "whole numbers, got float64"),
    (lambda: pad_batch(["ab"]), "whole numbers"),
    (lambda: mask_tokens([5, 9], 4, 9, []), "from 0 to 8 (vocab_size=9), got 9"),
    (lambda: mask_tokens([-100, 5], 4, 9, []), "got -100"),
    (lambda: mask_tokens([1], 4, 9, [], 15), "from 0 to 1, got 15"),
    (lambda: mask_tokens([1], 0, 2, [1]), "nothing is left to hide"),
    (lambda: LMDataset([1, 2, 3], 3), "a text of 3 tokens has no piece of 3"),
    (lambda: LMDataset([1, 2, 3], 0), "1 or more, got 0 and 1"),
    (lambda: sentence_pairs([["a", "b"]]), "2 sentences are too few"),
    (lambda: shift_right([0.5], 1), "shift_right: ids must be whole numbers"),
])
def test_what_makes_no_batch(call, says):
    with pytest.raises((ValueError, TypeError, IndexError), match=re.escape(says)):
        call()

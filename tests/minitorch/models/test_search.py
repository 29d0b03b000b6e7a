"""Greedy and beam search on decoders whose every probability is known."""

import itertools

import numpy as np
import pytest

import minitorch
from minitorch.models.search import SearchCache, beam_search, check_search, end_ids, greedy_search

VOCAB, END = 4, 3


class Chance:
    """Log-probabilities of the next token by everything written so far, drawn at random once."""

    def __init__(self, seed, batch=1):
        self.seed, self.rows = seed, [(b,) for b in range(batch)]

    def log_p(self, written):
        rng = np.random.default_rng([self.seed, *written])
        logits = 2 * rng.normal(size=VOCAB)
        return logits - np.log(np.exp(logits).sum())

    def __call__(self, ids):
        self.rows = [(*row, int(i)) for row, i in zip(self.rows, ids, strict=True)]
        return np.array([self.log_p(row) for row in self.rows])

    def reorder(self, rows):
        self.rows = [self.rows[r] for r in rows]

    def best(self, row, most, length_penalty):
        """The best of all texts that end with END, or are ``most`` long."""
        scored = []
        for n in range(1, most + 1):
            for text in itertools.product(range(VOCAB), repeat=n):
                if END not in text[:-1] and (text[-1] == END or n == most):
                    score = sum(self.log_p((row, 0, *text[:i]))[t] for i, t in enumerate(text))
                    scored.append((score / n ** length_penalty, text))
        return max(scored)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.5, -1.0])
@pytest.mark.parametrize("seed", range(4))
def test_with_enough_beams_it_finds_the_best_of_all_texts(seed, length_penalty):
    batch, most = 2, 4
    ids, scores = beam_search(Chance(seed, batch), batch, 0, beams=VOCAB ** most, max_new_tokens=most, ends=[END], pad=9,
                              length_penalty=length_penalty, early_stopping="never")
    for b in range(batch):
        score, text = Chance(seed).best(b, most, length_penalty)
        assert scores[b] == pytest.approx(score)
        assert ids[b].tolist() == [0, *text, *[9] * (ids.shape[1] - 1 - len(text))]
    assert ids.shape[1] == 1 + max(len(Chance(seed).best(b, most, length_penalty)[1]) for b in range(batch))


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {"length_penalty": 0.0}])
@pytest.mark.parametrize("seed", range(5))
def test_one_beam_is_greedy(seed, settings):
    common = {"max_new_tokens": 6, "ends": [END, 2], "pad": 7, "length_penalty": 0.5, **settings}
    early = common.pop("early_stopping", False)
    ids, scores = beam_search(Chance(seed, 5), 5, 0, beams=1, early_stopping=early, **common)
    greedy, expected = greedy_search(Chance(seed, 5), 5, 0, scored=True, **common)
    assert ids.tolist() == greedy.tolist()
    np.testing.assert_allclose(scores, expected)


def test_more_beams_never_score_worse_than_exhaustive_and_often_better_than_greedy():
    better = 0
    for seed in range(20):
        settings = {"max_new_tokens": 5, "ends": [END], "length_penalty": 0.0}
        _, greedy = greedy_search(Chance(seed), 1, 0, scored=True, **settings)
        _, beams = beam_search(Chance(seed), 1, 0, beams=4, **settings)
        best = Chance(seed).best(0, 5, 0.0)[0]
        assert greedy[0] <= best + 1e-9 and beams[0] <= best + 1e-9
        better += beams[0] > greedy[0] + 1e-9
    assert better >= 3


def test_rows_do_not_know_each_other():
    settings = {"beams": 3, "max_new_tokens": 5, "ends": [END]}
    together, scores = beam_search(Chance(1, 4), 4, 0, **settings)
    for b in range(4):
        alone = Chance(1, 4)
        alone.rows = [(b,)]
        ids, score = beam_search(alone, 1, 0, **settings)
        assert together[b, :ids.shape[1]].tolist() == ids[0].tolist() and score[0] == pytest.approx(scores[b])


def test_impossible_tokens_are_not_written():
    def step(ids):
        logits = np.full((len(ids), VOCAB), -np.inf)
        logits[np.arange(len(ids)), np.minimum(ids + 1, END)] = 0.0        # only i + 1 can follow i
        return logits

    step.reorder = lambda rows: None
    ids, scores = beam_search(step, 2, 0, beams=3, max_new_tokens=8, ends=[END])
    assert ids.tolist() == [[0, 1, 2, 3]] * 2 and scores.tolist() == [0, 0]


def test_a_cache_keeps_the_rows_it_is_told():
    cache = SearchCache()
    k = minitorch.tensor(np.arange(6.0).reshape(3, 1, 2, 1))
    cache.extend(0, k, -k)
    cache.reorder(np.array([2, 2, 0, 1]))
    k, v = cache.extend(0, *[minitorch.full((4, 1, 1, 1), 9.0, dtype=minitorch.float64)] * 2)
    assert k[:, 0, :, 0].tolist() == [[4, 5, 9], [4, 5, 9], [0, 1, 9], [2, 3, 9]]
    assert v[0, 0, :, 0].tolist() == [-4, -5, 9]
    made = []
    for _ in range(2):
        cache.once(3, lambda: made.append(1) or (k, v))
    assert len(made) == 1


def test_bad_settings():
    for settings, text in (((5, 0, 1.0, False), "beams"),
                           ((-1, 1, 1.0, False), "max_new_tokens"), ((True, 1, 1.0, False), "max"),
                           ((5, 1, float("nan"), False), "length_penalty"), ((5, 1, 1.0, "now"), "early_stopping")):
        with pytest.raises(ValueError, match=f"translate: {text}"):
            check_search("translate", *settings)
    assert end_ids("f", None) == [] and end_ids("f", 3) == [3] and end_ids("f", np.array([1, 2])) == [1, 2]
    for eos in ("x", [1.5], [True]):
        with pytest.raises(TypeError, match="f: eos should be"):
            end_ids("f", eos)
    with pytest.raises(ValueError, match="NaN"):
        greedy_search(lambda ids: np.full((1, 4), np.nan), 1, 0, max_new_tokens=2)

"""Finding the text that a decoder thinks likeliest: greedily, or with several beams.

With this file one can

- let a model write                          ``search(model, decode, ...)``: what ``T5.generate`` and ``translate`` do
- take the likeliest token each time         ``greedy_search(step, ...)``
- keep the best few beginnings instead       ``beam_search(step, ..., beams=4)``: the best text may begin with a worse word
- run a decoder token by token               ``Decoding``: the step that both searches call
- not compute twice                          ``SearchCache``: keys and values of what was written, and of what was read

The searches know no model: ``step(ids)`` takes the last id of every row and returns logits (rows, vocabulary).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from minitorch import Tensor, from_numpy
from minitorch.models.generation import KVCache
from minitorch.nn import Module
from minitorch.ops.device import on_host

__all__ = ["Decoding", "SearchCache", "Step", "beam_search", "check_search", "end_ids", "evaluating", "greedy_search",
           "look", "search"]


class Step(Protocol):
    """What a search needs of a model."""

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """The last id of every row (N,) → logits (N, vocabulary) of what may come next."""

    def reorder(self, rows: np.ndarray) -> None:
        """Go on with these rows: rows[i] says which row the new row i continues. There may be more, or fewer."""


class SearchCache(KVCache):
    """A key/value cache whose rows can be chosen anew, as beams need, and which keeps the source's keys and values.

    The source does not change while the target is written: its keys and values are computed once and never copied,
    however many beams look at them.
    """

    def __init__(self):
        super().__init__()
        self.source: dict[int, tuple[Tensor, Tensor]] = {}

    def once(self, layer: int, make: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The source's keys and values for this layer; ``make`` computes them the first time."""
        if layer not in self.source:
            self.source[layer] = make()
        return self.source[layer]

    def reorder(self, rows: np.ndarray) -> None:
        """Row i becomes what row rows[i] was."""
        for layer in self.layers.values():
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]


class Decoding:
    """A decoder at work: ``decode(ids, cache)`` returns logits (N, T, vocabulary); only the last position's are used.

    With a cache, decode gets the new ids alone; without, all ids so far. ``write(ids, cache)``, if there is one, computes
    the same for one more token of each row, from arrays, quicker: it takes over when the first token has been read.
    """

    def __init__(self, decode: Callable[[Tensor, SearchCache | None], Tensor], use_cache: bool = True,
                 write: Callable[[np.ndarray, SearchCache], np.ndarray] | None = None):
        self.decode, self.write = decode, write
        self.cache = SearchCache() if use_cache else None
        self.read: np.ndarray | None = None
        self.device: Any = "cpu"        # where the model is, as its logits show

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        new = ids[:, None]
        if self.write is not None and self.cache is not None and self.cache.length:
            return self.write(ids, self.cache)
        if self.cache is None:
            new = self.read = new if self.read is None else np.concatenate([self.read, new], 1)
        logits = self.decode(from_numpy(new), self.cache)
        self.device = logits.device
        return on_host(logits.data)[:, -1]

    def reorder(self, rows: np.ndarray) -> None:
        if self.cache is not None:
            self.cache.reorder(rows)
        elif self.read is not None:
            self.read = self.read[rows]


def search(decode: Callable[[Tensor, SearchCache | None], Tensor], batch: int, start: int, *, max_new_tokens: int,
           beams: int, length_penalty: float, early_stopping: bool | str, ends: Sequence[int], pad: int | None,
           return_scores: bool, use_cache: bool,
           write: Callable[[np.ndarray, SearchCache], np.ndarray] | None = None,
           choose: Callable[[np.ndarray], np.ndarray] | None = None) -> Any:
    """The texts that ``decode`` writes, greedily with one beam: ids (batch, 1 + tokens), or (ids, scores)."""
    step = Decoding(decode, use_cache, write)
    pad = pad if pad is not None else min(ends[:1], default=0)
    if beams == 1:
        ids, scores = greedy_search(step, batch, start, max_new_tokens=max_new_tokens, ends=ends, pad=pad,
                                    length_penalty=length_penalty, scored=return_scores, choose=choose)
    else:
        ids, scores = beam_search(step, batch, start, beams=beams, max_new_tokens=max_new_tokens, ends=ends, pad=pad,
                                  length_penalty=length_penalty, early_stopping=early_stopping)
    found = from_numpy(ids).to(step.device)
    return (found, from_numpy(np.asarray(scores)).to(step.device)) if return_scores else found


def greedy_search(step: Callable[[np.ndarray], np.ndarray], batch: int, start: int, *, max_new_tokens: int,
                  ends: Sequence[int] = (), pad: int = 0, length_penalty: float = 1.0, scored: bool = False,
                  choose: Callable[[np.ndarray], np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Write the likeliest token each time → ids (batch, 1 + tokens), each row begun with ``start``, and scores.

    A row ends with one of ``ends`` and is filled with ``pad``. A score is the sum of the tokens' log-probabilities, over
    length to the power of length_penalty; computed with ``scored=True``, else None. ``choose(logits)`` may take another
    token than the likeliest: ``generation.sample`` draws one.

    >>> from minitorch.models.search import greedy_search
    >>> class Counts:                                            # after i comes i + 1
    ...     def __call__(self, ids): return 9.0 * np.eye(5)[ids + 1]
    >>> greedy_search(Counts(), batch=1, start=0, max_new_tokens=9, ends=[3])[0]
    array([[0, 1, 2, 3]])
    """
    written = [np.full(batch, start, np.int64)]
    running, score, length = np.ones(batch, bool), np.zeros(batch), np.zeros(batch, np.int64)
    for _ in range(max_new_tokens):
        logits = _finite(step(written[-1]))
        new = logits.argmax(-1) if choose is None else choose(logits)
        if scored:
            score += np.where(running, np.take_along_axis(_log_softmax(logits), new[:, None], 1)[:, 0], 0)
        length += running
        new = np.where(running, new, pad)
        written.append(new)
        running &= ~np.isin(new, ends)
        if not running.any():
            break
    return np.stack(written, 1), score / np.maximum(length, 1.0) ** length_penalty if scored else None


def beam_search(step: Step, batch: int, start: int, *, beams: int, max_new_tokens: int, ends: Sequence[int] = (),
                pad: int = 0, length_penalty: float = 1.0, early_stopping: bool | str = False
                ) -> tuple[np.ndarray, np.ndarray]:
    """Keep the ``beams`` likeliest beginnings of each text → the best finished text ids (batch, 1 + tokens), and scores.

    A finished text's score is the sum of its tokens' log-probabilities over length ** length_penalty: each token makes the
    sum smaller, so without a penalty short texts win; with 1.0 the mean per token counts.

    ``early_stopping`` says when a text is done: False, once no beam, were it to end now, would beat the worst of ``beams``
    finished ones; True, as soon as ``beams`` are finished; "never", only when no beam can win any more.

    >>> from minitorch.models.search import beam_search
    >>> class Words:                # 0 starts; 1 is likelier than 2, but only after 2 comes a sure end, 3
    ...     p = np.array([[0, .6, .4, 0], [0, .5, .3, .2], [0, 0, .01, .99], [0, 0, 0, 1]])
    ...     def __call__(self, ids): return np.log(self.p[ids] + 1e-9)
    ...     def reorder(self, rows): pass
    >>> ids, scores = beam_search(Words(), 1, 0, beams=2, max_new_tokens=3, ends=[3])
    >>> ids, np.exp(scores * 2).round(3)                        # 0.4 · 0.99
    (array([[0, 2, 3]]), array([0.396]))
    """
    texts = np.empty((batch, 1, 0), np.int64)                                # the beginnings, (batch, live, tokens)
    score = np.zeros((batch, 1))                                             # their log-probabilities
    done = np.full((batch, beams, max_new_tokens), pad, np.int64)            # the finished texts, the best first
    done_score = np.full((batch, beams), -np.inf)
    undecided = np.ones(batch, bool)
    last = np.full(batch, start, np.int64)
    for n in range(1, max_new_tokens + 1):
        # 1. every beginning with every token behind it; the best of them, enough that `beams` do not end
        log_p = _log_softmax(_finite(step(last)))
        total = (score[:, :, None] + log_p.reshape(*score.shape, -1)).reshape(batch, -1)
        total, choice = _best(total, max(2, 1 + len(ends)) * beams)
        before, token = np.divmod(choice, log_p.shape[-1])
        extended = np.concatenate([np.take_along_axis(texts, before[:, :, None], 1), token[:, :, None]], 2)
        ended = np.isin(token, ends) | (n == max_new_tokens)
        # 2. those that end here and are among the `beams` best join the finished texts
        counts = ended & (np.arange(ended.shape[1]) < beams) & undecided[:, None]
        longer = np.concatenate([extended, np.full((*token.shape, max_new_tokens - n), pad)], 2)
        done_score, order = _best(np.concatenate(
            [done_score, np.where(counts, total / n ** length_penalty, -np.inf)], 1), beams)
        done = np.take_along_axis(np.concatenate([done, longer], 1), order[:, :, None], 1)
        if n == max_new_tokens:
            break
        # 3. the best of the others are the beginnings of the next round
        score, order = _best(np.where(ended, -np.inf, total), beams)
        texts = np.take_along_axis(extended, order[:, :, None], 1)
        # 4. can one of them still win?
        length = max_new_tokens if early_stopping == "never" and length_penalty > 0 else n
        full = np.isfinite(done_score).all(1)
        hope = score[:, 0] / length ** length_penalty > done_score[:, -1]
        undecided &= hope & (~full | (early_stopping is not True))
        if not undecided.any():
            break
        rows = np.take_along_axis(before, order, 1) + np.arange(batch)[:, None] * (len(last) // batch)
        step.reorder(rows.reshape(-1))
        last = texts[:, :, -1].reshape(-1)
    best = done[:, 0]
    length = _length(best, ends, max_new_tokens)
    return np.concatenate([np.full((batch, 1), start), best[:, :length]], 1), done_score[:, 0]


def look(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float = 1.0, bias: np.ndarray | None = None) -> np.ndarray:
    """Attention of one new token per row, q (N, heads, 1, d), to k and v (B, heads, S, d), in plain NumPy → (N, heads · d).

    Where N is a multiple of B, so many beams look at each text. ``bias`` is added to the scores (B, heads, N / B, S).

    >>> from minitorch.models.search import look
    >>> look(np.ones((2, 1, 1, 3)), np.ones((1, 1, 2, 3)), np.arange(6.0).reshape(1, 1, 2, 3))
    array([[1.5, 2.5, 3.5],
           [1.5, 2.5, 3.5]])
    """
    (N, heads, _, d), B = q.shape, len(k)
    p = (q.reshape(B, N // B, heads, d).swapaxes(1, 2) * q.dtype.type(scale)) @ k.swapaxes(-1, -2)
    if bias is not None:
        p += bias
    p -= np.maximum.reduce(p, -1, keepdims=True)
    np.exp(p, out=p)
    p /= np.add.reduce(p, -1, keepdims=True)
    return (p @ v).swapaxes(1, 2).reshape(N, -1)


# ---------------------------------------------------------------------------------------------------------------------
# arguments

def end_ids(where: str, eos: Any) -> list[int]:
    """The ids that end a text: from an id, several, or None."""
    ends = [] if eos is None else [eos] if isinstance(eos, (int, np.integer)) else list(eos)
    if not all(isinstance(end, (int, np.integer)) and not isinstance(end, bool) for end in ends):
        raise TypeError(f"{where}: eos should be an id, a list of ids or None, got {eos!r}")
    return [int(end) for end in ends]


def check_search(where: str, max_new_tokens: int, beams: int, length_penalty: float, early_stopping: bool | str) -> None:
    """Raise ValueError for settings that no search can have."""
    for name, value, least in (("max_new_tokens", max_new_tokens, 0), ("beams", beams, 1)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ValueError(f"{where}: {name} should be a whole number from {least}, got {value!r}")
    if not isinstance(length_penalty, (int, float)) or not -np.inf < length_penalty < np.inf:
        raise ValueError(f"{where}: length_penalty should be a finite number, got {length_penalty!r}: 0 favours short "
                         "texts, 1 takes the mean per token, more favours long ones")
    if early_stopping is not True and early_stopping is not False and early_stopping != "never":
        raise ValueError(f"{where}: early_stopping should be True, False or 'never', got {early_stopping!r}")


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Dropout off while a text is searched for; afterwards every module is as it was."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


# ---------------------------------------------------------------------------------------------------------------------
# helpers

def _finite(logits: np.ndarray) -> np.ndarray:
    if logits.size and np.isnan(logits.max()):
        raise ValueError("search: the logits hold NaN: are the model's weights finite? minitorch.explain.nan_watch finds "
                         "where NaN begins")
    return logits


def _log_softmax(z: np.ndarray) -> np.ndarray:
    z = z.astype(np.float64) - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def _best(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each row, in order, and where they stand; the first of equals comes first."""
    count = min(count, values.shape[1])
    order = np.sort(np.argpartition(-values, count - 1, 1)[:, :count], 1)
    order = np.take_along_axis(order, np.argsort(-np.take_along_axis(values, order, 1), 1, kind="stable"), 1)
    return np.take_along_axis(values, order, 1), order


def _length(texts, ends, most) -> int:
    """How many columns the longest text needs."""
    ended = np.isin(texts, ends)
    return int(np.where(ended.any(1), ended.argmax(1) + 1, most).max(initial=0)) if most else 0

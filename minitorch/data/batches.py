"""From lists of ids to what a model learns from: padding and its mask, shifted targets, masked words, pairs of sentences.

Masks are 1 for tokens and 0 for padding. A label of −100 does not count: ``F.cross_entropy`` passes over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minitorch.creation import from_numpy
from minitorch.errors import RangeError, ShapeError
from minitorch.random import Generator, numpy_generator
from minitorch.tensor import Tensor
from minitorch.utils.data import Dataset

__all__ = ["LMDataset", "mask_tokens", "pad_batch", "sentence_pairs", "shift_right", "teacher_forcing"]

IGNORED = -100


class LMDataset(Dataset):
    """Pieces of one long text, each with the token that follows at every position: what a language model learns from.

    Sample i is ``(ids[s : s + length], ids[s + 1 : s + length + 1])`` with ``s = i · stride``. With ``shuffle=True`` a
    DataLoader cuts them out at random places, in an order that its generator decides and that can be gone on with.

    >>> from minitorch.utils.data import DataLoader
    >>> pieces = minitorch.data.LMDataset([0, 1, 2, 3, 4, 5], length=2)
    >>> len(pieces), pieces[3]
    (4, (tensor([3, 4]), tensor([4, 5])))
    >>> loader = DataLoader(pieces, batch_size=4, shuffle=True, generator=minitorch.Generator().manual_seed(0))
    >>> x, y = next(iter(loader))
    >>> x.shape, bool((y == x + 1).all())
    ((4, 2), True)
    """

    def __init__(self, ids: Any, length: int, stride: int = 1):
        self.ids = _array(ids, "LMDataset").reshape(-1)
        if length < 1 or stride < 1:
            raise ValueError(f"LMDataset: length and stride must be 1 or more, got {length} and {stride}")
        if len(self.ids) <= length:
            raise ValueError(f"LMDataset: a text of {len(self.ids)} tokens has no piece of {length} with a token behind it. "
                             "Give a longer text or a smaller length.")
        self.length, self.stride = length, stride

    def __len__(self) -> int:
        return (len(self.ids) - self.length - 1) // self.stride + 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"LMDataset: piece {index} is not among the {len(self)}")
        start = index % len(self) * self.stride
        piece = self.ids[start:start + self.length + 1]
        return from_numpy(piece[:-1]), from_numpy(piece[1:])


def pad_batch(sequences: Sequence[Any], pad_id: int = 0, length: int | None = None,
              side: str = "right") -> tuple[Tensor, Tensor]:
    """Sequences of unequal length as one array, filled up with ``pad_id``; and the mask that says what is filling.

    Parameters
    ----------
    length
        Fill up to this; by default to the longest. A longer sequence is an error: cut it, ``ids[:length]``.
    side
        Where the filling goes: ``"right"``, or ``"left"`` for prompts that a decoder is to go on with.

    >>> ids, mask = minitorch.data.pad_batch([[5, 6, 7], [8]], pad_id=0)
    >>> ids.tolist(), mask.tolist()
    ([[5, 6, 7], [8, 0, 0]], [[1, 1, 1], [1, 0, 0]])
    """
    if side not in ("right", "left"):
        raise ValueError(f"pad_batch: side must be 'right' or 'left', got {side!r}")
    rows = [_array(row, "pad_batch") for row in sequences]
    for i, row in enumerate(rows):
        if row.ndim != 1:
            raise ShapeError(f"pad_batch: sequence {i} must be a list of ids, got the shape {row.shape}")
    longest = max(map(len, rows), default=0)
    length = longest if length is None else length
    if longest > length:
        raise ShapeError(f"pad_batch: sequence {[len(row) for row in rows].index(longest)} has {longest} ids, which do not "
                         f"fit into length={length}. Cut it: ids[:{length}]")
    ids, mask = np.full((len(rows), length), pad_id, np.int64), np.zeros((len(rows), length), np.int64)
    for i, row in enumerate(rows):
        place = slice(0, len(row)) if side == "right" else slice(length - len(row), length)
        ids[i, place], mask[i, place] = row, 1
    return from_numpy(ids), from_numpy(mask)


def shift_right(labels: Any, start_id: int, pad_id: int = 0) -> Tensor:
    """What the decoder reads while it is taught: the right answer, one place later, ``start_id`` in front.

    So it guesses each token from the right ones before it, whatever it guessed there: teacher forcing.

    >>> minitorch.data.shift_right([[7, 8, 9], [7, 9, -100]], start_id=1).tolist()
    [[1, 7, 8], [1, 7, 9]]
    """
    labels = _array(labels, "shift_right")
    inputs = np.empty_like(labels)
    inputs[..., 1:], inputs[..., :1] = labels[..., :-1], start_id
    return from_numpy(np.where(inputs == IGNORED, pad_id, inputs))


def teacher_forcing(pairs: Iterable[tuple[Sequence[int], Sequence[int]]], start_id: int, end_id: int,
                    pad_id: int = 0) -> dict[str, Tensor]:
    """A batch for an encoder-decoder of pairs (source ids, target ids), as a dictionary of arrays.

    ``ids`` and ``attention_mask``: the sources, ``end_id`` behind each. ``decoder_ids``: ``start_id``, then the target.
    ``labels``: the target, then ``end_id``; −100 where there is none. ``DataLoader(..., collate_fn=...)`` takes it.

    >>> batch = minitorch.data.teacher_forcing([([5, 6], [7, 8]), ([5], [9])], start_id=1, end_id=2)
    >>> batch["ids"].tolist(), batch["decoder_ids"].tolist(), batch["labels"].tolist()
    ([[5, 6, 2], [5, 2, 0]], [[1, 7, 8], [1, 9, 2]], [[7, 8, 2], [9, 2, -100]])
    """
    pairs = list(pairs)
    ids, mask = pad_batch([[*source, end_id] for source, _ in pairs], pad_id)
    labels, _ = pad_batch([[*target, end_id] for _, target in pairs], IGNORED)
    return {"ids": ids, "attention_mask": mask, "decoder_ids": shift_right(labels, start_id, pad_id), "labels": labels}


def mask_tokens(ids: Any, mask_id: int, vocab_size: int, special_ids: Iterable[int], probability: float = 0.15,
                generator: Generator | None = None) -> tuple[Tensor, Tensor]:
    """Hide words to be guessed, as BERT was taught: the ids with some replaced, and labels.

    Each token is chosen with ``probability``. Of those chosen, 80 % become ``mask_id``, 10 % some other token, 10 % stay:
    the model cannot know which, so it has to know every word. Labels are the hidden ids, −100 where nothing was chosen.

    Parameters
    ----------
    special_ids
        Never chosen, and never put in: padding, [CLS], [SEP], [MASK] ...
    generator
        Where the random numbers come from; without it, from the default generator.

    >>> g = minitorch.Generator().manual_seed(3)
    >>> masked, labels = minitorch.data.mask_tokens([[2, 5, 6, 7, 8, 9, 3]], 4, 10, range(5), 0.3, g)
    >>> masked.tolist(), labels.tolist()
    ([[2, 4, 6, 7, 4, 9, 3]], [[-100, 5, -100, -100, 8, -100, -100]])
    """
    ids = _array(ids, "mask_tokens")
    special = np.unique(np.asarray([*special_ids, mask_id], np.int64))
    if not 0 <= probability <= 1:
        raise ValueError(f"mask_tokens: probability must be from 0 to 1, got {probability}")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise RangeError(f"mask_tokens: ids must be from 0 to {vocab_size - 1} (vocab_size={vocab_size}), got "
                         f"{ids.min() if ids.min() < 0 else ids.max()}")
    words = np.setdiff1d(np.arange(vocab_size), special)
    if not len(words):
        raise ValueError(f"mask_tokens: all {vocab_size} ids are special; nothing is left to hide")
    rng = numpy_generator(generator)
    chosen = (rng.random(ids.shape) < probability) & ~np.isin(ids, special)
    fate, other = rng.random(ids.shape), words[rng.integers(len(words), size=ids.shape)]
    masked = np.where(chosen & (fate < 0.8), mask_id, np.where(chosen & (fate < 0.9), other, ids))
    return from_numpy(masked), from_numpy(np.where(chosen, ids, IGNORED))


def sentence_pairs(documents: Sequence[Sequence[Any]], generator: Generator | None = None) -> list[tuple[Any, Any, int]]:
    """Pairs for "does the second sentence follow the first?": (first, second, label), one for each sentence but the last.

    Half of the pairs, by the toss of a coin, are neighbours: label 0, as BERT counts. In the others the second sentence is
    from another document: label 1. (With a single document: from elsewhere in it.)

    >>> texts = [["a", "b", "c"], ["x", "y"]]
    >>> minitorch.data.sentence_pairs(texts, minitorch.Generator().manual_seed(1))
    [('a', 'x', 1), ('b', 'c', 0), ('x', 'b', 1)]
    """
    places = [(d, s) for d, document in enumerate(documents) for s in range(len(document))]
    if len(places) < 3:
        raise ValueError(f"sentence_pairs: {len(places)} sentences are too few to choose from; give 3 or more")
    rng, pairs = numpy_generator(generator), []
    alone = len({d for d, _ in places}) == 1
    for d, s in places:
        if s + 1 == len(documents[d]):
            continue
        follows = rng.random() < 0.5
        other = d, s + 1
        while not follows and (other == (d, s + 1) or other == (d, s) or (other[0] == d and not alone)):
            other = places[rng.integers(len(places))]
        pairs.append((documents[d][s], documents[other[0]][other[1]], int(not follows)))
    return pairs


def _array(ids, where) -> np.ndarray:
    """Ids as int64: of a list, an array or a Tensor."""
    array = np.asarray(ids.data if isinstance(ids, Tensor) else ids)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{where}: ids must be whole numbers, got {array.dtype}")
    return array.astype(np.int64)

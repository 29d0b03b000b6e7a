"""Writing on: a decoder reads a prompt and adds one token after another.

With this file one can

- let a model write            ``model.generate(ids, max_new_tokens=50)``: GPT and Llama inherit it from ``Generation``
- watch it write               ``for ids in model.stream(ids, 50)``, or ``generate(..., stream=function)``
- choose the next token        ``sample(logits, temperature, top_k, top_p)``
- not compute twice            ``KVCache``: the keys and values of the tokens read so far; ``attend`` to them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitorch import Generator, Tensor, from_numpy, kernels, no_grad
from minitorch.kernels import quiet
from minitorch.ops.device import on_host
from minitorch.random import numpy_generator

__all__ = ["Generation", "KVCache", "attend", "check_sampling", "sample"]


class KVCache:
    """The keys and values of the tokens that a decoder has read, for every layer.

    A token's key and value do not change when more tokens follow: with ``model(ids, cache=cache)`` only the new ids are
    given, and only they are computed. The memory is taken ahead and grows by doubling.

    >>> from minitorch.models.generation import KVCache
    >>> cache = KVCache()
    >>> k = v = minitorch.zeros(1, 4, 3, 8)                   # batch, heads, 3 tokens, features
    >>> k, v = cache.extend(0, k, v)
    >>> k, v = cache.extend(0, k, v)
    >>> cache.length, k.shape
    (6, (1, 4, 6, 8))
    """

    def __init__(self):
        self.layers: dict[int, _Layer] = {}

    @property
    def length(self) -> int:
        """How many tokens have been read. (While a model runs: by its first layer.)"""
        return self.layers[0].length if 0 in self.layers else 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values (batch, heads, tokens, features) of new tokens; return those of all tokens so far."""
        keys, values = self.extend_arrays(layer, k.data, v.data)
        return k.like(keys), v.like(values)

    def extend_arrays(self, layer: int, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same with arrays, which may be on a GPU."""
        if layer not in self.layers:
            self.layers[layer] = _Layer()
        return self.layers[layer].extend(k, v)


class _Layer:
    """One layer's part of a cache."""

    def __init__(self):
        self.length = 0
        self.keys = self.values = np.empty((0, 0, 0, 0))

    def extend(self, k, v):
        start, self.length = self.length, self.length + k.shape[2]
        if self.length > self.keys.shape[2]:
            self.keys, self.values = _larger(self.keys, start, k, self.length), _larger(self.values, start, v, self.length)
        self.keys[:, :, start:self.length] = k
        self.values[:, :, start:self.length] = v
        return self.keys[:, :, :self.length], self.values[:, :, :self.length]


def _larger(old, used, new, length):
    batch, heads, _, features = new.shape
    room = np.empty((batch, heads, max(64, 2 * length), features), new.dtype)
    room = room if type(new) is np.ndarray else kernels.cuda.to_device(room)
    if used:
        room[:, :, :used] = old[:, :, :used]
    return room


def sample(logits: Tensor | np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
           generator: Generator | None = None) -> np.ndarray:
    """Draw an id from each row of logits (batch, vocabulary).

    The logits are divided by ``temperature``: below 1 the likely becomes likelier; 0 takes the likeliest (greedy).
    ``top_k`` keeps the k likeliest tokens, ``top_p`` then the fewest likeliest whose probabilities sum to p or more.

    >>> from minitorch.models.generation import sample
    >>> sample(np.log([[0.1, 0.6, 0.3]]), temperature=0)
    array([1])
    """
    z = on_host(logits.data if isinstance(logits, Tensor) else logits)
    if not np.isfinite(z.max(-1)).all():
        raise ValueError("sample: the logits hold NaN or infinity: are the model's weights finite? "
                         "minitorch.explain.nan_watch finds where that begins")
    if temperature == 0:
        return z.argmax(-1)
    with quiet():
        z = (z - z.max(-1, keepdims=True)).astype(np.float64) / temperature
    if top_k is not None and top_k < z.shape[-1]:
        z = np.where(z < np.partition(z, -top_k)[:, -top_k, None], -np.inf, z)
    p = np.exp(z)
    p /= p.sum(-1, keepdims=True)
    if top_p is not None and top_p < 1:
        order = np.argsort(-p, -1, kind="stable")
        ranked = np.take_along_axis(p, order, -1)
        ranked[np.cumsum(ranked, -1) - ranked >= top_p] = 0     # those before it were enough
        np.put_along_axis(p, order, ranked, -1)
    total = np.cumsum(p, -1)
    dart = numpy_generator(generator).random((len(p), 1)) * total[:, -1:]
    return (total <= dart).sum(-1)


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, may: np.ndarray | None = None) -> np.ndarray:
    """Attention of one new token (batch, heads, 1, d) to all so far (batch, heads, S, d), in plain NumPy.

    Here, and in a model's ``decoder``, a token is so little work that an op's own few microseconds would be most of it.

    >>> from minitorch.models.generation import attend
    >>> q, k, v = np.ones((1, 1, 1, 2)), np.ones((1, 1, 3, 2)), np.arange(6.0).reshape(1, 1, 3, 2)
    >>> attend(q, k, v, scale=1.0)                            # equal scores: the mean of the values
    array([[[[2., 3.]]]])
    """
    p = (q * q.dtype.type(scale)) @ k.swapaxes(-1, -2)
    if may is not None:
        p[~np.broadcast_to(may, p.shape)] = -np.inf
    p -= np.maximum.reduce(p, -1, keepdims=True)
    np.exp(p, out=p)
    p /= np.add.reduce(p, -1, keepdims=True)
    return p @ v


class Generation:
    """What lets a decoder write. The model provides

    - ``config`` with ``eos_token_id`` and ``pad_token_id``, and ``context_length``: how many tokens it can read
    - ``features(ids, attention_mask=None, position_ids=None, cache=None)``: the last layer's output (batch, length, d)
    - ``logits(features)``: their projection to the vocabulary
    - if it likes, ``decoder()``: a function ``step(ids, positions, may, cache)`` that reads one more token of each text in
      plain NumPy and returns the logits (batch, vocabulary), or None
    """

    if TYPE_CHECKING:
        config: Any
        context_length: int
        features: Callable[..., Tensor]
        logits: Callable[[Tensor], Tensor]
        modules: Callable[..., Iterator[Any]]
        parameters: Callable[..., Iterator[Any]]
        _ids: Callable[..., Tensor]
        _mask: Callable[..., np.ndarray | None]

    def decoder(self) -> Callable[..., np.ndarray] | None:
        """A faster way to read one more token, if there is one."""
        return None

    def generate(self, ids: Any, max_new_tokens: int = 50, temperature: float = 1.0, top_k: int | None = None,
                 top_p: float | None = None, eos: int | Sequence[int] | str | None = "config",
                 attention_mask: Any = None, generator: Generator | None = None,
                 stream: Callable[[list[int]], Any] | None = None, pad: int | None = None, use_cache: bool = True) -> Tensor:
        """The prompts ids (batch, length) with up to ``max_new_tokens`` new tokens behind them.

        A row ends with the token ``eos`` (the config's, unless given; None: never), and is then filled with ``pad`` (the
        config's, or else eos) until all rows have ended. Prompts of unequal length are padded **on the left**, with
        ``attention_mask`` 1 for tokens and 0 for padding; padding on the right is read as Hugging Face reads it: the model
        writes on from a padding token, which is seldom what one wants.

        ``temperature``, ``top_k``, ``top_p`` and ``generator`` are those of ``sample``. ``stream`` is called with each new
        token of each row. A model that can read n tokens sees the last n of a longer text; from there on every token costs
        a whole forward, as all positions move.
        """
        text = self._ids("generate", ids).cpu().numpy()
        new = []
        for step in self.stream(ids, max_new_tokens, temperature, top_k, top_p, eos, attention_mask, generator, pad,
                                use_cache):
            new.append(step)
            if stream is not None:
                stream(step)
        columns = np.array(new, np.int64).reshape(len(new), len(text)).T
        return from_numpy(np.concatenate([text, columns], 1)).to(next(self.parameters()).device)

    @no_grad()
    def stream(self, ids: Any, max_new_tokens: int = 50, temperature: float = 1.0, top_k: int | None = None,
               top_p: float | None = None, eos: int | Sequence[int] | str | None = "config", attention_mask: Any = None,
               generator: Generator | None = None, pad: int | None = None, use_cache: bool = True) -> Iterator[list[int]]:
        """The new tokens as they come: for each step a list with one id per row. Arguments as in ``generate``."""
        text = self._ids("generate", ids).cpu().numpy()
        mask = self._mask("generate", attention_mask, text.shape)
        ends = self._ends(eos)
        pad = next(i for i in (pad, self.config.pad_token_id, *ends, 0) if i is not None)
        if not isinstance(max_new_tokens, (int, np.integer)) or max_new_tokens < 0:
            raise ValueError(f"generate: max_new_tokens should be a whole number from 0, got {max_new_tokens!r}")
        check_sampling("generate", temperature, top_k, top_p)
        running, places = np.ones(len(text), bool), None if mask is None else _places(mask)
        device = next(self.parameters()).device
        cache, unread = KVCache() if use_cache else None, text
        step = self.decoder() if device == "cpu" else None      # NumPy's arrays are quickest there
        training = [module for module in self.modules() if module.training]
        try:
            for module in training:
                module.training = False
            for _ in range(max_new_tokens):
                if text.shape[1] > self.context_length:
                    cache, unread = None, text[:, -self.context_length:]
                    mask = mask if mask is None else mask[:, -self.context_length:]
                    places = places if mask is None else _places(mask)
                elif cache is None:
                    unread = text
                at = None if places is None else places[:, -unread.shape[1]:]
                if step is not None and cache is not None and cache.length:
                    logits = step(unread[:, 0], cache.length if at is None else at[:, 0], mask, cache)
                else:
                    at = None if at is None else from_numpy(at).to(device)
                    features = self.features(from_numpy(unread).to(device), mask, at, cache)
                    logits = self.logits(features[:, -1]).cpu().data
                new = sample(logits, temperature, top_k, top_p, generator)
                new = np.where(running, new, pad)
                yield new.tolist()
                running &= ~np.isin(new, ends)
                if not running.any():
                    return
                unread = new[:, None]
                text = np.concatenate([text, unread], 1)
                if mask is not None and places is not None:
                    mask = np.concatenate([mask, np.ones((len(mask), 1), bool)], 1)
                    places = np.concatenate([places, places[:, -1:] + 1], 1)
        finally:
            for module in training:
                module.training = True

    def _ends(self, eos) -> list[int]:
        eos = self.config.eos_token_id if isinstance(eos, str) and eos == "config" else eos
        ends = [] if eos is None else [eos] if isinstance(eos, (int, np.integer)) else list(eos)
        if not all(isinstance(end, (int, np.integer)) for end in ends):
            raise TypeError(f"generate: eos should be an id, a list of ids or None, got {eos!r}")
        return [int(end) for end in ends]


def _places(mask):
    """The position of each token in its text, padding not counted."""
    return np.maximum(np.cumsum(mask, 1) - 1, 0) * mask


def check_sampling(where: str, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ValueError for settings that ``sample`` cannot have."""
    numbers = (int, float, np.integer, np.floating)
    if not isinstance(temperature, numbers) or not 0 <= temperature < float("inf"):
        raise ValueError(f"{where}: temperature should be 0 (greedy) or above, got {temperature!r}")
    if top_k is not None and (not isinstance(top_k, (int, np.integer)) or top_k < 1):
        raise ValueError(f"{where}: top_k should be a whole number from 1, or None, got {top_k!r}")
    if top_p is not None and (not isinstance(top_p, numbers) or not 0 < top_p <= 1):
        raise ValueError(f"{where}: top_p should be above 0 and at most 1, or None, got {top_p!r}")

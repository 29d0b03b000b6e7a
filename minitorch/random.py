"""Random numbers: one default generator, seeded by ``manual_seed``, and generators of your own.

A large draw, such as the weights of a large layer, is made in pieces on all threads, each piece from a stream of its own
that begins at a number of the generator's: the same numbers for any number of threads.
"""

from __future__ import annotations

import math
import secrets

import numpy as np

from minitorch import kernels

__all__ = [
    "Generator", "default_generator", "draw_seed", "initial_seed", "manual_seed", "normal", "numpy_generator", "seed",
    "uniform",
]

LARGE, PIECE = 1 << 20, 1 << 17     # numbers: of a draw in pieces; of a piece


class Generator:
    """A stream of random numbers. ``generator=`` arguments take one.

    >>> g = minitorch.Generator().manual_seed(7)
    >>> minitorch.randint(10, (3,), generator=g)
    tensor([9, 6, 6])
    """

    def __init__(self, device="cpu"):
        self.manual_seed(secrets.randbits(63))

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream again, from a number of your choice."""
        self._seed = int(seed)
        self.numpy = np.random.Generator(np.random.PCG64(self._seed % 2**64))
        return self

    def initial_seed(self) -> int:
        """The number the stream was started from."""
        return self._seed

    def get_state(self) -> dict:
        """Where the stream is: plain numbers, which JSON can hold."""
        return {"seed": self._seed, "bit_generator": self.numpy.bit_generator.state}

    def set_state(self, state: dict) -> Generator:
        """Go on from a state that ``get_state`` returned."""
        self._seed = state["seed"]
        self.numpy.bit_generator.state = state["bit_generator"]
        return self


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; the same seed gives the same numbers."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The number the default generator was started from."""
    return default_generator.initial_seed()


def seed() -> int:
    """Seed the default generator from the operating system and return that seed."""
    return manual_seed(secrets.randbits(63)).initial_seed()


def numpy_generator(generator: Generator | None = None) -> np.random.Generator:
    """The NumPy generator behind a ``generator=`` argument."""
    return (default_generator if generator is None else generator).numpy


def uniform(low, high, shape, dtype, generator: Generator | None = None) -> np.ndarray:
    """An array of uniform random numbers from low up to high."""
    if not 0 <= high - low < math.inf:
        raise RuntimeError(f"uniform: needs low ≤ high, both finite, got low={low}, high={high}")
    return _draw("uniform", low, high, shape, dtype, generator)


def normal(mean, std, shape, dtype, generator: Generator | None = None) -> np.ndarray:
    """An array of normal random numbers; mean and std may be arrays that broadcast to its shape."""
    if np.any(np.less(std, 0)):
        raise RuntimeError("normal: std must not be negative")
    return _draw("normal", mean, std, shape, dtype, generator)


def _draw(kind, first, second, shape, dtype, generator):
    size = math.prod(shape)
    if size < LARGE or np.ndim(first) or np.ndim(second):
        return np.asarray(getattr(numpy_generator(generator), kind)(first, second, shape)).astype(dtype, copy=False)
    numbers, start = np.empty(size, dtype), draw_seed(generator)

    def fill(place):
        part, stream = numbers[place:place + PIECE], np.random.Generator(np.random.SFC64([start, place]))
        part[:] = getattr(stream, kind)(first, second, part.size)

    kernels.on_threads(fill, range(0, size, PIECE))
    return numbers.reshape(shape)


def draw_seed(generator: Generator | None = None) -> int:
    """A 63-bit number for kernels that make their own random bits from a counter (dropout)."""
    return int(numpy_generator(generator).integers(2**63))

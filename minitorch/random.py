"""Random numbers: one default generator, seeded by ``manual_seed``, and generators of your own."""

from __future__ import annotations

import secrets

import numpy as np

__all__ = ["Generator", "default_generator", "draw_seed", "initial_seed", "manual_seed", "numpy_generator", "seed"]


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


def draw_seed(generator: Generator | None = None) -> int:
    """A 63-bit number for kernels that make their own random bits from a counter (dropout)."""
    return int(numpy_generator(generator).integers(2**63))

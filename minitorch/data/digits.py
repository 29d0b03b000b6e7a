"""Pictures of handwritten digits, 8 × 8 pixels: 1797 of them, as large a set as fits a lunch break.

They come with scikit-learn, ``pip install scikit-learn``. Where it is not installed, pictures like them are drawn: ten
shapes, each moved, turned, stretched and blurred at random. They are easier to read than handwriting.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from minitorch import Tensor, from_numpy

__all__ = ["digits"]

COUNT = 1797
SHAPES = """
 ### |  #  | ### |#### |   # |#####| ### |#####| ### | ### 
#   #| ##  |#   #|    #|  ## |#    |#    |    #|#   #|#   #
#   #|  #  |    #|    #| # # |#    |#    |   # |#   #|#   #
#   #|  #  |   # | ### |#  # |#### |#### |   # | ### | ####
#   #|  #  |  #  |    #|#####|    #|#   #|  #  |#   #|    #
#   #|  #  | #   |    #|   # |    #|#   #|  #  |#   #|    #
 ### | ### |#####|#### |   # |#### | ### |  #  | ### | ### 
"""


def digits(source: str | None = None) -> tuple[Tensor, Tensor]:
    """Pictures (1797, 1, 8, 8), float32 from 0 to 1, and labels (1797,), the digits 0 to 9.

    ``source`` is ``"scikit-learn"`` or ``"drawn"``; by default the first where it is installed, and the second, with a line
    on stderr, where it is not.

    >>> pictures, labels = minitorch.data.digits("drawn")
    >>> pictures.shape, labels[:10].tolist()
    ((1797, 1, 8, 8), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    if source not in (None, "scikit-learn", "drawn"):
        raise ValueError(f"digits: source should be 'scikit-learn', 'drawn' or None, got {source!r}")
    installed = find_spec("sklearn") is not None
    if source == "scikit-learn" and not installed:
        raise ImportError("digits: scikit-learn is not installed here: pip install scikit-learn. "
                          "Or use pictures like its digits: digits('drawn').")
    if source != "drawn" and installed:
        found = import_module("sklearn.datasets").load_digits()
        pictures, labels = found.images.astype(np.float32) / 16, found.target
    else:
        if source is None:
            print("minitorch: scikit-learn is not installed, so the digits are drawn, not handwritten. For the handwritten "
                  "ones: pip install scikit-learn", file=sys.stderr)
        labels = np.arange(COUNT) % 10
        pictures = _drawn(labels, np.random.default_rng(0))
    return from_numpy(pictures[:, None]), from_numpy(labels.astype(np.int64))


def _drawn(labels, rng) -> np.ndarray:
    """A picture for each label: the shape looked up at places that are moved, turned and stretched."""
    shapes = np.zeros((10, 11, 9), np.float32)              # two empty pixels around each
    for i, line in enumerate(SHAPES.strip("\n").split("\n")):
        for digit, row in enumerate(line.split("|")):
            shapes[digit, 2 + i, 2:7] = [c == "#" for c in row]
    n = len(labels)
    turn, lean = rng.uniform(-0.25, 0.25, (2, n, 1, 1))
    tall, wide = rng.uniform(0.85, 1.15, (2, n, 1, 1))
    down, right = rng.uniform(-0.6, 0.6, (2, n, 1, 1))
    y, x = (np.mgrid[:8, :8] - 3.5)[:, None]
    y, x = (y - down) / tall, (x - right) / wide
    y, x = np.cos(turn) * y + np.sin(turn) * x, np.cos(turn) * x - np.sin(turn) * y
    x = x + lean * y
    y, x = np.clip(y + 5, 0, 9.99), np.clip(x + 4, 0, 7.99)
    i, j = y.astype(int), x.astype(int)
    y, x, which = y - i, x - j, labels[:, None, None]
    picture = ((shapes[which, i, j] * (1 - y) + shapes[which, i + 1, j] * y) * (1 - x)
               + (shapes[which, i, j + 1] * (1 - y) + shapes[which, i + 1, j + 1] * y) * x)
    strength = rng.uniform(0.7, 1.2, (n, 1, 1))
    return np.clip(picture * strength + rng.normal(0, 0.06, picture.shape), 0, 1).astype(np.float32)

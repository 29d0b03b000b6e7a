"""Guessing what went wrong in a backward pass, from how its gradient differs from the true one.

Each guess is a small function: it looks at one wrong gradient and returns a sentence, or None. `GUESSES` is the list, the
most telling first; the first sentence found is printed. To add a guess, write one more function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import permutations

import numpy as np

__all__ = ["GUESSES", "Wrong", "guess"]


@dataclass
class Wrong:
    """One wrong gradient, for several upstream gradients at once.

    Shapes     analytic, numeric (k, *shape of the input)    upstream (k, m)    jacobian (m, n), or None when too large
    """

    name: str
    analytic: np.ndarray
    numeric: np.ndarray
    upstream: np.ndarray | None = None
    jacobian: np.ndarray | None = None
    output_shape: tuple[int, ...] | None = None     # None where there are several outputs
    missing: bool = False                           # backward returned no gradient at all
    inputs: dict = field(default_factory=dict)      # name -> value, of every input
    truths: dict = field(default_factory=dict)      # name -> numeric gradient, of every input

    @property
    def shape(self):
        return self.analytic.shape[1:]

    def same(self, a, b) -> bool:
        """Equal, as far as a finite difference can tell."""
        return a.shape == b.shape and bool(np.abs(a - b).max(initial=0) <= 1e-5 * np.abs(b).max(initial=0) + 1e-300)


def guess(wrong: Wrong) -> str | None:
    """The first guess that fits.

    >>> g = np.array([[1.0, -2.0, 3.0]])
    >>> guess(Wrong("x", -g, g))
    'It has the wrong sign.'
    """
    if not np.abs(wrong.numeric).max(initial=0) < math.inf:
        return "The function itself is not finite near this input: it sits at the edge of its domain."
    with np.errstate(all="ignore"):
        return next((sentence for g in GUESSES if (sentence := g(wrong))), None)


def not_finite(w):
    if np.isnan(w.analytic).any():
        return "The gradient is NaN: look for 0/0, inf − inf, 0 · inf, or the log or root of a number that is not positive."
    if np.isinf(w.analytic).any():
        return "The gradient is infinite: look for a division by zero or an overflowing exp."


def zero(w):
    if w.missing:
        return "No gradient arrives at all (counted as zero): does backward return None for it, or was it detached?"
    if not w.analytic.any():
        return "The gradient is zero everywhere."


def swapped(w):
    for other, truth in w.truths.items():
        if other != w.name and truth.any() and w.same(w.analytic, truth):
            return f"It is the gradient of '{other}': does backward return its gradients in the order of the inputs?"


def sign(w):
    if w.same(w.analytic, -w.numeric):
        return "It has the wrong sign."


def factor(w):
    c = _ratio(w)
    if c is None or abs(c - 1) < 1e-4:
        return None
    for axis, n in enumerate(w.shape):
        if n > 1 and _near(c * n, 1):
            return f"A mean where a sum belongs? It is 1/{n} of the truth, and axis {axis} of '{w.name}' has size {n}."
    for axis, n in enumerate(w.output_shape or ()):
        if n > 1 and _near(c * n, 1):
            return f"A mean where a sum belongs? It is 1/{n} of the truth, and axis {axis} of the output has size {n}."
    rows = math.prod((w.output_shape or ())[:-1])
    if rows > 1 and _near(c * rows, 1):
        return f"A mean where a sum belongs? It is 1/{rows} of the truth, and the output has {rows} rows."
    for axis, n in enumerate(w.shape):
        if n > 2 and _near(c, n):
            return f"A sum where a mean belongs? It is {n} times the truth, and axis {axis} of '{w.name}' has size {n}."
    for n in range(2, 10):
        if _near(c, n) or _near(c * n, 1):
            return f"It looks like a factor of {n}: backward gives {n if c > 1 else f'1/{n}'} of the true gradient."
    for axis, n in enumerate(w.shape):
        if n > 1 and (_near(c, math.sqrt(n)) or _near(c * math.sqrt(n), 1)):
            return f"It looks like a factor of √{n} (axis {axis} has size {n}): a scale used once too often, or forgotten?"
    simple = Fraction(c).limit_denominator(12)
    return f"It is the true gradient times a constant, {simple if _near(c, float(simple)) else format(c, '.6g')}."


def transposed(w):
    axes = range(len(w.shape))
    for order in permutations(axes):
        if order == tuple(axes):
            continue
        turned = np.moveaxis(w.numeric, [1 + i for i in order], [1 + i for i in axes])
        if w.same(w.analytic, turned) or w.same(w.analytic, turned.reshape(w.analytic.shape)):
            swap = [i for i in axes if order[i] != i]
            return f"It looks like a transpose: axes {' and '.join(map(str, swap))} are exchanged."


def missing_sum(w):
    if w.jacobian is None or not w.output_shape or w.shape == w.output_shape:
        return None
    shapes = {w.output_shape: "axis {} of the output"}
    shapes.setdefault((math.prod(w.output_shape[:-1]), w.output_shape[-1]), "the rows of the output")
    parts = w.upstream[:, :, None] * w.jacobian
    for shape, what in shapes.items():
        by_axis = parts.reshape(-1, *shape, parts.shape[-1])
        for axis, n in enumerate(shape):
            each = by_axis.sum(tuple(1 + a for a in range(len(shape)) if a != axis))       # (k, n, elements)
            each = np.moveaxis(each, 1, 0).reshape(n, *w.analytic.shape)
            over = what.format(axis)
            for i in range(n if n > 1 else 0):
                if w.same(w.analytic, each[i]):
                    return f"A missing sum over {over}: only entry {i} of its {n} was counted."
            running = np.cumsum(each, 0)
            for i in range(1, n - 1):
                if w.same(w.analytic, running[i]):
                    return f"The end of a sum over {over} is missing: only the first {i + 1} of {n} entries were added " \
                           "up. Is the last block dropped?"


def upstream_ignored(w):
    if len(w.analytic) > 1 and w.same(w.analytic[0], w.analytic[-1]) and not w.same(w.numeric[0], w.numeric[-1]):
        return "It does not depend on the upstream gradient: backward forgets to multiply by dy."


def diagonal_only(w):
    if w.jacobian is not None and w.output_shape == w.shape:
        own = w.upstream * np.diagonal(w.jacobian)
        if w.same(w.analytic, own.reshape(w.analytic.shape)):
            return "Only the diagonal of the Jacobian is there: an element of the input moves other outputs too."


def some_rows(w):
    off = np.abs(w.analytic - w.numeric).max(0) > 1e-5 * np.abs(w.numeric).max(initial=0)
    for axis, n in enumerate(w.shape):
        rows = off.any(tuple(a for a in range(off.ndim) if a != axis))
        (bad,) = np.nonzero(rows)
        zero = not np.take(w.analytic, bad, axis + 1).any()
        if 0 < len(bad) <= (n - 1 if zero else n // 2):
            be, what = ("is", "are")[len(bad) > 1], "zero" if zero else "wrong"
            if len(bad) == 1:
                at = f"entry {bad[0]} of {n} along axis {axis} {be} {what}"
            elif (np.diff(bad) == 1).all():
                at = f"entries {bad[0]} to {bad[-1]} of {n} along axis {axis} {be} {what}"
            else:
                at = f"{len(bad)} of {n} entries along axis {axis} {be} {what} ({', '.join(map(str, bad[:8]))})"
            return f"Only {at}." + (" Is the last block dropped?" if bad[-1] == n - 1 else "")


def nearly(w):
    error = np.abs(w.analytic - w.numeric).max(initial=0) / np.abs(w.numeric).max(initial=0)
    if error < 1e-3:
        return f"It is nearly right (to {error:.0e}): is an eps in the wrong place, or are numbers rounded on the way?"


def differs_by_constant(w):
    rest = w.numeric - w.analytic
    for axis in reversed(range(len(w.shape))):
        if w.shape[axis] > 1 and w.same(rest, np.broadcast_to(rest.mean(axis + 1, keepdims=True), rest.shape)):
            return f"It differs from the truth by a constant along axis {axis}: a missing mean (or sum) term?"


def upstream_unchanged(w):
    if w.output_shape == w.shape and w.same(w.analytic, w.upstream.reshape(w.analytic.shape)):
        return "It is the upstream gradient dy, unchanged: the derivative of the op itself is missing."


def factor_of_an_input(w):
    for other, value in w.inputs.items():
        if _broadcasts(value, w.shape) and not _near(np.ptp(value), 0):
            if w.same(w.analytic * value, w.numeric):
                return f"A factor is missing: multiplied by '{other}' it would be right."
            if w.same(w.analytic, w.numeric * value):
                return f"There is a factor too many: it is the true gradient times '{other}'."


def shifted(w):
    for axis, n in enumerate(w.shape):
        for step in (1, -1) if n > 2 else ():
            if w.same(w.analytic, np.roll(w.numeric, step, axis + 1)):
                return f"It is shifted by one place along axis {axis}."


GUESSES = [
    not_finite, zero, swapped, sign, factor, transposed, missing_sum, upstream_unchanged, upstream_ignored, diagonal_only,
    factor_of_an_input, shifted, nearly, some_rows, differs_by_constant,
]


def _ratio(w):
    """c where analytic = c · numeric, else None."""
    square = (w.numeric * w.numeric).sum()
    c = (w.analytic * w.numeric).sum() / square if square else 0
    return float(c) if c and w.same(w.analytic / c, w.numeric) else None


def _near(a, b):
    return abs(a - b) <= 1e-5 * abs(b) + (1e-12 if b == 0 else 0)


def _broadcasts(value, shape):
    value = np.asarray(value)
    if value.dtype.kind != "f" or value.size < 2 or value.ndim > len(shape):
        return False
    return all(a in (1, b) for a, b in zip(value.shape[::-1], shape[::-1], strict=False))

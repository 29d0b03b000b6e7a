"""Numbers and arrays as text: aligned, small ones in full, of large ones a corner and the statistics.

With this file one can

- write a number            `number`: five digits that matter
- write an array            `inline` on one line if it is small, `block` as rows, `all_the_same`
- sum an array up           `statistics`
- write a variable          `describe`: name, shape, numbers
- colour, or not            `Paint`
- print anywhere            `plain_where_needed`: formulas stay readable where the terminal has no Unicode
"""

from __future__ import annotations

import codecs
import math
import os
from typing import IO, Any

import numpy as np

import minitorch.kernels as kernels
from minitorch.explain.recorder import summary
from minitorch.explain.trace import Summary

__all__ = ["Paint", "all_the_same", "block", "describe", "inline", "number", "plain_where_needed", "statistics"]


# ---------------------------------------------------------------------------------------------------------------------
# numbers

def number(x: Any) -> str:
    """A number with five digits that matter.

    >>> number(0.01234567), number(200.0), number(1e-9), number(True)
    ('0.012346', '200', '1e-09', 'True')
    """
    if isinstance(x, bool) or not isinstance(x, (int, float, np.generic, np.ndarray)):
        return str(x)
    return _texts(np.asarray(x).reshape(1))[0]


def _texts(array) -> list[str]:
    """The numbers of an array as texts with equally many decimals: five digits that matter in the largest."""
    flat = array.ravel()
    if flat.dtype.kind != "f":
        return [str(x) for x in flat.tolist()]
    sizes = np.abs(flat[np.isfinite(flat)].astype(np.float64))
    big = sizes.max(initial=0)
    if big and not 1e-4 <= big < 1e6:
        return [_scientific(x) for x in flat.tolist()]
    decimals = min(max(4 - math.floor(math.log10(big)), 0), 8) if big else 0
    while decimals and not any(int(round(x * 10**decimals)) % 10 for x in sizes.tolist()):
        decimals -= 1
    return [_fixed(x, decimals) for x in flat.tolist()]


def _fixed(x: float, decimals: int) -> str:
    text = f"{x:.{decimals}f}"
    return "0" if x == 0 else text if float(text) != 0 else f"{x:.0e}"      # what rounds to zero is not zero


def _scientific(x: float) -> str:
    mantissa, e, exponent = f"{x:.4e}".partition("e")
    return (mantissa.rstrip("0").rstrip(".") + e + exponent if e else mantissa) if x else "0"


# ---------------------------------------------------------------------------------------------------------------------
# arrays

def inline(array: Any, width: int = 60) -> str | None:
    """An array on one line, or None if it does not fit: a number, or one row of them.

    >>> inline(np.array([100.0, 200.0, 50.0])), inline(np.zeros((2, 2)))
    ('[ 100  200  50 ]', None)
    """
    if isinstance(array, Summary) or not 0 < array.size <= 16 or (array.ndim and array.size != array.shape[-1]):
        return None
    texts = _texts(array)
    text = "[ " + "  ".join(texts) + " ]" if array.ndim else texts[0]
    return text if len(text) <= width or not array.ndim else None


def block(array: Any, width: int = 80, rows: int = 8, slices: int = 2, rest: bool = True,
          wrap: bool = False) -> list[str]:
    """An array as rows, one line each: as many columns as fit in ``width``, at most ``rows`` rows of ``slices`` matrices.

    ``rest=False`` does not say how much was left out; ``wrap=True`` breaks a single row that is too long.

    >>> print("\\n".join(block(np.array([[1.0, 0.5], [-20.0, 0.0]]))))
    [   1.0    0.5 ]
    [ -20.0      0 ]
    """
    shape = array.shape
    if 0 in shape:
        return [f"nothing: the shape is {shape}"]
    kept = array.corner if isinstance(array, Summary) else array
    lead = shape[:-2]
    if isinstance(array, Summary):
        kept = kept.reshape((1,) * len(lead) + kept.shape)
    kept = kept.reshape((1,) * (2 - kept.ndim) + kept.shape)
    height, length = ((1,) * (2 - len(shape)) + shape)[-2:]
    if wrap and not isinstance(array, Summary) and height == array.size // length == 1:
        return _wrapped(kept.ravel(), width, rows)
    shown = rows if height > rows else height
    places = list(np.ndindex(kept.shape[:-2]))[:slices]
    matrices = [kept[place][:shown, :24] for place in places]
    texts = _texts(np.stack(matrices))
    wide = max(map(len, texts))
    columns = max(1, min(matrices[0].shape[1], (width - 6) // (wide + 2)))
    lines, texts_of_rows = [], [texts[i:i + matrices[0].shape[1]] for i in range(0, len(texts), matrices[0].shape[1])]
    for place, matrix in zip(places, matrices):
        if rest and math.prod(lead) > 1:
            lines.append(f"{list(place)}:")
        for _ in range(len(matrix)):
            row = "  ".join(text.rjust(wide) for text in texts_of_rows.pop(0)[:columns])
            lines.append(f"[ {row}{'  …' * (columns < length)} ]")
        if rest and len(matrix) < height:
            lines.append(f"… {height - len(matrix)} more row{'s'[:height - len(matrix) > 1]}")
    if rest and len(places) < math.prod(lead):
        lines.append(f"… {math.prod(lead) - len(places)} more of these")
    return lines


def _wrapped(vector, width, rows) -> list[str]:
    """A long vector in several lines, each with the index it begins at."""
    texts = _texts(vector)
    wide = max(map(len, texts))
    columns = max(1, (width - 12) // (wide + 2))
    starts = list(range(0, len(texts), columns))
    lines = [f"[{i}:]".ljust(8) + "  ".join(text.rjust(wide) for text in texts[i:i + columns]) for i in starts[:rows]]
    return lines + [f"… {len(texts) - rows * columns} more"] * (len(starts) > rows)


def statistics(array: Any, digits: int = 5) -> str:
    """One line about an array: mean, spread, range, norm, and how many numbers are no numbers.

    >>> statistics(np.array([3.0, 4.0, np.nan]))
    'mean 3.5   std 0.5   from 3 to 4   norm 5   1 NaN or infinite'
    """
    with kernels.quiet():                           # of 1e30 in float32 the square is too large, and the norm inf
        s = array if isinstance(array, Summary) else summary(array)
    if not s.size:
        return "no numbers"
    bad = f"   {s.bad} NaN or infinite" if s.bad else ""
    mean = s.mean if abs(s.mean) > 1e-6 * s.std else 0.0       # what is left of rounding
    words = {"mean": mean, "std": s.std, "from": s.low, "to": s.high, "norm": s.norm}
    shown = {word: f"{word} {number(float(f'{x:.{digits}g}'))}" for word, x in words.items()}
    return "   ".join([shown["mean"], shown["std"], f"{shown['from']} {shown['to']}", shown["norm"]]) + bad


def describe(name: str, thing: Any, width: int, note: str = "", rows: int = 5) -> list[str]:
    """A variable: its name, shape and numbers, as lines.

    >>> describe("rstd", np.array([0.5, 2.0]), 80)
    ['rstd = [ 0.5  2.0 ]   (2,)']
    """
    if isinstance(thing, (tuple, list)) and any(isinstance(x, np.ndarray) for x in thing):
        return [text for i, x in enumerate(thing) for text in describe(f"{name}[{i}]", x, width, note, rows)]
    if not isinstance(thing, (np.ndarray, Summary)):
        text = number(thing) if isinstance(thing, (int, float, np.number)) else repr(thing)
        return [f"{name} = {text if len(text) < width else text[:width] + '…'}{note}"]
    shape = f"   {tuple(thing.shape)}" if thing.shape else ""
    row = all_the_same(thing) or inline(thing, width - len(name) - 20)
    if row:
        return [f"{name} = {row}{shape}{note}"]
    lines = [f"{name}{shape}{note}", *("  " + line for line in block(thing, width - 2, rows=rows, slices=max(1, rows // 8)))]
    return lines + ["  " + statistics(thing)] * (thing.size > 64)


def all_the_same(array: Any) -> str:
    """ "all 0.25", where that is so of more than a few numbers; else "".

    >>> all_the_same(np.full((4, 4), 0.25))
    'all 0.25'
    """
    if isinstance(array, Summary) or array.size <= 3 or not (array == array.flat[0]).all():
        return ""
    return f"all {number(array.flat[0])}"


# ---------------------------------------------------------------------------------------------------------------------
# the terminal

class Paint:
    """Colours, or none: only on a terminal, and only where NO_COLOR is not set."""

    def __init__(self, stream: IO[str]):
        self.on = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, *styles: str) -> str:
        """The text in these styles: "bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan"."""
        codes = ";".join(str(_CODES[style]) for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.on and text and codes else text


_CODES = {"bold": 1, "dim": 2, "underline": 4, "red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}

_PLAIN = {
    "━": "=", "─": "-", "│": "|", "└": "`", "├": "|", "▶": ">", "→": "->", "←": "<-", "↔": "<->", "…": "...", "·": "*",
    "×": "x", "−": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "inf", "√": "sqrt", "Σ": "sum ",
    "∂": "d", "²": "^2", "³": "^3", "⁻": "^-", "¹": "1", "½": "1/2", "ᵀ": "^T", "⟨": "<", "⟩": ">", "⌊": "floor(",
    "⌋": ")", "\u0302": "hat", "ŷ": "yhat", "ₖ": "_k", "ⱼ": "_j", "ᵢ": "_i", "₀": "_0", "₁": "_1", "₂": "_2", "₃": "_3",
    "ˢ": "^s", "ʸ": "^y",
    "ˣ": "^x", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "eps", "λ": "lambda", "μ": "mu", "π": "pi",
    "σ": "sigma", "φ": "phi", "Φ": "Phi", "ℓ": "l", "∈": "in", "“": '"', "”": '"', "’": "'",
}


def _plain(error: UnicodeError):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start:error.end]), error.end


def plain_where_needed(stream: IO[str]) -> None:
    """Let a stream that cannot write γ or ² write gamma and ^2, instead of failing."""
    codecs.register_error("minitorch.plain", _plain)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="minitorch.plain")

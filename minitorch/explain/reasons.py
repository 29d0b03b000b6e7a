"""Why a number stopped being finite: the rule of arithmetic that was hit, from the numbers themselves, and the way out.

`why_forward` and `why_backward` return two short texts, the reason and the fix; either may be empty. For an op that works
element by element the reason is exact, for it looks at the very element; else it says what the inputs suggest.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

__all__ = ["why_backward", "why_forward"]

Why = tuple[str, str]

_CLAMP = "Keep the input above 0: {op}(x.clamp(min=1e-8)), or {op}(x + 1e-8)."
_LOG = _CLAMP.format(op="log") + " For the logarithm of a softmax use log_softmax or cross_entropy, which never meet a 0."
_CHOOSE = ("Choose a harmless input before the op, not the result after it: "
           "{op}(where(x > 0, x, 1.0)), and then where(x > 0, that, 0.0).")


# ---------------------------------------------------------------------------------------------------------------------
# forward: the values of the inputs at the bad element

def _logarithm(x, limit) -> Why | None:
    if x == 0:
        return "the logarithm of 0 is −∞", _LOG
    return (f"{x:.6g} is negative: it has no real logarithm", _LOG) if x < 0 else None


def _log1p(x, limit) -> Why | None:
    if x == -1:
        return "log1p(−1) is the logarithm of 0: −∞", "Keep the input above −1."
    return (f"1 + {x:.6g} is negative: it has no real logarithm", "Keep the input above −1.") if x < -1 else None


def _root(x, limit) -> Why | None:
    return (f"{x:.6g} is negative: it has no real square root",
            "Square roots of differences often dip below 0 by rounding: sqrt(x.clamp(min=0) + 1e-12).") if x < 0 else None


def _rsqrt(x, limit) -> Why | None:
    return ("1 / √0 is ∞", "Add a small number under the root: rsqrt(x + 1e-5), as LayerNorm does.") if x == 0 \
        else _root(x, limit)


def _divide(x, y, limit) -> Why | None:
    if y == 0:
        what = "0 / 0 has no value" if x == 0 else f"{x:.6g} / 0 is infinite"
        return f"division by 0: {what}", "Keep the divisor away from 0: x / (y + 1e-8), or x / y.clamp(min=1e-8)."
    return _overflow(limit) if math.isfinite(x) and math.isfinite(y) else _infinities("∞ / ∞ has")


def _reciprocal(x, limit) -> Why | None:
    return _divide(1.0, x, limit)


def _exponential(base) -> Callable:
    def why(x, limit) -> Why | None:
        highest = math.log(limit) / math.log(base)
        name = "e" if base == math.e else "2"
        if not highest < x < math.inf:
            return None
        return (f"{name} to the power of {x:.6g} overflows: it is larger than the largest number of this dtype, "
                f"{limit:.2g}. The power must stay below {highest:.4g}",
                "Subtract the largest value first, as softmax and logsumexp do; or clamp the input.")
    return why


def _power(x, y, limit) -> Why | None:
    if x == 0 and y < 0:
        return f"0 to the power of {y:.6g} is a division by 0", "Keep the base away from 0: (x + 1e-8) ** p."
    if x < 0 and y != round(y):
        return (f"{x:.6g} is negative: its power {y:.6g} is no real number",
                "Use a whole-number power, or x.abs() or x.clamp(min=0) as the base.")
    return _overflow(limit) if math.isfinite(x) and math.isfinite(y) else None


def _product(x, y, limit) -> Why | None:
    if math.isinf(x) and y == 0 or math.isinf(y) and x == 0:
        return ("0 · ∞ has no value",
                "To leave values out, choose instead of multiplying: where(mask, x, 0.0), not mask * x.")
    return _overflow(limit) if math.isfinite(x) and math.isfinite(y) else None


def _sum_of_two(x, y, limit) -> Why | None:
    return _infinities("∞ − ∞ has") if math.isinf(x) and math.isinf(y) else _overflow(limit)


def _beyond(low, high, name) -> Callable:
    def why(x, limit) -> Why | None:
        if low < x < high:
            return None
        return (f"{name} exists between {low:g} and {high:g}; here it is asked at {x:.6g}",
                f"Clamp the input to just inside: {name}(x.clamp({low + 1e-6:.7g}, {high - 1e-6:.7g})).")
    return why


_FORWARD: dict[str, Callable] = {
    "Log": _logarithm, "Log2": _logarithm, "Log10": _logarithm, "Log1p": _log1p, "Sqrt": _root, "Rsqrt": _rsqrt,
    "Div": _divide, "Reciprocal": _reciprocal, "Exp": _exponential(math.e), "Expm1": _exponential(math.e),
    "Exp2": _exponential(2), "Sinh": _exponential(math.e), "Cosh": _exponential(math.e), "Pow": _power, "Mul": _product,
    "Add": _sum_of_two, "Sub": _sum_of_two,
    "ASin": _beyond(-1, 1, "asin"), "ACos": _beyond(-1, 1, "acos"), "ATanh": _beyond(-1, 1, "atanh"),
    "ACosh": _beyond(1, math.inf, "acosh"),
}


def why_forward(fn, arrays, settings, output, index) -> Why:
    """Why this op's output is not finite at this index."""
    name = _name(fn)
    limit = float(np.finfo(output.dtype).max)
    values = _at(arrays, output.shape, index)
    found = _FORWARD[name](*values, limit) if name in _FORWARD and values else None
    if found:
        return found
    floats = [x for x in arrays if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if name in ("Var", "Std"):
        count = math.prod(floats[0].shape[axis] for axis in settings["dim"])
        if count <= settings["correction"]:
            return (f"the variance divides by n − {settings['correction']:g}, and there is only n = {count}",
                    "Use correction=0, which divides by n.")
    if name == "Mean" and not floats[0].size:
        return "the mean of no elements is 0 / 0", "Make sure that the tensor is not empty: a mask may have chosen nothing."
    if name in ("Softmax", "LogSoftmax") and np.isneginf(floats[0]).any() and not np.isposinf(floats[0]).any():
        return ("every score of this row is −∞: nothing is left to choose from, and softmax is 0 / 0",
                "Leave at least one position unmasked in every row; scaled_dot_product_attention gives such a row 0.")
    if any(np.isinf(x).any() for x in floats):
        return _infinities("∞ − ∞, 0 · ∞ and ∞ / ∞ have")
    if np.isinf(output[index]) and floats and max(np.abs(x).max(initial=0) for x in floats) > limit ** 0.25:
        return _overflow(limit)
    return "", ""


def _infinities(forms) -> Why:
    return (f"an infinity went in, and {forms} no value",
            "Find where the infinity comes from; for masks, use where or masked_fill right before softmax.")


def _overflow(limit) -> Why:
    return (f"overflow: the result is larger than the largest number of this dtype, {limit:.2g}",
            "Something grew without bound: look at the ranges above; try a smaller learning rate or initial weights, a "
            "normalisation layer, gradient clipping.")


# ---------------------------------------------------------------------------------------------------------------------
# backward: where the slope itself is infinite

def _at_0(x, *_) -> bool:
    return x == 0


def _at_1(x, *_) -> bool:
    return abs(x) == 1


_INSIDE = "Clamp the input to just inside: {op}(x.clamp({range}))."
_STEEP: dict[str, tuple[Callable, str, str, str]] = {  # op → where, the slope there, the fix, the fix behind a where
    **{name: (_at_0, slope, _CLAMP.format(op=op), _CHOOSE.format(op=op)) for name, slope, op in [
        ("Sqrt", "the slope of √x is 1 / (2√x), infinite at 0", "sqrt"),
        ("Rsqrt", "the slope of 1 / √x is infinite at 0", "rsqrt"),
        ("Log", "the slope of ln x is 1 / x, infinite at 0", "log"),
        ("Log2", "the slope of log₂ x is infinite at 0", "log2"),
        ("Log10", "the slope of log₁₀ x is infinite at 0", "log10"),
        ("Reciprocal", "the slope of 1 / x is −1 / x², infinite at 0", "reciprocal")]},
    **{name: (_at_1, f"the slope of {op} is infinite at {at}", _INSIDE.format(op=op, range=inside), "")
       for name, op, at, inside in [
        ("ASin", "asin", "±1", "-0.999999, 0.999999"), ("ACos", "acos", "±1", "-0.999999, 0.999999"),
        ("ATanh", "atanh", "±1", "-0.999999, 0.999999"), ("ACosh", "acosh", "1", "min=1.000001")]},
    "Div": (lambda x, y, *_: y == 0, "the slopes of x / y are 1 / y and −x / y², infinite where y is 0",
            "Keep the divisor away from 0: x / (y + 1e-8).",
            "Choose a harmless divisor before dividing, not the result after it: x / where(y != 0, y, 1.0), and then "
            "where(y != 0, that, 0.0)."),
    "Pow": (lambda x, y, *_: x == 0 and y < 1, "the slope of xᵖ is p · xᵖ⁻¹, infinite at 0 for p below 1",
            "Keep the base above 0: (x + 1e-8) ** p.",
            "Choose a harmless base first: where(x > 0, x, 1.0) ** p, and then where(x > 0, that, 0.0)."),
    "Hypot": (lambda x, y, *_: x == y == 0, "a length has no slope at 0: 0 / 0", "Use sqrt(x * x + y * y + 1e-12).", ""),
}


def why_backward(fn, arrays, dys, gradient, index) -> Why:
    """Why this op's gradient of one input is not finite at this index of that input."""
    name = _name(fn)
    dy = next((dy for dy in dys if dy is not None), None)
    at = _at([*arrays, dy], gradient.shape, index)
    if name in _STEEP and len(at) > 1:
        steep, slope, fix, behind_where = _STEEP[name]
        if steep(*at) and at[-1] == 0:
            return (f"{slope}. The gradient that came in is 0 there: the value was thrown away later (by where, a mask, a "
                    "product with 0), but 0 · ∞ = NaN", behind_where or fix)
        if steep(*at):
            return slope, fix
    floats = [x for x in arrays if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if any(not np.isfinite(x).all() for x in floats):
        return ("an infinity or a NaN went into the forward pass (see the ranges above); backward multiplies by it",
                "Make the forward finite there; for masks, use where or masked_fill right before softmax.")
    if np.isinf(gradient[index]):
        return _overflow(float(np.finfo(gradient.dtype).max))
    return "", ""


def _name(fn) -> str:
    """The op's name; empty for a user's own, which may have the name of one of ours and mean something else."""
    return type(fn).__name__ if type(fn).__module__.startswith("minitorch.") else ""


def _at(arrays, shape, index) -> list[float]:
    """The numbers among the inputs at one element, if all of them broadcast to this shape; else nothing."""
    values = []
    for x in arrays:
        if isinstance(x, (bool, int, float, np.ndarray, np.generic)):
            try:
                values.append(float(np.broadcast_to(x, shape)[index]))
            except ValueError:
                return []
    return values

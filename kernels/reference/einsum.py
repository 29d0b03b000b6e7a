"""Einstein's notation. Letters name axes; a letter that is missing from the output is summed over."""

import numpy as np

from .arithmetic import sum_to

__all__ = ["einsum_backward", "einsum_forward"]


def einsum_forward(equation, *operands):
    """Operands whose axes the equation names → y."""
    return np.einsum(equation, *operands, optimize=len(operands) > 1)


def einsum_backward(dy, equation, *operands, needs):
    """dy → one gradient per operand."""
    inputs, output = _letters(equation, operands)
    gradients = []
    for k, (letters, x) in enumerate(zip(inputs, operands)):
        if not needs[k]:
            gradients.append(None)
            continue
        others = [(inputs[i], operands[i]) for i in range(len(operands)) if i != k]
        known = set(output).union(*(other for other, _ in others))
        kept = "".join(dict.fromkeys(c for c in letters if c in known))
        # dy and the other operands, with this operand's letters as the output
        terms = ",".join([output, *(other for other, _ in others)])
        part = np.einsum(f"{terms}->{kept}", dy, *(a for _, a in others), optimize=bool(others))
        # a letter of this operand alone was summed over: every element along it gets the same gradient
        sizes = {c: n for c, n in zip(letters, x.shape)}
        sizes.update({c: n for c, n in zip(kept, part.shape)})
        unique = "".join(dict.fromkeys(letters))
        full = tuple(sizes[c] for c in unique)
        part = np.broadcast_to(part.reshape([sizes[c] if c in kept else 1 for c in unique]), full)
        # a letter that stands twice took the diagonal: the gradient goes back onto it
        if len(unique) < len(letters):
            dx = np.zeros([sizes[c] for c in letters], part.dtype)
            np.einsum(f"{letters}->{unique}", dx)[...] = part
        else:
            dx = part
        gradients.append(np.ascontiguousarray(sum_to(dx, x.shape)).reshape(x.shape))
    return tuple(gradients)


def _letters(equation, operands):
    """The letters of each operand and of the output, with an ellipsis spelt out."""
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    used = set(equation)
    spare = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in used]
    rank = max((x.ndim - len(s) + 3 for s, x in zip(inputs, operands) if "..." in s), default=0)
    dots = "".join(spare[:rank])
    if not arrow:
        once = sorted(c for c in set(left) - {",", "."} if left.count(c) == 1)
        output = ("..." if "..." in left else "") + "".join(once)
    spelt = [s.replace("...", dots[rank - (x.ndim - len(s) + 3):]) if "..." in s else s for s, x in zip(inputs, operands)]
    return spelt, output.replace("...", dots)

"""Einstein's notation. Letters name axes; a letter that is missing from the output is summed over.

Operands are joined two at a time. A pair is a batched matrix product: letters that both have and somebody still needs are
the batch, letters that both have and nobody needs are summed over, the others are rows and columns.
"""

import math

import numpy as np

from ..reference import einsum as _reference
from ._array import copy_into, packed, view, zeros
from .arithmetic import sum_to
from .matmul import product
from .reduce import sum_forward

__all__ = _reference.__all__


def einsum_forward(equation, *operands):
    inputs, output = _reference._letters(equation, operands)
    _check(equation, inputs, output, operands)
    terms = [_single(letters, x) for letters, x in zip(inputs, operands)]
    while len(terms) > 1:
        first, second, *rest = terms
        terms = [_join(first, second, set(output).union(*[letters for letters, _ in rest])), *rest]
    letters, x = _without(*terms[0], set(output))
    return packed(view(np.transpose, x, [letters.index(c) for c in output]))


def einsum_backward(dy, equation, *operands, needs):
    inputs, output = _reference._letters(equation, operands)
    gradients = []
    for k, (letters, x) in enumerate(zip(inputs, operands)):
        if not needs[k]:
            gradients.append(None)
            continue
        others = [(inputs[i], operands[i]) for i in range(len(operands)) if i != k]
        known = set(output).union(*[other for other, _ in others])
        unique = "".join(dict.fromkeys(letters))
        kept = "".join([c for c in unique if c in known])
        # dy and the other operands, with this operand's letters as the output
        terms = ",".join([output, *[other for other, _ in others]])
        part = einsum_forward(f"{terms}->{kept}", dy, *[a for _, a in others])
        # a letter of this operand alone was summed over: every element along it gets the same gradient
        sizes = {**dict(zip(letters, x.shape)), **dict(zip(kept, part.shape))}
        part = part.reshape([sizes[c] if c in kept else 1 for c in unique])
        part = view(np.broadcast_to, part, tuple([sizes[c] for c in unique]))
        # a letter that stands twice took the diagonal: the gradient goes back onto it
        if len(unique) < len(letters):
            dx = zeros([sizes[c] for c in letters], part.dtype)
            order, diagonal = _single(letters, dx)
            copy_into(diagonal, view(np.transpose, part, [unique.index(c) for c in order]))
        else:
            dx = part
        gradients.append(packed(sum_to(dx, x.shape)).reshape(x.shape))
    return tuple(gradients)


def _check(equation, inputs, output, operands):
    """Do the letters fit the operands' axes?"""
    terms = equation.partition("->")[0].count(",") + 1
    if terms != len(operands):
        raise ValueError(f"{terms} terms for {len(operands)} operands")
    sizes: dict = {}
    for letters, x in zip(inputs, operands):
        if len(letters) != x.ndim:
            raise ValueError(f"{letters!r} names {len(letters)} axes of {x.ndim}")
        for c, n in zip(letters, x.shape):
            if sizes.setdefault(c, n) != n and 1 not in (n, sizes[c]):
                raise ValueError(f"{c!r} has {sizes[c]} entries here and {n} there")
            sizes[c] = n if sizes[c] == 1 else sizes[c]
    for c in output:
        if c not in sizes or output.count(c) > 1:
            raise ValueError(f"the output's {c!r} " + ("stands twice" if c in sizes else "stands in no operand"))


def _single(letters, x):
    """An operand whose letters stand once each: of those that stand twice, the diagonal. A view."""
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            i = letters.index(c)
            j = letters.index(c, i + 1)
            x = view(np.diagonal, x, 0, i, j)
            letters = letters[:i] + letters[i + 1:j] + letters[j + 1:] + c
    return letters, x


def _without(letters, x, needed):
    """The operand, summed over the letters that nobody needs."""
    dims = tuple([i for i, c in enumerate(letters) if c not in needed])
    return "".join([c for c in letters if c in needed]), sum_forward(x, dims, False) if dims else x


def _join(first, second, needed):
    """Two operands made one."""
    a, x = _without(*first, needed | set(second[0]))
    b, y = _without(*second, needed | set(a))
    batch = [c for c in a if c in b and c in needed]
    summed = [c for c in a if c in b and c not in needed]
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]
    size = {**dict(zip(b, y.shape)), **{c: n for c, n in zip(a, x.shape) if n != 1 or c not in b}}

    def arranged(letters, x, *groups):
        x = view(np.transpose, x, [letters.index(c) for group in groups for c in group])
        x = view(np.broadcast_to, x, tuple([size[c] for group in groups for c in group]))
        return x.reshape([math.prod([size[c] for c in group]) for group in groups])

    z = product(arranged(a, x, batch, left, summed), arranged(b, y, batch, summed, right))
    letters = batch + left + right
    return "".join(letters), z.reshape([size[c] for c in letters])

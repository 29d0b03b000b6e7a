"""What the compiled kernels do on a GPU, in counts: sectors of memory, wavefronts of shared memory, instructions.

    python tests/helpers/count_cuda.py          prints the table of docs/gpu.md

A compiler is needed, a GPU is not: see paper_gpu.py. ptx_counts.py says what is counted.
"""

from importlib import import_module

import numpy as np

from minitorch.kernels import reference

import cuda_cases
import paper_gpu

__all__ = ["calls_on_rows", "counted", "products"]

ROWS, C = 256, 768


def calls_on_rows(dtype="float32"):
    """Where memory decides: calls on rows of 768 numbers."""
    x, dy, f, gamma, beta = [np.random.default_rng(i).normal(size=shape).astype(dtype) for i, shape in enumerate(
        [(ROWS, C), (ROWS, C), (ROWS, C), C, C])]
    labels = np.arange(ROWS) * 7 % C
    losses, *sums = reference.cross_entropy_forward(x, labels, None, -100, 0.0)
    yield from cuda_cases.on_rows(x, dy, gamma, beta)
    yield "dropout_forward", x, 0.1, 7
    yield "cross_entropy_forward", x, labels, None, -100, 0.0
    yield "cross_entropy_backward", losses, x, labels, None, *sums, -100, 0.0
    yield "sum_forward", x, (1,), False
    yield "sum_forward", x, (0,), False
    yield "adam_step", x.copy(), dy, f, abs(f), None, 3, 0.01, 0.9, 0.99, 1e-8, 0.1, True, False
    yield "sgd_step", x.copy(), dy, f, 0.1, 0.9, 0.0, 0.0, False, False, False
    yield "sgd_step", x.copy(), dy, None, 0.1, 0.0, 0.0, 0.0, False, False, False


def products(dtype="float32"):
    """Where arithmetic decides: products, and attention with 32, 64 and 128 features a head."""
    yield "matmul_forward", *[np.ones(shape, dtype) for shape in ((256, 128), (128, 256))]
    for D in 32, 64, 128:
        q, k, v, dy = np.random.default_rng(0).normal(size=(4, 1, 1, 128, D)).astype(dtype)
        y, lse = reference.attention_forward(q, k, v, None, False, D**-0.5, 0.0, 1)
        yield "attention_forward", q, k, v, None, False, D**-0.5, 0.0, 1
        yield "attention_backward", dy, q, k, v, None, y, lse, False, D**-0.5, 0.0, 1


def counted(name, *args):
    """What the launches of a call do: a list of Counts."""
    with paper_gpu.running(count=True) as memory:
        there = [cuda_cases.to_device(a) for a in args]
        memory.counts.clear()
        getattr(import_module("minitorch.kernels.cuda"), name)(*there)
        return list(memory.counts)


def traffic(counts, least):
    """For loads, then for stores: how often the arrays of at least so many bytes pass by, and how many sectors of others."""
    for action in "ld", "st":
        large = [t for c in counts for t in c.arrays.values() if t.bytes >= least and t.asked[action]]
        small = sum(t.asked[action] for c in counts for t in c.arrays.values() if t.bytes < least)
        yield " ".join([f"{t.times(action):.2f}" for t in large]) or "–", small


def table():
    print(f"| {ROWS} × {C} float32 | launches | x, dy … are read | results are written | sectors of small arrays "
          "| instructions a number: fma, memory, other |\n|---|---|---|---|---|---|")
    for name, *args in calls_on_rows():
        counts = counted(name, *args)
        (read, others), (written, others_written) = traffic(counts, ROWS * C * 4)
        work = [sum(c.work[kind] for c in counts) / (ROWS * C) for kind in ("fma", "memory", "other")]
        print(f"| {called(name, args)} | {len(counts)} | {read} | {written} | {others + others_written:,} | "
              f"{', '.join(f'{w:.1f}' for w in work)} |")
    print("\n| products | kernel | fma of a warp | wavefronts, at most | of which conflicts | wavefronts, merged |\n"
          "|---|---|---|---|---|---|")
    for name, *args in products():
        for c in counted(name, *args):
            if c.wavefronts:
                waves, more = sum(c.wavefronts.values()), sum(c.conflicts.values())
                print(f"| {called(name, args)} | `{c.name}` | {c.work['fma'] // 32:,} | {waves:,} | {more / waves:.1%} | "
                      f"{c.merged:,} |")


def called(name, args):
    """What stands in the table for a call."""
    if name.startswith("matmul"):
        return f"`{name}` {' · '.join('×'.join(map(str, a.shape)) for a in args)}"
    if name.startswith("attention"):
        return f"`{name}` {args[0].shape[-1]} features"
    if name == "sgd_step":
        return f"`{name}` {'without' if args[2] is None else 'with'} momentum"
    return f"`{name}` over axis {args[1][0]}" if name == "sum_forward" else f"`{name}`"


if __name__ == "__main__":
    missing = paper_gpu.missing()
    if missing:
        raise SystemExit(f"nothing can be counted here: {missing}")
    table()

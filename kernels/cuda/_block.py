"""What the threads of a block find out together: every thread brings a number, all get the result.

Half of the threads take over the numbers of the other half, until one is left: log₂(threads) steps, always in the same
order, so the same bits on every run. All threads of the block must call it.
"""

from ._launch import THREADS, cuda, device, number

__all__ = ["block_fold", "block_max", "block_sum", "larger", "plus", "smaller", "times"]


@device
def plus(a, b):
    return a + b


@device
def times(a, b):
    return a * b


@device
def larger(a, b):
    """The larger of the two; NaN if one is."""
    return a if a > b or a != a else b


@device
def smaller(a, b):
    """The smaller of the two; NaN if one is."""
    return a if a < b or a != a else b


combine = plus      # below: the function that the fold is being compiled for


def _fold(value):
    shared = cuda.shared.array(THREADS, number)
    t = cuda.threadIdx.x
    cuda.syncthreads()      # nobody still reads what was here before
    shared[t] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            shared[t] = combine(shared[t], shared[t + half])
        cuda.syncthreads()
        half //= 2
    return shared[0]


def block_fold(combine):
    """A function for kernels that makes one number of all threads' numbers: combine(combine(a, b), combine(c, d)) …"""
    return device(_fold, combine=combine)


block_sum, block_max = block_fold(plus), block_fold(larger)

"""What the threads of a block find out together: every thread brings a number, all get the result.

Threads are put together in pairs, pairs in pairs, until one number is left: log₂(threads) steps, always in the same order,
so the same bits on every run. All threads of the block must call it, and blocks are whole warps.
"""

from ._launch import SIMULATED, THREADS, WARP, cuda, device, number

__all__ = ["block_fold", "block_max", "block_sum", "exchanged", "larger", "plus", "smaller", "times"]


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
WARPS = THREADS // WARP    # in the largest block


def _fold(value):
    t, warps = cuda.threadIdx.x, cuda.blockDim.x // WARP
    # the threads of a warp exchange what they have: with the thread half a warp away, a quarter, an eighth …
    far = WARP // 2
    while far > 0:
        value = combine(value, exchanged(value, far))
        far //= 2
    # the warps exchange what they have through shared memory
    shared = cuda.shared.array(WARPS, number)
    cuda.syncthreads()      # nobody still reads what was here before
    if t % WARP == 0:
        shared[t // WARP] = value
    cuda.syncthreads()
    value = shared[0]
    for warp in range(1, warps):
        value = combine(value, shared[warp])
    return value


@device
def exchanged(value, far):
    """The value of the thread whose number differs from ours in the bit `far`; it gets ours."""
    return number(cuda.shfl_xor_sync(0xFFFFFFFF, +value, far))      # + makes a whole number of True, and nothing of others


if SIMULATED:       # it has no warps; what they hand each other goes through shared memory there
    @device
    def exchanged(value, far):  # noqa: F811
        shared, t = cuda.shared.array(cuda.blockDim.x, number), cuda.threadIdx.x
        cuda.syncthreads()
        shared[t] = value
        cuda.syncthreads()
        return shared[t ^ far]


def block_fold(combine):
    """A function for kernels that makes one number of all threads' numbers: combine(combine(a, b), combine(c, d)) …"""
    return device(_fold, combine=combine)


block_sum, block_max = block_fold(plus), block_fold(larger)

"""What the threads of a block find out together: every thread brings a number, all get the result.

Half of the threads take over the numbers of the other half, until one is left: log₂(threads) steps, always in the same
order, so the same bits on every run. All threads of the block must call it.
"""

from ._launch import THREADS, cuda, device, number

__all__ = ["block_max", "block_sum"]


@device
def block_sum(value):
    """The sum of all threads' values."""
    shared = cuda.shared.array(THREADS, number)
    t = cuda.threadIdx.x
    cuda.syncthreads()      # nobody still reads what was here before
    shared[t] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            shared[t] += shared[t + half]
        cuda.syncthreads()
        half //= 2
    return shared[0]


@device
def block_max(value):
    """The largest of all threads' values; NaN if there is one."""
    shared = cuda.shared.array(THREADS, number)
    t = cuda.threadIdx.x
    cuda.syncthreads()
    shared[t] = value
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            a, b = shared[t], shared[t + half]
            shared[t] = a if a > b or a != a else b
        cuda.syncthreads()
        half //= 2
    return shared[0]

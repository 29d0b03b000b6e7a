"""Where memory decides, compiled kernels move what they must and no more; and hardly anybody waits for a shared bank."""

import pytest

import count_cuda
import paper_gpu
from paper_gpu import long

ROWS = count_cuda.ROWS * count_cuda.C * 4       # bytes of an array of rows


@pytest.fixture(autouse=True, scope="module")
def compiler():
    missing = paper_gpu.missing()
    if missing:
        pytest.skip(missing)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=long)])
def test_every_row_is_read_once_and_written_once(compiler, dtype):
    """In whole sectors. What is small beside the rows (γ and β, partial sums, a number a row) may come again and again: it
    stays in the caches. A loss looks up its label's logit once more: a sector a row. In float64 four numbers are two
    accesses of half a sector each, and the second one finds it in the cache."""
    wide = 2 if dtype == "float64" else 1
    for name, *args in count_cuda.calls_on_rows(dtype):
        large = [t for c in count_cuda.counted(name, *args) for t in c.arrays.values() if t.bytes >= ROWS * wide]
        assert large, name
        for t in large:
            more = count_cuda.ROWS if name == "cross_entropy_forward" else 0
            assert {action: len(which) for action, which in t.which.items() if which} == {
                action: t.bytes // 32 for action, n in t.asked.items() if n}, name      # all of it
            assert all(n <= wide * (t.bytes // 32 + more) for n in t.asked.values()), (name, t.asked)
            assert all(n <= t.bytes + more * 4 * wide for n in t.wanted.values()), (name, t.wanted)


def test_short_rows_are_not_added_up_by_more_threads_than_it_takes(compiler):
    """With 256 threads for 768 numbers, what they told each other was most of the work: 89 instructions a number."""
    x = next(count_cuda.calls_on_rows())[1]
    counts, = count_cuda.counted("sum_forward", x, (1,), False)
    assert sum(counts.work.values()) / x.size < 25


@long
def test_shared_memory_is_read_without_conflicts(compiler):
    """A few stores of single numbers have two threads at one bank; they are little beside the loads."""
    seen = set()
    for name, *args in count_cuda.products():
        for c in count_cuda.counted(name, *args):
            if c.wavefronts:
                seen.add(c.name)
                assert [text for text in c.conflicts if c.conflicts[text] and text.startswith("ld.")] == [], c.name
                assert sum(c.conflicts.values()) <= 0.035 * sum(c.wavefronts.values()), c.name
    assert seen == {"matmul._vector", "attention._forward", "attention._backward_queries", "attention._backward_keys"}

"""In the simulator the kernels are watched: see tests/helpers/watch_cuda.py."""

import pytest

from on_cuda import SIMULATED


@pytest.fixture
def no_races():
    """No two threads race in the kernels that the test launches."""
    if not SIMULATED:       # on a GPU compute-sanitizer looks: tests/helpers/sanitize_cuda.py
        yield
        return
    from watch_cuda import watched
    with watched() as faults:
        yield
    assert not faults

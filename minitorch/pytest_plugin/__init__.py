"""A pytest fixture for users of minitorch: ``def test_my_op(gradcheck): gradcheck(my_op, (x,))``.

pytest loads this file at every start, wherever minitorch is installed. So it is installed as ``pytest_minitorch``, next to
minitorch and not in it, and imports nothing until a test asks: it costs no time and cannot break anybody's pytest.
"""

from importlib import import_module

import pytest

__all__ = ["gradcheck"]


@pytest.fixture
def gradcheck():
    """Check a backward pass: ``minitorch.autograd.gradcheck``; a wrong gradient fails the test with a diagnosis."""
    return import_module("minitorch.gradcheck").gradcheck
